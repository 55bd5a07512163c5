//! The meaning of a file: names resolved, attributes bound to parameters, holes numbered; still
//! hierarchical, still free of any concrete shape.
//!
//! # How a module is read
//!
//! - An [`Op`] is a function from tensors to one tensor. Its attributes are static values known at the
//!   call. Three names are always known inside: `c`, the width of the cell; `stride`, the cell's
//!   stride if the operation's first argument still has the cell's input resolution, else 1; `size`,
//!   the cell's input resolution.
//! - A [`Cell`] is a list of blocks over its inputs, most recent first. A bare operand of a combination
//!   stands for `id(operand)`, a bare operand of `out concat(...)` for `fixup(operand)`; `check` has
//!   already written both applications out. Each of its outputs arrives at a later cell.
//! - A [`Constant`] is a static value with a name; in a space it may be a choice, the same one for all of
//!   its uses.
//! - A [`Net`] turns an image into logits by stacking cells. Cells are found by name, so the nets of
//!   the prelude work on the cells of any file.
//! - Definitions of other files come first and keep their ids; their [`Origin`] says which file they stand
//!   in, and what a name means there is told by [`Module::op_in`].
//! - A hole is a choice between alternatives that are all present; it carries the index of its
//!   [`Decision`](crate::space::Decision). Without a space there are none.
//!
//! # Invariants
//!
//! Every [`OpId`] and [`LocalId`] is in range; locals are bound before they are read; operations do not
//! call each other in a cycle; the attributes of a use are as many as the callee's parameters; a hole's
//! decision exists and has as many options as the hole has alternatives. `check` establishes them.

mod dump;
pub mod expression;
mod primitive;
mod scopes;

use std::collections::BTreeSet;

use crate::source::Span;
use crate::space::SearchSpace;
use crate::syntax::ast;
pub(crate) use dump::builtin_name;
pub use primitive::{AttrDefault, AttrSpec, Primitive};
pub(crate) use scopes::Scopes;
pub use scopes::{Origin, UsedFile};

pub use ast::CombineOp;

/// Index into [`Module::ops`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub usize);

/// Index of a tensor name: an operation's arguments then its bindings; a cell's inputs then its blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalId(pub usize);

/// A checked file, with the prelude and the files it uses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Module {
    /// Named static values; those of other files come first. A later one may read those before it.
    pub constants: Vec<Constant>,
    /// Operations; those of other files come first.
    pub ops: Vec<Op>,
    /// Cells that nets find: those of used files, then those of the file and its space.
    pub cells: Vec<Cell>,
    /// Nets; those of other files come first.
    pub nets: Vec<Net>,
    /// The search space, if the file has one.
    pub space: Option<Space>,
    /// Claims about the file's cells.
    pub expects: Vec<Expect>,
    /// The files used, and those that these use; one that uses another comes after it.
    pub used: Vec<UsedFile>,
    /// Those whose definitions the file itself sees, by index in `used`.
    pub sees: BTreeSet<usize>,
}

