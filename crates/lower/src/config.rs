//! What can be chosen.

use crate::Isa;

/// Choices for lowering. The default is the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Config {
    /// Which operators share kernels.
    pub fusion: Fusion,
    /// What products of matrices are made of: code for it runs only where the machine has it ([`Isa::detect`]).
    pub isa: Isa,
}

/// Which operators are computed together in one kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Fusion {
    /// None: each operator that computes anything is a kernel of its own and writes its result to memory, as in frameworks
    /// that run operator by operator. What only moves or repeats values is still read in place.
    Separate,
    /// Those for which that is cheaper: a value is computed again by each of its users, or written to memory and read; what
    /// is made element by element of a product or a sum is made where that is; reductions of the same data share a pass.
    #[default]
    Priced,
}
