//! Data sets of labelled images, and batches of them.
//!
//! [`load`] takes a [`DataSpec`] such as `cifar10:DIR` and gives a [`Dataset`]: training and test
//! [`Images`] with a label each, and what [`Batches`] needs to turn them into whitened `f32` batches,
//! [`Loader`] in threads of its own. [`split()`] takes validation images away from the training images.
//!
//! Small sets are bytes in memory; images of large ones are read and decoded at each use. Files come
//! from outside and are not trusted: sizes are checked before anything is stored, and whatever is wrong
//! comes back as one [`Error::Data`] that names the file.

mod augment;
mod batches;
mod cifar;
#[cfg(feature = "images")]
mod decode;
mod digits;
#[cfg(feature = "images")]
mod encoded;
mod file;
#[cfg(feature = "images")]
mod folder;
mod idx;
mod images;
mod loader;
#[cfg(feature = "parquet")]
mod parquet;
#[cfg(feature = "images")]
mod parts;
#[cfg(feature = "images")]
mod picture;
mod resize;
mod spec;
mod split;
mod whitening;

pub use augment::Augment;
pub use batches::{Batch, Batches};
pub use images::Images;
pub use loader::Loader;
#[cfg(feature = "images")]
pub use picture::read_picture;
pub use spec::DataSpec;
pub use split::{HoldOut, Split, split};
pub use whitening::Whitening;

use crate::error::Error;
use crate::fnv::Fnv1a;

/// A data set.
#[derive(Clone, Debug)]
pub struct Dataset {
    /// Its name without a place: `digits`, `cifar10`, `cifar100`, `idx`, `folder` or `parquet`.
    pub name: &'static str,
    /// Images to learn from.
    pub train: Images,
    /// Images that the set itself keeps for validation, apart from the others, if it does; of the same shape.
    pub validation: Option<Images>,
    /// Images for the final test; of the same shape as the training images. There are none in a set that keeps
    /// images for validation only.
    pub test: Images,
    /// Number of classes; every label is below it.
    pub classes: usize,
    /// The name of each class; its number where the files have no names.
    pub class_names: Vec<String>,
    /// Mean and deviation of the training images.
    pub whitening: Whitening,
    /// The augmentation that is usual for this data set.
    pub augment: Augment,
    /// A sentence for each kind of thing that lies where the images do and was passed over.
    pub notes: Vec<String>,
}

/// How much of a data set is used, and in which size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LoadConfig {
    /// Height and width of the images of sets of files, in pixels; images of other sizes are resized.
    /// If `None`, all images have the size of the first.
    pub image_size: Option<usize>,
    /// The most images of each part of the set that are used, for quick runs: with equal shares of every
    /// class, always the same ones. All if `None`.
    pub limit: Option<usize>,
}

/// The longest side that images are resized to, in pixels.
const MAX_IMAGE_SIZE: usize = 4096;
/// Seed of the choice of images where there is a limit.
const LIMIT_SEED: u64 = 0;

/// Reads a data set, all of it and in its own size.
///
/// # Errors
/// As [`load_with`].
pub fn load(spec: &DataSpec) -> Result<Dataset, Error> {
    load_with(spec, &LoadConfig::default())
}

/// Reads a data set.
///
/// # Errors
/// [`Error::Data`] names the file that is missing or malformed and says what is wrong with it;
/// [`Error::Read`] if the system refuses to read one; [`Error::Config`] if a setting makes no sense for
/// this set, or the program was built without what reads it.
pub fn load_with(spec: &DataSpec, config: &LoadConfig) -> Result<Dataset, Error> {
    config.check(spec)?;
    let whole = |images: [Images; 2], class_names, augment| {
        let [train, test] = images;
        let images = Divided { train, validation: None, test };
        Contents { images, class_names, augment, notes: Vec::new() }
    };
    let Contents { images, class_names, augment, notes } = match spec {
        DataSpec::Digits => whole(digits::load(), numbers(digits::CLASSES), Augment::NONE),
        DataSpec::Cifar10(dir) => {
            let (images, names) = cifar::CIFAR10.load(dir)?;
            whole(images, names, Augment::CROP_AND_FLIP)
        }
        DataSpec::Cifar100(dir) => {
            let (images, names) = cifar::CIFAR100.load(dir)?;
            whole(images, names, Augment::CROP_AND_FLIP)
        }
        DataSpec::Idx(dir) => {
            let (images, classes) = idx::load(dir)?;
            whole(images, numbers(classes), Augment::NONE)
        }
        DataSpec::Folder(_) | DataSpec::Parquet(_) => files(spec, config)?,
    };
    let (train, test) = (config.limited(images.train), config.limited(images.test));
    let validation = images.validation.map(|images| config.limited(images));
    let whitening = Whitening::of(&train)?;
    let (name, classes) = (spec.kind(), class_names.len());
    Ok(Dataset { name, train, validation, test, classes, class_names, whitening, augment, notes })
}

