//! What can go wrong with tensors.

use std::path::{Path, PathBuf};

use crate::{DType, Shape, Type};

/// A mistake in the use of shapes, tensors or tensor files.
#[derive(Debug, thiserror::Error)]
pub enum TensorError {
    /// The name is not an element type's.
    #[error("unknown element type `{0}`; expected f32, f64, i32, i64, u8, u32 or bool")]
    UnknownDType(String),
    /// More than [`MAX_RANK`](crate::MAX_RANK) dimensions.
    #[error("a shape of rank {0}; at most 8 dimensions are supported")]
    Rank(usize),
    /// The number of elements does not fit.
    #[error("the shape {0:?} has too many elements")]
    TooLarge(Vec<usize>),
    /// A view of one type was asked of a tensor of another.
    #[error("expected a tensor of {expected}, got {got}")]
    WrongDType {
        /// The type asked for.
        expected: DType,
        /// The tensor's type.
        got: Type,
    },
    /// The number of values is not the shape's.
    #[error("{shape} has {expected} elements, got {got} values")]
    WrongLength {
        /// The shape.
        shape: Shape,
        /// Its number of elements.
        expected: usize,
        /// The number of values given.
        got: usize,
    },
    /// There is no memory for a tensor.
    #[error("there is no memory for {0}, which takes {1} bytes")]
    Memory(Type, usize),
    /// The text is not a type such as `f32[2,3]`.
    #[error("`{0}` is not a type; expected something like f32[2,3]")]
    BadType(String),
    /// A stream does not hold the array or archive it should, or could not be read or written.
    #[error("{0}")]
    Stream(String),
    /// A file could not be read or written, or holds something else than it should.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl TensorError {
    /// A file error at `path`; `reason` is anything that says what is wrong with it.
    pub fn file(path: &Path, reason: impl std::fmt::Display) -> TensorError {
        TensorError::File { path: path.to_owned(), reason: reason.to_string() }
    }
}

impl From<std::io::Error> for TensorError {
    fn from(error: std::io::Error) -> TensorError {
        TensorError::Stream(error.to_string())
    }
}
