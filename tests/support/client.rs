//! An editor with a server: the program itself, over its standard streams.

#![allow(dead_code, reason = "each test file uses its part")]

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

pub const URI: &str = "file:///cells/mine.cell";

/// Longer than any answer takes: a server that hangs fails the test instead of hanging it.
const PATIENCE: Duration = Duration::from_secs(60);

/// An editor with a server.
pub struct Client {
    pub server: Child,
    pub input: Option<ChildStdin>,
    messages: Receiver<Value>,
    last_id: i64,
    /// The document that is talked about.
    pub uri: String,
}

impl Client {
    /// Starts a server without a word.
    pub fn silent() -> Self {
        let mut server = Command::new(env!("CARGO_BIN_EXE_cellc"))
            .args(["lsp", "--stdio"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the program starts");
        let output = server.stdout.take().expect("piped");
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let input = server.stdin.take();
        Client { server, input, messages, last_id: 0, uri: URI.to_owned() }
    }

    /// Starts a server and initializes it.
    pub fn new() -> Self {
        let mut client = Client::silent();
        let result = client.ask("initialize", json!({ "capabilities": {}, "processId": null }));
        assert_eq!(result["capabilities"]["textDocumentSync"]["change"], 1, "whole texts");
        assert_eq!(result["serverInfo"]["name"], "cellc");
        client.tell("initialized", json!({}));
        client
    }

    /// Starts a server, initializes it and opens a text; gives its diagnostics.
    pub fn with(text: &str) -> (Self, Vec<Value>) {
        let mut client = Client::new();
        let faults = client.open(text);
        (client, faults)
    }

    pub fn send(&mut self, message: &Value) {
        let text = message.to_string();
        let input = self.input.as_mut().expect("the input is open");
        write!(input, "Content-Length: {}\r\n\r\n{text}", text.len()).expect("written");
        input.flush().expect("written");
    }

    pub fn tell(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    pub fn receive(&mut self) -> Value {
        self.messages.recv_timeout(PATIENCE).expect("the server answers")
    }

    /// The whole response to a request; messages before it are dropped.
    pub fn response(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let id = self.last_id;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let message = self.receive();
            if message["id"] == id {
                return message;
            }
        }
    }

    /// The result of a request.
    pub fn ask(&mut self, method: &str, params: Value) -> Value {
        let response = self.response(method, params);
        assert_eq!(response.get("error"), None, "{method}");
        response["result"].clone()
    }

    /// The next diagnostics of a version of the document.
    pub fn diagnostics(&mut self, version: i64) -> Vec<Value> {
        loop {
            let message = self.receive();
            if message["method"] == "textDocument/publishDiagnostics"
                && message["params"]["version"] == version
                && message["params"]["uri"] == self.uri
            {
                return message["params"]["diagnostics"].as_array().expect("a list").clone();
            }
        }
    }

    /// Opens a text under the URI at hand; gives its diagnostics.
    pub fn open(&mut self, text: &str) -> Vec<Value> {
        self.show(text);
        self.diagnostics(1)
    }

    /// Opens a text without waiting for its diagnostics.
    pub fn show(&mut self, text: &str) {
        let document = json!({ "uri": self.uri, "languageId": "cell", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
    }

    pub fn change(&mut self, version: i64, changes: Value) -> Vec<Value> {
        let document = json!({ "uri": self.uri, "version": version });
        let params = json!({ "textDocument": document, "contentChanges": changes });
        self.tell("textDocument/didChange", params);
        self.diagnostics(version)
    }

    /// Asks about a position.
    pub fn at(&mut self, method: &str, position: Value) -> Value {
        self.ask(method, json!({ "textDocument": { "uri": self.uri }, "position": position }))
    }

    /// The Markdown of a hover.
    pub fn hover(&mut self, position: Value) -> String {
        let hover = self.at("textDocument/hover", position);
        hover["contents"]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// The labels that are offered.
    pub fn offers(&mut self, position: Value) -> Vec<String> {
        let items = self.at("textDocument/completion", position);
        let items = items.as_array().expect("a list").clone();
        items.iter().map(|item| item["label"].as_str().expect("a label").to_owned()).collect()
    }

    /// Shuts the server down and waits for its end.
    pub fn end(mut self) -> ExitStatus {
        assert_eq!(self.ask("shutdown", Value::Null), Value::Null);
        self.tell("exit", Value::Null);
        self.server.wait().expect("the server ends")
    }
}

impl Drop for Client {
    /// Closes the input, at which a server that still runs ends.
    fn drop(&mut self) {
        self.input = None;
        let _ = self.server.wait();
    }
}

/// One message, none at the end of the stream.
fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if output.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        if name == "Content-Length" {
            length = value.parse().ok();
        }
    }
    let mut text = vec![0; length.expect("a header says how long a message is")];
    output.read_exact(&mut text).ok()?;
    Some(serde_json::from_slice(&text).expect("a message is JSON"))
}

/// The position in front of the `n`-th occurrence of a piece of ASCII text, moved by `by` characters.
pub fn find(text: &str, piece: &str, n: usize, by: usize) -> Value {
    let (at, _) = text.match_indices(piece).nth(n).expect("the piece is in the text");
    let at = at + by;
    let line_start = text[..at].rfind('\n').map_or(0, |at| at + 1);
    json!({ "line": text[..at].matches('\n').count(), "character": at - line_start })
}

/// The range of the `n`-th occurrence of a piece of ASCII text.
pub fn range(text: &str, piece: &str, n: usize) -> Value {
    json!({ "start": find(text, piece, n, 0), "end": find(text, piece, n, piece.len()) })
}
