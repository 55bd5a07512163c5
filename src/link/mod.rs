//! Files that use other files: each is compiled once, alone, before those that use it.
//!
//! `world` grows by the definitions of one file after the other, so that indices stay what they are; what
//! a file sees of it is told by [`Module::sees`]. A file that cannot be used is a fault at the `use`, and a
//! file whose faults were told at one `use` is not told about again at another.

mod write_out;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;

pub use write_out::write_out;

use crate::check;
use crate::compile::{self, PRELUDE};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, suggest};
use crate::error::Error;
use crate::ir::{Module, Origin, UsedFile};
use crate::source::{Loader, MAX_SOURCE_BYTES, SourceFile, Span};
use crate::syntax;
use crate::syntax::ast::{self, Item, SpaceItem, Use};

/// The longest chain of files each of which uses the next.
const MAX_DEPTH: usize = 32;

/// The most files that a file may use, through others as well.
const MAX_FILES: usize = 256;

/// The most bytes of all files that a file uses, through others as well.
const MAX_BYTES: u64 = MAX_SOURCE_BYTES;

/// How many names of a clash are written out.
const SHOWN_NAMES: usize = 4;

/// Parses and checks a file and those that it uses.
///
/// # Errors
/// Everything that is wrong with its text, and what is wrong with a used file at the `use` of it.
pub fn link(source: &SourceFile, loader: &dyn Loader) -> Result<(ast::File, Module), Diagnostics> {
    let file = syntax::parse(source)?;
    if !file.items.iter().any(|item| matches!(item, Item::Use(_))) {
        let module = check::check(&file, compile::prelude())?;
        return Ok((file, module));
    }
    let name = source.name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let mut linker = Linker {
        loader,
        world: compile::prelude().clone(),
        done: BTreeMap::new(),
        open: vec![(loader.identity(source), name)],
        bytes: 0,
    };
    let module = match linker.check(source, &file) {
        Ok(module) => module,
        Err(Stop::Faults(faults) | Stop::Uses { faults, .. }) => return Err(faults),
    };
    Ok((file, module))
}

struct Linker<'l> {
    loader: &'l dyn Loader,
    /// The definitions of the prelude and of all files linked so far.
    world: Module,
    /// Every file that was read, by identity: its index, or why there is none.
    done: BTreeMap<String, Result<usize, Vec<Failure>>>,
    /// The files being read, each used by the one before it: identity and name.
    open: Vec<(String, String)>,
    bytes: u64,
}

/// Why a file cannot be used.
#[derive(Clone, Debug)]
struct Failure {
    /// The file that is at fault, by identity and by name.
    file: (String, String),
    /// What is wrong with it.
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// So many faults, the first with its place.
    Faults(usize, String),
    /// It holds a space that the rest of it leans on.
    LeansOnSpace(String),
    /// It is one of a circle of files.
    Circle(String),
}

/// Why a file has no meaning.
enum Stop {
    /// Its text has faults.
    Faults(Diagnostics),
    /// Some of its uses fail, `own` of them by its own fault.
    Uses { faults: Diagnostics, own: usize, others: Vec<Failure> },
}

impl From<Diagnostics> for Stop {
    fn from(faults: Diagnostics) -> Self {
        Stop::Faults(faults)
    }
}

