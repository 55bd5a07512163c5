//! What makes two searches the same search: hashes, seeds and the text of `config.toml`.

use super::SearchConfig;
use super::evaluator::Evaluator;
use crate::fnv::Fnv1a;
use crate::rng::{Purpose, derive};
use crate::space::{SearchSpace, When};

/// Hash of all decisions of a space, their options and conditions, as 16 hexadecimal digits.
pub fn space_hash(space: &SearchSpace) -> String {
    let mut hash = Fnv1a::new();
    hash.text(&space.name);
    for decision in &space.decisions {
        hash.text(&decision.label);
        hash.number(decision.options.len() as u64);
        decision.options.iter().for_each(|option| hash.text(option));
        match &decision.when {
            None => hash.number(0),
            Some(When { decision, options }) => {
                hash.number(1 + options.len() as u64);
                hash.number(*decision as u64);
                options.iter().for_each(|&option| hash.number(option as u64));
            }
        }
        // Only where the file says something: a hash outlives releases.
        if decision.is_weighted() {
            decision.weights.iter().for_each(|&weight| hash.number(weight));
        }
    }
    hash.digits()
}

/// The seed for training the architecture `id`: the same for whichever trial finds it.
pub fn train_seed(seed: u64, id: &str) -> u64 {
    derive(seed, Purpose::Trial, text_number(id))
}

/// 16 hexadecimal digits that stand for a text.
pub(super) fn text_hash(text: &str) -> String {
    format!("{:016x}", text_number(text))
}

/// The number that [`text_hash`] writes.
pub(super) fn text_number(text: &str) -> u64 {
    let mut hash = Fnv1a::new();
    hash.text(text);
    hash.0
}

/// The text of `config.toml`: everything that the ledger of a run depends on, and nothing else. The
/// number of workers is not in it, and neither is the number of trials: a finished run can be resumed
/// with more.
pub fn config_text(
    space: &SearchSpace,
    config: &SearchConfig,
    evaluator: &dyn Evaluator,
) -> String {
    let strategy = config.strategy.name();
    let owned = |(key, value): (&str, String)| (key.to_owned(), value);
    let search = [
        ("space", quoted(&space.name)),
        ("space_hash", quoted(&space_hash(space))),
        ("strategy", quoted(strategy)),
        // As text: TOML integers are signed.
        ("seed", quoted(&config.seed.to_string())),
    ];
    let evaluator = evaluator.settings();
    let objectives = [config.objectives.settings(), config.budget.settings()].concat();
    let mut tables: Vec<(&str, Vec<(String, String)>)> = vec![
        ("search", search.into_iter().map(owned).collect()),
        (strategy, config.strategy.settings().into_iter().map(owned).collect()),
    ];
    if !objectives.is_empty() {
        tables.push(("objective", objectives.into_iter().map(owned).collect()));
    }
    let evaluator = evaluator.iter().map(|(key, value)| (quoted(key), quoted(value))).collect();
    tables.push(("evaluator", evaluator));
    let mut text = String::from("# Settings of this search; resuming it requires the same ones.\n");
    for (name, entries) in tables {
        text += &format!("\n[{name}]\n");
        for (key, value) in entries {
            text += &format!("{key} = {value}\n");
        }
    }
    text
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out += &format!("\\u{:04X}", u32::from(c)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::space::Decision;

    #[test]
    fn every_part_of_a_space_is_hashed() {
        let decision = |label: &str, options: &[&str], when: Option<usize>| Decision {
            when: when.map(|option| When { decision: 0, options: vec![option] }),
            ..Decision::new(label, options.iter().map(|&option| option.into()).collect())
        };
        let weighted = |weights: &[u64]| Decision {
            weights: weights.to_vec(),
            ..decision("a", &["x", "y"], None)
        };
        let space = |decisions| space_hash(&SearchSpace { name: "s".into(), decisions });
        let base = space(vec![decision("a", &["x", "y"], None), decision("b", &["z"], None)]);
        let others = [
            space(vec![decision("a", &["x"], None), decision("b", &["y", "z"], None)]),
            space(vec![decision("a", &["x", "y"], None), decision("b", &["z"], Some(1))]),
            space(vec![weighted(&[1, 2]), decision("b", &["z"], None)]),
            space(vec![weighted(&[2, 1]), decision("b", &["z"], None)]),
            space(vec![decision("a", &["xy", ""], None), decision("b", &["z"], None)]),
            space(vec![decision("a", &["x", "y"], None)]),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn strings_are_quoted_as_toml() {
        assert_eq!(quoted("a\"b\\c\nd"), r#""a\"b\\c\u000Ad""#);
    }
}
