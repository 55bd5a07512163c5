//! Phrases of the language out of the fuzzer's bytes: what is in scope is mostly what is named, so that
//! most of what is written means something.
//!
//! The first alternative of every choice is the smallest: bytes that have run out choose it, which ends
//! every recursion.

use arbitrary::Unstructured;

/// An operation that can be used: its name, which of its attributes must be given, and its tensors.
#[derive(Clone)]
pub struct Signature {
    pub name: String,
    pub params: Vec<(String, bool)>,
    pub arity: usize,
}

/// What the statement being written can name.
#[derive(Clone, Default)]
pub struct Scope {
    /// Tensors.
    pub tensors: Vec<String>,
    /// Static values.
    pub statics: Vec<String>,
    /// Operations of this file and those it uses.
    pub ops: Vec<Signature>,
    /// Option sets.
    pub sets: Vec<String>,
    /// Whether holes may stand here.
    pub has_holes: bool,
    /// Whether blocks of the cell are bound above, so that `?earlier` has options.
    pub has_earlier: bool,
    /// Whether bare operands are adapted, as they are in cells.
    pub is_cell: bool,
}

/// Operations of the prelude that keep a cell's shapes.
const FITTING: [&str; 14] = [
    "id",
    "sep<3>",
    "sep<5>",
    "max<3>",
    "avg<3>",
    "conv_bn<1>",
    "conv_bn<3>",
    "dil<3>",
    "factorized<3>",
    "squeeze",
    "fit",
    "se",
    "max<3, pad = same>",
    "sep<k = 3, s = stride>",
];

/// Primitives and operations that keep the shape they get.
const SHAPELESS: [&str; 9] = [
    "relu",
    "bn",
    "relu6",
    "sigmoid",
    "dropout",
    "layernorm",
    "instancenorm",
    "shift",
    "shuffle<1>",
];

/// What changes shapes or fails.
const OTHERS: [&str; 14] = [
    "conv<1, out = c>",
    "gap",
    "dense<c>",
    "slice<0, 1>",
    "halve",
    "fixup",
    "shrink",
    "zero",
    "zero<2>",
    "split<2, 1>",
    "conv<3, out = 2 * c, groups = 2>",
    "dense<c, bias = false>",
    "conv<full, pad = valid>",
    "auxiliary",
];

/// Kernels.
const KERNELS: [&str; 8] = ["3", "1", "5", "1x3", "7x1", "63", "full", "2"];

/// Numbers.
const NUMBERS: [&str; 14] = [
    "1",
    "2",
    "3",
    "0",
    "4",
    "5",
    "7",
    "12",
    "64",
    "100",
    "4K",
    "1.5K",
    "65_536",
    "9_223_372_036_854_775_807",
];

/// Words that mean something somewhere.
const WORDS: [&str; 16] = [
    "x", "unused", "stride", "c", "base", "relu", "id", "concat", "mul", "to", "at", "skip",
    "params", "k", "fixup", "earlier",
];

/// Writes one text.
pub struct Writer<'u, 'b> {
    pub bytes: &'u mut Unstructured<'b>,
}

impl Writer<'_, '_> {
    /// True once in `of` times.
    pub fn rarely(&mut self, of: u8) -> bool {
        // Not the value that bytes have when they have run out.
        self.below(usize::from(of)) == usize::from(of) - 1
    }

    /// A number below `count`; 0 when there are no more bytes.
    pub fn below(&mut self, count: usize) -> usize {
        self.bytes.int_in_range(0..=count.max(1) - 1).unwrap_or(0)
    }

