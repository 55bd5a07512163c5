//! Networks that leave cellc: as files for other programs, or as parts of other networks.
//!
//! - [`fold`] takes the arithmetic of batch normalizations into the convolutions before them.
//! - [`features`] is a network's body without its head, at any image size: the maps that a detector reads.
//! - `onnx`, with the feature of that name, writes either as an ONNX file.

pub mod features;
pub mod fold;
#[cfg(feature = "onnx")]
pub mod onnx;
