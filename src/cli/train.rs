//! `cellc train`: the network of a file learns a data set.

mod start;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use cellc::compile::Request;
use cellc::data::{self, Batches, Images};
use cellc::device::AnyDevice;
use cellc::error::Error;
use cellc::graph::cost::{Cost, grouped};
use cellc::network::Network;
use cellc::storage;
#[cfg(feature = "tensorboard")]
use cellc::train::EventFile;
use cellc::train::{
    Checkpoint, Event, RunFolder, TrainConfig, TrainSet, Trainer, accuracy, adopt_body, initialize,
};

use super::args::TrainArgs;
use super::input::Failure;
use super::progress::Progress;
use super::settings::{self, Settings};
use super::{counted_images, output, use_threads};
use start::Start;

/// Trains, writes the checkpoint, and states the test accuracy on the last line, or where there are no test
/// images the validation accuracy.
pub fn run(args: &TrainArgs) -> Result<(), Failure> {
    // Checked before the data is read, which may take long.
    let Settings { config, net, .. } = settings::resolve(&args.settings, &args.net, None)?;
    config.check()?;
    let is_augment_known = args.settings.recipe.is_some();
    if args.print_config {
        let usual = if is_augment_known {
            None
        } else {
            Some(data::load_with(&args.data, &args.images.config())?.augment)
        };
        let settings = settings::resolve(&args.settings, &args.net, usual)?;
        // A model has its own net.
        let settings = match args.from {
            Some(_) => Start::of(args, &net)?.settled(settings),
            None => settings,
        };
        return output(&settings.print()?);
    }
    use_threads(args.threads)?;
    let device = match &args.devices {
        Some(devices) => AnyDevice::together(devices.open(args.device.options())?)?,
        None => args.device.open()?,
    };
    let start = Start::of(args, &net)?;
    let (data, data_hash) = start.data(args)?;
    let Start { input, net, scale, trained } = start;
    let usual = (!is_augment_known).then_some(data.augment);
    let Settings { mut config, validation, notes, .. } =
        settings::resolve(&args.settings, &args.net, usual)?;
    for note in notes {
        eprintln!("note: {note}");
    }
    if let Some((checkpoint, _)) = &trained {
        // The body was trained with it.
        config.bn_eps = f64::from(checkpoint.bn_eps);
    }
    config.check()?;
    let with_aux = config.aux_weight > 0.0;
    let request =
        Request { with_aux, drop_path: config.drop_path > 0.0, ..Request::new(&*net, scale) }
            .with_data(data.train.ty(), data.classes);
    let lowered = start::network(&input, &request, config.aux_weight)?;
    let text = input.model_text(&request, &lowered.graph)?;
    let out = args.out.clone().unwrap_or_else(|| match (&args.from, &args.file) {
        (Some(from), _) => from.with_extension("tuned.safetensors"),
        (None, Some(file)) => beside(file),
        (None, None) => PathBuf::from("model.safetensors"),
    });
    let (images, held) = data.parted(validation, config.seed)?;
    start::check(&config, validation, data.train.ty(), &held)?;

    let imported_from =
        trained.as_ref().and_then(|(checkpoint, _)| checkpoint.imported_from.clone());
    let checkpoint = |val_accuracy, test_accuracy| Checkpoint {
        cellc: env!("CARGO_PKG_VERSION").into(),
        cell: text.clone(),
        net: net.clone(),
        scale: scale.to_string(),
        image: [data.train.ty().channels, data.train.ty().height, data.train.ty().width],
        classes: data.classes,
        with_aux,
        data: Some(args.data.to_string()),
        class_names: data.class_names.clone(),
        whitening: data.whitening.clone(),
        validation,
        limit: args.images.limit,
        data_hash: Some(data_hash.clone()),
        bn_eps: config.bn_eps as f32,
        config: Some(config.clone()),
        frozen: args.freeze.as_ref().map(ToString::to_string),
        imported_from: imported_from.clone(),
        val_accuracy,
        test_accuracy,
    };
    let set = TrainSet {
        images: &images,
        whitening: &data.whitening,
        train: &held.train,
        validation: &held.validation,
    };
    let about = checkpoint(None, None);
    let mut network = Network::new(&lowered.graph, config.seed);
    if let Some(path) = &args.init {
        initialize(&mut network, path, &about)?;
    }
    if let Some((checkpoint, trained)) = &trained {
        let path = args.from.clone().unwrap_or_default();
        adopt_body(&mut network, trained).map_err(|fault| {
            let [_, height, width] = about.image;
            let fault = match about.image == checkpoint.image {
                true => fault.to_string(),
                false => format!(
                    "for images of {height}x{width} pixels its cells need operations that it has no parameters of, \
                     or others than it has: {fault}"
                ),
            };
            Error::Checkpoint { path, fault }
        })?;
    }
    if let Some(freeze) = &args.freeze {
        start::freeze(&mut network, freeze, args)?;
    }
    network.set_device(device);
    let (folder, state) = match &args.run {
        Some(dir) if args.resume => {
            let (folder, state) =
                RunFolder::resume(dir, about.clone(), &set, data.test.len(), &network)?;
            (Some(folder), state)
        }
        Some(dir) => {
            let folder = RunFolder::create(dir, about.clone(), &set, data.test.len(), &network)?;
            (Some(folder), None)
        }
        None => (None, None),
    };
    if folder.as_ref().is_some_and(|folder| folder.holds(&out)) {
        let reason = "the run keeps a file of its own there; name another".into();
        return Err(
            Error::Config { setting: "out", value: out.display().to_string(), reason }.into()
        );
    }
    // Before hours are spent: a folder that cannot be written is found now.
    storage::probe(&out)?;
    output(&format!(
        "{} in net {net} at {scale}: {} parameters; {}: {}\n",
        input.source.name,
        grouped(Cost::of(&lowered.graph).total.params, ','),
        args.data,
        counted_images(
            [held.train.len(), held.validation.len(), data.test.len()],
            data.validation.as_ref().filter(|_| validation != 0.0).map_or(0, Images::len)
        ),
    ))?;
    if args.resume && state.is_none() {
        output("nothing to resume: a run begins\n")?;
    }
    if folder.is_some() && held.validation.is_empty() {
        output("no validation images to find the best epoch by: best.safetensors is the last\n")?;
    }
    // Said where it is not the usual.
    if !matches!(network.device(), AnyDevice::Cpu(_)) {
        output(&format!("on {}\n", network.device()))?;
    }

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
    } else if let Some(folder) = &folder {
        folder.keep(&mut trainer)?;
    }
    let mut listeners = Listeners {
        progress: &progress,
        #[cfg(feature = "tensorboard")]
        events: match &args.tensorboard {
            Some(folder) => Some(EventFile::create(folder, trainer.progress().step)?),
            None => None,
        },
    };
    let trained = train(&mut trainer, folder.as_ref(), args.save_every, &mut listeners);
    progress.finish();
    trained?;
    let history = trainer.finish()?;

    let all: Vec<usize> = (0..data.test.len()).collect();
    let test = match all.is_empty() {
        true => None,
        false => Some(accuracy(&network, &data.test, &all, &data.whitening, config.batch)?),
    };
    checkpoint(history.val_accuracy(), test).save(&network, &out)?;
    let last = match test
        .map(|share| ("test", share))
        .or(history.val_accuracy().map(|share| ("validation", share)))
    {
        Some((part, share)) => format!("{part} accuracy {:.2} %\n", 100.0 * share),
        None => String::new(),
    };
    output(&format!("checkpoint {}\n{last}", out.display()))
}

