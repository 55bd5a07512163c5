//! `cellc lsp`: the language server, over standard input and output.
//!
//! The loop here decodes messages and calls [`cellc::lsp`], which has the answers. A document is checked
//! once the client pauses, or when it asks something about it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use cellc::error::Error;
use cellc::lsp::{self, Document};
use cellc::source::{Folders, Loader, SourceFile};
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, Response};
use lsp_types::notification::{
    DidChangeTextDocument, DidCloseTextDocument, DidOpenTextDocument, Notification as _,
    PublishDiagnostics,
};
use lsp_types::request::{
    CodeActionRequest, Completion, DocumentSymbolRequest, Formatting, GotoDefinition, HoverRequest,
    Request as _,
};
use lsp_types::{
    CodeActionKind, CodeActionOptions, CodeActionOrCommand, CodeActionParams,
    CodeActionProviderCapability, CompletionOptions, CompletionResponse, DocumentFormattingParams,
    DocumentSymbolParams, DocumentSymbolResponse, HoverProviderCapability, InitializeResult,
    Location, OneOf, Position, PositionEncodingKind, PublishDiagnosticsParams, ServerCapabilities,
    ServerInfo, TextDocumentContentChangeEvent, TextDocumentIdentifier, TextDocumentPositionParams,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions, Uri,
};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How long the client must be silent before a changed document is checked.
const PAUSE: Duration = Duration::from_millis(30);

/// Serves until the client exits. The exit code is 0 if it asked for a shutdown before, else 1.
pub fn run() -> ExitCode {
    let (connection, threads) = Connection::stdio();
    let mut server = Server { connection, documents: BTreeMap::new(), state: State::Started };
    let is_orderly = server.serve();
    // The threads end when nobody can send any more.
    drop(server);
    match threads.join() {
        Ok(()) if is_orderly => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: the client cannot be understood: {error}");
            ExitCode::FAILURE
        }
    }
}

/// How far a session is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Not initialized.
    Started,
    /// At work.
    Running,
    /// Asked to shut down.
    ShutDown,
}

/// A document of the client.
struct Opened {
    uri: Uri,
    version: Option<i32>,
    text: String,
    /// What is known of the text, or of an earlier one if that is stale.
    document: Option<Document>,
    is_stale: bool,
}

struct Server {
    connection: Connection,
    documents: BTreeMap<String, Opened>,
    state: State,
}

impl Server {
    /// Answers messages until the client exits or goes away; true if it had asked for a shutdown.
    fn serve(&mut self) -> bool {
        loop {
            let is_stale = self.documents.values().any(|opened| opened.is_stale);
            let message = if is_stale {
                match self.connection.receiver.recv_timeout(PAUSE) {
                    Ok(message) => message,
                    Err(error) if error.is_timeout() => {
                        self.check_all();
                        continue;
                    }
                    Err(_) => return false,
                }
            } else {
                match self.connection.receiver.recv() {
                    Ok(message) => message,
                    Err(_) => return false,
                }
            };
            match message {
                Message::Request(request) => {
                    let response = self.answer(request);
                    self.send(response.into());
                }
                Message::Notification(notification) if notification.method == "exit" => {
                    return self.state == State::ShutDown;
                }
                Message::Notification(notification) => self.note(notification),
                Message::Response(_) => {}
            }
        }
    }

    /// Sends a message. If the client is gone, the end of its input is met next.
    fn send(&self, message: Message) {
        let _ = self.connection.sender.send(message);
    }

    fn answer(&mut self, request: Request) -> Response {
        let Request { id, method, params } = request;
        let refuse = |code: ErrorCode, text: &str| (code as i32, text.to_owned());
        let result = match (self.state, method.as_str()) {
            (State::Started, "initialize") => {
                self.state = State::Running;
                encode(&capabilities())
            }
            (State::Started, _) => {
                Err(refuse(ErrorCode::ServerNotInitialized, "expected `initialize` first"))
            }
            (State::Running, "shutdown") => {
                self.state = State::ShutDown;
                Ok(Value::Null)
            }
            (State::ShutDown, _) | (State::Running, "initialize") => {
                Err(refuse(ErrorCode::InvalidRequest, "expected `initialize` first, `exit` last"))
            }
            (State::Running, _) => {
                // A fault of ours in one answer must not end the session.
                catch_unwind(AssertUnwindSafe(|| self.ask(&method, params)))
                    .unwrap_or_else(|_| Err(refuse(ErrorCode::InternalError, "a bug in cellc")))
            }
        };
        match result {
            Ok(value) => Response::new_ok(id, value),
            Err((code, text)) => Response::new_err(id, code, text),
        }
    }

