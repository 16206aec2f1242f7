//! What may be done, and how long.

use bespoke_graph::Graph;

use crate::{Machine, Policy};

/// How the result of a rewrite may differ from the original. Each class allows the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Rounding {
    /// Not at all: equal bits for all operands, infinities and NaN included (any NaN is equal to any other).
    Exact,
    /// As a sum in another order does: both sides are equal in real arithmetic wherever the original is defined; rounding,
    /// overflow, underflow and the sign of zero may differ. A quantity may be cancelled only where it cannot be zero for
    /// finite operands (such as eˣ).
    #[default]
    Reassociates,
    /// The original is taken to be defined and finite for the operands that come: `x/x` is 1, `0·x` is 0.
    AssumesFinite,
}

/// What the graph that is chosen has least of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Minimise {
    /// Nanoseconds of the modelled machine: for programs.
    #[default]
    Time,
    /// [Operations](crate::operations()), and among equally few, time: for formulas that people read. Rules that turn formulas
    /// round are tried, too.
    Operations,
    /// [Elementary operations](crate::elementary_operations), likewise: where the logistic function and softplus are to be
    /// written by exponentials and logarithms.
    Elementary,
}

/// Which graph is taken from an e-graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Extraction {
    /// The cheapest that is found.
    #[default]
    Cheapest,
    /// The graph given, changed one value at a time as long as that makes it cheaper.
    ImprovedInput,
    /// For each value alone what is cheapest for it.
    Greedy,
    /// The greedy choice, changed one value at a time as long as that makes it cheaper.
    ImprovedGreedy,
}

impl Extraction {
    /// What the report calls it; none for the cheapest, whichever that is.
    pub(crate) fn name(self) -> Option<&'static str> {
        match self {
            Extraction::Cheapest => None,
            Extraction::ImprovedInput => Some("improved input"),
            Extraction::Greedy => Some("greedy"),
            Extraction::ImprovedGreedy => Some("improved greedy"),
        }
    }
}

/// Choices for optimisation. The bounds are counts, never clocks, so that equal graphs are rewritten equally.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Search for the cheapest equal graph with an e-graph, after the rules that are always better.
    pub egraph: bool,
    /// The loosest class of rewrites that is allowed.
    pub rounding: Rounding,
    /// What the result has least of.
    pub minimise: Minimise,
    /// At most so many rounds of rewriting in the e-graph.
    pub iterations: usize,
    /// Rewriting stops when the e-graph has so many times the nodes of the graph.
    pub growth: usize,
    /// A rule is applied at most so many times a round.
    pub matches_per_rule: usize,
    /// What is computed again, at the end, rather than kept in memory.
    pub policy: Policy,
    /// Which graph is taken from an e-graph. One that is dearer than the graph given is not taken.
    pub extraction: Extraction,
    /// The machine to decide for. The default decides alike everywhere.
    pub machine: Machine,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            egraph: true,
            rounding: Rounding::Reassociates,
            minimise: Minimise::Time,
            iterations: 6,
            growth: 10,
            matches_per_rule: 500,
            policy: Policy::KeepAll,
            extraction: Extraction::Cheapest,
            machine: Machine::fixed(),
        }
    }
}

/// The nodes of a formula's e-graph, about.
const FORMULA_NODES: usize = 2000;

impl Config {
    /// For a formula of scalars that people read: as few operations as possible, values taken to be finite (so that x/x is 1),
    /// and a search as wide as a graph of this size allows.
    pub fn formula(graph: &Graph) -> Config {
        Config {
            rounding: Rounding::AssumesFinite,
            minimise: Minimise::Operations,
            iterations: 12,
            growth: (FORMULA_NODES / graph.len().max(1)).clamp(4, 400),
            matches_per_rule: 2000,
            ..Config::default()
        }
    }
}
