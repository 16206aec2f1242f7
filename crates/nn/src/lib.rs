//! The language that models are written in: values with operators, layers, losses, optimisers, and the training loop.

mod checkpoint;
mod error;
mod graph;
mod init;
mod interrupt;
mod layers;
mod losses;
mod movement;
mod optimizer;
mod progress;
mod summary;
mod trainer;
mod value;

pub use bespoke_tensor::DType::{self, Bool, F32, F64, I32, I64, U8, U32};
pub use error::{BuildError, TrainError};
pub use graph::{Graph, Layer, Parameter};
pub use init::Init;
pub use optimizer::{Adam, Optimizer, Sgd};
pub use summary::{Summary, flop, flop_text, thousands};
pub use trainer::{Epochs, History, Measured, Trainer, Training};
pub use value::{Operand, Value};
