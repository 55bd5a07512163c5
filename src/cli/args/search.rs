//! Arguments of `search`.

use std::path::PathBuf;
use std::str::FromStr;

use cellc::data::DataSpec;
use cellc::device::{DeviceList, Precision};
use cellc::search::{Budget, KeyFormat, Limit, Objective, Prefilter, ProxyKind};
use clap::{Args, ValueEnum};

use super::{ImageArgs, QueueArgs};

/// Who chooses the architectures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Strategy {
    /// An LSTM controller trained by proximal policy optimization.
    Ppo,
    /// The same controller trained by REINFORCE.
    Reinforce,
    /// Uniform random sampling.
    Random,
    /// Aging evolution: mutations of the best of a sample, the oldest dies.
    Evolution,
    /// Climbs to better neighbors, starts anew where there is none.
    Local,
    /// Q-learning in a table, as MetaQNN does it.
    QLearning,
    /// Weights shared by all children and a controller that learns from them, as ENAS does it.
    Enas,
}

/// Settings of a strategy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Preset {
    /// For tens to hundreds of children, such as larger learning rates and smaller batches.
    Small,
    /// Those of the strategy's paper, meant for thousands of children.
    Paper,
}

/// Who scores the architectures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvaluatorSpec {
    /// Each is trained.
    Train,
    /// A tabular benchmark in a file.
    Table(PathBuf),
    /// A program with its arguments.
    Command(String),
    /// A score of the fresh network.
    Proxy(ProxyKind),
}

impl FromStr for EvaluatorSpec {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "train" => Ok(EvaluatorSpec::Train),
            Some(("table", file)) if !file.is_empty() => Ok(EvaluatorSpec::Table(file.into())),
            Some(("command", program)) if !program.trim().is_empty() => {
                Ok(EvaluatorSpec::Command(program.into()))
            }
            Some(("proxy", kind)) => kind.parse().map(EvaluatorSpec::Proxy),
            None | Some(_) => {
                Err("it is none of `train`, `table:FILE`, `command:PROGRAM` and `proxy:SCORE`"
                    .into())
            }
        }
    }
}
/// What the columns of a tabular benchmark mean.
#[derive(Debug, Args)]
pub struct TableArgs {
    /// The column that names architectures, and how: `{0}` stands for the choice of decision 0, `{*}`
    /// for all of them with commas between. `cell` or `arch` for the spaces of NAS-Bench-201 and
    /// NAS-Bench-Macro, else `genotype={*}`.
    #[arg(long, value_name = "COLUMN=PATTERN")]
    pub table_key: Option<KeyFormat>,
    /// Words for option 0, option 1 and so on in such a name, in place of their numbers.
    #[arg(long, value_name = "WORDS", value_delimiter = ',', requires = "table_key")]
    pub table_words: Vec<String>,
    /// The column of rewards: shares, or percent where a value is above 1. `c10_valid_12` or `acc1` for
    /// those spaces.
    #[arg(long, value_name = "COLUMN")]
    pub table_reward: Option<String>,
    /// The column that is told of the best at the end and that no strategy sees. `c10_test_200` or
    /// `mean_acc` for those spaces.
    #[arg(long, value_name = "COLUMN")]
    pub table_report: Option<String>,
}

