//! Code for vectors that are wider than Cranelift's: x86-64, encoded by `iced-x86`.

pub mod assembler;
pub mod copy;
mod emit;
mod evaluate;
mod instructions;
pub mod kernel;
mod reduce;
mod registers;
pub mod tile;
mod vector;
