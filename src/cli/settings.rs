//! The settings of a training run in layers: defaults, a recipe, a TOML file, options.
//!
//! Each layer is a table of TOML with the fields of [`TrainConfig`] as keys, and `net`, `scale` and `validation`;
//! the next one overrides it key by key. What belongs together is not torn apart: a learning rate in a layer
//! without its `lr_batch` is meant as it is written, and a net without a scale has its own.

use std::fs;
use std::path::Path;

use cellc::data::Augment;
use cellc::diagnostic::suggest;
use cellc::error::Error;
use cellc::graph::lower::Scale;
use cellc::train::TrainConfig;
use serde::Serialize;
use toml::de::DeTable;
use toml::{Table, Value};

use super::args::{NetArgs, SettingArgs};

/// The keys of what is no setting of the training itself: the share of images held out, and the network, with
/// empty texts where it is up to the file of cells.
const VALIDATION: &str = "validation";
const NET: &str = "net";
const SCALE: &str = "scale";

/// What all layers come to.
pub struct Settings {
    /// How to train.
    pub config: TrainConfig,
    /// Share of the training images held out.
    pub validation: f64,
    /// The net and the scale, as far as they are not up to the file of cells.
    pub net: NetArgs,
    /// A sentence for each setting of the command line that the others leave without an effect.
    pub notes: Vec<String>,
}

/// Puts the layers together, `net` belonging to the last. `augment` is the usual augmentation of the data, where no recipe has its own.
///
/// # Errors
/// [`Error::Read`] or [`Error::Settings`] if a file or an option is not understood.
pub fn resolve(
    args: &SettingArgs,
    net: &NetArgs,
    augment: Option<Augment>,
) -> Result<Settings, Error> {
    let (mut config, validation) = match args.recipe {
        Some(recipe) => (recipe.config(), recipe.validation()),
        None => (TrainConfig { aux_weight: 0.0, ..TrainConfig::default() }, 0.0),
    };
    config.augment = augment.unwrap_or(config.augment);
    let mut table = to_table(&config);
    table.insert(VALIDATION.into(), validation.into());
    let own = args.recipe.map(|recipe| (recipe.net().to_owned(), recipe.scale().to_string()));
    let (own_net, own_scale) = own.unwrap_or_default();
    table.extend([(NET.into(), own_net.into()), (SCALE.into(), own_scale.into())]);
    let mut place = "the command line".to_owned();
    if let Some(path) = &args.config {
        place = format!("`{}`", path.display());
        let layer = read(path, &table).map_err(|fault| match fault {
            Fault::Unreadable(error) => error,
            Fault::Text(fault) => Error::Settings { place: place.clone(), fault },
        })?;
        add(&mut table, layer);
        check_types(&table, &place)?;
        place = "the command line".into();
    }
    let options = options(args, net, &table)
        .map_err(|fault| Error::Settings { place: place.clone(), fault })?;
    let given: Vec<String> = options.keys().cloned().collect();
    add(&mut table, options);
    let mut settings = check_types(&table, &place)?;
    // Apart, since half of all seeds are no numbers of TOML.
    settings.config.seed = args.seed.unwrap_or(settings.config.seed);
    settings.notes = given.iter().filter_map(|key| without_effect(key, &table)).collect();
    Ok(settings)
}

impl Settings {
    /// The settings as a file that comes to the same.
    ///
    /// # Errors
    /// [`Error::Settings`] for a seed that TOML has no number for.
    pub fn print(&self) -> Result<String, Error> {
        #[derive(Serialize)]
        struct Printed<'a> {
            net: &'a str,
            scale: String,
            validation: f64,
            #[serde(flatten)]
            config: &'a TrainConfig,
        }
        let printed = Printed {
            net: self.net.net.as_deref().unwrap_or_default(),
            scale: self.net.scale.map(|scale| scale.to_string()).unwrap_or_default(),
            validation: self.validation,
            config: &self.config,
        };
        let text = toml::to_string(&printed).map_err(|error| Error::Settings {
            place: "this run".into(),
            fault: format!("they cannot be written as TOML: {error}"),
        })?;
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        for line in &mut lines {
            if line == "net = \"\"" || line == "scale = \"\"" {
                line.push_str(" # that of the file of cells");
            }
            if line.starts_with("lr_batch = ") && self.config.lr_batch != 0 {
                let used = self.config.lr_of(self.config.batch);
                line.push_str(&format!(" # with batch = {}: {used}", self.config.batch));
            }
        }
        Ok(lines.join("\n") + "\n")
    }
}

