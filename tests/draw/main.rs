//! Pictures: that all that is in a cell is in its picture, that nothing lies on anything else, and that
//! what is written is well-formed.

mod contents;
mod figures;
mod geometry;
mod pictures;
mod program;