    /// Answers a question about a document; `null` if it is not open.
    fn ask(&mut self, method: &str, params: Value) -> Result<Value, (i32, String)> {
        match method {
            HoverRequest::METHOD => {
                let (opened, position) = self.place(params)?;
                encode(&opened.and_then(|(_, document)| lsp::hover(document, position)))
            }
            Completion::METHOD => {
                let (opened, position) = self.place(params)?;
                let items = opened.map(|(_, document)| lsp::completion(document, position));
                encode(&items.map(CompletionResponse::Array))
            }
            GotoDefinition::METHOD => {
                let (opened, position) = self.place(params)?;
                let found = opened.and_then(|(uri, document)| {
                    let target = lsp::definition(document, position)?;
                    Some((uri.clone(), target.file.map(str::to_owned), target.range))
                });
                encode(&found.and_then(|(uri, file, range)| {
                    let uri = file.map_or(Some(uri), |file| self.uri_of(&file))?;
                    Some(Location::new(uri, range))
                }))
            }
            CodeActionRequest::METHOD => {
                let params: CodeActionParams = decode(params)?;
                encode(&self.actions(&params))
            }
            DocumentSymbolRequest::METHOD => {
                let params: DocumentSymbolParams = decode(params)?;
                let opened = self.document(&params.text_document);
                let symbols = opened.map(|(_, document)| lsp::symbols(document));
                encode(&symbols.map(DocumentSymbolResponse::Nested))
            }
            Formatting::METHOD => {
                let params: DocumentFormattingParams = decode(params)?;
                let opened = self.document(&params.text_document);
                encode(&opened.and_then(|(_, document)| document.format()))
            }
            _ => Err((
                ErrorCode::MethodNotFound as i32,
                format!("cellc does not know the request `{method}`"),
            )),
        }
    }

    /// The document and position that a request is about.
    #[allow(clippy::type_complexity, reason = "the caller takes it apart at once")]
    fn place(
        &mut self,
        params: Value,
    ) -> Result<(Option<(&Uri, &Document)>, Position), (i32, String)> {
        let params: TextDocumentPositionParams = decode(params)?;
        Ok((self.document(&params.text_document), params.position))
    }

    /// An open document, checked.
    fn document(&mut self, identifier: &TextDocumentIdentifier) -> Option<(&Uri, &Document)> {
        let key = identifier.uri.as_str();
        if self.documents.get(key)?.is_stale {
            self.check(key);
        }
        let opened = self.documents.get(key)?;
        Some((&opened.uri, opened.document.as_ref()?))
    }

