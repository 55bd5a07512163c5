//! What a file defines: one name, one meaning.
//!
//! Definitions may hide those of other files; primitives and the language's own static names
//! cannot be hidden. Cells of the file and of its space share one namespace, since a net finds cells by
//! name.

use std::collections::BTreeMap;

use crate::diagnostic::{Code, Diagnostic, Diagnostics, suggest};
use crate::ir::{self, Builtin, Module, OpId, Origin, Primitive, Scopes};
use crate::source::Span;
use crate::syntax::ast::{self, Ident, Item, SpaceItem};

/// The names a file can use.
pub(super) struct Names<'a> {
    /// Operations that the file sees.
    pub ops: BTreeMap<String, OpId>,
    /// Number of operations of other files; the file's follow in order.
    pub first_own_op: usize,
    /// For each operation, by index, whether each of its attributes must be given.
    pub required: Vec<Vec<bool>>,
    /// Constants that the file sees.
    pub constants: BTreeMap<String, usize>,
    /// The operations to resolve with whether they stand in a space, in the order of their ids.
    pub own_ops: Vec<(&'a ast::Op, bool)>,
    /// The constants to resolve with whether they stand in a space, in order.
    pub own_constants: Vec<(&'a ast::Constant, bool)>,
    /// Where the file's constants stand among them.
    pub constant_places: BTreeMap<&'a str, usize>,
    /// Option sets of the file's space.
    pub sets: BTreeMap<&'a str, &'a [ast::Alternative<ast::OpRef>]>,
    /// Cells with the space they stand in, in order.
    pub cells: Vec<(&'a ast::Cell, bool)>,
    /// The cells by name.
    pub cell_of: BTreeMap<&'a str, &'a ast::Cell>,
    /// The file's space.
    pub space: Option<&'a ast::Space>,
    /// What names mean in other files.
    pub scopes: Scopes,
}

/// Static names of the language and what they mean.
pub(crate) const BUILTINS: [(&str, Builtin); 12] = [
    ("c", Builtin::Width),
    ("stride", Builtin::Stride),
    ("size", Builtin::Size),
    ("first", Builtin::First),
    ("same", Builtin::Same),
    ("zeros", Builtin::Zeros),
    ("valid", Builtin::Valid),
    ("full", Builtin::Full),
    ("true", Builtin::True),
    ("false", Builtin::False),
    ("base", Builtin::Base),
    ("classes", Builtin::Classes),
];

/// Collects definitions and reports names defined twice.
pub(super) fn declare<'a>(
    file: &'a ast::File,
    module: &mut Module,
    origin: Origin,
    faults: &mut Vec<Diagnostic>,
) -> Names<'a> {
    let first_own_op = module.ops.len();
    let mut names = Names {
        ops: module
            .ops
            .iter()
            .enumerate()
            .filter(|(_, op)| module.does_see(Origin::Own, op.origin))
            .map(|(at, op)| (op.name.name.clone(), OpId(at)))
            .collect(),
        first_own_op,
        required: module
            .ops
            .iter()
            .map(|op| op.params.iter().map(|param| param.default.is_none()).collect())
            .collect(),
        constants: module
            .constants
            .iter()
            .enumerate()
            .filter(|(_, constant)| module.does_see(Origin::Own, constant.origin))
            .map(|(at, constant)| (constant.name.name.clone(), at))
            .collect(),
        own_ops: Vec::new(),
        own_constants: Vec::new(),
        constant_places: BTreeMap::new(),
        sets: BTreeMap::new(),
        cells: Vec::new(),
        cell_of: BTreeMap::new(),
        space: None,
        scopes: Scopes::of(module),
    };
    let mut seen = Seen::default();
    for item in &file.items {
        match item {
            Item::Use(_) => {}
            Item::Constant(constant) => names.constant(constant, false, &mut seen, faults),
            Item::Op(op) => names.op(op, false, module, origin, &mut seen, faults),
            Item::Cell(cell) => {
                seen.note("cell", &cell.name, faults);
                names.cells.push((cell, false));
                names.cell_of.insert(&cell.name.name, cell);
            }
            Item::Space(space) => {
                if let Some(first) = names.space {
                    faults.push(
                        Diagnostic::new(
                            Code::MalformedSpace,
                            space.name.span,
                            "a file holds at most one space",
                        )
                        .also(first.name.span, "the first one")
                        .note("move one of them to a file of its own"),
                    );
                    continue;
                }
                names.space = Some(space);
                for item in &space.items {
                    match item {
                        SpaceItem::Options { name, options, .. } => {
                            if name.name == "earlier" {
                                faults.push(
                                    Diagnostic::new(
                                        Code::DuplicateName,
                                        name.span,
                                        "`?earlier` already means the blocks before a hole",
                                    )
                                    .note("choose another name for the option set"),
                                );
                            }
                            seen.note("option set", name, faults);
                            names.sets.insert(&name.name, options);
                        }
                        SpaceItem::Constant(constant) => {
                            names.constant(constant, true, &mut seen, faults);
                        }
                        SpaceItem::Op(op) => {
                            names.op(op, true, module, origin, &mut seen, faults);
                        }
                        SpaceItem::Require(_) => {}
                        SpaceItem::Cell(cell) => {
                            seen.note("cell", &cell.name, faults);
                            names.cells.push((cell, true));
                            names.cell_of.insert(&cell.name.name, cell);
                        }
                    }
                }
            }
            Item::Net(net) => seen.note("net", &net.name, faults),
            Item::Expect(_) => {}
        }
    }
    names
}

