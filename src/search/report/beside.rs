//! Other runs beside a search on its page: strategies compared by the best so far of each.

use std::fmt::{self, Write};
use std::fs;
use std::path::Path;

use super::super::best;
use super::super::ledger::{self, Record};
use crate::error::Error;
use crate::report::{Axis, CURVES, Chart, Curve, Shape, escape};

/// How many of the best have their mean in the table.
const TOP: usize = 5;

/// A run as it was when the search began.
pub(in crate::search) struct Other {
    /// The name of its folder.
    name: String,
    records: Vec<Record>,
    /// Whether the same space was searched and scored by the same evaluator with the same settings.
    is_alike: bool,
}

impl Other {
    /// Reads the run in `folder`; `settings` are those of the search that it is shown beside.
    ///
    /// # Errors
    /// [`Error::Read`], or [`Error::Ledger`] if the ledger is damaged.
    pub(in crate::search) fn read(folder: &Path, settings: &str) -> Result<Self, Error> {
        let config = folder.join("config.toml");
        let config = fs::read_to_string(&config).map_err(Error::read(config))?;
        let name = folder.file_name().unwrap_or(folder.as_os_str()).to_string_lossy().into_owned();
        let records = ledger::read(&folder.join("ledger.jsonl"))?;
        Ok(Other { name, records, is_alike: scoring(&config) == scoring(settings) })
    }
}

/// The parts of a configuration that rewards depend on: the space and the evaluator.
fn scoring(config: &str) -> Vec<&str> {
    let space = config.lines().filter(|line| line.starts_with("space_hash = "));
    let evaluator = config.lines().skip_while(|line| *line != "[evaluator]");
    space.chain(evaluator).collect()
}

/// Writes a search and the runs beside it, if there are any.
pub(super) fn write(page: &mut String, records: &[Record], others: &[Other]) -> fmt::Result {
    if others.is_empty() {
        return Ok(());
    }
    let own = [("this search", records, true)];
    let runs: Vec<(&str, &[Record], bool)> = own
        .into_iter()
        .chain(others.iter().map(|other| (&*other.name, &*other.records, other.is_alike)))
        .collect();
    writeln!(page, "<h2>Strategies compared</h2>")?;
    let curves = runs.iter().filter(|(_, records, _)| !records.is_empty()).take(CURVES);
    let curves = curves.map(|(name, records, _)| Curve {
        name: format!("{} ({name})", records[0].strategy),
        shape: Shape::Plain,
        points: best_so_far(records),
    });
    Chart { what: "best reward so far", axis: Axis::Count("trial"), curves: curves.collect() }
        .write(page)?;
    writeln!(
        page,
        "<table>\n<tr><th>run</th><th>strategy</th><th>trials</th><th>best</th><th>mean of the best {TOP}</th>\
         <th>seconds</th><th></th></tr>"
    )?;
    for (name, records, is_alike) in runs {
        let top: Vec<f64> = best(records, TOP).into_iter().map(Record::reward).collect();
        let (first, mean) = match top.first() {
            Some(first) => {
                let mean = top.iter().sum::<f64>() / top.len() as f64;
                (format!("{first:.4}"), format!("{mean:.4}"))
            }
            None => Default::default(),
        };
        writeln!(
            page,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{first}</td><td>{mean}</td><td>{:.0}</td><td>{}</td></tr>",
            escape(name),
            escape(records.first().map_or("", |record| &record.strategy)),
            records.len(),
            records.iter().map(|record| record.secs).sum::<f64>(),
            if is_alike { "" } else { "another space or evaluator" }
        )?;
    }
    writeln!(page, "</table>")
}

/// Trials and the best reward up to each, from the first that has one.
pub(super) fn best_so_far(records: &[Record]) -> Vec<(f64, f64)> {
    let scored = records.iter().filter(|record| record.outcome.is_ok());
    let best = scored.scan(f64::NEG_INFINITY, |best, record| {
        *best = best.max(record.reward());
        Some((record.trial as f64, *best))
    });
    best.collect()
}
