//! What can go wrong in a run.

use bespoke_lower::Isa;
use bespoke_tensor::Type;

/// A program cannot run on what was given. Nothing was computed, no state has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The code is for a machine with wider vectors.
    #[error("the code needs {0} vectors, which this machine does not have")]
    Isa(Isa),
    /// An input was not given.
    #[error("input `{name}` ({ty}) is missing")]
    MissingInput {
        /// Its name.
        name: String,
        /// Its type.
        ty: Type,
    },
    /// There is no input of this name.
    #[error("there is no input `{name}`; the inputs are {known}")]
    UnknownInput {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// There is no state of this name.
    #[error("there is no state `{name}`; the states are {known}")]
    UnknownState {
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A tensor has another type than its input or state.
    #[error("{kind} `{name}`: expected {expected}, got {got}")]
    WrongType {
        /// `input` or `state`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The type in the program.
        expected: Type,
        /// The type given.
        got: Type,
    },
    /// There is no memory for a state, an output or what lives during a run.
    #[error("there is no memory for {ty}")]
    Memory {
        /// The type.
        ty: Type,
    },
    /// An input that is used as index points outside.
    #[error("input `{name}`: element {position} is {value}, expected 0 to {last}")]
    IndexOutOfRange {
        /// The input's name.
        name: String,
        /// The flat position of the element.
        position: usize,
        /// Its value.
        value: i64,
        /// The last legal index.
        last: usize,
    },
}
