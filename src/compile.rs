//! Text to network: the stages in order, and nothing else.
//!
//! ```
//! use cellc::compile::{self, Request};
//! use cellc::source::SourceFile;
//!
//! let text = compile::embedded("nasnet_a.cell").expect("NASNet-A is in the library of cells");
//! let module = compile::check(&SourceFile::new("nasnet_a.cell", text))?;
//! let lowered = compile::network(&module, &Request::new("cifar", "6@768".parse()?))?;
//! let cost = cellc::graph::cost::Cost::of(&lowered.graph);
//! assert_eq!(cost.total.params, 3_346_538);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::sync::OnceLock;

use rand::Rng;

use crate::check;
use crate::diagnostic::Diagnostics;
use crate::error::Error;
use crate::graph::lower::{self, Lowered, LoweredBody, Scale, Target, Width};
use crate::graph::{TensorType, hash, passes};
use crate::ir::expression::Expression;
use crate::ir::{Cell, Module, Net};
use crate::link;
use crate::network::Network;
use crate::source::{Library, Loader, SourceFile};
use crate::space::sampler::Hunt;
use crate::space::{Genotype, Requirements};
use crate::syntax;

/// The library of cells: every file of `cells/`, by name; first the prelude, then the rest by the alphabet.
pub const EMBEDDED: [(&str, &str); 25] = [
    ("prelude.cell", include_str!("../cells/prelude.cell")),
    ("cifar.cell", include_str!("../cells/cifar.cell")),
    ("imagenet.cell", include_str!("../cells/imagenet.cell")),
    ("amoebanet.cell", include_str!("../cells/amoebanet.cell")),
    ("amoebanet_a.cell", include_str!("../cells/amoebanet_a.cell")),
    ("amoebanet_b.cell", include_str!("../cells/amoebanet_b.cell")),
    ("amoebanet_c.cell", include_str!("../cells/amoebanet_c.cell")),
    ("amoebanet_d.cell", include_str!("../cells/amoebanet_d.cell")),
    ("darts.cell", include_str!("../cells/darts.cell")),
    ("darts_space.cell", include_str!("../cells/darts_space.cell")),
    ("darts_v1.cell", include_str!("../cells/darts_v1.cell")),
    ("darts_v2.cell", include_str!("../cells/darts_v2.cell")),
    ("enas.cell", include_str!("../cells/enas.cell")),
    ("enas_micro.cell", include_str!("../cells/enas_micro.cell")),
    ("enas_space.cell", include_str!("../cells/enas_space.cell")),
    ("nasbench201_space.cell", include_str!("../cells/nasbench201_space.cell")),
    ("nasbench_macro_space.cell", include_str!("../cells/nasbench_macro_space.cell")),
    ("nasnet_a.cell", include_str!("../cells/nasnet_a.cell")),
    ("nasnet_a_figure.cell", include_str!("../cells/nasnet_a_figure.cell")),
    ("nasnet_a_keras.cell", include_str!("../cells/nasnet_a_keras.cell")),
    ("nasnet_a_timm.cell", include_str!("../cells/nasnet_a_timm.cell")),
    ("nasnet_b_space.cell", include_str!("../cells/nasnet_b_space.cell")),
    ("nasnet_c_space.cell", include_str!("../cells/nasnet_c_space.cell")),
    ("nasnet_space.cell", include_str!("../cells/nasnet_space.cell")),
    ("pnasnet_5.cell", include_str!("../cells/pnasnet_5.cell")),
];

/// The files whose operations and nets every other file can use.
pub(crate) const PRELUDE: [&str; 3] = ["prelude.cell", "cifar.cell", "imagenet.cell"];

/// The text of a file of the library.
pub fn embedded(name: &str) -> Option<&'static str> {
    EMBEDDED.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}

/// The operations and nets that every file can use.
pub fn prelude() -> &'static Module {
    static MODULE: OnceLock<Module> = OnceLock::new();
    MODULE.get_or_init(|| {
        let mut module = Module::default();
        for name in PRELUDE {
            let text = embedded(name).expect("the prelude is embedded");
            let file = syntax::parse(&SourceFile::new(name, text)).expect("the prelude parses");
            module = check::check_prelude(&file, &module).expect("the prelude checks");
        }
        module
    })
}

/// Parses and checks a file, which may use files of the library of cells and no others.
///
/// # Errors
/// Everything that is wrong with its text.
pub fn check(source: &SourceFile) -> Result<Module, Diagnostics> {
    check_with(source, &Library)
}

