//! Runs compiled programs: memory, states, threads.
//!
//! [`Compiled`] is a program with its machine code, immutable and shared. An [`Executable`] is one with its own memory:
//! arena, states and output tensors, which are used again from run to run.

mod contraction;
#[allow(unsafe_code)] // calls machine code on raw buffers; every block says why it may
mod dispatch;
mod error;
#[allow(unsafe_code)] // hands its memory to machine code; the block says why it may
mod executable;
#[allow(unsafe_code)] // calls machine code on raw buffers; every block says why it may
mod product;
mod sort;
mod team;

pub use error::RunError;
pub use executable::{Compiled, Executable, Outputs};
