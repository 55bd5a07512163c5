//! `cellc search`: a controller fills the holes of a space, children are trained, cells are written.

mod compare;
mod evaluator;
mod serve;
mod status;
mod strategy;

use std::ops::ControlFlow;
use std::thread::available_parallelism;
use std::time::{Duration, Instant};

use cellc::device::{DeviceList, DeviceSpec};
use cellc::error::Error;
use cellc::graph::cost::grouped;
use cellc::graph::lower::Scale;
use cellc::search::{
    Evaluator, Event, FailureKind, Objective, Objectives, Record, Retrain, RunFolder, SearchConfig,
    SharedEpoch, TimeLimit,
};

use super::args::{EvaluatorSpec, SearchArgs, Strategy};
use super::input::{self, Failure};
use super::progress::Progress;
use super::queue;
use super::table::table;
use super::{counted_images, output};
use evaluator::{Reward, Scorer};
use serve::Server;
use status::Status;

/// How much larger than the children the network of the suggested command is.
const RETRAIN_N: usize = 2;
/// Base width of the suggested network, as a multiple of the children's.
const RETRAIN_WIDEN: usize = 4;

/// Searches, and names the best file on the last line, with the command that trains it larger.
pub fn run(args: &SearchArgs) -> Result<(), Failure> {
    check_device(&args.device, &args.evaluator)?;
    if args.queue.is_some() && args.strategy != Strategy::Enas && asks_for_card(&args.device) {
        let reason = "with `--queue` children are trained by `cellc worker`, which has a `--device` of its own";
        return Err(idle_card(&args.device, reason).into());
    }
    let source = input::read(&args.space)?;
    let scorer = Scorer::new(args, &source)?;
    if !args.compare.is_empty() {
        return compare::run(args, &scorer);
    }
    let strategy = strategy::resolve(&[args.strategy], args.preset, &args.set)?.swap_remove(0);
    let queue = args.queue.as_ref().map(|url| queue::queue(url, &args.access)).transpose()?;
    let queue = queue.map(|queue| queue::with_attempts(queue, args.attempts));
    let workers = workers(args);
    let objectives = Objectives {
        limits: args.require.clone(),
        pareto: args.pareto.clone(),
        latency_batch: args.latency_batch,
    };
    let config = SearchConfig {
        seed: args.seed,
        trials: args.trials,
        workers,
        strategy,
        objectives,
        budget: args.budget.clone(),
        retrain: Retrain { count: args.retrain, epochs: args.retrain_epochs },
        beside: args.beside.clone(),
    };
    let space = scorer.space();
    let kind = scorer.kind(args);
    let name = args.name.clone().unwrap_or_else(|| {
        format!("{}-{kind}-{}-{}", space.name, config.strategy.name(), args.seed)
    });
    let folder = args.out.join(&name);
    output(&format!(
        "space {}: {} decisions, {:.2e} architectures; {} trials {} by {}, {}\n",
        space.name,
        space.decisions.len(),
        space.size(),
        args.trials,
        scorer.source(),
        config.strategy.name(),
        match &queue {
            Some(queue) => {
                let (program, found) = (program(), queue::worker_args(queue));
                format!("scored by `{program} worker {found} {}`", Scorer::worker_args(args))
            }
            None => format!("{workers} workers"),
        },
    ))?;

    if let Scorer::Train(evaluator, data) = &scorer
        && let Some(images) = evaluator.images()
    {
        output(&format!("{data}: {}\n", counted_images(images, evaluator.left_out())))?;
    }
    let reward = scorer.reward();
    let prefiltered = scorer.prefiltered(args)?;
    let evaluator: &dyn Evaluator = match &prefiltered {
        Some(prefiltered) => prefiltered,
        None => scorer.evaluator(),
    };
    let progress = Progress::new(args.trials, "trials");
    let start = Instant::now();
    let run_folder = if args.resume {
        RunFolder::Resume(folder.clone())
    } else {
        RunFolder::New(folder.clone())
    };
    let server = args.serve.map(|port| Server::start(folder.clone(), port)).transpose()?;
    if let Some(server) = &server {
        progress.line(&format!("live at {}", server.url()));
    }
    let mut status = Status::new(reward, workers);
    let mut on_event = |event: Event<'_>| {
        match event {
            Event::Resumed { trials } => progress.line(&format!("resumed after {trials} trials")),
            Event::Learned { epoch, epochs } => {
                progress.line(&learned(epoch, epochs));
                status.learn(epoch);
                progress.set(0, status.to_string());
            }
            Event::NobodyWorks { waiting, others } => {
                progress.line(&nobody(waiting, others));
            }
            Event::Retrained { record } => progress.line(&again(record, reward)),
            Event::Recorded { record, is_best } => {
                progress.line(&line(record, reward, is_best));
                status.record(record);
                progress.set(record.trial, status.to_string());
            }
            Event::Updated { trial, metrics } => {
                status.update(metrics);
                progress.set(trial, status.to_string());
            }
            _ => {}
        }
        ControlFlow::Continue(())
    };
    let clock = || start.elapsed();
    let history = queue::run_search(
        queue.as_ref(),
        space,
        evaluator,
        &config,
        &run_folder,
        &clock,
        &mut on_event,
    );
    progress.finish();
    if let Some(server) = server {
        server.finish();
    }
    let history = history.map_err(|error| match error {
        // The one error with a way out that only the command line knows.
        Error::RunExists { path } => Failure::Hint(
            Error::RunExists { path },
            "go on with it by --resume, or start another by --name or --seed",
        ),
        error => error.into(),
    })?;

    output(&summary(&history.trials, reward))?;
    let Some(best) = history.best else {
        return output(&without_best(&history.trials, &config.objectives));
    };
    if !history.front.is_empty() {
        let front: Vec<&Record> =
            history.front.iter().map(|&index| &history.trials[index]).collect();
        output(&front_table(&front, &config.objectives.pareto, reward))?;
        output(&format!("front {}\n", folder.join("front").display()))?;
    }
    let mut record = &history.trials[best];
    let mut file = folder.join("best.cell");
    if let Some(again) = best_again(&history.retrained) {
        record = again;
        file = folder.join(RunFolder::cell_of(record));
    }
    let found = format!(
        "best {} (trial {}, {} {}",
        file.display(),
        record.trial,
        reward.name(),
        reward.text(record.reward())
    );
    output(&match &scorer {
        Scorer::Train(_, data) | Scorer::Proxy(_, data) => {
            let scale: Option<Scale> =
                record.outcome.as_ref().ok().and_then(|found| found.scale.parse().ok());
            let retrain = match scale {
                Some(scale) => format!("{RETRAIN_N}@{}", scale.f * RETRAIN_WIDEN),
                None => "N@F".into(),
            };
            format!(
                "{found}); train it larger: {} train {} --scale {retrain} --data {data}\n",
                program(),
                file.display()
            )
        }
        Scorer::Table(table) => {
            let report = table.score(&record.genotype).ok().and_then(|score| score.report);
            match report.zip(table.report_column()) {
                Some((value, column)) => {
                    format!("{found}; {} {:.2} %)\n", column.name, 100.0 * value)
                }
                None => format!("{found})\n"),
            }
        }
        Scorer::Command(..) => format!("{found})\n"),
    })
}

