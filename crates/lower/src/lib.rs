//! From graph to [`Program`]: which values are computed together in one kernel, how its loops run, and where every
//! buffer lies.
//!
//! Lowering pulls: a kernel asks its values for the element at an index, each asks its operands, and so on down to
//! buffers ([`bespoke_graph::Define`]). Which values become buffers is decided first (module `partition`).

mod arena;
mod builder;
mod config;
mod contraction;
mod convolution;
mod error;
mod launches;
mod lines;
mod nest;
mod partition;
mod plan;
mod program;
mod pushes;
mod scan;
mod schedule;
mod setup;
mod split;
mod strided;
mod text;
mod tile;
mod verify;
mod windows;

pub use config::{Config, Fusion};
pub use contraction::{Codes, Contraction, Extents, Gathered, Panels, Reading, Side};
pub use error::LowerError;
pub use lines::Sort;
pub use plan::lower;
pub use program::{Buffer, BufferIndex, Carry, Launch, Loop, Place, Program, Slot, StateSlot, Work};
pub use tile::{Access, CopyCode, Isa, Lines, Tile, TileCode, Vectors};
pub use verify::verify;
