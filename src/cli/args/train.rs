//! Arguments of `train`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cellc::data::DataSpec;
use cellc::device::DeviceList;
use cellc::network::Freeze;
use cellc::train::Recipe;
use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::{DeviceArgs, ImageArgs, NetArgs};

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
    /// Which network; that of the recipe, if there is one and these do not say otherwise.
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
    /// Where it runs.
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Several cards that train together, `cuda:0,cuda:1`, or `cuda` for all: each has an equal part of every batch, and
    /// NCCL averages the gradients. Batch normalizations see the part of their card, and their running statistics are
    /// those of the first.
    #[arg(long, conflicts_with = "device")]
    pub devices: Option<DeviceList>,
    /// A folder for the state of the run, the model of the epoch with the best validation accuracy so far,
    /// or of the last epoch if there are no validation images, `history.jsonl` and `report.html`.
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
    /// The settings of a paper instead of the small defaults, with its net and scale unless `--net` or
    /// `--scale` says otherwise.
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