impl<'a> Names<'a> {
    fn op(
        &mut self,
        op: &'a ast::Op,
        in_space: bool,
        module: &mut Module,
        origin: Origin,
        seen: &mut Seen,
        faults: &mut Vec<Diagnostic>,
    ) {
        if Primitive::of(&op.name.name).is_some() {
            faults.push(
                Diagnostic::new(
                    Code::DuplicateName,
                    op.name.span,
                    format!("`{}` is a primitive and cannot be redefined", op.name.name),
                )
                .note("choose another name for the operation"),
            );
        }
        seen.note("operation", &op.name, faults);
        self.ops.insert(op.name.name.clone(), OpId(module.ops.len()));
        self.own_ops.push((op, in_space));
        self.required.push(op.params.iter().map(|param| param.default.is_none()).collect());
        module.ops.push(ir::Op {
            name: op.name.clone(),
            params: op
                .params
                .iter()
                .map(|param| ir::Param { name: param.name.name.clone(), default: None })
                .collect(),
            args: op.args.len(),
            statics: Vec::new(),
            bindings: Vec::new(),
            result: ir::OpResult::When { arms: Vec::new(), otherwise: None },
            holes: Vec::new(),
            origin,
        });
    }

    /// The operation that a name means, one that [`Names::alias_of_op`] gave included.
    pub fn find_op(&self, name: &str) -> Option<OpId> {
        self.ops.get(name).copied().or_else(|| alias(name).map(OpId))
    }

    /// The constant that a name means, one that [`Names::alias_of_constant`] gave included.
    pub fn find_constant(&self, name: &str) -> Option<usize> {
        self.constants.get(name).copied().or_else(|| alias(name))
    }

    /// What text copied from another file has to call an operation by that its own file calls `name`;
    /// none if this file calls it the same.
    pub fn alias_of_op(&self, origin: Origin, name: &str) -> Option<String> {
        let op = self.scopes.op(origin, name)?;
        (self.ops.get(name) != Some(&op)).then(|| format!("{name}{ALIAS}{}", op.0))
    }

    /// The same for a constant; a name that nothing in this file can hide.
    pub fn alias_of_constant(&self, origin: Origin, name: &str) -> Option<String> {
        self.scopes.constant(origin, name).map(|constant| format!("{name}{ALIAS}{constant}"))
    }

    fn constant(
        &mut self,
        constant: &'a ast::Constant,
        in_space: bool,
        seen: &mut Seen,
        faults: &mut Vec<Diagnostic>,
    ) {
        if BUILTINS.iter().any(|(known, _)| *known == constant.name.name) {
            faults.push(has_meaning("constant", &constant.name));
        }
        seen.note("constant", &constant.name, faults);
        self.constant_places.insert(&constant.name.name, self.own_constants.len());
        self.own_constants.push((constant, in_space));
    }
}

/// Stands between a name and the index of what it means, in copies of text whose names have another
/// meaning in the file they are copied to. No file can write it.
const ALIAS: char = '@';

/// The index in a name that was given to a copy.
pub(crate) fn alias(name: &str) -> Option<usize> {
    name.split_once(ALIAS).and_then(|(_, index)| index.parse().ok())
}

/// Names seen so far, by what they name.
#[derive(Default)]
pub(super) struct Seen(BTreeMap<(&'static str, String), Span>);

impl Seen {
    /// Notes a definition; reports it if the name was defined before.
    pub(super) fn note(&mut self, what: &'static str, name: &Ident, faults: &mut Vec<Diagnostic>) {
        let key = (what, name.name.clone());
        if let Some(&first) = self.0.get(&key) {
            faults.push(
                Diagnostic::new(
                    Code::DuplicateName,
                    name.span,
                    format!("{what} `{}` is defined twice", name.name),
                )
                .label("defined again here")
                .also(first, "first defined here")
                .note("rename or remove one of them"),
            );
        } else {
            self.0.insert(key, name.span);
        }
    }
}

/// The fault of a name that would hide one of the language's own.
pub(super) fn has_meaning(what: &str, name: &Ident) -> Diagnostic {
    Diagnostic::new(
        Code::DuplicateName,
        name.span,
        format!("`{}` already has a meaning in the language", name.name),
    )
    .note(format!("choose another name for the {what}"))
}

/// How many faults a file may have before unknown names are told without help, far more than are shown: each
/// is compared with every known name.
const HELPED: usize = 10 * Diagnostics::SHOWN;

/// The fault of a name that nothing defines, with the nearest name that something does unless there were too
/// many faults `before`.
pub(super) fn unknown<'c>(
    what: &str,
    name: &str,
    span: Span,
    known: impl IntoIterator<Item = &'c str>,
    before: &[Diagnostic],
) -> Diagnostic {
    let fault = Diagnostic::new(Code::UnknownName, span, format!("unknown {what} `{name}`"));
    if before.len() >= HELPED {
        return fault;
    }
    let known: Vec<&str> = known.into_iter().collect();
    match suggest::nearest(name, known.iter().copied()) {
        Some(near) => {
            let why = format!("{what} `{near}` has a similar name");
            fault.respell(span, name, near, known.iter().copied(), why)
        }
        None if known.is_empty() => fault.note(format!("there is no {what} here")),
        None => {
            let shown: Vec<String> =
                known.iter().take(12).map(|name| format!("`{name}`")).collect();
            let more = known.len().saturating_sub(shown.len());
            let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
            fault.note(format!("known here: {}{tail}", shown.join(", ")))
        }
    }
}
