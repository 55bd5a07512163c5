//! The tree of a `.cell` file as it was written: names unresolved, every node with its span.
//!
//! The shape follows `grammar/cell.pest` rule by rule. Comments are not in the tree; [`File::comments`]
//! keeps them by position so that the formatter can put them back.

use std::fmt;

use super::print;
use crate::source::Span;

/// A whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct File {
    /// Items in the order they were written.
    pub items: Vec<Item>,
    /// Every comment, in order, with where it stood.
    pub comments: Vec<Comment>,
    /// Offset of the first of each run of blank lines, in order. The formatter keeps one blank line
    /// between statements where there was at least one; a tree that was not read has none.
    pub blank_lines: Vec<usize>,
}

impl File {
    /// Its claims, in order.
    pub fn claims(&self) -> impl Iterator<Item = &Expect> {
        self.items.iter().filter_map(|item| match item {
            Item::Expect(expect) => Some(expect),
            Item::Use(_)
            | Item::Constant(_)
            | Item::Op(_)
            | Item::Cell(_)
            | Item::Space(_)
            | Item::Net(_) => None,
        })
    }
}

/// One comment, `//` or `///`, up to the end of its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// The comment with its slashes, without the line break and trailing blanks.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// True if nothing but blanks precedes it on its line.
    pub own_line: bool,
    /// True if the line before it is blank (the formatter keeps one blank line there).
    pub blank_before: bool,
}

/// A name where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ident {
    /// The name.
    pub name: String,
    /// Where it stands.
    pub span: Span,
}

/// A top-level definition or claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// `use "stems.cell"`
    Use(Use),
    /// `let k = 5`
    Constant(Constant),
    /// `op sep<k, s = stride>(x) { ... }`
    Op(Op),
    /// `cell normal(h, prev) { ... }`
    Cell(Cell),
    /// `space nasnet { ... }`
    Space(Space),
    /// `net cifar<N, F> { ... }`
    Net(Net),
    /// `expect cifar 6@768 { params 3_346_538 }`
    Expect(Expect),
}

impl Item {
    /// Where the item stands, from its keyword to its last token.
    pub fn span(&self) -> Span {
        match self {
            Item::Use(item) => item.span,
            Item::Constant(item) => item.span,
            Item::Op(item) => item.span,
            Item::Cell(item) => item.span,
            Item::Space(item) => item.span,
            Item::Net(item) => item.span,
            Item::Expect(item) => item.span,
        }
    }
}

/// Another file whose operations, cells, nets and constants this one can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Its path as written, relative to the folder of the file it stands in.
    pub path: StringLit,
    /// The item.
    pub span: Span,
}

/// A static value with a name: `let k = 5`.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its name.
    pub name: Ident,
    /// Its value; in a space it may hold a hole, which is then one choice wherever the name is used.
    pub value: Value,
    /// The statement.
    pub span: Span,
}

/// An operation defined from primitives and other operations.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Its name.
    pub name: Ident,
    /// Static attributes, `<k, s = stride>`.
    pub params: Vec<Param>,
    /// Tensor arguments, `(x)` or `(x, y)`.
    pub args: Vec<Ident>,
    /// What it computes.
    pub body: OpBody,
    /// The whole definition.
    pub span: Span,
}

/// A static attribute of an operation, with its default if it has one.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Ident,
    /// Default value, evaluated at the call, where `c`, `stride` and earlier attributes are known.
    pub default: Option<Value>,
}

/// The two forms of an operation's body.
#[derive(Clone, Debug, PartialEq)]
pub enum OpBody {
    /// `= x |> relu |> conv<1> |> bn`
    Short(Expr),
    /// `{ statements }`
    Block(Vec<OpStmt>),
}