impl Module {
    /// The cell of this name; one of the file hides one of another file.
    pub fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().rfind(|cell| cell.name.name == name)
    }

    /// The net of this name; one of the file hides one of another file.
    pub fn net(&self, name: &str) -> Option<&Net> {
        self.nets.iter().rev().find(|net| net.name.name == name)
    }

    /// True if the module has every cell of the net's stack.
    pub fn completes(&self, net: &Net) -> bool {
        fn all(module: &Module, entries: &[StackEntry]) -> bool {
            entries.iter().all(|entry| {
                entry.times.kind == ValueKind::Int(0)
                    || match &entry.item {
                        StackItem::Cell(cell) => module.cell(&cell.cell.name).is_some(),
                        StackItem::Group(entries) => all(module, entries),
                    }
            })
        }
        all(self, &net.stack)
    }

    /// The net that is meant where nobody names one: that of the first claim; else the first that the
    /// file defines and has the cells for; else the first of a file that it uses; else the prelude's
    /// first.
    ///
    /// # Panics
    /// If there is no net, as only in a module that was made without the prelude.
    pub fn default_net(&self) -> &str {
        let complete = |is_of: fn(Origin) -> bool| {
            self.nets.iter().find(|net| is_of(net.origin) && self.completes(net))
        };
        let claimed = self.expects.first().map(|expect| expect.net.name.as_str());
        let own = || complete(|origin| origin == Origin::Own);
        let used = || complete(|origin| matches!(origin, Origin::Used(_)));
        claimed
            .or_else(|| own().or_else(used).map(|net| net.name.name.as_str()))
            .or_else(|| self.nets.first().map(|net| net.name.name.as_str()))
            .expect("the prelude has a net")
    }

    /// The cells that stand in the file itself.
    pub fn own_cells(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|cell| !cell.origin.is_foreign())
    }

    /// The operation of this name that the file sees; one of the file hides one of another file.
    pub fn op(&self, name: &str) -> Option<OpId> {
        self.op_in(Origin::Own, name)
    }

    /// The operation that this name means in the file of `origin`.
    pub fn op_in(&self, origin: Origin, name: &str) -> Option<OpId> {
        let is_meant = |op: &Op| op.name.name == name && self.does_see(origin, op.origin);
        self.ops.iter().rposition(is_meant).map(OpId)
    }

    /// True if the file of `from` sees what stands in that of `of`, as long as nothing hides it.
    pub(crate) fn does_see(&self, from: Origin, of: Origin) -> bool {
        scopes::does_see(&self.used, &self.sees, from, of)
    }
}

/// A search space with the text its points are written in.
#[derive(Clone, Debug, PartialEq)]
pub struct Space {
    /// The decisions in the order they are taken.
    pub decisions: SearchSpace,
    /// The space's cells with `repeat` unrolled and option sets written out, holes still open; in the
    /// order of [`Module::own_cells`].
    pub expanded: Vec<ast::Cell>,
    /// The space's operations with option sets written out, holes still open.
    pub ops: Vec<(OpId, ast::Op)>,
    /// The space's constants by their index in [`Module::constants`], holes still open.
    pub constants: Vec<(usize, ast::Constant)>,
    /// What a point must meet, in order; see [`Requirements`](crate::space::Requirements).
    pub requires: Vec<Require>,
}

/// A static value with a name.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// Its name.
    pub name: ast::Ident,
    /// Its value.
    pub value: Value,
    /// The decisions of its holes in the order of the text.
    pub holes: Vec<usize>,
    /// The file it stands in.
    pub origin: Origin,
}

impl Op {
    /// Names of its attributes and named values.
    pub fn static_names(&self) -> Vec<&str> {
        static_names(&self.params, &self.statics)
    }
}

/// An operation defined in text.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Its name.
    pub name: ast::Ident,
    /// Its attributes.
    pub params: Vec<Param>,
    /// Number of tensor arguments; they are the first locals.
    pub args: usize,
    /// Named values and conditions between the bindings.
    pub statics: Vec<Static>,
    /// Tensors bound inside, each the next local.
    pub bindings: Vec<Expr>,
    /// The result.
    pub result: OpResult,
    /// The decisions of its holes in the order of the text; only an operation of a space has any.
    pub holes: Vec<usize>,
    /// The file it stands in; a diagnostic cannot show the text of another one.
    pub origin: Origin,
}

/// An attribute of an operation or cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: String,
    /// Its value where a use gives none; may read earlier attributes.
    pub default: Option<Value>,
}

/// A static statement of an operation, cell or net.
#[derive(Clone, Debug, PartialEq)]
pub struct Static {
    /// How many bindings or blocks are above it; it may ask about their tensors.
    pub after: usize,
    /// What it does.
    pub kind: StaticKind,
    /// The decisions of its holes in the order of the text.
    pub holes: Vec<usize>,
}

/// The forms of a static statement.
#[derive(Clone, Debug, PartialEq)]
pub enum StaticKind {
    /// `let half = c / 2`: the next parameter after those before it.
    Let {
        /// Its name.
        name: String,
        /// Its value.
        value: Value,
    },
    /// `require odd(k) : "..."`
    Require(Require),
}

