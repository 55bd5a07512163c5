//! Charts as SVG inside a page.

use std::fmt::{self, Write};

use super::escape;

/// Width and height of a chart's plane and the room left of and below it, in pixels.
pub(super) const PLANE: [f64; 2] = [560.0, 220.0];
pub(super) const MARGIN: [f64; 2] = [56.0, 34.0];

/// Room above and right of the plane.
pub(super) const EDGE: f64 = 12.0;

/// The most marks on an axis.
const MARKS: usize = 6;

/// The most curves of a chart.
pub(crate) const CURVES: usize = 6;

/// Strokes of the first curve, the second and so on, apart for those who see no colors as well.
const STYLES: [&str; CURVES] = [
    "stroke=\"#1f4e79\"",
    "stroke=\"#a33c00\" stroke-dasharray=\"6 3\"",
    "stroke=\"#3c7a3c\" stroke-dasharray=\"2 3\"",
    "stroke=\"#7a3c7a\" stroke-dasharray=\"10 3\"",
    "stroke=\"#8a6d00\" stroke-dasharray=\"6 3 2 3\"",
    "stroke=\"#444444\" stroke-dasharray=\"10 3 2 3 2 3\"",
];

/// One curve of a chart.
pub(crate) struct Curve {
    /// What it shows.
    pub name: String,
    /// How it is drawn.
    pub shape: Shape,
    /// Its points (x, y).
    pub points: Vec<(f64, f64)>,
}

/// How the points of a curve are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Joined, each point with a mark that tells its value.
    Line,
    /// Joined.
    Plain,
    /// Marks alone.
    Dots,
}

/// What is along the x-axis.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Axis<'a> {
    /// Numbers of things, counted from 1: epochs, trials.
    Count(&'a str),
    /// A quantity.
    Quantity(&'a str),
}

/// Curves over one plane.
pub(crate) struct Chart<'a> {
    /// What the curves are and their unit.
    pub what: &'a str,
    /// What they are drawn over.
    pub axis: Axis<'a>,
    /// At most [`CURVES`]; no more are drawn.
    pub curves: Vec<Curve>,
}

impl Chart<'_> {
    /// Writes the chart, with axes through the least and greatest values of its curves, and their names.
    pub(crate) fn write(&self, page: &mut String) -> fmt::Result {
        let what = escape(self.what);
        let Some(plane) = Plane::of(self) else {
            return writeln!(page, "<p>Nothing yet.</p>");
        };
        let height = begin_svg(page, self.what)?;
        plane.axes(page, self.axis, height)?;
        let drawn = || self.curves.iter().zip(STYLES).filter(|(curve, _)| !curve.points.is_empty());
        for (curve, style) in drawn() {
            plane.curve(page, curve, style)?;
        }
        writeln!(page, "</svg>")?;
        let names: Vec<String> = drawn()
            .map(|(curve, style)| {
                let sample = match curve.shape {
                    Shape::Line | Shape::Plain => {
                        format!("<path d=\"M0 5H28\" stroke-width=\"2\" {style}/>")
                    }
                    Shape::Dots => {
                        format!("<circle cx=\"14\" cy=\"5\" r=\"2.5\" fill=\"#fff\" {style}/>")
                    }
                };
                format!("<svg width=\"28\" height=\"10\">{sample}</svg> {}", escape(&curve.name))
            })
            .collect();
        writeln!(page, "<p>{} ({what})</p>", names.join(" &#160; "))
    }
}

/// Begins the picture of a chart, and gives its height.
pub(super) fn begin_svg(page: &mut String, what: &str) -> Result<f64, fmt::Error> {
    let (width, height) = (MARGIN[0] + PLANE[0] + EDGE, EDGE + PLANE[1] + MARGIN[1]);
    writeln!(
        page,
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-size=\"12\" font-family=\"sans-serif\">\n<title>{}</title>",
        escape(what)
    )?;
    Ok(height)
}

/// A line across the plane at a height, with its mark.
pub(super) fn horizontal(page: &mut String, at: f64, mark: &str) -> fmt::Result {
    writeln!(
        page,
        "<path d=\"M{} {at:.1}H{}\" stroke=\"#ddd\"/>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
        MARGIN[0],
        MARGIN[0] + PLANE[0],
        MARGIN[0] - 6.0,
        at + 4.0
    )
}

/// The name of the x-axis in a picture of this height.
pub(super) fn axis_name(page: &mut String, name: &str, height: f64) -> fmt::Result {
    writeln!(
        page,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        MARGIN[0] + PLANE[0] / 2.0,
        height - 2.0,
        escape(name)
    )
}

/// The values that the plane's sides stand for.
struct Plane {
    x: [f64; 2],
    y: [f64; 2],
    marks: Vec<f64>,
}

