//! Shared by the tests of the syntax: random trees, and trees without what printing may change.

#![allow(dead_code, reason = "each test file uses its part")]

pub mod erase;
pub mod trees;