/// A condition on a use.
#[derive(Clone, Debug, PartialEq)]
pub struct Require {
    /// The condition.
    pub cond: Value,
    /// The condition as it is written.
    pub text: String,
    /// The author's message, with `{name}` for the value of an attribute.
    pub message: Option<String>,
    /// The statement.
    pub span: Span,
}

/// How an operation's result is found.
#[derive(Clone, Debug, PartialEq)]
pub enum OpResult {
    /// Always the same expression.
    Always(Expr),
    /// The first arm whose condition holds.
    When {
        /// Conditions and results in order.
        arms: Vec<(Value, Expr)>,
        /// The result if no condition holds.
        otherwise: Option<Expr>,
    },
}

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell {
    /// Its name.
    pub name: ast::Ident,
    /// Its attributes.
    pub params: Vec<Param>,
    /// Its inputs, most recent first; the first locals.
    pub inputs: Vec<ast::Ident>,
    /// Its stride, 1 or more, where a stack gives none.
    pub stride: usize,
    /// Named values and conditions between the blocks.
    pub statics: Vec<Static>,
    /// Its blocks, each the next local.
    pub blocks: Vec<Block>,
    /// Its outputs in order, at least one.
    pub outputs: Vec<Output>,
    /// Whether another cell of its file repeats its text, `cell reduction(h, prev) = normal`.
    pub is_repeated: bool,
    /// The file it stands in.
    pub origin: Origin,
}

/// Names of attributes, then of the values named among `statics`: what [`ValueKind::Param`] counts.
fn static_names<'m>(params: &'m [Param], statics: &'m [Static]) -> Vec<&'m str> {
    let lets = statics.iter().filter_map(|statement| match &statement.kind {
        StaticKind::Let { name, .. } => Some(name.as_str()),
        StaticKind::Require(_) => None,
    });
    params.iter().map(|param| param.name.as_str()).chain(lets).collect()
}

impl Cell {
    /// Names of its attributes and named values.
    pub fn static_names(&self) -> Vec<&str> {
        static_names(&self.params, &self.statics)
    }

    /// Its blocks, then what its outputs compute.
    pub fn parts(&self) -> impl Iterator<Item = &Block> {
        self.blocks.iter().chain(self.outputs.iter().map(|output| &output.block))
    }
}

/// One output of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// What it computes; called `out`, or `out1`, `out2`, ... if there are several.
    pub block: Block,
    /// How many cells later it arrives; `None` for the one output of a cell that gives it to every
    /// later one.
    pub to: Option<usize>,
}

/// A named block of a cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// Its name.
    pub name: ast::Ident,
    /// What it computes.
    pub value: Expr,
    /// The decisions of its holes in the order the holes are read in the text.
    pub holes: Vec<usize>,
}

/// A tensor expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it was written.
    pub span: Span,
}

/// The forms of a tensor expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A named tensor.
    Local(LocalId),
    /// An operation applied to tensors.
    Apply {
        /// The operation.
        op: OpUse,
        /// Its arguments.
        args: Vec<Expr>,
    },
    /// Two tensors combined.
    Combine {
        /// How.
        combine: Combine,
        /// Left operand.
        left: Box<Expr>,
        /// Right operand.
        right: Box<Expr>,
    },
    /// One of several tensors.
    Choice {
        /// The decision.
        decision: usize,
        /// The alternatives.
        options: Vec<Expr>,
    },
    /// `concat(unused)`: every block that no other block read, each through `fixup`.
    ConcatUnused,
}

/// An operation with its attributes bound.
#[derive(Clone, Debug, PartialEq)]
pub struct OpUse {
    /// Which.
    pub kind: OpUseKind,
    /// Where it was written, attributes included.
    pub span: Span,
}

