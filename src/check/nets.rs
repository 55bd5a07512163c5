//! Nets and claims: which parts a net must have, and what may be claimed.

use std::collections::BTreeMap;

use super::cells::MAX_STRIDE;
use super::choices::Holes;
use super::exprs::{Builder, OpHead, Place, Scope};
use super::names::{BUILTINS, Names, Seen, has_meaning, unknown};
use crate::diagnostic::{Code, Diagnostic};
use crate::graph::lower::MAX_TIMES;
use crate::ir::{
    Aux, ClaimKind, Expect, Module, Net, OpUse, Origin, Published, StackEntry, StackItem,
    StackedCell, Value, ValueKind, WidthChange,
};
use crate::source::Span;
use crate::syntax::ast::{self, Item, NetItem};

/// Largest image side, channel count and class count.
const MAX_DIM: u64 = 1 << 16;

/// Largest factor by which a stack entry may widen.
const MAX_WIDEN: u64 = 64;

/// Resolves nets and claims of the file into `module`.
pub(super) fn resolve(
    file: &ast::File,
    names: &Names,
    module: &mut Module,
    origin: Origin,
    faults: &mut Vec<Diagnostic>,
) {
    let heads = OpHead::all(&module.ops);
    for item in &file.items {
        if let Item::Net(net) = item
            && let Some(net) = resolve_net(net, names, &heads, origin, faults)
        {
            module.nets.push(net);
        }
    }
    for item in &file.items {
        let Item::Expect(expect) = item else { continue };
        if names.space.is_some() {
            faults.push(
                Diagnostic::new(
                    Code::MalformedSpace,
                    expect.span,
                    "a file with holes has no single count to claim",
                )
                .note("move the `expect` to a file without a space"),
            );
            continue;
        }
        let net_known = file
            .items
            .iter()
            .any(|item| matches!(item, Item::Net(net) if net.name.name == expect.net.name))
            || module.net(&expect.net.name).is_some();
        if !net_known {
            let known = module.nets.iter().map(|net| net.name.name.as_str());
            let fault = unknown("net", &expect.net.name, expect.net.span, known, faults);
            faults.push(fault);
        }
        let mut claims = Vec::new();
        for claim in &expect.claims {
            match ClaimKind::ALL.into_iter().find(|kind| kind.name() == claim.name.name) {
                Some(kind) => claims.push((kind, claim.value)),
                None => {
                    let known = ClaimKind::ALL.map(ClaimKind::name);
                    let mut fault =
                        unknown("claim", &claim.name.name, claim.name.span, known, faults);
                    fault.code = Code::UnknownClaim;
                    faults.push(fault);
                }
            }
        }
        let mut dim = |number: ast::Number, what| dim(number, what, faults);
        let image = expect.image.map(|dims| dims.map(|side| dim(side, IMAGE)));
        let classes = expect.classes.map(|count| dim(count, CLASSES));
        let (net, scale) = (expect.net.clone(), expect.scale);
        let published = expect.published.iter().map(|one| resolve_published(one, faults)).collect();
        module.expects.push(Expect { net, scale, image, classes, claims, published });
    }
}

/// What a paper prints is taken as it stands: it must be about a count and is not compared with one here.
fn resolve_published(one: &ast::Published, faults: &mut Vec<Diagnostic>) -> Published {
    let (mut params, mut macs) = (None, None);
    let mut seen = Seen::default();
    for ast::PublishedFigure { name, value } in &one.figures {
        seen.note("published figure", name, faults);
        match name.name.as_str() {
            "params" => params = Some(*value),
            "macs" => macs = Some(*value),
            other => {
                let known = [ClaimKind::Params, ClaimKind::Macs].map(ClaimKind::name);
                let mut fault = unknown("published figure", other, name.span, known, faults);
                fault.code = Code::UnknownClaim;
                faults.push(fault);
            }
        }
    }
    let name = one.name.as_ref().map(|name| name.text.clone());
    Published { source: one.source.text.clone(), name, params, macs }
}

