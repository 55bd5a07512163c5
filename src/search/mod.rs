//! Search: choose a genotype, evaluate it, learn from its reward, record it.
//!
//! [`run`] takes a [`SearchSpace`], an [`Evaluator`] and a [`SearchConfig`] and gives a
//! [`SearchHistory`]. A [`Strategy`] chooses the architectures; worker threads evaluate a batch of them
//! at a time; every finished trial is one durable line of the run's ledger.
//!
//! | file | what it decides |
//! |---|---|
//! | [`strategy`] | which architectures next; [`random`], [`local`], [`evolution`], [`q_learning`], [`ppo`] and [`reinforce`] with their controller in [`policy`], and [`enas`] with shared weights |
//! | [`evaluator`] | how good one is; [`child`] trains it, [`table`] looks it up, [`command`] asks a program, [`proxy`] looks at it untrained |
//! | [`budget`] | how long one is trained, and which are trained again in the end |
//! | [`objective`] | what is wanted of it: the largest reward, limits on its costs, a Pareto front |
//! | [`ledger`] | what is remembered of it |
//! | [`comparison`] | which strategy finds better ones |
//! | `workers`, [`task`] | who evaluates them: threads here, or workers that take tasks from a `queue` (feature `nats`) |
//! | `report` | what people see of it, `report.html` in the run's folder |
//!
//! # Determinism
//! One seed gives one ledger, byte for byte except for its times, whatever the number of workers and
//! however often the run was killed and resumed: a resumed run asks its strategy again from the start
//! and tells it the recorded rewards. What a strategy learns before that is in a checkpoint.

mod advantage;
mod architecture;
mod event;
mod identity;
mod optimizer;
mod proposed;
mod report;
mod rollout;
mod run_dir;
mod workers;

pub mod budget;
pub mod child;
pub mod command;
pub mod comparison;
pub mod enas;
pub mod evaluator;
pub mod evolution;
pub mod ledger;
pub mod local;
pub mod objective;
pub mod policy;
pub mod ppo;
pub mod proxy;
pub mod q_learning;
#[cfg(feature = "nats")]
pub mod queue;
pub mod random;
pub mod reinforce;
pub mod strategy;
pub mod table;
pub mod task;

use std::collections::BTreeMap;
use std::mem;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::Duration;

pub use architecture::{ChildScale, SpaceFault};
pub use budget::{Budget, Paused, Retrain, Stepwise};
pub use child::{ChildConfig, TimeLimit, TrainEvaluator};
pub use command::{CommandConfig, CommandEvaluator};
pub use comparison::{ComparisonConfig, compare};
pub use enas::{EnasConfig, SharedEpoch, Sharing};
pub use evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
pub use event::{Event, SearchHistory, StopReason};
pub use evolution::EvolutionConfig;
pub use identity::{space_hash, train_seed};
pub use ledger::{Record, Size};
pub use local::LocalConfig;
pub use objective::{Limit, Measure, MeasureKind, NetScale, Objective, Objectives};
pub use ppo::PpoConfig;
pub use proxy::{Prefilter, Prefiltered, Proxy, ProxyEvaluator, ProxyKind};
pub use q_learning::QLearningConfig;
#[cfg(feature = "nats")]
pub use queue::QueueConfig;
pub use reinforce::ReinforceConfig;
pub use run_dir::RunFolder;
pub use strategy::{Metrics, Strategy, StrategyConfig};
pub use table::{KeyFormat, Table, TableConfig, TableEvaluator};
pub use task::{Scoring, Task};

use crate::error::Error;
use crate::rng::{Purpose, stream};
use crate::space::sampler::Hunt;
use crate::space::{Genotype, Requirements, SearchSpace};
use budget::{Moves, Race};
use objective::pareto::{self, Point};
use objective::{Appraiser, Costs, Counted};
use report::Report;
use report::beside::Other;
use run_dir::{RunDir, cell_name};
use strategy::at_least_one;
use workers::{Course, Done, Job, Workers, size, with_workers};