/// Why a search through a queue stands still.
fn nobody(waiting: usize, others: usize) -> String {
    match others {
        0 => format!("nobody works for the queue; {waiting} architectures wait"),
        others => format!(
            "no worker of the queue has what it takes for the {waiting} architectures that wait ({others} ask for \
             other jobs): the same images or table, and the same version of the program"
        ),
    }
}

/// The program as the user called it, so that a line with it can be pasted into the same shell.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "cellc".into())
}

/// Seconds as an argument has them.
pub fn duration(setting: &'static str, secs: f64) -> Result<Duration, Error> {
    Duration::try_from_secs_f64(secs).map_err(|error| {
        let (value, reason) = (secs.to_string(), error.to_string());
        Error::Config { setting, value, reason }
    })
}

/// The longest that a program may take for one architecture where nothing says more, in seconds.
const PROGRAM_LIMIT: f64 = 3600.0;

/// The longest that a program may take for one architecture.
pub fn program_limit(secs: Option<f64>) -> Result<Duration, Error> {
    duration("time-limit", secs.unwrap_or(PROGRAM_LIMIT))
}

/// The longest that the training of a child may take, if there is a limit.
pub fn training_limit(secs: Option<f64>) -> Result<Option<TimeLimit>, Error> {
    let start = Instant::now();
    let limit = secs.map(|secs| duration("time-limit", secs)).transpose()?;
    Ok(limit.map(|limit| TimeLimit::new(limit, move || start.elapsed())))
}

/// Tells who asks for a card where nothing is trained on it.
pub fn check_device(devices: &DeviceList, evaluator: &EvaluatorSpec) -> Result<(), Error> {
    if *evaluator == EvaluatorSpec::Train || !asks_for_card(devices) {
        return Ok(());
    }
    Err(idle_card(devices, "only `--evaluator train` has use for a card"))
}

fn asks_for_card(devices: &DeviceList) -> bool {
    match devices {
        DeviceList::Auto => false,
        DeviceList::AllCards => true,
        DeviceList::Some(specs) => *specs != [DeviceSpec::Cpu],
    }
}

fn idle_card(devices: &DeviceList, reason: &str) -> Error {
    Error::Config { setting: "device", value: devices.to_string(), reason: reason.into() }
}

