//! Weights of other programs, read into the networks that are here: timm's `nasnetalarge` and
//! `pnasnet5large`, Keras's NASNet at any scale.
//!
//! | from | file | cells | pools at stride 2 |
//! |---|---|---|---|
//! | timm | safetensors | `nasnet_a_timm.cell`, `pnasnet_5.cell` | means count the padding |
//! | Keras | `.weights.h5`, legacy `.h5`, `.keras`; feature `keras` | `nasnet_a_keras.cell` | all see zeros |
//!
//! Family and N@F are told from names and shapes alone ([`Origin::of`]). Which tensor of the file belongs to
//! which parameter is computed from the place of the parameter in the network, by the rules that the other
//! program builds its names with ([`assign`]); every tensor must be used once. The result describes itself
//! as any other [`Checkpoint`], so it is evaluated, exported and trained further like one.

mod keras;
#[cfg(feature = "keras")]
mod keras_file;
mod place;
mod safetensors_file;
mod timm;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::compile::{self, Request};
use crate::data::Whitening;
use crate::device::RunConfig;
use crate::error::Error;
use crate::graph::lower::Scale;
use crate::graph::{Graph, TensorType};
use crate::ir::Module;
use crate::link::{link, write_out};
use crate::network::{NamedTensor, Network};
use crate::source::{Library, Loader, SourceFile};
use crate::syntax;
use crate::train::Checkpoint;

use place::Places;

/// The shapes of the tensors of a file, by name.
pub type Listing = BTreeMap<String, Vec<usize>>;

/// How many names an error lists.
const LISTED: usize = 5;

/// The program that wrote a file, and the kind of its network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// NASNet-A of timm, `nasnet.py`.
    TimmNasnet,
    /// PNASNet-5 of timm, `pnasnet.py`.
    TimmPnasnet,
    /// NASNet-A of Keras, `applications/nasnet.py`.
    KerasNasnet,
}

/// What a file says about the network that it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Whose it is.
    pub family: Family,
    /// Normal cells a stage, and channels before the classifier.
    pub scale: Scale,
    /// Channels of an image.
    pub channels: usize,
    /// Filters of the stem.
    pub stem: usize,
    /// Number of classes.
    pub classes: usize,
}

/// What the file does not say, and what to use instead of the cells that are here.
#[derive(Clone, Copy, Default)]
pub struct ImportConfig<'a> {
    /// Cells that compute what the file's network does, with blocks called as in the library's;
    /// those of the library if `None`. Files that they use come from the loader.
    pub cells: Option<(&'a SourceFile, &'a dyn Loader)>,
    /// The net, such as `imagenet_large`; if `None`, the library's with the stem of the file.
    pub net: Option<&'a str>,
    /// Height and width of an image; the net's own if `None`.
    pub image_size: Option<usize>,
}

/// Where the numbers of a parameter come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The tensor's name in the file.
    pub name: String,
    /// Axis `i` of the parameter is axis `axes[i]` of the tensor.
    pub axes: &'static [usize],
}

/// The file's tensors as they were read.
enum Weights {
    Safetensors(safetensors_file::SafetensorsFile),
    #[cfg(feature = "keras")]
    Keras(keras_file::KerasFile),
}

impl Weights {
    fn open(path: &Path) -> Result<Weights, Error> {
        let is_keras = path.extension().is_some_and(|end| end == "h5" || end == "keras");
        if !is_keras {
            return Ok(Weights::Safetensors(safetensors_file::SafetensorsFile::open(path)?));
        }
        #[cfg(feature = "keras")]
        return Ok(Weights::Keras(keras_file::KerasFile::open(path)?));
        #[cfg(not(feature = "keras"))]
        Err(fault(path, "this program was built without the feature `keras`"))
    }

    fn listing(&self) -> Listing {
        match self {
            Weights::Safetensors(file) => file.listing(),
            #[cfg(feature = "keras")]
            Weights::Keras(file) => file.listing(),
        }
    }

    fn read(&self, name: &str) -> Result<Vec<f32>, String> {
        match self {
            Weights::Safetensors(file) => file.read(name),
            #[cfg(feature = "keras")]
            Weights::Keras(file) => file.read(name),
        }
    }
}