/// The least time between two writings of the report while a search runs.
const REPORT_EVERY: Duration = Duration::from_secs(2);

/// Reads a monotonic clock; the library reads none itself. Only the `secs` of a ledger come from it, and how
/// often the report is written.
pub type Clock<'a> = &'a (dyn Fn() -> Duration + Sync);

/// Receives events while a search runs; [`ControlFlow::Break`] asks it to stop.
pub type OnEvent<'a> = &'a mut dyn FnMut(Event<'_>) -> ControlFlow<()>;

/// Settings of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct SearchConfig {
    /// Seed of everything random in it.
    pub seed: u64,
    /// Trials in all, those of a resumed run included.
    pub trials: usize,
    /// Architectures evaluated at the same time, each on one thread.
    pub workers: usize,
    /// Who chooses them.
    pub strategy: StrategyConfig,
    /// What is wanted.
    pub objectives: Objectives,
    /// How long children are trained.
    pub budget: Budget,
    /// Which are trained again in the end; none if it is of none.
    pub retrain: Retrain,
    /// Folders of other runs that the report shows beside this one. They change nothing of the search.
    pub beside: Vec<PathBuf>,
}

impl Default for SearchConfig {
    /// A search of 80 trials by chance.
    fn default() -> Self {
        SearchConfig {
            seed: 0,
            trials: 80,
            workers: 1,
            strategy: StrategyConfig::Random,
            objectives: Objectives::default(),
            budget: Budget::Whole,
            retrain: Retrain::default(),
            beside: Vec::new(),
        }
    }
}

impl SearchConfig {
    fn check(&self, evaluator: &dyn Evaluator) -> Result<(), Error> {
        at_least_one("trials", self.trials)?;
        at_least_one("workers", self.workers)?;
        self.objectives.check()?;
        if !self.objectives.pareto.is_empty() && !self.strategy.finds_fronts() {
            return Err(Error::Config {
                setting: "strategy",
                value: self.strategy.name().into(),
                reason: "it learns from one reward; a Pareto front is for `evolution` and `random`"
                    .into(),
            });
        }
        self.retrain.check(evaluator.stepwise())
    }
}

/// Searches `space`.
///
/// A failed trial (a panic, a reward that is not finite, a failure the evaluator reports, such as a training that
/// takes too long or too much memory) is recorded as such and counts for the strategy as a reward of [`strategy::FAILED_REWARD`]. An architecture
/// that was evaluated before is not evaluated again: its trial repeats the earlier outcome. What is beyond
/// a limit is not evaluated at all, see [`objective`].
///
/// # Cost
/// Resuming replays the strategy: for PPO one update for each batch in the ledger.
///
/// # Errors
/// [`Error::Config`] for settings out of range; [`Error::RunExists`] for [`RunFolder::New`] on a folder
/// that has a ledger; [`Error::Requirements`] if no architecture was found that meets what the evaluator
/// requires; [`Error::Ledger`] if a run to be resumed was made by other settings or is
/// damaged; [`Error::Read`], [`Error::Write`], [`Error::Threads`] from the system.
///
/// # Determinism
/// See the [module](self).
pub fn run(
    space: &SearchSpace,
    evaluator: &dyn Evaluator,
    config: &SearchConfig,
    folder: &RunFolder,
    clock: Clock<'_>,
    on_event: OnEvent<'_>,
) -> Result<SearchHistory, Error> {
    prepare(space, evaluator, config, folder, clock, on_event, |search| {
        with_workers(evaluator, config.workers, clock, search)
    })
}

