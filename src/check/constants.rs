//! Constants: named static values of a file and of its space, each of which may read those above it.

use super::cells::SpaceParts;
use super::choices::{Holes, Renumber};
use super::exprs::{Builder, Place, Scope};
use super::names::Names;
use crate::diagnostic::Diagnostic;
use crate::ir::{Constant, Module, Origin, Value, ValueKind};

/// Resolves every constant of the file into `module`, those of its space into `parts` as well.
pub(super) fn resolve(
    names: &mut Names,
    parts: &mut SpaceParts,
    module: &mut Module,
    origin: Origin,
    faults: &mut Vec<Diagnostic>,
) {
    let own = std::mem::take(&mut names.own_constants);
    for (at, &(constant, in_space)) in own.iter().enumerate() {
        let place = Place::Constant { in_space, at };
        let scope = Scope { place, params: Vec::new(), locals: Vec::new() };
        let mut builder =
            Builder { names, op_params: &[], scope, holes: Holes::default(), stages: 0, faults };
        // After a fault another value stands in, so that the name is known where it is used.
        let mut value = builder
            .value(&constant.value)
            .unwrap_or(Value { kind: ValueKind::Int(0), span: constant.value.span });
        let name = &constant.name;
        let holes = builder.finish(&name.name, constant.span, &mut parts.decisions);
        value.renumber(&holes);
        names.constants.insert(name.name.clone(), module.constants.len());
        if in_space {
            parts.constants.push((module.constants.len(), constant.clone()));
        }
        module.constants.push(Constant { name: name.clone(), value, holes, origin });
    }
}
