//! Asynchronous successive halving beside Algorithm 2 of its paper, played hour by hour.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellc::search::{Record, SearchConfig, StrategyConfig};

use crate::learners::*;
use crate::table::*;

/// What a worker is at: when it ends, the number of the job, its trial and rung.
type Work = (usize, usize, usize, usize);

/// Algorithm 2 as it stands in the paper, by workers that need an hour for every epoch.
struct Played<'a> {
    rungs: &'a [usize],
    learners: &'a Learners,
    trials: &'a [Record],
    /// For each rung the trials that reached it, and those that went on or cannot.
    rung: Vec<BTreeSet<usize>>,
    gone: Vec<BTreeSet<usize>>,
}

impl Played<'_> {
    fn reward(&self, trial: usize, rung: usize) -> Option<f64> {
        let record = &self.trials[trial - 1];
        let score = self.learners.score(&record.genotype, record.train_seed, 0, self.rungs[rung]);
        score.ok().map(|found| found.reward)
    }

    fn top(&self, rung: usize, count: usize) -> Vec<usize> {
        let mut sorted: Vec<usize> = self.rung[rung].iter().copied().collect();
        let reward = |trial| self.reward(trial, rung).unwrap();
        sorted.sort_by(|&a, &b| reward(b).total_cmp(&reward(a)));
        sorted.truncate(count);
        sorted
    }

    fn get_job(&mut self, fresh: &mut Vec<usize>) -> Option<(usize, usize)> {
        for k in (0..self.rungs.len() - 1).rev() {
            let count = self.rung[k].len() * self.rungs[k] / self.rungs[k + 1];
            let candidates = self.top(k, count);
            let promotable = candidates.into_iter().find(|trial| !self.gone[k].contains(trial));
            if let Some(trial) = promotable {
                self.gone[k].insert(trial);
                return Some((trial, k + 1));
            }
        }
        if fresh.is_empty() { None } else { Some((fresh.remove(0), 0)) }
    }

    /// One batch; gives the jobs in the order in which they begin.
    fn batch(
        &mut self,
        trials: impl Iterator<Item = usize>,
        workers: usize,
    ) -> Vec<(usize, usize)> {
        for k in 0..self.rungs.len() {
            self.gone[k] = self.rung[k].clone();
        }
        let is_own = |trial: &usize| self.trials[trial - 1].repeat_of.is_none();
        let mut fresh: Vec<usize> = trials.filter(is_own).collect();
        let (mut busy, mut begun): (Vec<Work>, Vec<(usize, usize)>) = (Vec::new(), Vec::new());
        for hour in 0.. {
            loop {
                while busy.len() < workers {
                    let Some((trial, k)) = self.get_job(&mut fresh) else { break };
                    let epochs = self.rungs[k] - if k == 0 { 0 } else { self.rungs[k - 1] };
                    busy.push((hour + epochs, begun.len(), trial, k));
                    begun.push((trial, k));
                }
                busy.sort();
                let Some(&(end, _, trial, k)) = busy.first() else { return begun };
                if end > hour {
                    break;
                }
                busy.remove(0);
                if self.reward(trial, k).is_some() {
                    self.rung[k].insert(trial);
                }
            }
        }
        unreachable!("the hours have no end")
    }
}

fn compare(rungs: &[usize], workers: usize, strategy: StrategyConfig, batch: usize, trials: usize) {
    let text: Vec<String> = rungs.iter().map(usize::to_string).collect();
    let budget = format!("asha:{}@{workers}", text.join(","));
    let epochs = *rungs.last().unwrap();
    let (dir, learners) = (tempfile::tempdir().unwrap(), Learners::new(epochs));
    // One thread begins the jobs in the order in which they are decided.
    let config = SearchConfig { workers: 1, ..with_budget(&budget, strategy, trials) };
    let history = learn(&learners, &config, &new(dir.path()));
    let mut played = Played {
        rungs,
        learners: &Learners::new(epochs),
        trials: &history.trials,
        rung: vec![BTreeSet::new(); rungs.len()],
        gone: vec![BTreeSet::new(); rungs.len()],
    };
    let jobs: Vec<(usize, usize)> = (0..trials / batch)
        .flat_map(|number| played.batch(number * batch + 1..(number + 1) * batch + 1, workers))
        .collect();
    let found: Vec<(String, usize)> =
        learners.trainings().into_iter().map(|(id, _, until)| (id, until)).collect();
    let expected: Vec<(String, usize)> =
        jobs.iter().map(|&(trial, k)| (history.trials[trial - 1].id.clone(), rungs[k])).collect();
    assert_eq!(found, expected, "{budget}");
    let mut reached: BTreeMap<usize, usize> = BTreeMap::new();
    for (k, trials) in played.rung.iter().enumerate() {
        reached.extend(trials.iter().map(|&trial| (trial, rungs[k])));
    }
    for record in history.trials.iter().filter(|record| record.repeat_of.is_none()) {
        let stops: Vec<usize> = record.curve.iter().map(|(epoch, _)| *epoch).collect();
        assert_eq!(stops, rungs[..stops.len()], "{record:?}");
        let expected = reached.get(&record.trial).copied();
        assert_eq!(stops.last().copied(), expected, "{record:?}");
        if record.outcome.is_ok() {
            assert_eq!(Some(record.epochs()), expected, "{record:?}");
        }
    }
    let whole = history.trials.iter().filter(|record| record.epochs() == epochs).count();
    assert!(whole > 0 && whole < trials, "{whole} of {trials}");
}

#[test]
fn jobs_begin_as_algorithm_2_has_it() {
    for workers in [1, 2, 5, 12, 40] {
        compare(&[1, 3, 9], workers, evolution(), 12, 60);
    }
    compare(&[2, 3, 5, 8], 4, evolution(), 12, 60);
    compare(&[1, 4], 7, StrategyConfig::Random, 64, 128);
}

#[test]
fn a_child_goes_on_before_its_rung_is_full() {
    let (dir, learners) = (tempfile::tempdir().unwrap(), Learners::new(9));
    let config = with_budget("asha:1,3,9@3", StrategyConfig::Random, 64);
    learn(&learners, &config, &new(dir.path()));
    let trainings = learners.trainings();
    let promoted = trainings.iter().position(|(_, from, _)| *from > 0).unwrap();
    let last_fresh = trainings.iter().rposition(|(_, from, _)| *from == 0).unwrap();
    assert!(promoted < 12 && last_fresh > 60, "{trainings:?}");
}

/// The real workers and their times change nothing, while the workers that are decided for do.
#[test]
fn only_the_workers_of_the_setting_count() {
    let searched = |budget: &str, workers: usize| {
        let mut learners = Learners::new(9);
        learners.table = Table::new(matches).slowed(|choice| Duration::from_millis(2 * choice));
        let dir = tempfile::tempdir().unwrap();
        let config = SearchConfig { workers, ..with_budget(budget, StrategyConfig::Random, 64) };
        learn(&learners, &config, &new(dir.path()));
        (ledger(dir.path()), learners.trainings())
    };
    let (narrow, order) = searched("asha:1,3,9@2", 1);
    assert_eq!(searched("asha:1,3,9@2", 4).0, narrow);
    assert_ne!(searched("asha:1,3,9@16", 1).1, order);
}