/// Arguments of `search`.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// The file that holds the space.
    #[arg(default_value = "nasnet_space", value_name = "SPACE")]
    pub space: PathBuf,
    /// The data set: `digits`, `cifar10:DIR`, `cifar100:DIR`, `idx:DIR`, `folder:DIR` or
    /// `parquet:DIR`.
    #[arg(long, default_value = "digits")]
    pub data: DataSpec,
    /// Which part of it.
    #[command(flatten)]
    pub images: ImageArgs,
    /// Architectures to try in all.
    #[arg(long, default_value_t = 80)]
    pub trials: usize,
    /// Seed of everything random.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Who chooses the architectures.
    #[arg(long, value_enum, default_value = "ppo")]
    pub strategy: Strategy,
    /// Compare strategies on a table in place of a search: names with commas between.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "STRATEGIES", conflicts_with_all = ["strategy", "resume"])]
    pub compare: Vec<Strategy>,
    /// Runs of each strategy that is compared, with seeds from `--seed` on.
    #[arg(long, default_value_t = 100, requires = "compare")]
    pub seeds: usize,
    /// Print a line of JSON for each strategy that is compared, in place of a table.
    #[arg(long, requires = "compare")]
    pub json: bool,
    /// Draw the best so far of what is compared into a file, a page if its name ends in `.html`, else
    /// SVG.
    #[arg(long, requires = "compare", value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Settings of the strategy.
    #[arg(long, value_enum, default_value = "small")]
    pub preset: Preset,
    /// One setting of a strategy, such as `ppo.lr=0.01` or `evolution.population=20`.
    #[arg(long, value_name = "STRATEGY.KEY=VALUE")]
    pub set: Vec<String>,
    /// Who scores the architectures: `train` for this program, `table:FILE` for a tabular benchmark,
    /// `command:PROGRAM` for another program, `proxy:synflow`, `proxy:naswot` or `proxy:params` for what
    /// fresh networks tell.
    #[arg(long, default_value = "train", value_name = "WHO")]
    pub evaluator: EvaluatorSpec,
    /// Of every so many architectures that are drawn, propose the best by a score of its fresh network, such
    /// as `naswot:4`; the scores are those of `--evaluator proxy`.
    #[arg(long, value_name = "SCORE:NUMBER", conflicts_with = "compare")]
    pub prefilter: Option<Prefilter>,
    /// The columns of a table.
    #[command(flatten)]
    pub table: TableArgs,
    /// The longest that one architecture may take, in seconds: a program, 3600 if not given, or a training,
    /// without end if not given. What takes longer is a failed trial. Steps of weights that children share do not
    /// count. Workers of a queue have their own.
    #[arg(long, value_name = "SECS")]
    pub time_limit: Option<f64>,
    /// Children trained at the same time, each on one thread; all cores if not given. The ledger is
    /// the same for any number.
    #[arg(long, alias = "threads")]
    pub workers: Option<usize>,
    /// Where children are trained: `cpu`; `cuda` for all cards, of which worker `i` has card `i` modulo their number;
    /// some, `cuda:0,cuda:2`; or `auto` for all cards if there are any. Weights that children share are on the first
    /// of them; with `--queue` it is for those alone.
    #[arg(long, default_value = "cpu")]
    pub device: DeviceList,
    /// In what numbers cards compute: `f32`, or for those since Ampere `tf32` or `bf16`.
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// Have them scored by `cellc worker` on any machines, through this NATS server: `nats://HOST:PORT`, or
    /// `tls://HOST:PORT` for TLS; `USER:PASSWORD@` or `TOKEN@` may stand before the host.
    #[arg(long, value_name = "URL", conflicts_with_all = ["workers", "compare"])]
    pub queue: Option<String>,
    /// How to get in.
    #[command(flatten)]
    pub access: QueueArgs,
    /// How many workers may end over one architecture before it is a failed trial.
    #[arg(long, value_name = "WORKERS", default_value_t = 5, requires = "queue")]
    pub attempts: u64,
    /// The net the children are put into. The default is a net of the file or of one that it uses, else
    /// `cifar`.
    #[arg(long)]
    pub net: Option<String>,
    /// N of the children: normal cells a stage.
    #[arg(short = 'N', long = "normal-cells", default_value_t = 1)]
    pub n: usize,
    /// Base width of the children: channels of an operation in the first cell.
    #[arg(long, default_value_t = 4)]
    pub base: usize,
    /// Epochs a child is trained for; the last rung of a budget with rungs, else 5.
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Which children are trained less: none with `whole`; those of a batch that are worse after 1 epoch,
    /// and after 3, with `halving:1,3,9`; the same with batches that begin at one rung after the other
    /// with `hyperband:1,3,9`; the same without waiting for the batch, as 8 workers decide it, with
    /// `asha:1,3,9@8`; those below the median of earlier ones with `median`.
    #[arg(long, default_value = "whole", value_name = "BUDGET", conflicts_with = "compare")]
    pub budget: Budget,
    /// Train so many of the best again in the end; of a Pareto front, if that is searched for.
    #[arg(long, default_value_t = 0, value_name = "CHILDREN", conflicts_with = "compare")]
    pub retrain: usize,
    /// Epochs of each of those.
    #[arg(long, default_value_t = 20, value_name = "EPOCHS")]
    pub retrain_epochs: usize,
    /// Images in a batch, and those that `naswot` looks at.
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Learning rate of a child's first step.
    #[arg(long, default_value_t = 0.1)]
    pub lr: f64,
    /// Share of the training images held out for the reward.
    #[arg(long, default_value_t = 0.2)]
    pub validation: f64,
    /// The largest number of parameters; larger children are not trained.
    #[arg(long, default_value_t = 50_000_000)]
    pub max_params: u64,
    /// The most memory that training a child may take, in MiB, as `cellc stats` foretells it; children that need
    /// more are not trained, and are failed trials. As many are in memory at a time as there are workers.
    #[arg(long, value_name = "MIB", conflicts_with = "compare")]
    pub max_memory_mib: Option<usize>,
    /// The most that an architecture may cost, such as `params<=3.3M`, `macs<=300M` or `latency<=5ms`: what
    /// is beyond it is never trained. Costs are those of the child as it is trained, or of a net at a scale,
    /// `params(6@768)<=3.3M` or `macs(imagenet 4@1056)<=564M`, with that net's own images. May be given more
    /// than once.
    #[arg(long, value_name = "COST<=NUMBER", conflicts_with = "compare")]
    pub require: Vec<Limit>,
    /// Search for a Pareto front of two or three of `accuracy`, `params`, `macs` and `latency`, with commas
    /// between; costs as in `--require`. For the strategies `evolution` and `random`.
    #[arg(long, value_delimiter = ',', value_name = "OBJECTIVES", conflicts_with = "compare")]
    pub pareto: Vec<Objective>,
    /// Images in the batch whose forward pass is timed for a latency, on one thread.
    #[arg(long, default_value_t = 1, value_name = "IMAGES")]
    pub latency_batch: usize,
    /// Folder of runs.
    #[arg(long, default_value = "runs")]
    pub out: PathBuf,
    /// Show another run beside this one in the report, such as one by another strategy. May be given more than
    /// once.
    #[arg(long, value_name = "FOLDER", conflicts_with = "compare")]
    pub beside: Vec<PathBuf>,
    /// Show the report live at 127.0.0.1 while the search runs, at this port or any free one.
    #[arg(long, value_name = "PORT", num_args = 0..=1, require_equals = true, default_missing_value = "0", conflicts_with = "compare")]
    pub serve: Option<u16>,
    /// Name of this run's folder; by default from space, data, strategy and seed.
    #[arg(long)]
    pub name: Option<String>,
    /// Go on with the run of this name, without repeating a finished trial.
    #[arg(long)]
    pub resume: bool,
}
