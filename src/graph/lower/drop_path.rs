//! Drop path on the edges of a cell: which operands of a combination have it.

use super::{Frame, Lowering};
use crate::check::IDENTITY;
use crate::graph::{NodeId, Op};
use crate::ir::{Expr, ExprKind, LocalId, OpUse, OpUseKind, Primitive};

/// What an operand of a combination comes down to, once the holes are filled.
enum Edge {
    /// A name, as it is or through identities only.
    Bare,
    /// An operation on a name, or on whatever else it reads.
    Operation {
        /// The name, if all that is between is operations of one operand.
        of: Option<LocalId>,
    },
    /// A combination, whose own operands are edges.
    Combination,
}

impl Lowering<'_> {
    /// Builds an operand of a combination in a cell, dropped at times if it is an operation.
    pub(super) fn edge(&mut self, operand: &Expr, frame: &mut Frame) -> Option<NodeId> {
        let node = self.expr(operand, frame)?;
        let Edge::Operation { of } = self.edge_of(operand) else { return Some(node) };
        // An operation such as DARTS's `skip_connect` is an identity where it has nothing to do.
        let is_operand = of.is_some_and(|of| frame.locals[of.0] == Some(node));
        let is_zero = matches!(self.graph.node(node).op, Op::Zero { .. });
        if !self.drop_path || is_operand || is_zero {
            return Some(node);
        }
        self.wire(Op::DropPath, &[node], &[None], frame, operand.span)
    }

    fn edge_of(&self, operand: &Expr) -> Edge {
        let mut operand = operand;
        loop {
            operand = match &operand.kind {
                ExprKind::Local(_) => return Edge::Bare,
                ExprKind::Choice { decision, options } => &options[self.genotype[*decision]],
                ExprKind::Combine { .. } | ExprKind::ConcatUnused => return Edge::Combination,
                ExprKind::Apply { op, args } => match (self.chosen(op), args.as_slice()) {
                    (op, [arg]) if self.is_identity(op) => arg,
                    (op, [arg]) if !is_concat(op) => {
                        return Edge::Operation { of: self.source(arg) };
                    }
                    _ => return Edge::Combination,
                },
            };
        }
    }

    /// The name that operations of one operand are applied to.
    fn source(&self, operand: &Expr) -> Option<LocalId> {
        let mut operand = operand;
        loop {
            operand = match &operand.kind {
                ExprKind::Local(local) => return Some(*local),
                ExprKind::Choice { decision, options } => &options[self.genotype[*decision]],
                ExprKind::Apply { args, .. } if args.len() == 1 => &args[0],
                ExprKind::Apply { .. } | ExprKind::Combine { .. } | ExprKind::ConcatUnused => {
                    return None;
                }
            };
        }
    }

    fn is_identity(&self, op: &OpUse) -> bool {
        matches!(op.kind, OpUseKind::Op { op, .. } if self.module.ops[op.0].name.name == IDENTITY)
    }
}

/// True for a concatenation, also of one operand.
fn is_concat(op: &OpUse) -> bool {
    matches!(op.kind, OpUseKind::Primitive { primitive: Primitive::Concat, .. })
}
