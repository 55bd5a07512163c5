//! Every argument of every command. Help texts are the doc comments.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;

use cellc::data::{DataSpec, LoadConfig};
use cellc::graph::lower::Scale;
use cellc::network::Freeze;
use cellc::search::KeyFormat;
use cellc::train::Recipe;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Print one JSON object on one line.
    #[arg(long)]
    pub json: bool,
    /// Time every kind of kernel too, beside the speeds of a matrix product and of a copy measured in the
    /// same run.
    #[arg(long)]
    pub profile: bool,
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

/// Arguments of `train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// The file.
    #[arg(required_unless_present_any = ["print_config", "from"])]
    pub file: Option<PathBuf>,
    /// Train the network of this checkpoint further: its stem and cells with their parameters, whitening
    /// and, for data of any size, image size, and a fresh head for the classes of the data. What batch
    /// normalization adds to the variance stays the checkpoint's, too.
    #[arg(long, value_name = "CHECKPOINT", conflicts_with_all = ["file", "init", "net", "scale"])]
    pub from: Option<PathBuf>,
    /// The number of classes that the data is meant to have; other data is refused.
    #[arg(long)]
    pub classes: Option<usize>,
    /// Leave parts of the network as they are: `stem,cell_0..cell_5`, blocks such as `cells.6.n1`, or a
    /// number N for the stem and the first N cells. Their batch normalizations compute with the running
    /// statistics, which stay as they are too.
    #[arg(long, value_name = "PARTS")]
    pub freeze: Option<Freeze>,
    /// Which network.
    #[command(flatten)]
    pub net: NetArgs,
    /// The data set: `digits`, `cifar10:DIR`, `cifar100:DIR`, `idx:DIR`, `folder:DIR` or
    /// `parquet:DIR`. It decides image size, channels and classes.
    #[arg(long, default_value = "digits")]
    pub data: DataSpec,
    /// Which part of it.
    #[command(flatten)]
    pub images: ImageArgs,
    /// How to train.
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Print the settings that recipe, file and options come to, as a file for `--config`, and train
    /// nothing.
    #[arg(long)]
    pub print_config: bool,
    /// Threads; all cores if not given. The result is the same for any number.
    #[arg(long)]
    pub threads: Option<usize>,
    /// A folder for the state of the run, its best model so far, `history.jsonl` and `report.html`.
    #[arg(long, value_name = "FOLDER")]
    pub run: Option<PathBuf>,
    /// Go on with the run in that folder: the result is the same, bit for bit, as if it had never been
    /// stopped.
    #[arg(long, requires = "run")]
    pub resume: bool,
    /// Keep the state every so many steps as well, not only at the end of every epoch.
    #[arg(long, value_name = "STEPS", requires = "run")]
    pub save_every: Option<NonZeroUsize>,
    /// A folder for an event file of TensorBoard: loss, learning rate and gradient norm of every step,
    /// accuracies of every epoch.
    #[cfg(feature = "tensorboard")]
    #[arg(long, value_name = "FOLDER")]
    pub tensorboard: Option<PathBuf>,
    /// Start from the parameters of this checkpoint, which must be of the same network.
    #[arg(long, value_name = "CHECKPOINT")]
    pub init: Option<PathBuf>,
    /// The checkpoint to write; by default beside the file, ending in `.safetensors`.
    #[arg(long, value_name = "CHECKPOINT")]
    pub out: Option<PathBuf>,
}