/// A statement in the block body of an operation.
///
/// A block is any number of `let`, `require` and bindings, then either one result expression or a list of
/// `when` arms closed by `otherwise`.
#[derive(Clone, Debug, PartialEq)]
pub enum OpStmt {
    /// `let half = c / 2`
    Constant(Constant),
    /// `require odd(k) : "message with {k}"`
    Require(Require),
    /// `y = x |> relu`
    Let {
        /// The name bound.
        name: Ident,
        /// Its value.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// `when stride == 1 and channels(x) == c => x`
    When {
        /// The condition.
        cond: Value,
        /// The result if it holds and no earlier arm did.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// `otherwise => x |> relu`
    Otherwise {
        /// The result if no arm's condition held.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// The result, a bare expression.
    Result(Expr),
}

impl OpStmt {
    /// Where the statement stands.
    pub fn span(&self) -> Span {
        match self {
            OpStmt::Constant(constant) => constant.span,
            OpStmt::Require(require) => require.span,
            OpStmt::Let { span, .. }
            | OpStmt::When { span, .. }
            | OpStmt::Otherwise { span, .. } => *span,
            OpStmt::Result(value) => value.span,
        }
    }
}

/// A static condition: what a use of an operation, a cell in its place, a net at its scale or a point of
/// a space must meet.
#[derive(Clone, Debug, PartialEq)]
pub struct Require {
    /// The condition.
    pub cond: Value,
    /// The author's message; `{name}` is replaced by the value of an attribute.
    pub message: Option<StringLit>,
    /// The statement.
    pub span: Span,
}

/// A string literal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StringLit {
    /// The text between the quotes.
    pub text: String,
    /// Where it stands, quotes included.
    pub span: Span,
}

/// A cell: a small network with named blocks.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its name.
    pub name: Ident,
    /// Static attributes, `<k = 3>`.
    pub params: Vec<Param>,
    /// Inputs, most recent first.
    pub inputs: Vec<Ident>,
    /// `stride 2`, if written.
    pub stride: Option<Number>,
    /// Its blocks, or the cell whose text it repeats.
    pub body: CellBody,
    /// The whole definition.
    pub span: Span,
}

/// The two forms of a cell's body.
#[derive(Clone, Debug, PartialEq)]
pub enum CellBody {
    /// `= normal`: the same statements as another cell, its holes chosen afresh.
    SameAs(CellUse),
    /// `{ statements }`
    Block(Vec<CellStmt>),
}

/// A cell by name with values for its attributes: `normal<5>`.
#[derive(Clone, Debug, PartialEq)]
pub struct CellUse {
    /// The cell.
    pub name: Ident,
    /// Its attributes.
    pub attrs: Vec<Attr>,
    /// The use.
    pub span: Span,
}

/// A statement in a cell.
#[derive(Clone, Debug, PartialEq)]
pub enum CellStmt {
    /// `let half = c / 2`
    Constant(Constant),
    /// `require c % 4 == 0 : "the width must be a multiple of 4"`
    Require(Require),
    /// A block, `n1 = sep<5>(a) + sep<3>(b)`.
    Let {
        /// The block's name.
        name: Ident,
        /// What it computes.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// `repeat 5 as n { ?ops(?earlier) ?{ +, concat } ?ops(?earlier) }`: blocks `n1` to `n5`.
    Repeat {
        /// How often.
        count: Number,
        /// Stem of the blocks' names.
        name: Ident,
        /// What each block computes; its holes are chosen afresh for each.
        value: Expr,
        /// The statement.
        span: Span,
    },
    /// `out concat(b, n1)`, `out n1, n2 to 2`: what the cell gives, last in the cell.
    Out {
        /// The outputs in order, at least one.
        outputs: Vec<Output>,
        /// The statement.
        span: Span,
    },
}

/// One output of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// The tensor.
    pub value: Expr,
    /// `to 2`: how many cells later it arrives; if absent it arrives at the next cell, and that of a
    /// cell with one output at every later one.
    pub to: Option<Number>,
}

impl CellStmt {
    /// Where the statement stands.
    pub fn span(&self) -> Span {
        match self {
            CellStmt::Constant(constant) => constant.span,
            CellStmt::Require(require) => require.span,
            CellStmt::Let { span, .. }
            | CellStmt::Repeat { span, .. }
            | CellStmt::Out { span, .. } => *span,
        }
    }
}

/// A search space: option sets, operations and cells with holes, shared choices, and conditions on a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// Its name.
    pub name: Ident,
    /// Its parts in order.
    pub items: Vec<SpaceItem>,
    /// The whole definition.
    pub span: Span,
}

/// A part of a space.
#[derive(Clone, Debug, PartialEq)]
pub enum SpaceItem {
    /// `let k = ?{ 3, 5 }`: one choice for every use of `k`.
    Constant(Constant),
    /// `require params(cifar 6@768) <= 4M`: what a point must meet.
    Require(Require),
    /// An operation, whose holes are one choice for all of its uses.
    Op(Op),
    /// `ops = { id, sep<3>: 2, max<?{3, 5}> }`: a named option set.
    Options {
        /// Its name, used as `?ops`.
        name: Ident,
        /// The operations to choose from, attributes applied.
        options: Vec<Alternative<OpRef>>,
        /// The statement.
        span: Span,
    },
    /// A cell, usually with holes.
    Cell(Cell),
}

