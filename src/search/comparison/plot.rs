//! A comparison as a picture: the best so far over the trials, its mean over runs as a line and the standard
//! error as a band around it. Above the reward that strategies see, then the column that is reported, then
//! the mean rewards of more than the one best.
//!
//! Lines differ in dashes as well as in color, and text is dark on light, so that a print in black and white
//! says the same. The picture needs no script, font or file of another place.

use std::fmt::{self, Write};

use super::{Contestant, Mean, TOPS};
use crate::report::{self, escape, marks, short};

/// Width and height of a chart's plane, in pixels.
const PLANE: [f64; 2] = [640.0, 260.0];
/// Room left of the plane and below it.
const MARGIN: [f64; 2] = [64.0, 44.0];
/// Room above the plane, for its title, and right of it.
const EDGE: [f64; 2] = [34.0, 16.0];
/// Height of a line of the legend.
const LEGEND: f64 = 20.0;
/// The scale of values begins where the worst strategy is after this share of the trials: what comes before
/// is steep, and nobody compares it.
const SHOWN_FROM: f64 = 0.05;

/// Color and dashes of a line, in order of strategies.
const LOOKS: [(&str, &str); 6] = [
    ("#1f4e79", "none"),
    ("#a33c00", "8 3"),
    ("#2c6b1f", "2 3"),
    ("#6a2c86", "10 3 2 3"),
    ("#7a4d00", "5 2"),
    ("#444444", "1 2"),
];

/// A chart: its title, and what it shows of a strategy after a trial.
struct Chart<'a> {
    title: String,
    value: &'a dyn Fn(&Contestant, usize) -> Option<Mean>,
}

/// The picture as an SVG document; `reward` and `report` name the columns.
pub fn svg(contestants: &[Contestant], reward: &str, report: Option<&str>) -> String {
    let mut text = String::new();
    write_svg(&mut text, contestants, reward, report).expect("writing to a string cannot fail");
    text
}

/// The same in a page.
pub fn html(contestants: &[Contestant], reward: &str, column: Option<&str>) -> String {
    let mut page = String::new();
    let written = report::begin(&mut page, "Search strategies compared")
        .and_then(|()| write_svg(&mut page, contestants, reward, column))
        .and_then(|()| report::end(&mut page));
    written.expect("writing to a string cannot fail");
    page
}

fn write_svg(
    text: &mut String,
    contestants: &[Contestant],
    reward: &str,
    report: Option<&str>,
) -> fmt::Result {
    let tops: Vec<_> = (0..TOPS.len())
        .map(|index| move |contestant: &Contestant, trial| contestant.top(index, trial))
        .collect();
    let of_best = |name: &str| format!("{name} of the best so far");
    let mut charts = vec![Chart { title: of_best(reward), value: &Contestant::reward }];
    charts.extend(report.map(|name| Chart { title: of_best(name), value: &Contestant::report }));
    charts.extend(TOPS.iter().zip(&tops).map(|(count, value)| Chart {
        title: format!("{reward} of the best {count} so far, mean"),
        value,
    }));
    let width = MARGIN[0] + PLANE[0] + EDGE[1];
    let chart_height = EDGE[0] + PLANE[1] + MARGIN[1];
    let height = chart_height * charts.len() as f64 + LEGEND * contestants.len() as f64 + EDGE[1];
    writeln!(
        text,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" font-size=\"12\" font-family=\"sans-serif\" \
         fill=\"#1a1a1a\">\n<title>Best so far over trials, mean and standard error</title>\n\
         <rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>"
    )?;
    for (index, drawn) in charts.iter().enumerate() {
        writeln!(text, "<g transform=\"translate(0 {})\">", chart_height * index as f64)?;
        chart(text, contestants, drawn)?;
        writeln!(text, "</g>")?;
    }
    let runs = contestants.first().map_or(0, |contestant| contestant.runs.len());
    for (index, contestant) in contestants.iter().enumerate() {
        let y = chart_height * charts.len() as f64 + LEGEND * (index as f64 + 0.5);
        let (color, dashes) = look(index);
        writeln!(
            text,
            "<path d=\"M{} {y}h36\" stroke=\"{color}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"/>\
             <text x=\"{}\" y=\"{}\">{}, {runs} runs</text>",
            MARGIN[0],
            MARGIN[0] + 44.0,
            y + 4.0,
            contestant.strategy
        )?;
    }
    writeln!(text, "</svg>")
}

