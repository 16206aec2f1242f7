//! What was done, in words and figures.

use std::{collections::BTreeMap, fmt};

/// What the optimiser did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Live nodes of the graph as it came.
    pub nodes_before: usize,
    /// Live nodes of the result.
    pub nodes_after: usize,
    /// How often each always-better rule was applied.
    pub simplified: BTreeMap<&'static str, usize>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} nodes -> {}", self.nodes_before, self.nodes_after)?;
        for (rule, count) in &self.simplified {
            writeln!(f, "  {rule}: {count}")?;
        }
        Ok(())
    }
}
