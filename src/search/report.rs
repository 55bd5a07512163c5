//! A search as one HTML page: its reward over the trials, what the best accuracy costs or the Pareto front,
//! which options were chosen when, the best cells as pictures and text, and all trials.

pub(super) mod beside;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write};

use beside::Other;

use super::enas::SharedEpoch;
use super::ledger::Record;
use super::objective::{MeasureKind, Objective};
use super::run_dir::cell_name;
use super::strategy::Metrics;
use crate::compile;
use crate::draw;
use crate::graph::cost::grouped;
use crate::report::{self, Axis, Chart, Column, Curve, Shape, Shares, escape};
use crate::source::SourceFile;
use crate::space::SearchSpace;

/// How many of the best cells are shown.
pub(super) const CELLS: usize = 5;

/// How many trials the moving average reaches back.
const WINDOW: usize = 25;

/// Into how many parts of equal length the trials are divided to show how choices change.
const PARTS: usize = 8;

/// The most rows of the table of trials; the first ones are left out.
const ROWS: usize = 2_000;

/// What is known of a search.
pub(super) struct Report<'s> {
    /// The space that is searched.
    pub space: &'s SearchSpace,
    /// Name of the strategy.
    pub strategy: &'s str,
    /// Seed of the search.
    pub seed: u64,
    /// Number of training, validation and test images, if children are trained.
    pub images: Option<[usize; 3]>,
    /// All trials in order.
    pub records: &'s [Record],
    /// Trials wanted in all, at least those there are.
    pub trials: usize,
    /// The settings as the run's folder has them.
    pub settings: &'s str,
    /// The objectives of a Pareto front; none without one.
    pub pareto: &'s [Objective],
    /// The trials on it.
    pub front: Vec<&'s Record>,
    /// The best trials with the outcomes of their second training.
    pub retrained: &'s [Record],
    /// Runs that are shown beside it.
    pub others: &'s [Other],
    /// What the strategy learned before it was asked.
    pub learned: &'s [SharedEpoch],
    /// What it said about each batch, with the batch's last trial.
    pub updates: &'s [(usize, Metrics)],
    /// The best trials' cells: path from the folder, and text.
    pub cells: Vec<(&'s Record, String, String)>,
}

