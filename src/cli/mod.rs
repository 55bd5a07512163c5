//! The command line. Results go to stdout, everything else to stderr; the library does the work.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "the command line is what prints")]

mod args;
mod bench;
mod cells;
mod check;
mod compare;
mod diff;
mod draw;
mod eval;
mod explain;
#[cfg(feature = "onnx")]
mod export;
mod fmt;
mod hash;
mod import;
mod input;
#[cfg(feature = "lsp")]
mod lsp;
#[cfg(feature = "images")]
mod predict;
mod progress;
mod queue;
mod search;
mod settings;
mod show;
mod stats;
mod table;
mod train;
mod worker;

use std::io::{self, Write};
use std::process::ExitCode;

use cellc::data::{self, DataSpec, Dataset, LoadConfig};
use cellc::device::cpu::Isa;
use cellc::error::Error;
use clap::{CommandFactory, FromArgMatches};

use args::{Cli, Command};
use input::Failure;

/// The data set, with what was passed over said.
fn load_data(spec: &DataSpec, config: &LoadConfig) -> Result<Dataset, Error> {
    let data = data::load_with(spec, config)?;
    for note in &data.notes {
        eprintln!("note: {note}");
    }
    Ok(data)
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = parse();
    if let Err(failure) = check_kernels() {
        failure.report();
        return ExitCode::from(failure.exit_code());
    }
    let outcome = match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Show(args) => show::run(args),
        Command::Stats(args) => stats::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Train(args) => train::run(args),
        Command::Eval(args) => eval::run(args),
        #[cfg(feature = "images")]
        Command::Predict(args) => predict::run(args),
        Command::Import(args) => import::run(args),
        #[cfg(feature = "onnx")]
        Command::Export(args) => export::run(args),
        Command::Search(args) => search::run(args),
        Command::Worker(args) => worker::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Draw(args) => draw::run(args),
        Command::Hash(args) => hash::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Cells(args) => cells::run(args),
        #[cfg(feature = "lsp")]
        Command::Lsp(_) => return lsp::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.report();
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The arguments. A number below 0 is the value of its option, which says what is wrong with it, and no option
/// itself.
fn parse() -> Cli {
    let command = Cli::command().mut_subcommands(|command| {
        command.mut_args(|arg| match arg.get_long().is_some() && arg.get_action().takes_values() {
            true => arg.allow_negative_numbers(true),
            false => arg,
        })
    });
    Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

/// Refuses a choice of kernels that this processor cannot run, which the library would pass over.
fn check_kernels() -> Result<(), Failure> {
    let Ok(name) = std::env::var(Isa::VARIABLE) else { return Ok(()) };
    let reason = match name.parse::<Isa>() {
        Ok(isa) if isa.is_available() => return Ok(()),
        Ok(_) => "this processor does not have it".to_owned(),
        Err(reason) => reason,
    };
    Err(Error::Config { setting: Isa::VARIABLE, value: name, reason }.into())
}

/// Sets the number of compute threads of this process.
fn use_threads(threads: Option<usize>) -> Result<(), Failure> {
    let Some(threads) = threads else { return Ok(()) };
    let refuse =
        |reason: String| Error::Config { setting: "threads", value: threads.to_string(), reason };
    if threads == 0 {
        return Err(refuse("it must be at least 1".into()).into());
    }
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build_global()
        .map_err(|error| refuse(error.to_string()).into())
}

/// How many images there are of each part of a data set, `left_out` of which are for validation by the set
/// itself and not used.
fn counted_images([train, validation, test]: [usize; 3], left_out: usize) -> String {
    let left_out = match left_out {
        0 => String::new(),
        count => format!("; the {count} that the set keeps for validation are left out"),
    };
    format!("{train} training, {validation} validation and {test} test images{left_out}")
}

/// Writes a result to stdout. A reader that went away, such as `head`, is no fault.
fn output(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        _ => Ok(()),
    }
}
