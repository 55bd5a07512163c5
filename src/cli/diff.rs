//! `cellc diff`: what changed between two files, in blocks; and the same as git's diff driver.

use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::Path;

use cellc::diff::{Diff, Options, diff};
use cellc::error::Error;
use cellc::source::{Folders, SourceFile};
use clap::CommandFactory;
use clap::error::ErrorKind;

use super::args::{Cli, DiffArgs, Report};
use super::input::{self, Failure};
use super::output;

/// Compares two files, or what git hands over.
pub fn run(args: &DiffArgs) -> Result<(), Failure> {
    let options = Options { net: args.net.clone(), scale: args.scale, loader: &Folders };
    if !args.git.is_empty() {
        return output(&for_git(&args.git, &options));
    }
    // clap sees to it that both are there without `--git`.
    let (Some(before), Some(after)) = (&args.before, &args.after) else {
        usage("two files are needed")
    };
    match compare(args, before, after, &options) {
        Ok(()) => Ok(()),
        Err(Failure::Exit(code)) => Err(Failure::Exit(code)),
        Err(failure) if args.exit_code => {
            failure.report();
            Err(Failure::Exit(2))
        }
        Err(failure) => Err(failure),
    }
}

fn compare(
    args: &DiffArgs,
    before: &Path,
    after: &Path,
    options: &Options<'_>,
) -> Result<(), Failure> {
    let (old, new) = (input::read(before)?, input::read(after)?);
    let found = diff(&old, &new, options);
    output(&match args.format {
        Report::Json => format!("{}\n", serde_json::json!(found)),
        Report::Text => found.render(is_colored()),
    })?;
    for (source, fault) in [(&old, &found.old_fault), (&new, &found.new_fault)] {
        if let Some(fault) = fault {
            eprintln!("error: `{}` does not compile: {fault}", source.name);
        }
    }
    if found.old_fault.is_some() || found.new_fault.is_some() {
        Err(if args.exit_code { Failure::Exit(2) } else { Failure::Silent })
    } else if args.exit_code && !found.verdict.is_same() {
        Err(Failure::Exit(1))
    } else {
        Ok(())
    }
}

/// What git's `diff.<driver>.command` passes: a path alone if it is unmerged; else path, file, object
/// and mode before, the same after; and for a rename the new path and a description.
fn for_git(args: &[OsString], options: &Options<'_>) -> String {
    let bold = |text: String| if is_colored() { format!("\x1b[1m{text}\x1b[0m") } else { text };
    let name = |index: usize| args[index].to_string_lossy();
    let (old_path, new_path) = match args.len() {
        1 => return bold(format!("cellc diff {}: unmerged", name(0))) + "\n",
        7 => (name(0), name(0)),
        8.. => (name(0), name(7)),
        _ => usage("git passes 1, 7 or 9 arguments to a diff driver"),
    };
    let (old_mode, new_mode) = (name(3), name(6));
    let what = match (old_mode == ".", new_mode == ".") {
        (true, _) => format!("{new_path} (new file)"),
        (false, true) => format!("{old_path} (deleted)"),
        (false, false) if old_path != new_path => format!("{old_path} -> {new_path}"),
        (false, false) if old_mode != new_mode => {
            format!("{new_path} (mode {old_mode} -> {new_mode})")
        }
        (false, false) => new_path.to_string(),
    };
    let header = bold(format!("cellc diff {what}")) + "\n";
    let read = |file: usize, mode: &str, path: &str| match mode {
        "." => Ok(SourceFile::new(path, "")),
        // The file is a copy in another folder; what it uses is beside the one in the repository.
        _ => SourceFile::read(Path::new(&args[file]))
            .map(|source| SourceFile { name: path.to_owned(), ..source }),
    };
    // Whatever the files hold, git stops at a driver that fails: a fault is part of the answer.
    let found = read(1, &old_mode, &old_path)
        .and_then(|old| Ok(diff(&old, &read(4, &new_mode, &new_path)?, options)));
    header
        + &found.map_or_else(
            |error: Error| format!("{error}\n"),
            |found: Diff| found.render(is_colored()),
        )
}

/// Colors where a person reads, also through the pager that git started, unless `NO_COLOR` is set.
fn is_colored() -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && (io::stdout().is_terminal() || is_set("GIT_PAGER_IN_USE"))
}

fn usage(message: &str) -> ! {
    let mut command = Cli::command();
    command.build();
    let command = command.find_subcommand_mut("diff").expect("`diff` is a command");
    command.error(ErrorKind::WrongNumberOfValues, message).exit()
}
