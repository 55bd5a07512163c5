//! Files that use other files: each is compiled once, alone, before those that use it.
//!
//! `world` grows by the definitions of one file after the other, so that indices stay what they are; what
//! a file sees of it is told by [`Module::sees`]. It is lent to each file rather than copied. A file that cannot be used is a fault at the `use`, and a
//! file whose faults were told at one `use` is not told about again at another.

mod clash;
mod fault;
mod write_out;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use write_out::write_out;

use self::clash::clashes;
use self::fault::{Failure, What, place, unreadable};
use crate::check;
use crate::compile::{self, PRELUDE};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Stage};
use crate::ir::{Module, Origin, UsedFile};
use crate::source::{Loader, MAX_SOURCE_BYTES, SourceFile, Span};
use crate::syntax;
use crate::syntax::ast::{self, Item, Use};

/// The longest chain of files each of which uses the next.
pub(crate) const MAX_DEPTH: usize = 32;

/// The most files that a file may use, through others as well.
pub(crate) const MAX_FILES: usize = 256;

/// The most bytes of all files that a file uses, through others as well.
const MAX_BYTES: u64 = MAX_SOURCE_BYTES;

/// Parses and checks a file and those that it uses.
///
/// # Errors
/// Everything that is wrong with its text, and what is wrong with a used file at the `use` of it.
pub fn link(source: &SourceFile, loader: &dyn Loader) -> Result<(ast::File, Module), Diagnostics> {
    let file = syntax::parse(source)?;
    let module = check_parsed(source, &file, loader)?;
    Ok((file, module))
}

/// Checks a file that is parsed, and parses and checks those that it uses.
///
/// # Errors
/// As [`link`].
pub fn check_parsed(
    source: &SourceFile,
    file: &ast::File,
    loader: &dyn Loader,
) -> Result<Module, Diagnostics> {
    if !file.items.iter().any(|item| matches!(item, Item::Use(_))) {
        return check::check(file, compile::prelude());
    }
    let name = source.name.rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
    let mut linker = Linker {
        loader,
        world: compile::prelude().clone(),
        done: BTreeMap::new(),
        open: vec![(loader.identity(source), name)],
        bytes: 0,
    };
    linker.check(source, file).map_err(|stop| match stop {
        Stop::Faults(faults) | Stop::Uses { faults, .. } => faults,
    })
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
    /// Checks a parsed file after linking what it uses. The module takes the operations, constants and
    /// files of the world over; [`Linker::add`] gives them back.
    fn check(&mut self, source: &SourceFile, file: &ast::File) -> Result<Module, Stop> {
        let sees = self.uses(source, file)?;
        Ok(self.check_alone(file, sees)?)
    }

    /// Checks a file that sees these, and leaves the world as it was if there are faults.
    fn check_alone(
        &mut self,
        file: &ast::File,
        sees: BTreeSet<usize>,
    ) -> Result<Module, Diagnostics> {
        let world = &mut self.world;
        let is_seen = |origin: Origin| match origin {
            Origin::Prelude | Origin::Own => true,
            Origin::Used(index) => sees.contains(&index),
        };
        let mut module = Module {
            constants: std::mem::take(&mut world.constants),
            ops: std::mem::take(&mut world.ops),
            cells: world.cells.iter().filter(|cell| is_seen(cell.origin)).cloned().collect(),
            nets: world.nets.iter().filter(|net| is_seen(net.origin)).cloned().collect(),
            used: std::mem::take(&mut world.used),
            sees,
            space: None,
            expects: Vec::new(),
        };
        match check::check_onto(file, &mut module) {
            Ok(()) => Ok(module),
            Err(faults) => {
                self.take_back(module);
                Err(faults)
            }
        }
    }

    /// Gives the world back what a module took, without what the module's own file defines.
    fn take_back(&mut self, module: Module) {
        let Module { mut constants, mut ops, used, .. } = module;
        constants.retain(|constant| constant.origin != Origin::Own);
        ops.retain(|op| op.origin != Origin::Own);
        (self.world.constants, self.world.ops, self.world.used) = (constants, ops, used);
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
                    faults.push(unreadable(self.loader, used, source, &error));
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
                    .replace(
                        source.with_line(used.span),
                        "",
                        "remove one of the uses",
                    ),
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
                        new.first()
                            .map(|failure| failure.at(used, source, failure.file.0 == identity)),
                    );
                    others.extend(new);
                }
            }
        }
        if faults.is_empty() {
            clashes(&self.world, file, &direct, &mut faults);
            own = faults.len();
        }
        match Diagnostics::or(Stage::Uses, faults, sees) {
            Ok(sees) => Ok(sees),
            Err(faults) => Err(Stop::Uses { faults, own, others }),
        }
    }

    /// Links one used file, unless it was before.
    fn file(&mut self, source: &SourceFile, identity: &str, used: &Use) -> Result<usize, Refused> {
        if let Some(at) = self.open.iter().position(|(open, _)| open == identity) {
            let names = self.open[at..].iter().map(|(_, name)| format!("`{name}`")).collect();
            let file = self.open[at].clone();
            return Err(Refused::Failed(vec![Failure { file, what: What::Circle(names) }]));
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
            let sees = module.sees.clone();
            self.take_back(module);
            module = self.check_alone(&tree, sees).map_err(|faults| {
                let first = place(name, source, &faults);
                vec![Failure { file: file.clone(), what: What::LeansOnSpace(first) }]
            })?;
        }
        Ok(self.add(name, tree, module))
    }

    /// Adds what a checked file defines.
    fn add(&mut self, name: &str, file: ast::File, module: Module) -> usize {
        let index = module.used.len();
        let is_own = |origin: &mut Origin| {
            let is_own = *origin == Origin::Own;
            if is_own {
                *origin = Origin::Used(index);
            }
            is_own
        };
        let Module { constants, ops, cells, nets, used, mut sees, .. } = module;
        (self.world.constants, self.world.ops, self.world.used) = (constants, ops, used);
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
}

enum Refused {
    TooLarge(Diagnostic),
    Failed(Vec<Failure>),
}
