//! From meaning to graph: [`lower`] builds the network of a module at a scale, primitive by primitive.
//!
//! Lowering is an interpreter of the IR: it calls operations, picks each hole's option from the
//! genotype, evaluates static values, and wires primitives into a [`Graph`]. What a file can get wrong
//! in any context was found by `check`; what remains are faults of the requested image, scale and
//! classes, reported like any other.
//!
//! # Rules
//!
//! - A cell's width `c` starts at `base` and is changed by a stack entry's `*` or `at`.
//! - The inputs of a cell are the outputs that arrive at it, most recent first: the one output of a cell
//!   arrives at every later cell, each of several at the one that its `to` says. Where too few arrive, the
//!   stem stands for the rest. The cell behind a `skip` cell takes, beside that cell's output, what that
//!   cell took after its first input.
//! - The heads read the output of a cell, several of them concatenated.
//! - With drop path, an operand of a combination in a cell is dropped if it is an operation; see
//!   [`Target::drop_path`].
//! - `stride` is the cell's stride for an operation whose first argument still has the size of the
//!   cell's first input, 1 for every other.
//! - `base` is solved from F: the number for which the last cell gives F channels.
//! - Parameter paths are `cells.3.n2.left.dw1.weight`: section, block, side of the combination, kind of
//!   primitive counted within that side, name.

mod apply;
mod base;
mod cell;
mod drop_path;
mod net;
mod primitive;
mod shapes;
mod value;

pub(crate) use net::MAX_TIMES;
pub(crate) use shapes::{ProbeContext, Prober};
pub(crate) use value::floor_div;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::{Graph, NodeId, SectionId, TensorType};
use crate::diagnostic::{Code, Diagnostic, Diagnostics, Stage};
use crate::ir::{self, Module, Net, OpId, Origin};
use crate::source::Span;
use crate::space::Genotype;
use base::solve_base;
use shapes::Shapes;
use value::Static;

/// The most operations a network may have.
const MAX_NODES: usize = 200_000;

/// The most parameters a network may have.
const MAX_PARAMS: usize = 1 << 31;

/// How deep expressions and the operations they use may nest.
const MAX_DEPTH: usize = 160;

/// How many expressions may be evaluated for one network. Operations that use others twice double the
/// work with every level, even where no node comes of it.
const MAX_STEPS: usize = 1 << 19;

/// The most channels a tensor may have.
const MAX_CHANNELS: usize = 1 << 16;

/// The longest side an image may have.
const MAX_SIDE: usize = 1 << 16;

/// The most values a tensor may have for one image.
const MAX_ELEMENTS: usize = 1 << 32;

/// Largest N of a scale.
pub const MAX_N: usize = 200;

/// Largest F of a scale.
pub const MAX_F: usize = MAX_CHANNELS;

/// `N@F`: N normal cells a stage, F channels out of the last cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scale {
    /// N.
    pub n: usize,
    /// F.
    pub f: usize,
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.n, self.f)
    }
}

impl FromStr for Scale {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is not a scale: expected N@F such as 6@768");
        let (n, f) = text.split_once('@').ok_or_else(fault)?;
        let number = |text: &str| text.replace('_', "").parse::<usize>().map_err(|_| fault());
        let scale = Scale { n: number(n)?, f: number(f)? };
        if !(1..=MAX_N).contains(&scale.n) || !(1..=MAX_F).contains(&scale.f) {
            return Err(format!("`{text}` is out of range: N is 1 to {MAX_N}, F is 1 to {MAX_F}"));
        }
        Ok(scale)
    }
}

/// The width a network is built at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// F: channels out of the last cell; the base width is solved from it.
    Filters(usize),
    /// The base width itself: channels of each operation in the first cell. A search uses it so that
    /// children with different numbers of outputs are equally wide.
    Base(usize),
}

