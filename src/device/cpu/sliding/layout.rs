//! One channel of a batch as rows of a padded source: where its numbers lie, and how they get in.

use smallvec::SmallVec;

use super::axis::Axis;
use super::direct::{Weights, is_usual};
use crate::device::cpu::Kernels;
use crate::device::cpu::isa::for_each_isa;
use crate::device::cpu::simd::{LANES, relu};

/// Numbers of a source, about: small enough for the second cache beside what goes in and comes out.
const SLAB: usize = 1 << 16;

/// Where the columns lie in a source, and the offsets of the taps.
///
/// A source has the rows that the windows of some output rows reach. A row has one section for each
/// remainder by the horizontal stride, and a section the columns of that remainder, each with the
/// numbers of all images. What a tap reads for one output row is contiguous in a section.
///
/// The fields never change, so what [`Layout::new`] asserts about them holds for good.
#[derive(Clone, Debug)]
pub(in super::super) struct Layout {
    pub(super) y: Axis,
    pub(super) x: Axis,
    /// Numbers of a place: those of all images, of all channels that lie together.
    pub(super) n: usize,
    /// Channels that lie together, see [`over_channels`](super::over_channels).
    pub(super) channels: usize,
    /// Numbers of an output row.
    pub(super) width: usize,
    /// Numbers of a section, a multiple of [`LANES`].
    section: usize,
    /// Offset of each kernel column in a row.
    pub(super) columns: SmallVec<[usize; 8]>,
    /// What the sections hold of a map's row.
    parts: SmallVec<[Part; 2]>,
    /// Output rows of a slab: those that share a source.
    pub(super) slab: usize,
    /// The maps are read where they lie.
    pub(super) is_direct: bool,
}

/// The part of a map's row that lies in one section.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Where the section starts in a row of the source.
    offset: usize,
    /// The first column that is inside the map.
    start: usize,
    /// The map's column that it is; the others follow at the stride.
    first: usize,
    /// Columns.
    len: usize,
}

/// How numbers enter a source.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum Entry<'a> {
    /// As they are.
    Plain,
    /// `max(x, 0)`.
    Rectified,
    /// Each times the number at its place in a channel of factors.
    Scaled(&'a [f32]),
}

impl Entry<'_> {
    /// The channel as it enters, but for rectification, in the buffer if its numbers change.
    pub(super) fn scaled<'c>(
        &self,
        kernels: Kernels,
        channel: &'c [f32],
        buffer: &'c mut [f32],
    ) -> &'c [f32] {
        match self {
            Entry::Plain | Entry::Rectified => channel,
            Entry::Scaled(factors) => {
                let buffer = &mut buffer[..channel.len()];
                scale(kernels, channel, factors, buffer);
                buffer
            }
        }
    }
}

for_each_isa! {
    fn scale(channel: &[f32], factors: &[f32], to: &mut [f32]) {
        for ((to, x), factor) in to.iter_mut().zip(channel).zip(factors) {
            *to = x * factor;
        }
    }
}

for_each_isa! {
    /// [`Layout::pack`]
    pub(super) fn pack(
        layout: &Layout,
        first: usize,
        channel: &[f32],
        entry: Entry<'_>,
        beyond: f32,
        source: &mut [f32],
    ) {
        layout.pack(first, channel, entry, beyond, source);
    }
}

impl Layout {
    /// The layout for windows over a channel of `n` images.
    pub(in super::super) fn new(kernels: Kernels, y: Axis, x: Axis, n: usize) -> Layout {
        Layout::together(kernels, y, x, n, 1)
    }

