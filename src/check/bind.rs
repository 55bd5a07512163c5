//! Attributes to parameters: a named one to its parameter, a positional one to the first parameter that
//! no attribute before it took.

use super::names::unknown;
use crate::diagnostic::{Code, Diagnostic};
use crate::source::Span;
use crate::syntax::ast;
use crate::syntax::print;

/// For each parameter the index of the attribute that goes to it; `None` after reporting a fault.
/// `specs` has the parameters' names and whether each must be given.
pub(super) fn places(
    callee: &str,
    specs: &[(&str, bool)],
    attrs: &[ast::Attr],
    span: Span,
    faults: &mut Vec<Diagnostic>,
) -> Option<Vec<Option<usize>>> {
    let before = faults.len();
    let mut places: Vec<Option<usize>> = vec![None; specs.len()];
    for (at, attr) in attrs.iter().enumerate() {
        let index = match &attr.name {
            Some(name) => match specs.iter().position(|(spec, _)| *spec == name.name) {
                Some(index) => index,
                None => {
                    let known = specs.iter().map(|(spec, _)| *spec);
                    let mut fault = unknown("attribute", &name.name, name.span, known, faults);
                    fault.code = Code::UnknownAttribute;
                    fault.message = format!("`{callee}` has no attribute `{}`", name.name);
                    faults.push(fault);
                    continue;
                }
            },
            None => match places.iter().position(Option::is_none) {
                Some(index) => index,
                None => {
                    let takes = match specs.len() {
                        0 => "no attributes".into(),
                        1 => "1 attribute".into(),
                        most => format!("{most} attributes"),
                    };
                    let fault = Diagnostic::new(
                        Code::RepeatedAttribute,
                        attr.value.span,
                        format!("`{callee}` takes {takes}, found {}", attrs.len()),
                    );
                    let why = "remove the attributes from here on";
                    faults.push(match (attrs[..at].last(), attrs.last()) {
                        (Some(before), Some(last)) => {
                            let rest = Span::new(before.value.span.end, last.value.span.end);
                            fault.propose(rest, "", why)
                        }
                        _ => fault.note(why),
                    });
                    break;
                }
            },
        };
        if let Some(first) = places[index] {
            let fault = Diagnostic::new(
                Code::RepeatedAttribute,
                attr.value.span,
                format!("attribute `{}` of `{callee}` is given twice", specs[index].0),
            )
            .also(attrs[first].value.span, "given here before");
            let is_same = print::value(&attrs[first].value) == print::value(&attr.value);
            let again = Span::new(attrs[at - 1].value.span.end, attr.value.span.end);
            faults.push(match is_same {
                true => fault.replace(again, "", "remove one of them"),
                false => fault.note("remove one of them"),
            });
            continue;
        }
        places[index] = Some(at);
    }
    for ((name, required), place) in specs.iter().zip(&places) {
        if *required && place.is_none() && faults.len() == before {
            faults.push(
                Diagnostic::new(
                    Code::MissingAttribute,
                    span,
                    format!("`{callee}` needs its attribute `{name}`"),
                )
                .note(format!("write `{callee}<{name} = ...>`")),
            );
        }
    }
    (faults.len() == before).then_some(places)
}
