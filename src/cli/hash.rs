//! `cellc hash`: the identity of an architecture.

use cellc::compile;
use cellc::space::Genotype;

use super::args::HashArgs;
use super::input::{self, Failure};
use super::output;

/// Prints a line a file: hash, two spaces, name.
pub fn run(args: &HashArgs) -> Result<(), Failure> {
    let genotype = args.genotype.clone().map(|choices| Genotype { choices });
    for file in &args.files {
        let input = input::load(file)?;
        let id = if args.class {
            compile::class_id(&input.module, genotype.as_ref())?
        } else {
            let net = args.net.as_deref().unwrap_or_else(|| input.module.default_net());
            compile::architecture_id(&input.module, net, genotype.as_ref())
                .map_err(|fault| input.fault(fault))?
        };
        output(&format!("{id}  {}\n", input.source.name))?;
    }
    Ok(())
}