/// Searches `space` as [`run`] does, the architectures being scored by [workers](queue::work) that take
/// them from a queue. Of `evaluator` only the [task](Evaluator::task) is sent; it is asked for everything
/// but scores.
///
/// # Errors
/// As [`run`]; [`Error::Config`] for an evaluator without a task; [`Error::Queue`] if there is no server, or
/// it was away for too long. The run can be resumed then.
///
/// # Determinism
/// See [`queue`].
#[cfg(feature = "nats")]
pub fn run_over(
    queue: &QueueConfig,
    space: &SearchSpace,
    evaluator: &dyn Evaluator,
    config: &SearchConfig,
    folder: &RunFolder,
    clock: Clock<'_>,
    on_event: OnEvent<'_>,
) -> Result<SearchHistory, Error> {
    // Before there is a folder, too.
    let way = queue::Way::open(queue, evaluator)?;
    prepare(space, evaluator, config, folder, clock, on_event, |search| {
        let mut controller = way.of_search(|fresh| folder.queue_name(fresh))?;
        let history = search(&mut controller)?;
        if history.stop == StopReason::Trials {
            controller.close();
        }
        Ok(history)
    })
}

/// A search that has everything but somebody to score.
type Prepared<'s> = Box<dyn FnOnce(&mut dyn Workers) -> Result<SearchHistory, Error> + 's>;

/// Opens the run and leaves it to `employ` to find workers for it.
fn prepare(
    space: &SearchSpace,
    evaluator: &dyn Evaluator,
    config: &SearchConfig,
    folder: &RunFolder,
    clock: Clock<'_>,
    on_event: OnEvent<'_>,
    employ: impl FnOnce(Prepared<'_>) -> Result<SearchHistory, Error>,
) -> Result<SearchHistory, Error> {
    config.check(evaluator)?;
    let counted = Counted::new(evaluator, &config.objectives.limits);
    let requirements = match counted.is_empty() {
        true => evaluator.requirements(),
        false => evaluator.requirements().within(&counted),
    };
    let mut strategy = config.strategy.build(space, config.seed, evaluator.sharing())?;
    config.budget.check(evaluator.stepwise(), config.trials, strategy.batch())?;
    // Before there is a folder: a space whose requirements cannot be met leaves none behind.
    let first_batch = match strategy.lessons() {
        None => Some(strategy.ask(1, requirements)?),
        Some(_) => {
            let rng = &mut stream(config.seed, Purpose::Sample, 0);
            Hunt::new(space, requirements).run(rng, |rng| space.sample(rng))?;
            None
        }
    };
    let settings = identity::config_text(space, config, evaluator);
    let others = config.beside.iter().map(|folder| Other::read(folder, &settings));
    let others = others.collect::<Result<Vec<Other>, Error>>()?;
    let run_dir = RunDir::open(folder, &settings, space)?;
    let provenance = Provenance {
        space: space.name.clone(),
        space_hash: space_hash(space),
        strategy: config.strategy.name().into(),
        seed: config.seed,
        trial: 0,
        reward: 0.0,
        epochs: 0,
    };
    let search = |workers: &mut dyn Workers| {
        let (first_of, begun, unevaluated) = (BTreeMap::new(), Vec::new(), Vec::new());
        let objectives = &config.objectives;
        let search = Search {
            space,
            settings,
            evaluator,
            requirements,
            appraiser: Appraiser { evaluator, objectives, counted: &counted, clock },
            config,
            provenance,
            run_dir,
            workers,
            clock,
            on_event,
            first_of,
            begun,
            unevaluated,
            others,
            retrained: Vec::new(),
            learned: Vec::new(),
            updates: Vec::new(),
            reported: clock(),
        };
        search.run(strategy, first_batch)
    };
    employ(Box::new(search))
}

/// A search in progress.
struct Search<'a> {
    space: &'a SearchSpace,
    /// The settings as the run's folder has them.
    settings: String,
    evaluator: &'a dyn Evaluator,
    requirements: Requirements<'a>,
    appraiser: Appraiser<'a>,
    config: &'a SearchConfig,
    /// For every trial, but for its number and reward.
    provenance: Provenance,
    run_dir: RunDir,
    workers: &'a mut dyn Workers,
    clock: Clock<'a>,
    on_event: OnEvent<'a>,
    /// The trial that evaluates (or evaluated) each id.
    first_of: BTreeMap<String, usize>,
    /// Trials of the current batch that nobody evaluates yet.
    begun: Vec<Job>,
    /// Trials of the current batch that failed before they could be evaluated.
    unevaluated: Vec<(Record, Option<String>)>,
    /// Runs that the report shows too.
    others: Vec<Other>,
    /// What was trained again.
    retrained: Vec<Record>,
    /// What the strategy learned before it was asked.
    learned: Vec<SharedEpoch>,
    /// What it said about each batch, with the batch's last trial.
    updates: Vec<(usize, Metrics)>,
    /// When the report was written last.
    reported: Duration,
}

