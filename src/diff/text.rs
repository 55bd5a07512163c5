//! A difference for people: a line for each change, then the counts.

use crate::graph::cost::grouped;
use std::fmt;

use super::align::differences;
use super::{Change, ChangeKind, Diff, Effect, Network, Points, Verdict};

/// The most lines that are shown of a file that does not parse.
const MOST_LINES: usize = 400;

/// Terminal escapes: bold, red, green, off.
const COLORS: [&str; 4] = ["\x1b[1m", "\x1b[31m", "\x1b[32m", "\x1b[0m"];

impl fmt::Display for Change {
    /// Place and change in one line, without what it costs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line([""; 4]))
    }
}

impl fmt::Display for Diff {
    /// The whole difference without colors.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl Diff {
    /// The whole difference, the last line ended; with terminal escapes if `is_colored`.
    pub fn render(&self, is_colored: bool) -> String {
        let colors = if is_colored { COLORS } else { [""; 4] };
        let [_, red, green, off] = colors;
        let mut text = String::new();
        match self.verdict {
            Verdict::Identical => return "no difference\n".into(),
            Verdict::SameMeaning => text += "no difference but layout or comments\n",
            Verdict::SameArchitecture => text += "same architecture, written differently\n",
            Verdict::Different => {}
        }
        for (side, fault) in [("old", &self.old_fault), ("new", &self.new_fault)] {
            if let Some(fault) = fault {
                text += &format!("the {side} file does not compile: {fault}\n");
            }
        }
        if let Some(why) = &self.uncounted {
            text += &format!("no counts: {why}\n");
        }
        let macs = self.network.as_ref().and_then(|network| network.before).map_or(0, |c| c.macs);
        let params =
            self.network.as_ref().and_then(|network| network.before).map_or(0, |c| c.params);
        for change in &self.changes {
            text += &change.line(colors);
            text += &effect(change.effect, macs, params);
            text.push('\n');
        }
        for line in self.lines.iter().take(MOST_LINES) {
            let color = if line.starts_with('-') { red } else { green };
            text += &format!("{color}{line}{off}\n");
        }
        if self.lines.len() > MOST_LINES {
            text += &format!("and {} lines more\n", self.lines.len() - MOST_LINES);
        }
        if self
            .changes
            .iter()
            .any(|change| matches!(change.effect, Some(Effect::Counts { is_exact: false, .. })))
        {
            text += "* of the changed part: the change does not compile alone\n";
        }
        if self.verdict == Verdict::Different {
            text += &self.network.as_ref().map_or(String::new(), totals);
            text += &self.space.map_or(String::new(), points);
        }
        text
    }
}

impl Change {
    fn line(&self, [bold, red, green, off]: [&str; 4]) -> String {
        let place = format!("{bold}{}{off}", self.place);
        let red = |text: &str| format!("{red}{text}{off}");
        let green = |text: &str| format!("{green}{text}{off}");
        let before = self.before.as_deref().unwrap_or_default();
        let after = self.after.as_deref().unwrap_or_default();
        match (self.kind, &self.before, &self.after) {
            (ChangeKind::Added, ..) => format!("{place}: added, {}", green(after)),
            (ChangeKind::Removed, ..) => format!("{place}: removed, was {}", red(before)),
            (ChangeKind::Renamed, ..) => format!("{place}: {before} -> {after} (renamed)"),
            (ChangeKind::OperandAdded, ..) | (ChangeKind::Changed, None, _) => {
                format!("{place}: {} added", green(after))
            }
            (ChangeKind::OperandRemoved, ..) | (ChangeKind::Changed, _, None) => {
                format!("{place}: {} removed", red(before))
            }
            (ChangeKind::Changed, Some(_), Some(_)) => {
                format!("{place}: {} -> {}", red(before), green(after))
            }
            (ChangeKind::Reordered, Some(_), _) => {
                format!("{place}: {before} -> {after} (operands swapped)")
            }
            (ChangeKind::Reordered, None, _) => format!("{place}: {after} reordered"),
            (ChangeKind::Permuted, ..) => format!("{place}: {after} in another order"),
        }
    }
}

fn effect(effect: Option<Effect>, macs_before: u64, params_before: u64) -> String {
    match effect {
        None => String::new(),
        Some(Effect::Points { factor }) => format!(", points x {}", short(factor)),
        Some(Effect::Counts { params, macs, is_exact }) => {
            let mut text = String::new();
            let shares = [(macs, macs_before, "multiply-adds"), (params, params_before, "params")];
            for (change, of, what) in shares {
                if change != 0 {
                    let share = match of {
                        0 => String::new(),
                        of => format!("{} ", percent(change, of)),
                    };
                    text += &format!(", {share}{what} ({})", signed(change));
                }
            }
            text + if is_exact { "" } else { " *" }
        }
    }
}

fn totals(network: &Network) -> String {
    let Network { net, n, base, before, after } = network;
    let mut text = format!("\nnet {net}, N = {n}, base width {base}\n");
    let mut total = |name: &str, before: Option<u64>, after: Option<u64>| {
        text += &match (before, after) {
            (Some(before), Some(after)) => {
                let change = percent(after as i64 - before as i64, before);
                format!("{name} {} -> {} ({change})\n", grouped(before, ','), grouped(after, ','))
            }
            (Some(before), None) => format!("{name} {} -> none\n", grouped(before, ',')),
            (None, Some(after)) => format!("{name} none -> {}\n", grouped(after, ',')),
            (None, None) => String::new(),
        };
    };
    total("params       ", before.map(|c| c.params), after.map(|c| c.params));
    total("multiply-adds", before.map(|c| c.macs), after.map(|c| c.macs));
    text
}

fn points(points: Points) -> String {
    let text = |points: Option<f64>| points.map_or("none".into(), short);
    format!("\npoints {} -> {}\n", text(points.before), text(points.after))
}

/// Three digits.
fn short(number: f64) -> String {
    if (0.01..1e6).contains(&number) {
        let text = format!("{number:.2}");
        text.trim_end_matches('0').trim_end_matches('.').to_string()
    } else {
        format!("{number:.2e}")
    }
}

/// A share with its sign; two decimals where one would say 0.
fn percent(change: i64, of: u64) -> String {
    if of == 0 {
        return "new".into();
    }
    let share = 100.0 * change as f64 / of as f64;
    if share != 0.0 && share.abs() < 0.95 {
        format!("{share:+.2} %")
    } else {
        format!("{share:+.1} %")
    }
}

fn signed(number: i64) -> String {
    let sign = if number < 0 { '-' } else { '+' };
    format!("{sign}{}", grouped(number.unsigned_abs(), ','))
}

/// The lines in which two texts differ.
pub(super) fn lines(old: &str, new: &str) -> Vec<String> {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let mut found = Vec::new();
    for (gone, fresh) in differences(&old, &new) {
        found.extend(old[gone].iter().map(|line| format!("-{line}")));
        found.extend(new[fresh].iter().map(|line| format!("+{line}")));
    }
    found
}
