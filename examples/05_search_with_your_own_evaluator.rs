//! A search with an evaluator of the caller's own: here the reward is how close a network comes to a
//! million multiply-adds, so nothing is trained and the search is over in a second or two.
//!
//! Ends with `best of 60: 0.99` and the cell that reached it.

#![allow(clippy::print_stdout, reason = "an example shows its result")]

use std::ops::ControlFlow;
use std::time::Duration;

use cellc::compile::{self, Request};
use cellc::graph::cost::{Cost, Counts};
use cellc::graph::lower::{Scale, Width};
use cellc::ir::Module;
use cellc::search::{
    self, Evaluation, Evaluator, Failure, FailureKind, PpoConfig, Provenance, RunFolder,
    SearchConfig, StrategyConfig,
};
use cellc::source::SourceFile;
use cellc::space::{self, Genotype};
use cellc::syntax::{self, ast};

const WANTED_MACS: f64 = 1_000_000.0;

struct Size {
    file: ast::File,
    module: Module,
}

impl Size {
    fn request(&self, genotype: &Genotype) -> Request {
        let genotype = Some(genotype.clone());
        Request { width: Width::Base(2), genotype, ..Request::new("cifar", Scale { n: 1, f: 0 }) }
    }
}

impl Evaluator for Size {
    fn id(&self, genotype: &Genotype) -> String {
        compile::architecture_id(&self.module, "cifar", Some(genotype)).unwrap_or_default()
    }

    fn evaluate(&self, genotype: &Genotype, _seed: u64) -> Result<Evaluation, Failure> {
        let lowered = compile::network(&self.module, &self.request(genotype))
            .map_err(|fault| Failure::new(FailureKind::Rejected, fault.to_string()))?;
        let Counts { params, macs, .. } = Cost::of(&lowered.graph).total;
        let reward = 1.0 - (macs as f64 / WANTED_MACS).ln().abs().min(1.0);
        let scale = lowered.scale.to_string();
        Ok(Evaluation { reward, val_accuracy: 0.0, params, macs, scale, epochs: 0 })
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        let cells = syntax::print(&space::fill(&self.file, &self.module, genotype));
        format!("/// {provenance}.\n{cells}")
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let trials = if std::env::args().any(|arg| arg == "--quick") { 20 } else { 60 };
    let text = compile::embedded("nasnet_space.cell").ok_or("the space is in the library")?;
    let source = SourceFile::new("nasnet_space.cell", text);
    let size = Size { file: syntax::parse(&source)?, module: compile::check(&source)? };
    let space = size.module.space.as_ref().ok_or("the file holds a space")?.decisions.clone();

    let strategy = StrategyConfig::Ppo(PpoConfig::default());
    let config = SearchConfig { seed: 1, trials, workers: 2, strategy, ..SearchConfig::default() };
    let folder = std::env::temp_dir().join(format!("cellc-example-{}", std::process::id()));
    let clock = || Duration::ZERO;
    let history =
        search::run(&space, &size, &config, &RunFolder::New(folder.clone()), &clock, &mut |_| {
            ControlFlow::Continue(())
        })?;

    let best = history.best.map_or(0.0, |best| history.trials[best].reward());
    println!("best of {trials}: {best:.2}");
    println!("{}", std::fs::read_to_string(folder.join("best.cell"))?);
    std::fs::remove_dir_all(&folder)?;
    Ok(())
}
