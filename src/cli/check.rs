//! `cellc check`: says everything that is wrong with files, or how many are fine.

use cellc::diagnostic::render::{Style, render};

use super::args::{CheckArgs, Format};
use super::input::{self, Failure};
use super::output;

/// Checks each file; all files are looked at before the command fails.
pub fn run(args: &CheckArgs) -> Result<(), Failure> {
    let mut has_failed = false;
    for path in &args.files {
        match input::load(path) {
            Ok(checked) if args.format == Format::Human => {
                let claims: usize =
                    checked.module.expects.iter().map(|expect| expect.claims.len()).sum();
                let proved =
                    if claims > 0 { format!(", {claims} counts proved") } else { String::new() };
                output(&format!("{}: fine{proved}\n", checked.source.name))?;
            }
            Ok(_) => {}
            Err(Failure::Cells(source, diagnostics)) => {
                has_failed = true;
                match args.format {
                    Format::Human => Failure::Cells(source, diagnostics).report(),
                    Format::Short => output(&render(&diagnostics, &source, Style::Short))?,
                    Format::Json => output(&render(&diagnostics, &source, Style::Json))?,
                }
            }
            Err(failure) => {
                has_failed = true;
                failure.report();
            }
        }
    }
    if has_failed { Err(Failure::Silent) } else { Ok(()) }
}
