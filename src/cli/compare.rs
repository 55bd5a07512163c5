//! `cellc compare`: what networks cost, beside what papers print about them.

use cellc::compare::{self, Form, Row, Selection};
use cellc::compile;
use cellc::error::Error;
use cellc::source::SourceFile;
use serde_json::json;

use super::args::{CompareArgs, TableFormat};
use super::input::{self, Failure, Input};
use super::output;

/// Prints a table for each source of published figures.
pub fn run(args: &CompareArgs) -> Result<(), Failure> {
    match compare(args) {
        Ok(agree) if agree || !args.exit_code => Ok(()),
        Ok(_) => Err(Failure::Exit(1)),
        Err(failure) if args.exit_code => {
            failure.report();
            Err(Failure::Exit(2))
        }
        Err(failure) => Err(failure),
    }
}

/// True if every published figure agrees.
fn compare(args: &CompareArgs) -> Result<bool, Failure> {
    let rows = rows(args)?;
    if rows.is_empty() {
        let (setting, value, reason) = match &args.source {
            Some(source) => {
                ("source", source.as_str(), "no source of published figures has this in its name")
            }
            None => (
                "scale",
                "missing",
                "no file claims anything there; give a scale such as --scale 2@96",
            ),
        };
        return Err(Error::Config { setting, value: value.into(), reason: reason.into() }.into());
    }
    let agree = rows.iter().filter_map(|row| row.published.as_ref()).all(|one| one.agrees());
    let tables = compare::tables(rows);
    output(&match args.format {
        TableFormat::Json => format!("{}\n", json!({ "tables": tables, "agree": agree })),
        TableFormat::Text => Form::Text.write(&tables),
        TableFormat::Markdown => Form::Markdown.write(&tables),
        TableFormat::Csv => Form::Csv.write(&tables),
    })?;
    Ok(agree)
}

fn rows(args: &CompareArgs) -> Result<Vec<Row>, Failure> {
    let selection = Selection {
        nets: args.net.clone(),
        scales: args.scale.clone(),
        source: args.source.clone(),
    };
    let mut rows = Vec::new();
    let mut add = |input: Input| {
        let name = input.source.name.trim_matches(['<', '>']);
        let found = compare::rows(name, &input.module, &selection);
        rows.extend(found.map_err(|fault| input.fault(fault))?);
        Ok::<(), Failure>(())
    };
    if args.files.is_empty() {
        for (name, text) in compile::EMBEDDED {
            add(input::check(SourceFile::new(format!("<{name}>"), text))?)?;
        }
    }
    for file in &args.files {
        add(input::load(file)?)?;
    }
    Ok(rows)
}
