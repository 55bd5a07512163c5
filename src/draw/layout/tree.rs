//! One group laid out for itself: the root on top, under each box what it reads, from left to right.
//!
//! Everything below a box stays between the sides of that box's part, so that edges within a group, and
//! those that come from below, touch nothing else.

use crate::draw::diagram::{Arg, Diagram};
use crate::draw::metrics::{FONT_SIZE, LINE_HEIGHT, width};
use crate::draw::{Point, Rect};

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
    /// Lays out the tree under `root`.
    pub(super) fn new(diagram: &Diagram, root: usize) -> Tree {
        let mut sizes = vec![None; diagram.nodes.len()];
        let size = measure(diagram, root, &mut sizes);
        let mut builder = Builder {
            diagram,
            sizes,
            tree: Tree {
                width: size.width,
                height: size.height,
                boxes: Vec::new(),
                inner: Vec::new(),
                ports: Vec::new(),
                top: Point { x: size.width / 2.0, y: -size.height },
            },
        };
        builder.place(root, 0.0, -size.height);
        builder.tree
    }
}

/// Sizes of a box and of its part of the tree.
#[derive(Clone, Copy)]
struct Size {
    /// Of the box.
    node: (f64, f64),
    /// Of all that it reads, side by side.
    below: f64,
    /// Of the whole part.
    width: f64,
    /// Of the whole part.
    height: f64,
}

fn measure(diagram: &Diagram, node: usize, sizes: &mut [Option<Size>]) -> Size {
    let drawn = &diagram.nodes[node];
    let mut below = 0.0;
    let mut deepest: f64 = 0.0;
    for (index, arg) in drawn.args.iter().enumerate() {
        let is_between = |with: Option<&Arg>| matches!(with, Some(Arg::Node(_)));
        if index > 0 && (is_between(Some(arg)) || is_between(drawn.args.get(index - 1))) {
            below += SIDE_GAP;
        }
        match arg {
            Arg::Node(inner) => {
                let size = measure(diagram, *inner, sizes);
                below += size.width;
                deepest = deepest.max(size.height);
            }
            Arg::Group { .. } => below += COLUMN,
        }
    }
    let text = drawn.lines.iter().map(|line| width(line)).fold(0.0, f64::max);
    let columns = COLUMN * drawn.args.len().saturating_sub(1) as f64 + 2.0 * CORNER;
    let has_boxes_below = drawn.args.iter().any(|arg| matches!(arg, Arg::Node(_)));
    // Even numbers, so that the middle is a whole one and lines are sharp.
    let even = |length: f64| 2.0 * (length / 2.0).ceil();
    let box_width = even((text + 2.0 * PADDING.0).max(if has_boxes_below { 0.0 } else { columns }));
    let lines = drawn.lines.len() as f64;
    let box_height = LINE_HEIGHT * (lines - 1.0) + FONT_SIZE + 2.0 * PADDING.1 + 1.0;
    let caption = drawn.caption.as_ref().map_or(0.0, |text| CAPTION_GAP + width(text));
    let size = Size {
        node: (box_width, box_height),
        below: even(below),
        width: even((box_width + 2.0 * caption).max(below)),
        height: box_height + if has_boxes_below { LEVEL_GAP + deepest } else { 0.0 },
    };
    sizes[node] = Some(size);
    size
}

struct Builder<'d> {
    diagram: &'d Diagram,
    sizes: Vec<Option<Size>>,
    tree: Tree,
}

impl Builder<'_> {
    fn size(&self, node: usize) -> Size {
        self.sizes[node].expect("measured from the root on")
    }

    /// Places a box and all it reads in the part from `left` and `top` on; gives the box's place.
    fn place(&mut self, node: usize, left: f64, top: f64) -> Rect {
        let size = self.size(node);
        let (width, height) = size.node;
        let center = left + size.width / 2.0;
        let area = Rect { x: center - width / 2.0, y: top, width, height };
        self.tree.boxes.push((node, area));

        let args = &self.diagram.nodes[node].args;
        let level = if size.height > height { area.bottom() + LEVEL_GAP } else { area.bottom() };
        let gaps = args.len().saturating_sub(1) as f64;
        let step =
            if gaps > 0.0 { COLUMN.min((width - 2.0 * CORNER).max(0.0) / gaps) } else { 0.0 };
        let mut x = center - size.below / 2.0;
        for (index, arg) in args.iter().enumerate() {
            let is_beside_box = index > 0 && matches!(args[index - 1], Arg::Node(_));
            if index > 0 && (is_beside_box || matches!(arg, Arg::Node(_))) {
                x += SIDE_GAP;
            }
            let arrival =
                Point { x: center + step * (index as f64 - gaps / 2.0), y: area.bottom() };
            match *arg {
                Arg::Node(inner) => {
                    let below = self.place(inner, x, level);
                    let start = Point { x: below.center(), y: below.y };
                    let path = vec![start, arrival];
                    self.tree.inner.push(Inner { from: inner, to: node, path });
                    x += self.size(inner).width;
                }
                Arg::Group { group, is_possible } => {
                    let column = x + COLUMN / 2.0;
                    let mut path =
                        vec![Point { x: column, y: 0.0 }, Point { x: column, y: level }, arrival];
                    path.dedup();
                    self.tree.ports.push(Port { source: group, is_possible, node, path });
                    x += COLUMN;
                }
            }
        }
        area
    }
}
