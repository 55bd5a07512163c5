//! Pairs of the generated parser to the tree, one function for each rule or family of rules.
//!
//! The grammar guarantees the parts that a function takes from its pair. What the grammar accepts for
//! the sake of better messages (operations that are not applied, statements out of order, chains of
//! comparisons) is refused here. Brackets nest at most [`MAX_NESTING`] deep when a pair gets here;
//! chains of operators, which become left-deep trees, are counted against the same limit.

mod expr;
mod published;
mod value;

use pest::iterators::{Pair, Pairs};

use super::ast::*;
use super::grammar::Rule;
use super::scan::{MAX_NESTING, too_deep};
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;

/// Builds trees from the pairs of one parse.
pub(super) struct Builder<'f> {
    /// Where the parsed text starts in the file.
    shift: usize,
    /// Levels of nesting round the node being built.
    depth: usize,
    /// True once nesting too deep has been reported: it tends to come in thousands.
    is_too_deep: bool,
    /// What was found wrong; a tree built beside a fault holds placeholders.
    faults: &'f mut Vec<Diagnostic>,
}

impl<'f> Builder<'f> {
    /// A builder for a parse of the text that starts at `shift`.
    pub(super) fn new(shift: usize, faults: &'f mut Vec<Diagnostic>) -> Self {
        Builder { shift, depth: 0, is_too_deep: false, faults }
    }

    /// The items of a `file` or `lone_item`.
    pub(super) fn items(&mut self, root: Pair<'_, Rule>) -> Vec<Item> {
        root.into_inner()
            .filter(|pair| pair.as_rule() == Rule::item)
            .map(|pair| self.item(first(pair)))
            .collect()
    }

    fn item(&mut self, pair: Pair<'_, Rule>) -> Item {
        self.is_too_deep = false;
        match pair.as_rule() {
            Rule::used => Item::Use(self.used(pair)),
            Rule::constant => Item::Constant(self.constant(pair)),
            Rule::op => Item::Op(self.op(pair)),
            Rule::cell => Item::Cell(self.cell(pair)),
            Rule::space => Item::Space(self.space(pair)),
            Rule::net => Item::Net(self.net(pair)),
            Rule::expect => Item::Expect(self.expect(pair)),
            rule => unreachable!("`item` has no alternative {rule:?}"),
        }
    }

    fn used(&mut self, pair: Pair<'_, Rule>) -> Use {
        let span = self.span(&pair);
        Use { path: self.string(&only(pair, Rule::string)), span }
    }

    fn constant(&mut self, pair: Pair<'_, Rule>) -> Constant {
        let span = self.span(&pair);
        let mut parts = pair.into_inner().filter(is_rule(&[Rule::name, Rule::value]));
        let name = self.ident(&next(&mut parts));
        self.usable_in_values(&name);
        Constant { name, value: self.value(next(&mut parts)), span }
    }

