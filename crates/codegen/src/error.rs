//! What can go wrong in code generation.

/// Machine code could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CodegenError {
    /// This machine or its settings are not supported by Cranelift.
    #[error("no code can be generated for this machine: {0}")]
    Machine(String),
    /// Kernels break the rules of [`bespoke_loops::verify`].
    #[error("{0}")]
    Invalid(String),
    /// Cranelift refused a function.
    #[error("{function}: {reason}")]
    Function {
        /// The kernel's name.
        function: String,
        /// Cranelift's words.
        reason: String,
    },
    /// Memory for code could not be had.
    #[error("memory for machine code: {0}")]
    Memory(String),
}
