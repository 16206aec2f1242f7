//! The language that models are written in: values with operators, layers, losses, optimisers, and the training loop.

mod checkpoint;
mod dims;
mod error;
mod feed;
mod graph;
mod init;
mod interrupt;
mod layers;
mod losses;
mod movement;
mod optimizer;
mod products;
mod progress;
mod prune;
mod query;
mod random;
mod reductions;
mod scan;
mod summary;
mod trainer;
mod training;
mod value;

pub use bespoke_tensor::DType::{self, Bool, F32, F64, I32, I64, U8, U32};
pub use dims::Dims;
pub use error::{BuildError, TrainError};
pub use graph::{Graph, Layer, Parameter};
pub use init::Init;
pub use optimizer::{Adam, AdamW, Optimizer, Sgd};
pub use prune::live_part;
pub use query::Query;
pub use scan::{Scan, Scanned};
pub use summary::{Summary, flop, flop_text, thousands};
pub use trainer::Trainer;
pub use training::{Epochs, History, Measured, Training};
pub use value::{Operand, Value};