impl Search<'_> {
    fn run(
        mut self,
        mut strategy: Box<dyn Strategy + '_>,
        mut first_batch: Option<Vec<Genotype>>,
    ) -> Result<SearchHistory, Error> {
        self.run_dir.restore_cells(|record| {
            self.evaluator.cell_text(&record.genotype, &self.provenance_of(record))
        })?;
        let known = self.run_dir.records().len();
        let mut flow = ControlFlow::Continue(());
        if known > 0 {
            flow = (self.on_event)(Event::Resumed { trials: known });
        }
        if flow.is_continue() {
            flow = self.learn(&mut *strategy)?;
        }
        // What there is already is gone through, even if fewer trials are asked for now: the report has all of it.
        let trials = self.config.trials.max(known);
        let mut first = 1;
        while first <= trials && flow.is_continue() {
            let genotypes = match first_batch.take() {
                Some(genotypes) => genotypes,
                None => strategy.ask(first, self.requirements)?,
            };
            let end = first + genotypes.len();
            let asked = genotypes.len().min(trials + 1 - first);
            flow = self.evaluate(first, &genotypes[..asked])?;
            // A batch that the number of trials cuts short is not learned from, so that a resumed run
            // with more trials completes it.
            if self.run_dir.records().len() >= end - 1 {
                let batch = &self.run_dir.records()[first - 1..end - 1];
                let scored = batch.iter().map(|record| record.scored(&self.config.objectives));
                let metrics = strategy.tell(&scored.collect::<Vec<_>>());
                if end - 1 > known && flow.is_continue() {
                    flow = (self.on_event)(Event::Updated { trial: end - 1, metrics: &metrics });
                }
                self.updates.push((end - 1, metrics));
            }
            first = end;
            self.write_report_in_time()?;
        }
        if flow.is_continue() {
            flow = self.retrain()?;
        }
        self.write_report()?;
        let stop = if flow.is_break() { StopReason::Requested } else { StopReason::Trials };
        let (trials, best) = (self.run_dir.records().to_vec(), self.run_dir.best());
        let front = front(&trials, &self.config.objectives.pareto);
        let (retrained, learned, updates) = (self.retrained, self.learned, self.updates);
        Ok(SearchHistory { trials, best, front, retrained, learned, updates, stop })
    }

    fn provenance_of(&self, record: &Record) -> Provenance {
        let (trial, reward, epochs) = (record.trial, record.reward(), record.epochs());
        Provenance { trial, reward, epochs, ..self.provenance.clone() }
    }

    /// Writes the report if the last time was long enough ago.
    fn write_report_in_time(&mut self) -> Result<(), Error> {
        let now = (self.clock)();
        if now.saturating_sub(self.reported) >= REPORT_EVERY {
            self.write_report()?;
            self.reported = now;
        }
        Ok(())
    }

    fn write_report(&self) -> Result<(), Error> {
        let records = self.run_dir.records();
        let pareto = &self.config.objectives.pareto;
        let front: Vec<&Record> =
            front(records, pareto).into_iter().map(|index| &records[index]).collect();
        if !pareto.is_empty() {
            self.run_dir.write_front(&front)?;
        }
        let cell = |record: &Record| {
            self.evaluator.cell_text(&record.genotype, &self.provenance_of(record))
        };
        let best = best(records, report::CELLS).into_iter();
        let report = Report {
            space: self.space,
            strategy: self.config.strategy.name(),
            seed: self.config.seed,
            images: self.evaluator.images(),
            records,
            trials: self.config.trials.max(records.len()),
            settings: &self.settings,
            pareto,
            front,
            retrained: &self.retrained,
            others: &self.others,
            learned: &self.learned,
            updates: &self.updates,
            cells: best.map(|record| (record, cell_name(record), cell(record))).collect(),
        };
        self.run_dir.write_report(&report.html())
    }

    /// Brings the trials from `first` on, one for each genotype, into the ledger.
    fn evaluate(&mut self, first: usize, genotypes: &[Genotype]) -> Result<ControlFlow<()>, Error> {
        let mut repeats = BTreeMap::new();
        for (trial, genotype) in (first..).zip(genotypes) {
            if let Some(source) = self.begin(trial, genotype)? {
                repeats.insert(trial, source);
            }
        }
        let jobs = self.appraise()?;
        let mut race = self.race(first, genotypes.len());
        race.begin(jobs).into_iter().for_each(|job| self.workers.submit(job));
        let mut flow = ControlFlow::Continue(());
        let mut finished = mem::take(&mut self.unevaluated);
        loop {
            let new = self.run_dir.advance(finished, |trial, records| {
                let source = &records[repeats.get(&trial)? - 1];
                Some(source.repeated(trial, genotypes[trial - first].clone()))
            })?;
            let total = self.run_dir.records().len();
            for index in total - new..total {
                let record = &self.run_dir.records()[index];
                let is_best = self.run_dir.best() == Some(index);
                flow = join(flow, (self.on_event)(Event::Recorded { record, is_best }));
            }
            if new > 0 {
                self.write_report_in_time()?;
            }
            if flow.is_break() {
                self.workers.cancel();
            }
            let on_event = &mut self.on_event;
            let done = self.workers.next(&mut |event| flow = join(flow, on_event(event)))?;
            let moves = match done.is_empty() {
                true => race.idle().filter(|_| flow.is_continue()),
                false => Some(race.take(done)),
            };
            let Some(Moves { ended, jobs }) = moves else { break };
            if flow.is_continue() {
                jobs.into_iter().for_each(|job| self.workers.submit(job));
            }
            finished = ended.into_iter().map(record).collect();
            for (record, _) in &finished {
                flow = join(flow, (self.on_event)(Event::Evaluated { record }));
            }
        }
        self.run_dir.clear_pending()?;
        Ok(flow)
    }

    /// The budget of a batch, as far as an earlier process has spent it.
    fn race(&self, first: usize, trials: usize) -> Race {
        let records = self.run_dir.records();
        let earlier = &records[..first - 1];
        let recorded = (first..first + trials)
            .filter_map(|trial| records.get(trial - 1).or(self.run_dir.waiting(trial)))
            .chain(self.unevaluated.iter().map(|(record, _)| record));
        // Batches of one search are equally large, but for the last, where there is no race.
        let batch = (first - 1) / trials;
        Race::new(&self.config.budget, batch, earlier, recorded, self.evaluator.stepwise())
    }

    /// Starts one trial, unless an earlier process finished it. Returns the trial whose outcome it
    /// repeats, if it repeats one.
    fn begin(&mut self, trial: usize, genotype: &Genotype) -> Result<Option<usize>, Error> {
        let recorded = self.run_dir.records().get(trial - 1).or(self.run_dir.waiting(trial));
        if let Some(record) = recorded {
            if record.genotype != *genotype {
                let fault = format!(
                    "the search draws genotype {:?} here, the ledger has {:?}",
                    genotype.choices, record.genotype.choices
                );
                return Err(self.run_dir.fault(trial, fault));
            }
            if record.repeat_of.is_none() {
                self.first_of.insert(record.id.clone(), trial);
            }
            return Ok(None);
        }
        let provenance = Provenance { trial, ..self.provenance.clone() };
        let id = catch_unwind(AssertUnwindSafe(|| self.evaluator.id(genotype)));
        let (id, failure) = match id {
            Ok(id) => (id, None),
            // An id of its own: nothing is known to equal it.
            Err(payload) => (format!("unknown-{trial}"), Some(workers::panicked(&*payload))),
        };
        if let Some(&source) = self.first_of.get(&id) {
            return Ok(Some(source));
        }
        self.first_of.insert(id.clone(), trial);
        let train_seed = train_seed(self.config.seed, &id);
        let course = Course::whole(genotype.clone(), train_seed);
        let (costs, time) = (Costs::new(), Duration::ZERO);
        let job = Job { id, course, paused: None, costs, time, provenance };
        match failure {
            None => self.begun.push(job),
            Some(failure) => self.fail(job, failure),
        }
        Ok(None)
    }

    /// What was begun, as far as its costs allow. All costs are found out before any worker is at work: some of
    /// them are times.
    fn appraise(&mut self) -> Result<Vec<Job>, Error> {
        let mut jobs = Vec::new();
        for mut job in mem::take(&mut self.begun) {
            let (costs, admission) = self.appraiser.appraise(&job.course.genotype)?;
            job.costs = costs;
            match admission {
                Ok(()) => jobs.push(job),
                Err(failure) => self.fail(job, failure),
            }
        }
        Ok(jobs)
    }

    fn fail(&mut self, job: Job, failure: Failure) {
        let size = size(self.evaluator, &job.course.genotype);
        let done = Done { job, outcome: Err((failure, size)), time: Duration::ZERO };
        self.unevaluated.push(record(done));
    }
}

