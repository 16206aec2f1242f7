//! What can be chosen.

use bespoke_lower::{Fusion, Isa};

/// Choices for compilation. The default optimises and uses all threads of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// How to rewrite the graph; `None` compiles it as it is.
    pub optimize: Option<bespoke_optimize::Config>,
    /// So many of the optimiser's best graphs, if it is more than one, are compiled and timed on made-up values, and the fastest
    /// is kept: compilation takes as many times as long, and what is chosen may differ from run to run.
    pub measure: usize,
    /// Which operators share kernels.
    pub fusion: Fusion,
    /// What products of matrices are made of; the machine must have it.
    pub isa: Isa,
    /// The number of threads that share large kernels, at most 64; 0: as many as the machine has. Results do not depend on it.
    pub threads: usize,
    /// Keep the text of the intermediate code for inspection; it costs a little time.
    pub keep_text: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            optimize: Some(bespoke_optimize::Config::default()),
            measure: 0,
            fusion: Fusion::default(),
            isa: Isa::detect(),
            threads: 0,
            keep_text: false,
        }
    }
}