/// A sentence about a setting that the others leave without an effect, if they do.
fn without_effect(key: &str, table: &Table) -> Option<String> {
    let (other, needed): (_, &[&str]) = match key {
        "momentum" => ("optimizer", &["sgd", "rmsprop"]),
        "rms_decay" | "rms_eps" => ("optimizer", &["rmsprop"]),
        "adam_beta1" | "adam_beta2" | "adam_eps" => ("optimizer", &["adam"]),
        "lr_decay" | "lr_decay_epochs" => ("schedule", &["exponential"]),
        _ => return None,
    };
    let found = table.get(other)?.as_str()?;
    let is_idle = !needed.contains(&found);
    is_idle.then(|| format!("{key} has no effect with {other} `{found}`"))
}

/// Settings as a table, but for what TOML has no number for.
fn to_table(config: &TrainConfig) -> Table {
    // Recipes and defaults have small seeds.
    Table::try_from(config).expect("settings are plain data")
}

/// The settings of a whole table.
fn check_types(table: &Table, place: &str) -> Result<Settings, Error> {
    let fault = |error: toml::de::Error| Error::Settings {
        place: place.into(),
        fault: error.to_string().trim_end().to_owned(),
    };
    let mut table = table.clone();
    let mut take = |key| table.remove(key).expect("the lowest layer has it");
    let validation = take(VALIDATION).try_into().map_err(fault)?;
    let [net, scale]: [Result<String, _>; 2] = [NET, SCALE].map(|key| take(key).try_into());
    let given = |text: String| Some(text).filter(|text| !text.is_empty());
    let scale = given(scale.map_err(fault)?).map(|text| text.parse::<Scale>()).transpose();
    let scale = scale.map_err(|fault| Error::Settings { place: place.into(), fault })?;
    let net = NetArgs { net: given(net.map_err(fault)?), scale };
    let config = table.try_into().map_err(fault)?;
    Ok(Settings { config, validation, net, notes: Vec::new() })
}

/// Overrides the keys of `table` that `layer` has, those of tables within it too.
fn merge(table: &mut Table, layer: Table) {
    for (key, value) in layer {
        match (table.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(layer)) => merge(inner, layer),
            (_, value) => {
                table.insert(key, value);
            }
        }
    }
}

/// Adds a layer: a learning rate that stands alone is for any batch, and another net has another scale.
fn add(table: &mut Table, mut layer: Table) {
    if layer.contains_key("lr") && !layer.contains_key("lr_batch") {
        layer.insert("lr_batch".into(), 0.into());
    }
    let is_other_net = layer.get(NET).is_some_and(|net| table.get(NET) != Some(net));
    if is_other_net && !layer.contains_key(SCALE) {
        layer.insert(SCALE.into(), "".into());
    }
    merge(table, layer);
}

enum Fault {
    Unreadable(Error),
    Text(String),
}

/// Reads a file whose keys `known` must have.
fn read(path: &Path, known: &Table) -> Result<Table, Fault> {
    let text =
        fs::read_to_string(path).map_err(|error| Fault::Unreadable(Error::read(path)(error)))?;
    let broken = |error: toml::de::Error| Fault::Text(error.to_string().trim_end().to_owned());
    let parsed = DeTable::parse(&text).map_err(broken)?;
    let line = |at: usize| text[..at].matches('\n').count() + 1;
    for (key, value) in parsed.get_ref() {
        let at = |fault| Fault::Text(format!("line {}: {fault}", line(key.span().start)));
        check_key(key.get_ref(), "", known).map_err(at)?;
        let within = known.get(key.get_ref().as_ref()).and_then(Value::as_table);
        let (Some(known), Some(table)) = (within, value.get_ref().as_table()) else { continue };
        for inner in table.keys() {
            let at = |fault| Fault::Text(format!("line {}: {fault}", line(inner.span().start)));
            check_key(inner.get_ref(), &format!("{}.", key.get_ref()), known).map_err(at)?;
        }
    }
    text.parse().map_err(broken)
}