/// Those who are told what happens.
struct Listeners<'p> {
    progress: &'p Progress,
    #[cfg(feature = "tensorboard")]
    events: Option<EventFile>,
}

impl Listeners<'_> {
    fn hear(&mut self, event: &Event) -> Result<(), Error> {
        report(self.progress, event);
        #[cfg(feature = "tensorboard")]
        if let Some(events) = &mut self.events {
            events.write(event)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Error> {
        #[cfg(feature = "tensorboard")]
        if let Some(events) = &mut self.events {
            events.flush()?;
        }
        Ok(())
    }
}

/// Trains to the end, and keeps the state at the end of every epoch and every so many steps.
fn train(
    trainer: &mut Trainer<'_>,
    folder: Option<&RunFolder>,
    save_every: Option<NonZeroUsize>,
    listeners: &mut Listeners,
) -> Result<(), Error> {
    loop {
        let mut heard = Ok(());
        let goes_on = trainer.advance(&mut |event| {
            if heard.is_ok() {
                heard = listeners.hear(event);
            }
        })?;
        heard?;
        if !goes_on {
            return Ok(());
        }
        let is_due =
            save_every.is_some_and(|every| trainer.progress().step.is_multiple_of(every.get()));
        if let Some(folder) = folder.filter(|_| is_due || trainer.is_between_epochs()) {
            listeners.flush()?;
            folder.keep(trainer)?;
        }
    }
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
