//! `cellc explain`: what a diagnostic code means, with a wrong and a right example.

use cellc::diagnostic::Code;
use cellc::error::Error;

use super::args::ExplainArgs;
use super::input::Failure;
use super::output;

/// Prints the explanation of a code, or the list of all codes.
pub fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let Some(text) = &args.code else {
        let list: String =
            Code::ALL.iter().map(|code| format!("{code}  {}\n", code.title())).collect();
        return output(&list);
    };
    let code: Code = text.parse().map_err(|_| Error::Config {
        setting: "code",
        value: text.clone(),
        reason: "there is no such diagnostic; `cellc explain` lists all".into(),
    })?;
    output(&format!("{code}: {}\n\n{}\n", code.title(), code.explanation().trim_end()))
}
