//! Files that use each other, out of the fuzzer's bytes: definitions, cells or a space, nets and claims.

use std::io;

use arbitrary::Unstructured;
use cellc::error::Error;
use cellc::source::{Library, Loader, SourceFile};

use crate::writer::{Scope, Signature, Writer};

/// The most files, the last of which is the one that is compiled.
const MAX_FILES: usize = 3;

/// How deep expressions nest.
const DEPTH: usize = 5;

/// Some files in memory, beside the library of cells.
pub struct Files(Vec<SourceFile>);

/// What a file defines for those that use it.
#[derive(Clone, Default)]
struct Exports {
    statics: Vec<String>,
    ops: Vec<Signature>,
    cells: Vec<Cell>,
}

#[derive(Clone)]
struct Cell {
    name: String,
    params: Vec<(String, bool)>,
    inputs: usize,
}

impl Files {
    /// Writes the files that these bytes choose.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut bytes = Unstructured::new(bytes);
        let mut writer = Writer { bytes: &mut bytes };
        let count = 1 + writer.below(MAX_FILES);
        let mut files = Vec::new();
        let mut exports: Vec<Exports> = Vec::new();
        for number in 0..count {
            let mut file = FileWriter::new(&mut writer, number, number + 1 == count);
            let text = file.write(&exports);
            let file = file.exports;
            exports.push(file);
            files.push(SourceFile::new(file_name(number), text));
        }
        Files(files)
    }

    /// Every file.
    pub fn all(&self) -> &[SourceFile] {
        &self.0
    }

    /// The file that is compiled.
    pub fn main(&self) -> &SourceFile {
        self.0.last().expect("there is at least one file")
    }
}

fn file_name(number: usize) -> String {
    format!("f{number}.cell")
}

impl Loader for Files {
    fn load(&self, path: &str, from: &SourceFile) -> Result<SourceFile, Error> {
        match self.0.iter().find(|file| file.name == path) {
            Some(file) => Ok(file.clone()),
            None if from.name.starts_with('<') || !path.is_empty() => Library.load(path, from),
            None => Err(Error::Read { path: path.into(), source: io::ErrorKind::NotFound.into() }),
        }
    }

    fn candidates(&self, _: &str, _: &SourceFile) -> Vec<String> {
        self.0.iter().map(|file| file.name.clone()).collect()
    }
}

/// Writes one file.
struct FileWriter<'w, 'u, 'b> {
    writer: &'w mut Writer<'u, 'b>,
    number: usize,
    is_main: bool,
    /// What it can name: its own definitions and those of the files it uses.
    scope: Scope,
    cells: Vec<Cell>,
    nets: Vec<String>,
    exports: Exports,
}

impl<'w, 'u, 'b> FileWriter<'w, 'u, 'b> {
    fn new(writer: &'w mut Writer<'u, 'b>, number: usize, is_main: bool) -> Self {
        FileWriter {
            writer,
            number,
            is_main,
            scope: Scope::default(),
            cells: Vec::new(),
            nets: vec!["cifar".into(), "cifar".into(), "imagenet".into()],
            exports: Exports::default(),
        }
    }

    fn write(&mut self, others: &[Exports]) -> String {
        let mut items = Vec::new();
        self.uses(others, &mut items);
        for _ in 0..self.writer.below(3) {
            items.push(self.constant(false));
        }
        for _ in 0..self.writer.below(4) {
            items.push(self.op(false));
        }
        if self.is_main && self.writer.rarely(2) {
            items.push(self.space());
        } else {
            for item in 0..1 + self.writer.below(3) {
                items.push(self.cell(item));
            }
        }
        for _ in 0..self.writer.below(3) {
            items.push(self.net());
        }
        if self.writer.rarely(10) {
            items.push(self.expect());
        }
        if self.writer.rarely(30) {
            let (a, b) = (self.writer.below(items.len()), self.writer.below(items.len()));
            items.swap(a, b);
        }
        let mut text = String::new();
        for item in items {
            text += &item;
            text += self.writer.gap();
            text += "\n";
        }
        text
    }

    fn uses(&mut self, others: &[Exports], items: &mut Vec<String>) {
        for (number, exports) in others.iter().enumerate() {
            if self.writer.rarely(3) {
                continue;
            }
            items.push(format!("use \"{}\"", file_name(number)));
            self.scope.statics.extend(exports.statics.iter().cloned());
            self.scope.ops.extend(exports.ops.iter().cloned());
            self.cells.extend(exports.cells.iter().cloned());
        }
        match self.writer.below(60) {
            57 => items.push(format!("use \"{}\"", file_name(self.number))),
            58 => items.push(format!("use \"{}\"", file_name(self.number + 1))),
            50..57 => {
                // Without claims, whose proof takes longer than all the rest.
                let known = ["amoebanet.cell", "darts.cell", "enas.cell", "missing.cell"];
                items.push(format!("use \"{}\"", self.writer.choose(&known)));
            }
            _ => {}
        }
    }