/// Parses and checks a file, which may use those that `loader` finds.
///
/// # Errors
/// Everything that is wrong with its text, and what is wrong with a used file at the `use` of it.
pub fn check_with(source: &SourceFile, loader: &dyn Loader) -> Result<Module, Diagnostics> {
    link::link(source, loader).map(|(_, module)| module)
}

/// From text to a network that can be trained: the requested net of a file, its parameters drawn from `seed`.
///
/// The network is a dfdx module: from images [N, C, H, W] to logits [N, classes]. With another number of
/// [classes](Request::with_data) and a layer behind it, it is the body of a larger model.
///
/// # Errors
/// [`Fault::Cells`] for everything that is wrong with the text, and as [`network`].
///
/// # Cost
/// Milliseconds, and the time to draw the parameters.
///
/// # Examples
/// ```
/// use cellc::{compile::Request, source::SourceFile};
/// use dfdx::prelude::*;
///
/// let cells = SourceFile::new("mine.cell", "
///     cell normal(h, prev) { a = sep<3>(squeeze(h)) + avg<3>(fit(prev)) out a }
///     cell reduction(h, prev) stride 2 = normal
/// ");
/// let body = cellc::compile(&cells, &Request::new("cifar", "1@16".parse()?), 0)?;
/// let logits = body.forward(Cpu::default().zeros_like(&(2, 3, 32, 32)));
/// assert_eq!(logits.shape(), &(2, 10));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn compile(source: &SourceFile, request: &Request, seed: u64) -> Result<Network, Fault> {
    let module = check(source)?;
    Ok(Network::new(&network(&module, request)?.graph, seed))
}

/// Which network of a module is wanted.
#[derive(Clone, Debug)]
pub struct Request {
    /// Name of the net.
    pub net: String,
    /// N: normal cells a stage.
    pub n: usize,
    /// How wide.
    pub width: Width,
    /// Shape of the images; the net's own if `None`.
    pub image: Option<TensorType>,
    /// Number of classes; the net's own if `None`.
    pub classes: Option<usize>,
    /// Whether to build the auxiliary head.
    pub with_aux: bool,
    /// Whether to build drop path into the cells, see [`Target::drop_path`].
    pub drop_path: bool,
    /// The point of the space, for a module that has one.
    pub genotype: Option<Genotype>,
}

impl Request {
    /// The network of `net` at `scale`, with the net's own images and classes and without auxiliary head.
    pub fn new(net: impl Into<String>, scale: Scale) -> Self {
        Request {
            net: net.into(),
            n: scale.n,
            width: Width::Filters(scale.f),
            image: None,
            classes: None,
            with_aux: false,
            drop_path: false,
            genotype: None,
        }
    }

    /// The same for images of another shape and another number of classes.
    #[must_use]
    pub fn with_data(self, image: TensorType, classes: usize) -> Self {
        Request { image: Some(image), classes: Some(classes), ..self }
    }
}

/// Why a network cannot be had from a checked module.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The cells do not fit the request; the diagnostics point into the file.
    #[error(transparent)]
    Cells(Diagnostics),
    /// The request itself makes no sense.
    #[error(transparent)]
    Request(#[from] Error),
}

impl From<Diagnostics> for Fault {
    fn from(diagnostics: Diagnostics) -> Self {
        Fault::Cells(diagnostics)
    }
}

/// Lowers and simplifies the requested network.
///
/// # Errors
/// [`Fault::Request`] for an unknown net, or a genotype missing or not of the module's space;
/// [`Fault::Cells`] where the cells do not fit image, scale or net.
pub fn network(module: &Module, request: &Request) -> Result<Lowered, Fault> {
    let lowered = lower_only(module, request)?;
    Ok(Lowered { graph: passes::simplified(lowered.graph), ..lowered })
}

/// Lowers the requested network without simplifying it.
///
/// # Errors
/// As [`network`].
pub fn lower_only(module: &Module, request: &Request) -> Result<Lowered, Fault> {
    let target = target(module, request)?;
    let genotype = point(module, request.genotype.as_ref())?;
    Ok(lower::lower(module, &genotype, &target)?)
}

/// Lowers the stem and the cells of the requested network, without heads and without simplifying.
///
/// # Errors
/// As [`network`].
pub fn body(module: &Module, request: &Request) -> Result<LoweredBody, Fault> {
    let target = Target { with_aux: false, ..target(module, request)? };
    let genotype = point(module, request.genotype.as_ref())?;
    Ok(lower::lower_body(module, &genotype, &target)?)
}

/// The net of this name.
///
/// # Errors
/// [`Error::Config`] with the known ones if there is none.
pub fn net<'m>(module: &'m Module, name: &str) -> Result<&'m Net, Error> {
    module.net(name).ok_or_else(|| {
        let known: Vec<&str> = module.nets.iter().map(|net| net.name.name.as_str()).collect();
        Error::Config {
            setting: "net",
            value: name.to_owned(),
            reason: format!("there is no such net; known are: {}", known.join(", ")),
        }
    })
}

