//! What the tests of the compiler are made of: random graphs, an interpreter of programs, bounds on rounding, gradient
//! checks, and the shrinking of failures.
//!
//! The chain of oracles is `eval` (the meaning of a graph) = [`interpret_program`] (the meaning of its program) =
//! machine code. Results in floats differ by rounding: [`reference()`] carries a bound on it through the graph, element
//! by element, so that comparisons stay strict where values are well conditioned, and say nothing where they are not.

mod compare;
mod gradient;
mod inputs;
mod interpret;
mod operators;
mod patterns;
mod random;
mod random_bodies;
mod random_lines;
mod random_picks;
mod random_windows;
mod reference;
mod rng;
mod shrink;
mod unroll;

pub use compare::{Tolerance, compare, compare_values};
pub use gradient::gradient_check;
pub use inputs::random_inputs;
pub use interpret::interpret_program;
pub use random::random_graph;
pub use reference::{Bounded, Reference, reference, reference_of_rewritten};
pub use rng::Rng;
pub use shrink::{save_failure, shrink};
pub use unroll::unroll;
