//! Rewrites graphs into cheaper equal ones.
//!
//! Tier 0 rebuilds the graph with what is better in every graph. An e-graph then holds many equal graphs at once, made by
//! rules that are data ([`rules()`]); a cost model picks the cheapest. The result is never dearer than the graph given.
//!
//! ```
//! use bespoke_graph::{Graph, op::Unary};
//! use bespoke_optimize::{Config, optimize};
//! use bespoke_tensor::{DType, Type};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", Type::new(DType::F32, [3]))?;
//! let s = g.unary(Unary::Sigmoid, x);
//! let y = g.unary(Unary::Log, s);
//! g.set_output("y", y)?;
//! let (result, report) = optimize(&g, &Config::default())?;
//! assert!(result.to_string().contains("softplus"), "log σ(x) = −softplus(−x)");
//! assert!(report.to_string().contains("functions/log-sigmoid"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! **Invariant**: the result has the same inputs, states and outputs; equal graphs give equal results.

mod bodies;
mod candidates;
mod config;
mod cost;
mod einsum;
mod error;
mod example;
mod extract;
mod findings;
mod language;
mod loops;
mod machine;
mod notes;
mod operations;
mod optimize;
mod pattern;
mod proof;
mod regions;
mod rematerialise;
mod report;
mod rule;
mod rules;
mod saturate;
mod stores;
mod tier0;
mod trace;
mod view;
mod why;
mod witness;

#[cfg(test)]
mod tests;

pub use candidates::{Whole, candidates};
pub use config::{Config, Extraction, Minimise, Rounding};
pub use cost::graph as modelled;
pub use error::OptimizeError;
pub use machine::Machine;
pub use notes::{RuleTime, Timings};
pub use operations::{elementary_operations, operations};
pub use optimize::{optimize, optimize_timed};
pub use proof::{Leaf, Proof, Step, expression};
pub use rematerialise::{Policy, Rematerialised, rematerialise};
pub use report::{Candidate, Finding, Fired, Report, Saturation, Share, Stop};
pub use rule::{RuleInfo, rules};
pub use why::{Alternative, Origin, RuleUse, Why, why};
