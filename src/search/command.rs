//! The evaluator that asks another program: the text of a cell goes to its standard input, and what it
//! writes to standard output is the score.
//!
//! # Protocol
//! One process for each architecture. Standard input is the cell as a `.cell` file that compiles alone. The
//! environment variable `CELLC_SEED` has the seed of the trial; a program that draws no other random numbers
//! keeps the ledger the same for any number of workers. Standard output is one JSON object:
//!
//! | key | is |
//! |---|---|
//! | `reward` | what the search maximizes, a finite number; required |
//! | `val_accuracy` | share of validation images classified correctly; the reward if absent |
//! | `epochs` | epochs trained; 0 if absent |
//!
//! Other keys are left alone. A program that ends with another code than 0, writes something else, or takes
//! too long makes a failed trial, never the end of a search; the last line of its standard error is in the
//! reason.
//!
//! The program is started directly, without a shell: its words are separated by spaces.

use std::io::{self, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde::Deserialize;

use super::architecture::{Architectures, ChildScale, SpaceFault};
use super::evaluator::{Evaluation, Evaluator, Failure, FailureKind, Provenance};
use super::objective::NetScale;
use super::task::{Scoring, Task};
use crate::error::Error;
use crate::graph::Graph;
use crate::source::{Loader, SourceFile};
use crate::space::{Genotype, Requirements, SearchSpace};

/// The most bytes of output that are read.
const MOST_OUTPUT: u64 = 1 << 20;

/// How often a process is looked at.
const POLL: Duration = Duration::from_millis(5);

/// How long output may be held open by what an ended process has left behind.
const GRACE: Duration = Duration::from_secs(1);

/// The most characters of a line of standard error in a reason.
const MOST_REASON: usize = 200;

/// Which program, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandConfig {
    /// The program and its arguments, separated by spaces.
    pub program: String,
    /// The longest that one evaluation may take.
    pub time_limit: Duration,
}

/// Scores the points of one space by a program.
#[derive(Debug)]
pub struct CommandEvaluator {
    architectures: Architectures,
    config: CommandConfig,
    words: Vec<String>,
}

/// What a program answers.
#[derive(Deserialize)]
struct Answer {
    reward: f64,
    val_accuracy: Option<f64>,
    epochs: Option<usize>,
}

impl CommandEvaluator {
    /// An evaluator of the space in `source`, which may use files that `loader` finds. `scale` decides
    /// which parameters and multiply-adds are recorded.
    ///
    /// # Errors
    /// [`SpaceFault::Cells`] if the file has faults, [`SpaceFault::Request`] if it holds no space or no
    /// program is named.
    pub fn new(
        source: &SourceFile,
        loader: &dyn Loader,
        config: CommandConfig,
        scale: ChildScale,
    ) -> Result<Self, SpaceFault> {
        let words: Vec<String> = config.program.split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(SpaceFault::Request(Error::Config {
                setting: "evaluator",
                value: "`command:`".into(),
                reason: "no program is named".into(),
            }));
        }
        let architectures = Architectures::new(source, loader, scale)?;
        Ok(CommandEvaluator { architectures, config, words })
    }

    /// The space that is searched.
    pub fn space(&self) -> &SearchSpace {
        self.architectures.space()
    }

    /// What the program answers to a cell.
    fn ask(&self, cell: String, seed: u64) -> Result<Answer, Failure> {
        let failed = |reason: String| Failure::new(FailureKind::Error, reason);
        let program = &self.words[0];
        let mut child = Command::new(program)
            .args(&self.words[1..])
            .env("CELLC_SEED", seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed(format!("cannot start `{program}`: {error}")))?;
        // A program need not read what it is given.
        let mut stdin = child.stdin.take().expect("it is piped");
        thread::spawn(move || stdin.write_all(cell.as_bytes()));
        let stdout = gather(child.stdout.take().expect("it is piped"));
        let stderr = gather(child.stderr.take().expect("it is piped"));
        let status = wait(&mut child, self.config.time_limit)
            .map_err(|error| failed(format!("cannot wait for `{program}`: {error}")))?;
        let Some(status) = status else {
            let limit = self.config.time_limit.as_secs_f64();
            let reason = format!("`{program}` took longer than {limit} s");
            return Err(Failure::new(FailureKind::TimedOut, reason));
        };
        if !status.success() {
            let said = stderr.recv_timeout(GRACE).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
            let last: String = last.trim().chars().take(MOST_REASON).collect();
            return Err(failed(format!("`{program}` ended with {status}: {last}")));
        }
        let output = stdout
            .recv_timeout(GRACE)
            .map_err(|_| failed(format!("`{program}` left its output open")))?;
        serde_json::from_slice(&output)
            .map_err(|error| failed(format!("the output of `{program}` is no score: {error}")))
    }
}

/// Waits for a process, at most as long as the limit; kills it then and gives `None`. Time is counted by
/// the pauses between looks, so that a busy machine gives a process a little more.
fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ExitStatus>> {
    let mut waited = Duration::ZERO;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if waited >= limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        let pause = POLL.min(limit - waited);
        thread::sleep(pause);
        waited += pause;
    }
}

/// Reads a stream to its end, or to the most that is read, beside the caller. The rest is read and dropped,
/// so that a talkative program does not wait for a reader.
fn gather(mut stream: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is judged as it is.
        let _ = stream.by_ref().take(MOST_OUTPUT).read_to_end(&mut bytes);
        let _ = io::copy(&mut stream, &mut io::sink());
        let _ = sender.send(bytes);
    });
    receiver
}

impl Evaluator for CommandEvaluator {
    fn id(&self, genotype: &Genotype) -> String {
        self.architectures.id(genotype)
    }

    fn evaluate(&self, genotype: &Genotype, seed: u64) -> Result<Evaluation, Failure> {
        let (lowered, counts) = self.architectures.admitted(genotype)?;
        let answer = self.ask(self.architectures.text(genotype), seed)?;
        Ok(Evaluation {
            reward: answer.reward,
            val_accuracy: answer.val_accuracy.unwrap_or(answer.reward),
            params: counts.params,
            macs: counts.macs,
            scale: lowered.scale.to_string(),
            epochs: answer.epochs.unwrap_or(0),
        })
    }

    fn cell_text(&self, genotype: &Genotype, provenance: &Provenance) -> String {
        let program = format!("by {}", self.words[0]);
        self.architectures.found_text(genotype, provenance, &program, "Parameters counted")
    }

    fn requirements(&self) -> Requirements<'_> {
        self.architectures.requirements()
    }

    fn network(&self, genotype: &Genotype, at: Option<&NetScale>) -> Result<Graph, String> {
        self.architectures.measured(genotype, at)
    }

    /// The program is not part of it.
    fn task(&self) -> Option<Task> {
        Some(self.architectures.task(Scoring::Command))
    }

    fn settings(&self) -> Vec<(String, String)> {
        let mut settings = self.architectures.settings();
        settings.push(("command".into(), self.config.program.clone()));
        settings
    }
}