/// The forms of a use.
#[derive(Clone, Debug, PartialEq)]
pub enum OpUseKind {
    /// An operation of the module.
    Op {
        /// Which.
        op: OpId,
        /// One value a parameter; `None` takes the parameter's default.
        attrs: Vec<Option<Value>>,
    },
    /// A primitive.
    Primitive {
        /// Which.
        primitive: Primitive,
        /// One value an attribute of its signature; `None` takes the default.
        attrs: Vec<Option<Value>>,
    },
    /// One of several.
    Choice {
        /// The decision.
        decision: usize,
        /// The alternatives.
        options: Vec<OpUse>,
    },
}

/// How two tensors are combined.
#[derive(Clone, Debug, PartialEq)]
pub enum Combine {
    /// In one way.
    Fixed(CombineOp),
    /// In one of several.
    Choice {
        /// The decision.
        decision: usize,
        /// The alternatives.
        options: Vec<CombineUse>,
    },
}

/// An alternative of how to combine.
#[derive(Clone, Debug, PartialEq)]
pub enum CombineUse {
    /// An infix operator.
    Op(CombineOp),
    /// An operation of two tensors.
    Apply(OpUse),
}

/// A static value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// What it is.
    pub kind: ValueKind,
    /// Where it was written.
    pub span: Span,
}

/// The forms of a static value.
#[derive(Clone, Debug, PartialEq)]
pub enum ValueKind {
    /// A number.
    Int(i64),
    /// Height by width.
    Pair(Box<Value>, Box<Value>),
    /// Parameter of the operation or cell around, or a value named inside it, by index.
    Param(usize),
    /// A constant of the module, by index.
    Constant(usize),
    /// A name every place of its kind knows.
    Builtin(Builtin),
    /// `channels(x)`
    Channels(LocalId),
    /// `size(x)`
    SizeOf(LocalId),
    /// `odd(k)`
    Odd(Box<Value>),
    /// `params(cifar 6@768)`: only in a condition of a space.
    Cost {
        /// Which count.
        count: ClaimKind,
        /// The net's name.
        net: ast::Ident,
        /// N and F.
        scale: ast::ScaleLit,
    },
    /// `min(a, b)`
    Min(Box<Value>, Box<Value>),
    /// `max(a, b)`
    Max(Box<Value>, Box<Value>),
    /// Two values and an operator.
    Binary {
        /// The operator.
        op: ast::ValueOp,
        /// Left operand.
        left: Box<Value>,
        /// Right operand.
        right: Box<Value>,
    },
    /// `not x`
    Not(Box<Value>),
    /// One of several values.
    Choice {
        /// The decision.
        decision: usize,
        /// The alternatives.
        options: Vec<Value>,
    },
}

/// A static name that the language itself defines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// `c`: in a cell the cell's width; in a net the channels of the tensor at hand.
    Width,
    /// `stride`
    Stride,
    /// `size`: the cell's input resolution.
    Size,
    /// `first`: no cell comes before this one.
    First,
    /// `same`
    Same,
    /// `zeros`
    Zeros,
    /// `valid`
    Valid,
    /// `full`: a kernel as large as the map.
    Full,
    /// `true`
    True,
    /// `false`
    False,
    /// `base`: the width of the first cell, solved from F.
    Base,
    /// `classes`
    Classes,
    /// The net's first scale parameter.
    ScaleN,
    /// The net's second scale parameter.
    ScaleF,
}

/// A macro skeleton.
#[derive(Clone, Debug, PartialEq)]
pub struct Net {
    /// Its name.
    pub name: ast::Ident,
    /// Default image: height, width, channels.
    pub input: [usize; 3],
    /// Default number of classes.
    pub classes: usize,
    /// Named values and conditions.
    pub statics: Vec<Static>,
    /// From the image to the first cell.
    pub stem: Vec<OpUse>,
    /// The cells.
    pub stack: Vec<StackEntry>,
    /// From the last cell to the logits.
    pub head: Vec<OpUse>,
    /// The auxiliary head.
    pub aux: Option<Aux>,
    /// The file it stands in.
    pub origin: Origin,
}

