//! Counts what a file claims about itself.

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::diagnostic::{Code, Diagnostic};
use crate::graph::TensorType;
use crate::graph::cost::Cost;
use crate::graph::lower::{self, MAX_F, MAX_N, Scale, Target, Work};
use crate::graph::passes::simplified;
use crate::ir::{ClaimKind, Expect, Module};
use crate::space::Genotype;
use crate::syntax::ast::ScaleLit;
use crate::syntax::print;

/// The most operations of all networks that have to be built for a file's claims, several for each whose
/// base width has to be looked for.
const MAX_NODES: usize = 1 << 17;

/// How many claims are counted side by side; each may take what those before them left.
const AT_ONCE: usize = 8;

/// Reports every claim that does not hold.
pub(super) fn check(module: &Module, faults: &mut Vec<Diagnostic>) {
    let mut left = Some(MAX_NODES);
    for expects in module.expects.chunks(AT_ONCE) {
        let claim = |expect| {
            let mut work = Work::at_most(left.unwrap_or(0));
            let found = claim(module, expect, &mut work);
            (work.done(), found)
        };
        let counted: Vec<(usize, Vec<Diagnostic>)> = match expects {
            _ if left.is_none() => vec![(0, Vec::new())],
            // Nothing to share out.
            [only] => vec![claim(only)],
            _ => expects.par_iter().map(claim).collect(),
        };
        for (expect, (done, mut found)) in expects.iter().zip(counted) {
            let Some(most) = left else {
                faults.push(
                    Diagnostic::new(
                        Code::TooLarge,
                        expect.scale.span,
                        format!(
                            "the claims take networks of more than {MAX_NODES} operations together"
                        ),
                    )
                    .note("move claims about large nets to files of their own"),
                );
                return;
            };
            faults.append(&mut found);
            left = most.checked_sub(done);
        }
    }
}

/// The scale that a file writes; `None` after reporting that no network can have it.
pub(super) fn scale(written: ScaleLit, faults: &mut Vec<Diagnostic>) -> Option<Scale> {
    for (name, number, most) in [("N", written.n, MAX_N), ("F", written.f, MAX_F)] {
        if !(1..=most as u64).contains(&number.value) {
            faults.push(
                Diagnostic::new(
                    Code::ScaleOutOfRange,
                    number.span,
                    format!("{name} is 1 to {most}, found {}", number.value),
                )
                .note("write a scale such as 6@768"),
            );
            return None;
        }
    }
    Some(Scale { n: written.n.value as usize, f: written.f.value as usize })
}

/// Counts what one `expect` claims; gives what does not hold.
fn claim(module: &Module, expect: &Expect, work: &mut Work) -> Vec<Diagnostic> {
    let mut faults = Vec::new();
    let Some(scale) = scale(expect.scale, &mut faults) else { return faults };
    let net = module.net(&expect.net.name).expect("check::nets reports unknown nets");
    let image =
        expect.image.map(|[height, width, channels]| TensorType::new(channels, height, width));
    let plain = Target {
        scale_span: Some(expect.scale.span),
        image,
        classes: expect.classes,
        ..Target::new(net, scale)
    };
    let wants_aux = expect.claims.iter().any(|(kind, _)| *kind == ClaimKind::ParamsWithAux);
    let genotype = Genotype { choices: Vec::new() };
    let mut count = |with_aux: bool| {
        lower::lower_within(module, &genotype, &Target { with_aux, ..plain }, work)
            .map(|lowered| Cost::of(&simplified(lowered.graph)))
            .map_err(|found| faults.extend(found))
    };
    let Ok(cost) = count(false) else { return faults };
    let with_aux = if wants_aux { count(true).ok() } else { None };
    for (kind, claimed) in &expect.claims {
        let counted = match kind {
            ClaimKind::Params => cost.total.params,
            ClaimKind::ParamsWithStatistics => cost.total.params + cost.total.statistics,
            ClaimKind::Macs => cost.total.macs,
            ClaimKind::ParamsWithAux => match &with_aux {
                Some(cost) => cost.total.params,
                None => continue,
            },
        };
        if counted != claimed.value {
            let text = print::number(counted);
            faults.push(
                Diagnostic::new(
                    Code::ClaimFails,
                    claimed.span,
                    format!("`{}` of {} {scale} is {text}", kind.name(), net.name.name),
                )
                .label(format!("claimed {}", print::number(claimed.value)))
                // The cells may be what is wrong.
                .propose(claimed.span, text, "write the counted number"),
            );
        }
    }
    faults
}
