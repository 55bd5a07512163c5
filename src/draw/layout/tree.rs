//! One group laid out for itself: the root on top, under each box what it reads, from left to right.
//!
//! Everything below a box stays between the sides of that box's part, so that edges within a group, and
//! those that come from below, touch nothing else.

use crate::draw::diagram::{Arg, Diagram, Node};
use crate::draw::metrics::{FONT_SIZE, LINE_HEIGHT, width};
use crate::draw::{Kind, Point, Rect};

/// Space between text and the sides of its box.
const PADDING: (f64, f64) = (9.0, 5.0);

/// Space between boxes beside each other.
const SIDE_GAP: f64 = 12.0;

/// Space between boxes above each other.
const LEVEL_GAP: f64 = 26.0;

/// Width of the column in which an edge comes from below.
const COLUMN: f64 = 16.0;

/// Space at both ends of a box's lower side where no edge arrives: its corners are round.
const CORNER: f64 = 13.0;

/// Space between a box and the name of its block.
const CAPTION_GAP: f64 = 5.0;

/// A group with its places. Its left side is at x = 0, its lower side at y = 0.
pub(super) struct Tree {
    /// Width of the whole.
    pub width: f64,
    /// Height of the whole.
    pub height: f64,
    /// Its boxes, by index in the diagram.
    pub boxes: Vec<(usize, Rect)>,
    /// Edges between its boxes.
    pub inner: Vec<Inner>,
    /// Edges from other groups.
    pub ports: Vec<Port>,
    /// Where its result leaves it.
    pub top: Point,
}

/// An edge between boxes of a group.
pub(super) struct Inner {
    /// The box that is read.
    pub from: usize,
    /// The box that reads.
    pub to: usize,
    /// Its way.
    pub path: Vec<Point>,
}

/// The part of an edge from another group that lies in this one.
pub(super) struct Port {
    /// The group that is read.
    pub source: usize,
    /// True if it depends on a hole whether it is read.
    pub is_possible: bool,
    /// The box that reads.
    pub node: usize,
    /// True if it may arrive at the place of any other such edge to the same box, as the box stands for
    /// one list of tensors. A file's order of the list is not drawn.
    pub is_free: bool,
    /// The middle of the box.
    pub middle: f64,
    /// Its way from the lower side of the group to the box.
    pub path: Vec<Point>,
}

impl Port {
    /// Where the edge enters the group.
    pub(super) fn x(&self) -> f64 {
        self.path[0].x
    }
}

/// The name's place, for a box at `area`.
pub(super) fn caption_area(text: &str, area: &Rect) -> Rect {
    Rect {
        x: area.right() + CAPTION_GAP,
        y: area.y + (area.height - LINE_HEIGHT) / 2.0,
        width: width(text),
        height: LINE_HEIGHT,
    }
}

impl Tree {
    /// Exchanges the ways of edges that are free to arrive in any order, so that those that come from
    /// further left, by `x_of` the port, arrive further left.
    pub(super) fn untangle(&mut self, x_of: impl Fn(usize) -> f64) {
        let mut first = 0;
        for run in self.ports.chunk_by_mut(|a, b| a.node == b.node) {
            let mut ports: Vec<usize> = (0..run.len()).filter(|&at| run[at].is_free).collect();
            let mut paths: Vec<Vec<Point>> =
                ports.iter().map(|&at| std::mem::take(&mut run[at].path)).collect();
            paths.sort_by(|a, b| a[0].x.total_cmp(&b[0].x));
            ports.sort_by(|a, b| x_of(first + a).total_cmp(&x_of(first + b)));
            for (at, path) in ports.into_iter().zip(paths) {
                run[at].path = path;
            }
            first += run.len();
        }
    }

    /// Lays out the tree under `root`, with the [`sizes`] of the diagram.
    pub(super) fn new(diagram: &Diagram, sizes: &[Size], root: usize) -> Tree {
        let size = sizes[root];
        let tree = Tree {
            width: size.width,
            height: size.height,
            boxes: Vec::new(),
            inner: Vec::new(),
            ports: Vec::new(),
            top: Point { x: size.width / 2.0, y: -size.height },
        };
        let mut builder = Builder { diagram, sizes, tree };
        builder.place(root, 0.0, -size.height);
        builder.tree
    }
}

/// Sizes of a box and of its part of the tree.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// Of the box.
    node: (f64, f64),
    /// Width of all that it reads, side by side.
    below: f64,
    /// Of the whole part.
    width: f64,
    /// Of the whole part.
    height: f64,
}