/// The best trials that are not repeats, the best first and the earlier first of equals.
fn best(records: &[Record], count: usize) -> Vec<&Record> {
    let is_own = |record: &&Record| record.outcome.is_ok() && record.repeat_of.is_none();
    let mut own: Vec<&Record> = records.iter().filter(is_own).collect();
    own.sort_by(|a, b| b.reward().total_cmp(&a.reward()));
    own.truncate(count);
    own
}

/// Indices of the records on the Pareto front, repeats aside.
fn front(records: &[Record], pareto: &[Objective]) -> Vec<usize> {
    if pareto.is_empty() {
        return Vec::new();
    }
    let is_own = |record: &Record| record.outcome.is_ok() && record.repeat_of.is_none();
    let own: Vec<usize> = (0..records.len()).filter(|&index| is_own(&records[index])).collect();
    let points: Vec<Point> = own.iter().map(|&index| records[index].point(pareto)).collect();
    pareto::front(&points).into_iter().map(|index| own[index]).collect()
}

/// The record of a finished job and the text of its cell.
fn record(done: Done) -> (Record, Option<String>) {
    let Done { job, outcome, time } = done;
    let (outcome, cell_text, failed_size) = match outcome {
        Ok(found) => (Ok(found.evaluation), Some(found.cell_text), None),
        Err((failure, size)) => (Err(failure), None, size),
    };
    let record = Record {
        trial: job.provenance.trial,
        id: job.id,
        genotype: job.course.genotype,
        outcome,
        costs: job.costs,
        curve: job.course.curve,
        failed_size,
        repeat_of: None,
        strategy: job.provenance.strategy,
        seed: job.provenance.seed,
        train_seed: job.course.train_seed,
        secs: (time.as_secs_f64() * 1e3).round() / 1e3,
    };
    (record, cell_text)
}

/// `Break` if either is.
fn join(a: ControlFlow<()>, b: ControlFlow<()>) -> ControlFlow<()> {
    if a.is_break() { a } else { b }
}
