//! A file that needs no other: what it reaches of the files it uses, written out in place of its `use`s.
//!
//! Names stay what they are as long as the file means the same by them. A definition that the file
//! hides, or that another one hides from it, gets a name that stands nowhere else in the text.

use std::collections::{BTreeMap, BTreeSet};

use super::clash::named;
use crate::check::{self, alias};
use crate::compile::{self, PRELUDE};
use crate::ir::{Module, Net, OpId, Origin, Primitive, Scopes, StackedCell};
use crate::source::SourceFile;
use crate::syntax;
use crate::syntax::ast::{Cell, CellBody, CellStmt, File, Item, SpaceItem};
use crate::syntax::rename::{Mover, NewNames};

/// `file`, which means `module` or is made of the parts of a file that does, as a file that compiles
/// alone anywhere to the same networks.
///
/// What is written out is what the items of the file reach, and with their cells the used nets that are
/// claimed about or that fit the cells they find: a file's own nets are checked with its cells, used ones
/// only if somebody asks for them. Comments are kept only if nothing had to be written out.
pub fn write_out(file: &File, module: &Module) -> File {
    if !file.items.iter().any(|item| matches!(item, Item::Use(_))) {
        return file.clone();
    }
    let claimed: BTreeSet<&str> =
        module.expects.iter().map(|expect| expect.net.name.as_str()).collect();
    let foreign = module.nets.iter().filter(|net| {
        let is_seen = module.net(&net.name.name) == Some(net);
        net.origin.is_foreign() && is_seen && module.completes(net)
    });
    let (claimed, others): (BTreeSet<&str>, BTreeSet<&str>) = foreign
        .filter(|net| matches!(net.origin, Origin::Used(_)) || stacks_used(net, module))
        .map(|net| net.name.name.as_str())
        .partition(|net| claimed.contains(net));
    if others.is_empty() {
        return with_nets(file, module, &claimed);
    }
    let is_claim = |item: &Item| matches!(item, Item::Expect(_));
    let unclaimed = File {
        items: file.items.iter().filter(|item| !is_claim(item)).cloned().collect(),
        ..File::default()
    };
    let others: Vec<&str> = others.into_iter().collect();
    let fitting = fitting(&others, &|nets| {
        let with_them = with_nets(&unclaimed, module, &nets.iter().copied().collect());
        check::check(&with_them, compile::prelude()).is_ok()
    });
    with_nets(file, module, &fitting.into_iter().chain(claimed).collect())
}

/// Those of `nets` that the file passes with, in order. Asking takes a check of all that is written out, so
/// they are asked about together, and apart only where that fails.
fn fitting<'n>(nets: &[&'n str], passes_with: &impl Fn(&[&'n str]) -> bool) -> Vec<&'n str> {
    if nets.is_empty() || passes_with(nets) {
        return nets.to_vec();
    }
    let [_, _, ..] = nets else { return Vec::new() };
    let (left, right) = nets.split_at(nets.len() / 2);
    [fitting(left, passes_with), fitting(right, passes_with)].concat()
}

/// True for a net that finds cells of used files.
fn stacks_used(net: &Net, module: &Module) -> bool {
    let is_used = |entry: &StackedCell| {
        module.cell(&entry.cell.name).is_some_and(|cell| matches!(cell.origin, Origin::Used(_)))
    };
    net.stacked().into_iter().any(is_used)
}

/// `file` with what it reaches and these foreign nets written out.
fn with_nets(file: &File, module: &Module, nets: &BTreeSet<&str>) -> File {
    let mut writer = Writer {
        scopes: Scopes::of(module),
        module,
        own: cells(&file.items).map(|cell| cell.name.name.clone()).collect(),
        hiding: local_names(&file.items),
        texts: texts(file, module),
        names: BTreeMap::new(),
        waiting: Vec::new(),
        origin: Origin::Own,
    };
    let mut own: Vec<Item> =
        file.items.iter().filter(|item| !matches!(item, Item::Use(_))).cloned().collect();
    own.iter_mut().for_each(|item| Mover::new(&mut writer).item(item));
    writer.nets(nets);

    let mut found: BTreeMap<Definition, Item> = BTreeMap::new();
    while let Some((definition, name)) = writer.waiting.pop() {
        let (origin, mut item) = writer.item(&definition);
        rename(&mut item, name);
        writer.origin = origin;
        Mover::new(&mut writer).item(&mut item);
        found.insert(definition, item);
    }
    // A constant may read only those above it; the order of the rest is for the reader.
    let (constants, rest): (Vec<Item>, Vec<Item>) =
        own.into_iter().partition(|item| matches!(item, Item::Constant(_)));
    let is_constant = |definition: &Definition| matches!(definition, Definition::Constant(_));
    let (used_constants, used): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|(definition, _)| is_constant(definition));
    let items = |found: Vec<(Definition, Item)>| found.into_iter().map(|(_, item)| item);
    let items = items(used_constants).chain(constants).chain(items(used)).chain(rest);
    File { items: items.collect(), ..File::default() }
}

/// A definition of another file. The order is the one they are written in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Definition {
    Constant(usize),
    Op(OpId),
    Net(usize, String),
    Cell(usize, String),
}

