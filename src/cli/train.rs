//! `cellc train`: the network of a file learns a data set.

use std::path::{Path, PathBuf};

use cellc::compile::Request;
use cellc::data::{self, Dataset, HoldOut, split};
use cellc::error::Error;
use cellc::graph::cost::{Cost, grouped};
use cellc::graph::lower::Scale;
use cellc::network::Network;
use cellc::syntax;
use cellc::train::{Checkpoint, Event, TrainConfig, TrainSet, accuracy, adopt_body, fit, restore};

use super::args::TrainArgs;
use super::input::{self, Failure, Input};
use super::progress::Progress;
use super::{output, use_threads};

/// What is trained, before there is data.
struct Start {
    input: Input,
    net: String,
    scale: Scale,
    /// The checkpoint and its network, to train further.
    trained: Option<(Checkpoint, Network)>,
}

impl Start {
    fn of(args: &TrainArgs) -> Result<Start, Failure> {
        if let Some(path) = &args.from {
            let (input, _) = input::load_checkpoint(path)?;
            let (checkpoint, network) = restore(path)?;
            let fault = |fault| Error::Checkpoint { path: path.clone(), fault };
            let (net, scale) = (checkpoint.net.clone(), checkpoint.scale.parse().map_err(fault)?);
            return Ok(Start { input, net, scale, trained: Some((checkpoint, network)) });
        }
        let file = args.file.as_deref().expect("clap asks for a file where there is no checkpoint");
        let input = input::load(file)?;
        let (net, scale) = (input.net(&args.net).to_owned(), input.scale(&args.net)?);
        Ok(Start { input, net, scale, trained: None })
    }

    /// The data set, in the size that a trained network is for unless another is asked for.
    fn data(&self, args: &TrainArgs) -> Result<Dataset, Error> {
        let mut config = args.images.config();
        if let Some((checkpoint, _)) = &self.trained
            && args.data.is_resizable()
        {
            config.image_size = config.image_size.or(Some(checkpoint.image[1]));
        }
        let mut data = data::load_with(&args.data, &config)?;
        if let Some(classes) = args.classes
            && classes != data.classes
        {
            return Err(Error::Config {
                setting: "classes",
                value: classes.to_string(),
                reason: format!("`{}` has {}", args.data, data.classes),
            });
        }
        if let Some((checkpoint, _)) = &self.trained {
            if checkpoint.image[0] != data.train.ty().channels {
                let path = args.from.clone().unwrap_or_default();
                let [channels, ..] = checkpoint.image;
                let found = data.train.ty().channels;
                let fault =
                    format!("it is for images of {channels} channels, `{}` has {found}", args.data);
                return Err(Error::Checkpoint { path, fault });
            }
            data.whitening = checkpoint.whitening.clone();
        }
        Ok(data)
    }
}