/// The sizes of all boxes of a diagram.
pub(super) fn sizes(diagram: &Diagram) -> Vec<Size> {
    let mut sizes: Vec<Size> = Vec::with_capacity(diagram.nodes.len());
    for node in &diagram.nodes {
        let size = size(node, &sizes);
        sizes.push(size);
    }
    sizes
}

/// The size of a box, given those of the boxes before it, which are all that it reads.
fn size(node: &Node, before: &[Size]) -> Size {
    let mut below = 0.0;
    let mut deepest: f64 = 0.0;
    for (index, arg) in node.args.iter().enumerate() {
        below += gap_before(&node.args, index);
        match arg {
            Arg::Node(inner) => {
                below += before[*inner].width;
                deepest = deepest.max(before[*inner].height);
            }
            Arg::Group { .. } => below += COLUMN,
        }
    }
    let text = node.lines.iter().map(|line| width(line)).fold(0.0, f64::max);
    let columns = COLUMN * node.args.len().saturating_sub(1) as f64 + 2.0 * CORNER;
    let has_boxes_below = node.args.iter().any(|arg| matches!(arg, Arg::Node(_)));
    // Even numbers, so that the middle is a whole one and lines are sharp.
    let even = |length: f64| 2.0 * (length / 2.0).ceil();
    let box_width = even((text + 2.0 * PADDING.0).max(if has_boxes_below { 0.0 } else { columns }));
    let lines = node.lines.len() as f64;
    let box_height = LINE_HEIGHT * (lines - 1.0) + FONT_SIZE + 2.0 * PADDING.1 + 1.0;
    let caption = node.caption.as_ref().map_or(0.0, |text| CAPTION_GAP + width(text));
    Size {
        node: (box_width, box_height),
        below: even(below),
        width: even((box_width + 2.0 * caption).max(below)),
        height: box_height + if has_boxes_below { LEVEL_GAP + deepest } else { 0.0 },
    }
}

/// Space before the part of an argument: edges from other groups come side by side, boxes do not.
fn gap_before(args: &[Arg], index: usize) -> f64 {
    match index.checked_sub(1).map(|before| (args[before], args[index])) {
        Some((Arg::Node(_), _) | (_, Arg::Node(_))) => SIDE_GAP,
        Some((Arg::Group { .. }, Arg::Group { .. })) | None => 0.0,
    }
}

struct Builder<'d> {
    diagram: &'d Diagram,
    sizes: &'d [Size],
    tree: Tree,
}

impl Builder<'_> {
    /// Places a box and all it reads in the part from `left` and `top` on; gives the box's place.
    fn place(&mut self, node: usize, left: f64, top: f64) -> Rect {
        let size = self.sizes[node];
        let (width, height) = size.node;
        let center = left + size.width / 2.0;
        let area = Rect { x: center - width / 2.0, y: top, width, height };
        self.tree.boxes.push((node, area));

        let Node { kind, args, .. } = &self.diagram.nodes[node];
        let is_free =
            *kind == Kind::Combination && args.iter().all(|arg| matches!(arg, Arg::Group { .. }));
        let level = if size.height > height { area.bottom() + LEVEL_GAP } else { area.bottom() };
        let gaps = args.len().saturating_sub(1) as f64;
        let step =
            if gaps > 0.0 { COLUMN.min((width - 2.0 * CORNER).max(0.0) / gaps) } else { 0.0 };
        let mut x = center - size.below / 2.0;
        for (index, arg) in args.iter().enumerate() {
            x += gap_before(args, index);
            let arrival =
                Point { x: center + step * (index as f64 - gaps / 2.0), y: area.bottom() };
            match *arg {
                Arg::Node(inner) => {
                    let below = self.place(inner, x, level);
                    let start = Point { x: below.center(), y: below.y };
                    let path = vec![start, arrival];
                    self.tree.inner.push(Inner { from: inner, to: node, path });
                    x += self.sizes[inner].width;
                }
                Arg::Group { group, is_possible } => {
                    let column = x + COLUMN / 2.0;
                    let mut path =
                        vec![Point { x: column, y: 0.0 }, Point { x: column, y: level }, arrival];
                    path.dedup();
                    self.tree.ports.push(Port {
                        source: group,
                        is_possible,
                        node,
                        is_free,
                        middle: center,
                        path,
                    });
                    x += COLUMN;
                }
            }
        }
        area
    }
}
