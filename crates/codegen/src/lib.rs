//! From loop kernels to machine code, through Cranelift.

mod assembled;
mod disassemble;
mod error;
#[allow(unsafe_code)] // owns executable memory; every block says why it may
mod module;
mod program;
mod scalar;
mod tile;
mod translate;
mod vector;

pub use error::CodegenError;
pub use module::{CopyFn, FunctionId, KernelFn, Module, ModuleBuilder, RANGE_ALIGNMENT, TileFn};
pub use program::{LaunchCode, ProgramCode, generate};
