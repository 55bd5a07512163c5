//! The server as both ends see it, blocking: streams, messages and objects.
//!
//! The client's library is asynchronous. It lives in a thread of its own, so that leases are extended while
//! the threads that train are busy.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::fs;
use std::future::Future;
use std::io;
use std::time::Duration;

use async_nats::jetstream::context::{
    CreateStreamErrorKind, PublishAckFuture, PublishError, PublishErrorKind,
};
use async_nats::jetstream::object_store::{self, ObjectStore};
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use async_nats::{ConnectOptions, ServerAddr};
use futures_util::TryStreamExt;
use percent_encoding::percent_decode_str;
use tokio::io::AsyncReadExt;
use tokio::runtime::{Builder, Runtime};
use tokio::time;

use super::{KEPT, QueueConfig};
use crate::error::Error;

/// How long the first connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// The pause before something is tried again.
const PAUSE: Duration = Duration::from_millis(500);
/// How often something is tried: for a minute at a server that refuses it, and for about twenty at one that
/// does not answer, where each try takes some seconds to fail.
const PATIENCE: u32 = 120;

/// An open connection to a queue.
#[derive(Debug)]
pub(super) struct Connection {
    runtime: Runtime,
    context: Context,
    /// For messages.
    url: String,
    name: String,
}

/// The streams of a queue.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    Job,
    Answer,
    Poison,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Kind::Job => "job",
            Kind::Answer => "answer",
            Kind::Poison => "poison",
        }
    }
}

impl Connection {
    /// Connects, and makes the streams if they are not there.
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is none and a `.creds` file that is none, [`Error::Read`] for files of
    /// certificates or credentials that cannot be read, [`Error::Queue`] if there is no server or it does not let us in.
    pub(super) fn open(config: &QueueConfig) -> Result<Self, Error> {
        let is_fine = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if config.name.is_empty() || !config.name.chars().all(is_fine) {
            let reason = "letters, digits, `-` and `_` are allowed".into();
            let value = format!("`{}`", config.name);
            return Err(Error::Config { setting: "queue-name", value, reason });
        }
        let url = config.shown();
        let fault = |fault: String| Error::Queue { url: url.clone(), fault };
        let (servers, options) = options(config)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("queue")
            .enable_all()
            .build()
            .map_err(|source| Error::Threads { threads: 1, source })?;
        let connected =
            runtime.block_on(async { time::timeout(CONNECT, options.connect(servers)).await });
        let client = match connected {
            Ok(Ok(client)) => client,
            Ok(Err(error)) => return Err(fault(format!("cannot connect: {error}"))),
            Err(_) => return Err(fault("cannot connect: no answer".into())),
        };
        let context = {
            // It starts a task of its own.
            let _entered = runtime.enter();
            jetstream::new(client)
        };
        let connection = Connection { runtime, context, url, name: config.name.clone() };
        connection.make_streams().map_err(|fault| connection.error(fault))?;
        Ok(connection)
    }

    /// Runs something of the client's library to its end.
    pub(super) fn wait<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Runs something beside the caller.
    pub(super) fn spawn(
        &self,
        future: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        self.runtime.spawn(future)
    }

    /// The error that a fault at this server is.
    pub(super) fn error(&self, fault: impl ToString) -> Error {
        Error::Queue { url: self.url.clone(), fault: fault.to_string() }
    }