impl Net {
    /// Names of its named values.
    pub fn static_names(&self) -> Vec<&str> {
        static_names(&[], &self.statics)
    }

    /// The cells of its stack in the order they are written, those in groups too.
    pub fn stacked(&self) -> Vec<&StackedCell> {
        fn collect<'n>(entries: &'n [StackEntry], found: &mut Vec<&'n StackedCell>) {
            for entry in entries {
                match &entry.item {
                    StackItem::Cell(cell) => found.push(cell),
                    StackItem::Group(entries) => collect(entries, found),
                }
            }
        }
        let mut found = Vec::new();
        collect(&self.stack, &mut found);
        found
    }
}

/// One entry of a stack.
#[derive(Clone, Debug, PartialEq)]
pub struct StackEntry {
    /// How often.
    pub times: Value,
    /// What.
    pub item: StackItem,
}

/// What an entry of a stack repeats.
#[derive(Clone, Debug, PartialEq)]
pub enum StackItem {
    /// A cell.
    Cell(StackedCell),
    /// Entries, repeated together.
    Group(Vec<StackEntry>),
}

/// A cell in a stack. Which cell the name stands for is known once there is a file with cells.
#[derive(Clone, Debug, PartialEq)]
pub struct StackedCell {
    /// The name of the cell.
    pub cell: ast::Ident,
    /// Values for its attributes, by name or in order.
    pub attrs: Vec<(Option<ast::Ident>, Value)>,
    /// Instead of the cell's own stride.
    pub stride: Option<usize>,
    /// How the width changes before it.
    pub width: Option<WidthChange>,
    /// True if the cell after it takes, beside this one's output, what this one took after its first
    /// input (slim's `skip_reduction_layer_input`).
    pub is_skipped: bool,
}

/// How the width changes before an entry of a stack.
#[derive(Clone, Debug, PartialEq)]
pub enum WidthChange {
    /// It is multiplied.
    Times(usize),
    /// It is set.
    At(Value),
}

/// An auxiliary classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct Aux {
    /// Stage after whose last cell it sits, counted from 1.
    pub stage: usize,
    /// From that cell to the auxiliary logits.
    pub stages: Vec<OpUse>,
}

/// A claim.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// The net's name.
    pub net: ast::Ident,
    /// N and F.
    pub scale: ast::ScaleLit,
    /// Height, width and channels of the image, if not the net's own.
    pub image: Option<[usize; 3]>,
    /// The number of classes, if not the net's own.
    pub classes: Option<usize>,
    /// What is claimed.
    pub claims: Vec<(ClaimKind, ast::Number)>,
    /// What papers print about the network; nothing says that it is right.
    pub published: Vec<Published>,
}

/// What a paper prints about a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Published {
    /// Where it is printed, such as a paper and one of its tables.
    pub source: String,
    /// What the network is called there.
    pub name: Option<String>,
    /// Parameters, whichever the paper counts.
    pub params: Option<ast::Figure>,
    /// Multiply-adds for one image.
    pub macs: Option<ast::Figure>,
}

/// Which count a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimKind {
    /// Trainable parameters without the auxiliary head.
    Params,
    /// Trainable parameters with the auxiliary head.
    ParamsWithAux,
    /// Parameters and batch-norm statistics without the auxiliary head.
    ParamsWithStatistics,
    /// Multiply-adds of convolutions and dense layers for one image, without the auxiliary head.
    Macs,
}

impl ClaimKind {
    /// Every kind.
    pub const ALL: [ClaimKind; 4] = [
        ClaimKind::Params,
        ClaimKind::ParamsWithAux,
        ClaimKind::ParamsWithStatistics,
        ClaimKind::Macs,
    ];

    /// Its name in a file.
    pub fn name(self) -> &'static str {
        match self {
            ClaimKind::Params => "params",
            ClaimKind::ParamsWithAux => "params_with_aux",
            ClaimKind::ParamsWithStatistics => "params_with_statistics",
            ClaimKind::Macs => "macs",
        }
    }
}
