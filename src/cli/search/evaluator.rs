//! Who scores the architectures of a search, as the command line names it.

use std::time::Duration;

use cellc::data;
use cellc::error::Error;
use cellc::search::{
    ChildConfig, ChildScale, CommandConfig, CommandEvaluator, Evaluator, SpaceFault, Table,
    TableConfig, TableEvaluator, TrainEvaluator,
};
use cellc::source::{Folders, SourceFile};
use cellc::space::SearchSpace;
use cellc::train::TrainConfig;

use crate::cli::args::{EvaluatorSpec, SearchArgs, TableArgs};
use crate::cli::input::Failure;

/// Epochs of a child where nothing says more.
const EPOCHS: usize = 5;

/// An evaluator with what the end of a search says about it.
pub enum Scorer {
    /// Trains on a data set, named as `cellc train` takes it after `--data`.
    Train(Box<TrainEvaluator>, String),
    /// Looks up.
    Table(Box<TableEvaluator>),
    /// Asks a program.
    Command(Box<CommandEvaluator>, String),
}

impl Scorer {
    /// The evaluator that the arguments ask for.
    pub fn new(args: &SearchArgs, source: &SourceFile) -> Result<Self, Failure> {
        let scorer = match &args.evaluator {
            EvaluatorSpec::Train => {
                let data = data::load_with(&args.data, &args.images.config())?;
                let child = ChildConfig {
                    scale: scale(args),
                    validation: args.validation,
                    train: TrainConfig {
                        epochs: args.epochs.or(args.budget.epochs()).unwrap_or(EPOCHS),
                        batch: args.batch,
                        lr: args.lr,
                        aux_weight: 0.0,
                        augment: data.augment,
                        ..TrainConfig::default()
                    },
                };
                let name = data_name(args);
                TrainEvaluator::new_with(source, &Folders, data, &name, child, args.seed)
                    .map(|evaluator| Scorer::Train(Box::new(evaluator), name))
            }
            EvaluatorSpec::Table(file) => {
                let table = Table::read(file)?;
                let config = table_config(&args.table);
                TableEvaluator::new(source, &Folders, &table, &config, scale(args))
                    .map(|evaluator| Scorer::Table(Box::new(evaluator)))
            }
            EvaluatorSpec::Command(program) => {
                let time_limit = Duration::try_from_secs_f64(args.time_limit).map_err(|error| {
                    let value = args.time_limit.to_string();
                    Error::Config { setting: "time-limit", value, reason: error.to_string() }
                })?;
                let config = CommandConfig { program: program.clone(), time_limit };
                CommandEvaluator::new(source, &Folders, config, scale(args))
                    .map(|evaluator| Scorer::Command(Box::new(evaluator), program.clone()))
            }
        };
        scorer.map_err(|fault| match fault {
            SpaceFault::Cells(diagnostics) => Failure::Cells(Box::new(source.clone()), diagnostics),
            SpaceFault::Request(error) => error.into(),
        })
    }

    /// The evaluator.
    pub fn evaluator(&self) -> &dyn Evaluator {
        match self {
            Scorer::Train(evaluator, _) => evaluator.as_ref(),
            Scorer::Table(evaluator) => evaluator.as_ref(),
            Scorer::Command(evaluator, _) => evaluator.as_ref(),
        }
    }

    /// The space that is searched.
    pub fn space(&self) -> &SearchSpace {
        match self {
            Scorer::Train(evaluator, _) => evaluator.space(),
            Scorer::Table(evaluator) => evaluator.space(),
            Scorer::Command(evaluator, _) => evaluator.space(),
        }
    }

    /// One word for the name of a run's folder.
    pub fn kind(&self, args: &SearchArgs) -> &'static str {
        match self {
            Scorer::Train(..) => args.data.kind(),
            Scorer::Table(_) => "table",
            Scorer::Command(..) => "command",
        }
    }

    /// Where the rewards come from, as in `80 trials on digits`.
    pub fn source(&self) -> String {
        match self {
            Scorer::Train(_, data) => format!("on {data}"),
            Scorer::Table(table) => format!("in column {}", table.reward_column().name),
            Scorer::Command(_, program) => format!("by `{program}`"),
        }
    }
}

fn scale(args: &SearchArgs) -> ChildScale {
    ChildScale { net: args.net.clone(), n: args.n, base: args.base, max_params: args.max_params }
}

fn table_config(args: &TableArgs) -> TableConfig {
    let mut key = args.table_key.clone();
    if let Some(key) = &mut key {
        key.words.clone_from(&args.table_words);
    }
    TableConfig { key, reward: args.table_reward.clone(), report: args.table_report.clone() }
}

/// The data set as `cellc train` takes it after `--data`.
fn data_name(args: &SearchArgs) -> String {
    let mut name = args.data.to_string();
    if let Some(size) = args.images.image_size {
        name += &format!(" --image-size {size}");
    }
    if let Some(limit) = args.images.limit {
        name += &format!(" --limit {limit}");
    }
    name
}
