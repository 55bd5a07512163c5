//! Who scores the architectures of a search, as the command line names it.

use cellc::data;
use cellc::device::CardOptions;
use cellc::error::Error;
use cellc::search::{
    ChildConfig, ChildScale, CommandConfig, CommandEvaluator, Evaluator, Prefilter, Prefiltered,
    Proxy, ProxyEvaluator, SpaceFault, Table, TableConfig, TableEvaluator, TrainEvaluator,
};
use cellc::source::{Folders, SourceFile};
use cellc::space::SearchSpace;
use cellc::train::TrainConfig;

use super::{program_limit, training_limit};
use crate::cli::args::{EvaluatorSpec, SearchArgs, TableArgs};
use crate::cli::input::Failure;
use crate::cli::load_data;

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
    /// Scores fresh networks, for the images of a data set.
    Proxy(Box<ProxyEvaluator>, String),
}

impl Scorer {
    /// The evaluator that the arguments ask for.
    pub fn new(args: &SearchArgs, source: &SourceFile) -> Result<Self, Failure> {
        let scorer = match &args.evaluator {
            EvaluatorSpec::Train => {
                let data = load_data(&args.data, &args.images.config())?;
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
                    max_memory_mib: args.max_memory_mib,
                };
                let (name, limit) = (data_name(args), training_limit(args.time_limit)?);
                let devices = args.device.open(CardOptions { precision: args.precision })?;
                TrainEvaluator::new_with(source, &Folders, data, &name, child, args.seed)
                    .map(|evaluator| evaluator.with_time_limit(limit).with_devices(devices))
                    .map(|evaluator| Scorer::Train(Box::new(evaluator), name))
            }
            EvaluatorSpec::Table(file) => {
                let table = Table::read(file)?;
                let config = table_config(&args.table);
                TableEvaluator::new(source, &Folders, &table, &config, scale(args))
                    .map(|evaluator| Scorer::Table(Box::new(evaluator)))
            }
            EvaluatorSpec::Proxy(kind) => {
                let data = load_data(&args.data, &args.images.config())?;
                let proxy = Proxy::new(*kind, &data, args.batch, args.seed)?;
                let name = data_name(args);
                ProxyEvaluator::new(source, &Folders, &data, &name, proxy, scale(args))
                    .map(|evaluator| Scorer::Proxy(Box::new(evaluator), name))
            }
            EvaluatorSpec::Command(program) => {
                let time_limit = program_limit(args.time_limit)?;
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
            Scorer::Proxy(evaluator, _) => evaluator.as_ref(),
        }
    }

    /// The space that is searched.
    pub fn space(&self) -> &SearchSpace {
        match self {
            Scorer::Train(evaluator, _) => evaluator.space(),
            Scorer::Table(evaluator) => evaluator.space(),
            Scorer::Command(evaluator, _) => evaluator.space(),
            Scorer::Proxy(evaluator, _) => evaluator.space(),
        }
    }

    /// One word for the name of a run's folder.
    pub fn kind(&self, args: &SearchArgs) -> &'static str {
        match self {
            Scorer::Train(..) => args.data.kind(),
            Scorer::Table(_) => "table",
            Scorer::Command(..) => "command",
            Scorer::Proxy(evaluator, _) => evaluator.kind().name(),
        }
    }

    /// Where the rewards come from, as in `80 trials on digits`.
    pub fn source(&self) -> String {
        match self {
            Scorer::Train(_, data) => format!("on {data}"),
            Scorer::Table(table) => format!("in column {}", table.reward_column().name),
            Scorer::Command(_, program) => format!("by `{program}`"),
            Scorer::Proxy(evaluator, data) => format!("by {} on {data}", evaluator.kind()),
        }
    }

    /// The arguments with which `cellc worker` scores the same.
    pub fn worker_args(args: &SearchArgs) -> String {
        match &args.evaluator {
            EvaluatorSpec::Train | EvaluatorSpec::Proxy(_) => format!("--data {}", data_name(args)),
            EvaluatorSpec::Table(file) => format!("--evaluator table:{}", file.display()),
            EvaluatorSpec::Command(program) => format!("--evaluator 'command:{program}'"),
        }
    }

    /// The evaluator behind the prefilter that the arguments ask for, if they do.
    pub fn prefiltered(&self, args: &SearchArgs) -> Result<Option<Prefiltered<'_>>, Error> {
        let Some(Prefilter { kind, of }) = args.prefilter else { return Ok(None) };
        let data = data::load_with(&args.data, &args.images.config())?;
        let proxy = Proxy::new(kind, &data, args.batch, args.seed)?;
        let (inner, name) = (self.evaluator(), data_name(args));
        Prefiltered::new(inner, self.space(), proxy, of, &name, args.seed).map(Some)
    }

    /// What rewards are.
    pub fn reward(&self) -> Reward {
        match self {
            Scorer::Train(..) | Scorer::Table(_) | Scorer::Command(..) => Reward::Accuracy,
            Scorer::Proxy(evaluator, _) => Reward::Score(evaluator.kind().name()),
        }
    }
}

/// What the rewards of a search are.
#[derive(Clone, Copy)]
pub enum Reward {
    /// Shares.
    Accuracy,
    /// Scores of this name.
    Score(&'static str),
}

impl Reward {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Reward::Accuracy => "validation accuracy",
            Reward::Score(name) => name,
        }
    }

    /// One of them.
    pub fn text(self, reward: f64) -> String {
        match self {
            Reward::Accuracy => format!("{:.2} %", 100.0 * reward),
            Reward::Score(_) => format!("{reward:.3}"),
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
