//! `cellc`: a language for neural-architecture search, its compiler, and a search that writes the
//! language it reads.
//!
//! Operations, cells and search spaces are text in `.cell` files. A file compiles to a network that is a
//! [dfdx](https://docs.rs/dfdx) module; a search fills the holes of a space and emits files of the same
//! language, which people diff, version, recompile at any N@F scale, and train. It is the system of Zoph
//! et al., "Learning Transferable Architectures for Scalable Image Recognition" (CVPR 2018), made a
//! language.

pub mod check;
pub mod compile;
pub mod data;
pub mod device;
pub mod diagnostic;
pub mod diff;
pub mod error;
pub mod graph;
pub mod ir;
pub mod network;
pub mod plan;
pub mod rng;
pub mod search;
pub mod source;
pub mod space;
pub mod storage;
pub mod syntax;
pub mod train;
