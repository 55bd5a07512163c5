//! Maps of one channel side by side in a wide source: where they lie, and how they get in and out.

use super::axis::Axis;
use super::grid::{Grid, GridMut};
use crate::device::cpu::simd::{LANES, masked, relu};

/// Width that a source should have at least, given enough maps.
const WIDTH: usize = 128;

/// Where the maps lie in a source, and the offsets of the taps.
///
/// A source has the rows that the windows reach. A row has one section for each remainder by the
/// horizontal stride, and a section the columns of that remainder of all maps of a group. Results
/// have the rows of the output and the columns of a section that outputs start at.
///
/// The fields never change, so what [`Layout::new`] asserts about them holds for good.
#[derive(Clone, Debug)]
pub(in super::super) struct Layout {
    pub(super) y: Axis,
    pub(super) x: Axis,
    /// Maps side by side.
    pub(super) group: usize,
    /// Columns from one map to the next.
    period: usize,
    /// Columns of a result, a multiple of [`LANES`].
    pub(super) width: usize,
    /// Columns of a section, a multiple of [`LANES`].
    pub(super) section: usize,
    /// Rows of the source.
    pub(super) rows: usize,
    /// Offset of each tap in the source, row by row.
    pub(super) offsets: Vec<usize>,
    /// What the sections hold of a map's row.
    parts: Vec<Part>,
}

/// The part of a map's row that lies in one section.
#[derive(Clone, Copy, Debug)]
struct Part {
    /// Where it starts in a row of the source, for the first map.
    offset: usize,
    /// Its first number in the map's row; the others follow at the stride.
    first: usize,
    /// Numbers.
    len: usize,
}

impl Layout {
    /// The layout for windows over `maps` maps.
    pub(in super::super) fn new(y: Axis, x: Axis, maps: usize) -> Layout {
        let stride = x.stride;
        let last = x.last_tap() / stride;
        let reach = x.output + last;
        // Only phases of a gradient have negative padding, and those have no stride.
        let (hidden, pad) = (x.hidden(), x.pad.max(0) as usize);
        let part = |phase: usize| {
            let start = (pad + stride - 1 - phase) / stride;
            let end = (pad + x.input - hidden + stride - 1 - phase) / stride;
            let len = end.min(reach).saturating_sub(start);
            (start, len, hidden + start * stride + phase - pad)
        };
        let parts = (0..stride).map(part).filter(|(_, len, _)| *len > 0);

        // From one map to the next, such that no output reads numbers of two maps.
        let first = parts.clone().map(|(start, ..)| start).min().unwrap_or(reach);
        let end = parts.map(|(start, len, _)| start + len).max().unwrap_or(0);
        let period = x.output.max(reach - first).max(end);

        let maps = maps.max(1);
        let most = (WIDTH / period).clamp(1, maps);
        // As few groups as possible, and those of about the same size.
        let group = maps.div_ceil(maps.div_ceil(most));
        let width = (group * period).next_multiple_of(LANES);
        let section = (width + last).next_multiple_of(LANES);
        let row = stride * section;
        let offsets = (0..y.taps)
            .flat_map(|ky| (0..x.taps).map(move |kx| (ky * y.step, kx * x.step)))
            .map(|(v, u)| v * row + u % stride * section + u / stride)
            .collect();
        let parts = (0..stride).map(|phase| {
            let (start, len, first) = part(phase);
            Part { offset: phase * section + start, first, len }
        });
        let rows = (y.output.max(1) - 1) * y.stride + y.last_tap() + 1;
        let parts = parts.filter(|part| part.len > 0).collect();
        let layout = Layout { y, x, group, period, width, section, rows, offsets, parts };
        let start_of_last_row = y.output.saturating_sub(1) * layout.row_step();
        let reach = layout.offsets.iter().max().map_or(0, |last| start_of_last_row + last + width);
        assert!(reach <= layout.source_len(), "windows stay inside their source");
        layout
    }

    /// Length of a source.
    pub(in super::super) fn source_len(&self) -> usize {
        self.rows * self.row()
    }

    /// Length of a result.
    pub(in super::super) fn result_len(&self) -> usize {
        self.y.output * self.width
    }

    /// Numbers of a map that goes in.
    pub(super) fn input_area(&self) -> usize {
        self.y.input * self.x.input
    }

    /// Numbers of a row of the source.
    pub(super) fn row(&self) -> usize {
        self.x.stride * self.section
    }

    /// From the source of one output row to that of the next.
    pub(super) fn row_step(&self) -> usize {
        self.y.stride * self.row()
    }

