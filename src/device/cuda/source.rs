//! The kernels' source, one translation unit.

/// All files of `kernels/`, in an order in which each uses what is before it.
pub const SOURCE: &str = concat!(
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

/// The names of the kernels, in the order of the source.
pub fn kernel_names() -> impl Iterator<Item = &'static str> {
    SOURCE.lines().filter_map(|line| {
        // The depthwise kernels are one text for several sizes, written by a macro.
        let head = line.strip_prefix("KERNEL ").or_else(|| line.strip_prefix("DEPTHWISE("))?;
        head.split(['(', ',']).next()
    })
}