/// Trains, writes the checkpoint, and states the test accuracy on the last line.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    let config = config(args);
    config.check()?;
    use_threads(args.threads)?;
    let start = Start::of(args)?;
    let data = start.data(args)?;
    let Start { input, net, scale, trained } = start;
    let augment = if args.no_augment {
        data::Augment::NONE
    } else {
        data::Augment { cutout: args.cutout, ..data.augment }
    };
    let config = TrainConfig { augment, ..config };
    let request = Request { with_aux: args.aux_weight > 0.0, ..Request::new(&*net, scale) }
        .with_data(data.train.ty(), data.classes);
    let lowered = input.network(&request)?;
    let out = args.out.clone().unwrap_or_else(|| match (&args.from, &args.file) {
        (Some(from), _) => from.with_extension("tuned.safetensors"),
        (None, Some(file)) => beside(file),
        (None, None) => PathBuf::from("model.safetensors"),
    });
    let held = split(&data.train, HoldOut::Fraction(args.validation), args.seed)?;

    let mut network = Network::new(&lowered.graph, args.seed);
    if let Some(path) = &args.init {
        network.load_safetensors(path)?;
    }
    if let Some((_, trained)) = &trained {
        let path = args.from.clone().unwrap_or_default();
        adopt_body(&mut network, trained)
            .map_err(|fault| Error::Checkpoint { path, fault: fault.to_string() })?;
    }
    if let Some(freeze) = &args.freeze {
        network.freeze(freeze)?;
    }
    let bn_eps = network.config().bn_eps;
    let imported_from = trained.and_then(|(checkpoint, _)| checkpoint.imported_from);
    let checkpoint = |val_accuracy, test_accuracy| Checkpoint {
        cellc: env!("CARGO_PKG_VERSION").into(),
        cell: syntax::print(&input.written_out()),
        net: net.clone(),
        scale: scale.to_string(),
        image: [data.train.ty().channels, data.train.ty().height, data.train.ty().width],
        classes: data.classes,
        with_aux: args.aux_weight > 0.0,
        data: Some(args.data.to_string()),
        class_names: data.class_names.clone(),
        whitening: data.whitening.clone(),
        validation: args.validation,
        bn_eps,
        config: Some(config.clone()),
        imported_from: imported_from.clone(),
        val_accuracy,
        test_accuracy,
    };
    // Written once before hours are spent: a folder that cannot be written is found now.
    checkpoint(None, None).save(&network, &out)?;
    output(&format!(
        "{} at {scale}: {} parameters; {}: {} training, {} validation and {} test images\n",
        input.source.name,
        grouped(Cost::of(&lowered.graph).total.params, ','),
        args.data,
        held.train.len(),
        held.validation.len(),
        data.test.len(),
    ))?;

    let set = TrainSet {
        images: &data.train,
        whitening: &data.whitening,
        train: &held.train,
        validation: &held.validation,
    };
    let steps = config.epochs * (held.train.len() / config.batch.min(held.train.len()));
    let progress = Progress::new(steps, "steps");
    let history = fit(&mut network, &set, &config, &mut |event| report(&progress, event));
    progress.finish();
    let history = history?;

    let all: Vec<usize> = (0..data.test.len()).collect();
    let test = accuracy(&network, &data.test, &all, &data.whitening, config.batch)?;
    checkpoint(history.val_accuracy(), Some(test)).save(&network, &out)?;
    output(&format!("checkpoint {}\ntest accuracy {:.2} %\n", out.display(), 100.0 * test))
}

fn report(progress: &Progress, event: &Event) {
    match event {
        Event::Step { step, epoch, loss, .. } => {
            progress.set(step + 1, format!("epoch {epoch} loss {loss:.4}"));
        }
        Event::Epoch(record) => {
            let held = match record.val_accuracy {
                Some(accuracy) => format!(", validation accuracy {:.2} %", 100.0 * accuracy),
                None => String::new(),
            };
            progress.line(&format!(
                "epoch {}: loss {:.4}, training accuracy {:.2} %{held}",
                record.epoch,
                record.train_loss,
                100.0 * record.train_accuracy
            ));
        }
        _ => {}
    }
}

fn config(args: &TrainArgs) -> TrainConfig {
    TrainConfig {
        epochs: args.epochs,
        batch: args.batch,
        lr: args.lr,
        momentum: args.momentum,
        nesterov: args.nesterov,
        weight_decay: args.weight_decay,
        // Clipping at 0 would stop all learning, so 0 can mean that there is none.
        clip_norm: (args.clip_norm != 0.0).then_some(args.clip_norm),
        dropout: args.dropout,
        aux_weight: args.aux_weight,
        augment: data::Augment::NONE,
        seed: args.seed,
    }
}

/// The checkpoint of a file: its name with another ending; of the library's cells, in this folder.
fn beside(file: &Path) -> PathBuf {
    if file.exists() {
        return file.with_extension("safetensors");
    }
    PathBuf::from(file.file_name().unwrap_or_default()).with_extension("safetensors")
}