/// A macro skeleton.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    /// Its name.
    pub name: Ident,
    /// The two names of the scale, `<N, F>`.
    pub params: Vec<Ident>,
    /// Its parts in order.
    pub items: Vec<NetItem>,
    /// The whole definition.
    pub span: Span,
}

/// A part of a net.
#[derive(Clone, Debug, PartialEq)]
pub enum NetItem {
    /// `let slot = N / 3`
    Constant(Constant),
    /// `require N >= 2 : "..."`
    Require(Require),
    /// `input 32x32x3`: height, width, channels; a data set overrides it.
    Input {
        /// Height, width, channels.
        dims: [Number; 3],
        /// The statement.
        span: Span,
    },
    /// `classes 10`; a data set overrides it.
    Classes {
        /// How many classes.
        count: Number,
        /// The statement.
        span: Span,
    },
    /// `stem conv<3, out = 3 * base> |> bn`
    Stem {
        /// Operations from the image to the first cell.
        stages: Vec<OpRef>,
        /// The statement.
        span: Span,
    },
    /// `stack N * normal, reduction * 2`
    Stack {
        /// Its entries in order.
        entries: Vec<StackEntry>,
        /// The statement.
        span: Span,
    },
    /// `head relu |> gap |> dropout |> dense<classes>`
    Head {
        /// Operations from the last cell to the logits.
        stages: Vec<OpRef>,
        /// The statement.
        span: Span,
    },
    /// `aux after stage 2 { relu |> ... }`
    Aux {
        /// The stage, counted from 1, after whose last cell the head sits. A stage is a run of
        /// entries of `stack` between width changes.
        stage: Number,
        /// Operations from that cell to the auxiliary logits.
        stages: Vec<OpRef>,
        /// The statement.
        span: Span,
    },
}

impl NetItem {
    /// Where the part stands.
    pub fn span(&self) -> Span {
        match self {
            NetItem::Constant(constant) => constant.span,
            NetItem::Require(require) => require.span,
            NetItem::Input { span, .. }
            | NetItem::Classes { span, .. }
            | NetItem::Stem { span, .. }
            | NetItem::Stack { span, .. }
            | NetItem::Head { span, .. }
            | NetItem::Aux { span, .. } => *span,
        }
    }

    /// The word it starts with.
    pub fn keyword(&self) -> &'static str {
        match self {
            NetItem::Constant(_) => "let",
            NetItem::Require(_) => "require",
            NetItem::Input { .. } => "input",
            NetItem::Classes { .. } => "classes",
            NetItem::Stem { .. } => "stem",
            NetItem::Stack { .. } => "stack",
            NetItem::Head { .. } => "head",
            NetItem::Aux { .. } => "aux",
        }
    }
}

/// One entry of a `stack`.
#[derive(Clone, Debug, PartialEq)]
pub struct StackEntry {
    /// How often, `N *` or `3 *`; once if absent.
    pub times: Option<Value>,
    /// What is stacked.
    pub what: StackItem,
    /// The entry.
    pub span: Span,
}

/// What an entry of a `stack` stacks.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a file has few stacks, nearly all of cells alone")]
pub enum StackItem {
    /// A cell.
    Cell(StackedCell),
    /// `(N * normal, reduction * 2)`: entries that are repeated together; only behind a count.
    Group(Vec<StackEntry>),
}

/// A cell in a `stack`: `skip reduction<3> stride 2 * 2`.
#[derive(Clone, Debug, PartialEq)]
pub struct StackedCell {
    /// `skip`: the cell after this one takes, beside its output, what this one took, not this one's
    /// first input.
    pub is_skipped: bool,
    /// The cell and its attributes.
    pub cell: CellUse,
    /// `stride 2`: instead of the cell's own stride.
    pub stride: Option<Number>,
    /// How the width changes before this cell.
    pub width: Option<WidthChange>,
}

/// How an entry of a `stack` changes the width, from its first cell on.
#[derive(Clone, Debug, PartialEq)]
pub enum WidthChange {
    /// `* 2`: it is multiplied.
    Times(Number),
    /// `at base / 4`: it is set.
    At(Value),
}

