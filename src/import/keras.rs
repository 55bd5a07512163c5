//! The names of Keras's `applications/nasnet.py`, as `layer/variable`, and its layouts: kernels are
//! `[kh, kw, in, out]`, depthwise ones `[kh, kw, in, 1]`, dense ones `[in, out]`.
//!
//! # Source
//! Keras 3.15.1. A layer's name ends in that of its cell: `stem_1` and `stem_2`, `reduce_6` for a reduction
//! behind six normal cells, and a number for normal cells. That number is one more behind a reduction.

use super::place::{Layer, Part, Place, Places};
use super::{Family, Listing, Origin, Source};
use crate::graph::lower::Scale;

/// The cells of the stem, which are reductions.
const STEM_CELLS: usize = 2;

/// What a file of `applications/nasnet.py` says.
pub(super) fn nasnet(listing: &Listing) -> Option<Origin> {
    let &[3, 3, channels, stem] = listing.get("stem_conv1/kernel")?.as_slice() else { return None };
    let &[f, classes] = listing.get("predictions/kernel")?.as_slice() else { return None };
    let is_normal = |name: &&String| {
        let cell =
            name.strip_prefix("normal_conv_1_").and_then(|name| name.strip_suffix("/kernel"));
        cell.is_some()
    };
    let n = listing.keys().filter(is_normal).count() / 3;
    let family = Family::KerasNasnet;
    Some(Origin { family, scale: Scale { n, f }, channels, stem, classes })
}

/// The tensor of a parameter; `None` if there is nothing of its kind.
pub(super) fn source(places: &Places<'_>, place: &Place<'_>) -> Option<Source> {
    let Place { part, layer, leaf } = place;
    let layer_name = match (part, layer) {
        (Part::Stem, Layer::Conv(1)) => "stem_conv1".into(),
        (Part::Stem, Layer::Norm(1)) => "stem_bn1".into(),
        (Part::Head, Layer::Dense) => "predictions".into(),
        (Part::Newer { cell }, Layer::Conv(1)) => {
            let (kind, id) = cell_name(places, *cell);
            format!("{kind}_conv_1_{id}")
        }
        (Part::Newer { cell }, Layer::Norm(1)) => {
            let (kind, id) = cell_name(places, *cell);
            format!("{kind}_bn_1_{id}")
        }
        (Part::Older { cell, is_halved: true }, Layer::Conv(path)) => {
            format!("adjust_conv_{path}_{}", cell_name(places, *cell).1)
        }
        (Part::Older { cell, is_halved: false }, Layer::Conv(1)) => {
            format!("adjust_conv_projection_{}", cell_name(places, *cell).1)
        }
        (Part::Older { cell, .. }, Layer::Norm(1)) => {
            format!("adjust_bn_{}", cell_name(places, *cell).1)
        }
        (Part::Branch { cell, block, side, is_separable: true }, layer) => {
            let (kind, id) = cell_name(places, *cell);
            // The released code calls the fifth block's left side in a reduction by the name of the fourth's,
            // a pool that has no weights.
            let block = if (kind, *block, *side) == ("reduction", 5, "left") { 4 } else { *block };
            let half = match layer {
                Layer::Depthwise(half) | Layer::Conv(half) => format!("separable_conv_{half}"),
                Layer::Norm(half) => format!("separable_conv_{half}_bn"),
                Layer::Dense => return None,
            };
            format!("{half}_{kind}_{side}{block}_{id}")
        }
        _ => return None,
    };
    let is_separable = matches!(part, Part::Branch { .. });
    let (variable, axes): (&str, &[usize]) = match (layer, *leaf) {
        (Layer::Conv(_), "weight") if is_separable => ("pointwise_kernel", &[3, 2, 0, 1]),
        (Layer::Conv(_), "weight") => ("kernel", &[3, 2, 0, 1]),
        (Layer::Depthwise(_), "weight") => ("depthwise_kernel", &[2, 3, 0, 1]),
        (Layer::Dense, "weight") => ("kernel", &[1, 0]),
        (Layer::Dense, "bias") => ("bias", &[0]),
        (Layer::Norm(_), "weight") => ("gamma", &[0]),
        (Layer::Norm(_), "bias") => ("beta", &[0]),
        (Layer::Norm(_), "running_mean") => ("moving_mean", &[0]),
        (Layer::Norm(_), "running_var") => ("moving_variance", &[0]),
        _ => return None,
    };
    Some(Source { name: format!("{layer_name}/{variable}"), axes })
}

/// The kind of a cell and the end of its layers' names.
fn cell_name(places: &Places<'_>, cell: usize) -> (&'static str, String) {
    let (reductions, normals) = places.before(STEM_CELLS, cell);
    if cell < STEM_CELLS {
        ("reduction", format!("stem_{}", cell + 1))
    } else if places.is_reduction(cell) {
        ("reduction", format!("reduce_{normals}"))
    } else {
        ("normal", (normals + reductions.min(1)).to_string())
    }
}