/// A sentence about a key that `known` does not have.
fn check_key(key: &str, prefix: &str, known: &Table) -> Result<(), String> {
    if known.contains_key(key) {
        return Ok(());
    }
    let help = match suggest::nearest(key, known.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{prefix}{near}`?"),
        None => "`cellc train --print-config` prints all there are".into(),
    };
    Err(format!("there is no setting `{prefix}{key}`; {help}"))
}

/// The key and the value of `KEY=VALUE`.
pub fn parse_assignment(assignment: &str) -> Result<(&str, Value), String> {
    let (key, text) = assignment
        .split_once('=')
        .ok_or_else(|| format!("`--set {assignment}` is not of the form KEY=VALUE"))?;
    let (key, text) = (key.trim(), text.trim());
    // Words need no quotes here: a shell would take them away.
    let quoted = || Value::String(text.to_owned());
    let value = format!("value = {text}").parse::<Table>().ok();
    Ok((key, value.and_then(|mut table| table.remove("value")).unwrap_or_else(quoted)))
}

/// The layer of the command line; options of their own win over `--set`.
fn options(args: &SettingArgs, net: &NetArgs, known: &Table) -> Result<Table, String> {
    let mut layer = Table::new();
    for assignment in &args.set {
        let (key, value) = parse_assignment(assignment)?;
        match key.split_once('.') {
            None => {
                check_key(key, "", known)?;
                layer.insert(key.into(), value);
            }
            Some((outer, inner)) => {
                check_key(outer, "", known)?;
                let within = known.get(outer).and_then(Value::as_table);
                let within = within.ok_or_else(|| format!("`{outer}` has no settings within"))?;
                check_key(inner, &format!("{outer}."), within)?;
                let table = layer.entry(outer).or_insert_with(|| Table::new().into());
                if let Value::Table(table) = table {
                    table.insert(inner.into(), value);
                }
            }
        }
    }
    let mut add = |key: &str, value: Option<Value>| {
        layer.extend(value.map(|value| (key.to_owned(), value)));
    };
    let count = |value: Option<usize>| value.map(|value| Value::Integer(value as i64));
    let number = |value: Option<f64>| value.map(Value::Float);
    let word = |value: &Option<String>| value.clone().map(Value::String);
    add("epochs", count(args.epochs));
    add("batch", count(args.batch));
    add("optimizer", word(&args.optimizer));
    add("lr", number(args.lr));
    add("schedule", word(&args.schedule));
    add("warmup_epochs", number(args.warmup_epochs));
    add("momentum", number(args.momentum));
    add("nesterov", args.nesterov.then_some(Value::Boolean(true)));
    add("weight_decay", number(args.weight_decay));
    add("clip_norm", number(args.clip_norm));
    add("label_smoothing", number(args.label_smoothing));
    add("ema_decay", number(args.ema_decay));
    add("dropout", number(args.dropout));
    add("drop_path", number(args.drop_path));
    add("aux_weight", number(args.aux_weight));
    add(VALIDATION, number(args.validation));
    add(NET, word(&net.net));
    add(SCALE, net.scale.map(|scale| Value::String(scale.to_string())));
    if args.no_augment {
        let none = Table::try_from(Augment::NONE).expect("plain data");
        layer.insert("augment".into(), none.into());
    }
    if let Some(side) = args.cutout {
        let table = layer.entry("augment").or_insert_with(|| Table::new().into());
        if let Value::Table(table) = table {
            table.insert("cutout".into(), Value::Integer(side as i64));
        }
    }
    Ok(layer)
}
