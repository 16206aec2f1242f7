//! What can be chosen.

use bespoke_lower::Fusion;

/// Choices for compilation. The default optimises and uses all threads of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// How to rewrite the graph; `None` compiles it as it is.
    pub optimize: Option<bespoke_optimize::Config>,
    /// Which operators share kernels.
    pub fusion: Fusion,
    /// The number of threads that share large kernels, at most 64; 0: as many as the machine has. Results do not depend on it.
    pub threads: usize,
    /// Keep the text of the intermediate code for inspection; it costs a little time.
    pub keep_text: bool,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            optimize: Some(bespoke_optimize::Config::default()),
            fusion: Fusion::default(),
            threads: 0,
            keep_text: false,
        }
    }
}
