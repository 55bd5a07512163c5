//! `cellc eval`: how well a checkpoint, rebuilt from nothing else, classifies images.

use cellc::data::{DataSpec, Dataset, Images, LoadConfig};
use cellc::error::Error;
use cellc::evaluation::{Evaluation, evaluate};
use cellc::train::{Checkpoint, restore};
use serde_json::json;

use super::args::{EvalArgs, Part, Report};
use super::input::Failure;
use super::table::table;
use super::{load_data, output, use_threads};

/// The most classes whose confusions are printed as a table; of more, the most frequent are listed.
const MATRIX: usize = 20;
/// How many confusions are listed of more classes.
const LISTED: usize = 10;

/// Measures, and states the accuracy on the last line.
pub fn run(args: &EvalArgs) -> Result<(), Failure> {
    use_threads(args.threads)?;
    if args.batch == 0 {
        return Err(refuse("batch", "0", "it must be at least 1".into()).into());
    }
    let device = args.device.open()?;
    let (checkpoint, mut network) = restore(&args.checkpoint)?;
    network.set_device(device);
    let spec = spec(args, &checkpoint)?;
    let image_size = spec.is_resizable().then_some(checkpoint.image[1]);
    // Which images were held out depends on the limit, wherever the data set lies by now.
    let is_own = checkpoint.data.as_ref() == Some(&spec.to_string());
    let own_limit = checkpoint.limit.filter(|_| is_own || args.part != Part::Test);
    let limit = args.limit.or(own_limit);
    let data = load_data(&spec, &LoadConfig { image_size, limit })?;
    if let Some(fault) = mismatch(&checkpoint, &spec, &data) {
        return Err(Error::Checkpoint { path: args.checkpoint.clone(), fault }.into());
    }
    let (images, indices) = part(args, &checkpoint, &spec, &data)?;
    let found = evaluate(&network, &images, &indices, &checkpoint.whitening, args.batch)?;
    match args.format {
        Report::Json => {
            let report = json!({
                "checkpoint": args.checkpoint.display().to_string(),
                "net": checkpoint.net, "scale": checkpoint.scale,
                "data": spec.to_string(), "part": args.part.name(), "images": found.images(),
                "accuracy": found.accuracy(), "top_5": found.top_5(),
                "classes": data.class_names, "class_accuracies": found.class_accuracies(),
                "confusion": found.confusion, "undecided": found.undecided,
            });
            output(&format!("{report}\n"))
        }
        Report::Text => {
            let title = format!(
                "{}: net {} at {}, {} {} images of {spec}\n\n",
                args.checkpoint.display(),
                checkpoint.net,
                checkpoint.scale,
                found.images(),
                args.part.name(),
            );
            let undecided: usize = found.undecided.iter().sum();
            let undecided = match undecided {
                0 => String::new(),
                count => format!("{count} images with logits that are no numbers\n"),
            };
            let top_5 = found.top_5().map(|share| {
                format!("{} top-5 accuracy {:.2} %\n", args.part.name(), 100.0 * share)
            });
            let last = format!("{} accuracy {:.2} %\n", args.part.name(), 100.0 * found.accuracy());
            let classes = by_class(&found, &data.class_names);
            let confusions = confusions(&found, &data.class_names);
            let top_5 = top_5.unwrap_or_default();
            output(&format!("{title}{classes}\n{confusions}\n{undecided}{top_5}{last}"))
        }
    }
}

fn refuse(setting: &'static str, value: &str, reason: String) -> Error {
    Error::Config { setting, value: value.into(), reason }
}

/// The data set asked for, or the one of the checkpoint.
fn spec(args: &EvalArgs, checkpoint: &Checkpoint) -> Result<DataSpec, Error> {
    match (&args.data, &checkpoint.data) {
        (Some(spec), _) => Ok(spec.clone()),
        (None, Some(spec)) => spec.parse(),
        (None, None) => {
            let reason = "the network was imported and knows no data set; give one with --data";
            Err(refuse("data", "missing", reason.into()))
        }
    }
}

/// Why the checkpoint is not for this data set, if so.
fn mismatch(checkpoint: &Checkpoint, spec: &DataSpec, data: &Dataset) -> Option<String> {
    let ty = data.test.ty();
    let [channels, height, width] = checkpoint.image;
    if [ty.channels, ty.height, ty.width] != checkpoint.image || data.classes != checkpoint.classes
    {
        return Some(format!(
            "it is for images [{channels}, {height}, {width}] of {} classes, `{spec}` has [{}, {}, {}] of {}",
            checkpoint.classes, ty.channels, ty.height, ty.width, data.classes
        ));
    }
    let names = checkpoint.class_names.iter().zip(&data.class_names).enumerate();
    let mut others = names.filter(|(_, (own, other))| own != other);
    let (class, (own, other)) = others.next()?;
    Some(format!("its class {class} is `{own}`, that of `{spec}` is `{other}`"))
}

