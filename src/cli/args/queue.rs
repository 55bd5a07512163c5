//! Arguments of `worker`, and those of queues that `search` has too.

use std::path::PathBuf;

use cellc::data::DataSpec;
use cellc::device::{DeviceList, Precision};
use clap::Args;

use super::{EvaluatorSpec, ImageArgs};

/// How to get into a queue.
#[derive(Debug, Args)]
pub struct QueueArgs {
    /// Name of the queue: letters, digits, `-` and `_`. Searches and workers of other names do not see it.
    #[arg(long, value_name = "NAME", default_value = "cellc", requires = "queue")]
    pub queue_name: String,
    /// A file with `USER:PASSWORD` or a token for the server, in place of what the URL has.
    #[arg(long, value_name = "FILE", requires = "queue")]
    pub queue_credentials: Option<PathBuf>,
    /// A `.creds` file of a user, as `nsc` writes it, for servers whose accounts sign tokens.
    #[arg(
        long,
        visible_alias = "creds",
        value_name = "FILE",
        requires = "queue",
        conflicts_with = "queue_credentials"
    )]
    pub queue_creds: Option<PathBuf>,
    /// Root certificates (PEM) that are trusted beside those of the system.
    #[arg(long, value_name = "FILE", requires = "queue")]
    pub queue_ca: Option<PathBuf>,
    /// The certificate (PEM) of this end, for a server that asks for one.
    #[arg(long, value_name = "FILE", requires_all = ["queue", "queue_key"])]
    pub queue_cert: Option<PathBuf>,
    /// The key (PEM) of that certificate.
    #[arg(long, value_name = "FILE", requires_all = ["queue", "queue_cert"])]
    pub queue_key: Option<PathBuf>,
}

/// Arguments of `worker`.
#[derive(Debug, Args)]
pub struct WorkerArgs {
    /// The NATS server with the jobs: `nats://HOST:PORT`, or `tls://HOST:PORT` for TLS; `USER:PASSWORD@` or
    /// `TOKEN@` may stand before the host.
    #[arg(long, value_name = "URL")]
    pub queue: String,
    /// How to get in.
    #[command(flatten)]
    pub access: QueueArgs,
    /// What scores: `train` for this program, on `--data`, and for scores of fresh networks; `table:FILE`;
    /// `command:PROGRAM`. Only jobs of that kind, and of the same data or table, are taken.
    #[arg(long, default_value = "train", value_name = "WHO")]
    pub evaluator: EvaluatorSpec,
    /// The data set: `digits`, `cifar10:DIR`, `cifar100:DIR`, `idx:DIR`, `folder:DIR` or
    /// `parquet:DIR`.
    #[arg(long, default_value = "digits")]
    pub data: DataSpec,
    /// Which part of it, as the search has it.
    #[command(flatten)]
    pub images: ImageArgs,
    /// The longest that one architecture may take, in seconds: a program, 3600 if not given, or a training,
    /// without end if not given. What takes longer is a failed trial.
    #[arg(long, value_name = "SECS")]
    pub time_limit: Option<f64>,
    /// Architectures scored at the same time, each on one thread; all cores if not given.
    #[arg(long, alias = "threads")]
    pub workers: Option<usize>,
    /// Where children are trained: `cpu`; `cuda` for all cards, of which thread `i` of this worker has card `i` modulo
    /// their number; some, `cuda:0,cuda:2`; or `auto` for all cards if there are any. Scores of fresh networks are the
    /// processor's.
    #[arg(long, default_value = "cpu")]
    pub device: DeviceList,
    /// In what numbers cards compute: `f32`, or for those since Ampere `tf32` or `bf16`.
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// How long after the last sign of life of a worker its job goes to another, in seconds. The first worker
    /// of a queue for these data decides.
    #[arg(long, default_value_t = 60.0, value_name = "SECS")]
    pub lease: f64,
    /// End after so many seconds without a job; never if not given.
    #[arg(long, value_name = "SECS")]
    pub idle: Option<f64>,
    /// What this worker is called in the answers; by default its host and process.
    #[arg(long)]
    pub name: Option<String>,
}
