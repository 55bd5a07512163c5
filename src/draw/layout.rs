//! Places for the boxes and edges of a diagram: a layered drawing whose units are groups.
//!
//! Each group is laid out for itself as a tree ([`tree`]), so that a block's operations stay beside each
//! other under their combination. Groups stand in rows, each above all it reads; an edge that passes rows
//! goes through them in a column of its own, shared by all edges from the same group, and so touches no
//! box. (General layered layouts, those of layout-rs and rust-sugiyama among them, know no groups and tear
//! blocks apart.) Order and places within the rows are found by [`rows`]. After Sugiyama, Tagawa and Toda,
//! "Methods for Visual Understanding of Hierarchical System Structures" (1981).

mod rows;
mod tree;

use super::diagram::Diagram;
use super::metrics::{TITLE_SIZE, title_width};
use super::{Caption, Edge, Node, Panel, Point, Rect};
use rows::{Item, Rows};
use tree::Tree;

/// Space between a title and what is under it.
const TITLE_GAP: f64 = 18.0;

/// The least and the most space between rows; more where edges go far to the side.
const ROW_GAP: (f64, f64) = (34.0, 120.0);

/// Space between rows for each pixel to the side.
const GAP_SLOPE: f64 = 0.2;

/// Places a diagram.
pub(super) fn lay_out(diagram: &Diagram) -> Panel {
    let sizes = tree::sizes(diagram);
    let mut trees: Vec<Tree> =
        diagram.groups.iter().map(|group| Tree::new(diagram, &sizes, group.root)).collect();
    let row_of = row_of_groups(diagram);
    let mut rows = Rows::new(&trees, &row_of);
    rows.order();
    rows.untangle(&mut trees);
    rows.place();
    let levels = levels(&rows, &trees);
    draw(diagram, &trees, &row_of, &rows, &levels)
}

/// The row of each group, counted from the bottom.
fn row_of_groups(diagram: &Diagram) -> Vec<usize> {
    let mut row_of: Vec<usize> = Vec::new();
    // One above all groups that may have others above them.
    let mut top = 0;
    for (index, group) in diagram.groups.iter().enumerate() {
        let above_all = diagram.reads(index).iter().map(|&read| row_of[read] + 1).max();
        // A block that may read any of several stands beside them rather than above, as it needs no more.
        let above_one = group.candidates.iter().map(|&read| row_of[read] + 1).min();
        let row = if group.is_last { top } else { above_all.max(above_one).unwrap_or(0) };
        if !group.is_last {
            top = top.max(row + 1);
        }
        row_of.push(row);
    }
    row_of
}

/// Upper and lower side of each row.
fn levels(rows: &Rows, trees: &[Tree]) -> Vec<(f64, f64)> {
    let mut levels = Vec::new();
    let mut y = 0.0;
    for row in 0..rows.rows.len() {
        let heights = rows.rows[row].iter().map(|&item| match rows.items[item] {
            Item::Group(group) => trees[group].height,
            Item::Trunk(_) => 0.0,
        });
        let height = heights.fold(0.0, f64::max);
        levels.push((y - height, y));
        let gap = ROW_GAP.0 + GAP_SLOPE * rows.widest_step(row);
        y -= height + gap.min(ROW_GAP.1).round();
    }
    levels
}

/// Puts everything where it belongs; the lower side of the lowest row is at 0 until the end.
fn draw(
    diagram: &Diagram,
    trees: &[Tree],
    row_of: &[usize],
    rows: &Rows,
    levels: &[(f64, f64)],
) -> Panel {
    let mut areas = vec![None; diagram.nodes.len()];
    let mut edges = Vec::new();
    // Where the results of the groups leave their boxes.
    let mut sources = Vec::new();
    for (group, tree) in trees.iter().enumerate() {
        let left = rows.left_of_group(group);
        let (_, bottom) = levels[row_of[group]];
        let move_by = |point: &Point| Point { x: point.x + left, y: point.y + bottom };
        for (node, mut area) in tree.boxes.iter().copied() {
            area.shift(left, bottom);
            areas[node] = Some(area);
        }
        sources.push(move_by(&tree.top));
        for inner in &tree.inner {
            let path = inner.path.iter().map(move_by).collect();
            edges.push(Edge { from: inner.from, to: inner.to, is_possible: false, path });
        }
        for port in &tree.ports {
            let source = port.source;
            let mut path = vec![sources[source]];
            path.push(Point { y: levels[row_of[source]].0, ..sources[source] });
            for (row, (above, below)) in
                levels.iter().enumerate().take(row_of[group]).skip(row_of[source] + 1)
            {
                let x = rows.trunk_center(source, row);
                path.extend([Point { x, y: *below }, Point { x, y: *above }]);
            }
            path.extend(port.path.iter().map(move_by));
            path.dedup();
            edges.push(Edge {
                from: diagram.groups[source].root,
                to: port.node,
                is_possible: port.is_possible,
                path,
            });
        }
    }
    let nodes: Vec<Node> = diagram
        .nodes
        .iter()
        .zip(areas)
        .map(|(node, area)| {
            let area = area.expect("every box belongs to a group");
            let caption = node
                .caption
                .as_ref()
                .map(|text| Caption { text: text.clone(), area: tree::caption_area(text, &area) });
            Node { kind: node.kind, lines: node.lines.clone(), area, caption }
        })
        .collect();
    frame(diagram.title.clone(), nodes, edges)
}

/// A panel around boxes and edges, with room for the title.
fn frame(title: String, nodes: Vec<Node>, edges: Vec<Edge>) -> Panel {
    let areas = nodes.iter().flat_map(|node| {
        [Some(node.area), node.caption.as_ref().map(|caption| caption.area)].into_iter().flatten()
    });
    let points = edges.iter().flat_map(|edge| &edge.path);
    let corners = areas
        .flat_map(|area| {
            [Point { x: area.x, y: area.y }, Point { x: area.right(), y: area.bottom() }]
        })
        .chain(points.copied());
    let (mut left, mut right, mut top, mut bottom) = (f64::MAX, f64::MIN, f64::MAX, f64::MIN);
    for Point { x, y } in corners {
        (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), bottom.max(y));
    }
    let missing = (title_width(&title) - (right - left)).max(0.0);
    let top = top - TITLE_SIZE - TITLE_GAP;
    let area = Rect {
        x: left - missing / 2.0,
        y: top,
        width: right - left + missing,
        height: bottom - top,
    };
    Panel { title, nodes, edges, area }
}
