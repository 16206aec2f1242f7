//! What can go wrong in building and training models.

use std::{fmt, panic::Location, path::PathBuf};

use bespoke_autodiff::GradError;
use bespoke_compiler::CompileError;
use bespoke_data::DataError;
use bespoke_graph::{EvalError, GraphError, ParseError};
use bespoke_runtime::RunError;
use bespoke_tensor::{TensorError, Type};

/// A mistake in a model, at a line of the user's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    /// The line, if known.
    pub location: Option<&'static Location<'static>>,
    /// What is wrong.
    pub message: String,
}

impl BuildError {
    pub(crate) fn new(location: &'static Location<'static>, message: String) -> BuildError {
        BuildError { location: Some(location), message }
    }
}

impl From<GraphError> for BuildError {
    fn from(error: GraphError) -> BuildError {
        let location = error.location;
        BuildError { location, message: GraphError { location: None, ..error }.to_string() }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.location {
            Some(l) => write!(f, "{}:{}: {}", l.file(), l.line(), self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for BuildError {}

/// What can go wrong from a model to a trained one. `Debug` prints what `Display` does, so that a `main` that returns it
/// ends with a readable message.
#[derive(thiserror::Error)]
pub enum TrainError {
    /// The model has a mistake.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The model could not be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// A program was given what it does not take.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The data do not fit the model.
    #[error("{0}")]
    Data(String),
    /// The data are not sound by themselves, or could not be read.
    #[error(transparent)]
    Dataset(#[from] DataError),
    /// A tensor could not be made or seen as wanted.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// An operator of a graph in the compiler's form was applied to what it does not take.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A text is not a graph.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// The reference evaluator lacks a value.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// There is no such derivative.
    #[error(transparent)]
    Grad(#[from] GradError),
    /// What else a program reads or writes.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The loss is no number any more.
    #[error(
        "the loss is {loss} at step {step} of epoch {epoch}; the parameters are those from before that epoch. A smaller learning rate may help"
    )]
    NotFinite {
        /// The loss.
        loss: f64,
        /// The step of the epoch, from 1.
        step: usize,
        /// The epoch, from 1.
        epoch: usize,
    },
    /// Something made a value that is not finite, and [`Trainer::detect_anomalies`](crate::Trainer::detect_anomalies) was asked for.
    #[error(
        "{}{what} gave {value} in {ty} at step {step} of epoch {epoch}; the states are those from before that epoch",
        at(location)
    )]
    Anomaly {
        /// The first operator, input or state that did.
        what: String,
        /// The type of its value.
        ty: Type,
        /// NaN or an infinity.
        value: f64,
        /// The line of the user's that made it, or of which it is the derivative.
        location: Option<&'static Location<'static>>,
        /// The step of the epoch, from 1.
        step: usize,
        /// The epoch, from 1.
        epoch: usize,
    },
    /// A state of another type was given or found.
    #[error("state `{name}`: expected {expected}, got {got}")]
    State {
        /// Its name.
        name: String,
        /// Its type.
        expected: Type,
        /// What came.
        got: Type,
    },
    /// There is no such state.
    #[error("there is no state `{name}`")]
    UnknownState {
        /// The name.
        name: String,
    },
    /// A file could not be read or written.
    #[error("{}: {reason}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file lacks a tensor of the model.
    #[error("{}: there is no tensor `{name}` ({ty})", path.display())]
    MissingTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The type that the model has.
        ty: Type,
    },
    /// A tensor of a file is not of the model's type.
    #[error("{}: tensor `{name}`: expected {expected}, got {got}", path.display())]
    WrongTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name.
        name: String,
        /// The model's type.
        expected: Type,
        /// The file's.
        got: String,
    },
}

/// `model.rs:7: `.
fn at(location: &Option<&Location<'_>>) -> String {
    location.map_or(String::new(), |l| format!("{}:{}: ", l.file(), l.line()))
}

impl fmt::Debug for TrainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
