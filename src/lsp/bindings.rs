//! Where the names of operations, cells and nets are bound inside them.

use super::names::Owner;
use crate::source::Span;
use crate::syntax::ast::{Cell, CellBody, CellStmt, Ident, Net, NetItem, Op, OpBody, OpStmt};

/// Where the tensor of this name is bound in a cell; the blocks of a `repeat` where its stem stands.
pub(super) fn tensor_of_cell(cell: &Cell, name: &str) -> Option<Span> {
    if let Some(input) = cell.inputs.iter().find(|input| input.name == name) {
        return Some(input.span);
    }
    let CellBody::Block(statements) = &cell.body else { return None };
    statements.iter().find_map(|statement| match statement {
        CellStmt::Let { name: bound, .. } => (bound.name == name).then_some(bound.span),
        CellStmt::Repeat { count, name: stem, .. } => {
            let number = name.strip_prefix(stem.name.as_str())?;
            let is_number = !number.starts_with(['0', '+'])
                && number.parse().is_ok_and(|number: u64| number <= count.value);
            (number.is_empty() || is_number).then_some(stem.span)
        }
        CellStmt::Constant(_) | CellStmt::Require(_) | CellStmt::Out { .. } => None,
    })
}

/// Where the tensor of this name is bound in an operation.
pub(super) fn tensor_of_op(op: &Op, name: &str) -> Option<Span> {
    if let Some(arg) = op.args.iter().find(|arg| arg.name == name) {
        return Some(arg.span);
    }
    let OpBody::Block(statements) = &op.body else { return None };
    statements.iter().find_map(|statement| match statement {
        OpStmt::Let { name: bound, .. } => (bound.name == name).then_some(bound.span),
        OpStmt::Constant(_)
        | OpStmt::Require(_)
        | OpStmt::When { .. }
        | OpStmt::Otherwise { .. }
        | OpStmt::Result(_) => None,
    })
}

/// Where an attribute, a scale or a named value of a definition is declared.
pub(super) fn static_of(owner: Owner<'_>, name: &str) -> Option<Span> {
    let declared = match owner {
        Owner::Op(op) => op_statics(op),
        Owner::Cell(cell) => cell_statics(cell),
        Owner::Net(net) => net_statics(net),
        Owner::File => Vec::new(),
    };
    declared.into_iter().find(|ident| ident.name == name).map(|ident| ident.span)
}

fn op_statics(op: &Op) -> Vec<&Ident> {
    let mut found: Vec<&Ident> = op.params.iter().map(|param| &param.name).collect();
    let statements = match &op.body {
        OpBody::Short(_) => return found,
        OpBody::Block(statements) => statements,
    };
    found.extend(statements.iter().filter_map(|statement| match statement {
        OpStmt::Constant(constant) => Some(&constant.name),
        OpStmt::Require(_)
        | OpStmt::Let { .. }
        | OpStmt::When { .. }
        | OpStmt::Otherwise { .. }
        | OpStmt::Result(_) => None,
    }));
    found
}

fn cell_statics(cell: &Cell) -> Vec<&Ident> {
    let mut found: Vec<&Ident> = cell.params.iter().map(|param| &param.name).collect();
    let statements = match &cell.body {
        CellBody::SameAs(_) => return found,
        CellBody::Block(statements) => statements,
    };
    found.extend(statements.iter().filter_map(|statement| match statement {
        CellStmt::Constant(constant) => Some(&constant.name),
        CellStmt::Require(_)
        | CellStmt::Let { .. }
        | CellStmt::Repeat { .. }
        | CellStmt::Out { .. } => None,
    }));
    found
}

fn net_statics(net: &Net) -> Vec<&Ident> {
    let constants = net.items.iter().filter_map(|item| match item {
        NetItem::Constant(constant) => Some(&constant.name),
        NetItem::Require(_)
        | NetItem::Input { .. }
        | NetItem::Classes { .. }
        | NetItem::Stem { .. }
        | NetItem::Stack { .. }
        | NetItem::Head { .. }
        | NetItem::Aux { .. } => None,
    });
    net.params.iter().chain(constants).collect()
}
