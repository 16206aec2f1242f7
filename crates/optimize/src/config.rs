//! What can be chosen.

use crate::Rounding;

/// Choices for the optimiser.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Search with an e-graph, after the rules that always pay.
    pub egraph: bool,
    /// The loosest class of rewrites allowed.
    pub rounding: Rounding,
    /// Rounds of matching at most.
    pub iterations: usize,
    /// Growth of the e-graph at most: e-nodes per node of the graph.
    pub growth: usize,
    /// Matches of one rule that are applied in one round at most.
    pub matches_per_rule: usize,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            egraph: true,
            rounding: Rounding::default(),
            iterations: 6,
            growth: 10,
            matches_per_rule: 500,
        }
    }
}

/// A graph cannot be optimised.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptimizeError {}