    /// What can be done about the faults in a range; nothing for a document that is not open.
    fn actions(&mut self, params: &CodeActionParams) -> Option<Vec<CodeActionOrCommand>> {
        let is_wanted = |kind: &str| match &params.context.only {
            // The whole file is fixed only for those who ask for it.
            None => kind == CodeActionKind::QUICKFIX.as_str(),
            Some(only) => only.iter().any(|only| {
                let rest = kind.strip_prefix(only.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
        };
        let (uri, document) = self.document(&params.text_document)?;
        let mut actions = Vec::new();
        if is_wanted(CodeActionKind::QUICKFIX.as_str()) {
            actions.extend(lsp::quick_fixes(document, uri, params.range));
        }
        if is_wanted(lsp::FIX_ALL) {
            let opened = self.documents.get(params.text_document.uri.as_str())?;
            let document = opened.document.as_ref()?;
            actions.extend(lsp::fix_all(document, &opened.uri, &self.buffers()));
        }
        Some(actions.into_iter().map(CodeActionOrCommand::from).collect())
    }

    /// The URI of a file; the one that the client opened it by, if it is open. None for a file of the
    /// library of cells, which stands on no disk.
    fn uri_of(&self, file: &str) -> Option<Uri> {
        let open = self.documents.iter().find(|(key, _)| identity(key) == file);
        if let Some((_, opened)) = open {
            return Some(opened.uri.clone());
        }
        Path::new(file).is_absolute().then(|| uri(file).parse().ok()).flatten()
    }

    /// The texts of the open documents by the identity of their files.
    fn buffers(&self) -> Buffers<'_> {
        let texts = self.documents.iter();
        Buffers(texts.map(|(key, opened)| (identity(key), opened.text.as_str())).collect())
    }

    /// Checks a document and publishes what is wrong with it.
    fn check(&mut self, key: &str) {
        let Some(opened) = self.documents.get(key) else { return };
        let source = SourceFile::new(path(key), opened.text.as_str());
        let before = opened.document.as_ref();
        let buffers = self.buffers();
        let checked =
            catch_unwind(AssertUnwindSafe(|| Document::new_with(source, before, &buffers)));
        let Some(opened) = self.documents.get_mut(key) else { return };
        opened.is_stale = false;
        let Ok(document) = checked else { return };
        let diagnostics = lsp::diagnostics(&document, &opened.uri);
        opened.document = Some(document);
        let (uri, version) = (opened.uri.clone(), opened.version);
        self.publish(PublishDiagnosticsParams { uri, diagnostics, version });
    }

    /// Marks the documents to be checked again that may use one that has changed.
    fn changed(&mut self, key: &str) {
        for (other, opened) in &mut self.documents {
            let uses = opened.document.as_ref().is_some_and(Document::uses_files);
            opened.is_stale |= uses && other != key;
        }
    }

    fn check_all(&mut self) {
        let stale = self.documents.iter().filter(|(_, opened)| opened.is_stale);
        let stale: Vec<String> = stale.map(|(key, _)| key.clone()).collect();
        stale.iter().for_each(|key| self.check(key));
    }

    fn publish(&self, params: PublishDiagnosticsParams) {
        self.send(Notification::new(PublishDiagnostics::METHOD.into(), params).into());
    }

    /// Takes note of a notification; one that makes no sense is passed over, as the protocol wants.
    fn note(&mut self, notification: Notification) {
        if self.state != State::Running {
            return;
        }
        match notification.method.as_str() {
            DidOpenTextDocument::METHOD => {
                let Some(params) = noted::<DidOpenTextDocument>(notification) else { return };
                let new = params.text_document;
                let key = new.uri.as_str().to_owned();
                let opened = Opened {
                    uri: new.uri,
                    version: Some(new.version),
                    text: new.text,
                    document: None,
                    is_stale: true,
                };
                self.changed(&key);
                self.documents.insert(key, opened);
            }
            DidChangeTextDocument::METHOD => {
                let Some(params) = noted::<DidChangeTextDocument>(notification) else { return };
                let key = params.text_document.uri.as_str();
                let Some(opened) = self.documents.get_mut(key) else { return };
                for change in params.content_changes {
                    apply(&mut opened.text, change);
                }
                opened.version = Some(params.text_document.version);
                opened.is_stale = true;
                self.changed(key);
            }
            DidCloseTextDocument::METHOD => {
                let Some(params) = noted::<DidCloseTextDocument>(notification) else { return };
                let key = params.text_document.uri.as_str();
                if let Some(opened) = self.documents.remove(key) {
                    self.changed(key);
                    let (uri, diagnostics) = (opened.uri, Vec::new());
                    self.publish(PublishDiagnosticsParams { uri, diagnostics, version: None });
                }
            }
            _ => {}
        }
    }
}

/// The files on the disk, those that are open as they are in the editor.
struct Buffers<'s>(BTreeMap<String, &'s str>);

impl Loader for Buffers<'_> {
    fn load(&self, path: &str, from: &SourceFile) -> Result<SourceFile, Error> {
        let found = Folders.load(path, from);
        let name = match &found {
            Ok(source) => source.name.clone(),
            // It may be open and not yet saved.
            Err(_) => {
                let folder = Path::new(&from.name).parent().unwrap_or(Path::new(""));
                folder.join(path).display().to_string()
            }
        };
        let open = self.0.get(&self.identity(&SourceFile::new(name.as_str(), "")));
        match open {
            Some(text) => Ok(SourceFile::new(name, *text)),
            None => found,
        }
    }

