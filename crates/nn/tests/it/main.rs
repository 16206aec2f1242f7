//! Training: one binary.

mod anomalies;
mod callbacks;
mod checkpoints;
mod common;
mod kills;
mod metrics;
mod partial;
mod players;
mod probes;
mod schedules;
mod tensorboard;