fn look(index: usize) -> (&'static str, &'static str) {
    LOOKS[index % LOOKS.len()]
}

/// One chart with its axes.
fn chart(text: &mut String, contestants: &[Contestant], chart: &Chart) -> fmt::Result {
    let trials = contestants
        .iter()
        .flat_map(|contestant| &contestant.runs)
        .map(|run| run.best.len())
        .max()
        .unwrap_or(0);
    let shown_from = ((trials as f64 * SHOWN_FROM) as usize).max(1);
    // Percent, as tables have it.
    let at = |contestant: &Contestant, trial: usize| {
        let mean = (chart.value)(contestant, trial)?;
        Some([mean.mean - mean.error, mean.mean, mean.mean + mean.error].map(|share| 100.0 * share))
    };
    let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
    for contestant in contestants {
        for trial in shown_from..=trials {
            let Some([low, _, high]) = at(contestant, trial) else { continue };
            (least, most) = (least.min(low), most.max(high));
        }
    }
    let title = escape(&chart.title);
    writeln!(
        text,
        "<text x=\"{}\" y=\"18\" font-size=\"14\">{title}, in percent</text>",
        MARGIN[0]
    )?;
    if least > most {
        return writeln!(text, "<text x=\"{}\" y=\"{}\">nothing</text>", MARGIN[0], EDGE[0] + 20.0);
    }
    let levels = marks(least, most);
    let (bottom, top) = (levels[0], levels[levels.len() - 1]);
    let x = |trial: f64| MARGIN[0] + PLANE[0] * trial / trials as f64;
    let y = |percent: f64| {
        EDGE[0] + PLANE[1] * (1.0 - (percent.clamp(bottom, top) - bottom) / (top - bottom))
    };
    for &mark in &levels {
        writeln!(
            text,
            "<path d=\"M{} {:.1}h{}\" stroke=\"#dddddd\"/><text x=\"{}\" y=\"{:.1}\" \
             text-anchor=\"end\">{}</text>",
            MARGIN[0],
            y(mark),
            PLANE[0],
            MARGIN[0] - 6.0,
            y(mark) + 4.0,
            short(mark)
        )?;
    }
    let below = EDGE[0] + PLANE[1] + 16.0;
    for mark in marks(0.0, trials as f64) {
        if mark <= trials as f64 {
            let mark_x = x(mark);
            writeln!(
                text,
                "<text x=\"{mark_x:.1}\" y=\"{below}\" text-anchor=\"middle\">{}</text>",
                short(mark)
            )?;
        }
    }
    writeln!(
        text,
        "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">trials</text>",
        MARGIN[0] + PLANE[0] / 2.0,
        below + 16.0
    )?;
    for (index, contestant) in contestants.iter().enumerate() {
        let points: Vec<(f64, [f64; 3])> = (1..=trials)
            .filter_map(|trial| Some((x(trial as f64), at(contestant, trial)?.map(y))))
            // Below the scale there is nothing to see.
            .skip_while(|(_, [_, middle, _])| *middle >= y(bottom))
            .collect();
        let (color, dashes) = look(index);
        let upper = points.iter().map(|(x, [_, _, high])| (*x, *high));
        let lower = points.iter().rev().map(|(x, [low, _, _])| (*x, *low));
        let band = path(upper.chain(lower));
        let line = path(points.iter().map(|(x, [_, middle, _])| (*x, *middle)));
        writeln!(
            text,
            "<path d=\"{band}\" fill=\"{color}\" fill-opacity=\"0.2\"/>\n\
             <path d=\"{line}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dashes}\"><title>{}</title></path>",
            contestant.strategy
        )?;
    }
    Ok(())
}

fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.enumerate() {
        let command = if index == 0 { 'M' } else { 'L' };
        path.push_str(&format!("{command}{x:.1} {y:.1}"));
    }
    path
}
