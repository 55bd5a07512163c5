//! `cellc explain`: what a diagnostic code means, with a wrong and a right example.

use cellc::diagnostic::Code;
use cellc::error::Error;

use super::args::ExplainArgs;
use super::input::Failure;
use super::output;

/// Prints the explanation of a code, or the list of all codes.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let Some(text) = &args.code else {
        let line = |code: &Code| {
            let fix = if code.is_fixable() { " (--fix)" } else { "" };
            format!("{code}  {}{fix}\n", code.title())
        };
        return output(&Code::ALL.iter().map(line).collect::<String>());
    };
    let code: Code = text.parse().map_err(|_| Error::Config {
        setting: "code",
        value: text.clone(),
        reason: "there is no such diagnostic; `cellc explain` lists all".into(),
    })?;
    let fix = match code.is_fixable() {
        true => "\nWhere it is clear what was meant, `cellc check --fix` applies it.\n",
        false => "",
    };
    output(&format!("{code}: {}\n\n{}\n{fix}", code.title(), code.explanation().trim_end()))
}
