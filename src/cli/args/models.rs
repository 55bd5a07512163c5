//! Arguments of the commands about models: `predict`, `eval`, `import`, `export`.

use std::path::PathBuf;

use cellc::data::DataSpec;
use clap::{Args, ValueEnum};

#[cfg(feature = "onnx")]
use super::NetArgs;
use super::{DeviceArgs, Report};

/// The images of a data set that are evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Those kept for the final test.
    Test,
    /// Those held out when the checkpoint was trained, of the data set it was trained on.
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
    /// always the same ones; on the data set it was trained on as many as then, if not given.
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
    /// Where it runs.
    #[command(flatten)]
    pub device: DeviceArgs,
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
    let fault = || "expected height and width above 0 such as 480x640".to_string();
    let (height, width) = text.split_once('x').ok_or_else(fault)?;
    let number = |text: &str| text.parse().ok().filter(|&pixels| pixels > 0).ok_or_else(fault);
    Ok([number(height)?, number(width)?])
}