    fn op(&mut self, pair: Pair<'_, Rule>) -> Op {
        let span = self.span(&pair);
        let mut name = None;
        let mut params = Vec::new();
        let mut args = Vec::new();
        let mut body = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(self.ident(&part)),
                Rule::params => params = self.each(part, Rule::param, Self::param),
                Rule::arguments => args = self.names(part),
                Rule::op_short => body = Some(OpBody::Short(self.expr(only(part, Rule::expr)))),
                Rule::op_block => {
                    let name = name.as_ref().expect("the name of an op precedes its body");
                    body = Some(OpBody::Block(self.op_block(part, name)));
                }
                _ => {}
            }
        }
        Op {
            name: name.expect("`op` has a name"),
            params,
            args,
            body: body.expect("`op` has a body"),
            span,
        }
    }

    fn param(&mut self, pair: Pair<'_, Rule>) -> Param {
        let mut parts = pair.into_inner();
        let name = self.ident(&next(&mut parts));
        self.usable_in_values(&name);
        let default = parts.find(|part| part.as_rule() == Rule::attr_value);
        Param { name, default: default.map(|part| self.value(part)) }
    }

    /// A name such as `kxk` or `bx2` would read as a pair wherever it is used.
    fn usable_in_values(&mut self, name: &Ident) {
        let Some((height, width)) = name.name.split_once('x') else { return };
        let is_letter = |side: &str| matches!(side.as_bytes(), [b'a'..=b'w' | b'y' | b'z']);
        let is_digits = |side: &str| !side.is_empty() && side.bytes().all(|b| b.is_ascii_digit());
        if is_letter(height) && (is_letter(width) || is_digits(width)) {
            self.faults.push(
                Diagnostic::new(
                    Code::UnusableName,
                    name.span,
                    format!(
                        "expected the name of an attribute, found the pair `{}`",
                        shorten(&name.name)
                    ),
                )
                .label(format!("a value reads this as `{height}` by `{}`", shorten(width)))
                .note("choose a name that is not a letter, `x` and a letter or number"),
            );
        }
    }

    fn op_block(&mut self, pair: Pair<'_, Rule>, op: &Ident) -> Vec<OpStmt> {
        let span = self.span(&pair);
        let stmts = self.each(pair, Rule::op_stmt, Self::op_stmt);
        self.check_order(&stmts, op, span);
        stmts
    }

    fn op_stmt(&mut self, pair: Pair<'_, Rule>) -> OpStmt {
        let span = self.span(&pair);
        let pair = first(pair);
        match pair.as_rule() {
            Rule::constant => OpStmt::Constant(self.constant(pair)),
            Rule::require => OpStmt::Require(self.require(pair)),
            Rule::binding => {
                let (name, value) = self.binding(pair);
                OpStmt::Let { name, value, span }
            }
            Rule::arm => {
                let mut parts = pair.into_inner().filter(is_rule(&[Rule::value, Rule::expr]));
                let cond = self.value(next(&mut parts));
                let value = self.expr(next(&mut parts));
                OpStmt::When { cond, value, span }
            }
            Rule::otherwise => OpStmt::Otherwise { value: self.expr(only(pair, Rule::expr)), span },
            Rule::expr => OpStmt::Result(self.expr(pair)),
            rule => unreachable!("`op_stmt` has no alternative {rule:?}"),
        }
    }

    /// Conditions and bindings, then one result, or arms and at most one `otherwise` after them.
    fn check_order(&mut self, stmts: &[OpStmt], op: &Ident, body: Span) {
        let misplaced =
            |span, message: String| Diagnostic::new(Code::MisplacedStatement, span, message);
        let mut closed_by: Option<&OpStmt> = None;
        let mut arms: Option<&OpStmt> = None;
        for stmt in stmts {
            if let Some(last) = closed_by {
                let what = match last {
                    OpStmt::Otherwise { .. } => "`otherwise`",
                    _ => "the result",
                };
                self.faults.push(
                    misplaced(
                        stmt.span(),
                        format!("expected `}}` after {what}, found {}", stmt_words(stmt)),
                    )
                    .also(last.span(), format!("{what} is the last statement")),
                );
                return;
            }
            match stmt {
                OpStmt::When { .. } => arms = arms.or(Some(stmt)),
                OpStmt::Otherwise { span, value } => {
                    if arms.is_none() {
                        let case = Span::new(span.start, value.span.start);
                        let why = "an operation without cases ends in its result alone";
                        self.faults.push(
                            misplaced(*span, "expected a `when` before `otherwise`".to_owned())
                                .replace(case, "", why),
                        );
                        return;
                    }
                    closed_by = Some(stmt);
                }
                OpStmt::Constant(_)
                | OpStmt::Require(_)
                | OpStmt::Let { .. }
                | OpStmt::Result(_) => {
                    if let Some(arm) = arms {
                        self.faults.push(
                            misplaced(
                                stmt.span(),
                                format!(
                                    "expected `when`, `otherwise` or `}}`, found {}",
                                    stmt_words(stmt)
                                ),
                            )
                            .also(arm.span(), "the cases start here"),
                        );
                        return;
                    }
                    if matches!(stmt, OpStmt::Result(_)) {
                        closed_by = Some(stmt);
                    }
                }
            }
        }
        if closed_by.is_none() && arms.is_none() {
            let brace = Span::new(body.end - 1, body.end);
            self.faults.push(
                misplaced(
                    brace,
                    format!("expected the result of `{}` before `}}`", shorten(&op.name)),
                )
                .also(op.span, "this operation gives nothing")
                .note("end the body in an expression, such as `x |> relu`"),
            );
        }
    }

    fn require(&mut self, pair: Pair<'_, Rule>) -> Require {
        let span = self.span(&pair);
        let mut cond = None;
        let mut message = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::value => cond = Some(self.value(part)),
                Rule::string => message = Some(self.string(&part)),
                _ => {}
            }
        }
        Require { cond: cond.expect("`require` has a condition"), message, span }
    }

    fn binding(&mut self, pair: Pair<'_, Rule>) -> (Ident, Expr) {
        let mut parts = pair.into_inner().filter(is_rule(&[Rule::name, Rule::expr]));
        let name = self.ident(&next(&mut parts));
        (name, self.expr(next(&mut parts)))
    }

    fn cell(&mut self, pair: Pair<'_, Rule>) -> Cell {
        let span = self.span(&pair);
        let mut name = None;
        let mut params = Vec::new();
        let mut inputs = Vec::new();
        let mut stride = None;
        let mut body = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(self.ident(&part)),
                Rule::params => params = self.each(part, Rule::param, Self::param),
                Rule::arguments => inputs = self.names(part),
                Rule::stride => stride = Some(self.number(&only(part, Rule::number))),
                Rule::cell_same => {
                    body = Some(CellBody::SameAs(self.cell_use(only(part, Rule::cell_use))));
                }
                Rule::cell_block => {
                    body = Some(CellBody::Block(self.each(part, Rule::cell_stmt, Self::cell_stmt)));
                }
                _ => {}
            }
        }
        Cell {
            name: name.expect("`cell` has a name"),
            params,
            inputs,
            stride,
            body: body.expect("`cell` has a body"),
            span,
        }
    }

    fn cell_use(&mut self, pair: Pair<'_, Rule>) -> CellUse {
        let span = self.span(&pair);
        let (name, attrs) = self.name_and_attrs(pair);
        CellUse { name, attrs, span }
    }

    fn cell_stmt(&mut self, pair: Pair<'_, Rule>) -> CellStmt {
        let span = self.span(&pair);
        let pair = first(pair);
        match pair.as_rule() {
            Rule::binding => {
                let (name, value) = self.binding(pair);
                CellStmt::Let { name, value, span }
            }
            Rule::constant => CellStmt::Constant(self.constant(pair)),
            Rule::require => CellStmt::Require(self.require(pair)),
            Rule::output => {
                CellStmt::Out { outputs: self.each(pair, Rule::sent, Self::output), span }
            }
            Rule::repeat => {
                let mut parts =
                    pair.into_inner().filter(is_rule(&[Rule::number, Rule::name, Rule::expr]));
                let count = self.number(&next(&mut parts));
                let name = self.ident(&next(&mut parts));
                CellStmt::Repeat { count, name, value: self.expr(next(&mut parts)), span }
            }
            rule => unreachable!("`cell_stmt` has no alternative {rule:?}"),
        }
    }

    fn output(&mut self, pair: Pair<'_, Rule>) -> Output {
        let mut parts = pair.into_inner();
        let value = self.expr(next(&mut parts));
        let to = parts.next().map(|to| self.number(&only(to, Rule::number)));
        Output { value, to }
    }

    fn space(&mut self, pair: Pair<'_, Rule>) -> Space {
        let span = self.span(&pair);
        let mut parts = pair.into_inner().filter(is_rule(&[Rule::name, Rule::space_item]));
        let name = self.ident(&next(&mut parts));
        Space { name, items: parts.map(|part| self.space_item(first(part))).collect(), span }
    }

    fn space_item(&mut self, pair: Pair<'_, Rule>) -> SpaceItem {
        match pair.as_rule() {
            Rule::constant => SpaceItem::Constant(self.constant(pair)),
            Rule::require => SpaceItem::Require(self.require(pair)),
            Rule::op => SpaceItem::Op(self.op(pair)),
            Rule::cell => SpaceItem::Cell(self.cell(pair)),
            Rule::options => self.options(pair),
            rule => unreachable!("`space_item` has no alternative {rule:?}"),
        }
    }

    fn options(&mut self, pair: Pair<'_, Rule>) -> SpaceItem {
        let span = self.span(&pair);
        let mut parts = pair.into_inner().filter(is_rule(&[Rule::name, Rule::op_choice]));
        let name = self.ident(&next(&mut parts));
        if name.name == "earlier" {
            self.faults.push(
                Diagnostic::new(
                    Code::UnusableName,
                    name.span,
                    "expected the name of an option set, found `earlier`",
                )
                .label("`?earlier` already chooses among earlier blocks")
                .note("choose another name"),
            );
        }
        SpaceItem::Options { name, options: self.op_choice(next(&mut parts)), span }
    }

    fn net(&mut self, pair: Pair<'_, Rule>) -> Net {
        let span = self.span(&pair);
        let mut name = None;
        let mut params = Vec::new();
        let mut items = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(self.ident(&part)),
                Rule::net_params => params = self.names(part),
                Rule::net_item => items.push(self.net_item(first(part))),
                _ => {}
            }
        }
        params.iter().for_each(|name| self.usable_in_values(name));
        Net { name: name.expect("`net` has a name"), params, items, span }
    }

    fn net_item(&mut self, pair: Pair<'_, Rule>) -> NetItem {
        let span = self.span(&pair);
        match pair.as_rule() {
            Rule::constant => NetItem::Constant(self.constant(pair)),
            Rule::require => NetItem::Require(self.require(pair)),
            Rule::input => NetItem::Input { dims: self.dims(&only(pair, Rule::dims)), span },
            Rule::classes => {
                NetItem::Classes { count: self.number(&only(pair, Rule::number)), span }
            }
            Rule::stem => NetItem::Stem { stages: self.stages(only(pair, Rule::stages)), span },
            Rule::head => NetItem::Head { stages: self.stages(only(pair, Rule::stages)), span },
            Rule::stack => NetItem::Stack {
                entries: self.each(pair, Rule::stack_entry, Self::stack_entry),
                span,
            },
            Rule::aux => {
                let mut parts = pair.into_inner().filter(is_rule(&[Rule::number, Rule::stages]));
                let stage = self.number(&next(&mut parts));
                NetItem::Aux { stage, stages: self.stages(next(&mut parts)), span }
            }
            rule => unreachable!("`net_item` has no alternative {rule:?}"),
        }
    }

    fn stack_entry(&mut self, pair: Pair<'_, Rule>) -> StackEntry {
        let span = self.span(&pair);
        let mut times = None;
        let mut what = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::times => times = Some(self.value_atom(first(part))),
                Rule::stacked => what = Some(StackItem::Cell(self.stacked(part))),
                Rule::stack_group => {
                    // The scan has bounded how deep groups nest.
                    let entries = self.each(part, Rule::stack_entry, Self::stack_entry);
                    what = Some(StackItem::Group(entries));
                }
                _ => {}
            }
        }
        StackEntry { times, what: what.expect("an entry of `stack` has a cell or a group"), span }
    }

    fn stacked(&mut self, pair: Pair<'_, Rule>) -> StackedCell {
        let mut is_skipped = false;
        let mut cell = None;
        let mut stride = None;
        let mut width = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::skip => is_skipped = true,
                Rule::cell_use => cell = Some(self.cell_use(part)),
                Rule::stride => stride = Some(self.number(&only(part, Rule::number))),
                Rule::at => width = Some(WidthChange::At(self.value(only(part, Rule::value_sum)))),
                Rule::number => width = Some(WidthChange::Times(self.number(&part))),
                _ => {}
            }
        }
        let cell = cell.expect("an entry of `stack` names a cell");
        StackedCell { is_skipped, cell, stride, width }
    }

    fn expect(&mut self, pair: Pair<'_, Rule>) -> Expect {
        let span = self.span(&pair);
        let mut parts = pair.clone().into_inner().filter(is_rule(&[Rule::name, Rule::scale]));
        let net = self.ident(&next(&mut parts));
        let scale = self.scale(&next(&mut parts));
        let (mut image, mut classes) = (None, None);
        let (mut claims, mut published) = (Vec::new(), Vec::new());
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::on => image = Some(self.dims(&only(part, Rule::dims))),
                Rule::classes => classes = Some(self.number(&only(part, Rule::number))),
                Rule::claim => claims.push(self.claim(part)),
                Rule::published => published.push(self.published(part)),
                _ => {}
            }
        }
        Expect { net, scale, image, classes, claims, published, span }
    }

    fn claim(&mut self, pair: Pair<'_, Rule>) -> Claim {
        let mut parts = pair.into_inner();
        let name = self.ident(&next(&mut parts));
        Claim { name, value: self.number(&next(&mut parts)) }
    }

    /// Builds every direct part of one rule.
    fn each<T>(
        &mut self,
        pair: Pair<'_, Rule>,
        rule: Rule,
        build: fn(&mut Self, Pair<'_, Rule>) -> T,
    ) -> Vec<T> {
        pair.into_inner()
            .filter(|part| part.as_rule() == rule)
            .map(|part| build(self, part))
            .collect()
    }

    fn names(&mut self, pair: Pair<'_, Rule>) -> Vec<Ident> {
        self.each(pair, Rule::name, |builder, name| builder.ident(&name))
    }

    fn ident(&self, pair: &Pair<'_, Rule>) -> Ident {
        Ident { name: pair.as_str().to_owned(), span: self.span(pair) }
    }

    fn string(&self, pair: &Pair<'_, Rule>) -> StringLit {
        let quoted = pair.as_str();
        StringLit { text: quoted[1..quoted.len() - 1].to_owned(), span: self.span(pair) }
    }

    fn number(&mut self, pair: &Pair<'_, Rule>) -> Number {
        self.digits(pair.as_str(), self.span(pair).start)
    }

    /// An option of a hole: what `item` builds of its first part, and its weight.
    fn alternative<T>(
        &mut self,
        pair: Pair<'_, Rule>,
        item: fn(&mut Self, Pair<'_, Rule>) -> T,
    ) -> Alternative<T> {
        let mut parts = pair.into_inner();
        let item = item(self, next(&mut parts));
        let weight = parts.next().map(|weight| self.number(&only(weight, Rule::number)));
        Alternative { item, weight }
    }

    /// The numbers of a literal in which they are separated by one character each.
    fn numbers(&mut self, pair: &Pair<'_, Rule>, separator: char) -> Vec<Number> {
        let mut start = self.span(pair).start;
        pair.as_str()
            .split(separator)
            .map(|digits| {
                let number = self.digits(digits, start);
                start = number.span.end + separator.len_utf8();
                number
            })
            .collect()
    }

    fn dims(&mut self, pair: &Pair<'_, Rule>) -> [Number; 3] {
        self.numbers(pair, 'x').try_into().expect("`dims` has three numbers")
    }

    fn scale(&mut self, pair: &Pair<'_, Rule>) -> ScaleLit {
        let [n, f] = self.numbers(pair, '@').try_into().expect("`scale` has two numbers");
        ScaleLit { n, f, span: self.span(pair) }
    }

    fn digits(&mut self, digits: &str, start: usize) -> Number {
        let span = Span::new(start, start + digits.len());
        let value = number_of(digits).unwrap_or_else(|| {
            self.faults.push(
                Diagnostic::new(
                    Code::NumberTooLarge,
                    span,
                    format!(
                        "expected a whole number of at most {}, found `{}`",
                        u64::MAX,
                        shorten(digits)
                    ),
                )
                .label("is not whole or does not fit into 64 bits"),
            );
            0
        });
        Number { value, span }
    }

    /// Goes `levels` deeper, unless that is too deep, which is reported at `span`.
    fn enter(&mut self, levels: usize, span: Span) -> bool {
        if self.depth + levels > MAX_NESTING {
            if !self.is_too_deep {
                self.faults.push(too_deep(span));
            }
            self.is_too_deep = true;
            return false;
        }
        self.depth += levels;
        true
    }

    fn leave(&mut self, levels: usize) {
        self.depth -= levels;
    }

    /// From the first to the last token of a pair. A pair whose last part is absent ends, for pest,
    /// after the blanks and comments it looked past.
    fn span(&self, pair: &Pair<'_, Rule>) -> Span {
        /// How far back the start of the last line is looked for, so that the search is no burden where
        /// long lines nest.
        const NEAR: usize = 128;
        let start = pair.as_span().start();
        let text = pair.as_str().trim_ascii_end();
        let last_line = text.as_bytes().iter().rev().take(NEAR).position(|&byte| byte == b'\n');
        let line_start = last_line.or((text.len() <= NEAR).then_some(text.len()));
        if let Some(len) = line_start
            && !text.as_bytes()[text.len() - len..].windows(2).any(|pair| pair == b"//")
        {
            // Without a comment in its last line, it ends in its last token.
            return Span::new(start + self.shift, start + text.len() + self.shift);
        }
        let mut last = pair.clone();
        while let Some(inner) = last.clone().into_inner().next_back() {
            last = inner;
        }
        Span::new(start + self.shift, last.as_span().end() + self.shift)
    }

    /// From the first to the last token of pairs in a row.
    fn span_of(&self, row: &[Pair<'_, Rule>]) -> Span {
        let [first, .., last] = row else { return self.span(&row[0]) };
        self.span(first).to(self.span(last))
    }
}

/// The value of `3_346_538`, `4M` or `2.35B`; `None` if it is not whole or too large.
fn number_of(literal: &str) -> Option<u64> {
    let plain: String = literal.chars().filter(|&digit| digit != '_').collect();
    let (plain, zeros) = match plain.strip_suffix(['K', 'M', 'B']) {
        None => (plain.as_str(), 0),
        Some(rest) => (
            rest,
            if plain.ends_with('K') {
                3
            } else if plain.ends_with('M') {
                6
            } else {
                9
            },
        ),
    };
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let fraction = fraction.trim_end_matches('0');
    let missing = usize::checked_sub(zeros, fraction.len())?;
    format!("{whole}{fraction}{}", "0".repeat(missing)).parse().ok()
}

/// The first part of a pair.
fn first(pair: Pair<'_, Rule>) -> Pair<'_, Rule> {
    next(&mut pair.into_inner())
}

/// The next part, which the grammar guarantees.
fn next<'i>(parts: &mut impl Iterator<Item = Pair<'i, Rule>>) -> Pair<'i, Rule> {
    parts.next().expect("a part that the rule in cell.pest always has")
}

/// The one part of a pair that is of this rule.
fn only(pair: Pair<'_, Rule>, rule: Rule) -> Pair<'_, Rule> {
    let mut parts: Pairs<'_, Rule> = pair.into_inner();
    parts.find(|part| part.as_rule() == rule).expect("a part that the rule in cell.pest always has")
}

/// For `filter`: pairs of these rules.
fn is_rule(rules: &'static [Rule]) -> impl Fn(&Pair<'_, Rule>) -> bool {
    |pair| rules.contains(&pair.as_rule())
}

fn stmt_words(stmt: &OpStmt) -> &'static str {
    match stmt {
        OpStmt::Constant(_) => "`let`",
        OpStmt::Require(_) => "`require`",
        OpStmt::Let { .. } => "a binding",
        OpStmt::When { .. } => "`when`",
        OpStmt::Otherwise { .. } => "`otherwise`",
        OpStmt::Result(_) => "another result",
    }
}

/// A piece of the user's text that fits into a message.
pub(super) fn shorten(text: &str) -> String {
    const LONGEST: usize = 40;
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}...", &text[..at]),
    }
}
