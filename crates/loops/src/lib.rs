//! The loop language: what a kernel computes, element by element.
//!
//! A [`Kernel`] is a pure arena of hash-consed expressions ([`Exprs`]) and a tree of statements ([`Stmt`]) that run
//! them. Its body is one outermost loop whose range is handed to workers in pieces; a loop may be marked as vector
//! loop, which changes how it is translated and not what it means. Buffers are flat; an index is an element number.
//!
//! Index arithmetic ([`Exprs::index_add`] and its kin) is kept in affine normal form and simplified with the ranges of
//! the loop variables, so that a fused reshape or transpose leaves no division behind.

mod expr;
mod index;
mod interpret;
mod kernel;
pub mod math;
mod parse;
pub mod placement;
mod text;
mod verify;

pub use expr::{Affine, BinaryFn, Expr, ExprId, Exprs, Function, FunctionCode, UnaryFn};
pub use interpret::{InterpretError, apply_binary, apply_combine, apply_unary, interpret};
pub use kernel::{Acc, AccId, Access, Buffer, BufferId, Combine, Kernel, LoopKind, Stmt, Store, VarId};
pub use parse::{ParseError, parse_kernel};
pub use verify::verify;