    pub fn choose<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from[self.below(from.len())]
    }

    fn name_of(&mut self, from: &[String]) -> String {
        match from.len() {
            0 => self.choose(&WORDS).to_owned(),
            _ if self.rarely(60) => self.choose(&WORDS).to_owned(),
            count => from[self.below(count)].clone(),
        }
    }

    /// A name that is not bound yet.
    pub fn fresh(&mut self, stem: &str, taken: usize) -> String {
        match self.below(80) {
            78 => self.choose(&WORDS).to_owned(),
            79 => stem.to_owned(),
            _ => format!("{stem}{taken}"),
        }
    }

    /// A blank, a line break or a comment.
    pub fn gap(&mut self) -> &'static str {
        match self.below(40) {
            36 => "\n",
            37 => "\n\n\n",
            38 => " // a note\n",
            39 => "\n/// a comment\n",
            _ => " ",
        }
    }

    /// Several pieces between commas.
    pub fn list(&mut self, most: usize, mut piece: impl FnMut(&mut Self) -> String) -> String {
        let count = 1 + self.below(most);
        let mut text = piece(self);
        for _ in 1..count {
            text += ",";
            text += self.gap();
            text += &piece(self);
        }
        text
    }

    /// Options of a hole in braces, some with weights.
    fn options(&mut self, mut option: impl FnMut(&mut Self) -> String) -> String {
        let options = self.list(4, |writer| {
            let text = option(writer);
            if writer.rarely(6) { format!("{text}: {}", writer.choose(&NUMBERS)) } else { text }
        });
        let end = if self.rarely(8) { "," } else { "" };
        format!("?{{ {options}{end} }}")
    }

    /// A number, a name or a sum of them.
    pub fn value(&mut self, scope: &Scope, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        if depth == 0 {
            return self.choose(&NUMBERS[..6]).to_owned();
        }
        match self.below(14) {
            0..4 => self.choose(&NUMBERS).to_owned(),
            4..7 => self.name_of(&scope.statics),
            7 | 8 => {
                let op = self.choose(&["+", "*", "-", "/", "%"]);
                format!(
                    "{} {op}{}{}",
                    self.value(scope, depth),
                    self.gap(),
                    self.value(scope, depth)
                )
            }
            9 => format!("({})", self.value(scope, depth)),
            10 => {
                let function = self.choose(&["max", "min"]);
                format!("{function}({}, {})", self.value(scope, depth), self.value(scope, depth))
            }
            11 if !scope.tensors.is_empty() => {
                format!("channels({})", self.name_of(&scope.tensors))
            }
            12 if scope.has_holes => self.options(|writer| writer.value(scope, depth)),
            _ => self.choose(&["c", "stride", "1", "2"]).to_owned(),
        }
    }

    /// A condition.
    pub fn condition(&mut self, scope: &Scope, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        if depth == 0 {
            return self.choose(&["first", "true", "false"]).to_owned();
        }
        match self.below(10) {
            0..3 => {
                let compare = self.choose(&["==", ">=", "<", "!=", "<=", ">"]);
                format!("{} {compare} {}", self.value(scope, depth), self.value(scope, depth))
            }
            3 => self.choose(&["first", "true", "not first", "stride == 1"]).to_owned(),
            4 => format!("odd({})", self.value(scope, depth)),
            5 if !scope.tensors.is_empty() => {
                format!("size({}) == size", self.name_of(&scope.tensors))
            }
            6 if !scope.tensors.is_empty() => {
                format!("channels({}) == c", self.name_of(&scope.tensors))
            }
            7 => format!("not ({})", self.condition(scope, depth)),
            8 => format!("({})", self.condition(scope, depth)),
            _ => {
                let word = self.choose(&["and", "or"]);
                format!("{} {word} {}", self.condition(scope, depth), self.condition(scope, depth))
            }
        }
    }

    /// What may stand between `<` and `>`: comparisons in parentheses.
    fn attribute(&mut self, scope: &Scope) -> String {
        match self.below(12) {
            0..5 => self.choose(&KERNELS).to_owned(),
            5..10 => self.value(scope, 3),
            10 => format!("({})", self.condition(scope, 2)),
            _ => self.choose(&["same", "valid", "full", "stride", "kx1"]).to_owned(),
        }
    }

    /// Attributes for a use of something with these.
    pub fn attributes(&mut self, params: &[(String, bool)], scope: &Scope) -> String {
        let mut given = Vec::new();
        for (name, is_needed) in params {
            if *is_needed || self.rarely(3) {
                let value = self.attribute(scope);
                given.push(match self.rarely(2) || given.len() + 1 < params.len() {
                    true => format!("{name} = {value}"),
                    false => value,
                });
            }
        }
        if self.rarely(60) {
            given.push(self.attribute(scope));
        }
        if given.is_empty() { String::new() } else { format!("<{}>", given.join(", ")) }
    }

    /// An operation of one tensor that is not applied.
    pub fn stage(&mut self, scope: &Scope, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let own: Vec<Signature> = scope.ops.iter().filter(|op| op.arity == 1).cloned().collect();
        match self.below(16) {
            0..4 => self.choose(&SHAPELESS).to_owned(),
            4..8 => self.choose(&FITTING).to_owned(),
            8 => self.choose(&OTHERS).to_owned(),
            9 => {
                let window = self.choose(&["conv", "dwconv", "maxpool", "avgpool"]);
                format!("{window}<{}>", self.attribute(scope))
            }
            10 | 11 if scope.has_holes && depth > 0 => {
                self.options(|writer| writer.stage(scope, depth))
            }
            12 if scope.has_holes && !scope.sets.is_empty() => {
                format!("?{}", self.name_of(&scope.sets))
            }
            _ if !own.is_empty() => {
                let op = own[self.below(own.len())].clone();
                format!("{}{}", op.name, self.attributes(&op.params, scope))
            }
            _ => self.choose(&FITTING).to_owned(),
        }
    }

    /// A tensor.
    pub fn expr(&mut self, scope: &Scope, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        if depth == 0 {
            return self.name_of(&scope.tensors);
        }
        match self.below(18) {
            0..2 => self.name_of(&scope.tensors),
            2..5 => format!("{}({})", self.stage(scope, 2), self.expr(scope, depth)),
            5..7 => {
                let mut text = self.expr(scope, depth);
                for _ in 0..=self.below(4) {
                    text += self.gap();
                    text += "|> ";
                    text += &self.stage(scope, 2);
                }
                if self.rarely(2) { format!("({text})") } else { text }
            }
            7..10 => {
                let plus = self.choose(&["+", "+", "*"]);
                format!(
                    "{} {plus}{}{}",
                    self.expr(scope, depth),
                    self.gap(),
                    self.expr(scope, depth)
                )
            }
            10 => format!("({})", self.expr(scope, depth)),
            11 => {
                let parts = self.list(3, |writer| writer.expr(scope, depth));
                format!("concat({parts})")
            }
            12 => {
                let both = self.choose(&["mul", "mix"]);
                format!("{both}({}, {})", self.expr(scope, depth), self.expr(scope, depth))
            }
            13 if scope.has_holes => self.options(|writer| writer.expr(scope, depth)),
            14 if scope.has_holes => {
                let both = self.options(|writer| writer.combine(scope));
                format!("{} {both} {}", self.expr(scope, depth), self.expr(scope, depth))
            }
            15 if scope.has_earlier => {
                format!("{}(?earlier)", self.stage(scope, 2))
            }
            _ => self.call(scope, depth),
        }
    }

    /// A way to combine two tensors.
    fn combine(&mut self, scope: &Scope) -> String {
        let own: Vec<String> =
            scope.ops.iter().filter(|op| op.arity == 2).map(|op| op.name.clone()).collect();
        match self.below(8) {
            0..3 => "+".to_owned(),
            3 => "*".to_owned(),
            4 | 5 => "concat".to_owned(),
            6 if !own.is_empty() => self.name_of(&own),
            _ => self.choose(&["mix", "mul", "+"]).to_owned(),
        }
    }

    /// A call of an operation of the file.
    fn call(&mut self, scope: &Scope, depth: usize) -> String {
        if scope.ops.is_empty() {
            return format!("id({})", self.expr(scope, depth));
        }
        let op = scope.ops[self.below(scope.ops.len())].clone();
        let attributes = self.attributes(&op.params, scope);
        let arguments: Vec<String> = (0..op.arity).map(|_| self.expr(scope, depth)).collect();
        format!("{}{attributes}({})", op.name, arguments.join(", "))
    }
}