    /// A name of this file, or now and then one that another file has too.
    fn name(&mut self, stem: &str, taken: usize) -> String {
        let is_shared = self.writer.rarely(4);
        let stem = if is_shared { stem.to_owned() } else { format!("{stem}{}_", self.number) };
        self.writer.fresh(&stem, taken)
    }

    fn constant(&mut self, has_holes: bool) -> String {
        let name = self.name("k", self.scope.statics.len());
        let scope = Scope { statics: self.scope.statics.clone(), has_holes, ..Scope::default() };
        // Most are numbers that a kernel can be.
        let value = match self.writer.below(3) {
            0 if has_holes => "?{ 3, 5: 2 }".to_owned(),
            0 | 1 => self.writer.choose(&["3", "5", "1", "7"]).to_owned(),
            _ => self.writer.value(&scope, 3),
        };
        self.scope.statics.push(name.clone());
        self.exports.statics.push(name.clone());
        format!("let {name} = {value}")
    }

    /// Attributes of a definition: as text, and which of them must be given.
    fn params(&mut self, scope: &mut Scope) -> (String, Vec<(String, bool)>) {
        let mut texts = Vec::new();
        let mut params = Vec::new();
        for at in 0..self.writer.below(4) {
            let name = self.writer.choose(&["k", "s", "r", "wide", "g"]).to_owned();
            let name = if at == 0 { name } else { format!("{name}{at}") };
            let is_needed = self.writer.rarely(3);
            texts.push(match is_needed {
                true => name.clone(),
                false => {
                    let default = self.writer.choose(&["3", "1", "stride", "c / 2", "c", "5"]);
                    format!("{name} = {default}")
                }
            });
            scope.statics.push(name.clone());
            params.push((name, is_needed));
        }
        let text = if texts.is_empty() { String::new() } else { format!("<{}>", texts.join(", ")) };
        (text, params)
    }

    fn op(&mut self, has_holes: bool) -> String {
        let name = match self.writer.below(20) {
            18 => "sep".to_owned(),
            19 => "id".to_owned(),
            _ => self.name("f", self.scope.ops.len()),
        };
        let mut scope = Scope { has_holes, ..self.scope.clone() };
        let (params_text, params) = self.params(&mut scope);
        let arity = 1 + self.writer.below(3).min(1 + usize::from(self.writer.rarely(4)));
        scope.tensors = ["x", "y", "z"][..arity].iter().map(|name| (*name).to_owned()).collect();
        let arguments = scope.tensors.join(", ");
        let header = format!("op {name}{params_text}({arguments})");
        let text = if self.writer.rarely(2) {
            format!("{header} {{{}}}", self.op_body(&mut scope))
        } else {
            format!("{header} ={}{}", self.writer.gap(), self.writer.expr(&scope, DEPTH))
        };
        let signature = Signature { name, params, arity };
        self.scope.ops.push(signature.clone());
        self.exports.ops.push(signature);
        text
    }

    fn op_body(&mut self, scope: &mut Scope) -> String {
        let mut text = String::new();
        for _ in 0..self.writer.below(4) {
            text += &self.statement(scope);
        }
        if self.writer.rarely(2) {
            for _ in 0..=self.writer.below(2) {
                let condition = self.writer.condition(scope, 3);
                text += &format!("\nwhen {condition} => {}", self.writer.expr(scope, DEPTH - 1));
            }
            if !self.writer.rarely(20) {
                text += &format!("\notherwise => {}", self.writer.expr(scope, DEPTH - 1));
            }
        } else {
            text += self.writer.gap();
            text += &self.writer.expr(scope, DEPTH);
        }
        text + "\n"
    }

    /// A condition, a constant or a binding.
    fn statement(&mut self, scope: &mut Scope) -> String {
        match self.writer.below(6) {
            4 => {
                let condition = self.writer.condition(scope, 3);
                let named = scope.statics.last().cloned().unwrap_or_else(|| "c".into());
                let message = ["", " : \"a message\"", " : \"found {k}\""][self.writer.below(3)];
                // Most conditions hold.
                let condition = match self.writer.rarely(4) {
                    true => condition,
                    false => format!("{named} >= 0 or ({condition})"),
                };
                format!("\nrequire {condition}{message}")
            }
            5 => {
                let name = self.writer.fresh("v", scope.statics.len());
                let value = self.writer.value(scope, 3);
                scope.statics.push(name.clone());
                format!("\nlet {name} = {value}")
            }
            _ => {
                let name = self.writer.fresh("b", scope.tensors.len());
                let value = self.writer.expr(scope, DEPTH);
                scope.tensors.push(name.clone());
                scope.has_earlier |= scope.is_cell && scope.has_holes;
                format!("\n{name}{}= {value}", self.writer.gap())
            }
        }
    }

