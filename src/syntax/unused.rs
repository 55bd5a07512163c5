//! What `concat(unused)` stands for, and the blocks of a `repeat`, written out.

use std::collections::BTreeSet;

use super::ast::{CellStmt, Expr, ExprKind, Ident, Output};

/// True if an output of the cell is `concat(unused)`.
pub(crate) fn reads_unused(statements: &[CellStmt]) -> bool {
    let is_unused = |output: &Output| {
        matches!(&output.value.kind, ExprKind::Call { args, .. }
            if matches!(args.as_slice(), [Expr { kind: ExprKind::Name(name), .. }] if name == "unused"))
    };
    statements.iter().any(
        |statement| matches!(statement, CellStmt::Out { outputs, .. } if outputs.iter().any(is_unused)),
    )
}

/// Writes each `repeat` out as the blocks that it stands for.
pub(crate) fn write_repeats_out(statements: &mut Vec<CellStmt>) {
    let written = std::mem::take(statements).into_iter().flat_map(|statement| match statement {
        CellStmt::Repeat { count, name, value, span } => (1..=count.value)
            .map(|number| CellStmt::Let {
                name: Ident { name: format!("{}{number}", name.name), span: name.span },
                value: value.clone(),
                span,
            })
            .collect(),
        CellStmt::Constant(_)
        | CellStmt::Require(_)
        | CellStmt::Let { .. }
        | CellStmt::Out { .. } => vec![statement],
    });
    *statements = written.collect();
}

/// Replaces `concat(unused)` by the names of the blocks that no block reads.
pub(crate) fn name_unused(statements: &mut [CellStmt]) {
    let mut read = BTreeSet::new();
    let mut bound = Vec::new();
    for statement in statements.iter() {
        if let CellStmt::Let { name, value, .. } = statement {
            bound.push(name.name.clone());
            note_reads(value, &mut read);
        }
    }
    let Some(CellStmt::Out { outputs, .. }) = statements.last_mut() else { return };
    for Output { value, .. } in outputs {
        let span = value.span;
        if let ExprKind::Call { args, .. } = &mut value.kind {
            let is_unused = matches!(args.as_slice(), [Expr { kind: ExprKind::Name(name), .. }]
                if name == "unused" && !bound.contains(name));
            if is_unused {
                let names = bound.iter().filter(|name| !read.contains(*name)).cloned();
                *args = names.map(|name| Expr { kind: ExprKind::Name(name), span }).collect();
            }
        }
    }
}

fn note_reads(expr: &Expr, read: &mut BTreeSet<String>) {
    match &expr.kind {
        ExprKind::Name(name) => {
            read.insert(name.clone());
        }
        ExprKind::Call { args, .. } => args.iter().for_each(|arg| note_reads(arg, read)),
        ExprKind::Choice(options) => {
            options.iter().for_each(|option| note_reads(&option.item, read));
        }
        ExprKind::Pipe { input, .. } => note_reads(input, read),
        ExprKind::Binary { left, right, .. } => {
            note_reads(left, read);
            note_reads(right, read);
        }
        ExprKind::Paren(inner) => note_reads(inner, read),
        ExprKind::Earlier => {}
    }
}
