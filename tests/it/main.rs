//! Integration tests: one binary.

mod columns;
mod compact;
mod compositions;
mod contractive;
mod coverage;
mod derivatives;
mod extremes;
mod footprint;
mod goldens;
mod laws;
mod lstm;
mod memory;
mod orders;
mod pytorch;
mod random;
mod regressions;
mod samples;
mod snapshots;
mod threads;