impl Linker<'_> {
    /// Checks a parsed file after linking what it uses.
    fn check(&mut self, source: &SourceFile, file: &ast::File) -> Result<Module, Stop> {
        let sees = self.uses(source, file)?;
        Ok(check::check(file, &Module { sees, ..self.world.clone() })?)
    }

    /// Links every file that `file` uses; gives those whose definitions it sees.
    fn uses(&mut self, source: &SourceFile, file: &ast::File) -> Result<BTreeSet<usize>, Stop> {
        let mut faults = Vec::new();
        let (mut own, mut others) = (0, Vec::<Failure>::new());
        let mut sees = BTreeSet::new();
        let mut used_at: BTreeMap<String, Span> = BTreeMap::new();
        let mut direct = Vec::new();
        for item in &file.items {
            let Item::Use(used) = item else { continue };
            let found = match self.loader.load(&used.path.text, source) {
                Ok(found) => found,
                Err(error) => {
                    faults.push(self.unreadable(used, source, &error));
                    own += 1;
                    continue;
                }
            };
            let identity = self.loader.identity(&found);
            if PRELUDE.iter().any(|name| identity == format!("<{name}>")) {
                // Every file sees it as it is.
                continue;
            }
            if let Some(&first) = used_at.get(&identity) {
                faults.push(
                    Diagnostic::new(
                        Code::DuplicateName,
                        used.span,
                        format!("`{}` is used twice", used.path.text),
                    )
                    .also(first, "first used here")
                    .note("remove one of the uses"),
                );
                own += 1;
                continue;
            }
            used_at.insert(identity.clone(), used.span);
            match self.file(&found, &identity, used) {
                Ok(index) => {
                    sees.extend(&self.world.used[index].sees);
                    direct.push((used, index));
                }
                Err(Refused::TooLarge(fault)) => {
                    faults.push(fault);
                    own += 1;
                }
                Err(Refused::Failed(failures)) => {
                    let is_new = |failure: &&Failure| {
                        !others.iter().any(|known| known.file.0 == failure.file.0)
                    };
                    let new: Vec<Failure> = failures.iter().filter(is_new).cloned().collect();
                    faults.extend(
                        new.first().map(|failure| failure.at(used, failure.file.0 == identity)),
                    );
                    others.extend(new);
                }
            }
        }
        if faults.is_empty() {
            self.clashes(file, &direct, &mut faults);
            own = faults.len();
        }
        match Diagnostics::or(faults, sees) {
            Ok(sees) => Ok(sees),
            Err(faults) => Err(Stop::Uses { faults, own, others }),
        }
    }

    /// Links one used file, unless it was before.
    fn file(&mut self, source: &SourceFile, identity: &str, used: &Use) -> Result<usize, Refused> {
        if let Some(at) = self.open.iter().position(|(open, _)| open == identity) {
            let names: Vec<String> =
                self.open[at..].iter().map(|(_, name)| format!("`{name}`")).collect();
            let circle = match names.as_slice() {
                [only] => format!("{only} uses itself"),
                _ => format!("{} uses {}", names.join(" uses "), names[0]),
            };
            let file = self.open[at].clone();
            return Err(Refused::Failed(vec![Failure { file, what: What::Circle(circle) }]));
        }
        if let Some(done) = self.done.get(identity) {
            return done.clone().map_err(Refused::Failed);
        }
        self.bytes = self.bytes.saturating_add(source.text.len() as u64);
        let too_large = [
            (self.open.len() > MAX_DEPTH, format!("more than {MAX_DEPTH} files use each the next")),
            (self.done.len() >= MAX_FILES, format!("more than {MAX_FILES} files are used")),
            (self.bytes > MAX_BYTES, format!("the used files have more than {MAX_BYTES} bytes")),
        ];
        if let Some((_, message)) = too_large.into_iter().find(|(is_so, _)| *is_so) {
            let fault = Diagnostic::new(Code::TooLarge, used.path.span, message);
            return Err(Refused::TooLarge(fault.note("put definitions into fewer files")));
        }
        let name = used.path.text.clone();
        self.open.push((identity.to_owned(), name.clone()));
        let linked = self.link(source, &name, identity);
        self.open.pop();
        self.done.insert(identity.to_owned(), linked.clone());
        linked.map_err(Refused::Failed)
    }

    /// Compiles a used file alone and adds its definitions to the world.
    fn link(
        &mut self,
        source: &SourceFile,
        name: &str,
        identity: &str,
    ) -> Result<usize, Vec<Failure>> {
        let file = (identity.to_owned(), name.to_owned());
        let faulty = |faults: Diagnostics, count| {
            let first = place(name, source, &faults);
            vec![Failure { file: file.clone(), what: What::Faults(count, first) }]
        };
        let mut tree = syntax::parse(source).map_err(|faults| {
            let count = faults.count();
            faulty(faults, count)
        })?;
        let mut module = self.check(source, &tree).map_err(|stop| match stop {
            Stop::Uses { own: 0, others, .. } => others,
            Stop::Uses { faults, own, .. } => faulty(faults, own),
            Stop::Faults(faults) => {
                let count = faults.count();
                faulty(faults, count)
            }
        })?;
        tree.items.retain(|item| !matches!(item, Item::Expect(_)));
        if module.space.is_some() {
            // Holes belong to the file that is searched.
            tree.items.retain(|item| !matches!(item, Item::Space(_)));
            let before = Module { sees: module.sees.clone(), ..self.world.clone() };
            module = check::check(&tree, &before).map_err(|faults| {
                let first = place(name, source, &faults);
                vec![Failure { file: file.clone(), what: What::LeansOnSpace(first) }]
            })?;
        }
        Ok(self.add(name, tree, module))
    }

    /// Adds what a checked file defines.
    fn add(&mut self, name: &str, file: ast::File, module: Module) -> usize {
        let index = self.world.used.len();
        let is_own = |origin: &mut Origin| {
            let is_own = *origin == Origin::Own;
            if is_own {
                *origin = Origin::Used(index);
            }
            is_own
        };
        let Module { constants, ops, cells, nets, mut sees, .. } = module;
        (self.world.constants, self.world.ops) = (constants, ops);
        self.world.constants.iter_mut().for_each(|constant| {
            is_own(&mut constant.origin);
        });
        self.world.ops.iter_mut().for_each(|op| {
            is_own(&mut op.origin);
        });
        self.world.cells.extend(
            cells.into_iter().filter_map(|mut cell| is_own(&mut cell.origin).then_some(cell)),
        );
        self.world
            .nets
            .extend(nets.into_iter().filter_map(|mut net| is_own(&mut net.origin).then_some(net)));
        sees.insert(index);
        self.world.used.push(UsedFile { name: name.to_owned(), file: Arc::new(file), sees });
        index
    }

    /// What a used file offers: for each kind of definition and name, where the nearest stands.
    fn offers(&self, index: usize) -> BTreeMap<(&'static str, &str), usize> {
        let sees = &self.world.used[index].sees;
        let mut offers = BTreeMap::new();
        let mut offer = |kind, name, origin| {
            if let Origin::Used(file) = origin
                && sees.contains(&file)
            {
                offers.insert((kind, name), file);
            }
        };
        let Module { constants, ops, cells, nets, .. } = &self.world;
        ops.iter().for_each(|op| offer("operation", op.name.name.as_str(), op.origin));
        constants.iter().for_each(|one| offer("constant", one.name.name.as_str(), one.origin));
        cells.iter().for_each(|cell| offer("cell", cell.name.name.as_str(), cell.origin));
        nets.iter().for_each(|net| offer("net", net.name.name.as_str(), net.origin));
        offers
    }

    /// Reports names that two used files define differently and that the file itself does not define.
    fn clashes(&self, file: &ast::File, direct: &[(&Use, usize)], faults: &mut Vec<Diagnostic>) {
        let own = defined(file);
        let mut seen: BTreeMap<(&str, &str), (usize, &Use)> = BTreeMap::new();
        for (used, index) in direct {
            let mut clashing: BTreeMap<usize, (&Use, Vec<String>)> = BTreeMap::new();
            for ((kind, name), from) in self.offers(*index) {
                if own.contains(&(kind, name)) {
                    continue;
                }
                let (first, first_use) = *seen.entry((kind, name)).or_insert((from, used));
                if first != from {
                    let at = first_use.span.start;
                    let (_, names) = clashing.entry(at).or_insert((first_use, Vec::new()));
                    names.push(format!("{kind} `{name}`"));
                }
            }
            for (first, names) in clashing.into_values() {
                let more = names.len().saturating_sub(SHOWN_NAMES);
                let mut list = names[..names.len() - more].join(", ");
                if more > 0 {
                    list += &format!(" and {more} more");
                }
                let (a, b) = (&first.path.text, &used.path.text);
                faults.push(
                    Diagnostic::new(
                        Code::ClashingUses,
                        used.path.span,
                        format!("`{a}` and `{b}` both define {list}"),
                    )
                    .also(first.path.span, "the other use")
                    .note("define what is meant in this file, or rename it in one of the others"),
                );
            }
        }
    }

    fn unreadable(&self, used: &Use, source: &SourceFile, error: &Error) -> Diagnostic {
        let path = used.path.text.as_str();
        let fault = |message: String| Diagnostic::new(Code::NoUsedFile, used.path.span, message);
        let is_missing = matches!(error, Error::Read { source, .. }
            if source.kind() == io::ErrorKind::NotFound);
        if !is_missing {
            let reason = match error {
                Error::Read { source, .. } => source.to_string(),
                Error::SourceTooLarge { bytes, limit, .. } => {
                    format!("it has {bytes} bytes, at most {limit} are read")
                }
                Error::NotUtf8 { offset, .. } => {
                    format!("it is not UTF-8 text: bad byte at offset {offset}")
                }
                other => other.to_string(),
            };
            return fault(format!("cannot read `{path}`: {reason}"))
                .note("a `use` names a `.cell` file");
        }
        let candidates = self.loader.candidates(path, source);
        let missing = fault(format!("there is no file `{path}`"));
        match suggest::nearest(path, candidates.iter().map(String::as_str)) {
            Some(near) => {
                let with = format!("\"{near}\"");
                missing.replace(used.path.span, with, "a file with a similar name exists")
            }
            None => missing.note(
                "a path is relative to the folder of this file, or names one of the library of cells",
            ),
        }
    }
}