    fn identity(&self, source: &SourceFile) -> String {
        Folders.identity(source)
    }

    fn candidates(&self, path: &str, from: &SourceFile) -> Vec<String> {
        Folders.candidates(path, from)
    }
}

/// What the file of a document is known by.
fn identity(key: &str) -> String {
    Folders.identity(&SourceFile::new(path(key), ""))
}

/// Applies a change. The server asks for whole texts; a range is understood all the same.
fn apply(text: &mut String, change: TextDocumentContentChangeEvent) {
    match change.range {
        None => *text = change.text,
        Some(range) => {
            let span = lsp::LineIndex::new(text).span(text, range);
            text.replace_range(span.range(), &change.text);
        }
    }
}

fn noted<N: lsp_types::notification::Notification>(
    notification: Notification,
) -> Option<N::Params> {
    serde_json::from_value(notification.params).ok()
}

fn decode<P: DeserializeOwned>(params: Value) -> Result<P, (i32, String)> {
    serde_json::from_value(params)
        .map_err(|error| (ErrorCode::InvalidParams as i32, error.to_string()))
}

fn encode(value: &impl serde::Serialize) -> Result<Value, (i32, String)> {
    serde_json::to_value(value)
        .map_err(|error| (ErrorCode::InternalError as i32, error.to_string()))
}

fn capabilities() -> InitializeResult {
    InitializeResult {
        capabilities: ServerCapabilities {
            position_encoding: Some(PositionEncodingKind::UTF16),
            text_document_sync: Some(TextDocumentSyncCapability::Options(
                TextDocumentSyncOptions {
                    open_close: Some(true),
                    change: Some(TextDocumentSyncKind::FULL),
                    ..TextDocumentSyncOptions::default()
                },
            )),
            hover_provider: Some(HoverProviderCapability::Simple(true)),
            completion_provider: Some(CompletionOptions {
                trigger_characters: Some(["?", "<", "("].map(String::from).to_vec()),
                ..CompletionOptions::default()
            }),
            definition_provider: Some(OneOf::Left(true)),
            code_action_provider: Some(CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![
                    CodeActionKind::QUICKFIX,
                    CodeActionKind::new(lsp::FIX_ALL),
                ]),
                ..CodeActionOptions::default()
            })),
            document_symbol_provider: Some(OneOf::Left(true)),
            document_formatting_provider: Some(OneOf::Left(true)),
            ..ServerCapabilities::default()
        },
        server_info: Some(ServerInfo {
            name: "cellc".into(),
            version: Some(env!("CARGO_PKG_VERSION").into()),
        }),
    }
}

/// The path of a document, which the paths of the files it uses are relative to; for a document that is
/// no file its URI.
fn path(uri: &str) -> String {
    let Some(encoded) = uri.strip_prefix("file://") else { return uri.to_owned() };
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let code = tail.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|_| uri.to_owned())
}

/// The URI of a path: the inverse of [`path`].
fn uri(path: &str) -> String {
    let mut uri = String::from("file://");
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                uri.push(byte.into());
            }
            _ => uri += &format!("%{byte:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::{path, uri};

    #[test]
    fn a_path_has_a_uri() {
        for text in ["/home/me/a b.cell", "/\u{e9}%20/x#y?.cell", "/a/../b.cell"] {
            assert_eq!(path(&uri(text)), text);
            assert!(uri(text).parse::<lsp_types::Uri>().is_ok(), "{text}");
        }
        assert_eq!(uri("/a b"), "file:///a%20b");
    }

    #[test]
    fn a_uri_of_a_file_is_its_path() {
        for (uri, expected) in [
            ("file:///home/me/a%20b.cell", "/home/me/a b.cell"),
            ("file:///%C3%A9.cell", "/\u{e9}.cell"),
            ("file:///100%", "/100%"),
            ("untitled:one", "untitled:one"),
        ] {
            assert_eq!(path(uri), expected);
        }
    }
}
