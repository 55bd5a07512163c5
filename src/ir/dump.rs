//! Stable text of a module, for snapshots and `cellc show --stage ir`.
//!
//! Tensors are shown as `%0`, `%1`, ... in the order they are bound, attributes by name, holes as
//! `?3{ ... }` with the number of their decision.

use std::fmt;

use super::{
    Builtin, Cell, Combine, CombineUse, Expr, ExprKind, Module, Op, OpResult, OpUse, OpUseKind,
    Param, StackEntry, StackItem, Static, StaticKind, Value, ValueKind, WidthChange,
};
use crate::syntax::print;

impl fmt::Display for Module {
    /// The file's own definitions; those of other files are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for op in self.ops.iter().filter(|op| !op.origin.is_foreign()) {
            self.write_op(op, f)?;
        }
        for constant in self.constants.iter().filter(|constant| !constant.origin.is_foreign()) {
            writeln!(f, "let {} = {}", constant.name.name, self.value(&constant.value, &[]))?;
        }
        for cell in self.own_cells() {
            self.write_cell(cell, f)?;
        }
        for net in self.nets.iter().filter(|net| !net.origin.is_foreign()) {
            let stages = |stages: &[OpUse]| {
                stages.iter().map(|stage| self.op_use(stage, &[])).collect::<Vec<_>>().join(" |> ")
            };
            let [height, width, channels] = net.input;
            writeln!(
                f,
                "net {} {height}x{width}x{channels} classes {}",
                net.name.name, net.classes
            )?;
            let names = net.static_names();
            self.write_statics(&net.statics, &names, f)?;
            writeln!(f, "    stem {}", stages(&net.stem))?;
            self.write_stack(&net.stack, 4, &names, f)?;
            writeln!(f, "    head {}", stages(&net.head))?;
            if let Some(aux) = &net.aux {
                writeln!(f, "    aux after stage {} {}", aux.stage, stages(&aux.stages))?;
            }
        }
        for expect in &self.expects {
            let claims: Vec<String> = expect
                .claims
                .iter()
                .map(|(kind, value)| format!("{} {}", kind.name(), value.value))
                .collect();
            let (n, filters) = (expect.scale.n.value, expect.scale.f.value);
            write!(f, "expect {} {n}@{filters}", expect.net.name)?;
            if let Some([height, width, channels]) = expect.image {
                write!(f, " on {height}x{width}x{channels}")?;
            }
            if let Some(classes) = expect.classes {
                write!(f, " classes {classes}")?;
            }
            writeln!(f, " {}", claims.join(", "))?;
            for published in &expect.published {
                write!(f, "  published \"{}\"", published.source)?;
                if let Some(name) = &published.name {
                    write!(f, " as \"{name}\"")?;
                }
                for (name, figure) in [("params", published.params), ("macs", published.macs)] {
                    if let Some(figure) = figure {
                        write!(f, " {name} {figure}")?;
                    }
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

impl Module {
    fn write_op(&self, op: &Op, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let params = self.params(&op.params);
        let args: Vec<String> = (0..op.args).map(|at| format!("%{at}")).collect();
        writeln!(f, "op {}<{}>({})", op.name.name, params.join(", "), args.join(", "))?;
        let names = &op.static_names();
        self.write_statics(&op.statics, names, f)?;
        for (index, binding) in op.bindings.iter().enumerate() {
            writeln!(f, "    %{} = {}", op.args + index, self.expr(binding, names))?;
        }
        match &op.result {
            OpResult::Always(expr) => writeln!(f, "    {}", self.expr(expr, names)),
            OpResult::When { arms, otherwise } => {
                for (cond, expr) in arms {
                    let (cond, expr) = (self.value(cond, names), self.expr(expr, names));
                    writeln!(f, "    when {cond} => {expr}")?;
                }
                match otherwise {
                    Some(expr) => writeln!(f, "    otherwise => {}", self.expr(expr, names)),
                    None => Ok(()),
                }
            }
        }
    }

    fn write_cell(&self, cell: &Cell, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = cell.inputs.iter().enumerate();
        let inputs: Vec<String> =
            inputs.map(|(at, input)| format!("%{at} = {}", input.name)).collect();
        write!(f, "cell {}", cell.name.name)?;
        if !cell.params.is_empty() {
            write!(f, "<{}>", self.params(&cell.params).join(", "))?;
        }
        writeln!(f, "({}) stride {}", inputs.join(", "), cell.stride)?;
        let names = cell.static_names();
        self.write_statics(&cell.statics, &names, f)?;
        for (index, block) in cell.blocks.iter().enumerate() {
            let local = cell.inputs.len() + index;
            writeln!(f, "    %{local} {} = {}", block.name.name, self.expr(&block.value, &names))?;
        }
        for output in &cell.outputs {
            write!(f, "    out {}", self.expr(&output.block.value, &names))?;
            match output.to {
                Some(to) => writeln!(f, " to {to}")?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }

    /// Named values and conditions.
    fn write_statics(
        &self,
        statics: &[Static],
        names: &[&str],
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        for statement in statics {
            match &statement.kind {
                StaticKind::Let { name, value } => {
                    writeln!(f, "    let {name} = {}", self.value(value, names))?;
                }
                StaticKind::Require(require) => {
                    writeln!(f, "    require {}", self.value(&require.cond, names))?;
                }
            }
        }
        Ok(())
    }

    fn write_stack(
        &self,
        entries: &[StackEntry],
        indent: usize,
        names: &[&str],
        f: &mut fmt::Formatter<'_>,
    ) -> fmt::Result {
        for entry in entries {
            write!(f, "{:indent$}stack {} * ", "", self.value(&entry.times, names))?;
            let cell = match &entry.item {
                StackItem::Cell(cell) => cell,
                StackItem::Group(entries) => {
                    writeln!(f, "group")?;
                    self.write_stack(entries, indent + 4, names, f)?;
                    continue;
                }
            };
            if cell.is_skipped {
                write!(f, "skip ")?;
            }
            write!(f, "{}", cell.cell.name)?;
            for (name, value) in &cell.attrs {
                let name = name.as_ref().map(|name| format!("{} = ", name.name));
                write!(f, " {}{}", name.unwrap_or_default(), self.value(value, names))?;
            }
            if let Some(stride) = cell.stride {
                write!(f, " stride {stride}")?;
            }
            match &cell.width {
                None => writeln!(f)?,
                Some(WidthChange::Times(factor)) => writeln!(f, " widen {factor}")?,
                Some(WidthChange::At(width)) => writeln!(f, " at {}", self.value(width, names))?,
            }
        }
        Ok(())
    }

    fn params(&self, params: &[Param]) -> Vec<String> {
        let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
        params
            .iter()
            .map(|param| match &param.default {
                Some(default) => format!("{} = {}", param.name, self.value(default, &names)),
                None => param.name.clone(),
            })
            .collect()
    }

    fn expr(&self, expr: &Expr, names: &[&str]) -> String {
        let list = |exprs: &[Expr]| {
            exprs.iter().map(|expr| self.expr(expr, names)).collect::<Vec<_>>().join(", ")
        };
        match &expr.kind {
            ExprKind::Local(local) => format!("%{}", local.0),
            ExprKind::Apply { op, args } => format!("{}({})", self.op_use(op, names), list(args)),
            ExprKind::Combine { combine, left, right } => {
                let combine = match combine {
                    Combine::Fixed(op) => print::combine(*op).to_string(),
                    Combine::Choice { decision, options } => {
                        let option = |option: &CombineUse| match option {
                            CombineUse::Op(op) => print::combine(*op).to_string(),
                            CombineUse::Apply(op) => self.op_use(op, names),
                        };
                        let options: Vec<String> = options.iter().map(option).collect();
                        format!("?{decision}{{{}}}", options.join(", "))
                    }
                };
                format!("({} {combine} {})", self.expr(left, names), self.expr(right, names))
            }
            ExprKind::Choice { decision, options } => format!("?{decision}{{{}}}", list(options)),
            ExprKind::ConcatUnused => "concat(unused)".into(),
        }
    }

    pub(super) fn op_use(&self, op: &OpUse, names: &[&str]) -> String {
        let (name, specs, attrs): (&str, Vec<&str>, &[Option<Value>]) = match &op.kind {
            OpUseKind::Op { op, attrs } => {
                let op = &self.ops[op.0];
                (&op.name.name, op.params.iter().map(|param| param.name.as_str()).collect(), attrs)
            }
            OpUseKind::Primitive { primitive, attrs } => {
                (primitive.name(), primitive.attrs().iter().map(|spec| spec.name).collect(), attrs)
            }
            OpUseKind::Choice { decision, options } => {
                let options: Vec<String> =
                    options.iter().map(|option| self.op_use(option, names)).collect();
                return format!("?{decision}{{{}}}", options.join(", "));
            }
        };
        let attrs: Vec<String> = specs
            .iter()
            .zip(attrs)
            .filter_map(|(spec, attr)| {
                Some(format!("{spec} = {}", self.value(attr.as_ref()?, names)))
            })
            .collect();
        if attrs.is_empty() { name.into() } else { format!("{name}<{}>", attrs.join(", ")) }
    }

    /// A static value; `names` are the attributes of the operation around.
    pub(crate) fn value(&self, value: &Value, names: &[&str]) -> String {
        match &value.kind {
            ValueKind::Int(value) => value.to_string(),
            ValueKind::Pair(height, width) => {
                format!("{}x{}", self.value(height, names), self.value(width, names))
            }
            ValueKind::Param(index) => names.get(*index).copied().unwrap_or("?").to_string(),
            ValueKind::Constant(index) => self.constants[*index].name.name.clone(),
            ValueKind::Cost { count, net, scale } => {
                format!("{}({} {}@{})", count.name(), net.name, scale.n.value, scale.f.value)
            }
            ValueKind::Min(left, right) => {
                format!("min({}, {})", self.value(left, names), self.value(right, names))
            }
            ValueKind::Max(left, right) => {
                format!("max({}, {})", self.value(left, names), self.value(right, names))
            }
            ValueKind::Builtin(builtin) => builtin_name(*builtin).into(),
            ValueKind::Channels(local) => format!("channels(%{})", local.0),
            ValueKind::SizeOf(local) => format!("size(%{})", local.0),
            ValueKind::Odd(inner) => format!("odd({})", self.value(inner, names)),
            ValueKind::Binary { op, left, right } => {
                format!(
                    "({} {} {})",
                    self.value(left, names),
                    print::value_op(*op),
                    self.value(right, names)
                )
            }
            ValueKind::Not(inner) => format!("not {}", self.value(inner, names)),
            ValueKind::Choice { decision, options } => {
                let options: Vec<String> =
                    options.iter().map(|option| self.value(option, names)).collect();
                format!("?{decision}{{{}}}", options.join(", "))
            }
        }
    }
}

/// The name of a static name that the language defines.
pub(crate) fn builtin_name(builtin: Builtin) -> &'static str {
    match builtin {
        Builtin::Width => "c",
        Builtin::Stride => "stride",
        Builtin::Size => "size",
        Builtin::First => "first",
        Builtin::Same => "same",
        Builtin::Zeros => "zeros",
        Builtin::Valid => "valid",
        Builtin::Full => "full",
        Builtin::True => "true",
        Builtin::False => "false",
        Builtin::Base => "base",
        Builtin::Classes => "classes",
        Builtin::ScaleN => "N",
        Builtin::ScaleF => "F",
    }
}
