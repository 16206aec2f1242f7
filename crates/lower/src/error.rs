//! What can go wrong in lowering.

/// A graph cannot be lowered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LowerError {
    /// The memory of the program cannot be addressed.
    #[error("the program needs more memory than can be addressed")]
    TooLarge,
}