/// Reads a file of weights into the network that it is for, and describes that.
///
/// # Errors
/// [`Error::Weights`] if the file is of no known network, lacks tensors, has others or such of other shapes, or
/// no net of the library has its stem; [`Error::Config`] for an unknown net; [`Error::Read`].
///
/// # Cost
/// The file, the network and one tensor are in memory at once.
pub fn import(path: &Path, config: &ImportConfig<'_>) -> Result<(Checkpoint, Network), Error> {
    let weights = Weights::open(path)?;
    let listing = weights.listing();
    let origin = Origin::of(&listing).map_err(|text| fault(path, text))?;
    let library = origin.family.cells();
    let source = SourceFile::new(library, compile::embedded(library).expect("in the library"));
    let (cells, loader) = config.cells.unwrap_or((&source, &Library));
    let (file, module) = link(cells, loader).map_err(|faults| fault(path, faults.to_string()))?;
    let request = origin.request(&module, config).map_err(|text| fault(path, text))?;
    let lowered = compile::network(&module, &request).map_err(|error| match error {
        compile::Fault::Request(error) => error,
        compile::Fault::Cells(faults) => fault(path, faults.to_string()),
    })?;
    let sources =
        assign(origin.family, &lowered.graph, &listing).map_err(|text| fault(path, text))?;

    let mut network = Network::new(&lowered.graph, 0);
    network.set_config(RunConfig { bn_eps: BN_EPS, ..RunConfig::default() })?;
    let mut state = BTreeMap::new();
    for (param, source) in lowered.graph.params.iter().zip(&sources) {
        let values = weights.read(&source.name).map_err(|text| fault(path, text))?;
        let values = permuted(values, &param.shape, source.axes);
        state.insert(param.path.clone(), NamedTensor { shape: param.shape.clone(), values });
    }
    network.load_state_dict(&state).map_err(|error| fault(path, error.to_string()))?;

    let image = lowered.graph.ty(lowered.graph.input);
    let checkpoint = Checkpoint {
        cellc: env!("CARGO_PKG_VERSION").into(),
        cell: syntax::print(&write_out(&file, &module)),
        net: request.net.clone(),
        scale: origin.scale.to_string(),
        image: [image.channels, image.height, image.width],
        classes: origin.classes,
        with_aux: false,
        data: None,
        class_names: Vec::new(),
        whitening: halves(image.channels),
        validation: 0.0,
        limit: None,
        data_hash: None,
        bn_eps: BN_EPS,
        config: None,
        frozen: None,
        imported_from: Some(origin.family.name().into()),
        val_accuracy: None,
        test_accuracy: None,
    };
    Ok((checkpoint, network))
}

/// Added to the variance by all of these networks.
const BN_EPS: f32 = 1e-3;

/// From bytes to -1 to 1, as timm's mean and deviation of 0.5 and Keras's `mode="tf"` do.
fn halves(channels: usize) -> Whitening {
    Whitening { mean: vec![127.5; channels], std: vec![127.5; channels] }
}

fn fault(path: &Path, fault: impl Into<String>) -> Error {
    Error::Weights { path: path.into(), fault: fault.into() }
}

impl Family {
    /// What the network is called where it comes from.
    pub fn name(self) -> &'static str {
        match self {
            Family::TimmNasnet => "timm nasnet",
            Family::TimmPnasnet => "timm pnasnet",
            Family::KerasNasnet => "keras nasnet",
        }
    }

    /// The file of the library whose cells compute the same.
    pub fn cells(self) -> &'static str {
        match self {
            Family::TimmNasnet => "nasnet_a_timm.cell",
            Family::TimmPnasnet => "pnasnet_5.cell",
            Family::KerasNasnet => "nasnet_a_keras.cell",
        }
    }

    /// The net of the library that has a stem of this many filters.
    fn net(self, stem: usize) -> Option<&'static str> {
        match (self, stem) {
            (Family::TimmNasnet | Family::KerasNasnet, 96) => Some("imagenet_large"),
            // Keras's mobile net: what goes around its reductions differs from the large one's too.
            (Family::KerasNasnet, 32) => Some("imagenet"),
            (Family::TimmPnasnet, 96) => Some("pnasnet_large"),
            (Family::TimmNasnet | Family::TimmPnasnet | Family::KerasNasnet, _) => None,
        }
    }
}

impl Origin {
    /// What the names and shapes of a file say.
    ///
    /// # Errors
    /// A sentence, if they are those of none of the networks.
    pub fn of(listing: &Listing) -> Result<Origin, String> {
        let known = [timm::nasnet(listing), timm::pnasnet(listing), keras::nasnet(listing)];
        known.into_iter().flatten().next().ok_or_else(|| {
            let names: Vec<&str> = listing.keys().map(String::as_str).collect();
            format!(
                "neither timm's nasnet or pnasnet nor Keras's NASNet with its classifier; it has {}",
                listed(&names)
            )
        })
    }

    fn request(&self, module: &Module, config: &ImportConfig<'_>) -> Result<Request, String> {
        let Some(net) = config.net.or_else(|| self.family.net(self.stem)) else {
            return Err(format!(
                "no net of the library has a stem of {} filters for {}; name a net, of cells of your own \
                 if need be",
                self.stem,
                self.family.name()
            ));
        };
        let request = Request::new(net, self.scale);
        let own = module.net(net).map(|net| net.input);
        let size = match (config.image_size, own) {
            (Some(size), _) => [size, size],
            (None, Some([height, width, _])) => [height, width],
            // An unknown net, which compilation tells about.
            (None, None) => return Ok(request),
        };
        let image = TensorType::new(self.channels, size[0], size[1]);
        Ok(request.with_data(image, self.classes))
    }
}

