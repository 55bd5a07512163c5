//! What a training starts from: a file of cells or a model, a data set, and settings that make sense for both.

use cellc::compile::Request;
use cellc::data::{Dataset, Split};
use cellc::error::Error;
use cellc::graph::TensorType;
use cellc::graph::lower::{Lowered, Scale};
use cellc::network::{Freeze, Network};
use cellc::train::{Checkpoint, TrainConfig, restore};

use crate::cli::args::{NetArgs, TrainArgs};
use crate::cli::input::{self, Failure, Input};
use crate::cli::load_data;
use crate::cli::settings::Settings;

/// What is trained, before there is data.
pub struct Start {
    pub input: Input,
    pub net: String,
    pub scale: Scale,
    /// The checkpoint and its network, to train further.
    pub trained: Option<(Checkpoint, Network)>,
}

impl Start {
    /// What the arguments name; the network of a file is that of `net`, the settings'. Notes where another one could
    /// have been meant.
    pub fn of(args: &TrainArgs, net: &NetArgs) -> Result<Start, Failure> {
        if let Some(path) = &args.from {
            let (input, _) = input::load_checkpoint(path)?;
            let (checkpoint, network) = restore(path)?;
            let fault = |fault| Error::Checkpoint { path: path.clone(), fault };
            let (own, scale) = (checkpoint.net.clone(), checkpoint.scale.parse().map_err(fault)?);
            let is_other = net.net.as_ref().is_some_and(|net| *net != own)
                || net.scale.is_some_and(|other| other != scale);
            if is_other {
                eprintln!(
                    "note: net and scale are those of `{}`, {own} at {scale}, whatever the settings say",
                    path.display()
                );
            }
            let trained = Some((checkpoint, network));
            return Ok(Start { input, net: own, scale, trained });
        }
        let file = args.file.as_deref().expect("clap asks for a file where there is no checkpoint");
        let input = input::load(file)?;
        let (chosen, own) = (input.net(net), input.module.default_net());
        let mut claimed = input.module.expects.iter().map(|expect| expect.net.name.as_str());
        if args.net.net.is_none()
            && chosen != own
            && !input.module.expects.is_empty()
            && !claimed.any(|claimed| claimed == chosen)
        {
            eprintln!(
                "note: net `{chosen}` is that of the settings; {} is made for `{own}`, --net {own}",
                input.source.name
            );
        }
        let (net, scale) = (chosen.to_owned(), input.scale(net)?);
        Ok(Start { input, net, scale, trained: None })
    }

    /// The settings with net and scale as they are trained.
    pub fn settled(&self, settings: Settings) -> Settings {
        let net = NetArgs { net: Some(self.net.clone()), scale: Some(self.scale) };
        Settings { net, ..settings }
    }

    /// The data set with its hash, in the size that a trained network is for unless another is asked for.
    pub fn data(&self, args: &TrainArgs) -> Result<(Dataset, String), Error> {
        let mut config = args.images.config();
        if let Some((checkpoint, _)) = &self.trained
            && args.data.is_resizable()
        {
            config.image_size = config.image_size.or(Some(checkpoint.image[1]));
        }
        let mut data = load_data(&args.data, &config)?;
        if let Some(classes) = args.classes
            && classes != data.classes
        {
            return Err(Error::Config {
                setting: "classes",
                value: classes.to_string(),
                reason: format!("`{}` has {}", args.data, data.classes),
            });
        }
        let hash = data.hash();
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
        Ok((data, hash))
    }
}

/// The network to train. An auxiliary head that does not fit the images is named, for it is not in the cells.
pub fn network(input: &Input, request: &Request, aux_weight: f64) -> Result<Lowered, Failure> {
    input.network(request).map_err(|failure| {
        let body = Request { with_aux: false, ..request.clone() };
        match (request.with_aux, request.image) {
            (true, Some(ty)) if input.network(&body).is_ok() => refuse(
                "aux_weight",
                aux_weight,
                format!(
                    "net `{}` has no auxiliary head for images of {}x{} pixels; 0 leaves it out",
                    request.net, ty.height, ty.width
                ),
            )
            .into(),
            _ => failure,
        }
    })
}

/// Freezes parts of a network, and notes where that keeps numbers that nobody trained.
pub fn freeze(network: &mut Network, freeze: &Freeze, args: &TrainArgs) -> Result<(), Error> {
    network.freeze(freeze)?;
    let frozen: usize = network.frozen().iter().map(ExactSizeIterator::len).sum();
    if frozen == network.layout().params_len() {
        return Err(refuse("freeze", freeze, "nothing would be left to train".into()));
    }
    let is_head = |part: &str| part == "head" || part.starts_with("head.");
    if args.from.is_none() && args.init.is_none() {
        eprintln!(
            "note: without --from or --init, what --freeze names stays as it is drawn at random"
        );
    } else if args.from.is_some() && freeze.to_string().split(',').any(is_head) {
        eprintln!(
            "note: the head is a fresh one with --from, and --freeze leaves it as it is drawn"
        );
    }
    Ok(())
}

/// Checks what is sound by itself against the data and the other settings.
pub fn check(
    config: &TrainConfig,
    validation: f64,
    ty: TensorType,
    held: &Split,
) -> Result<(), Error> {
    if validation > 0.0 && held.validation.is_empty() {
        let reason = format!("of {} training images none would be held out", held.train.len());
        return Err(refuse("validation", validation, reason));
    }
    let (cutout, side) = (config.augment.cutout, ty.height.max(ty.width));
    // Wherever its centre is, the square reaches all corners.
    if cutout + 1 >= 2 * side {
        let reason =
            format!("it would zero the whole of images of {}x{} pixels", ty.height, ty.width);
        return Err(refuse("augment.cutout", cutout, reason));
    }
    if config.warmup_epochs >= config.epochs as f64 {
        let reason = format!("of {} epochs none would have the full rate", config.epochs);
        return Err(refuse("warmup_epochs", config.warmup_epochs, reason));
    }
    Ok(())
}

fn refuse(setting: &'static str, value: impl ToString, reason: String) -> Error {
    Error::Config { setting, value: value.to_string(), reason }
}