    /// The layout for windows over several channels whose numbers lie together, `[H, W, channels, images]`.
    pub(super) fn together(
        kernels: Kernels,
        y: Axis,
        x: Axis,
        images: usize,
        channels: usize,
    ) -> Layout {
        let n = images * channels;
        let stride = x.stride;
        let last = x.last_tap() / stride;
        let reach = x.output + last;
        // Only phases of a gradient have negative padding, and those have no stride.
        let (hidden, pad) = (x.hidden(), x.pad.max(0) as usize);
        let width = x.output * n;
        let section = (width.next_multiple_of(LANES) + last * n).next_multiple_of(LANES);
        let parts = (0..stride).map(|phase| {
            let start = (pad + stride - 1 - phase) / stride;
            let end = (pad + x.input - hidden + stride - 1 - phase) / stride;
            let (start, end) = (start.min(reach), end.min(reach));
            let first = (hidden + start * stride + phase).saturating_sub(pad);
            Part { offset: phase * section, start, first, len: end.saturating_sub(start) }
        });
        let columns = (0..x.taps)
            .map(|kx| kx * x.step)
            .map(|at| at % stride * section + at / stride * n)
            .collect();
        let row = stride * section;
        let beyond = y.last_tap() + 1;
        let slab = (SLAB / row.max(1)).saturating_sub(beyond) / y.stride;
        let slab = slab.next_multiple_of(8).max(8).min(y.output.max(1));
        let (parts, is_direct) =
            (parts.collect(), is_usual(kernels, &y) && n.is_multiple_of(LANES));
        let layout = Layout { y, x, n, channels, width, section, columns, parts, slab, is_direct };
        let reach =
            layout.columns.iter().max().map_or(0, |last| last + width.next_multiple_of(LANES));
        assert!(reach <= row, "what a tap reads is inside of a row");
        layout
    }

    /// Rows of a source for `outputs` output rows.
    pub(super) fn rows(&self, outputs: usize) -> usize {
        (outputs.max(1) - 1) * self.y.stride + self.y.last_tap() + 1
    }

    /// Length of a source for `outputs` output rows.
    pub(super) fn source_len(&self, outputs: usize) -> usize {
        self.rows(outputs) * self.row()
    }

    /// Length of the buffer that sliding needs.
    pub(in super::super) fn buffer_len(&self) -> usize {
        let source = if self.is_direct {
            self.outside_len() + self.n * self.y.input * self.x.input
        } else {
            self.slab_len() + self.slab * self.pitch()
        };
        self.weights_len() + source
    }

    /// Length of the buffer for the weights of every channel that lies together; whole cache lines, so that what
    /// follows starts on one.
    pub(super) fn weights_len(&self) -> usize {
        if self.channels == 1 { 0 } else { self.y.taps * self.x.taps * self.n }
    }

    /// The weights of these channels, `[channels, taps]`, with a buffer of [`Layout::weights_len`]. There may be
    /// fewer channels than lie together.
    pub(super) fn weights<'w>(&self, weights: &'w [f32], buffer: &'w mut [f32]) -> Weights<'w> {
        if self.channels == 1 {
            return Weights::Shared(weights);
        }
        buffer.fill(0.0);
        let (images, taps) = (self.n / self.channels, self.y.taps * self.x.taps);
        for (channel, weights) in weights.chunks_exact(taps).enumerate() {
            for (place, &weight) in buffer.chunks_exact_mut(self.n).zip(weights) {
                place[channel * images..][..images].fill(weight);
            }
        }
        Weights::Single(buffer)
    }

    /// Length of the source of a slab.
    pub(super) fn slab_len(&self) -> usize {
        self.source_len(self.slab)
    }

    /// From one row of a result to the next.
    pub(super) fn pitch(&self) -> usize {
        self.width.next_multiple_of(LANES)
    }

    /// Numbers of a row of the source.
    pub(super) fn row(&self) -> usize {
        self.x.stride * self.section
    }

    /// Copies the rows of a channel that the windows of the output rows from `first` on reach into a
    /// source; what is outside of the map becomes `beyond`.
    #[inline(always)]
    pub(super) fn pack(
        &self,
        first: usize,
        channel: &[f32],
        entry: Entry<'_>,
        beyond: f32,
        source: &mut [f32],
    ) {
        let width = self.x.input * self.n;
        for (row, to) in source.chunks_exact_mut(self.row()).enumerate() {
            let position = (first * self.y.stride + row) as isize - self.y.pad;
            let inside = usize::try_from(position).ok().filter(|&row| row < self.y.input);
            let Some(row) = inside else {
                to.fill(beyond);
                continue;
            };
            let from = &channel[row * width..][..width];
            match entry {
                Entry::Plain => self.pack_row(from, from, beyond, |x, _| x, to),
                Entry::Rectified => self.pack_row(from, from, beyond, |x, _| relu(x), to),
                Entry::Scaled(factors) => {
                    let factors = &factors[row * width..][..width];
                    self.pack_row(from, factors, beyond, |x, factor| x * factor, to);
                }
            }
        }
    }