    /// The `at`-th cell of the file.
    fn cell(&mut self, at: usize) -> String {
        let name = match at {
            0 => "normal".to_owned(),
            1 => "reduction".to_owned(),
            _ => self.name("cell", at),
        };
        let stride = match at {
            1 => [" stride 2", "", " stride 3"][self.writer.below(3)],
            _ => ["", "", " stride 2"][self.writer.below(3)],
        };
        let known: Vec<Cell> = self.cells.clone();
        if !known.is_empty() && self.writer.rarely(3) {
            let other = known[self.writer.below(known.len())].clone();
            let attributes = self.writer.attributes(&other.params, &self.scope);
            let inputs = ["h", "prev", "h3"][..other.inputs].join(", ");
            let cell = Cell { name: name.clone(), params: Vec::new(), inputs: other.inputs };
            self.cells.push(cell.clone());
            self.exports.cells.push(cell);
            return format!("cell {name}({inputs}){stride} = {}{attributes}", other.name);
        }
        let mut scope = Scope { is_cell: true, ..self.scope.clone() };
        let (params_text, params) = match self.writer.rarely(4) {
            true => self.params(&mut scope),
            false => (String::new(), Vec::new()),
        };
        let inputs = [2, 1, 3][self.writer.below(3)];
        let names = &["h", "prev", "h3"][..inputs];
        let header = format!("cell {name}{params_text}({}){stride}", names.join(", "));
        let mut text = header + " {";
        // Inputs brought to one size and width, as in published cells; now and then used as they are.
        let is_raw = self.writer.rarely(10);
        for (input, adapted) in names.iter().zip(["a", "b", "d"]) {
            if is_raw {
                scope.tensors.push((*input).to_owned());
            } else {
                let by = if *input == "h" { "squeeze" } else { "fit" };
                text += &format!("\n{adapted} = {by}({input})");
                scope.tensors.push(adapted.to_owned());
                scope.has_earlier |= scope.has_holes;
            }
        }
        for _ in 0..self.writer.below(5) {
            text += &self.statement(&mut scope);
        }
        if self.writer.rarely(4) {
            let count = self.writer.choose(&["2", "5", "1", "20"]);
            text += &format!("\nrepeat {count} as n {{ {} }}", self.writer.expr(&scope, DEPTH));
        }
        text += &self.out(&scope, inputs);
        let cell = Cell { name, params, inputs };
        self.cells.push(cell.clone());
        self.exports.cells.push(cell);
        text + "\n}"
    }

    fn out(&mut self, scope: &Scope, inputs: usize) -> String {
        match self.writer.below(8) {
            0..3 => "\nout concat(unused)".to_owned(),
            3..5 => {
                let parts = self.writer.list(4, |writer| writer.expr(scope, 2));
                format!("\nout concat({parts})")
            }
            5 if inputs > 1 => {
                let first = self.writer.expr(scope, 2);
                format!("\nout {first}, {} to {inputs}", self.writer.expr(scope, 2))
            }
            6 => format!("\nout {} |> {}", self.writer.expr(scope, 2), self.writer.stage(scope, 2)),
            _ => format!("\nout {}", self.writer.expr(scope, DEPTH - 1)),
        }
    }

    fn space(&mut self) -> String {
        let outside = self.scope.clone();
        let mut text = "space s {".to_owned();
        for _ in 0..self.writer.below(3) {
            text += "\n";
            text += &self.constant(true);
        }
        self.scope.has_holes = true;
        for at in 0..self.writer.below(3) {
            let options = self.writer.list(5, |writer| {
                let option = writer.stage(&self.scope, 2);
                if writer.rarely(8) { format!("{option}: 3") } else { option }
            });
            let name = format!("ops{at}");
            text += &format!("\n{name} = {{ {options} }}");
            self.scope.sets.push(name);
        }
        for _ in 0..self.writer.below(2) {
            text += "\n";
            text += &self.op(true);
        }
        if self.writer.rarely(4) {
            let scale = self.writer.choose(&["1@24", "2@48", "6@768"]);
            let cost = self.writer.choose(&["params", "macs", "params_with_aux"]);
            let net = self.writer.choose(&["cifar", "imagenet", "net0"]);
            let bound = self.writer.value(&Scope::default(), 2);
            let condition = match self.writer.rarely(2) {
                true => format!("{cost}({net} {scale}) <= {bound}"),
                false => {
                    let statics = self.scope.statics.clone();
                    self.writer.condition(&Scope { statics, ..Scope::default() }, 3)
                }
            };
            text += &format!("\nrequire {condition}");
        }
        for at in 0..1 + self.writer.below(3) {
            text += "\n";
            text += &self.cell(at);
        }
        // What stands in a space is nobody else's.
        self.scope = outside;
        text + "\n}"
    }