fn resolve_net(
    net: &ast::Net,
    names: &Names,
    heads: &[OpHead],
    origin: Origin,
    faults: &mut Vec<Diagnostic>,
) -> Option<Net> {
    let before = faults.len();
    let [n, f] = net.params.as_slice() else {
        faults.push(
            Diagnostic::new(
                Code::MalformedNet,
                net.name.span,
                format!(
                    "net `{}` takes two scale parameters, found {}",
                    net.name.name,
                    net.params.len()
                ),
            )
            .note(format!("write `net {}<N, F>`", net.name.name)),
        );
        return None;
    };
    let mut seen = Seen::default();
    let mut attributes = Seen::default();
    for param in [n, f] {
        seen.note("scale parameter", param, faults);
        if BUILTINS.iter().any(|(known, _)| *known == param.name) {
            faults.push(has_meaning("scale parameter", param));
        }
    }
    let scale = [n.name.clone(), f.name.clone()];
    let mut once: BTreeMap<&'static str, Span> = BTreeMap::new();
    let (mut input, mut classes) = ([32, 32, 3], 10);
    let (mut stem, mut stack, mut head, mut aux) = (None, None, None, None);
    let mut statics = Vec::new();
    let mut params = Vec::new();
    for item in &net.items {
        let (part, span) = (item.keyword(), item.span());
        let may_repeat = matches!(item, NetItem::Constant(_) | NetItem::Require(_));
        if let Some(first) = once.insert(part, span).filter(|_| !may_repeat) {
            faults.push(
                Diagnostic::new(Code::MalformedNet, span, format!("a net has one `{part}`"))
                    .also(first, "the first one")
                    .note("remove one of them"),
            );
            continue;
        }
        let place = Place::Net { scale: scale.clone() };
        let scope = Scope { place, params: std::mem::take(&mut params), locals: Vec::new() };
        let mut builder =
            Builder { names, op_params: heads, scope, holes: Holes::default(), stages: 0, faults };
        match item {
            NetItem::Constant(constant) => {
                statics.extend(builder.constant(constant, &mut attributes, 0));
            }
            NetItem::Require(require) => statics.extend(builder.require(require, 0)),
            NetItem::Input { dims, .. } => {
                for (slot, dim) in input.iter_mut().zip(dims) {
                    *slot = self::dim(*dim, IMAGE, builder.faults);
                }
            }
            NetItem::Classes { count, .. } => {
                classes = dim(*count, CLASSES, builder.faults);
            }
            NetItem::Stem { stages, .. } => stem = builder.stages(stages),
            NetItem::Head { stages, .. } => head = builder.stages(stages),
            NetItem::Stack { entries, .. } => {
                let entries: Vec<_> = entries.iter().map(|entry| builder.entry(entry)).collect();
                stack = entries.into_iter().collect::<Option<Vec<_>>>();
            }
            NetItem::Aux { stage, stages, .. } => {
                aux = builder.stages(stages).map(|stages| (*stage, stages));
            }
        }
        params = builder.scope.params;
    }
    for part in ["stem", "stack", "head"] {
        if !once.contains_key(part) {
            faults.push(
                Diagnostic::new(
                    Code::MalformedNet,
                    net.name.span,
                    format!("net `{}` has no `{part}`", net.name.name),
                )
                .note("a net has a `stem`, a `stack` and a `head`"),
            );
        }
    }
    let aux = match (aux, &stack) {
        (Some((stage, stages)), Some(stack)) => {
            let last = last_stage(stack).unwrap_or(usize::MAX);
            if !(1..=last as u64).contains(&stage.value) {
                faults.push(
                    Diagnostic::new(
                        Code::MalformedNet,
                        stage.span,
                        format!("the stack has no stage {}", stage.value),
                    )
                    .label(if last == 1 {
                        "expected 1, the only stage".into()
                    } else {
                        format!("expected 1 to {last}")
                    })
                    .note("a stage ends before an entry that changes the width"),
                );
            }
            Some(Aux { stage: stage.value as usize, stages })
        }
        _ => None,
    };
    if faults.len() > before {
        return None;
    }
    Some(Net {
        name: net.name.clone(),
        input,
        classes,
        statics,
        stem: stem?,
        stack: stack?,
        head: head?,
        aux,
        origin,
    })
}

/// What the three numbers of an image are.
const IMAGE: &str = "an image's side or channel count";

/// What a count of classes is.
const CLASSES: &str = "the number of classes";

fn dim(number: ast::Number, what: &str, faults: &mut Vec<Diagnostic>) -> usize {
    if !(1..=MAX_DIM).contains(&number.value) {
        faults.push(
            Diagnostic::new(
                Code::SizeOutOfRange,
                number.span,
                format!("{what} is 1 to {MAX_DIM}, found {}", number.value),
            )
            .note("write a number in that range"),
        );
        return 1;
    }
    number.value as usize
}