/// A claim about the file's cells in a net at a scale, checked by `cellc check`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// The net.
    pub net: Ident,
    /// The scale.
    pub scale: ScaleLit,
    /// `on 331x331x3`: height, width and channels of the image, if not the net's own.
    pub image: Option<[Number; 3]>,
    /// `classes 1001`: the number of classes, if not the net's own.
    pub classes: Option<Number>,
    /// What is claimed.
    pub claims: Vec<Claim>,
    /// What papers print about the same network.
    pub published: Vec<Published>,
    /// The whole item.
    pub span: Span,
}

/// `params 3_346_538`
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// Which count.
    pub name: Ident,
    /// Its value.
    pub value: Number,
}

/// `published "Zoph et al., table 1" as "NASNet-A (6 @ 768)" { params 3.3M }`: what a paper prints about a
/// network. It is data for `cellc compare` and no claim: a paper may be wrong, or count otherwise.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Where it is printed.
    pub source: StringLit,
    /// `as "NASNet-A (6 @ 768)"`: what the network is called there.
    pub name: Option<StringLit>,
    /// The figures.
    pub figures: Vec<PublishedFigure>,
    /// From its keyword to its last token.
    pub span: Span,
}

/// `params 3.3M`
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedFigure {
    /// Which count.
    pub name: Ident,
    /// Its value.
    pub value: Figure,
}

/// A number as it is printed, with its precision: `3.3M` and `3.30M` differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Figure {
    /// Its digits without the point: 33 of `3.3M`.
    pub digits: u64,
    /// How many of them stand behind the point; no more than the unit has zeros.
    pub decimals: u32,
    /// What it is counted in.
    pub unit: Unit,
    /// Where it stands.
    pub span: Span,
}

impl Figure {
    /// One of its last digit: 100,000 for `3.3M`.
    pub fn step(&self) -> u64 {
        10_u64.pow(self.unit.zeros().saturating_sub(self.decimals))
    }

    /// Its value: 3,300,000 for `3.3M`.
    pub fn value(&self) -> u64 {
        self.digits.saturating_mul(self.step())
    }
}

impl fmt::Display for Figure {
    /// As it is printed, its whole part as other numbers are.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let one = 10_u64.pow(self.decimals);
        f.write_str(&print::number(self.digits / one))?;
        if self.decimals > 0 {
            write!(f, ".{:0width$}", self.digits % one, width = self.decimals as usize)?;
        }
        f.write_str(self.unit.letter())
    }
}

/// What a figure is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// One.
    One,
    /// `K`: thousands.
    Thousand,
    /// `M`: millions.
    Million,
    /// `B`: billions.
    Billion,
}

impl Unit {
    /// Every unit; the one without a letter, with which every number ends, last.
    pub const ALL: [Unit; 4] = [Unit::Thousand, Unit::Million, Unit::Billion, Unit::One];

    /// The zeros of the unit: 6 for a million.
    pub fn zeros(self) -> u32 {
        match self {
            Unit::One => 0,
            Unit::Thousand => 3,
            Unit::Million => 6,
            Unit::Billion => 9,
        }
    }

    /// Its letter behind a number.
    pub fn letter(self) -> &'static str {
        match self {
            Unit::One => "",
            Unit::Thousand => "K",
            Unit::Million => "M",
            Unit::Billion => "B",
        }
    }
}

/// `6@768`: N normal cells a stage, F filters in the penultimate layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleLit {
    /// N.
    pub n: Number,
    /// F.
    pub f: Number,
    /// Where it stands.
    pub span: Span,
}

/// An unsigned integer; underscores may separate digits, `K`, `M` and `B` stand for powers of 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Its value.
    pub value: u64,
    /// Where it stands.
    pub span: Span,
}

/// A tensor expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of a tensor expression. Precedence from loose to tight: `|>`, `+`, `*`, calls; an
/// infix hole binds like `+`; binary operators group to the left.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A name: an input, a block, an argument, or `unused` inside `out concat(...)`.
    Name(String),
    /// `sep<5>(a)`, `concat(x, y)`, `?ops(a)`
    Call {
        /// What is applied.
        op: OpRef,
        /// To what.
        args: Vec<Expr>,
    },
    /// `x |> relu |> conv<1>`
    Pipe {
        /// The start.
        input: Box<Expr>,
        /// What is applied to it, one after the other; at least one.
        stages: Vec<OpRef>,
    },
    /// `x + y`, `x * y`, `x ?{ +, concat } y`
    Binary {
        /// How the operands are combined.
        combine: Combine,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// `?earlier`: any block bound earlier in the cell.
    Earlier,
    /// `?{ a, b }` where an operand stands: one of these.
    Choice(Vec<Alternative<Expr>>),
    /// `(x + y)`, kept so that the formatter writes what was read.
    Paren(Box<Expr>),
}