/// Settings of a training run. An option wins over the file of settings, the file over the recipe, the
/// recipe over the defaults named here.
#[derive(Debug, Args)]
pub struct SettingArgs {
    /// The settings of a paper instead of the small defaults.
    #[arg(long, value_parser = recipe())]
    pub recipe: Option<Recipe>,
    /// Settings from a TOML file; its keys are those that `--print-config` prints.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Any setting by its key in such a file, such as `augment.flip=false`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Passes over the training images [default: 20].
    #[arg(long)]
    pub epochs: Option<usize>,
    /// Images in a batch [default: 32].
    #[arg(long)]
    pub batch: Option<usize>,
    /// What moves the parameters [default: sgd].
    #[arg(long, value_parser = ["sgd", "rmsprop", "adam"])]
    pub optimizer: Option<String>,
    /// Learning rate of the first step, whatever the batch [default: 0.025]. The rates of the recipes
    /// `imagenet-mobile` and `imagenet-large` are proportional to the batch.
    #[arg(long)]
    pub lr: Option<f64>,
    /// How the learning rate falls [default: cosine].
    #[arg(long, value_parser = ["constant", "cosine", "exponential"])]
    pub schedule: Option<String>,
    /// Epochs through which the learning rate first rises from near 0 [default: 0].
    #[arg(long, value_name = "EPOCHS")]
    pub warmup_epochs: Option<f64>,
    /// Share of the last step's velocity that is kept [default: 0.9].
    #[arg(long)]
    pub momentum: Option<f64>,
    /// Use Nesterov's momentum.
    #[arg(long)]
    pub nesterov: bool,
    /// L2 penalty [default: 5e-4, on every parameter].
    #[arg(long)]
    pub weight_decay: Option<f64>,
    /// Largest norm of the whole gradient; 0 turns clipping off [default: 5].
    #[arg(long)]
    pub clip_norm: Option<f64>,
    /// Share of a label that goes to all classes alike [default: 0].
    #[arg(long, value_name = "SHARE")]
    pub label_smoothing: Option<f64>,
    /// Share that moving averages of the parameters keep in a step; 0 for no averages [default: 0].
    #[arg(long, value_name = "DECAY")]
    pub ema_decay: Option<f64>,
    /// Share of the features before the classifier that dropout zeroes [default: 0].
    #[arg(long)]
    pub dropout: Option<f64>,
    /// Share of the images that the operations of the last cell drop at the end [default: 0].
    #[arg(long, value_name = "SHARE")]
    pub drop_path: Option<f64>,
    /// Weight of the auxiliary head's loss; 0 builds no auxiliary head [default: 0].
    #[arg(long)]
    pub aux_weight: Option<f64>,
    /// Share of the training images held out; their accuracy is shown after every epoch [default: 0].
    #[arg(long)]
    pub validation: Option<f64>,
    /// Show the training images as they are: no random crops, flips or cutout.
    #[arg(long, conflicts_with = "cutout")]
    pub no_augment: bool,
    /// Side of a square that is zeroed at a random place of every training image, in pixels; 0 for
    /// none [default: 0].
    #[arg(long, value_name = "PIXELS")]
    pub cutout: Option<usize>,
    /// Seed of weights, order of images, augmentation, dropout and drop path [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
}

/// A recipe by its name.
fn recipe() -> impl TypedValueParser<Value = Recipe> {
    PossibleValuesParser::new(Recipe::ALL.map(Recipe::name)).map(|name| {
        let named = Recipe::ALL.into_iter().find(|recipe| recipe.name() == name);
        named.expect("the parser lets no other name through")
    })
}

/// The images of a data set that are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Those kept for the final test.
    Test,
    /// Those held out when the checkpoint was trained.
    Validation,
    /// Those it was trained on.
    Train,
}

impl Part {
    /// Its name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Part::Test => "test",
            Part::Validation => "validation",
            Part::Train => "train",
        }
    }
}