enum Refused {
    TooLarge(Diagnostic),
    Failed(Vec<Failure>),
}

impl Failure {
    /// The fault of a `use` that comes to it.
    fn at(&self, used: &Use, is_used_one: bool) -> Diagnostic {
        let (path, file) = (&used.path.text, &self.file.1);
        let subject = if is_used_one { "it".into() } else { format!("`{file}`, which it needs,") };
        let fault =
            |message: String| Diagnostic::new(Code::FaultyUsedFile, used.path.span, message);
        match &self.what {
            What::Circle(circle) => Diagnostic::new(
                Code::CyclicDefinition,
                used.path.span,
                "files use each other in a circle",
            )
            .label(circle.clone())
            .note("move what they share to a file that uses none of them"),
            What::Faults(count, first) => {
                let has = if *count == 1 { "a fault".into() } else { format!("{count} faults") };
                let which = if *count == 1 { "it is" } else { "the first of them is" };
                fault(format!("cannot use `{path}`: {subject} has {has}"))
                    .note(format!("{which} {first}"))
            }
            What::LeansOnSpace(first) => {
                fault(format!("cannot use `{path}`: {subject} does not compile without its space"))
                    .note(format!("holes are not used by other files, and without them {first}"))
            }
        }
    }
}

/// The first of the faults in one line, with its place.
fn place(name: &str, source: &SourceFile, faults: &Diagnostics) -> String {
    let first = faults.iter().next().expect("diagnostics are never empty");
    let (line, column) = source.line_col(first.primary.span.start);
    format!("{name}:{line}:{column}: {}: {}", first.code, first.message)
}

/// What a file itself defines, by kind and name.
fn defined(file: &ast::File) -> BTreeSet<(&'static str, &str)> {
    let mut own = BTreeSet::new();
    for item in &file.items {
        match item {
            Item::Constant(one) => {
                own.insert(("constant", one.name.name.as_str()));
            }
            Item::Op(op) => {
                own.insert(("operation", op.name.name.as_str()));
            }
            Item::Cell(cell) => {
                own.insert(("cell", cell.name.name.as_str()));
            }
            Item::Net(net) => {
                own.insert(("net", net.name.name.as_str()));
            }
            Item::Space(space) => own.extend(space.items.iter().filter_map(|item| match item {
                SpaceItem::Constant(one) => Some(("constant", one.name.name.as_str())),
                SpaceItem::Op(op) => Some(("operation", op.name.name.as_str())),
                SpaceItem::Cell(cell) => Some(("cell", cell.name.name.as_str())),
                SpaceItem::Require(_) | SpaceItem::Options { .. } => None,
            })),
            Item::Use(_) | Item::Expect(_) => {}
        }
    }
    own
}
