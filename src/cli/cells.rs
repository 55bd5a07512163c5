//! `cellc cells`: the library of cells inside the program.

use cellc::compile;
use cellc::error::Error;

use super::args::CellsArgs;
use super::input::Failure;
use super::output;

/// Prints one file of the library, or lists all with the first line of their comment.
pub fn run(args: &CellsArgs) -> Result<(), Failure> {
    let Some(name) = &args.name else {
        let width = compile::EMBEDDED.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        let list: String = compile::EMBEDDED
            .iter()
            .map(|(name, text)| {
                let first = text.lines().next().unwrap_or_default().trim_start_matches(['/', ' ']);
                format!("{name:<width$}  {first}\n")
            })
            .collect();
        return output(&list);
    };
    let text = compile::embedded(name).or_else(|| compile::embedded(&format!("{name}.cell")));
    let text = text.ok_or_else(|| Error::Config {
        setting: "cell",
        value: name.clone(),
        reason: "there is no such file in the library; `cellc cells` lists all".into(),
    })?;
    output(text)
}
