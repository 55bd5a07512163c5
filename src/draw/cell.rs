//! A cell as boxes: its inputs, a group for each block, its output.

use super::Kind;
use super::diagram::{Arg, Diagram, Group};
use super::label::Labels;
use crate::check::FIXUP;
use crate::ir::{Block, Cell, Combine, Expr, ExprKind, LocalId, Module, OpUseKind, Primitive};
use crate::space::Genotype;

/// How many options of a hole are written into its box.
const SHOWN_OPTIONS: usize = 5;

/// How many tensors a hole chooses between are written into its box.
const SHOWN_TENSORS: usize = 3;

/// Draws a cell, with its holes filled by `genotype` if there is one.
pub(super) fn diagram(module: &Module, cell: &Cell, genotype: Option<&Genotype>) -> Diagram {
    let title = match cell.stride {
        1 => cell.name.name.clone(),
        stride => format!("{}, stride {stride}", cell.name.name),
    };
    let mut builder = Builder {
        module,
        labels: Labels { module, genotype, names: cell.static_names() },
        inputs: cell.inputs.len(),
        reads: vec![Read::Never; cell.inputs.len() + cell.blocks.len()],
        candidates: Vec::new(),
        diagram: Diagram { title, nodes: Vec::new(), groups: Vec::new() },
    };
    for input in &cell.inputs {
        let root = builder.diagram.node(Kind::Input, vec![input.name.clone()], Vec::new());
        builder.group(root, false);
    }
    for block in &cell.blocks {
        let root = builder.block(block);
        builder.group(root, false);
    }
    for output in &cell.outputs {
        let arg = builder.expr(&output.block.value);
        let mut lines = vec![output.block.name.name.clone()];
        lines.extend(output.to.map(|to| match to {
            1 => "to the next cell".into(),
            to => format!("to cell + {to}"),
        }));
        let root = builder.diagram.node(Kind::Output, lines, vec![arg]);
        builder.group(root, true);
    }
    builder.diagram
}

/// Whether a block reads a tensor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Read {
    Never,
    /// If a hole is filled so.
    Possibly,
    Always,
}

struct Builder<'m> {
    module: &'m Module,
    labels: Labels<'m>,
    /// Number of the cell's inputs. Input and block `i` are group `i`, as they are local `i`.
    inputs: usize,
    /// For each of these, whether a block so far reads it.
    reads: Vec<Read>,
    /// What the open holes of the group at hand choose between.
    candidates: Vec<usize>,
    diagram: Diagram,
}

impl Builder<'_> {
    fn group(&mut self, root: usize, is_last: bool) {
        let candidates = std::mem::take(&mut self.candidates);
        self.diagram.groups.push(Group { root, is_last, candidates });
    }

    /// The box of a block's result.
    fn block(&mut self, block: &Block) -> usize {
        let root = match self.expr(&block.value) {
            Arg::Node(node) => node,
            // A second name for a tensor has no box that the name could stand at.
            arg @ Arg::Group { .. } => {
                self.diagram.node(Kind::Identity, vec!["=".into()], vec![arg])
            }
        };
        self.diagram.nodes[root].caption = Some(block.name.name.clone());
        root
    }

    fn expr(&mut self, expr: &Expr) -> Arg {
        match &expr.kind {
            ExprKind::Local(local) => self.read(*local),
            ExprKind::Apply { op, args } => {
                if let [arg] = args.as_slice()
                    && op.span == arg.span
                    && self.is_fixup(&op.kind)
                {
                    return self.expr(arg);
                }
                let kind = self.labels.kind(op);
                let lines = match &op.kind {
                    OpUseKind::Choice { decision, options }
                        if self.labels.choice(*decision).is_none() =>
                    {
                        hole_lines(options.iter().map(|option| self.labels.op(option)).collect())
                    }
                    OpUseKind::Op { .. }
                    | OpUseKind::Primitive { .. }
                    | OpUseKind::Choice { .. } => vec![self.labels.op(op)],
                };
                let args = args.iter().map(|arg| self.expr(arg)).collect();
                Arg::Node(self.diagram.node(kind, lines, args))
            }
            ExprKind::Combine { combine, left, right } => {
                let args = vec![self.expr(left), self.expr(right)];
                let kind = match combine {
                    Combine::Choice { decision, .. } if self.labels.choice(*decision).is_none() => {
                        Kind::Hole
                    }
                    Combine::Fixed(_) | Combine::Choice { .. } => Kind::Combination,
                };
                Arg::Node(self.diagram.node(kind, vec![self.labels.combine(combine)], args))
            }
            ExprKind::Choice { decision, options } => match self.labels.choice(*decision) {
                Some(taken) => self.expr(&options[taken]),
                None => self.open_choice(*decision, options),
            },
            ExprKind::ConcatUnused => self.concat_unused(),
        }
    }

    fn read(&mut self, local: LocalId) -> Arg {
        self.reads[local.0] = Read::Always;
        Arg::Group { group: local.0, is_possible: false }
    }

    /// True for the operation that `check` wraps around the bare operands of `out concat(...)`.
    fn is_fixup(&self, op: &OpUseKind) -> bool {
        match op {
            OpUseKind::Op { op, .. } => self.module.ops[op.0].name.name == FIXUP,
            OpUseKind::Primitive { .. } | OpUseKind::Choice { .. } => false,
        }
    }

    /// One of several tensors, still open: a box that lists them.
    fn open_choice(&mut self, decision: usize, options: &[Expr]) -> Arg {
        for option in options {
            self.note_candidates(option);
        }
        let texts = self.labels.options(decision);
        let list = match texts {
            [first, second, .., last] if texts.len() > SHOWN_TENSORS => {
                format!("{first}, {second}, ... {last}")
            }
            _ => texts.join(", "),
        };
        Arg::Node(self.diagram.node(Kind::Hole, vec![format!("? {list}")], Vec::new()))
    }

    /// Notes what an option reads if it is taken.
    fn note_candidates(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Local(local) => {
                self.reads[local.0] = self.reads[local.0].max(Read::Possibly);
                self.candidates.push(local.0);
            }
            ExprKind::Apply { args, .. } | ExprKind::Choice { options: args, .. } => {
                args.iter().for_each(|arg| self.note_candidates(arg));
            }
            ExprKind::Combine { left, right, .. } => {
                self.note_candidates(left);
                self.note_candidates(right);
            }
            ExprKind::ConcatUnused => {}
        }
    }

    fn concat_unused(&mut self) -> Arg {
        let args: Vec<Arg> = (self.inputs..self.reads.len())
            .filter(|&block| self.reads[block] != Read::Always)
            .map(|block| Arg::Group {
                group: block,
                is_possible: self.reads[block] == Read::Possibly,
            })
            .collect();
        let is_open = args.iter().any(|arg| matches!(arg, Arg::Group { is_possible: true, .. }));
        let label = if is_open { "concat unused" } else { Primitive::Concat.name() };
        Arg::Node(self.diagram.node(Kind::Combination, vec![label.into()], args))
    }
}

/// The lines of a hole: its first options, and how many there are if these are not all.
fn hole_lines(options: Vec<String>) -> Vec<String> {
    let all = options.len();
    let mut lines = vec!["?".to_string()];
    if all <= SHOWN_OPTIONS {
        lines.extend(options);
    } else {
        lines.extend(options.into_iter().take(SHOWN_OPTIONS - 1));
        lines.push(format!("... {all} in all"));
    }
    lines
}
