//! A training run as one HTML page: what was trained, curves, and the numbers under them. The page needs
//! nothing but itself: no script, font or picture of another file.

use std::fmt::{self, Write};

use super::{Checkpoint, EpochRecord};

/// Width and height of a chart's plane and the room left of and below it, in pixels.
const PLANE: [f64; 2] = [560.0, 220.0];
const MARGIN: [f64; 2] = [56.0, 34.0];

/// Room above and right of the plane.
const EDGE: f64 = 12.0;

/// The most marks on an axis.
const MARKS: usize = 6;

/// One curve of a chart: its name, how it is drawn, and its points (epoch, value).
struct Curve {
    name: &'static str,
    style: &'static str,
    points: Vec<(f64, f64)>,
}

/// The report of a run that has `epochs` behind it.
pub(super) fn html(model: &Checkpoint, images: [usize; 3], epochs: &[EpochRecord]) -> String {
    let mut page = String::new();
    write_page(&mut page, model, images, epochs).expect("writing to a string cannot fail");
    page
}

fn write_page(
    page: &mut String,
    model: &Checkpoint,
    [train, validation, tests]: [usize; 3],
    epochs: &[EpochRecord],
) -> fmt::Result {
    let data = model.data.as_deref().unwrap_or("data of its own");
    let title = format!("{} {} on {data}", model.net, model.scale);
    write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>{}</title>\n\
         <style>\nbody {{ font: 15px/1.4 sans-serif; color: #1a1a1a; max-width: 46em; margin: 2em auto; \
         padding: 0 1em; }}\ntable {{ border-collapse: collapse; }}\n\
         td, th {{ padding: 0.15em 1em; text-align: right; border-bottom: 1px solid #ddd; }}\n\
         pre {{ background: #f5f5f5; padding: 0.8em; overflow-x: auto; }}\n\
         svg {{ max-width: 100%; height: auto; }}\n</style>\n</head>\n<body>\n<h1>{}</h1>\n",
        escape(&title),
        escape(&title)
    )?;
    writeln!(
        page,
        "<p>cellc {}. {train} training and {validation} validation images{}, and {tests} test images that the \
         run never sees; epoch {}{}.</p>",
        escape(&model.cellc),
        model
            .config
            .as_ref()
            .map(|config| format!(", parted by seed {}", config.seed))
            .unwrap_or_default(),
        epochs.len(),
        model.config.as_ref().map(|config| format!(" of {}", config.epochs)).unwrap_or_default()
    )?;
    let curve = |name, style, value: fn(&EpochRecord) -> Option<f64>| Curve {
        name,
        style,
        points: epochs
            .iter()
            .filter_map(|record| Some((record.epoch as f64, value(record)?)))
            .filter(|(_, value)| value.is_finite())
            .collect(),
    };
    let solid = "stroke=\"#1f4e79\"";
    let dashed = "stroke=\"#a33c00\" stroke-dasharray=\"6 3\"";
    writeln!(page, "<h2>Loss</h2>")?;
    chart(page, "mean cross-entropy in nats", &[curve("training", solid, |r| Some(r.train_loss))])?;
    writeln!(page, "<h2>Accuracy</h2>")?;
    let percent = [
        curve("training", solid, |record| Some(100.0 * record.train_accuracy)),
        curve("validation", dashed, |record| Some(100.0 * record.val_accuracy?)),
    ];
    chart(page, "images classified correctly, in percent", &percent)?;

    writeln!(
        page,
        "<h2>Epochs</h2>\n<table>\n<tr><th>epoch</th><th>loss</th><th>training</th><th>validation</th></tr>"
    )?;
    for record in epochs {
        let held = record.val_accuracy.map(|share| format!("{:.2} %", 100.0 * share));
        writeln!(
            page,
            "<tr><td>{}</td><td>{:.4}</td><td>{:.2} %</td><td>{}</td></tr>",
            record.epoch,
            record.train_loss,
            100.0 * record.train_accuracy,
            held.unwrap_or_default()
        )?;
    }
    let settings = serde_json::to_string_pretty(&model.config).expect("settings are plain data");
    write!(
        page,
        "</table>\n<h2>Settings</h2>\n<pre>{}</pre>\n<h2>Cells</h2>\n<pre>{}</pre>\n</body>\n</html>\n",
        escape(&settings),
        escape(&model.cell)
    )
}

/// A chart with axes through the least and greatest values of its curves; nothing without points.
fn chart(page: &mut String, what: &str, curves: &[Curve]) -> fmt::Result {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let range = |of: fn(&(f64, f64)) -> f64| {
        points().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| {
            (least.min(value), most.max(value))
        })
    };
    let (x_least, x_most) = range(|point| point.0);
    let (y_least, y_most) = range(|point| point.1);
    if points().next().is_none() {
        return writeln!(page, "<p>Nothing yet.</p>");
    }
    let marks = marks(y_least, y_most);
    let (y_least, y_most) =
        (y_least.min(marks[0]), y_most.max(*marks.last().expect("there is a mark")));
    // A single value stands in the middle.
    let along = |value: f64, least: f64, most: f64| match most - least {
        0.0 => 0.5,
        span => (value - least) / span,
    };
    let x = |value| MARGIN[0] + PLANE[0] * along(value, x_least, x_most);
    let y = |value| EDGE + PLANE[1] * (1.0 - along(value, y_least, y_most));
    let (width, height) = (MARGIN[0] + PLANE[0] + EDGE, EDGE + PLANE[1] + MARGIN[1]);
    writeln!(
        page,
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         font-size=\"12\" font-family=\"sans-serif\">\n<title>{what}</title>"
    )?;
    let right = MARGIN[0] + PLANE[0];
    for mark in marks {
        let at = y(mark);
        writeln!(
            page,
            "<path d=\"M{} {at:.1}H{right}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            MARGIN[0],
            MARGIN[0] - 6.0,
            at + 4.0,
            short(mark)
        )?;
    }
    let step = ((x_most - x_least) / (MARKS - 1) as f64).ceil().max(1.0);
    let mut epoch = x_least;
    while epoch <= x_most {
        let bottom = EDGE + PLANE[1] + 16.0;
        let at = x(epoch);
        writeln!(page, "<text x=\"{at:.1}\" y=\"{bottom}\" text-anchor=\"middle\">{epoch}</text>")?;
        epoch += step;
    }
    let middle = MARGIN[0] + PLANE[0] / 2.0;
    writeln!(
        page,
        "<text x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">epoch</text>",
        height - 2.0
    )?;
    for curve in curves.iter().filter(|curve| !curve.points.is_empty()) {
        let style = curve.style;
        let mut line = String::new();
        for (index, &(epoch, value)) in curve.points.iter().enumerate() {
            let command = if index == 0 { 'M' } else { 'L' };
            write!(line, "{command}{:.1} {:.1}", x(epoch), y(value))?;
        }
        writeln!(page, "<path d=\"{line}\" fill=\"none\" stroke-width=\"2\" {style}/>")?;
        for &(epoch, value) in &curve.points {
            writeln!(
                page,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\" fill=\"#fff\" {style}>\
                 <title>{} {epoch}: {value:.4}</title></circle>",
                x(epoch),
                y(value),
                curve.name
            )?;
        }
    }
    writeln!(page, "</svg>")?;
    let names = curves.iter().filter(|curve| !curve.points.is_empty()).map(|curve| {
        format!(
            "<svg width=\"28\" height=\"10\"><path d=\"M0 5H28\" stroke-width=\"2\" {}/></svg> {}",
            curve.style, curve.name
        )
    });
    let names: Vec<String> = names.collect();
    writeln!(page, "<p>{} ({what})</p>", names.join(" &#160; "))
}

/// Round numbers that cover a range, at least one and about as many as an axis has marks.
fn marks(least: f64, most: f64) -> Vec<f64> {
    let span = if most > least { most - least } else { least.abs().max(1.0) };
    let rough = span / (MARKS - 1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step =
        [1.0, 2.0, 5.0, 10.0].into_iter().map(|unit| unit * power).find(|&step| step >= rough);
    let step = step.expect("ten times a power is above what was rounded down to it");
    let first = (least / step).floor() as i64;
    let last = (most / step).ceil() as i64;
    (first..=last).map(|number| number as f64 * step).collect()
}

/// A mark without the digits that binary fractions add.
fn short(mark: f64) -> String {
    let text = format!("{mark:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_round_and_cover_the_range() {
        assert_eq!(marks(12.0, 97.5), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
        for (least, most) in [(0.013, 2.41), (5.0, 5.0), (-3.0, 3.0), (99.1, 99.4), (0.0, 0.0)] {
            let marks = marks(least, most);
            assert!(marks[0] <= least && *marks.last().expect("one") >= most, "{marks:?}");
            assert!(marks.len() <= MARKS + 2, "{marks:?}");
        }
        assert_eq!(short(0.1 + 0.2), "0.3");
    }
}