/// The number of the last stage, if no count that only the scale gives decides about it. A stage starts
/// where the width changes.
fn last_stage(stack: &[StackEntry]) -> Option<usize> {
    fn changes(entries: &[StackEntry]) -> Option<usize> {
        entries.iter().try_fold(0usize, |sum, entry| {
            let found = match &entry.item {
                StackItem::Cell(cell) => usize::from(changes_width(cell)),
                StackItem::Group(entries) => match (changes(entries)?, &entry.times.kind) {
                    (0, _) => 0,
                    (found, ValueKind::Int(times)) => found.saturating_mul(*times as usize),
                    (_, _) => return None,
                },
            };
            Some(sum.saturating_add(found))
        })
    }
    let mut first = stack.first();
    while let Some(StackEntry { item: StackItem::Group(entries), .. }) = first {
        first = entries.first();
    }
    let starts_changed = matches!(first, Some(StackEntry { item: StackItem::Cell(cell), .. })
        if changes_width(cell));
    Some(1 + changes(stack)? - usize::from(starts_changed))
}

fn changes_width(cell: &StackedCell) -> bool {
    match cell.width {
        None | Some(WidthChange::Times(1)) => false,
        Some(WidthChange::Times(_) | WidthChange::At(_)) => true,
    }
}

impl Builder<'_> {
    fn stages(&mut self, stages: &[ast::OpRef]) -> Option<Vec<OpUse>> {
        let stages: Vec<_> = stages.iter().map(|stage| self.op_use(stage, 1)).collect();
        stages.into_iter().collect()
    }

    fn entry(&mut self, entry: &ast::StackEntry) -> Option<StackEntry> {
        let times = match &entry.times {
            Some(times) => self.value(times)?,
            None => Value { kind: ValueKind::Int(1), span: entry.span },
        };
        if let ValueKind::Int(count) = times.kind
            && !(0..=MAX_TIMES as i64).contains(&count)
        {
            self.faults.push(
                Diagnostic::new(
                    Code::AttributeOutOfRange,
                    times.span,
                    format!("a cell is stacked 0 to {MAX_TIMES} times, found {count}"),
                )
                .note("write a count in that range"),
            );
            return None;
        }
        let item = match &entry.what {
            ast::StackItem::Cell(stacked) => StackItem::Cell(self.stacked(stacked)?),
            ast::StackItem::Group(entries) => {
                let entries: Vec<_> = entries.iter().map(|entry| self.entry(entry)).collect();
                StackItem::Group(entries.into_iter().collect::<Option<_>>()?)
            }
        };
        Some(StackEntry { times, item })
    }

    fn stacked(&mut self, stacked: &ast::StackedCell) -> Option<StackedCell> {
        let width = match &stacked.width {
            None => None,
            Some(ast::WidthChange::At(width)) => {
                let width = self.value(width)?;
                if let ValueKind::Int(found) = width.kind
                    && !(1..=MAX_DIM as i64).contains(&found)
                {
                    self.faults.push(
                        Diagnostic::new(
                            Code::AttributeOutOfRange,
                            width.span,
                            format!("a width is 1 to {MAX_DIM}, found {found}"),
                        )
                        .note("write a number in that range"),
                    );
                    return None;
                }
                Some(WidthChange::At(width))
            }
            Some(ast::WidthChange::Times(factor)) => Some(WidthChange::Times(self.in_range(
                "the width is multiplied by",
                *factor,
                MAX_WIDEN,
                "write `* 2` to double the width",
            )?)),
        };
        let stride = match stacked.stride {
            None => None,
            Some(stride) => Some(self.in_range(
                "a cell's stride is",
                stride,
                MAX_STRIDE,
                "reduction cells have stride 2",
            )?),
        };
        let attrs: Vec<_> = stacked
            .cell
            .attrs
            .iter()
            .map(|attr| Some((attr.name.clone(), self.value(&attr.value)?)))
            .collect();
        Some(StackedCell {
            cell: stacked.cell.name.clone(),
            attrs: attrs.into_iter().collect::<Option<_>>()?,
            stride,
            width,
            is_skipped: stacked.is_skipped,
        })
    }

    fn in_range(
        &mut self,
        what: &str,
        number: ast::Number,
        most: u64,
        note: &str,
    ) -> Option<usize> {
        if (1..=most).contains(&number.value) {
            return Some(number.value as usize);
        }
        let message = format!("{what} 1 to {most}, found {}", number.value);
        self.faults
            .push(Diagnostic::new(Code::AttributeOutOfRange, number.span, message).note(note));
        None
    }
}
