//! `cellc train`: the network of a file learns a data set.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cellc::compile::Request;
use cellc::data::{self, Batches, HoldOut, split};
use cellc::error::Error;
use cellc::graph::cost::{Cost, grouped};
use cellc::network::Network;
use cellc::syntax;
use cellc::train::{Checkpoint, Event, RunFolder, TrainConfig, TrainSet, Trainer, accuracy};

use super::args::TrainArgs;
use super::input::{self, Failure};
use super::progress::Progress;
use super::settings::{self, Settings};
use super::{output, use_threads};

/// Trains, writes the checkpoint, and states the test accuracy on the last line.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    // Checked before the data is read, which may take long.
    let Settings { config, .. } = settings::resolve(&args.settings, None)?;
    config.check()?;
    let is_augment_known = args.settings.recipe.is_some();
    let Some(file) = args.file.as_ref().filter(|_| !args.print_config) else {
        let usual = if is_augment_known {
            None
        } else {
            Some(data::load_with(&args.data, &args.images.config())?.augment)
        };
        return output(&settings::resolve(&args.settings, usual)?.print()?);
    };
    use_threads(args.threads)?;
    let input = input::load(file)?;
    let scale = input.scale(&args.net)?;
    let data = data::load_with(&args.data, &args.images.config())?;
    let usual = (!is_augment_known).then_some(data.augment);
    let Settings { config, validation } = settings::resolve(&args.settings, usual)?;
    config.check()?;
    let with_aux = config.aux_weight > 0.0;
    let request = Request {
        with_aux,
        drop_path: config.drop_path > 0.0,
        ..Request::new(input.net(&args.net), scale)
    }
    .with_data(data.train.ty(), data.classes);
    let lowered = input.network(&request)?;
    let out = args.out.clone().unwrap_or_else(|| beside(file));
    let held = split(&data.train, HoldOut::Fraction(validation), config.seed)?;

    let mut network = Network::new(&lowered.graph, config.seed);
    if let Some(path) = &args.init {
        network.load_safetensors(path)?;
    }
    let checkpoint = |val_accuracy, test_accuracy| Checkpoint {
        cellc: env!("CARGO_PKG_VERSION").into(),
        cell: syntax::print(&input.written_out()),
        net: input.net(&args.net).into(),
        scale: scale.to_string(),
        image: [data.train.ty().channels, data.train.ty().height, data.train.ty().width],
        classes: data.classes,
        with_aux,
        data: args.data.to_string(),
        whitening: data.whitening.clone(),
        config: config.clone(),
        val_accuracy,
        test_accuracy,
    };
    let set = TrainSet {
        images: &data.train,
        whitening: &data.whitening,
        train: &held.train,
        validation: &held.validation,
    };
    let about = checkpoint(None, None);
    let (folder, state) = match &args.run {
        Some(dir) if args.resume => {
            let (folder, state) = RunFolder::resume(dir, about.clone(), &set)?;
            (Some(folder), state)
        }
        Some(dir) => (Some(RunFolder::create(dir, about.clone(), &set)?), None),
        None => (None, None),
    };
    // Written once before hours are spent: a folder that cannot be written is found now.
    about.save(&network, &out)?;
    output(&format!(
        "{} at {scale}: {} parameters; {}: {} training, {} validation and {} test images\n",
        input.source.name,
        grouped(Cost::of(&lowered.graph).total.params, ','),
        args.data,
        held.train.len(),
        held.validation.len(),
        data.test.len(),
    ))?;

    let (steps_per_epoch, batch) = Batches::batches_per_epoch(held.train.len(), config.batch);
    if config.lr_batch != 0 {
        let TrainConfig { lr, lr_batch, .. } = config;
        let used = config.lr_of(batch);
        output(&format!("learning rate {used}: {lr} for batches of {lr_batch}, here {batch}\n"))?;
    }
    let progress = Progress::new(config.epochs * steps_per_epoch, "steps");
    let mut trainer = Trainer::new(&mut network, set, &config)?;
    if let Some(state) = state {
        trainer.load_state(&state).map_err(|fault| Error::Config {
            setting: "resume",
            value: "the run".into(),
            reason: format!("its state does not fit: {fault}"),
        })?;
        output(&format!("resumed behind step {}\n", trainer.progress().step))?;
    }
    let trained = train(&mut trainer, folder.as_ref(), args.save_every, &progress);
    progress.finish();
    trained?;
    let history = trainer.finish();

    let all: Vec<usize> = (0..data.test.len()).collect();
    let test = accuracy(&network, &data.test, &all, &data.whitening, config.batch)?;
    checkpoint(history.val_accuracy(), Some(test)).save(&network, &out)?;
    output(&format!("checkpoint {}\ntest accuracy {:.2} %\n", out.display(), 100.0 * test))
}

/// Trains to the end, and keeps the state at the end of every epoch and every so many steps.
fn train(
    trainer: &mut Trainer<'_>,
    folder: Option<&RunFolder>,
    save_every: Option<NonZeroUsize>,
    progress: &Progress,
) -> Result<(), Error> {
    while trainer.advance(&mut |event| report(progress, event))? {
        let is_due =
            save_every.is_some_and(|every| trainer.progress().step.is_multiple_of(every.get()));
        if let Some(folder) = folder.filter(|_| is_due || trainer.is_between_epochs()) {
            folder.keep(trainer)?;
        }
    }
    Ok(())
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

/// The checkpoint of a file: its name with another ending; of the library's cells, in this folder.
fn beside(file: &Path) -> PathBuf {
    if file.exists() {
        return file.with_extension("safetensors");
    }
    PathBuf::from(file.file_name().unwrap_or_default()).with_extension("safetensors")
}