    /// Copies maps into the source, whose padding is left as it is.
    #[inline(always)]
    pub(super) fn pack(&self, maps: &[f32], entry: Entry<'_>, source: &mut [f32]) {
        let (top, height, row) = (self.y.pad.max(0) as usize, self.height(), self.row());
        let start = self.y.hidden() * self.x.input;
        if height == 0 {
            return;
        }
        for (j, map) in maps.chunks_exact(self.input_area()).enumerate() {
            for part in &self.parts {
                let grid = |data| Grid { data, row: self.x.input, stride: self.x.stride };
                let from = grid(&map[start + part.first..]);
                let data = &mut source[top * row + j * self.period + part.offset..];
                let mut to = GridMut { data, row, stride: 1 };
                match entry {
                    Entry::Plain => to.update(from, height, part.len, |_, x| x),
                    Entry::Rectified => to.update(from, height, part.len, |_, x| relu(x)),
                    Entry::Divided(divisors) => {
                        let divisors = grid(&divisors[start + part.first..]);
                        to.update(from, height, part.len, |_, x| x);
                        to.update(divisors, height, part.len, |x, d| x / d);
                    }
                }
            }
        }
    }

    /// The transpose of [`Layout::pack`].
    #[inline(always)]
    pub(super) fn unpack(&self, source: &[f32], accumulate: bool, maps: &mut [f32]) {
        if !accumulate {
            maps.fill(0.0);
        }
        let (top, height, row) = (self.y.pad.max(0) as usize, self.height(), self.row());
        let start = self.y.hidden() * self.x.input;
        if height == 0 {
            return;
        }
        for (j, map) in maps.chunks_exact_mut(self.input_area()).enumerate() {
            for part in &self.parts {
                let data = &source[top * row + j * self.period + part.offset..];
                let from = Grid { data, row, stride: 1 };
                let data = &mut map[start + part.first..];
                let mut to = GridMut { data, row: self.x.input, stride: self.x.stride };
                to.update(from, height, part.len, |t, x| t + x);
            }
        }
    }

    /// Rows of a map that lie in the source.
    fn height(&self) -> usize {
        let visible = self.y.input - self.y.hidden();
        visible.min(self.rows.saturating_sub(self.y.pad.max(0) as usize))
    }

    /// Copies maps of the output's size into the places of a result; all other places become 0.
    #[inline(always)]
    pub(super) fn pack_result(&self, maps: &[f32], result: &mut [f32]) {
        result.fill(0.0);
        let [height, width] = [self.y.output, self.x.output];
        for (j, map) in maps.chunks_exact(height * width).enumerate() {
            let map = Grid { data: map, row: width, stride: 1 };
            let data = &mut result[j * self.period..];
            let mut to = GridMut { data, row: self.width, stride: 1 };
            to.update(map, height, width, |_, x| x);
        }
    }
}

/// What happens to a map on its way into a source.
#[derive(Clone, Copy)]
pub(in super::super) enum Entry<'a> {
    /// Nothing.
    Plain,
    /// `max(x, 0)`.
    Rectified,
    /// Division by a map of the same size.
    Divided(&'a [f32]),
}

/// How a result is written into maps.
#[derive(Clone, Copy)]
pub(in super::super) struct Exit<'a> {
    /// Size of the maps.
    pub(in super::super) map: [usize; 2],
    /// Row and column of the first number.
    pub(in super::super) first: [usize; 2],
    /// Rows and columns from one number to the next.
    pub(in super::super) stride: [usize; 2],
    /// Only where these maps are positive, otherwise 0 counts.
    pub(in super::super) mask: Option<&'a [f32]>,
    /// Adds to what is there.
    pub(in super::super) accumulate: bool,
}

impl<'a> Exit<'a> {
    /// Fills whole maps.
    pub(in super::super) fn whole(map: [usize; 2]) -> Exit<'a> {
        Exit { map, first: [0; 2], stride: [1; 2], mask: None, accumulate: false }
    }

    #[inline(always)]
    pub(super) fn write(
        &self,
        layout: &Layout,
        result: &mut [f32],
        first_map: usize,
        maps: &mut [f32],
    ) {
        let area = self.map[0] * self.map[1];
        let row = self.stride[0] * self.map[1];
        let stride = self.stride[1];
        let (height, width) = (layout.y.output, layout.x.output);
        let start = self.first[0] * self.map[1] + self.first[1];
        for (j, map) in maps.chunks_exact_mut(area).enumerate() {
            let result = &mut result[j * layout.period..];
            if let Some(mask) = self.mask {
                let data = &mask[(first_map + j) * area..][start..area];
                let mut to = GridMut { data: result, row: layout.width, stride: 1 };
                let mask = Grid { data, row, stride };
                to.update(mask, height, width, masked);
            }
            let from = Grid { data: result, row: layout.width, stride: 1 };
            let mut to = GridMut { data: &mut map[start..], row, stride };
            if self.accumulate {
                to.update(from, height, width, |t, x| t + x);
            } else {
                to.update(from, height, width, |_, x| x);
            }
        }
    }
}