/// Evaluations, or searches that are compared, at the same time.
fn workers(args: &SearchArgs) -> usize {
    args.workers.unwrap_or_else(|| available_parallelism().map_or(1, usize::from))
}

/// One trial.
fn line(record: &Record, reward: Reward, is_best: bool) -> String {
    let what = match (&record.outcome, record.repeat_of) {
        (Ok(found), None) => format!(
            "{:>8}  {:>9} params  {:>6}  {:5.1} s",
            reward.text(found.val_accuracy),
            grouped(found.params, ','),
            found.scale,
            record.secs
        ),
        (Ok(found), Some(earlier)) => {
            format!("{:>8}  same network as trial {earlier}", reward.text(found.val_accuracy))
        }
        (Err(failure), _) => format!("failed: {failure}"),
    };
    format!("trial {:>4}  {what}{}", record.trial, if is_best { "  best so far" } else { "" })
}

/// One epoch of shared weights.
fn learned(epoch: &SharedEpoch, epochs: usize) -> String {
    let SharedEpoch { epoch, train_loss, train_accuracy, reward, entropy, params, .. } = epoch;
    format!(
        "shared weights, epoch {epoch}/{epochs}: loss {train_loss:.3}, accuracy {:.1} %; controller: reward \
         {:.1} %, entropy {entropy:.2}; {} params",
        100.0 * train_accuracy,
        100.0 * reward,
        grouped(*params as u64, ',')
    )
}

/// One trial that was trained again.
fn again(record: &Record, reward: Reward) -> String {
    let what = match &record.outcome {
        Ok(found) => format!(
            "{:>8} after {} epochs  {:5.1} s",
            reward.text(found.val_accuracy),
            found.epochs,
            record.secs
        ),
        Err(failure) => format!("failed: {failure}"),
    };
    format!("trial {:>4}  {what}", record.trial)
}

/// Why there is no best.
fn without_best(trials: &[Record], objectives: &Objectives) -> String {
    let is_too_slow = |trial: &&Record| matches!(&trial.outcome, Err(failure) if failure.kind == FailureKind::TooSlow);
    let slow = trials.iter().filter(is_too_slow);
    if slow.clone().count() < trials.len() {
        return "no trial succeeded; the reasons are in the ledger\n".into();
    }
    let mut text = format!("none of {} trials is within the limits\n", trials.len());
    for limit in &objectives.limits {
        let measure = limit.measure.to_string();
        let least = slow.clone().filter_map(|trial| trial.costs.get(&measure));
        let least = least.copied().fold(f64::INFINITY, f64::min);
        text += &format!("{limit}: the least was {}\n", limit.measure.kind.text(least, '_'));
    }
    text
}

/// The trials of a Pareto front with their objectives.
fn front_table(front: &[&Record], pareto: &[Objective], reward: Reward) -> String {
    let mut header = vec!["trial".to_owned()];
    header.extend(pareto.iter().map(|objective| match objective {
        Objective::Reward => reward.name().to_owned(),
        Objective::Cost(measure) => measure.to_string(),
    }));
    let mut rows = vec![header];
    for record in front {
        let mut row = vec![record.trial.to_string()];
        row.extend(pareto.iter().map(|objective| match objective {
            Objective::Reward => reward.text(record.reward()),
            Objective::Cost(measure) => {
                let cost = record.costs.get(&measure.to_string()).copied().unwrap_or(f64::NAN);
                measure.kind.text(cost, ',')
            }
        }));
        rows.push(row);
    }
    format!("Pareto front of {} networks:\n{}", front.len(), table(&rows, 1))
}

/// The best of those that were trained again, the first of equals.
fn best_again(retrained: &[Record]) -> Option<&Record> {
    let succeeded = retrained.iter().filter(|record| record.outcome.is_ok());
    succeeded.reduce(|best, other| if other.reward() > best.reward() { other } else { best })
}

/// What the trials came to.
fn summary(trials: &[Record], reward: Reward) -> String {
    let mut rewards: Vec<f64> =
        trials.iter().filter(|trial| trial.outcome.is_ok()).map(Record::reward).collect();
    rewards.sort_by(|a, b| b.total_cmp(a));
    let mean = |rewards: &[f64]| {
        reward.text(
            rewards.iter().fold(0.0, |sum, reward| sum + reward) / rewards.len().max(1) as f64,
        )
    };
    let repeats = trials.iter().filter(|trial| trial.repeat_of.is_some()).count();
    let failed = trials.len() - rewards.len();
    format!(
        "{} trials, {repeats} repeats, {failed} failed; {}: mean {}, top five {}\n",
        trials.len(),
        reward.name(),
        mean(&rewards),
        mean(&rewards[..rewards.len().min(5)]),
    )
}
