//! Loops of graphs.

mod batch;
mod fission;

pub use fission::fission;
