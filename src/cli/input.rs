//! Reading what the user names, and saying what is wrong with it.

use std::io::{self, IsTerminal};
use std::path::Path;

use cellc::compile::{self, Fault, Request};
use cellc::diagnostic::Diagnostics;
use cellc::diagnostic::render::{Style, render};
use cellc::error::Error;
use cellc::graph::lower::{Lowered, Scale};
use cellc::graph::{Graph, hash};
use cellc::ir::Module;
use cellc::link::{link, write_out};
use cellc::source::{Folders, SourceFile};
use cellc::syntax::{self, ast};
use cellc::train::Checkpoint;

use super::args::NetArgs;

/// Why a command ends with exit code 1.
pub enum Failure {
    /// Faults in a `.cell` file.
    Cells(Box<SourceFile>, Diagnostics),
    /// Anything else.
    Error(Box<Error>),
    /// An error with a way out.
    Hint(Error, &'static str),
    /// Standard output cannot be written.
    Output(io::Error),
    /// Already reported, or nothing to say beyond the exit code.
    Silent,
    /// The same with an exit code of the command's own.
    Exit(u8),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(Box::new(error))
    }
}

impl Failure {
    /// What the program exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::Exit(code) => *code,
            Failure::Cells(..)
            | Failure::Error(_)
            | Failure::Hint(..)
            | Failure::Output(_)
            | Failure::Silent => 1,
        }
    }

    /// Says on stderr what went wrong.
    pub fn report(&self) {
        match self {
            Failure::Cells(source, diagnostics) => {
                eprint!("{}", render(diagnostics, source, style()))
            }
            Failure::Error(error) => eprintln!("error: {error}"),
            Failure::Hint(error, hint) => eprintln!("error: {error}\n  = help: {hint}"),
            Failure::Output(error) => eprintln!("error: cannot write to standard output: {error}"),
            Failure::Silent | Failure::Exit(_) => {}
        }
    }
}

/// Colors where a person reads, as long as `NO_COLOR` is not set.
pub fn style() -> Style {
    let wants_color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wants_color && io::stderr().is_terminal() { Style::Ansi } else { Style::Plain }
}

/// A file that was read and checked.
pub struct Input {
    /// Its text.
    pub source: SourceFile,
    /// Its tree.
    pub file: ast::File,
    /// Its meaning.
    pub module: Module,
}

/// True for the name that stands for standard input.
pub fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

/// Reads standard input, whose `use`s are found from the current folder.
pub fn read_stdin() -> Result<SourceFile, Failure> {
    Ok(SourceFile::read_stream(Path::new("<stdin>"), io::stdin().lock())?)
}

/// Reads a file, or standard input for `-`; a name without folder that is no file may be one of the
/// library of cells.
pub fn read(path: &Path) -> Result<SourceFile, Failure> {
    if is_stdin(path) {
        return read_stdin();
    }
    if !path.exists() {
        let name = path.to_string_lossy();
        let known = [name.to_string(), format!("{name}.cell")];
        if let Some((name, text)) =
            known.iter().find_map(|name| Some((name, compile::embedded(name)?)))
        {
            return Ok(SourceFile::new(format!("<{name}>"), text));
        }
    }
    Ok(SourceFile::read(path)?)
}

/// Reads and checks a file.
pub fn load(path: &Path) -> Result<Input, Failure> {
    check(read(path)?)
}

/// The network that a checkpoint holds, as a file to compile: its cell, net, scale and data.
pub fn load_checkpoint(path: &Path) -> Result<(Input, Checkpoint), Failure> {
    let checkpoint = Checkpoint::read_metadata(path)?;
    let name = path.display().to_string();
    Ok((check(SourceFile::new(name, checkpoint.cell.as_str()))?, checkpoint))
}

/// True for a file of parameters, told by the ending.
pub fn is_checkpoint(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "safetensors")
}

/// Checks a source.
pub fn check(source: SourceFile) -> Result<Input, Failure> {
    match link(&source, &Folders) {
        Ok((file, module)) => Ok(Input { source, file, module }),
        Err(diagnostics) => Err(Failure::Cells(Box::new(source), diagnostics)),
    }
}

impl Input {
    /// The text of the file with what it uses of others written out, for a model of this network that is to be
    /// rebuilt from it.
    pub fn model_text(&self, request: &Request, graph: &Graph) -> Result<String, Failure> {
        let text = syntax::print(&write_out(&self.file, &self.module));
        let again = compile::check(&SourceFile::new("model.cell", text.as_str()))
            .map_err(Fault::from)
            .and_then(|module| compile::network(&module, request));
        match again {
            Ok(again) if hash::canonical(&again.graph) == hash::canonical(graph) => Ok(text),
            Ok(_) | Err(_) => Err(Failure::from(Error::Config {
                setting: "net",
                value: request.net.clone(),
                reason: "the used file that it stands in has cells that do not fit this file's at every \
                         scale, so that a model could not be rebuilt from its text; write the net and its \
                         cells into this file"
                    .into(),
            })),
        }
    }

    /// The net asked for, or the one that the file means.
    pub fn net<'a>(&'a self, args: &'a NetArgs) -> &'a str {
        args.net.as_deref().unwrap_or_else(|| self.module.default_net())
    }

    /// The scale asked for, or that of the file's first claim about this net.
    pub fn scale(&self, args: &NetArgs) -> Result<Scale, Failure> {
        let net = self.net(args);
        compile::net(&self.module, net)?;
        let claimed = || {
            let expect = self.module.expects.iter().find(|expect| expect.net.name == net)?;
            let (n, f) = (expect.scale.n.value as usize, expect.scale.f.value as usize);
            Some(Scale { n, f })
        };
        args.scale.or_else(claimed).ok_or_else(|| {
            Failure::from(Error::Config {
                setting: "scale",
                value: "missing".into(),
                reason: format!(
                    "`{}` claims nothing about net `{net}`; give a scale such as --scale 2@96",
                    self.source.name
                ),
            })
        })
    }

    /// The simplified network of a request.
    pub fn network(&self, request: &Request) -> Result<Lowered, Failure> {
        compile::network(&self.module, request).map_err(|fault| self.fault(fault))
    }

    /// A fault of compilation with the text it points into.
    pub fn fault(&self, fault: Fault) -> Failure {
        match fault {
            Fault::Cells(diagnostics) => Failure::Cells(Box::new(self.source.clone()), diagnostics),
            Fault::Request(error) => error.into(),
        }
    }
}
