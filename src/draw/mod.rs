//! Pictures of cells, as figure 4 of the NASNet paper has them, and of nets, as its figure 2.
//!
//! [`figure`] turns a checked module into a [`Figure`]: boxes and edges with their places, inputs at the
//! bottom, the output on top. [`Figure::to_svg`] writes it as it stands; [`Figure::to_dot`] writes boxes
//! and edges for Graphviz, which places them again.
//!
//! ```
//! use cellc::source::SourceFile;
//! use cellc::{compile, draw};
//!
//! let text = "cell tiny(h) { a = squeeze(h) n1 = sep<3>(a) + a out concat(n1) }";
//! let module = compile::check(&SourceFile::new("tiny.cell", text))?;
//! let figure = draw::figure(&module, &draw::Options::default())?;
//! assert_eq!(figure.panels[0].title, "tiny");
//! assert!(figure.to_svg().starts_with("<svg"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Stages
//!
//! | stage | module | gives |
//! |---|---|---|
//! | what there is to draw | `cell`, `net` | a `Diagram`: boxes grouped by block |
//! | where it goes | `layout` | a [`Panel`] |
//! | text | `svg`, `dot` | bytes, the same for the same module |
//!
//! # Units
//!
//! Lengths are pixels of an SVG at its natural size, x to the right, y down.

mod cell;
mod diagram;
mod dot;
mod label;
mod layout;
mod metrics;
mod net;
mod svg;

use crate::error::Error;
use crate::ir::{Cell, Module};
use crate::space::Genotype;
use diagram::Diagram;

/// What is drawn of a module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Subject {
    /// Every cell.
    #[default]
    Cells,
    /// The cell of this name.
    Cell(String),
    /// The skeleton of the net of this name.
    Net(String),
}

/// What is drawn, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// What is drawn.
    pub subject: Subject,
    /// The point of the module's space to draw; its holes are drawn as holes if `None`.
    pub genotype: Option<Genotype>,
}

/// A picture: panels from left to right.
#[derive(Clone, Debug, PartialEq)]
pub struct Figure {
    /// One panel for each cell, or one for a net.
    pub panels: Vec<Panel>,
    /// Width of the whole.
    pub width: f64,
    /// Height of the whole.
    pub height: f64,
}

/// One cell or net under its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Panel {
    /// Its name.
    pub title: String,
    /// Its boxes.
    pub nodes: Vec<Node>,
    /// What is read by what.
    pub edges: Vec<Edge>,
    /// The place of title, boxes and edges.
    pub area: Rect,
}

/// A box.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it stands for.
    pub kind: Kind,
    /// What is written in it.
    pub lines: Vec<String>,
    /// Its place.
    pub area: Rect,
    /// The name of the block whose result this box is.
    pub caption: Option<Caption>,
}

/// The name of a block, beside the box that gives its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Caption {
    /// The name.
    pub text: String,
    /// Its place.
    pub area: Rect,
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A tensor that comes from outside.
    Input,
    /// An operation.
    Operation,
    /// A bare operand of a combination.
    Identity,
    /// Several tensors made one.
    Combination,
    /// A choice that is still open.
    Hole,
    /// A cell as part of a net.
    Cell,
    /// A tensor that goes outside.
    Output,
}

/// A tensor on its way from one box to another.
#[derive(Clone, Debug, PartialEq)]
pub struct Edge {
    /// Index of the box that gives it.
    pub from: usize,
    /// Index of the box that reads it.
    pub to: usize,
    /// True if it depends on a hole whether it is read.
    pub is_possible: bool,
    /// Its way upwards from the top of one box to the bottom of the other. Points above each other are
    /// joined by a line, others by a curve that leaves and arrives vertically halfway between them.
    pub path: Vec<Point>,
}

/// A place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// To the right.
    pub x: f64,
    /// Down.
    pub y: f64,
}

/// A rectangle.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rect {
    /// Left side.
    pub x: f64,
    /// Upper side.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