struct Writer<'m> {
    module: &'m Module,
    scopes: Scopes,
    /// Names of the file's own cells.
    own: BTreeSet<String>,
    /// Names that hide constants somewhere in the file.
    hiding: BTreeSet<String>,
    /// Every text that a new name must not stand in.
    texts: Vec<String>,
    /// What each definition is called in the result.
    names: BTreeMap<Definition, String>,
    /// Definitions to be written out under these names.
    waiting: Vec<(Definition, String)>,
    /// Where the text at hand comes from.
    origin: Origin,
}

impl Writer<'_> {
    /// The new name of a definition called `name` where it stands; it keeps it if `keeps`. It is
    /// written out unless it is there anyway.
    fn name(&mut self, definition: Definition, name: &str, keeps: bool, is_there: bool) -> String {
        if let Some(known) = self.names.get(&definition) {
            return known.clone();
        }
        let new = if keeps { name.to_owned() } else { self.fresh(name) };
        self.names.insert(definition.clone(), new.clone());
        if !(keeps && is_there) {
            self.waiting.push((definition, new.clone()));
        }
        new
    }

    /// `name_2`, or with the first number after it that gives a name no text has.
    fn fresh(&mut self, name: &str) -> String {
        let new = (2..)
            .map(|number| format!("{name}_{number}"))
            .find(|new| !self.texts.iter().any(|text| text.contains(new)))
            .expect("texts are finite");
        self.texts.push(new.clone());
        new
    }

    fn op_name(&mut self, op: OpId) -> Option<String> {
        let (origin, name) = self.scopes.op_at(op);
        let name = name.to_owned();
        if origin == Origin::Own {
            return Some(name);
        }
        let keeps = self.scopes.op(Origin::Own, &name) == Some(op);
        Some(self.name(Definition::Op(op), &name, keeps, origin == Origin::Prelude))
    }

    /// The wanted nets, unless every file has them, and the used cells that these and the file's own stack.
    fn nets(&mut self, wanted: &BTreeSet<&str>) {
        let seen =
            self.module.nets.iter().filter(|net| self.module.net(&net.name.name) == Some(net));
        for net in seen {
            let name = net.name.name.as_str();
            if net.origin.is_foreign() && !wanted.contains(name) {
                continue;
            }
            if let Origin::Used(file) = net.origin {
                self.name(Definition::Net(file, name.to_owned()), name, true, false);
            }
            for entry in net.stacked() {
                let name = entry.cell.name.as_str();
                let cell = self.module.cell(name).filter(|_| !self.own.contains(name));
                if let Some(Origin::Used(file)) = cell.map(|cell| cell.origin) {
                    self.name(Definition::Cell(file, name.to_owned()), name, true, false);
                }
            }
        }
    }

    /// Where a definition stands and its text.
    fn item(&self, definition: &Definition) -> (Origin, Item) {
        let (origin, wanted) = match definition {
            Definition::Constant(index) => {
                let (origin, name) = self.scopes.constant_at(*index);
                (origin, ("constant", name))
            }
            Definition::Op(op) => {
                let (origin, name) = self.scopes.op_at(*op);
                (origin, ("operation", name))
            }
            Definition::Net(file, name) => (Origin::Used(*file), ("net", name.as_str())),
            Definition::Cell(file, name) => (Origin::Used(*file), ("cell", name.as_str())),
        };
        let is_it = |item: &&Item| named(item) == Some(wanted);
        let found = match origin {
            Origin::Used(file) => self.scopes.used[file].file.items.iter().find(is_it).cloned(),
            Origin::Prelude => prelude_items().iter().rfind(is_it).cloned(),
            Origin::Own => None,
        };
        (origin, found.expect("a definition stands in the file that its origin says"))
    }
}

