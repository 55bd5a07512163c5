//! The kernels' source, one translation unit.

use crate::device::Precision;

/// All files of `kernels/`, in an order in which each uses what is before it.
const FILES: &str = concat!(
    include_str!("kernels/prelude.cu"),
    include_str!("kernels/elementwise.cu"),
    include_str!("kernels/maps.cu"),
    include_str!("kernels/depthwise.cu"),
    include_str!("kernels/pool.cu"),
    include_str!("kernels/convolution.cu"),
    include_str!("kernels/batch_norm.cu"),
    include_str!("kernels/group_norm.cu"),
    include_str!("kernels/loss.cu"),
    include_str!("kernels/update.cu"),
);

/// The kernels for maps as a precision stores them: the same names with the same parameters.
pub fn source(precision: Precision) -> String {
    match precision {
        Precision::F32 | Precision::Tf32 => FILES.into(),
        Precision::Bf16 => format!("#define CELLC_BF16\n{FILES}"),
    }
}

/// The names of the kernels, in the order of the source.
pub fn kernel_names() -> impl Iterator<Item = &'static str> {
    FILES.lines().filter_map(|line| {
        // The depthwise kernels are one text for several sizes, written by a macro.
        let head = line.strip_prefix("KERNEL ").or_else(|| line.strip_prefix("DEPTHWISE("))?;
        head.split(['(', ',']).next()
    })
}
