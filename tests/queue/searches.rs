//! Searches that nobody disturbs.

use std::fs;
use std::path::Path;

use crate::setup::*;

/// All of NAS-Bench-Macro, each network as good in percent as its digits sum up to.
pub fn table(folder: &Path) {
    let mut table = String::from("arch,acc1,mean_acc\n");
    for mut number in 0..3_usize.pow(8) {
        let (mut arch, mut sum) = (String::new(), 0);
        for _ in 0..8 {
            arch.push_str(&(number % 3).to_string());
            sum += number % 3;
            number /= 3;
        }
        table += &format!("{arch},{},{}\n", 50 + sum, 60 + sum);
    }
    fs::write(folder.join("bench.csv"), table).expect("written");
}

#[test]
fn two_hundred_jobs_over_eight_workers() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let search = ["nasbench_macro_space", "--evaluator", "table:bench.csv", "--trials", "200"];
    search_here(folder, &search);

    let url = server.url();
    let mut workers: Vec<Process> = (0..8)
        .map(|index| {
            let name = format!("worker-{index}");
            let args = ["worker", "--queue", &url, "--evaluator", "table:bench.csv"];
            let more = ["--workers", "1", "--idle", "20", "--name", &name];
            cellc(folder, &name, &join(&[&args[..], &more]))
        })
        .collect();
    let over = join(&[&["search"], &search[..], &["--name", "there", "--queue", &url]]);
    cellc(folder, "there", &over).succeed();
    assert_eq!(ledger(folder, "there"), ledger(folder, "here"));
    assert_eq!(cells(folder, "there"), cells(folder, "here"));

    // Every trial that is no repeat was answered by one worker and no more.
    let own = ledger(folder, "here").iter().filter(|line| line["repeat_of"].is_null()).count();
    let answered: usize =
        workers.iter().map(|worker| worker.said().matches("trial ").count()).sum();
    assert_eq!(answered, own);
    for stream in ["jobs", "answers", "poison"] {
        assert_eq!(server.messages(&format!("-{stream}")), Some(0), "{stream}");
    }
    workers.iter_mut().for_each(Process::succeed);
}

#[test]
fn workers_take_only_what_they_have_the_data_for() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let text = fs::read_to_string(folder.join("bench.csv")).expect("a table");
    fs::write(folder.join("other.csv"), text.replace(",50,", ",51,")).expect("written");
    let url = server.url();
    let worker = |name: &str, evaluator: &str, more: &[&str]| {
        let args = ["worker", "--queue", &url, "--evaluator", evaluator, "--workers", "1"];
        cellc(folder, name, &join(&[&args[..], more]))
    };
    let idle = ["--idle", "12"];
    let mut others = [
        worker("other", "table:other.csv", &idle),
        worker("digits", "train", &join(&[&idle[..], &["--limit", "50"]])),
        worker("program", "command:sh -c true", &idle),
    ];
    let search = ["search", "nasbench_macro_space", "--evaluator", "table:bench.csv"];
    let more = ["--trials", "20", "--name", "there", "--queue", &url];
    let mut searching = cellc(folder, "there", &join(&[&search[..], &more]));
    others.iter_mut().for_each(Process::succeed);
    assert!(others.iter().all(|worker| !worker.said().contains("trial")));
    let expected = "no worker of the queue has what it takes for the 8 architectures that wait";
    assert_eq!(searching.said().matches(expected).count(), 1, "{}", searching.said());
    assert!(searching.said().contains("(3 ask for other jobs)"), "{}", searching.said());
    assert!(!searching.has_ended(), "{}", searching.said());
    assert!(ledger(folder, "there").is_empty());

    let mut worker = worker("worker", "table:bench.csv", &["--idle", "20"]);
    searching.succeed();
    assert_eq!(ledger(folder, "there").len(), 20);
    worker.kill();
}

#[test]
fn a_search_without_workers_says_so() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let search = ["search", "nasbench_macro_space", "--evaluator", "table:bench.csv"];
    let mut searching = cellc(folder, "there", &join(&[&search[..], &["--queue", &server.url()]]));
    until("it says so", || {
        searching.said().contains("nobody works for the queue; 8 architectures")
    });
    searching.kill();
}

#[test]
fn two_searches_share_a_server() {
    let Some(server) = Server::start() else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let url = server.url();
    let args = ["worker", "--queue", &url, "--evaluator", "table:bench.csv", "--workers", "2"];
    let _worker = cellc(folder, "worker", &args);
    let searches: Vec<(&str, String)> =
        ["1", "2"].into_iter().map(|seed| (seed, format!("there-{seed}"))).collect();
    let common =
        ["nasbench_macro_space", "--evaluator", "table:bench.csv", "--strategy", "evolution"];
    let mut processes: Vec<Process> = searches
        .iter()
        .map(|(seed, name)| {
            let more = ["--trials", "40", "--seed", seed, "--name", name, "--queue", &url];
            cellc(folder, name, &join(&[&["search"], &common[..], &more]))
        })
        .collect();
    processes.iter_mut().for_each(Process::succeed);
    for (seed, name) in &searches {
        let here = format!("here-{seed}");
        let more = ["--trials", "40", "--seed", seed, "--name", &here];
        cellc(folder, &here, &join(&[&["search"], &common[..], &more])).succeed();
        assert_eq!(ledger(folder, name), ledger(folder, &here));
    }
}