impl Rect {
    /// Right side.
    pub fn right(&self) -> f64 {
        self.x + self.width
    }

    /// Lower side.
    pub fn bottom(&self) -> f64 {
        self.y + self.height
    }

    /// The middle, from left to right.
    pub fn center(&self) -> f64 {
        self.x + self.width / 2.0
    }

    fn shift(&mut self, dx: f64, dy: f64) {
        self.x += dx;
        self.y += dy;
    }
}

/// Space around panels.
const MARGIN: f64 = 20.0;

/// Space between panels.
const PANEL_GAP: f64 = 48.0;

/// Draws cells or a net of a module.
///
/// # Errors
/// [`Error::Config`] if there is no such cell or net, no cell at all, or the genotype is no point of the
/// module's space.
pub fn figure(module: &Module, options: &Options) -> Result<Figure, Error> {
    let genotype = genotype(module, options)?;
    let diagrams: Vec<Diagram> = match &options.subject {
        Subject::Net(name) => vec![net::diagram(module, named_net(module, name)?)],
        Subject::Cells | Subject::Cell(_) => cells(module, &options.subject)?
            .into_iter()
            .map(|cell| cell::diagram(module, cell, genotype))
            .collect(),
    };
    Ok(arrange(diagrams.iter().map(layout::lay_out).collect()))
}

/// The genotype of the options, for a module that has a space.
fn genotype<'a>(module: &Module, options: &'a Options) -> Result<Option<&'a Genotype>, Error> {
    let Some(genotype) = &options.genotype else { return Ok(None) };
    let refuse = |reason: String| Error::Config {
        setting: "genotype",
        value: format!("{:?}", genotype.choices),
        reason,
    };
    match &module.space {
        None => Err(refuse("the file has no space".into())),
        Some(space) if space.decisions.contains(genotype) => Ok(Some(genotype)),
        Some(space) => {
            Err(refuse(format!("it is no point of the space `{}`", space.decisions.name)))
        }
    }
}

fn cells<'m>(module: &'m Module, subject: &Subject) -> Result<Vec<&'m Cell>, Error> {
    let Subject::Cell(name) = subject else {
        if module.own_cells().next().is_none() {
            return Err(Error::Config {
                setting: "cell",
                value: "missing".into(),
                reason: "the file has no cells".into(),
            });
        }
        return Ok(module.own_cells().collect());
    };
    let known = module.cells.iter().map(|cell| cell.name.name.as_str());
    module.cell(name).map(|cell| vec![cell]).ok_or_else(|| unknown("cell", name, known))
}

fn named_net<'m>(module: &'m Module, name: &str) -> Result<&'m crate::ir::Net, Error> {
    let known = module.nets.iter().map(|net| net.name.name.as_str());
    module.net(name).ok_or_else(|| unknown("net", name, known))
}

fn unknown<'a>(setting: &'static str, name: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let known: Vec<&str> = known.collect();
    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
    Error::Config {
        setting,
        value: name.into(),
        reason: format!("there is no such {setting}; known are: {known}"),
    }
}

/// Puts panels side by side.
fn arrange(mut panels: Vec<Panel>) -> Figure {
    let mut x = MARGIN;
    let mut height: f64 = 0.0;
    for panel in &mut panels {
        panel.shift(x - panel.area.x, MARGIN - panel.area.y);
        x = panel.area.right() + PANEL_GAP;
        height = height.max(panel.area.bottom());
    }
    let width = panels.last().map_or(0.0, |panel| panel.area.right());
    Figure { panels, width: width + MARGIN, height: height + MARGIN }
}

impl Panel {
    fn shift(&mut self, dx: f64, dy: f64) {
        self.area.shift(dx, dy);
        for node in &mut self.nodes {
            node.area.shift(dx, dy);
            if let Some(caption) = &mut node.caption {
                caption.area.shift(dx, dy);
            }
        }
        for point in self.edges.iter_mut().flat_map(|edge| &mut edge.path) {
            *point = Point { x: point.x + dx, y: point.y + dy };
        }
    }
}
