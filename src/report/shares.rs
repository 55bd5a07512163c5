//! Shares of a whole as columns of a chart, and as a table of the same numbers.

use std::fmt::{self, Write};

use super::chart::{EDGE, MARGIN, PLANE, axis_name, begin_svg, horizontal};
use super::escape;

/// Fills of the first part, the second and so on. Dark and light ones take turns, so that neighbors are apart for
/// those who see no colors as well; a page that is dark turns light into dark and keeps the hues.
const FILLS: [&str; 16] = [
    "#1f4e79", "#eda04c", "#2e7d32", "#e88a9e", "#5e3c99", "#c9ad5a", "#006d77", "#a9c64f",
    "#6fa8dc", "#b34700", "#78c08c", "#a01c2c", "#ab92dc", "#6b4423", "#66c2c2", "#555555",
];

/// Room for a digit of a mark, in pixels.
const DIGIT: f64 = 7.0;

/// How the shares of parts change over numbered things: trials.
pub(crate) struct Shares<'a> {
    /// What they are shares of.
    pub what: &'a str,
    /// What is numbered, in the plural.
    pub things: &'a str,
    /// Names of the parts.
    pub parts: &'a [String],
    /// Columns from left to right, as wide as they have things.
    pub columns: Vec<Column>,
}

/// One column.
pub(crate) struct Column {
    /// The first of its things and the last.
    pub span: [usize; 2],
    /// The share of each part, from 0 to 1; the first part is on top.
    pub shares: Vec<f64>,
}

impl Shares<'_> {
    /// Writes the chart, what its fills mean, and the table; nothing without columns.
    pub(crate) fn write(&self, page: &mut String) -> fmt::Result {
        let (Some(first), Some(last)) = (self.columns.first(), self.columns.last()) else {
            return Ok(());
        };
        let (before, end) = (first.span[0] - 1, last.span[1]);
        let at_x =
            |number: usize| MARGIN[0] + PLANE[0] * (number - before) as f64 / (end - before) as f64;
        let height = begin_svg(page, self.what)?;
        for percent in [0, 25, 50, 75, 100] {
            let at = EDGE + PLANE[1] * (1.0 - f64::from(percent) / 100.0);
            horizontal(page, at, &format!("{percent} %"))?;
        }
        for Column { span: [from, to], shares } in &self.columns {
            let (left, right) = (at_x(from - 1), at_x(*to));
            let mut top = EDGE;
            for (part, &share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
                writeln!(
                    page,
                    "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" \
                     stroke=\"#fff\"><title>{}, {} {from} to {to}: {:.0} %</title></rect>",
                    right - left,
                    PLANE[1] * share,
                    fill(part),
                    escape(&self.parts[part]),
                    escape(self.things),
                    100.0 * share
                )?;
                top += PLANE[1] * share;
            }
            let marks = [format!("{from}\u{2013}{to}"), to.to_string()];
            let fits = |mark: &&String| mark.chars().count() as f64 * DIGIT <= right - left;
            writeln!(
                page,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                (left + right) / 2.0,
                EDGE + PLANE[1] + 16.0,
                marks.iter().find(fits).map_or("", String::as_str)
            )?;
        }
        axis_name(page, self.things, height)?;
        writeln!(page, "</svg>")?;
        let name = |(part, name): (usize, &String)| {
            format!(
                "<span style=\"white-space: nowrap; margin-right: 1em\"><svg width=\"12\" height=\"12\">\
                 <rect width=\"12\" height=\"12\" fill=\"{}\"/></svg> {}</span>",
                fill(part),
                escape(name)
            )
        };
        let names: Vec<String> = self.parts.iter().enumerate().map(name).collect();
        writeln!(page, "<p>{}</p>", names.join(" "))?;
        self.table(page)
    }

    fn table(&self, page: &mut String) -> fmt::Result {
        write!(
            page,
            "<details><summary>numbers</summary>\n<table>\n<tr><th>{} up to</th>",
            escape(self.things)
        )?;
        for column in &self.columns {
            write!(page, "<th>{}</th>", column.span[1])?;
        }
        writeln!(page, "</tr>")?;
        for (part, name) in self.parts.iter().enumerate() {
            write!(page, "<tr><th>{}</th>", escape(name))?;
            for column in &self.columns {
                write!(page, "<td>{:.0}&#160;%</td>", 100.0 * column.shares[part])?;
            }
            writeln!(page, "</tr>")?;
        }
        writeln!(page, "</table></details>")
    }
}

/// The fill of a part; of more parts than there are fills, two have the same.
fn fill(part: usize) -> &'static str {
    FILLS[part % FILLS.len()]
}
