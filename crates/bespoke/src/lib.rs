//! A symbolic compute-graph compiler for neural networks.
//!
//! A model is a static dataflow graph written with [`Graph`](nn::Graph) and [`Value`](nn::Value), differentiated
//! symbolically, rewritten, lowered to kernels and compiled to native code. This crate only re-exports the others.
//!
//! ```
//! use bespoke::prelude::*;
//!
//! let g = Graph::new();
//! let x = g.input("x", F32, [2]);
//! g.output("y", (x * 2.0 + 1.0).tanh());
//! let mut program = g.compile()?;
//! let outputs = program.run(&[("x", &Tensor::from_vec([2], vec![0.0f32, -0.5])?)])?;
//! assert_eq!(outputs.get("y").unwrap().view::<f32>()?[1], 0.0);
//! # Ok::<(), bespoke::Error>(())
//! ```
//!
//! Training, with real digits that come along:
//!
//! ```no_run
//! use bespoke::prelude::*;
//!
//! fn main() -> Result<(), bespoke::Error> {
//!     let digits = data::mnist_bundled();
//!
//!     let g = Graph::new();
//!     let x = g.input("image", F32, [128, 784]);
//!     let y = g.input("label", I32, [128]);
//!     let logits = x.dense(256).relu().dense(10);
//!     let loss = logits.cross_entropy(y).mean();
//!
//!     let mut training = Trainer::new(loss, Sgd::new(0.1).momentum(0.9))
//!         .metric("accuracy", logits.accuracy(y))
//!         .compile()?;
//!     println!("{}", training.summary());
//!     training.fit(&digits.train, &digits.test, Epochs(5))?;
//!     training.save("digits.safetensors")
//! }
//! ```

pub use bespoke_autodiff as autodiff;
pub use bespoke_compiler as compiler;
pub use bespoke_data as data;
pub use bespoke_graph as graph;
pub use bespoke_inspect as inspect;
pub use bespoke_nn as nn;
pub use bespoke_optimize as optimize;
pub use bespoke_runtime as runtime;
pub use bespoke_tensor as tensor;
pub use bespoke_zoo as zoo;

/// Any error of the crates below, for `main` and `?`.
pub use bespoke_nn::TrainError as Error;

/// What most programs use.
pub mod prelude {
    pub use bespoke_compiler::{Config, compile};
    pub use bespoke_data::{self as data, Dataset};
    pub use bespoke_nn::{
        Adadelta, Adagrad, Adam, AdamW, Attention, Bool, Branches, Checkpoints, Constraint, Conv, CsvLog,
        DType, EarlyStopping, Epochs, F32, F64, Graph, Group, History, I32, I64, Init, Lamb, Lion, Metric,
        Module, MultiHead, Norm, Objective, Optimizer, Padding, Pairs, Pool, Query, Recurrent,
        ReduceOnPlateau, Residual, RmsProp, Schedule, Sequential, Sgd, Steps, TensorBoard, Trainer, Training,
        U8, U32, Update, Value, averages,
    };
    pub use bespoke_runtime::Executable;
    pub use bespoke_tensor::{Scalar, Shape, Tensor, Type};
}

/// The programs of the guide, as tests.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../../../docs/guide/1-first-model.md")]
    struct FirstModel;
    #[doc = include_str!("../../../docs/guide/2-custom-layer.md")]
    struct CustomLayer;
    #[doc = include_str!("../../../docs/guide/3-custom-loss.md")]
    struct CustomLoss;
    #[doc = include_str!("../../../docs/guide/4-custom-training-loop.md")]
    struct CustomTrainingLoop;
    #[doc = include_str!("../../../docs/guide/5-transfer.md")]
    struct Transfer;
}