/// What to build.
#[derive(Clone, Copy, Debug)]
pub struct Target<'m> {
    /// The skeleton.
    pub net: &'m Net,
    /// N: normal cells a stage.
    pub n: usize,
    /// How wide.
    pub width: Width,
    /// Shape of an image; the net's own if `None`.
    pub image: Option<TensorType>,
    /// Number of classes; the net's own if `None`.
    pub classes: Option<usize>,
    /// Whether to build the auxiliary head too.
    pub with_aux: bool,
    /// Whether the edges of cells have [`Op::DropPath`](super::Op::DropPath), for training: the operands of
    /// every combination of a cell that are operations. A bare operand has none, nor has `id(...)`, even
    /// where it is a convolution for the shape, nor an operation that hands its operand through; what
    /// `out concat(...)` joins is no edge. Parameters and their paths are the same with and without.
    ///
    /// # Source
    /// `_apply_drop_path` in slim's `nasnet_utils.py`: every operation but `none`, before the addition.
    pub drop_path: bool,
    /// Where the scale was written, if it was written in the file.
    pub scale_span: Option<Span>,
}

impl<'m> Target<'m> {
    /// The network of `net` at `scale` with the net's own image and classes, without auxiliary head.
    pub fn new(net: &'m Net, scale: Scale) -> Self {
        Target {
            net,
            n: scale.n,
            width: Width::Filters(scale.f),
            image: None,
            classes: None,
            with_aux: false,
            drop_path: false,
            scale_span: None,
        }
    }

    /// The same for images of another shape and another number of classes.
    #[must_use]
    pub fn with_data(self, image: TensorType, classes: usize) -> Self {
        Target { image: Some(image), classes: Some(classes), ..self }
    }
}

/// A lowered network with the scale it came out at.
#[derive(Clone, Debug, PartialEq)]
pub struct Lowered {
    /// The network.
    pub graph: Graph,
    /// N as asked, F as it is.
    pub scale: Scale,
    /// The width of the first cell.
    pub base: usize,
    /// The cells in order, with the shapes of their named tensors.
    pub cells: Vec<CellShapes>,
    /// For nodes with parameters that come of a choice, by path, the choices that made them.
    pub made_by: BTreeMap<String, Vec<Taken>>,
}

/// A decision and the option it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Index of the decision.
    pub decision: usize,
    /// Index of its option.
    pub option: usize,
}

/// Shapes of the named tensors of one cell of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellShapes {
    /// The cell's name in the file.
    pub cell: String,
    /// Shapes of its inputs and then its blocks, by [`ir::LocalId`].
    pub locals: Vec<TensorType>,
    /// Shapes of its outputs.
    pub outputs: Vec<TensorType>,
}

/// Builds the network of `module` with the holes filled as `genotype` says.
///
/// # Errors
/// Diagnostics if F is no multiple of what the cells concatenate, a window does not fit into a map, a
/// cell the net needs is missing, or the network would be too large.
///
/// # Panics
/// If the genotype is not a point of the module's space.
///
/// # Cost
/// Linear in the number of operations; a few milliseconds for the largest published nets.
pub fn lower(
    module: &Module,
    genotype: &Genotype,
    target: &Target,
) -> Result<Lowered, Diagnostics> {
    assert_is_point(module, genotype);
    lower_within(module, genotype, target, &mut Work::at_most(Work::UNBOUNDED))
}

/// How much lowering a caller allows, for however many networks.
pub(crate) struct Work {
    /// Operations wired so far, those of networks that failed or were built only to find a base width too.
    done: usize,
    /// No network is begun once there are more.
    most: usize,
}

impl Work {
    /// As much as it takes.
    const UNBOUNDED: usize = usize::MAX;

    pub fn at_most(most: usize) -> Self {
        Work { done: 0, most }
    }

    fn add(&mut self, lowering: &Lowering) {
        /// Expressions that take as long to evaluate as an operation to wire.
        const STEPS: usize = 16;
        self.done += lowering.n_nodes() + lowering.steps / STEPS;
    }

    /// How much was done.
    pub fn done(&self) -> usize {
        self.done
    }

    /// Whether another network may be begun.
    pub fn is_left(&self) -> bool {
        self.done <= self.most
    }