impl Dataset {
    /// Images with indices of those to train on and of those to validate on. If `share` is 0 the latter are
    /// the images that the set keeps for it, if it does; else they are this share of the training images,
    /// held out by `seed`, and what the set keeps is left out.
    ///
    /// # Errors
    /// Those of [`split()`].
    pub fn parted(&self, share: f64, seed: u64) -> Result<(Images, Split), Error> {
        match &self.validation {
            Some(validation) if share == 0.0 => {
                let (first, end) = (self.train.len(), self.train.len() + validation.len());
                let parts =
                    Split { train: (0..first).collect(), validation: (first..end).collect() };
                Ok((self.train.joined(validation), parts))
            }
            Some(_) | None => {
                let parts = split(&self.train, HoldOut::Fraction(share), seed)?;
                Ok((self.train.clone(), parts))
            }
        }
    }

    /// 16 hexadecimal digits that stand for all that training can depend on: the training images with their
    /// labels. Images that are decoded at each use count by number, shape and whitening.
    ///
    /// # Determinism
    /// The same on every platform and in every release.
    pub fn hash(&self) -> String {
        let mut hash = Fnv1a::new();
        let ty = self.train.ty();
        for number in [ty.channels, ty.height, ty.width, self.classes, self.train.len()] {
            hash.number(number as u64);
        }
        self.train.labels().iter().for_each(|&label| hash.bytes(&label.to_le_bytes()));
        hash.bytes(self.train.pixels().unwrap_or_default());
        let Whitening { mean, std } = &self.whitening;
        for value in [mean, std].into_iter().flatten() {
            hash.bytes(&value.to_le_bytes());
        }
        hash.digits()
    }
}

impl LoadConfig {
    fn check(&self, spec: &DataSpec) -> Result<(), Error> {
        let refuse = |setting, value: usize, reason: String| {
            Err(Error::Config { setting, value: value.to_string(), reason })
        };
        match *self {
            LoadConfig { limit: Some(0), .. } => {
                refuse("limit", 0, "there must be at least one image".into())
            }
            LoadConfig { image_size: Some(size), .. } if !spec.is_resizable() => {
                refuse("image size", size, format!("the images of `{spec}` have one size"))
            }
            LoadConfig { image_size: Some(size), .. } if !(1..=MAX_IMAGE_SIZE).contains(&size) => {
                refuse("image size", size, format!("it must be from 1 to {MAX_IMAGE_SIZE}"))
            }
            LoadConfig { .. } => Ok(()),
        }
    }

    /// The images that are left by the limit.
    fn limited(&self, images: Images) -> Images {
        match self.limit {
            Some(limit) if limit < images.len() => {
                let chosen = split(&images, HoldOut::Count(limit), LIMIT_SEED)
                    .expect("fewer images are held than there are");
                images.select(&chosen.validation)
            }
            _ => images,
        }
    }
}

/// Names of classes that have none.
fn numbers(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// The images of a set, part by part.
struct Divided {
    train: Images,
    validation: Option<Images>,
    test: Images,
}

/// What a set holds.
struct Contents {
    images: Divided,
    class_names: Vec<String>,
    augment: Augment,
    notes: Vec<String>,
}

/// A set of encoded images.
#[cfg(feature = "images")]
fn files(spec: &DataSpec, config: &LoadConfig) -> Result<Contents, Error> {
    let parts = match spec {
        DataSpec::Folder(dir) => folder::open_folder(dir)?,
        #[cfg(feature = "parquet")]
        DataSpec::Parquet(paths) => parquet::open_files(paths)?,
        #[cfg(not(feature = "parquet"))]
        DataSpec::Parquet(_) => return Err(not_built(spec, "parquet")),
        DataSpec::Digits | DataSpec::Cifar10(_) | DataSpec::Cifar100(_) | DataSpec::Idx(_) => {
            unreachable!("these are no sets of encoded images")
        }
    };
    let (class_names, notes) = (parts.classes.clone(), parts.notes.clone());
    let images = parts.images(config.image_size)?;
    let augment = if images.train.is_encoded() {
        Augment::RESIZED_CROP_AND_FLIP
    } else {
        Augment::CROP_AND_FLIP
    };
    Ok(Contents { images, class_names, augment, notes })
}

#[cfg(not(feature = "images"))]
fn files(spec: &DataSpec, _: &LoadConfig) -> Result<Contents, Error> {
    Err(not_built(spec, if spec.kind() == "parquet" { "parquet" } else { "images" }))
}

#[cfg(not(feature = "parquet"))]
fn not_built(spec: &DataSpec, feature: &str) -> Error {
    let reason = format!("this program was built without the feature `{feature}`");
    Error::Config { setting: "data", value: format!("`{spec}`"), reason }
}
