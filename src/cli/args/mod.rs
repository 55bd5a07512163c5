//! Every argument of every command. Help texts are the doc comments.

mod models;
mod queue;
mod search;
mod train;

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use cellc::data::LoadConfig;
use cellc::device::{AnyDevice, CardOptions, DeviceSpec, Precision};
use cellc::error::Error;
use cellc::graph::lower::Scale;
use clap::{Args, Parser, Subcommand, ValueEnum};

#[cfg(feature = "onnx")]
pub use models::ExportArgs;
#[cfg(feature = "images")]
pub use models::PredictArgs;
pub use models::{EvalArgs, ImportArgs, Part};
pub use queue::{QueueArgs, WorkerArgs};
pub use search::{EvaluatorSpec, Preset, SearchArgs, Strategy, TableArgs};
pub use train::{SettingArgs, TrainArgs};

/// A language and compiler for neural-architecture search: check, count, train and search cells
/// written as text.
#[derive(Debug, Parser)]
#[command(name = "cellc", version, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check files: syntax, names, shapes, holes, and every `expect`.
    Check(CheckArgs),
    /// Format files in place.
    Fmt(FmtArgs),
    /// Print what a stage of the compiler makes of a file.
    Show(ShowArgs),
    /// Count parameters and multiply-adds, for each cell and in total.
    Stats(StatsArgs),
    /// Print counts beside those that papers print, in a table for each source.
    Compare(CompareArgs),
    /// Train the network of a file and write a checkpoint.
    Train(Box<TrainArgs>),
    /// Measure how well a checkpoint classifies the images of a data set.
    Eval(EvalArgs),
    /// Classify image files with a checkpoint.
    #[cfg(feature = "images")]
    Predict(PredictArgs),
    /// Read weights of timm or Keras, and write a checkpoint.
    Import(ImportArgs),
    /// Write a network for other programs, as an ONNX file.
    #[cfg(feature = "onnx")]
    Export(ExportArgs),
    /// Search a space and write the cells that were found.
    Search(Box<SearchArgs>),
    /// Score what a search on another machine wants to be scored, from its queue.
    Worker(Box<WorkerArgs>),
    /// Time training steps or inference on made-up images, kernel by kernel if asked.
    Bench(BenchArgs),
    /// Print the hash of the architecture in each file: equal for equal networks.
    Hash(HashArgs),
    /// Say which blocks differ between two files, and what that costs.
    Diff(DiffArgs),
    /// Draw the cells of a file, or the skeleton of a net, as SVG or for Graphviz.
    Draw(DrawArgs),
    /// Explain a diagnostic code such as E0301.
    Explain(ExplainArgs),
    /// List the cells that come with the program, or print one.
    Cells(CellsArgs),
    /// Serve editors over standard input and output (Language Server Protocol).
    #[cfg(feature = "lsp")]
    Lsp(LspArgs),
}

/// How to report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: source lines with the fault marked.
    Human,
    /// One line a fault: place, code, message.
    Short,
    /// One JSON object a line.
    Json,
}

/// Reports of results: text or JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Report {
    /// A table.
    Text,
    /// One JSON object.
    Json,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The files; a name without a folder may also be one of `cellc cells`, and `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Apply the fixes that are surely meant to the files that are named, and to no file they use.
    #[arg(long)]
    pub fix: bool,
    /// How to report faults, and fixes.
    #[arg(long, value_enum, default_value = "human")]
    pub format: Format,
}

/// Arguments of `fmt`.
#[derive(Debug, Args)]
pub struct FmtArgs {
    /// The files; `-` formats standard input to standard output.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Change nothing; name the files that are not formatted and exit with 1 if there are any.
    #[arg(long)]
    pub check: bool,
}

/// The network that a command is about.
#[derive(Debug, Args)]
pub struct NetArgs {
    /// The net: the skeleton the cells are put into. The default is that of the file's first `expect`,
    /// else a net of the file or of one that it uses, else `cifar`.
    #[arg(long)]
    pub net: Option<String>,
    /// N@F: N normal cells a stage, F filters out of the last cell. The default is the scale of the
    /// file's first `expect` about the net.
    #[arg(long, value_name = "N@F")]
    pub scale: Option<Scale>,
}

/// A stage of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The tree of the text.
    Ast,
    /// The resolved module.
    Ir,
    /// The decisions of a search space.
    Space,
    /// What each cell computes, written out without names: what `cellc hash --class` tells apart.
    Expression,
    /// The graph of primitive operations.
    Graph,
    /// The graph after the passes.
    Simplified,
    /// The schedule of kernels with its buffers.
    Plan,
}

/// Arguments of `show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The file.
    pub file: PathBuf,
    /// Which stage to print.
    #[arg(long, value_enum, default_value = "simplified")]
    pub stage: Stage,
    /// Which network, for the stages from `graph` on.
    #[command(flatten)]
    pub net: NetArgs,
    /// For a search space: the options of its decisions, such as `0,3,1`.
    #[arg(long, value_delimiter = ',', value_name = "OPTIONS")]
    pub genotype: Option<Vec<usize>>,
}

