//! The command line: parse arguments, run one command, exit.
//!
//! Exit codes: 0 fine, 1 a file or a setting is wrong, 2 the command line cannot be read, 101 a bug of ours.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