    #[inline(always)]
    fn pack_row(
        &self,
        from: &[f32],
        with: &[f32],
        beyond: f32,
        f: impl Fn(f32, f32) -> f32,
        to: &mut [f32],
    ) {
        let n = self.n;
        for part in &self.parts {
            let section = &mut to[part.offset..][..self.section];
            section[..part.start * n].fill(beyond);
            section[(part.start + part.len) * n..].fill(beyond);
            if part.len == 0 {
                continue;
            }
            let section = &mut section[part.start * n..][..part.len * n];
            let (from, with) = (&from[part.first * n..], &with[part.first * n..]);
            if self.x.stride == 1 {
                for ((to, &from), &with) in section.iter_mut().zip(from).zip(with) {
                    *to = f(from, with);
                }
                continue;
            }
            if n == 1 {
                let from = from.iter().step_by(self.x.stride);
                let with = with.iter().step_by(self.x.stride);
                for ((to, &from), &with) in section.iter_mut().zip(from).zip(with) {
                    *to = f(from, with);
                }
                continue;
            }
            let step = self.x.stride * n;
            let runs = section.chunks_exact_mut(n).zip(from.chunks(step).zip(with.chunks(step)));
            for (to, (from, with)) in runs {
                for ((to, &from), &with) in to.iter_mut().zip(from).zip(with) {
                    *to = f(from, with);
                }
            }
        }
    }

    /// The transpose of [`Layout::pack`] for all output rows: writes or adds what lies in a source.
    #[inline(always)]
    pub(super) fn unpack(&self, source: &[f32], accumulate: bool, channel: &mut [f32]) {
        let (n, width) = (self.n, self.x.input * self.n);
        if !accumulate {
            channel.fill(0.0);
        }
        for (row, from) in source.chunks_exact(self.row()).enumerate() {
            let position = row as isize - self.y.pad;
            let inside = usize::try_from(position).ok().filter(|&row| row < self.y.input);
            let Some(row) = inside else { continue };
            let to = &mut channel[row * width..][..width];
            for part in self.parts.iter().filter(|part| part.len > 0) {
                let from = &from[part.offset + part.start * n..][..part.len * n];
                let to = &mut to[part.first * n..];
                let runs = to.chunks_mut(self.x.stride * n).zip(from.chunks_exact(n));
                for (to, from) in runs {
                    for (to, from) in to.iter_mut().zip(from) {
                        *to += from;
                    }
                }
            }
        }
    }
}

/// Where results go.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Exit<'a> {
    /// Height and width of the map.
    pub(in super::super) map: [usize; 2],
    /// Row and column of the first result; the others follow at the stride.
    pub(in super::super) first: [usize; 2],
    /// Vertical and horizontal.
    pub(in super::super) stride: [usize; 2],
    /// A channel; where it is not positive, the result counts as 0.
    pub(in super::super) mask: Option<&'a [f32]>,
    /// A factor for all results at a place: once where maps are read where they lie, otherwise for each number.
    pub(in super::super) factors: Option<&'a [f32]>,
    /// Adds to what is there.
    pub(in super::super) accumulate: bool,
}

impl Exit<'_> {
    /// Every place of a map, in order.
    pub(in super::super) fn whole(map: [usize; 2]) -> Self {
        Exit { map, first: [0; 2], stride: [1; 2], mask: None, factors: None, accumulate: false }
    }

    /// True if a row of results is a row of the map.
    pub(super) fn is_whole(&self, layout: &Layout) -> bool {
        self.first == [0; 2]
            && self.stride == [1; 2]
            && self.map == [layout.y.output, layout.x.output]
    }
}
