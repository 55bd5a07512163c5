//! Servers, searches and workers as processes.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The longest that anything may take; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(240);

/// True if a program is there. Says that a test is skipped if it is not, or fails where it must not be.
pub fn has(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdout(Stdio::null()).stderr(Stdio::null());
    if command.status().is_ok() {
        return true;
    }
    let is_required = std::env::var("CELLC_QUEUE_TESTS").is_ok_and(|value| value == "required");
    assert!(!is_required, "there is no {program}");
    // Past the test harness, which keeps what a passing test prints to itself.
    let test = thread::current().name().unwrap_or("a test").to_owned();
    writeln!(std::io::stderr(), "SKIPPED {test}: there is no {program}").expect("stderr is open");
    false
}

/// A server of one test.
pub struct Server {
    pub port: u16,
    /// Where it tells about itself.
    monitor: u16,
    folder: TempDir,
    process: Process,
}

impl Server {
    /// Starts one; none if it is not installed.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// Starts one with more settings, in which `FOLDER` is the server's folder.
    pub fn start_with(settings: &str) -> Option<Self> {
        Self::start_in(tempfile::tempdir().expect("a scratch folder"), settings)
    }

    /// Starts one in a folder that may have files for it.
    pub fn start_in(folder: TempDir, settings: &str) -> Option<Self> {
        if !has("nats-server", "--version") {
            return None;
        }
        let (port, monitor) = (free_port(), free_port());
        let path = folder.path().display();
        let text = format!(
            "listen: 127.0.0.1:{port}\nhttp: 127.0.0.1:{monitor}\n\
             jetstream {{ store_dir: \"{path}/store\" }}\n{}\n",
            settings.replace("FOLDER", &path.to_string())
        );
        fs::write(folder.path().join("server.conf"), text).expect("written");
        let process = Self::launch(&folder, port);
        Some(Server { port, monitor, folder, process })
    }

    fn launch(folder: &TempDir, port: u16) -> Process {
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(folder.path().join("server.conf"));
        let process = Process::start(command, &folder.path().join("server.log"));
        until("the server listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        process
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again, with its disk or without.
    pub fn restart(&mut self, keep_disk: bool) {
        if !keep_disk {
            fs::remove_dir_all(self.folder.path().join("store")).expect("removed");
        }
        self.process = Self::launch(&self.folder, self.port);
    }

    /// Messages in a stream whose name ends so; none if there is no such stream.
    pub fn messages(&self, ending: &str) -> Option<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.monitor)).expect("it is there");
        stream
            .write_all(b"GET /jsz?streams=true HTTP/1.0\r\nHost: localhost\r\n\r\n")
            .expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let state: Value = serde_json::from_str(body).expect("JSON");
        let streams = state["account_details"][0]["stream_detail"].as_array()?;
        let name = |stream: &&Value| stream["name"].as_str().is_some_and(|n| n.ends_with(ending));
        streams.iter().find(name)?["state"]["messages"].as_u64()
    }
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A process that ends with its owner.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it with its output in a file.
    pub fn start(mut command: Command, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).expect("a file");
        let err = out.try_clone().expect("a file");
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        Process { child: command.spawn().expect("it starts"), log: log.to_owned() }
    }

    /// As `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it has ended");
    }

    /// As `kill -SIGNAL` does.
    pub fn signal(&self, signal: &str) {
        let (signal, id) = (format!("-{signal}"), self.child.id().to_string());
        let status = Command::new("kill").args([signal, id]).status().expect("kill starts");
        assert!(status.success());
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    /// Waits for its end.
    pub fn end(&mut self) -> ExitStatus {
        until(&format!("{} ends", self.log.display()), || {
            self.child.try_wait().expect("it can be asked").is_some()
        });
        self.child.wait().expect("it has ended")
    }

    /// Waits for its end, which must be a good one.
    pub fn succeed(&mut self) {
        let status = self.end();
        assert!(status.success(), "{status}: {}", self.said());
    }

    /// What it wrote.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.log).expect("its output")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited too long until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Starts `cellc` in a folder, with its output in `NAME.log` there.
pub fn cellc(folder: &Path, name: &str, args: &[&str]) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellc"));
    command.args(args).current_dir(folder).env("NO_COLOR", "1");
    Process::start(command, &folder.join(format!("{name}.log")))
}

/// The lines of a ledger without their times.
pub fn ledger(folder: &Path, run: &str) -> Vec<Value> {
    let path = folder.join("runs").join(run).join("ledger.jsonl");
    let text = fs::read_to_string(path).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).expect("a line of JSON");
        line.as_object_mut().expect("an object").remove("secs");
        line
    };
    whole.lines().map(line).collect()
}

/// All cells of a run.
pub fn cells(folder: &Path, run: &str) -> Vec<(String, String)> {
    let folder = folder.join("runs").join(run).join("cells");
    let mut cells: Vec<(String, String)> = fs::read_dir(folder)
        .expect("cells")
        .map(|entry| {
            let entry = entry.expect("a file");
            let text = fs::read_to_string(entry.path()).expect("text");
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    cells.sort();
    cells
}

/// Arguments in a row.
pub fn join<'a>(parts: &[&[&'a str]]) -> Vec<&'a str> {
    parts.concat()
}

/// Searches in threads of one process, as run `here`.
pub fn search_here(folder: &Path, args: &[&str]) {
    let args = join(&[&["search"], args, &["--name", "here", "--workers", "2"]]);
    cellc(folder, "here", &args).succeed();
}
