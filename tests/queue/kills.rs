//! Whatever is killed, nothing is lost and nothing is counted twice.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::setup::*;

/// Writes `SCRIPT.sh`, an evaluator whose reward is a number made of the cell: it says in `begun` that it
/// begins, and then does `action`.
fn program(folder: &Path, script: &str, action: &str) -> String {
    let text = format!(
        "number=$(cksum | cut -d ' ' -f 1)\necho $number >> begun\n{action}\n\
         echo \"{{\\\"reward\\\": 0.$number}}\"\n"
    );
    fs::write(folder.join(format!("{script}.sh")), text).expect("written");
    format!("command:sh {script}.sh")
}

/// Numbers that the program began with.
fn begun(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("begun")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

const SPACE: [&str; 4] = ["nasbench_macro_space", "--strategy", "evolution", "--set"];
const BATCH: &str = "evolution.batch_size=4";

/// A search with its reference, and a server.
struct Case {
    server: Server,
    folder: tempfile::TempDir,
    expected: Vec<Value>,
    slow: String,
}

impl Case {
    /// Of so many trials, whose program does `action` before it answers.
    fn new(trials: &str, action: &str) -> Option<Self> {
        let server = Server::start()?;
        let folder = tempfile::tempdir().expect("a scratch folder");
        let fast = program(folder.path(), "fast", ":");
        let args = join(&[&SPACE[..], &[BATCH, "--evaluator", &fast, "--trials", trials]]);
        search_here(folder.path(), &args);
        let expected = ledger(folder.path(), "here");
        fs::remove_file(folder.path().join("begun")).expect("it began");
        let slow = program(folder.path(), "slow", action);
        Some(Case { server, folder, expected, slow })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn search(&self, trials: &str, more: &[&str]) -> Process {
        let url = self.server.url();
        let args = [BATCH, "--evaluator", &self.slow, "--trials", trials, "--name", "there"];
        let args = join(&[&["search"], &SPACE[..], &args, &["--queue", &url], more]);
        cellc(self.path(), "there", &args)
    }

    fn worker(&self, name: &str) -> Process {
        let url = self.server.url();
        let args = ["worker", "--queue", &url, "--evaluator", &self.slow, "--lease", "3"];
        cellc(self.path(), name, &join(&[&args[..], &["--workers", "2", "--name", name]]))
    }

    fn recorded(&self) -> usize {
        ledger(self.path(), "there").len()
    }

    /// The search found what it finds undisturbed, and each architecture was begun so often more than once.
    fn check(&self, again: std::ops::RangeInclusive<usize>) {
        assert_eq!(ledger(self.path(), "there"), self.expected);
        let own = self.expected.iter().filter(|line| line["repeat_of"].is_null()).count();
        let begun = begun(self.path());
        assert!(again.contains(&(begun.len() - own)), "{own} architectures, begun: {begun:?}");
        assert_eq!(self.server.messages("-jobs"), Some(0));
        assert_eq!(self.server.messages("-answers"), Some(0));
    }
}

#[test]
fn a_worker_is_killed_in_the_middle_of_a_child() {
    let Some(case) = Case::new("12", "sleep 0.7") else { return };
    let mut search = case.search("12", &[]);
    let mut first = case.worker("first");
    until("a child is begun", || !begun(case.path()).is_empty());
    first.kill();
    let _second = case.worker("second");
    search.succeed();
    // It was at one or two of them.
    case.check(1..=2);
}

#[test]
fn a_worker_is_stopped_for_longer_than_its_lease() {
    let Some(case) = Case::new("8", "sleep 0.3") else { return };
    let mut search = case.search("8", &[]);
    let first = case.worker("first");
    until("a child is begun", || !begun(case.path()).is_empty());
    first.signal("STOP");
    let _second = case.worker("second");
    search.succeed();
    case.check(1..=2);
    // It wakes up with answers that nobody waits for.
    first.signal("CONT");
    until("the worker answers", || first.said().contains("trial "));
    assert_eq!(ledger(case.path(), "there"), case.expected);
}

#[test]
fn the_controller_is_killed_and_resumed() {
    let Some(case) = Case::new("24", "sleep 0.15") else { return };
    let _worker = case.worker("worker");
    let mut search = case.search("24", &[]);
    for trials in [5, 11] {
        until("some trials are recorded", || case.recorded() >= trials);
        search.kill();
        search = case.search("24", &["--resume"]);
    }
    search.succeed();
    // What workers were at goes on, and answers wait.
    case.check(0..=0);
}

#[test]
fn the_server_is_killed_and_comes_back() {
    let Some(mut case) = Case::new("16", "sleep 0.3") else { return };
    let _worker = case.worker("worker");
    let mut search = case.search("16", &[]);
    until("some trials are recorded", || case.recorded() >= 4);
    case.server.kill();
    std::thread::sleep(std::time::Duration::from_secs(1));
    case.server.restart(true);
    search.succeed();
    // A job whose lease was not extended, or whose end was not heard of, may be done again.
    case.check(0..=4);
}

#[test]
fn the_server_loses_its_disk() {
    let Some(mut case) = Case::new("16", "sleep 0.3") else { return };
    let _worker = case.worker("worker");
    let mut search = case.search("16", &[]);
    until("some trials are recorded", || case.recorded() >= 4);
    case.server.kill();
    case.server.restart(false);
    search.succeed();
    case.check(0..=4);
}

#[test]
fn an_architecture_that_ends_its_workers_is_set_aside() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    let ends_its_worker = |number: &u64| number.is_multiple_of(4);
    let action = "if [ $((number % 4)) = 0 ]; then kill -9 $PPID; exit 1; fi";
    let evaluator = program(folder, "deadly", action);
    let url = server.url();
    let common = ["--evaluator", evaluator.as_str(), "--queue", &url];
    let search = ["search", "nasbench_macro_space", "--strategy", "random", "--trials", "12"];
    let more = ["--attempts", "2", "--name", "there"];
    let mut search = cellc(folder, "there", &join(&[&search[..], &common, &more]));
    let worker = |count: usize| {
        let args = join(&[&["worker", "--workers", "1", "--lease", "2"], &common[..]]);
        cellc(folder, &format!("worker-{count}"), &args)
    };
    let (mut latest, mut count) = (worker(0), 0);
    until("the search ends", || {
        if latest.has_ended() {
            count += 1;
            latest = worker(count);
        }
        search.has_ended()
    });
    search.succeed();

    let ledger = ledger(folder, "there");
    assert_eq!(ledger.len(), 12);
    let mut times: BTreeMap<u64, usize> = BTreeMap::new();
    for number in begun(folder) {
        *times.entry(number.parse().expect("a number")).or_default() += 1;
    }
    let deadly: Vec<usize> =
        times.iter().filter(|(number, _)| ends_its_worker(number)).map(|(_, &n)| n).collect();
    assert!(!deadly.is_empty() && deadly.len() < times.len(), "{times:?}");
    assert_eq!(deadly, vec![2; deadly.len()]);
    assert!(times.iter().all(|(number, &n)| ends_its_worker(number) || n == 1), "{times:?}");
    let own = ledger.iter().filter(|line| line["repeat_of"].is_null());
    let failed: Vec<&Value> = own.filter(|line| line["status"] == "failed").collect();
    assert_eq!(failed.len(), deadly.len());
    for line in failed {
        let failure = &line["failure"];
        assert_eq!(failure["kind"], "crashed");
        assert_eq!(failure["reason"], "2 workers began it and none of them ended it");
    }
    assert_eq!(server.messages("-poison"), Some(deadly.len() as u64));
}