/// An operation with its static attributes, or a hole for one.
#[derive(Clone, Debug, PartialEq)]
pub struct OpRef {
    /// Named, or chosen.
    pub kind: OpRefKind,
    /// Where it stands, attributes included.
    pub span: Span,
}

/// The forms of an operation reference.
#[derive(Clone, Debug, PartialEq)]
pub enum OpRefKind {
    /// `sep<5, s = 2>`
    Named {
        /// The operation or primitive.
        name: Ident,
        /// Its attributes.
        attrs: Vec<Attr>,
    },
    /// `?ops`: one of a named option set.
    Set(Ident),
    /// `?{ sep<3>, max<3> }`: one of these.
    Choice(Vec<Alternative<OpRef>>),
}

/// An option of a hole.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative<T> {
    /// What is chosen.
    pub item: T,
    /// `: 3`, how much likelier than an option of weight 1 it is drawn; 1 if absent.
    pub weight: Option<Number>,
}

impl<T> Alternative<T> {
    /// An option without a weight of its own.
    pub fn new(item: T) -> Self {
        Alternative { item, weight: None }
    }
}

/// An attribute at a use, positional or named.
#[derive(Clone, Debug, PartialEq)]
pub struct Attr {
    /// `s` in `s = 2`.
    pub name: Option<Ident>,
    /// The value.
    pub value: Value,
}

/// How a binary expression combines its operands.
#[derive(Clone, Debug, PartialEq)]
pub enum Combine {
    /// One way.
    Fixed(CombineOp),
    /// `?{ +, concat }`: one of these.
    Choice {
        /// The options in order.
        options: Vec<Alternative<CombineRef>>,
        /// The hole.
        span: Span,
    },
}

/// A way to combine, as an infix hole lists it.
#[derive(Clone, Debug, PartialEq)]
pub enum CombineRef {
    /// `+`, `*`, `mul` or `concat`.
    Op {
        /// Which.
        op: CombineOp,
        /// Where it stands.
        span: Span,
    },
    /// An operation of two tensors, `add_norm<8>`.
    Named(OpRef),
}

impl CombineRef {
    /// Where it stands.
    pub fn span(&self) -> Span {
        match self {
            CombineRef::Op { span, .. } => *span,
            CombineRef::Named(op) => op.span,
        }
    }
}

/// Ways to combine two tensors with an infix operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CombineOp {
    /// `+`: element-wise sum.
    Add,
    /// `*` or `mul`: element-wise product; a `1x1` map is broadcast over the other's.
    Mul,
    /// `concat`: along channels.
    Concat,
}

/// A static value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: ValueKind,
    /// Where it stands.
    pub span: Span,
}

/// The forms of a static value. Precedence from loose to tight: `or`, `and`, `not`, comparisons,
/// `+ -`, `* / %`, atoms; binary operators group to the left, comparisons do not chain.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// `32`
    Number(u64),
    /// An attribute, `c`, `stride`, `size`, `first`, `same`, `zeros`, `valid`, `full`, `base`, `classes`, `N`, `F`.
    Name(String),
    /// `1x7`, `kx1`: height by width.
    Pair(Box<Value>, Box<Value>),
    /// `odd(k)`, `channels(x)`, `size(x)`
    Call {
        /// The function.
        function: Ident,
        /// Its arguments.
        args: Vec<Value>,
    },
    /// `k + 1`, `c == 2`, `first and second`
    Binary {
        /// The operator.
        op: ValueOp,
        /// Left operand.
        left: Box<Value>,
        /// Right operand.
        right: Box<Value>,
    },
    /// `not first`
    Not(Box<Value>),
    /// `params(cifar 6@768)`: what the file's cells cost in a net.
    Cost {
        /// Which count.
        count: Ident,
        /// The net.
        net: Ident,
        /// The scale.
        scale: ScaleLit,
    },
    /// `?{ 3, 5, 7 }`: one of these.
    Choice(Vec<Alternative<Value>>),
    /// `(a + b)`
    Paren(Box<Value>),
}

/// Operators between static values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`, rounding down
    Div,
    /// `%`, what `/` leaves
    Rem,
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `and`
    And,
    /// `or`
    Or,
}