impl Plane {
    /// None without points.
    fn of(chart: &Chart<'_>) -> Option<Plane> {
        let range = |of: fn(&(f64, f64)) -> f64| {
            let values = chart.curves.iter().flat_map(|curve| &curve.points).map(of);
            values.fold([f64::INFINITY, f64::NEG_INFINITY], |[least, most], value| {
                [least.min(value), most.max(value)]
            })
        };
        let (x, [least, most]) = (range(|point| point.0), range(|point| point.1));
        let marks = (least <= most).then(|| marks(least, most))?;
        let last = *marks.last().expect("there is a mark");
        Some(Plane { x, y: [least.min(marks[0]), most.max(last)], marks })
    }

    fn at_x(&self, value: f64) -> f64 {
        MARGIN[0] + PLANE[0] * along(value, self.x)
    }

    fn at_y(&self, value: f64) -> f64 {
        EDGE + PLANE[1] * (1.0 - along(value, self.y))
    }

    fn axes(&self, page: &mut String, axis: Axis<'_>, height: f64) -> fmt::Result {
        for &mark in &self.marks {
            horizontal(page, self.at_y(mark), &short(mark))?;
        }
        let [least, most] = self.x;
        let (name, steps) = match axis {
            Axis::Count(name) => {
                let step = ((most - least) / (MARKS - 1) as f64).ceil().max(1.0);
                let steps = (0..MARKS).map(|number| least + number as f64 * step);
                (name, steps.collect::<Vec<f64>>())
            }
            Axis::Quantity(name) => (name, marks(least, most)),
        };
        let bottom = EDGE + PLANE[1] + 16.0;
        for step in steps.into_iter().filter(|step| (least..=most).contains(step)) {
            let at = self.at_x(step);
            writeln!(
                page,
                "<text x=\"{at:.1}\" y=\"{bottom}\" text-anchor=\"middle\">{}</text>",
                short(step)
            )?;
        }
        axis_name(page, name, height)
    }

    fn curve(&self, page: &mut String, curve: &Curve, style: &str) -> fmt::Result {
        if curve.shape != Shape::Dots {
            let mut line = String::new();
            for (index, &(x, y)) in curve.points.iter().enumerate() {
                let command = if index == 0 { 'M' } else { 'L' };
                write!(line, "{command}{:.1} {:.1}", self.at_x(x), self.at_y(y))?;
            }
            writeln!(page, "<path d=\"{line}\" fill=\"none\" stroke-width=\"2\" {style}/>")?;
        }
        if curve.shape == Shape::Plain {
            return Ok(());
        }
        for &(x, y) in &curve.points {
            writeln!(
                page,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"#fff\" {style}>\
                 <title>{} {x}: {y:.4}</title></circle>",
                self.at_x(x),
                self.at_y(y),
                escape(&curve.name)
            )?;
        }
        Ok(())
    }
}

/// Where in a range a value is, 0 to 1; the only value of one without extent is in its middle.
fn along(value: f64, [least, most]: [f64; 2]) -> f64 {
    match most - least {
        0.0 => 0.5,
        span => (value - least) / span,
    }
}

/// Round numbers that cover a range, at least two and about as many as an axis has marks.
pub(crate) fn marks(least: f64, most: f64) -> Vec<f64> {
    let span = if most > least { most - least } else { least.abs().max(1.0) };
    let rough = span / (MARKS - 1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|unit| unit * power).find(|&step| step >= rough);
    let step = step.expect("ten times a power is above what was rounded down to it");
    let first = (least / step).floor() as i64;
    let last = ((most / step).ceil() as i64).max(first + 1);
    (first..=last).map(|number| number as f64 * step).collect()
}

/// A mark without the digits that binary fractions add; thousands and millions as `k` and `M`.
pub(crate) fn short(mark: f64) -> String {
    let (scaled, unit) = match mark.abs() {
        size if size >= 1e6 => (mark / 1e6, "M"),
        size if size >= 1e4 => (mark / 1e3, "k"),
        _ => (mark, ""),
    };
    let text = format!("{scaled:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { format!("{text}{unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_cover_the_range() {
        assert_eq!(marks(12.0, 97.5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        assert_eq!(marks(93.21, 94.37), [93.0, 93.5, 94.0, 94.5]);
        // A single value lies between two.
        assert_eq!(marks(94.0, 94.0), [80.0, 100.0]);
        for (least, most) in [(0.013, 2.41), (5.0, 5.0), (-3.0, 3.0), (99.1, 99.4), (0.0, 0.0)] {
            let marks = marks(least, most);
            assert!(marks[0] <= least && *marks.last().expect("one") >= most, "{marks:?}");
            assert!(marks.len() <= MARKS + 2, "{marks:?}");
        }
        assert_eq!(short(0.1 + 0.2), "0.3");
        assert_eq!(short(2_500_000.0), "2.5M");
        assert_eq!(short(-0.0), "0");
    }
}