impl Report<'_> {
    /// The page.
    pub(super) fn html(&self) -> String {
        let mut page = String::new();
        self.write(&mut page).expect("writing to a string cannot fail");
        page
    }

    fn write(&self, page: &mut String) -> fmt::Result {
        let (name, strategy, seed) = (&self.space.name, self.strategy, self.seed);
        report::begin(page, &format!("Search of {name} by {strategy}, seed {seed}"))?;
        let count = |is_counted: fn(&Record) -> bool| {
            self.records.iter().filter(|record| is_counted(record)).count()
        };
        writeln!(
            page,
            "<p>{} of {} trials: {} networks, {} repeats of one, {} failed. {} decisions, {:.2e} architectures.</p>",
            self.records.len(),
            self.trials,
            count(|record| record.outcome.is_ok() && record.repeat_of.is_none()),
            count(|record| record.outcome.is_ok() && record.repeat_of.is_some()),
            count(|record| record.outcome.is_err()),
            self.space.decisions.len(),
            self.space.size()
        )?;
        if let Some(images) = self.images {
            let text = report::counted_images(images, "", "search");
            writeln!(page, "<p>Children: {text}.</p>")?;
        }
        self.shared_weights(page)?;
        self.rewards(page)?;
        self.entropy(page)?;
        beside::write(page, self.records, self.others)?;
        match self.pareto.is_empty() {
            true => self.costs(page)?,
            false => self.front(page)?,
        }
        self.second_trainings(page)?;
        self.choices(page)?;
        self.best_cells(page)?;
        self.table(page)?;
        report::listing(page, "Settings", self.settings)?;
        report::end(page)
    }

    /// What children scored with shared weights, epoch by epoch, and how undecided their controller was.
    fn shared_weights(&self, page: &mut String) -> fmt::Result {
        let Some(last) = self.learned.last() else { return Ok(()) };
        let curve = |name: &str, of: fn(&SharedEpoch) -> f64| Curve {
            name: name.into(),
            shape: Shape::Line,
            points: self.learned.iter().map(|epoch| (epoch.epoch as f64, of(epoch))).collect(),
        };
        writeln!(
            page,
            "<h2>Shared weights</h2>\n<p>{} epochs; {} parameters are shared by the children so far.</p>",
            self.learned.len(),
            grouped(last.params as u64, ',')
        )?;
        let curves = vec![
            curve("held-out images, mean reward of the controller", |epoch| epoch.reward),
            curve("training images", |epoch| epoch.train_accuracy),
        ];
        Chart { what: "accuracy", axis: Axis::Count("epoch"), curves }.write(page)?;
        let curves = vec![curve("entropy of a decision", |epoch| epoch.entropy)];
        Chart { what: "nats", axis: Axis::Count("epoch"), curves }.write(page)
    }

    /// How undecided a controller was after each batch of trials, if the strategy has one.
    fn entropy(&self, page: &mut String) -> fmt::Result {
        let of_batch = |(trial, metrics): &(usize, Metrics)| {
            let (_, entropy) = metrics.iter().find(|(name, _)| *name == "entropy")?;
            Some((*trial as f64, *entropy))
        };
        let points: Vec<(f64, f64)> = self.updates.iter().filter_map(of_batch).collect();
        if points.is_empty() {
            return Ok(());
        }
        writeln!(page, "<h2>Controller</h2>")?;
        let curves =
            vec![Curve { name: "entropy of a decision".into(), shape: Shape::Line, points }];
        Chart { what: "nats", axis: Axis::Count("trial"), curves }.write(page)
    }

    fn rewards(&self, page: &mut String) -> fmt::Result {
        let scored: Vec<(f64, f64)> = self
            .records
            .iter()
            .filter(|record| record.outcome.is_ok())
            .map(|record| (record.trial as f64, record.reward()))
            .collect();
        let average = |end: usize| {
            let window = &scored[(end + 1).saturating_sub(WINDOW)..=end];
            window.iter().map(|(_, reward)| reward).sum::<f64>() / window.len() as f64
        };
        let averages = (0..scored.len()).map(|end| (scored[end].0, average(end))).collect();
        let curve = |name: &str, shape, points| Curve { name: name.into(), shape, points };
        let curves = vec![
            curve("trial", Shape::Dots, scored.clone()),
            curve(&format!("mean of the last {WINDOW}"), Shape::Plain, averages),
            curve("best so far", Shape::Plain, beside::best_so_far(self.records)),
        ];
        writeln!(page, "<h2>Reward</h2>")?;
        Chart { what: "reward", axis: Axis::Count("trial"), curves }.write(page)
    }

    /// Reward over parameters, with those that no other trial is better and smaller than.
    fn costs(&self, page: &mut String) -> fmt::Result {
        let mut points: Vec<(f64, f64)> = self
            .records
            .iter()
            .filter(|record| record.repeat_of.is_none())
            .filter_map(|record| {
                Some((record.outcome.as_ref().ok()?.params as f64, record.reward()))
            })
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.total_cmp(&a.1)));
        let mut front: Vec<(f64, f64)> = Vec::new();
        for &point in &points {
            if front.last().is_none_or(|best| point.1 > best.1) {
                front.push(point);
            }
        }
        let curves = vec![
            Curve { name: "network".into(), shape: Shape::Dots, points },
            Curve { name: "none is smaller and better".into(), shape: Shape::Line, points: front },
        ];
        writeln!(page, "<h2>Reward and size</h2>")?;
        let axis = Axis::Quantity("parameters at the scale of the search");
        Chart { what: "reward", axis, curves }.write(page)
    }

    /// Every pair of objectives with the first one upwards, the front marked in it; then the front itself.
    fn front(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "<h2>Pareto front</h2>")?;
        let up = &self.pareto[0];
        let value = |record: &Record, objective: &Objective| match objective {
            Objective::Reward => Some(record.outcome.as_ref().ok()?.reward),
            Objective::Cost(measure) => record.costs.get(&measure.to_string()).copied(),
        };
        for along in &self.pareto[1..] {
            let point = |record: &Record| Some((value(record, along)?, value(record, up)?));
            let is_own = |record: &&Record| record.outcome.is_ok() && record.repeat_of.is_none();
            let all = self.records.iter().filter(is_own).filter_map(point).collect();
            let front = self.front.iter().filter_map(|record| point(record)).collect();
            // Of three objectives two do not show why a network is on the front: there is no line to it.
            let shape = if self.pareto.len() == 2 { Shape::Line } else { Shape::Dots };
            let curves = vec![
                Curve { name: "network".into(), shape: Shape::Dots, points: all },
                Curve { name: "Pareto front".into(), shape, points: front },
            ];
            let (what, name) = (described(up), described(along));
            Chart { what: &what, axis: Axis::Quantity(&name), curves }.write(page)?;
        }
        write!(page, "<table>\n<tr><th>trial</th>")?;
        for objective in self.pareto {
            write!(page, "<th>{}</th>", escape(&objective.to_string()))?;
        }
        writeln!(page, "<th></th></tr>")?;
        for record in &self.front {
            write!(page, "<tr><td>{}</td>", record.trial)?;
            for objective in self.pareto {
                let value = value(record, objective).unwrap_or(f64::NAN);
                let text = match objective {
                    Objective::Reward => format!("{value:.4}"),
                    Objective::Cost(measure) => measure.kind.text(value, ','),
                };
                write!(page, "<td>{text}</td>")?;
            }
            let path = escape(&cell_name(record));
            writeln!(page, "<td><a href=\"{path}\">cell</a></td></tr>")?;
        }
        writeln!(page, "</table>")
    }

    /// The best, trained again, beside what the search saw of them.
    fn second_trainings(&self, page: &mut String) -> fmt::Result {
        if self.retrained.is_empty() {
            return Ok(());
        }
        writeln!(
            page,
            "<h2>Trained again</h2>\n<table>\n<tr><th>trial</th><th>epochs</th><th>reward</th>\
             <th>epochs then</th><th>reward then</th><th></th></tr>"
        )?;
        for record in self.retrained {
            let before = &self.records[record.trial - 1];
            write!(
                page,
                "<tr><td>{}</td><td>{}</td><td>{:.4}</td>",
                record.trial,
                before.epochs(),
                before.reward()
            )?;
            let path = escape(&cell_name(before));
            match &record.outcome {
                Ok(found) => write!(page, "<td>{}</td><td>{:.4}</td>", found.epochs, found.reward)?,
                Err(failure) => {
                    write!(page, "<td></td><td>{}</td>", escape(&failure.to_string()))?;
                }
            }
            writeln!(page, "<td><a href=\"{path}\">cell</a></td></tr>")?;
        }
        writeln!(page, "</table>")
    }

    /// For decisions with the same options: how often each was taken, over time.
    fn choices(&self, page: &mut String) -> fmt::Result {
        let mut groups: BTreeMap<&[String], Vec<usize>> = BTreeMap::new();
        for (index, decision) in self.space.decisions.iter().enumerate() {
            groups.entry(&decision.options).or_default().push(index);
        }
        groups.retain(|options, decisions| options.len() > 1 && decisions.len() > 1);
        // What most decisions are about comes first.
        let mut groups: Vec<(&[String], Vec<usize>)> = groups.into_iter().collect();
        groups.sort_by_key(|(_, decisions)| (Reverse(decisions.len()), decisions[0]));
        if groups.is_empty() || self.records.is_empty() {
            return Ok(());
        }
        let length = self.records.len().div_ceil(PARTS);
        let what = "share of each option";
        writeln!(page, "<h2>Choices over time</h2>")?;
        for (options, decisions) in groups {
            let label = |index: usize| escape(&self.space.decisions[index].label);
            writeln!(
                page,
                "<p>{} decisions, {} to {}: {what}</p>",
                decisions.len(),
                label(decisions[0]),
                label(decisions[decisions.len() - 1])
            )?;
            let column = |part: &[Record]| Column {
                span: [part[0].trial, part[part.len() - 1].trial],
                shares: self.shares(part, &decisions, options.len()),
            };
            let columns = self.records.chunks(length).map(column).collect();
            Shares { what, things: "trials", parts: options, columns }.write(page)?;
        }
        Ok(())
    }

    /// The share of each option among those that trials took at these decisions, where they were active.
    fn shares(&self, records: &[Record], decisions: &[usize], options: usize) -> Vec<f64> {
        let mut counts = vec![0_usize; options];
        for record in records {
            let choices = &record.genotype.choices;
            for &decision in decisions.iter().filter(|&&at| self.space.is_active(at, choices)) {
                counts[choices[decision]] += 1;
            }
        }
        let all = counts.iter().sum::<usize>().max(1) as f64;
        counts.into_iter().map(|count| count as f64 / all).collect()
    }

    fn best_cells(&self, page: &mut String) -> fmt::Result {
        writeln!(page, "<h2>Best cells</h2>")?;
        for (record, path, text) in &self.cells {
            writeln!(
                page,
                "<h3 id=\"{}\">Trial {}: {:.4}, <a href=\"{}\">{}</a></h3>",
                anchor(record),
                record.trial,
                record.reward(),
                escape(path),
                escape(path)
            )?;
            // A cell of an evaluator of the user's own may be of a file that is not at hand.
            let figure = compile::check(&SourceFile::new(path.as_str(), text.as_str()))
                .ok()
                .and_then(|module| draw::figure(&module, &draw::Options::default()).ok());
            if let Some(figure) = figure {
                writeln!(page, "{}", figure.to_svg())?;
            }
            writeln!(
                page,
                "<details><summary>text</summary>\n<pre>{}</pre></details>",
                escape(text)
            )?;
        }
        Ok(())
    }

    fn table(&self, page: &mut String) -> fmt::Result {
        let shown: BTreeSet<usize> = self.cells.iter().map(|(record, ..)| record.trial).collect();
        writeln!(page, "<h2>Trials</h2>")?;
        let left_out = self.records.len().saturating_sub(ROWS);
        if left_out > 0 {
            writeln!(page, "<p>The first {left_out} are in the ledger.</p>")?;
        }
        writeln!(
            page,
            "<table>\n<tr><th>trial</th><th>reward</th><th>params</th><th>multiply-adds</th><th>scale</th>\
             <th>seconds</th><th></th></tr>"
        )?;
        for record in &self.records[left_out..] {
            let trial = record.trial;
            write!(page, "<tr><td>{trial}</td>")?;
            let note = match (&record.outcome, record.repeat_of) {
                (Ok(_), Some(source)) => format!("same network as trial {source}"),
                (Err(failure), Some(source)) => {
                    format!("same network as trial {source}, {}", escape(&failure.to_string()))
                }
                (Err(failure), None) => escape(&failure.to_string()),
                (Ok(_), None) => {
                    let path = escape(&cell_name(record));
                    let cell = format!("<a href=\"{path}\">cell</a>");
                    match shown.contains(&trial) {
                        true => format!("{cell}, <a href=\"#{}\">picture</a>", anchor(record)),
                        false => cell,
                    }
                }
            };
            match &record.outcome {
                Ok(found) => writeln!(
                    page,
                    "<td>{:.4}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1}</td><td>{note}</td></tr>",
                    found.reward,
                    grouped(found.params, ','),
                    grouped(found.macs, ','),
                    escape(&found.scale),
                    record.secs
                )?,
                Err(_) => writeln!(
                    page,
                    "<td></td><td></td><td></td><td></td><td>{:.1}</td><td>{note}</td></tr>",
                    record.secs
                )?,
            }
        }
        writeln!(page, "</table>")
    }
}

/// An objective with its unit, as charts name it.
fn described(objective: &Objective) -> String {
    match objective {
        Objective::Reward => "reward".into(),
        Objective::Cost(measure) => match measure.kind {
            MeasureKind::Params => format!("{measure}: parameters"),
            MeasureKind::Macs => format!("{measure}: multiply-adds"),
            MeasureKind::Latency => format!("{measure} in milliseconds"),
        },
    }
}

/// The name of a trial's place on the page.
fn anchor(record: &Record) -> String {
    format!("trial-{}", record.trial)
}
