//! `cellc`: a language for neural-architecture search, its compiler, and a search that writes the
//! language it reads.
//!
//! Operations, cells and search spaces are text in `.cell` files. A file compiles to a network that is a
//! [dfdx](https://docs.rs/dfdx) module; a search fills the holes of a space and emits files of the same
//! language, which people diff, version, recompile at any N@F scale, and train. It is the system of Zoph
//! et al., "Learning Transferable Architectures for Scalable Image Recognition" (CVPR 2018), made a
//! language.
//!
//! # The life of a file
//!
//! | stage | call | takes | gives | whose fault |
//! |---|---|---|---|---|
//! | parse | [`syntax::parse`] | text | [`syntax::ast::File`] | the user's: E01xx |
//! | check | [`check::check`], for files that use others [`link::link`] | tree | [`ir::Module`], its holes numbered | the user's: E02xx to E06xx |
//! | choose | [`compile::sample`], a [`search`] | module | [`space::Genotype`] | |
//! | lower | [`graph::lower::lower`] | module, genotype, net, N@F | [`graph::Graph`] | a scale or image that does not fit |
//! | simplify | [`graph::passes::simplify`] | graph | graph | nobody's |
//! | plan | [`plan::Plan::new`] | graph | [`plan::Plan`]: kernels and buffers, forward and backward | nobody's |
//! | run | [`network::Network`] | plan, parameters, images | logits, gradients | |
//! | import | [`import::import`] | weights of timm or Keras | network, [`train::Checkpoint`] | [`error::Error`] |
//! | train | [`train::fit`] | network, [`data`] | parameters, [`train::Checkpoint`] | [`error::Error`] |
//! | export | [`export`] | network | a file for other programs; a body without its head | [`error::Error`] |
//! | search | [`search::run`] | space, evaluator | new `.cell` files | [`error::Error`] |
//!
//! `cellc show FILE --stage …` prints each of the first six. [`compile`](mod@compile) calls them in order.
//!
//! # Five lines
//!
//! ```
//! use cellc::{compile::Request, source::SourceFile};
//!
//! let text = cellc::compile::embedded("nasnet_a.cell").expect("NASNet-A is in the library of cells");
//! let cells = SourceFile::new("nasnet_a.cell", text);
//! let network = cellc::compile(&cells, &Request::new("cifar", "1@24".parse()?), 0)?;
//! # let _ = network;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Conventions
//!
//! Shapes are `[N, C, H, W]`. The library never prints, exits, reads a clock or a global random
//! generator: progress is events, randomness a seed, time a parameter. The same input gives the same
//! bytes for any number of threads. What a user wrote wrongly is a [`diagnostic`] with a span; what goes
//! wrong at run time is one enum, [`error::Error`].

pub mod check;
pub mod compare;
pub mod compile;
pub mod data;
pub mod device;
pub mod diagnostic;
pub mod diff;
pub mod draw;
pub mod error;
pub mod evaluation;
pub mod export;
pub mod fix;
mod fnv;
pub mod graph;
pub mod import;
pub mod ir;
pub mod link;
#[cfg(feature = "lsp")]
pub mod lsp;
pub mod network;
pub mod plan;
mod report;
pub mod rng;
pub mod search;
pub mod source;
pub mod space;
pub mod storage;
pub mod syntax;
pub mod train;

pub use compile::compile;

/// Compiles the program text of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