/// The images of the part asked for.
fn part(
    args: &EvalArgs,
    checkpoint: &Checkpoint,
    spec: &DataSpec,
    data: &Dataset,
) -> Result<(Images, Vec<usize>), Error> {
    let refuse = |reason| Err(refuse("part", args.part.name(), reason));
    let all = |images: &Images| (images.clone(), (0..images.len()).collect());
    if args.part == Part::Test {
        if data.test.is_empty() {
            return refuse(format!("`{spec}` has no test images; ask for --part validation"));
        }
        return Ok(all(&data.test));
    }
    if let Some(reason) = without_parts(args, checkpoint, spec, data) {
        return match &data.validation {
            // Nobody trains on what a set keeps for validation.
            Some(images) if args.part == Part::Validation => Ok(all(images)),
            Some(_) | None => refuse(reason),
        };
    }
    let seed = checkpoint.config.as_ref().map_or(0, |config| config.seed);
    let (images, parts) = data.parted(checkpoint.validation, seed)?;
    let indices = if args.part == Part::Train { parts.train } else { parts.validation };
    if indices.is_empty() {
        return refuse("no image was held out when the checkpoint was trained".into());
    }
    Ok((images, indices))
}

/// Why nobody knows which images of this data set the checkpoint learned from, if so.
fn without_parts(
    args: &EvalArgs,
    checkpoint: &Checkpoint,
    spec: &DataSpec,
    data: &Dataset,
) -> Option<String> {
    let trained_on = checkpoint.data.as_deref();
    let is_own = match &checkpoint.data_hash {
        Some(hash) => *hash == data.hash(),
        None => trained_on == Some(&spec.to_string()),
    };
    if is_own {
        return None;
    }
    let Some(trained_on) = trained_on else {
        return Some("the network was imported, and nobody knows what it was trained on".into());
    };
    let limit = |limit: Option<usize>| match limit {
        Some(limit) => format!("--limit {limit}"),
        None => "no --limit".into(),
    };
    Some(if args.limit.is_some() && args.limit != checkpoint.limit {
        format!(
            "the checkpoint was trained with {}, so the parts with {} are others",
            limit(checkpoint.limit),
            limit(args.limit)
        )
    } else {
        format!(
            "the images of `{spec}` are not those of `{trained_on}` that the checkpoint was trained on, so none \
             of them were trained on or held out"
        )
    })
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.2} %", 100.0 * share))
}

fn by_class(found: &Evaluation, names: &[String]) -> String {
    let mut rows = vec![["class", "images", "correct", "accuracy"].map(String::from).to_vec()];
    for (class, (name, share)) in names.iter().zip(found.class_accuracies()).enumerate() {
        let (images, correct) = (found.of_class(class), found.confusion[class][class]);
        rows.push(vec![name.clone(), images.to_string(), correct.to_string(), percent(share)]);
    }
    table(&rows, 1)
}

/// The matrix, a row for each class and a column for what its images were taken for; of many classes the most
/// frequent confusions.
fn confusions(found: &Evaluation, names: &[String]) -> String {
    if names.len() <= MATRIX {
        let mut rows = vec![["class \\ taken for"].map(String::from).to_vec()];
        rows[0].extend(names.iter().cloned());
        for (name, counts) in names.iter().zip(&found.confusion) {
            let counts = counts.iter().map(usize::to_string);
            rows.push(std::iter::once(name.clone()).chain(counts).collect());
        }
        return table(&rows, 1);
    }
    let mut pairs = Vec::new();
    for (class, counts) in found.confusion.iter().enumerate() {
        let wrong =
            counts.iter().enumerate().filter(|&(other, &count)| other != class && count > 0);
        pairs.extend(wrong.map(|(other, &count)| (count, class, other)));
    }
    pairs.sort_by_key(|&(count, class, other)| (std::cmp::Reverse(count), class, other));
    let mut rows = vec![["class", "taken for", "images"].map(String::from).to_vec()];
    for &(count, class, other) in pairs.iter().take(LISTED) {
        rows.push(vec![names[class].clone(), names[other].clone(), count.to_string()]);
    }
    table(&rows, 2)
}