impl NewNames for Writer<'_> {
    fn op(&mut self, name: &str) -> Option<String> {
        if Primitive::of(name).is_some() {
            return None;
        }
        let op = alias(name).map(OpId).or_else(|| self.scopes.op(self.origin, name))?;
        self.op_name(op)
    }

    fn constant(&mut self, name: &str) -> Option<String> {
        let constant = alias(name).or_else(|| self.scopes.constant(self.origin, name))?;
        let (origin, name) = self.scopes.constant_at(constant);
        let name = name.to_owned();
        if origin == Origin::Own {
            return Some(name);
        }
        let keeps = self.scopes.constant(Origin::Own, &name) == Some(constant)
            && !self.hiding.contains(&name);
        Some(self.name(Definition::Constant(constant), &name, keeps, origin == Origin::Prelude))
    }

    fn cell(&mut self, name: &str) -> Option<String> {
        if self.origin == Origin::Own && self.own.contains(name) {
            return None;
        }
        let (file, _) = self.scopes.cell(self.origin, name)?;
        let is_seen = self.scopes.cell(Origin::Own, name).is_some_and(|(seen, _)| seen == file);
        let keeps = is_seen && !self.own.contains(name);
        Some(self.name(Definition::Cell(file, name.to_owned()), name, keeps, false))
    }

    fn adapter(&mut self, name: &str) -> Option<String> {
        let op = self.scopes.op(self.origin, name)?;
        if self.scopes.op(Origin::Own, name) == Some(op) {
            // Bare operands need it, if it is not the file's own.
            self.op_name(op);
            return None;
        }
        self.op_name(op)
    }
}

/// Gives a definition another name.
fn rename(item: &mut Item, new: String) {
    match item {
        Item::Constant(constant) => constant.name.name = new,
        Item::Op(op) => op.name.name = new,
        Item::Cell(cell) => cell.name.name = new,
        Item::Net(net) => net.name.name = new,
        Item::Use(_) | Item::Space(_) | Item::Expect(_) => {
            unreachable!("other files offer nothing else")
        }
    }
}

fn prelude_items() -> Vec<Item> {
    let parsed = PRELUDE.iter().map(|name| {
        let text = compile::embedded(name).expect("the prelude is embedded");
        syntax::parse(&SourceFile::new(*name, text)).expect("the prelude parses")
    });
    parsed.flat_map(|file| file.items).collect()
}

/// Everything that a file and those it uses say.
fn texts(file: &File, module: &Module) -> Vec<String> {
    let used = module.used.iter().map(|used| syntax::print(&used.file));
    let prelude = PRELUDE.iter().filter_map(|name| compile::embedded(name)).map(str::to_owned);
    used.chain(prelude).chain([syntax::print(file)]).collect()
}

/// The cells among items, those of a space included.
fn cells(items: &[Item]) -> impl Iterator<Item = &Cell> {
    items.iter().flat_map(|item| match item {
        Item::Cell(cell) => vec![cell],
        Item::Space(space) => space
            .items
            .iter()
            .filter_map(|item| match item {
                SpaceItem::Cell(cell) => Some(cell),
                SpaceItem::Constant(_)
                | SpaceItem::Require(_)
                | SpaceItem::Op(_)
                | SpaceItem::Options { .. } => None,
            })
            .collect(),
        Item::Use(_) | Item::Constant(_) | Item::Op(_) | Item::Net(_) | Item::Expect(_) => {
            Vec::new()
        }
    })
}

/// Names of attributes and of named values inside cells: what a copied name of a constant could meet.
fn local_names(items: &[Item]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for cell in cells(items) {
        found.extend(cell.params.iter().map(|param| param.name.name.clone()));
        if let CellBody::Block(statements) = &cell.body {
            found.extend(statements.iter().filter_map(|statement| match statement {
                CellStmt::Constant(constant) => Some(constant.name.name.clone()),
                CellStmt::Require(_)
                | CellStmt::Let { .. }
                | CellStmt::Repeat { .. }
                | CellStmt::Out { .. } => None,
            }));
        }
    }
    found
}
