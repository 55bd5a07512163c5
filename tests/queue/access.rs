//! Who gets in, and what is said to who does not.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::searches::table;
use crate::setup::*;

pub const SEARCH: [&str; 6] =
    ["nasbench_macro_space", "--evaluator", "table:bench.csv", "--trials", "6", "--queue"];

#[test]
fn without_a_server_a_search_ends_before_it_has_a_folder() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    for (url, expected) in [
        ("nats://127.0.0.1:9", "error: queue `nats://127.0.0.1:9`: cannot connect"),
        ("nats://me:secret@127.0.0.1:9", "error: queue `nats://127.0.0.1:9`: cannot connect"),
        ("http://127.0.0.1:9", "error: queue is `http://127.0.0.1:9`: invalid scheme"),
    ] {
        let mut search = cellc(folder, "search", &join(&[&["search"], &SEARCH[..], &[url]]));
        assert_eq!(search.end().code(), Some(1));
        let mut worker = cellc(folder, "worker", &["worker", "--queue", url]);
        assert_eq!(worker.end().code(), Some(1));
        for process in [search, worker] {
            assert!(process.said().contains(expected), "{}", process.said());
            assert!(!process.said().contains("secret"), "{}", process.said());
        }
    }
    assert!(!folder.join("runs").exists());
}

/// Only who trains has use for a card, and a card that is not there is told before a server is looked for.
#[cfg(feature = "cuda")]
#[test]
fn a_worker_tells_of_its_cards_first() {
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let url = "nats://127.0.0.1:9";
    let said = |name: &str, args: &[&str], code: i32| {
        let mut process = cellc(folder, name, args);
        assert_eq!(process.end().code(), Some(code), "{}", process.said());
        process.said()
    };
    let worker = |name: &str, more: &[&str], code: i32| {
        said(name, &join(&[&["worker", "--queue", url], more]), code)
    };
    // There is none of that number, or there are no cards at all.
    let missing = worker("missing", &["--device", "cuda:99"], 1);
    assert!(missing.contains("driver") && !missing.contains("cannot connect"), "{missing}");
    let found = worker("auto", &["--device", "auto", "--precision", "tf32"], 1);
    assert!(found.contains("cannot connect"), "{found}");
    let unknown = worker("unknown", &["--device", "cpu,cuda:0"], 2);
    assert!(unknown.contains("different cards such as `cuda:0,cuda:1`"), "{unknown}");

    let table = worker("table", &["--evaluator", "table:bench.csv", "--device", "cuda"], 1);
    assert!(table.contains("only `--evaluator train` has use for a card"), "{table}");
    let search = join(&[&["search"], &SEARCH[..], &[url, "--device", "cuda:1"]]);
    let search = said("search", &search, 1);
    assert!(search.contains("device is cuda:1: only `--evaluator train`"), "{search}");
    let idle = ["search", "nasnet_space", "--queue", url, "--device", "cuda"];
    let idle = said("idle", &idle, 1);
    assert!(idle.contains("`cellc worker`, which has a `--device` of its own"), "{idle}");
}

/// A certificate of 127.0.0.1 and the root that signed it, as `server.pem`, `server.key` and `ca.pem`.
fn certificates(folder: &Path) {
    let openssl = |args: &[&str]| {
        let command = Command::new("openssl").args(args).current_dir(folder).output();
        let output = command.expect("openssl starts");
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    openssl(
        &[
            &["req", "-x509", "-days", "2", "-subj", "/CN=root", "-keyout", "ca.key"][..],
            &["-out", "ca.pem", "-addext", "keyUsage=keyCertSign"],
            &new_key[..],
        ]
        .concat(),
    );
    fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").expect("written");
    let request = ["req", "-subj", "/CN=queue", "-keyout", "server.key", "-out", "server.csr"];
    openssl(&join(&[&request[..], &new_key]));
    let sign = ["x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key"];
    let more = ["-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem"];
    openssl(&join(&[&sign[..], &more]));
}

#[test]
fn tls_and_passwords_are_asked_for_and_given() {
    if !has("openssl", "version") {
        return;
    }
    let secrets = tempfile::tempdir().expect("a scratch folder");
    certificates(secrets.path());
    let ca = secrets.path().join("ca.pem").display().to_string();
    let settings = "tls { cert_file: \"FOLDER/server.pem\", key_file: \"FOLDER/server.key\" }\n\
                    authorization { user: me, password: \"se@cret\" }";
    let Some(server) = Server::start_in(secrets, settings) else { return };
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let at = |user: &str| format!("tls://{user}127.0.0.1:{}", server.port);
    let search = |name: &str, url: &str, more: &[&str]| {
        let args = join(&[&["search"], &SEARCH[..], &[url, "--name", name], more]);
        cellc(folder, name, &args)
    };
    let trusting = ["--queue-ca", ca.as_str()];
    for (name, user, more) in [
        ("nobody", "", &trusting[..]),
        ("wrong", "me:wrong@", &trusting),
        ("distrustful", "me:se%40cret@", &[]),
    ] {
        let mut refused = search(name, &at(user), more);
        assert_eq!(refused.end().code(), Some(1), "{name}: {}", refused.said());
        assert!(refused.said().contains("cannot connect"), "{}", refused.said());
    }
    let url = at("me:se%40cret@");
    let args = ["worker", "--queue", &url, "--evaluator", "table:bench.csv", "--workers", "1"];
    let worker = cellc(folder, "worker", &join(&[&args[..], &trusting]));
    let mut fine = search("fine", &url, &trusting);
    fine.succeed();
    assert_eq!(ledger(folder, "fine").len(), 6);
    for said in [worker.said(), fine.said()] {
        assert!(!said.contains("cret"), "{said}");
    }
}

#[test]
fn a_server_that_keeps_nothing_is_refused() {
    if !has("nats-server", "--version") {
        return;
    }
    let folder = tempfile::tempdir().expect("a scratch folder");
    let folder = folder.path();
    table(folder);
    let port = free_port();
    let mut command = Command::new("nats-server");
    command.args(["-a", "127.0.0.1", "-p", &port.to_string()]).stderr(Stdio::null());
    let _server = Process::start(command, &folder.join("server.log"));
    until("the server listens", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    let url = format!("nats://127.0.0.1:{port}");
    let mut search = cellc(folder, "search", &join(&[&["search"], &SEARCH[..], &[&url]]));
    assert_eq!(search.end().code(), Some(1));
    assert!(search.said().contains("JetStream"), "{}", search.said());
}
