//! Derivatives as transformations of graphs into graphs: reverse mode ([`grad`], [`vjp`]), forward mode ([`jvp`]) and, of
//! both, products with Hessians ([`hvp`]), whole matrices ([`jacobian`], [`hessian`]) and numbers with several infinitesimal
//! parts ([`jet`]). What they give can be checked against differences ([`numerical`]).
//!
//! A derivative is appended to the graph it is of, so it can be optimised, printed, compiled and differentiated again.

mod custom;
mod forward;
mod jets;
mod late;
mod matrix;
mod numerical;
mod reverse;
mod scan;
mod second;

use bespoke_graph::NodeId;
use bespoke_tensor::Type;

pub use forward::jvp;
pub use jets::{Jet, jet};
pub use matrix::{batch_jacobian, hessian, jacobian};
pub use numerical::numerical;
pub use reverse::{grad, vjp};
pub use second::hvp;

/// Why there is no derivative.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GradError {
    /// The value to differentiate is not a scalar.
    #[error("grad: expected a loss of one float, got {0}; reduce it to a scalar first")]
    NotScalar(Type),
    /// The gradient with respect to something that is no float.
    #[error("grad: {0} is {1}; only floats have gradients")]
    NotFloat(NodeId, Type),
    /// The loss does not depend on a value, or only through operators without a derivative.
    #[error("grad: the loss does not depend differentiably on {0} ({1})")]
    Unreachable(NodeId, String),
    /// A value inside a scan that its derivative needs of every step has as many axes as a tensor can have.
    #[error("the derivative of a scan needs {0} of every step; it has no room for one more axis")]
    TooManyAxes(Type),
    /// A matrix of derivatives has more axes or elements than a tensor can have.
    #[error("the derivatives of {value} by {wrt} have more axes or elements than a tensor can have")]
    TooLarge {
        /// The value's type.
        value: Type,
        /// The type of what it is differentiated by.
        wrt: Type,
    },
    /// There is not one direction for each value.
    #[error("expected a direction for each value, got {values} values, but {directions} directions")]
    Count {
        /// The number of values.
        values: usize,
        /// The number of directions.
        directions: usize,
    },
    /// Jacobians of examples need as many of the value as of what it is differentiated by.
    #[error("batch_jacobian: expected as many examples along the first axis of {value} as of {wrt}")]
    Examples {
        /// The value's type.
        value: Type,
        /// The type of what it is differentiated by.
        wrt: Type,
    },
    /// Differences move inputs and states only.
    #[error("numerical: {0} is neither an input nor a state")]
    NotSource(NodeId),
    /// The graph could not be evaluated.
    #[error(transparent)]
    Eval(#[from] bespoke_graph::EvalError),
    /// A tangent or cotangent has another type than its value.
    #[error("{transform}: {value} is {expected}, its {transform_of} is {got}")]
    WrongType {
        /// `vjp` or `jvp`.
        transform: &'static str,
        /// `cotangent` or `tangent`.
        transform_of: &'static str,
        /// The value.
        value: NodeId,
        /// Its type.
        expected: Type,
        /// What came.
        got: Type,
    },
}

/// Checks that a tangent or cotangent has its value's type.
fn check_type(
    graph: &bespoke_graph::Graph,
    transform: &'static str,
    transform_of: &'static str,
    value: NodeId,
    other: NodeId,
) -> Result<(), GradError> {
    let (expected, got) = (graph.ty(value), graph.ty(other));
    if expected == got {
        return Ok(());
    }
    Err(GradError::WrongType { transform, transform_of, value, expected, got })
}