/// Arguments of `predict`.
#[cfg(feature = "images")]
#[derive(Debug, Args)]
pub struct PredictArgs {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// PNG or JPEG files. Those of another size than the network's are resized and their centre is cut
    /// out, as `eval` does with `folder:`.
    #[arg(required = true, value_name = "IMAGE")]
    pub images: Vec<PathBuf>,
    /// How many classes to print, the likeliest first.
    #[arg(long, default_value_t = 5, value_name = "CLASSES")]
    pub top: usize,
    /// How to report.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Report,
    /// Threads; all cores if not given.
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Arguments of `eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// The checkpoint.
    pub checkpoint: PathBuf,
    /// The data set; the one it was trained on if not given.
    #[arg(long)]
    pub data: Option<DataSpec>,
    /// Which of its images.
    #[arg(long, value_enum, default_value = "test")]
    pub part: Part,
    /// Use at most this many training and this many test images, with equal shares of every class and
    /// always the same ones.
    #[arg(long, value_name = "IMAGES")]
    pub limit: Option<usize>,
    /// How to report.
    #[arg(long, value_enum, default_value = "text")]
    pub format: Report,
    /// Images in a batch.
    #[arg(long, default_value_t = 100)]
    pub batch: usize,
    /// Threads; all cores if not given.
    #[arg(long)]
    pub threads: Option<usize>,
}

/// Arguments of `import`.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The weights: timm's `nasnetalarge` or `pnasnet5large` as safetensors; Keras's NASNet as
    /// `.weights.h5`, `.h5` or `.keras` if the program was built with the feature `keras`.
    pub weights: PathBuf,
    /// Cells that compute what the file's network does, with blocks called as in those of `cellc cells`;
    /// those if not given.
    #[arg(long, value_name = "FILE")]
    pub cells: Option<PathBuf>,
    /// The net; by default the one of the program with the stem that the file has. Weights do not say
    /// which state a cell behind a reduction takes, so nets of your own must.
    #[arg(long)]
    pub net: Option<String>,
    /// Height and width of the images, in pixels; those of the net if not given.
    #[arg(long, value_name = "PIXELS")]
    pub image_size: Option<usize>,
    /// The checkpoint to write; by default beside the weights, ending in `.cellc.safetensors`.
    #[arg(short, long, value_name = "CHECKPOINT")]
    pub out: Option<PathBuf>,
}

/// Arguments of `export`.
#[cfg(feature = "onnx")]
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// A checkpoint, or a `.cell` file. The network of a file gets fresh parameters, which is enough to
    /// measure its speed elsewhere.
    pub model: PathBuf,
    /// Write an ONNX file: the only format there is, and so the default.
    #[arg(long)]
    pub onnx: bool,
    /// The file to write; by default beside the model, ending in `.onnx`.
    #[arg(short, long, value_name = "ONNX")]
    pub out: Option<PathBuf>,
    /// Fold batch normalizations into the convolutions before them: fewer and faster nodes, logits equal
    /// up to rounding.
    #[arg(long)]
    pub fold: bool,
    /// Whiten within the file: its input is pixels as the data set stores them.
    #[arg(long)]
    pub whiten: bool,
    /// Leave out the head and give the last map at each of these strides that exists: the backbone of a
    /// detector. Without a list 4, 8, 16 and 32.
    #[arg(long, value_name = "STRIDES", num_args = 0.., require_equals = true,
          value_delimiter = ',', default_missing_value = "4,8,16,32")]
    pub features: Option<Vec<usize>>,
    /// Height and width of the images for the features; those of the model if not given.
    #[arg(long, value_name = "HxW", requires = "features", value_parser = height_and_width)]
    pub size: Option<[usize; 2]>,
    /// Which network, of a `.cell` file.
    #[command(flatten)]
    pub net: NetArgs,
    /// Seed of the fresh parameters of a `.cell` file's network.
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
}

/// Two numbers such as `480x640`.
#[cfg(feature = "onnx")]
fn height_and_width(text: &str) -> Result<[usize; 2], String> {
    let fault = || "expected height and width such as 480x640".to_string();
    let (height, width) = text.split_once('x').ok_or_else(fault)?;
    Ok([height.parse().map_err(|_| fault())?, width.parse().map_err(|_| fault())?])
}

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
            None | Some(_) => {
                Err("it is none of `train`, `table:FILE` and `command:PROGRAM`".into())
            }
        }
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
    /// `command:PROGRAM` for another program.
    #[arg(long, default_value = "train", value_name = "WHO")]
    pub evaluator: EvaluatorSpec,
    /// The columns of a table.
    #[command(flatten)]
    pub table: TableArgs,
    /// The longest that a program may take for one architecture, in seconds.
    #[arg(long, default_value_t = 3600.0, value_name = "SECS")]
    pub time_limit: f64,
    /// Children trained at the same time, each on one thread; all cores if not given. The ledger is
    /// the same for any number.
    #[arg(long, alias = "threads")]
    pub workers: Option<usize>,
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
    /// Epochs a child is trained for.
    #[arg(long, default_value_t = 5)]
    pub epochs: usize,
    /// Images in a batch.
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
    /// Folder of runs.
    #[arg(long, default_value = "runs")]
    pub out: PathBuf,
    /// Name of this run's folder; by default from space, data, strategy and seed.
    #[arg(long)]
    pub name: Option<String>,
    /// Go on with the run of this name, without repeating a finished trial.
    #[arg(long)]
    pub resume: bool,
}