/// The request with its net found.
fn target<'m>(module: &'m Module, request: &Request) -> Result<Target<'m>, Error> {
    Ok(Target {
        net: net(module, &request.net)?,
        n: request.n,
        width: request.width,
        image: request.image,
        classes: request.classes,
        with_aux: request.with_aux,
        drop_path: request.drop_path,
        scale_span: None,
    })
}

/// The point of the module's space that is meant; a module without a space has but one.
fn point(module: &Module, genotype: Option<&Genotype>) -> Result<Genotype, Error> {
    match (&module.space, genotype) {
        (None, _) => Ok(Genotype { choices: Vec::new() }),
        (Some(space), Some(genotype)) if space.decisions.contains(genotype) => Ok(genotype.clone()),
        (Some(space), given) => Err(Error::Config {
            setting: "genotype",
            value: given.map_or("missing".into(), |given| format!("{:?}", given.choices)),
            reason: format!(
                "the file is the search space `{}`, not one architecture; search it with `cellc search`",
                space.decisions.name
            ),
        }),
    }
}

/// A point of the module's space that meets what the space requires, drawn decision by decision, each
/// option as likely as its weight says.
///
/// Points that do not meet the requirements are drawn again, a bounded number of times; then one is
/// repaired, decision by decision. The same generator in the same state gives the same point.
///
/// # Errors
/// [`Error::Requirements`] if no point was found that meets them; [`Error::Config`] for a module without
/// a space.
///
/// # Cost
/// Without requirements, that of the drawing alone. With costs in them, some networks are lowered for each
/// point that is tried, and at most about two thousand points are.
pub fn sample(module: &Module, rng: &mut impl Rng) -> Result<Genotype, Error> {
    let Some(space) = &module.space else {
        return Err(Error::Config {
            setting: "space",
            value: "missing".into(),
            reason: "the file is one architecture, with no hole to fill".into(),
        });
    };
    let space = &space.decisions;
    Hunt::new(space, Requirements::of(module)).run(rng, |rng| space.sample(rng))
}

/// The identity of an architecture: 16 hexadecimal digits, equal for architectures that differ only in
/// names, order of blocks, swapped operands of commutative combinations, or blocks that nothing reads.
///
/// It is the canonical hash of the network at N = 2 and base width 8 on the net's own images, so it
/// does not depend on the scale an architecture is trained at. An architecture that has no network at
/// this width, such as one with convolutions in 3 groups, is taken at 240.
///
/// # Errors
/// As [`network`].
pub fn architecture_id(
    module: &Module,
    net: &str,
    genotype: Option<&Genotype>,
) -> Result<String, Fault> {
    let at = |base: usize| {
        let genotype = genotype.cloned();
        let request = Request::new(net, Scale { n: 2, f: 0 });
        network(module, &Request { width: Width::Base(base), genotype, ..request })
    };
    let lowered = at(8).or_else(|fault| at(240).map_err(|_| fault))?;
    Ok(format!("{:016x}", hash::canonical(&lowered.graph)))
}

/// What each cell of the file itself computes, written out, with the cell's name.
///
/// # Errors
/// [`Error::Config`] for a genotype missing or not of the module's space, or for a cell that reads so many
/// blocks more than once that its expression has more than 1,024 terms.
pub fn expressions(
    module: &Module,
    genotype: Option<&Genotype>,
) -> Result<Vec<(String, Expression)>, Error> {
    let genotype = point(module, genotype)?;
    let written = |cell: &Cell| {
        let name = cell.name.name.clone();
        match module.expression(cell, &genotype) {
            Some(expression) => Ok((name, expression)),
            None => Err(Error::Config {
                setting: "cell",
                value: name,
                reason: "written out it has more than 1,024 terms; its hash does not need that"
                    .into(),
            }),
        }
    };
    module.own_cells().map(written).collect()
}

/// The class of an architecture in the sense of tabular benchmarks: 16 hexadecimal digits, equal for
/// architectures whose cells have the same names and the same [expressions](crate::ir::expression).
///
/// # Errors
/// As [`expressions`].
pub fn class_id(module: &Module, genotype: Option<&Genotype>) -> Result<String, Error> {
    let mut cells = expressions(module, genotype)?;
    cells.sort();
    let text: String = cells.iter().map(|(name, cell)| format!("{name} = {cell}\n")).collect();
    Ok(format!("{:016x}", hash::of_text(&text)))
}
