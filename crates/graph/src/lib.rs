//! The graph language: a neural network as a static dataflow graph.
//!
//! A [`Graph`] is an append-only list of hash-consed nodes, each an operator ([`Op`]) applied to earlier nodes, with
//! named outputs and states. Types are inferred when a node is added. Every operator's whole definition — types,
//! meaning, derivative, loop expression — is one file in [`op`].

mod attributes;
mod body;
mod build;
mod error;
mod eval;
mod freeze;
mod graph;
mod import;
mod indices;
pub mod op;
mod parse;
pub mod philox;
mod rebuild;
mod segments;
mod text;
mod verify;
mod windows;

pub use attributes::{Attribute, Attributes};
pub use body::Body;
pub use error::{EvalError, GraphError, ParseError};
pub use eval::{Values, eval, eval_all};
pub use graph::{Graph, Node, NodeId, State};
pub use import::inline_customs;
pub use indices::{IndexInput, check_constant_indices, index_inputs};
pub use op::{Define, Op, Operator};
pub use parse::parse;
pub use verify::verify;
pub use windows::Windows;
