//! Training: one binary.

mod common;
mod metrics;
mod partial;
mod probes;
