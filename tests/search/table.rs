//! Search spaces, an evaluator that looks rewards up, and run folders as text.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use cellc::error::Error;
use cellc::graph::{Graph, Op, TensorType};
use cellc::search::{
    Evaluation, Evaluator, Event, Failure, NetScale, PpoConfig, Provenance, RunFolder,
    SearchConfig, SearchHistory, StrategyConfig, run,
};
use cellc::space::{Decision, Genotype, SearchSpace, When};

fn decision(label: impl Into<String>, options: usize, when: Option<(usize, usize)>) -> Decision {
    let options = (0..options).map(|option| format!("op{option}")).collect();
    let when = when.map(|(decision, option)| When { decision, options: vec![option] });
    Decision { when, ..Decision::new(label, options) }
}

/// `n` decisions of `options` each.
pub fn flat_space(n: usize, options: usize) -> SearchSpace {
    let decisions = (0..n).map(|index| decision(format!("d{index}"), options, None)).collect();
    SearchSpace { name: "flat".into(), decisions }
}

/// Six decisions; the third exists for option 1 of the first only, the fourth inside the third.
pub fn nested_space() -> SearchSpace {
    let decisions = vec![
        decision("a", 3, None),
        decision("b", 2, None),
        decision("c", 3, Some((0, 1))),
        decision("d", 2, Some((2, 0))),
        decision("e", 4, None),
        decision("f", 3, None),
    ];
    SearchSpace { name: "nested".into(), decisions }
}

/// The reward is a function of the genotype.
pub struct Table {
    pub reward: fn(&Genotype) -> Result<f64, Failure>,
    /// Genotypes that differ in this decision only are the same architecture.
    pub ignored: Option<usize>,
    /// The network of a genotype, if there are networks.
    pub network: Option<fn(&Genotype) -> Graph>,
    /// What an evaluation does first.
    pub pause: Box<dyn Fn(&Genotype) + Sync>,
    pub evaluated: Mutex<Vec<(String, u64)>>,
}

impl Table {
    pub fn new(reward: fn(&Genotype) -> Result<f64, Failure>) -> Self {
        Table {
            reward,
            ignored: None,
            network: None,
            pause: Box::new(|_| ()),
            evaluated: Mutex::default(),
        }
    }

    /// The same with evaluations that take `duration` of the first choice.
    pub fn slowed(self, duration: fn(u64) -> Duration) -> Self {
        let pause = move |genotype: &Genotype| thread::sleep(duration(genotype.choices[0] as u64));
        Table { pause: Box::new(pause), ..self }
    }

    /// Ids in the order in which their evaluations began, with the training seeds.
    pub fn evaluated(&self) -> Vec<(String, u64)> {
        self.evaluated.lock().unwrap().clone()
    }
}

impl Evaluator for Table {
    fn id(&self, genotype: &Genotype) -> String {
        let mut choices = genotype.choices.clone();
        if let Some(ignored) = self.ignored {
            choices[ignored] = 0;
        }
        choices.iter().map(|&choice| char::from_digit(choice as u32, 36).unwrap()).collect()
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        self.evaluated.lock().unwrap().push((self.id(genotype), seed));
        (self.pause)(genotype);
        // A little noise from the seed, so that a wrong seed shows in the ledger.
        let reward = (self.reward)(genotype)? + (seed % 1000) as f64 * 1e-9;
        let (params, macs) = (1000 + genotype.choices[0] as u64, 2000);
        let scale = "1@96".into();
        Ok(Evaluation { reward, val_accuracy: reward, params, macs, scale, epochs: 3 })
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        format!("/// {provenance} on a table.\n{:?}\n", genotype.choices)
    }

    fn network(&self, genotype: &Genotype, _at: Option<&NetScale>) -> Result<Graph, String> {
        self.network.map(|network| network(genotype)).ok_or("there are no networks".into())
    }

    fn settings(&self) -> Vec<(String, String)> {
        vec![("data".into(), "table".into())]
    }
}

/// Share of decisions that take option 2.
pub fn matches(genotype: &Genotype) -> Result<f64, Failure> {
    let hits = genotype.choices.iter().filter(|&&choice| choice == 2).count();
    Ok(hits as f64 / genotype.choices.len() as f64)
}

/// A dense layer on one pixel, with ten parameters for each decision that takes option 2, and ten more.
pub fn network(genotype: &Genotype) -> Graph {
    let hits = genotype.choices.iter().filter(|&&choice| choice == 2).count();
    let mut graph = Graph::new(TensorType::new(10, 1, 1));
    let head = graph.section("head", None);
    let dense = Op::Dense { out_features: 1 + hits, bias: false };
    graph.output = graph.wire(dense, &[graph.input], head, "head.fc").unwrap();
    graph
}

/// PPO with batches of 8 and a single pass over each.
pub fn ppo() -> StrategyConfig {
    StrategyConfig::Ppo(PpoConfig { batch_size: 8, update_epochs: 1, ..PpoConfig::default() })
}

pub fn config(strategy: StrategyConfig, trials: usize, workers: usize) -> SearchConfig {
    SearchConfig { seed: 7, trials, workers, strategy, ..SearchConfig::default() }
}

/// Runs a search at a clock that stands still.
pub fn search(
    space: &SearchSpace,
    table: &Table,
    config: &SearchConfig,
    folder: &RunFolder,
) -> Result<SearchHistory, Error> {
    let mut ignore = |_: Event<'_>| ControlFlow::Continue(());
    run(space, table, config, folder, &|| Duration::ZERO, &mut ignore)
}

pub fn new(dir: &Path) -> RunFolder {
    RunFolder::New(dir.to_owned())
}

pub fn resume(dir: &Path) -> RunFolder {
    RunFolder::Resume(dir.to_owned())
}

/// All files of a run folder with their texts, sorted by path.
pub fn contents(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let text = fs::read_to_string(&path).unwrap();
                files.push((path.strip_prefix(dir).unwrap().to_owned(), text));
            }
        }
    }
    files.sort();
    files
}

pub fn ledger(dir: &Path) -> String {
    fs::read_to_string(dir.join("ledger.jsonl")).unwrap()
}