/// Arguments of `hash`.
#[derive(Debug, Args)]
pub struct HashArgs {
    /// The files; a name without a folder may also be one of `cellc cells`, and `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// The net whose network is hashed. The default is that of the file's first `expect`, else a net of
    /// the file or of one that it uses, else `cifar`.
    #[arg(long, conflicts_with = "class")]
    pub net: Option<String>,
    /// For a search space: the options of its decisions, such as `0,3,1`.
    #[arg(long, value_delimiter = ',', value_name = "OPTIONS")]
    pub genotype: Option<Vec<usize>>,
    /// The class of the cells in the sense of NAS-Bench-201 instead: operations that are zeros or
    /// identities are folded, and shared blocks count as written twice.
    #[arg(long)]
    pub class: bool,
}

/// Arguments of `stats`.
#[derive(Debug, Args)]
pub struct StatsArgs {
    /// The file, or a checkpoint.
    pub file: PathBuf,
    /// Which network.
    #[command(flatten)]
    pub net: NetArgs,
    /// Say what memory training by the default settings takes with batches of so many images, and inference.
    #[arg(long, value_name = "IMAGES")]
    pub batch: Option<NonZeroUsize>,
    /// How to report.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Report,
}

/// What tables are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Columns under each other.
    Text,
    /// Markdown.
    Markdown,
    /// One table of comma-separated values.
    Csv,
    /// One JSON object.
    Json,
}

/// Arguments of `compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// The files; those inside the program if there are none. Without scales, the networks are those the
    /// files' `expect`s are about.
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Compare in these nets only, such as `cifar,imagenet`. With scales the default is the net that each
    /// file means.
    #[arg(long, value_delimiter = ',', value_name = "NETS")]
    pub net: Vec<String>,
    /// Compare at these scales, such as `6@768,7@2304`, whatever the files claim.
    #[arg(long, value_delimiter = ',', value_name = "SCALES", requires = "files")]
    pub scale: Vec<Scale>,
    /// Print only the tables of sources with this in their name, in upper or lower case.
    #[arg(long, value_name = "TEXT")]
    pub source: Option<String>,
    /// How to report.
    #[arg(long, value_enum, default_value = "text")]
    pub format: TableFormat,
    /// Exit with 1 if a published figure is not what a count gives, and with 2 if a file cannot be read or
    /// does not compile. Without it only the latter is a fault.
    #[arg(long)]
    pub exit_code: bool,
}

/// Arguments of `diff`.
#[derive(Debug, Args)]
pub struct DiffArgs {
    /// The file before; a name without a folder may also be one of `cellc cells`.
    #[arg(required_unless_present = "git")]
    pub before: Option<PathBuf>,
    /// The file after.
    #[arg(required_unless_present = "git")]
    pub after: Option<PathBuf>,
    /// The net in which to count: by default that of the files' first `expect`, else a net of the first
    /// file that compiles or of one that it uses, else `cifar`.
    #[arg(long)]
    pub net: Option<String>,
    /// N@F: where to count. The default is the scale of the first `expect` about the net, else N = 2
    /// and base width 32.
    #[arg(long, value_name = "N@F")]
    pub scale: Option<Scale>,
    /// How to report.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Report,
    /// Exit as diff(1) does: 0 if the architectures are the same, 1 if they may differ, 2 if a file
    /// cannot be read or does not compile. Without it a difference is no fault: 0 if both files
    /// compile, else 1.
    #[arg(long)]
    pub exit_code: bool,
    /// Be git's diff driver: set `diff.cell.command` to `cellc diff --git`, and git adds the arguments.
    /// The exit code is 0 whatever the files hold.
    #[arg(long, num_args = 1..=9, value_name = "ARGUMENT", allow_hyphen_values = true,
          conflicts_with_all = ["before", "after", "exit_code", "format"])]
    pub git: Vec<OsString>,
}