/// For each parameter of the graph, in order, the tensor of the file.
///
/// # Errors
/// A sentence that names the tensors the file lacks, then those that no parameter takes, then those of
/// another shape.
pub fn assign(family: Family, graph: &Graph, listing: &Listing) -> Result<Vec<Source>, String> {
    let places = Places::of(graph);
    let mut sources = Vec::with_capacity(graph.params.len());
    for param in &graph.params {
        let source = places.parse(&param.path).and_then(|place| match family {
            Family::TimmNasnet => timm::source(&places, &place, false),
            Family::TimmPnasnet => timm::source(&places, &place, true),
            Family::KerasNasnet => keras::source(&places, &place),
        });
        sources.push(source.ok_or_else(|| {
            format!("{} has nothing for the parameter `{}`", family.name(), param.path)
        })?);
    }
    let wanted: BTreeSet<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    let is_there = |name: &&&str| listing.contains_key(**name);
    let missing: Vec<&str> = wanted.iter().filter(|name| !is_there(name)).copied().collect();
    if !missing.is_empty() {
        return Err(format!("it lacks {}", listed(&missing)));
    }
    let is_extra = |name: &&str| !wanted.contains(name) && !family.is_bookkeeping(name, &wanted);
    let extra: Vec<&str> = listing.keys().map(String::as_str).filter(is_extra).collect();
    if !extra.is_empty() {
        return Err(format!("nothing in the network takes {}", listed(&extra)));
    }
    let mut wrong = Vec::new();
    for (param, source) in graph.params.iter().zip(&sources) {
        let found = &listing[&source.name];
        let mut expected = vec![0; source.axes.len()];
        for (&side, &axis) in param.shape.iter().zip(source.axes) {
            expected[axis] = side;
        }
        if *found != expected {
            wrong.push(format!("`{}` is {found:?}, expected {expected:?}", source.name));
        }
    }
    if !wrong.is_empty() {
        return Err(format!("shapes differ: {}", cut(&wrong)));
    }
    Ok(sources)
}

impl Family {
    /// True for what training leaves in a file and no network computes with: PyTorch's count of batches
    /// beside a normalization that is used.
    fn is_bookkeeping(self, name: &str, wanted: &BTreeSet<&str>) -> bool {
        match self {
            Family::TimmNasnet | Family::TimmPnasnet => {
                let norm = name.strip_suffix(".num_batches_tracked");
                norm.is_some_and(|norm| wanted.contains(format!("{norm}.running_mean").as_str()))
            }
            Family::KerasNasnet => false,
        }
    }
}

/// The first names, and how many more there are.
fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        return "no tensor".into();
    }
    cut(&names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>())
}

/// The first texts, and how many more there are.
fn cut(texts: &[String]) -> String {
    let shown = texts[..texts.len().min(LISTED)].join(", ");
    match texts.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// The numbers of a tensor in the order of a parameter of this shape.
fn permuted(values: Vec<f32>, shape: &[usize], axes: &[usize]) -> Vec<f32> {
    if axes.is_sorted() {
        return values;
    }
    let mut sides = vec![0; axes.len()];
    for (&side, &axis) in shape.iter().zip(axes) {
        sides[axis] = side;
    }
    let stride = |axis: usize| sides[axis + 1..].iter().product::<usize>();
    let strides: Vec<usize> = axes.iter().map(|&axis| stride(axis)).collect();
    let mut index = vec![0; shape.len()];
    let mut at = 0;
    let mut result = Vec::with_capacity(values.len());
    for _ in 0..values.len() {
        result.push(values[at]);
        for axis in (0..shape.len()).rev() {
            index[axis] += 1;
            at += strides[axis];
            if index[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            index[axis] = 0;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_permuted() {
        // [kh, kw, in, out] = [1, 2, 3, 2] to [out, in, kh, kw].
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        let found = permuted(values, &[2, 3, 1, 2], &[3, 2, 0, 1]);
        assert_eq!(found, [0., 6., 2., 8., 4., 10., 1., 7., 3., 9., 5., 11.]);
        let found = permuted(vec![0., 1., 2., 3., 4., 5.], &[2, 3], &[1, 0]);
        assert_eq!(found, [0., 2., 4., 1., 3., 5.]);
    }

    #[test]
    fn long_lists_are_cut() {
        assert_eq!(listed(&[]), "no tensor");
        assert_eq!(listed(&["a", "b"]), "`a`, `b`");
        assert_eq!(listed(&["a", "b", "c", "d", "e", "f"]), "`a`, `b`, `c`, `d`, `e` and 1 more");
    }
}
