//! What can go wrong with data.

use std::path::{Path, PathBuf};

use bespoke_tensor::TensorError;

/// A mistake in data or its use.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A file or directory could not be read, or holds something else than it should.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A stream does not hold what it should.
    #[error("{0}")]
    Stream(String),
    /// A label is not a class.
    #[error("{name}: label {value} at index {index}; {}", expected_labels(*classes))]
    Label {
        /// The data set.
        name: String,
        /// Which label.
        index: usize,
        /// The label.
        value: i64,
        /// The number of classes.
        classes: usize,
    },
    /// A tensor is not of the type it should be.
    #[error("{what}: expected {expected}, got {got}")]
    Type {
        /// Which tensor.
        what: String,
        /// What it should be.
        expected: String,
        /// What it is.
        got: String,
    },
    /// Batches of no examples.
    #[error("a batch size of 0; expected at least 1")]
    BatchSize,
    /// What a data set, a transform or a tokeniser was asked to be makes no sense.
    #[error("{what}: {reason}")]
    Argument {
        /// What was asked for.
        what: String,
        /// What was expected, and what came.
        reason: String,
    },
    /// Reading or transforming examples in the background ended in a panic.
    #[error("{name}: the thread that reads examples panicked: {message}")]
    Panicked {
        /// The data set.
        name: String,
        /// The panic's message.
        message: String,
    },
    /// The fields of a data set are not those that are needed.
    #[error("{name}: {reason}")]
    Fields {
        /// The data set.
        name: String,
        /// What is wrong with them.
        reason: String,
    },
    /// A row that does not exist was asked for.
    #[error("{name}: row {index}; expected one of {rows} rows")]
    Row {
        /// The data set.
        name: String,
        /// The row.
        index: usize,
        /// The number of rows there are.
        rows: usize,
    },
    /// A tensor could not be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

impl DataError {
    /// A file error at `path`; `reason` is anything that says what is wrong with it.
    pub(crate) fn file(path: &Path, reason: impl std::fmt::Display) -> DataError {
        DataError::File { path: path.to_owned(), reason: reason.to_string() }
    }

    /// An argument that makes no sense.
    pub(crate) fn argument(what: impl std::fmt::Display, reason: impl std::fmt::Display) -> DataError {
        DataError::Argument { what: what.to_string(), reason: reason.to_string() }
    }
}

fn expected_labels(classes: usize) -> String {
    match classes {
        0 => "there are no classes".to_owned(),
        _ => format!("expected labels from 0 to {}", classes - 1),
    }
}
