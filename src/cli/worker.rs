//! `cellc worker`: scores what a search on another machine wants to be scored.

use super::args::WorkerArgs;
use super::input::Failure;
use super::queue;

/// Works until there are no jobs, or for ever. A line on stderr for each job.
#[cfg(feature = "nats")]
pub fn run(args: &WorkerArgs) -> Result<(), Failure> {
    let queue = queue::queue(&args.queue, &args.access)?;
    with_queue::run(args, &queue)
}

/// Says that it cannot.
#[cfg(not(feature = "nats"))]
pub fn run(args: &WorkerArgs) -> Result<(), Failure> {
    match queue::queue(&args.queue, &args.access)? {}
}

#[cfg(feature = "nats")]
mod with_queue {
    use std::thread::available_parallelism;
    use std::time::Instant;

    use cellc::device::CardOptions;
    use cellc::error::Error;
    use cellc::search::queue::{Means, WorkerConfig, WorkerEvent, work};
    use cellc::search::{CommandConfig, QueueConfig, Table};

    use crate::cli::args::{EvaluatorSpec, WorkerArgs};
    use crate::cli::input::Failure;
    use crate::cli::load_data;
    use crate::cli::search::{check_device, duration, program_limit, training_limit};

    pub fn run(args: &WorkerArgs, queue: &QueueConfig) -> Result<(), Failure> {
        let config = WorkerConfig {
            name: args.name.clone().unwrap_or_else(name),
            workers: args.workers.unwrap_or_else(|| available_parallelism().map_or(1, usize::from)),
            lease: duration("lease", args.lease)?,
            idle: args.idle.map(|secs| duration("idle", secs)).transpose()?,
        };
        let means = means(args)?;
        eprintln!("{} works for {}, {} at a time", config.name, queue.shown(), config.workers);
        let start = Instant::now();
        work(queue, &means, &config, &|| start.elapsed(), &|event| match event {
            WorkerEvent::Answered { key, outcome: Ok(reward), secs } => {
                eprintln!("trial {key}: {reward:.4}  {secs:.1} s");
            }
            WorkerEvent::Answered { key, outcome: Err(failure), secs } => {
                eprintln!("trial {key}: failed: {failure}  {secs:.1} s");
            }
            WorkerEvent::SetAside { fault } => eprintln!("a job was set aside: {fault}"),
            _ => {}
        })?;
        Ok(())
    }

    /// What this worker scores with.
    fn means(args: &WorkerArgs) -> Result<Means, Error> {
        check_device(&args.device, &args.evaluator)?;
        match &args.evaluator {
            EvaluatorSpec::Train => {
                let data = load_data(&args.data, &args.images.config())?;
                Ok(Means::Data {
                    data: Box::new(data),
                    name: args.data.to_string(),
                    time_limit: training_limit(args.time_limit)?,
                    devices: args.device.open(CardOptions { precision: args.precision })?,
                })
            }
            EvaluatorSpec::Table(file) => Table::read(file).map(Means::Table),
            EvaluatorSpec::Command(program) => {
                let time_limit = program_limit(args.time_limit)?;
                Ok(Means::Command(CommandConfig { program: program.clone(), time_limit }))
            }
            EvaluatorSpec::Proxy(kind) => Err(Error::Config {
                setting: "evaluator",
                value: format!("`proxy:{kind}`"),
                reason: "which score is asked for is part of a job; use `train`".into(),
            }),
        }
    }

    /// The host as far as the environment or Linux knows it, and the process.
    fn name() -> String {
        let host = std::env::var("HOSTNAME").or_else(|_| {
            std::fs::read_to_string("/proc/sys/kernel/hostname").map(|host| host.trim().to_owned())
        });
        format!("{}-{}", host.as_deref().unwrap_or("worker"), std::process::id())
    }
}
