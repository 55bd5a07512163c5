//! What is written into the boxes of operations and combinations.
//!
//! Operations of the prelude that the paper's figures name are written as there (`sep 5x5`,
//! `identity`), every other as in a file (`se<8>`).

use super::Kind;
use crate::check::IDENTITY;
use crate::ir::{
    Combine, CombineOp, CombineUse, Module, OpUse, OpUseKind, Origin, Primitive, Value, ValueKind,
};
use crate::space::Genotype;
use crate::syntax::print;

/// Writes labels of one module's operations.
pub(super) struct Labels<'m> {
    /// The module.
    pub module: &'m Module,
    /// What is chosen, if anything is.
    pub genotype: Option<&'m Genotype>,
    /// Names of the attributes and named values of the cell or net.
    pub names: Vec<&'m str>,
}

impl Labels<'_> {
    /// The option taken of a decision, `None` if it is open.
    pub(super) fn choice(&self, decision: usize) -> Option<usize> {
        self.genotype.map(|genotype| genotype.choices[decision])
    }

    /// The options of a decision as they are written in the file.
    pub(super) fn options(&self, decision: usize) -> &[String] {
        let space = self.module.space.as_ref().expect("check::exprs allows holes only in a space");
        &space.decisions.decisions[decision].options
    }

    /// What kind of box a use is.
    pub(super) fn kind(&self, op: &OpUse) -> Kind {
        let (kind, attrs) = match &op.kind {
            OpUseKind::Op { op, attrs } => {
                let op = &self.module.ops[op.0];
                let is_identity = op.origin == Origin::Prelude && op.name.name == IDENTITY;
                (if is_identity { Kind::Identity } else { Kind::Operation }, attrs)
            }
            OpUseKind::Primitive { primitive: Primitive::Concat | Primitive::Mul, attrs } => {
                (Kind::Combination, attrs)
            }
            OpUseKind::Primitive { attrs, .. } => (Kind::Operation, attrs),
            OpUseKind::Choice { decision, options } => {
                return match self.choice(*decision) {
                    Some(taken) => self.kind(&options[taken]),
                    None => Kind::Hole,
                };
            }
        };
        if attrs.iter().flatten().any(|value| self.is_open(value)) { Kind::Hole } else { kind }
    }

    /// An operation on one line.
    pub(super) fn op(&self, op: &OpUse) -> String {
        match &op.kind {
            OpUseKind::Op { op, attrs } => {
                let op = &self.module.ops[op.0];
                let names: Vec<&str> = op.params.iter().map(|param| param.name.as_str()).collect();
                let name = op.name.name.as_str();
                match (op.origin == Origin::Prelude, name) {
                    (true, IDENTITY) => "identity".into(),
                    (true, "sep" | "dil" | "avg" | "max") => self.window(name, &names, attrs),
                    (true, "conv_bn") => self.window("conv", &names, attrs),
                    (true, "factorized") => self.factorized(&names, attrs),
                    _ => self.as_written(name, &names, attrs),
                }
            }
            OpUseKind::Primitive { primitive, attrs } => {
                let names: Vec<&str> = primitive.attrs().iter().map(|spec| spec.name).collect();
                match primitive {
                    Primitive::Conv
                    | Primitive::DepthwiseConv
                    | Primitive::MaxPool
                    | Primitive::AvgPool => self.window(primitive.name(), &names, attrs),
                    Primitive::BatchNorm
                    | Primitive::Relu
                    | Primitive::Sigmoid
                    | Primitive::GlobalAvgPool
                    | Primitive::Dense
                    | Primitive::Dropout
                    | Primitive::Shift
                    | Primitive::Concat
                    | Primitive::Mul
                    | Primitive::LayerNorm
                    | Primitive::InstanceNorm
                    | Primitive::Relu6
                    | Primitive::Shuffle
                    | Primitive::Slice
                    | Primitive::Mix
                    | Primitive::Zero => self.as_written(primitive.name(), &names, attrs),
                }
            }
            OpUseKind::Choice { decision, options } => match self.choice(*decision) {
                Some(taken) => self.op(&options[taken]),
                None => {
                    let options: Vec<String> = options.iter().map(|op| self.op(op)).collect();
                    format!("?{{{}}}", options.join(", "))
                }
            },
        }
    }

    /// A way to combine, or those that are open.
    pub(super) fn combine(&self, combine: &Combine) -> String {
        match combine {
            Combine::Fixed(op) => combine_word(*op).into(),
            Combine::Choice { decision, options } => match self.choice(*decision) {
                Some(taken) => self.combine_use(&options[taken]),
                None => {
                    let words: Vec<String> =
                        options.iter().map(|option| self.combine_use(option)).collect();
                    format!("? {}", words.join(", "))
                }
            },
        }
    }

    fn combine_use(&self, option: &CombineUse) -> String {
        match option {
            CombineUse::Op(op) => combine_word(*op).into(),
            CombineUse::Apply(op) => self.op(op),
        }
    }

    /// An operation whose first attribute is the size of a window: `sep 5x5`, `max 3x3, s = 2`.
    fn window(&self, word: &str, names: &[&str], attrs: &[Option<Value>]) -> String {
        let Some((Some(kernel), rest)) = attrs.split_first() else {
            return self.as_written(word, names, attrs);
        };
        let kernel = self.value(kernel);
        let is_number = kernel.bytes().all(|byte| byte.is_ascii_digit());
        let mut text = if is_number {
            format!("{word} {kernel}x{kernel}")
        } else {
            format!("{word} {kernel}")
        };
        for attr in self.named(&names[1..], rest) {
            text += &format!(", {attr}");
        }
        text
    }

    /// `factorized<7>` as the paper calls it.
    fn factorized(&self, names: &[&str], attrs: &[Option<Value>]) -> String {
        match attrs.split_first() {
            Some((Some(Value { kind: ValueKind::Int(k), .. }), rest))
                if rest.iter().all(Option::is_none) =>
            {
                format!("1x{k} then {k}x1")
            }
            _ => self.window("factorized", names, attrs),
        }
    }

    /// An operation as in a file: the first attribute by position, the others by name.
    fn as_written(&self, word: &str, names: &[&str], attrs: &[Option<Value>]) -> String {
        let mut list = Vec::new();
        let mut at = 0;
        if let Some(Some(first)) = attrs.first() {
            list.push(self.value(first));
            at = 1;
        }
        list.extend(self.named(&names[at..], &attrs[at..]));
        if list.is_empty() { word.into() } else { format!("{word}<{}>", list.join(", ")) }
    }

    fn named(&self, names: &[&str], attrs: &[Option<Value>]) -> Vec<String> {
        names
            .iter()
            .zip(attrs)
            .filter_map(|(name, value)| Some(format!("{name} = {}", self.value(value.as_ref()?))))
            .collect()
    }

    /// A static value on one line.
    pub(super) fn value(&self, value: &Value) -> String {
        match &value.kind {
            ValueKind::Int(_)
            | ValueKind::Param(_)
            | ValueKind::Constant(_)
            | ValueKind::Builtin(_)
            | ValueKind::Channels(_)
            | ValueKind::SizeOf(_)
            | ValueKind::Cost { .. } => self.module.value(value, &self.names),
            ValueKind::Min(left, right) => {
                format!("min({}, {})", self.value(left), self.value(right))
            }
            ValueKind::Max(left, right) => {
                format!("max({}, {})", self.value(left), self.value(right))
            }
            ValueKind::Pair(height, width) => {
                format!("{}x{}", self.value(height), self.value(width))
            }
            ValueKind::Odd(inner) => format!("odd({})", self.value(inner)),
            ValueKind::Not(inner) => format!("not {}", self.value(inner)),
            ValueKind::Binary { op, left, right } => {
                format!("{} {} {}", self.part(left), print::value_op(*op), self.part(right))
            }
            ValueKind::Choice { decision, options } => match self.choice(*decision) {
                Some(taken) => self.value(&options[taken]),
                None => {
                    let options: Vec<String> =
                        options.iter().map(|option| self.value(option)).collect();
                    format!("?{{{}}}", options.join(", "))
                }
            },
        }
    }

    /// An operand of a binary value.
    fn part(&self, value: &Value) -> String {
        match &value.kind {
            ValueKind::Binary { .. } | ValueKind::Not(_) => format!("({})", self.value(value)),
            ValueKind::Int(_)
            | ValueKind::Param(_)
            | ValueKind::Constant(_)
            | ValueKind::Builtin(_)
            | ValueKind::Channels(_)
            | ValueKind::SizeOf(_)
            | ValueKind::Cost { .. }
            | ValueKind::Min(..)
            | ValueKind::Max(..)
            | ValueKind::Pair(..)
            | ValueKind::Odd(_)
            | ValueKind::Choice { .. } => self.value(value),
        }
    }

    /// True if a value depends on a hole that is open.
    fn is_open(&self, value: &Value) -> bool {
        match &value.kind {
            ValueKind::Int(_)
            | ValueKind::Param(_)
            | ValueKind::Builtin(_)
            | ValueKind::Channels(_)
            | ValueKind::SizeOf(_)
            | ValueKind::Cost { .. } => false,
            ValueKind::Constant(index) => self.is_open(&self.module.constants[*index].value),
            ValueKind::Pair(left, right)
            | ValueKind::Min(left, right)
            | ValueKind::Max(left, right)
            | ValueKind::Binary { left, right, .. } => self.is_open(left) || self.is_open(right),
            ValueKind::Odd(inner) | ValueKind::Not(inner) => self.is_open(inner),
            ValueKind::Choice { decision, options } => match self.choice(*decision) {
                Some(taken) => self.is_open(&options[taken]),
                None => true,
            },
        }
    }
}

fn combine_word(op: CombineOp) -> &'static str {
    match op {
        CombineOp::Add => "add",
        CombineOp::Mul => "mul",
        CombineOp::Concat => "concat",
    }
}
