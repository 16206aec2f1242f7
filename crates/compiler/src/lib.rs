//! The driver: from a graph to an executable.
//!
//! ```
//! use bespoke_compiler::{Config, compile};
//! use bespoke_graph::{Graph, op::Unary};
//! use bespoke_tensor::{DType, Tensor, Type};
//!
//! let mut g = Graph::new();
//! let x = g.input("x", Type::new(DType::F32, [3]))?;
//! let y = g.unary(Unary::Tanh, x);
//! g.set_output("y", y)?;
//! let mut executable = compile(&g, &Config::default(), &mut |_| ())?;
//! let outputs = executable.run(&[("x", &Tensor::from_vec([3], vec![0.0f32, 1.0, f32::INFINITY])?)])?;
//! assert_eq!(outputs.get("y").unwrap().view::<f32>()?[2], 1.0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub use bespoke_lower::{Fusion, Isa};

mod cache;
mod calibration;
mod config;
mod error;
mod measure;
mod pipeline;

pub use cache::clear as clear_cache;
pub use calibration::{load_machine, machine_file, save_machine};
pub use config::Config;
pub use error::{CompileError, Stage};
pub use pipeline::{Artifact, Event, compile};
