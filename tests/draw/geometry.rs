//! Places: nothing lies on anything else, edges end where they should and go one way.

use cellc::draw::{self, Figure, Options, Panel, Point, Rect, Subject};

use super::figures;

/// Two areas with a common inner point.
fn overlap(a: &Rect, b: &Rect) -> bool {
    a.x < b.right() && b.x < a.right() && a.y < b.bottom() && b.y < a.bottom()
}

fn holds(outer: &Rect, inner: &Rect) -> bool {
    /// Sums of coordinates round, here below a millionth of a pixel.
    const ROUNDING: f64 = 1e-6;
    outer.x <= inner.x + ROUNDING
        && outer.y <= inner.y + ROUNDING
        && inner.right() <= outer.right() + ROUNDING
        && inner.bottom() <= outer.bottom() + ROUNDING
}

/// Boxes and captions with words for them.
fn areas(panel: &Panel) -> Vec<(String, Rect)> {
    let mut areas = Vec::new();
    for node in &panel.nodes {
        areas.push((format!("box {:?}", node.lines), node.area));
        if let Some(caption) = &node.caption {
            areas.push((format!("caption {}", caption.text), caption.area));
        }
    }
    areas
}

/// Points on the curve of a step, as the documentation of [`draw::Edge::path`] has it: a cubic with
/// both control points at half the height.
fn points(from: Point, to: Point) -> impl Iterator<Item = Point> {
    let middle = (from.y + to.y) / 2.0;
    (0..=16).map(move |step| {
        let t = f64::from(step) / 16.0;
        let (a, b, c, d) =
            ((1.0 - t).powi(3), 3.0 * t * (1.0 - t).powi(2), 3.0 * t * t * (1.0 - t), t.powi(3));
        Point { x: (a + b) * from.x + (c + d) * to.x, y: a * from.y + (b + c) * middle + d * to.y }
    })
}

fn is_inside(area: &Rect, point: &Point) -> bool {
    const SLACK: f64 = 1e-6;
    point.x > area.x + SLACK
        && point.x < area.right() - SLACK
        && point.y > area.y + SLACK
        && point.y < area.bottom() - SLACK
}

fn check(name: &str, figure: &Figure) {
    let whole = Rect { x: 0.0, y: 0.0, width: figure.width, height: figure.height };
    for (index, panel) in figure.panels.iter().enumerate() {
        let name = format!("{name}, {}", panel.title);
        assert!(holds(&whole, &panel.area), "{name} leaves the figure");
        for other in &figure.panels[..index] {
            assert!(!overlap(&panel.area, &other.area), "{name} lies on {}", other.title);
        }
        let areas = areas(panel);
        for (index, (what, area)) in areas.iter().enumerate() {
            assert!(holds(&panel.area, area), "{name}: {what} leaves its panel");
            assert!(area.y > panel.area.y + 16.0, "{name}: {what} lies on the title");
            for (other, other_area) in &areas[..index] {
                assert!(!overlap(area, other_area), "{name}: {what} lies on {other}");
            }
        }
        edges(&name, panel, &areas);
    }
}

fn edges(name: &str, panel: &Panel, areas: &[(String, Rect)]) {
    for edge in &panel.edges {
        let (from, to) = (&panel.nodes[edge.from], &panel.nodes[edge.to]);
        let what = format!("{name}: edge from {:?} to {:?}", from.lines, to.lines);
        let (first, last) =
            (edge.path.first().expect("a start"), edge.path.last().expect("an end"));
        assert_eq!(first.y, from.area.y, "{what} does not start on the upper side");
        assert!((from.area.x..=from.area.right()).contains(&first.x), "{what} starts beside");
        assert_eq!(last.y, to.area.bottom(), "{what} does not end on the lower side");
        assert!((to.area.x..=to.area.right()).contains(&last.x), "{what} ends beside");
        for step in edge.path.windows(2) {
            assert!(step[1].y < step[0].y, "{what} does not go upwards");
            for point in points(step[0], step[1]) {
                for (other, area) in areas {
                    assert!(!is_inside(area, &point), "{what} passes through {other}");
                }
            }
        }
    }
}

#[test]
fn nothing_lies_on_anything_else() {
    for case in figures::all() {
        check(&case.name, &case.figure());
    }
}

#[test]
fn nets_are_placed_too() {
    let module = figures::embedded("nasnet_a.cell");
    let options = Options { subject: Subject::Net("cifar".into()), genotype: None };
    let figure = draw::figure(&module, &options).expect("the net is known");
    check("cifar", &figure);
    let labels: Vec<String> =
        figure.panels[0].nodes.iter().map(|node| node.lines.join("|")).collect();
    let count = |text: &str| labels.iter().filter(|label| label.starts_with(text)).count();
    // As the file has it: three stages of normal cells, two reductions, two heads.
    assert_eq!((count("normal|N times"), count("reduction|stride 2, width * 2")), (3, 2));
    assert_eq!((count("image 32x32x3"), count("logits|10 classes")), (1, 1));
    assert_eq!((count("stem:"), count("head:"), count("aux:")), (1, 1, 1));
}

/// Edges of one concatenation do not cross each other just before it.
#[test]
fn a_concatenation_is_reached_without_crossings() {
    for case in figures::all() {
        for panel in &case.figure().panels {
            for (at, node) in panel.nodes.iter().enumerate() {
                if !node.lines[0].starts_with("concat") {
                    continue;
                }
                let mut ends: Vec<(f64, f64)> = panel
                    .edges
                    .iter()
                    .filter(|edge| edge.to == at)
                    .map(|edge| {
                        let last = edge.path.len() - 1;
                        (edge.path[last - 1].x, edge.path[last].x)
                    })
                    .collect();
                ends.sort_by(|a, b| a.partial_cmp(b).expect("finite"));
                assert!(ends.is_sorted_by(|a, b| a.1 <= b.1), "{}: {ends:?}", case.name);
            }
        }
    }
}