    /// Tries until it works or there is no hope, making the streams anew in between: a server that lost its
    /// disk has none.
    pub(super) fn insist<T>(
        &self,
        mut attempt: impl FnMut(&Self) -> Result<T, String>,
    ) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            let fault = match attempt(self) {
                Ok(found) => return Ok(found),
                Err(fault) => fault,
            };
            tries += 1;
            if tries == PATIENCE {
                return Err(self.error(fault));
            }
            self.wait(async { time::sleep(PAUSE).await });
            // Whether that worked shows at the next try.
            let _ = self.make_streams();
        }
    }

    /// A name that no other process makes.
    pub(super) fn unique(&self) -> String {
        let inbox = self.context.client().new_inbox();
        inbox.rsplit('.').next().unwrap_or(&inbox).to_owned()
    }

    /// `cellc.NAME.KIND.REST`
    pub(super) fn subject(&self, kind: Kind, rest: &str) -> String {
        format!("cellc.{}.{}.{rest}", self.name, kind.word())
    }

    /// A stream of the queue.
    pub(super) async fn stream(&self, kind: Kind) -> Result<Stream, String> {
        self.context.get_stream(self.stream_name(kind)).await.map_err(|error| error.to_string())
    }

    /// Puts messages into a stream, each under its subject, unless that has one already.
    pub(super) fn publish(&self, messages: Vec<(String, Vec<u8>)>) -> Result<(), String> {
        self.wait(async {
            let mut sent: Vec<PublishAckFuture> = Vec::with_capacity(messages.len());
            for (subject, bytes) in messages {
                let publish = self.context.publish(subject, bytes.into());
                sent.push(publish.await.map_err(|error| error.to_string())?);
            }
            for acknowledged in sent {
                if let Err(error) = acknowledged.await
                    && !is_refusal(&error)
                {
                    return Err(error.to_string());
                }
            }
            Ok(())
        })
    }

    /// Removes all messages of a stream whose subjects end so.
    pub(super) fn purge(&self, kind: Kind, rest: &str) -> Result<(), String> {
        self.wait(async {
            let purge = self.stream(kind).await?.purge().filter(self.subject(kind, rest)).await;
            purge.map(drop).map_err(|error| error.to_string())
        })
    }

    /// Workers that do a job or ask for one, by what they have: see [`Means::needs`](super::Means::needs).
    pub(super) fn workers(&self) -> Result<BTreeMap<String, usize>, String> {
        self.wait(async {
            let mut workers = BTreeMap::new();
            let stream = self.stream(Kind::Job).await?;
            let mut lists = stream.consumers();
            while let Some(list) = lists.try_next().await.map_err(|error| error.to_string())? {
                let count = list.num_waiting + list.num_ack_pending;
                if count > 0 {
                    workers.insert(list.name, count);
                }
            }
            Ok(workers)
        })
    }

    /// Keeps an object.
    pub(super) fn put(&self, name: &str, bytes: &[u8]) -> Result<(), String> {
        self.wait(async {
            let put = self.states().await?.put(name, &mut &*bytes).await;
            put.map(drop).map_err(|error| error.to_string())
        })
    }

    /// An object that was kept.
    pub(super) fn get(&self, name: &str) -> Result<Vec<u8>, String> {
        self.wait(async {
            let mut object = self.states().await?.get(name).await.map_err(|e| e.to_string())?;
            let mut bytes = Vec::new();
            object.read_to_end(&mut bytes).await.map_err(|error| error.to_string())?;
            Ok(bytes)
        })
    }

    /// Removes an object.
    pub(super) fn delete(&self, name: &str) -> Result<(), String> {
        self.wait(async {
            self.states().await?.delete(name).await.map_err(|error| error.to_string())
        })
    }

    async fn states(&self) -> Result<ObjectStore, String> {
        let bucket = format!("cellc-{}-states", self.name);
        if let Ok(store) = self.context.get_object_store(&bucket).await {
            return Ok(store);
        }
        let config = object_store::Config { bucket, max_age: KEPT, ..Default::default() };
        self.context.create_object_store(config).await.map_err(|error| error.to_string())
    }

    fn stream_name(&self, kind: Kind) -> String {
        match kind {
            Kind::Job => format!("cellc-{}-jobs", self.name),
            Kind::Answer => format!("cellc-{}-answers", self.name),
            Kind::Poison => format!("cellc-{}-poison", self.name),
        }
    }

    fn make_streams(&self) -> Result<(), String> {
        self.wait(async {
            for kind in [Kind::Job, Kind::Answer, Kind::Poison] {
                let (retention, max_age) = match kind {
                    Kind::Job => (RetentionPolicy::WorkQueue, Duration::ZERO),
                    Kind::Answer | Kind::Poison => (RetentionPolicy::Limits, KEPT),
                };
                let config = stream::Config {
                    name: self.stream_name(kind),
                    subjects: vec![self.subject(kind, ">")],
                    retention,
                    max_age,
                    storage: StorageType::File,
                    max_messages_per_subject: 1,
                    discard: DiscardPolicy::New,
                    discard_new_per_subject: true,
                    ..Default::default()
                };
                let made = self.context.get_or_create_stream(config).await;
                made.map_err(|error| match error.kind() {
                    CreateStreamErrorKind::JetStreamUnavailable => {
                        "it has no JetStream; start it with `nats-server --jetstream`".into()
                    }
                    _ => error.to_string(),
                })?;
            }
            Ok(())
        })
    }
}

/// True if the subject has a message already.
fn is_refusal(error: &PublishError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    error.kind() == PublishErrorKind::Other
        && source.is_some_and(|source| {
            // The code is that of every message that is not stored.
            source.error_code() == ErrorCode::STREAM_STORE_FAILED
                && source.to_string().contains("per subject")
        })
}

/// Servers and how to get in.
fn options(config: &QueueConfig) -> Result<(Vec<ServerAddr>, ConnectOptions), Error> {
    let refuse = |reason: String| Error::Config {
        setting: "queue",
        value: format!("`{}`", config.shown()),
        reason,
    };
    let servers: Result<Vec<ServerAddr>, io::Error> =
        config.url.split(',').map(|url| url.trim().parse()).collect();
    let servers = servers.map_err(|error| refuse(error.to_string()))?;
    let mut options = ConnectOptions::new().name("cellc");
    let named = servers.iter().find(|server| server.has_user_pass());
    if let Some(path) = &config.creds {
        let text = fs::read_to_string(path).map_err(Error::read(path))?;
        options = options.credentials(&text).map_err(|error| Error::Config {
            setting: "queue-creds",
            value: format!("`{}`", path.display()),
            reason: error.to_string(),
        })?;
    } else if let Some(path) = &config.credentials {
        let text = fs::read_to_string(path).map_err(Error::read(path))?;
        options = match text.trim().split_once(':') {
            Some((user, password)) => options.user_and_password(user.into(), password.into()),
            None => options.token(text.trim().into()),
        };
    } else if let Some(server) = named {
        let decoded = |text: &str| {
            let text = percent_decode_str(text).decode_utf8();
            text.map(String::from).map_err(|error| refuse(error.to_string()))
        };
        let user = decoded(server.username().unwrap_or_default())?;
        options = match server.password() {
            Some(password) => options.user_and_password(user, decoded(password)?),
            None => options.token(user),
        };
    }
    if let Some(path) = &config.ca {
        fs::metadata(path).map_err(Error::read(path))?;
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = &config.certificate {
        for path in [certificate, key] {
            fs::metadata(path).map_err(Error::read(path))?;
        }
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    // One of them asks for TLS: a client that took another server in the clear would send it the secrets.
    options = options.require_tls(servers.iter().any(ServerAddr::tls_required));
    Ok((servers, options))
}