    /// E0102 if none may.
    fn check(&self, target: &Target) -> Result<(), Diagnostics> {
        if self.is_left() {
            return Ok(());
        }
        let message = format!(
            "looking for the base width takes networks of more than {} operations together",
            self.most
        );
        let fault = Diagnostic::new(Code::TooLarge, target.scale_span.unwrap_or_default(), message);
        Err(fault.note("ask for fewer or smaller networks").into())
    }
}

/// Builds a network as [`lower`] does; stops with E0102 where it would take more than `work` allows.
pub(crate) fn lower_within(
    module: &Module,
    genotype: &Genotype,
    target: &Target,
    work: &mut Work,
) -> Result<Lowered, Diagnostics> {
    check_request(target)?;
    let base = match target.width {
        Width::Base(base) => base,
        Width::Filters(f) => solve_base(module, genotype, target, f, work)?,
    };
    build(module, genotype, target, base, work)
}

/// A network without its heads, as a detector or another network reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct LoweredBody {
    /// Stem and cells; its output is the map that the head would read.
    pub graph: Graph,
    /// The maps between the cells, first to last: the stem's, and what each cell gives, several outputs
    /// joined. A cell whose outputs differ in size has none.
    pub maps: Vec<NodeId>,
}

/// Builds the stem and the cells alone. They and the paths of their parameters are those of the whole
/// network at the same N and width, except where cells ask for sizes that another image does not have.
///
/// # Errors
/// As [`lower`].
///
/// # Panics
/// As [`lower`].
pub fn lower_body(
    module: &Module,
    genotype: &Genotype,
    target: &Target,
) -> Result<LoweredBody, Diagnostics> {
    assert_is_point(module, genotype);
    check_request(target)?;
    let base = match target.width {
        Width::Base(base) => base,
        Width::Filters(f) => {
            solve_base(module, genotype, target, f, &mut Work::at_most(Work::UNBOUNDED))?
        }
    };
    let mut lowering = Lowering::new(module, genotype, target, base);
    let mut maps = None;
    if let Some(body) = lowering.body(target) {
        lowering.graph.output = body.last;
        maps = lowering.maps(&body);
    }
    let graph = lowering.finish()?;
    Ok(LoweredBody { graph, maps: maps.expect("a lowering that comes to nothing reports a fault") })
}

fn build(
    module: &Module,
    genotype: &Genotype,
    target: &Target,
    base: usize,
    work: &mut Work,
) -> Result<Lowered, Diagnostics> {
    let mut lowering = Lowering::new(module, genotype, target, base);
    let f = lowering.net(target);
    work.add(&lowering);
    let cells = std::mem::take(&mut lowering.cells);
    let made_by = std::mem::take(&mut lowering.made_by);
    let graph = lowering.finish()?;
    Ok(Lowered { graph, scale: Scale { n: target.n, f }, base, cells, made_by })
}

fn assert_is_point(module: &Module, genotype: &Genotype) {
    let holes = module.space.as_ref().map_or(0, |space| space.decisions.decisions.len());
    assert_eq!(genotype.choices.len(), holes, "the genotype is a point of the module's space");
}

/// Refuses scales and images that no network can have.
fn check_request(target: &Target) -> Result<(), Diagnostics> {
    let [height, width, channels] = target.net.input;
    let image = target.image.unwrap_or(TensorType::new(channels, height, width));
    let f = match target.width {
        Width::Filters(f) => f,
        Width::Base(base) => base,
    };
    let asked = [
        ("N", target.n, MAX_N),
        ("F", f, MAX_F),
        ("the image's height", image.height, MAX_SIDE),
        ("the image's width", image.width, MAX_SIDE),
        ("the image's channels", image.channels, MAX_CHANNELS),
    ];
    let faults = asked.into_iter().filter(|(_, found, most)| !(1..=*most).contains(found));
    let span = target.scale_span.unwrap_or_default();
    let faults = faults.map(|(what, found, most)| {
        let message = format!("{what} is 1 to {most}, found {found}");
        let code = if what.len() == 1 { Code::ScaleOutOfRange } else { Code::SizeOutOfRange };
        Diagnostic::new(code, span, message).note("ask for a network in that range")
    });
    Diagnostics::or(Stage::Network, faults.collect(), ())
}

