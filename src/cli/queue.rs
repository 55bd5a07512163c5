//! Queues as the command line names them, in programs with and without the feature `nats`.

use cellc::error::Error;
#[cfg(feature = "nats")]
use cellc::search::QueueConfig;
use cellc::search::{self, Clock, Evaluator, OnEvent, RunFolder, SearchConfig, SearchHistory};
use cellc::space::SearchSpace;

use super::args::QueueArgs;

/// A queue; there is none without the feature.
#[cfg(feature = "nats")]
pub type Queue = QueueConfig;
/// A queue; there is none without the feature.
#[cfg(not(feature = "nats"))]
pub type Queue = std::convert::Infallible;

/// The queue that the arguments mean.
///
/// # Errors
/// [`Error::Config`] from a program without queues.
#[cfg(feature = "nats")]
pub fn queue(url: &str, args: &QueueArgs) -> Result<Queue, Error> {
    Ok(QueueConfig {
        name: args.queue_name.clone(),
        credentials: args.queue_credentials.clone(),
        creds: args.queue_creds.clone(),
        ca: args.queue_ca.clone(),
        certificate: args.queue_cert.clone().zip(args.queue_key.clone()),
        ..QueueConfig::new(url)
    })
}

/// Says that there are no queues here.
#[cfg(not(feature = "nats"))]
pub fn queue(url: &str, _: &QueueArgs) -> Result<Queue, Error> {
    // A password may stand before the host.
    let value = format!("`{}`", url.rsplit_once('@').map_or(url, |(_, host)| host));
    let reason = "this program was built without the feature `nats`".into();
    Err(Error::Config { setting: "queue", value, reason })
}

/// The queue with the attempts that a search allows.
#[cfg(feature = "nats")]
pub fn with_attempts(queue: Queue, attempts: u64) -> Queue {
    QueueConfig { attempts, ..queue }
}

/// The queue with the attempts that a search allows.
#[cfg(not(feature = "nats"))]
pub fn with_attempts(queue: Queue, _: u64) -> Queue {
    queue
}

/// The arguments with which `cellc worker` finds the queue, secrets aside.
#[cfg(feature = "nats")]
pub fn worker_args(queue: &Queue) -> String {
    let name = match queue.name.as_str() {
        "cellc" => String::new(),
        name => format!(" --queue-name {name}"),
    };
    let pair = queue.certificate.as_ref();
    let files = [
        ("ca", queue.ca.as_ref()),
        ("cert", pair.map(|(certificate, _)| certificate)),
        ("key", pair.map(|(_, key)| key)),
        ("credentials", queue.credentials.as_ref()),
        ("creds", queue.creds.as_ref()),
    ];
    let files = files.into_iter().filter_map(|(flag, file)| Some((flag, file?)));
    let files = files.map(|(flag, file)| format!(" --queue-{flag} {}", file.display()));
    format!("--queue {}{name}{}", queue.shown(), files.collect::<String>())
}

/// The arguments with which `cellc worker` finds the queue, secrets aside.
#[cfg(not(feature = "nats"))]
pub fn worker_args(queue: &Queue) -> String {
    match *queue {}
}

/// Searches here, or through a queue.
pub fn run_search(
    queue: Option<&Queue>,
    space: &SearchSpace,
    evaluator: &dyn Evaluator,
    config: &SearchConfig,
    folder: &RunFolder,
    clock: Clock<'_>,
    on_event: OnEvent<'_>,
) -> Result<SearchHistory, Error> {
    match queue {
        None => search::run(space, evaluator, config, folder, clock, on_event),
        #[cfg(feature = "nats")]
        Some(queue) => search::run_over(queue, space, evaluator, config, folder, clock, on_event),
        #[cfg(not(feature = "nats"))]
        Some(queue) => match *queue {},
    }
}

#[cfg(all(test, feature = "nats"))]
mod tests {
    use super::*;

    #[test]
    fn workers_are_told_the_files_and_no_secret() {
        let queue = QueueConfig {
            name: "night".into(),
            ca: Some("ca.pem".into()),
            certificate: Some(("cert.pem".into(), "key.pem".into())),
            credentials: Some("queue.secret".into()),
            ..QueueConfig::new("tls://me:secret@host:4222")
        };
        assert_eq!(
            worker_args(&queue),
            "--queue tls://host:4222 --queue-name night --queue-ca ca.pem --queue-cert cert.pem \
             --queue-key key.pem --queue-credentials queue.secret"
        );
        let plain = QueueConfig::new("nats://host:4222");
        assert_eq!(worker_args(&plain), "--queue nats://host:4222");
    }
}