/// What a picture is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Picture {
    /// A drawing.
    Svg,
    /// A graph for Graphviz, which places the boxes itself.
    Dot,
}

/// Arguments of `draw`.
#[derive(Debug, Args)]
pub struct DrawArgs {
    /// The file.
    pub file: PathBuf,
    /// Draw this cell only.
    #[arg(long, value_name = "NAME")]
    pub cell: Option<String>,
    /// Draw the skeleton of this net instead of cells.
    #[arg(long, value_name = "NAME", conflicts_with = "cell")]
    pub net: Option<String>,
    /// For a search space: the options of its decisions, such as `0,3,1`. Without them its holes are
    /// drawn as holes.
    #[arg(long, value_delimiter = ',', value_name = "OPTIONS")]
    pub genotype: Option<Vec<usize>>,
    /// What to write.
    #[arg(long, value_enum, default_value = "svg")]
    pub format: Picture,
    /// The file to write; standard output if there is none.
    #[arg(short, long, value_name = "PICTURE")]
    pub out: Option<PathBuf>,
}

/// What `bench` times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Timed {
    /// Training steps: a batch, both passes, clipping and the optimizer.
    Train,
    /// Forward passes with running statistics.
    Infer,
}

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// What to time.
    #[arg(value_enum)]
    pub what: Timed,
    /// The file; a name without a folder may also be one of `cellc cells`.
    #[arg(long, value_name = "FILE")]
    pub cell: PathBuf,
    /// Which network.
    #[command(flatten)]
    pub net: NetArgs,
    /// Images in a batch.
    #[arg(long, value_name = "IMAGES", default_value = "32")]
    pub batch: NonZeroUsize,
    /// Steps that are timed, after two that are not.
    #[arg(long, default_value = "10")]
    pub steps: NonZeroUsize,
    /// Compute threads; all processors by default.
    #[arg(long)]
    pub threads: Option<usize>,
    /// Where it runs.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Print one JSON object on one line.
    #[arg(long)]
    pub json: bool,
    /// Time every kind of kernel too, beside the speeds of a matrix product and of a copy measured in the
    /// same run.
    #[arg(long)]
    pub profile: bool,
}

/// Where networks run.
#[derive(Clone, Copy, Debug, Args)]
pub struct DeviceArgs {
    /// Where it runs: `cpu`, a card such as `cuda:1`, or `auto` for the first card if there is one.
    #[arg(long, default_value = "cpu")]
    pub device: DeviceSpec,
    /// In what numbers a card since Ampere computes: `f32`; `tf32` to round the factors of matrix products for the
    /// tensor cores, which then agree with the processor's in three digits instead of six; or `bf16` to keep maps and
    /// their gradients in half the memory, in two or three digits.
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
}

impl DeviceArgs {
    /// How cards are to compute.
    pub fn options(&self) -> CardOptions {
        CardOptions { precision: self.precision }
    }

    /// The device.
    pub fn open(&self) -> Result<AnyDevice, Error> {
        AnyDevice::open_with(self.device, self.options())
    }
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code; all codes are listed if there is none.
    pub code: Option<String>,
}

/// Arguments of `cells`.
#[derive(Debug, Args)]
pub struct CellsArgs {
    /// The file to print.
    pub name: Option<String>,
}

/// How much of a data set is used, and in which size.
#[derive(Debug, Args)]
pub struct ImageArgs {
    /// Height and width of the images of `folder:` and `parquet:`, in pixels: others are resized. By
    /// default all must have the size of the first.
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// Use at most this many training images and this many test images, with equal shares of every
    /// class and always the same ones.
    #[arg(long, value_name = "IMAGES")]
    pub limit: Option<usize>,
}

impl ImageArgs {
    /// The settings of the library.
    pub fn config(&self) -> LoadConfig {
        LoadConfig { image_size: self.image_size, limit: self.limit }
    }
}

/// Arguments of `lsp`.
#[cfg(feature = "lsp")]
#[derive(Debug, Args)]
pub struct LspArgs {
    /// Accepted because many clients say it; there is no other way to serve.
    #[arg(long, hide = true)]
    pub stdio: bool,
}
