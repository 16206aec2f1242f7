//! What can go wrong with graphs.

use std::{fmt, panic::Location};

use bespoke_tensor::Type;

/// An operator was applied to operands that it does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphError {
    /// The operator's name.
    pub operator: String,
    /// The operands' types.
    pub operands: Vec<Type>,
    /// The rule that is broken, with what was expected and what came.
    pub rule: String,
    /// Where the user's program asked for it.
    pub location: Option<&'static Location<'static>>,
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(l) = self.location {
            write!(f, "{}:{}: ", l.file(), l.line())?;
        }
        write!(f, "{}", self.operator)?;
        if !self.operands.is_empty() {
            let types: Vec<_> = self.operands.iter().map(Type::to_string).collect();
            write!(f, "({})", types.join(", "))?;
        }
        write!(f, ": {}", self.rule)
    }
}

impl std::error::Error for GraphError {}

/// A text is not a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct ParseError {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What was expected and what came.
    pub message: String,
}

/// A graph cannot be evaluated on what was given.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// An input or state has no value.
    #[error("{kind} `{name}` of type {ty} has no value")]
    Missing {
        /// `input` or `state`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Its type.
        ty: Type,
    },
    /// There is no memory for a value.
    #[error("{node}: there is no memory for {ty}")]
    Memory {
        /// The node.
        node: crate::NodeId,
        /// Its type.
        ty: Type,
    },
    /// A value has another type than its input or state.
    #[error("{kind} `{name}`: expected {expected}, got {got}")]
    WrongType {
        /// `input` or `state`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// The type in the graph.
        expected: Type,
        /// The value's type.
        got: Type,
    },
}