/// Names a net knows beyond those of its cells.
struct ScaleContext {
    n: usize,
    f: usize,
    base: usize,
    classes: usize,
}

/// The state of one lowering.
struct Lowering<'m> {
    module: &'m Module,
    genotype: &'m [usize],
    graph: Graph,
    faults: Vec<Diagnostic>,
    scale: ScaleContext,
    /// The net at hand, if it is one of another file, whose text a diagnostic cannot show.
    net: Option<&'m str>,
    /// Values of the module's constants; `None` where a fault was reported.
    constants: Vec<Option<Static>>,
    /// Values that the net has named so far.
    net_params: Vec<Static>,
    /// The innermost place in the user's text; faults inside other files are reported there.
    site: Span,
    /// The adapter that each file's `concat(unused)` puts round what no block reads.
    fixups: BTreeMap<Origin, OpId>,
    /// Expressions being evaluated.
    depth: usize,
    /// The most of them at once, since a call that [`Shapes`] watches.
    deepest: usize,
    /// Expressions evaluated so far.
    steps: usize,
    max_steps: usize,
    section: SectionId,
    /// Where in the architecture the next node stands.
    prefix: String,
    /// Nodes of each kind wired under each prefix.
    counters: BTreeMap<String, usize>,
    /// The cells built so far.
    cells: Vec<CellShapes>,
    /// The choices that the value at hand comes of, within the block, or the side of a combination, around.
    trail: Vec<Taken>,
    /// Those that made nodes with parameters, by path.
    made_by: BTreeMap<String, Vec<Taken>>,
    /// Whether the edges of cells have drop path.
    drop_path: bool,
    /// What is known of calls, if only shapes are wanted.
    shapes: Option<Shapes>,
    /// Set once the network is too large to go on.
    is_stopped: bool,
}

/// What a cell tells its operations; absent in a net's stem and heads.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct CellContext {
    stride: usize,
    size: [usize; 2],
    is_first: bool,
}

/// What an expression can read.
struct Frame<'f> {
    /// Attributes of the operation or cell around, then the values it has named so far.
    params: Vec<Static>,
    /// The attributes as they are declared, for their names in messages.
    attrs: &'f [ir::Param],
    /// The names of the values after them.
    lets: Vec<&'f str>,
    /// Tensors bound so far; `None` where a fault was reported.
    locals: Vec<Option<NodeId>>,
    /// In a cell, where each was defined.
    spans: Vec<Span>,
    /// In a cell, what each is called.
    local_names: Vec<&'f str>,
    /// In a cell, which were read.
    used: Vec<bool>,
    /// The width `c`.
    width: usize,
    cell: Option<CellContext>,
    /// The value of `stride`: in an operation that of the operation, in a cell that of the use at hand.
    stride: usize,
    /// True inside an operation, false in a cell or net.
    is_op: bool,
    /// True in the output of a cell.
    is_out: bool,
    /// True in a text other than the user's own.
    is_foreign: bool,
}

impl Frame<'_> {
    /// The names of `params` in order; there may be more than have values.
    fn names(&self) -> impl Iterator<Item = &str> {
        self.attrs.iter().map(|attr| attr.name.as_str()).chain(self.lets.iter().copied())
    }
}

