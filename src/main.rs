//! The command line: parse arguments, run one command, exit.
//!
//! Exit codes: 0 fine, 1 the input is wrong, 2 wrong usage, 101 a bug of ours.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