    fn net(&mut self) -> String {
        let name = format!("net{}", self.nets.len() - 3);
        let mut scope =
            Scope { statics: vec!["N".into(), "F".into(), "base".into()], ..Scope::default() };
        let mut text = format!("net {name}<N, F> {{");
        let image = self.writer.choose(&["32x32x3", "", "8x8x1", "224x224x3", "1x1x1", "33x7x2"]);
        if !image.is_empty() {
            text += &format!("\ninput {image}");
        }
        if self.writer.rarely(3) {
            text += &format!("\nclasses {}", self.writer.choose(&["10", "1", "1000", "0"]));
        }
        if self.writer.rarely(4) {
            let value = self.writer.value(&scope, 3);
            scope.statics.push("rest".into());
            text += &format!("\nlet rest = {value}");
        }
        let stem = self.writer.choose(&[
            "conv<3, out = base> |> bn",
            "conv<3, 2, out = 3 * base> |> bn",
            "conv_bn<3>",
            "relu",
            "conv<3, out = 32, pad = valid>",
        ]);
        text += &format!("\nstem {stem}");
        for _ in 0..self.writer.below(2) {
            text += &format!(" |> {}", self.writer.stage(&self.scope, 1));
        }
        text += "\nstack ";
        text += &self.entries(&scope, 2);
        let head = self.writer.choose(&[
            "relu |> gap |> dropout",
            "gap",
            "relu |> conv<full, out = 8, pad = valid>",
        ]);
        text += &format!("\nhead {head} |> dense<classes>");
        if self.writer.rarely(4) {
            let stage = self.writer.choose(&["1", "2", "3", "0"]);
            text += &format!("\naux after stage {stage} {{ relu |> gap |> dense<classes> }}");
        }
        self.nets.push(name);
        text + "\n}"
    }

    fn entries(&mut self, scope: &Scope, depth: usize) -> String {
        let mut texts = Vec::new();
        for _ in 0..1 + self.writer.below(4) {
            let times = match self.writer.below(6) {
                0..2 => String::new(),
                2 | 3 => "N * ".to_owned(),
                4 => format!("{} * ", self.writer.choose(&["1", "2", "3", "0", "40"])),
                _ => format!("({}) * ", self.writer.value(scope, 3)),
            };
            texts.push(if depth > 1 && self.writer.rarely(5) {
                let times = if times.is_empty() { "2 * " } else { &times };
                format!("{times}({})", self.entries(scope, depth - 1))
            } else {
                format!("{times}{}", self.entry(scope))
            });
        }
        texts.join(&format!(",{}", self.writer.gap()))
    }

    fn entry(&mut self, scope: &Scope) -> String {
        if self.cells.is_empty() {
            return "normal".to_owned();
        }
        let cell = self.cells[self.writer.below(self.cells.len())].clone();
        let skip = if self.writer.rarely(8) { "skip " } else { "" };
        let attributes = self.writer.attributes(&cell.params, scope);
        let stride = ["", "", "", "", " stride 2"][self.writer.below(5)];
        let width = match self.writer.below(8) {
            5 => " * 2".to_owned(),
            6 => " at base / 2".to_owned(),
            7 => format!(" at {}", self.writer.value(scope, 2)),
            _ => String::new(),
        };
        format!("{skip}{}{attributes}{stride}{width}", cell.name)
    }

    /// A claim, which rarely holds.
    fn expect(&mut self) -> String {
        let nets = self.nets.clone();
        let net = &nets[self.writer.below(nets.len())];
        let scale = self.writer.choose(&["1@24", "2@96", "6@768", "1@7", "200@65536"]);
        let on = self.writer.choose(&["", "", " on 16x16x3", " on 331x331x3"]);
        let count =
            self.writer.choose(&["params", "macs", "params_with_aux", "params_with_statistics"]);
        format!("expect {net} {scale}{on} {{ {count} 1 }}")
    }
}
