//! Strategies with their settings: a preset, and over it what `--set` says.

use cellc::diagnostic::suggest;
use cellc::error::Error;
use cellc::search::{
    EnasConfig, EvolutionConfig, LocalConfig, PpoConfig, QLearningConfig, ReinforceConfig,
    StrategyConfig,
};
use toml::{Table, Value};

use crate::cli::args::{Preset, Strategy};
use crate::cli::settings::parse_assignment;

/// The strategies with their settings.
///
/// # Errors
/// [`Error::Settings`] for an assignment that is not understood or is for none of the strategies.
pub fn resolve(
    strategies: &[Strategy],
    preset: Preset,
    assignments: &[String],
) -> Result<Vec<StrategyConfig>, Error> {
    let mut configs: Vec<StrategyConfig> =
        strategies.iter().map(|&strategy| config(strategy, preset)).collect();
    for assignment in assignments {
        assign(&mut configs, assignment)
            .map_err(|fault| Error::Settings { place: "the command line".into(), fault })?;
    }
    Ok(configs)
}

fn config(strategy: Strategy, preset: Preset) -> StrategyConfig {
    let is_paper = match preset {
        Preset::Small => false,
        Preset::Paper => true,
    };
    match strategy {
        Strategy::Random => StrategyConfig::Random,
        Strategy::Ppo if is_paper => StrategyConfig::Ppo(PpoConfig::paper()),
        Strategy::Ppo => StrategyConfig::Ppo(PpoConfig::default()),
        Strategy::Reinforce if is_paper => StrategyConfig::Reinforce(ReinforceConfig::paper()),
        Strategy::Reinforce => StrategyConfig::Reinforce(ReinforceConfig::default()),
        Strategy::Evolution if is_paper => StrategyConfig::Evolution(EvolutionConfig::paper()),
        Strategy::Evolution => StrategyConfig::Evolution(EvolutionConfig::default()),
        Strategy::Local => StrategyConfig::Local(LocalConfig::default()),
        Strategy::QLearning if is_paper => StrategyConfig::QLearning(QLearningConfig::paper()),
        Strategy::QLearning => StrategyConfig::QLearning(QLearningConfig::default()),
        Strategy::Enas if is_paper => StrategyConfig::Enas(EnasConfig::paper()),
        Strategy::Enas => StrategyConfig::Enas(EnasConfig::default()),
    }
}

/// Carries out `STRATEGY.KEY=VALUE`; the value `none` takes a setting away that need not be there.
fn assign(configs: &mut [StrategyConfig], assignment: &str) -> Result<(), String> {
    let (path, value) = parse_assignment(assignment)?;
    let (name, key) = path
        .split_once('.')
        .ok_or_else(|| format!("`--set {assignment}` is not of the form STRATEGY.KEY=VALUE"))?;
    let names: Vec<&str> = configs.iter().map(StrategyConfig::name).collect();
    let config = configs
        .iter_mut()
        .find(|config| config.name() == name)
        .ok_or_else(|| format!("`{name}` is not in use; in use: {}", names.join(", ")))?;
    match config {
        StrategyConfig::Ppo(config) => change(config, path, key, value, &["target_kl"]),
        StrategyConfig::Reinforce(config) => change(config, path, key, value, &[]),
        StrategyConfig::Evolution(config) => change(config, path, key, value, &[]),
        StrategyConfig::Local(config) => change(config, path, key, value, &[]),
        StrategyConfig::QLearning(config) => change(config, path, key, value, &[]),
        StrategyConfig::Enas(config) => change(config, path, key, value, &[]),
        StrategyConfig::Random => Err("random search has no settings".into()),
        other => Err(format!("`{}` has no settings here", other.name())),
    }
}

/// Sets one field. `optional` are those that may be missing.
fn change<C: serde::Serialize + serde::de::DeserializeOwned>(
    config: &mut C,
    path: &str,
    key: &str,
    value: Value,
    optional: &[&str],
) -> Result<(), String> {
    let mut table = Table::try_from(&*config).map_err(|error| error.to_string())?;
    let known: Vec<String> = table
        .keys()
        .map(String::as_str)
        .chain(optional.iter().copied())
        .map(str::to_owned)
        .collect();
    if !known.iter().any(|known| known == key) {
        let help = match suggest::nearest(key, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        return Err(format!("there is no setting `{path}`; {help}"));
    }
    if value.as_str() == Some("none") && optional.contains(&key) {
        table.remove(key);
    } else {
        table.insert(key.into(), value);
    }
    let changed = table.try_into();
    *config = changed.map_err(|error: toml::de::Error| {
        format!("`{path}`: {}", error.to_string().trim_end().replace('\n', " "))
    })?;
    Ok(())
}