impl<'m> Lowering<'m> {
    fn new(module: &'m Module, genotype: &'m Genotype, target: &Target<'m>, base: usize) -> Self {
        let [height, width, channels] = target.net.input;
        let image = target.image.unwrap_or(TensorType::new(channels, height, width));
        let f = match target.width {
            Width::Filters(f) => f,
            Width::Base(_) => 0,
        };
        let classes = target.classes.unwrap_or(target.net.classes);
        let scale = ScaleContext { n: target.n, f, base, classes };
        let first_cell = module.own_cells().next().map(|cell| cell.name.span);
        let mut lowering = Lowering {
            net: target.net.origin.is_foreign().then_some(target.net.name.name.as_str()),
            site: target.scale_span.or(first_cell).unwrap_or_default(),
            drop_path: target.drop_path,
            ..Lowering::bare(module, &genotype.choices, Graph::new(image), scale)
        };
        lowering.evaluate_constants();
        lowering
    }

    /// A lowering that is at no place yet and knows no constants.
    fn bare(module: &'m Module, genotype: &'m [usize], graph: Graph, scale: ScaleContext) -> Self {
        Lowering {
            module,
            genotype,
            graph,
            faults: Vec::new(),
            scale,
            net: None,
            constants: Vec::new(),
            net_params: Vec::new(),
            fixups: BTreeMap::new(),
            site: Span::default(),
            depth: 0,
            deepest: 0,
            steps: 0,
            max_steps: MAX_STEPS,
            section: SectionId(0),
            prefix: String::new(),
            counters: BTreeMap::new(),
            cells: Vec::new(),
            trail: Vec::new(),
            made_by: BTreeMap::new(),
            drop_path: false,
            shapes: None,
            is_stopped: false,
        }
    }

    /// Evaluates the module's constants, each of which may read those before it.
    fn evaluate_constants(&mut self) {
        for constant in &self.module.constants {
            let frame = self.net_frame(0, constant.origin.is_foreign());
            let value = self.value(&constant.value, &frame);
            self.constants.push(value);
        }
    }

    fn finish(mut self) -> Result<Graph, Diagnostics> {
        let params: usize =
            self.graph.params.iter().fold(0, |sum, param| sum.saturating_add(param.len()));
        if params > MAX_PARAMS {
            self.faults.push(
                Diagnostic::new(
                    Code::SizeOutOfRange,
                    self.site,
                    format!("the network would have {params} parameters, at most {MAX_PARAMS} are allowed"),
                )
                .note("use a smaller scale"),
            );
        }
        let graph = Diagnostics::or(Stage::Network, self.faults, self.graph)?;
        debug_assert_eq!(graph.verify(), Ok(()));
        Ok(graph)
    }

    /// Reports a fault at `span` of the text `frame` was written in.
    fn fault(&mut self, code: Code, span: Span, frame: &Frame, message: String, note: &str) {
        let fault = Diagnostic::new(code, self.place(span, frame), message);
        let fault = self.in_net(fault, frame);
        self.faults.push(fault.note(note));
    }

    /// Where a fault at `span` of the text `frame` was written in can be shown.
    fn place(&self, span: Span, frame: &Frame) -> Span {
        if frame.is_foreign { self.site } else { span }
    }

    /// Names the net whose stem or head has the fault, if its text cannot be shown.
    fn in_net(&self, fault: Diagnostic, frame: &Frame) -> Diagnostic {
        match self.net {
            Some(net) if frame.is_foreign && frame.cell.is_none() => {
                let part = if self.prefix.is_empty() { "stack" } else { self.prefix.as_str() };
                fault.label(format!("in the `{part}` of net `{net}`"))
            }
            _ => fault,
        }
    }

    /// Runs `inner` with `part` added to the path of its nodes; the choices it takes are its own.
    fn within<T>(&mut self, part: &str, inner: impl FnOnce(&mut Self) -> T) -> T {
        let (length, taken) = (self.prefix.len(), self.trail.len());
        self.prefix.push('.');
        self.prefix.push_str(part);
        let result = inner(self);
        self.prefix.truncate(length);
        self.trail.truncate(taken);
        result
    }

    /// The option that a decision takes, which the value at hand depends on from here on.
    fn take(&mut self, decision: usize) -> usize {
        let taken = Taken { decision, option: self.genotype[decision] };
        if self.shapes.is_none() && !self.trail.contains(&taken) {
            self.trail.push(taken);
        }
        taken.option
    }
}
