//! The names of timm's `nasnet.py` and `pnasnet.py`, whose tensors are laid out as those here.
//!
//! # Source
//! timm 1.0.31. The modules of a cell are called `conv_1x1` (its newer input), `conv_prev_1x1` or two paths
//! (the older) and `comb_iter_0_left` and so on, counted from 0.

use super::place::{Layer, Part, Place, Places};
use super::{Family, Listing, Origin, Source};
use crate::graph::lower::Scale;

/// The cells of the stem, which have names of their own.
const STEM_CELLS: usize = 2;

/// What a file of `nasnet.py` says.
pub(super) fn nasnet(listing: &Listing) -> Option<Origin> {
    origin(Family::TimmNasnet, "conv0", listing)
}

/// What a file of `pnasnet.py` says.
pub(super) fn pnasnet(listing: &Listing) -> Option<Origin> {
    origin(Family::TimmPnasnet, "conv_0", listing)
}

fn origin(family: Family, stem: &str, listing: &Listing) -> Option<Origin> {
    let &[stem, channels, 3, 3] = listing.get(&format!("{stem}.conv.weight"))?.as_slice() else {
        return None;
    };
    let &[classes, f] = listing.get("last_linear.weight")?.as_slice() else { return None };
    let is_cell = |cell: &usize| listing.contains_key(&format!("cell_{cell}.conv_1x1.conv.weight"));
    // Three stages.
    let n = (0..).take_while(is_cell).count() / 3;
    Some(Origin { family, scale: Scale { n, f }, channels, stem, classes })
}

/// The tensor of a parameter; `None` if there is nothing of its kind.
pub(super) fn source(places: &Places<'_>, place: &Place<'_>, is_pnasnet: bool) -> Option<Source> {
    let Place { part, layer, leaf } = place;
    let module = match (part, layer) {
        (Part::Stem, layer) => {
            format!("{}.{}", if is_pnasnet { "conv_0" } else { "conv0" }, conv_or_bn(layer)?)
        }
        (Part::Head, Layer::Dense) => "last_linear".into(),
        (Part::Newer { cell }, layer) => {
            format!("{}.conv_1x1.{}", cell_name(places, *cell), conv_or_bn(layer)?)
        }
        (Part::Older { cell, is_halved: false }, layer) => {
            format!("{}.conv_prev_1x1.{}", cell_name(places, *cell), conv_or_bn(layer)?)
        }
        (Part::Older { cell, is_halved: true }, layer) => {
            let within = if is_pnasnet { ".conv_prev_1x1" } else { "" };
            let path = match layer {
                Layer::Conv(path) => format!("path_{path}.conv"),
                Layer::Norm(1) => "final_path_bn".into(),
                Layer::Norm(_) | Layer::Depthwise(_) | Layer::Dense => return None,
            };
            format!("{}{within}.{path}", cell_name(places, *cell))
        }
        (Part::Branch { cell, block, side, is_separable }, layer) => {
            let within = match layer {
                layer if !is_separable => conv_or_bn(layer)?.into(),
                Layer::Depthwise(half) => format!("separable_{half}.depthwise_conv2d"),
                Layer::Conv(half) => format!("separable_{half}.pointwise_conv2d"),
                Layer::Norm(half) => format!("bn_sep_{half}"),
                Layer::Dense => return None,
            };
            let iteration = block.checked_sub(1)?;
            format!("{}.comb_iter_{iteration}_{side}.{within}", cell_name(places, *cell))
        }
        (Part::Head, Layer::Conv(_) | Layer::Depthwise(_) | Layer::Norm(_)) => return None,
    };
    let axes: &[usize] = match (layer, *leaf) {
        (Layer::Conv(_) | Layer::Depthwise(_), "weight") => &[0, 1, 2, 3],
        (Layer::Dense, "weight") => &[0, 1],
        _ => &[0],
    };
    Some(Source { name: format!("{module}.{leaf}"), axes })
}

/// The modules of `ConvNormAct` and `ActConvBn`.
fn conv_or_bn(layer: &Layer) -> Option<&'static str> {
    match layer {
        Layer::Conv(1) => Some("conv"),
        Layer::Norm(1) => Some("bn"),
        Layer::Conv(_) | Layer::Norm(_) | Layer::Depthwise(_) | Layer::Dense => None,
    }
}

/// Reductions of the body are counted apart; PNASNet has none.
fn cell_name(places: &Places<'_>, cell: usize) -> String {
    let (reductions, others) = places.before(STEM_CELLS, cell);
    if cell < STEM_CELLS {
        format!("cell_stem_{cell}")
    } else if places.is_reduction(cell) {
        format!("reduction_cell_{reductions}")
    } else {
        format!("cell_{others}")
    }
}
