//! `cellc diff`: what changed between two files, in blocks.

use cellc::compile::Request;
use cellc::diff::{BlockChange, Diff, Side, diff};

use super::args::{DiffArgs, Report};
use super::input::{self, Failure};
use super::output;
use super::table::{grouped, signed};

/// Prints the changed blocks and the counts before and after.
pub fn run(args: &DiffArgs) -> Result<(), Failure> {
    let (before, after) = (input::load(&args.before)?, input::load(&args.after)?);
    // One scale for both, or the counts could not be compared.
    let scale = before.scale(&args.net).or_else(|_| after.scale(&args.net))?;
    let old = before.network(&Request::new(&args.net.net, scale))?;
    let width = cellc::graph::lower::Width::Base(old.base);
    let new = after.network(&Request { width, ..Request::new(&args.net.net, scale) })?;
    let (old_file, new_file) = (before.written_out(), after.written_out());
    let found = diff(
        Side { file: &old_file, graph: &old.graph },
        Side { file: &new_file, graph: &new.graph },
    );
    match args.format {
        Report::Json => output(&format!("{}\n", serde_json::json!(found))),
        Report::Text => output(&text(
            &found,
            &format!("net {} at {scale}, base width {}", args.net.net, old.base),
        )),
    }
}

fn text(found: &Diff, network: &str) -> String {
    if found.is_empty() {
        return "no difference\n".into();
    }
    let mut text = String::new();
    for change in &found.blocks {
        text += &line(change, found);
    }
    for other in &found.others {
        text += &format!("{other}\n");
    }
    let total = |name: &str, before: u64, after: u64| {
        format!(
            "{name} {} -> {} ({})\n",
            grouped(before),
            grouped(after),
            percent(after as i64 - before as i64, before)
        )
    };
    text += &format!("\n{network}\n");
    text += &total("params       ", found.before.params, found.after.params);
    text += &total("multiply-adds", found.before.macs, found.after.macs);
    text
}

fn line(change: &BlockChange, found: &Diff) -> String {
    let side = change.side.map(|side| format!(".{side}")).unwrap_or_default();
    let place = format!("{}.{}{side}", change.cell, change.block);
    let what = match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{before} -> {after}"),
        (None, Some(after)) => format!("new block {after}"),
        (Some(before), None) => format!("removed, was {before}"),
        (None, None) => String::new(),
    };
    let cost = if change.params == 0 && change.macs == 0 {
        String::new()
    } else {
        format!(
            "  {} params, {} multiply-adds ({})",
            signed(change.params),
            signed(change.macs),
            percent(change.macs, found.before.macs)
        )
    };
    format!("{place}: {what}{cost}\n")
}

fn percent(change: i64, of: u64) -> String {
    if of == 0 { "new".into() } else { format!("{:+.1} %", 100.0 * change as f64 / of as f64) }
}
