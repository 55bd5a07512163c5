//! `cellc show`: what a stage of the compiler makes of a file.

use cellc::compile::{self, Request};
use cellc::ir::Module;
use cellc::plan::{Mode, Plan};
use cellc::space::{Genotype, When};

use super::args::{ShowArgs, Stage};
use super::input::{self, Failure};
use super::output;

/// Prints one stage.
pub fn run(args: &ShowArgs) -> Result<(), Failure> {
    if args.stage == Stage::Ast {
        let source = input::read(&args.file)?;
        let file = cellc::syntax::parse(&source)
            .map_err(|diagnostics| Failure::Cells(Box::new(source.clone()), diagnostics))?;
        return output(&format!("{:#?}\n", file.items));
    }
    let input = input::load(&args.file)?;
    let genotype = args.genotype.clone().map(|choices| Genotype { choices });
    let text = match args.stage {
        Stage::Ast => unreachable!("printed above, before the file is checked"),
        Stage::Ir => input.module.to_string(),
        Stage::Space => space(&input.module),
        Stage::Expression => compile::expressions(&input.module, genotype.as_ref())?
            .into_iter()
            .map(|(name, expression)| format!("{name} = {expression}\n"))
            .collect(),
        Stage::Graph | Stage::Simplified | Stage::Plan => {
            let scale = input.scale(&args.net)?;
            let request = Request { genotype, ..Request::new(input.net(&args.net), scale) };
            match args.stage {
                Stage::Graph => compile::lower_only(&input.module, &request)
                    .map_err(|fault| input.fault(fault))?
                    .graph
                    .to_string(),
                Stage::Plan => {
                    let mode =
                        Mode::Train { dropout: false, drop_path: false, image_gradient: false };
                    Plan::new(&input.network(&request)?.graph, mode).to_string()
                }
                _ => input.network(&request)?.graph.to_string(),
            }
        }
    };
    output(&text)
}

/// One line a decision: label, condition, options with their weights; then what a point must meet.
fn space(module: &Module) -> String {
    let Some(space) = &module.space else { return "no holes: one architecture\n".into() };
    let requires = &space.requires;
    let space = &space.decisions;
    let mut text = format!(
        "space {}: {} decisions, {:.3e} points\n",
        space.name,
        space.decisions.len(),
        space.size()
    );
    for (index, decision) in space.decisions.iter().enumerate() {
        let when = match &decision.when {
            Some(When { decision, options }) if options.is_empty() => {
                format!(" never, whatever {decision} is")
            }
            Some(When { decision, options }) => {
                let options: Vec<String> = options.iter().map(usize::to_string).collect();
                format!(" if {decision} is {}", options.join(" or "))
            }
            None => String::new(),
        };
        let options = decision.options.iter().zip(&decision.weights);
        let options: Vec<String> = options
            .map(|(option, &weight)| match weight {
                1 => option.clone(),
                _ => format!("{option}: {weight}"),
            })
            .collect();
        text += &format!("{index} {}{when}: {}\n", decision.label, options.join(" | "));
    }
    for require in requires {
        text += &format!("require {}\n", require.text);
    }
    text
}
