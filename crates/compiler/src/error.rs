//! What can go wrong in compilation.

use std::fmt;

/// A stage of compilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// The graph as it was given.
    Graph,
    /// The graph after rewriting.
    Optimized,
    /// Kernels and memory.
    Lowered,
    /// Machine code.
    Code,
    /// Memory for states, outputs and what lives during a run.
    Memory,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Stage::Graph => "graph",
            Stage::Optimized => "optimize",
            Stage::Lowered => "lower",
            Stage::Code => "codegen",
            Stage::Memory => "memory",
        })
    }
}

/// A graph could not be compiled.
#[derive(Debug, thiserror::Error)]
#[error("{stage}: {source}")]
pub struct CompileError {
    /// Where it failed.
    pub stage: Stage,
    /// Why.
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl CompileError {
    /// An error of a stage.
    pub(crate) fn at<E: std::error::Error + Send + Sync + 'static>(
        stage: Stage,
    ) -> impl FnOnce(E) -> CompileError {
        move |source| CompileError { stage, source: Box::new(source) }
    }
}
