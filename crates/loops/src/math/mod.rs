//! Elementary functions as expressions.
//!
//! Each function appends branch-free arithmetic (selects only) on `x` to the arena and gives the value's expression, so
//! interpreter, scalar and vector code agree bit for bit. The type of `x` must be `f32` or `f64`.
//!
//! - `f32`: within 2 units in the last place on the whole domain, denormals included. Special values are those of C99
//!   Annex F. The exponential family, logarithms, `tanh`, `erf` and `rsqrt` are pure `f32`; the others go through `f64`.
//! - `f64`: within 4 units in the last place. The same formulas with longer polynomials; circular functions, `erf` and
//!   `pow` are [`calls`].
//!
//! `coefficients.py` generates the polynomials, `golden_f64.py` the values they are tested against.

mod arc;
mod build;
pub mod calls;
mod erf;
#[cfg(test)]
mod evaluate;
mod exp;
mod format;
mod hyperbolic;
mod log;
mod pow;
#[cfg(test)]
mod tests;
mod trig;
pub mod ulp;

pub use arc::{acos, asin, atan, atan2};
pub use erf::erf;
pub use exp::{exp, expm1, sigmoid, softplus};
pub use hyperbolic::{cosh, sinh, tanh};
pub use log::{log, log1p};
pub use pow::{pow, rsqrt};
pub use trig::{cos, sin, tan};

use crate::{ExprId, Exprs};

/// A function that builds the expression of an elementary function of one value.
pub type Builder = fn(&mut Exprs, ExprId) -> ExprId;

/// A function of `f64` that is taken as exact.
pub type Reference = fn(f64) -> f64;

/// All functions of one value: name, builder, and a reference on `f64`, exact to far below the last place of an `f32`.
pub const UNARY: &[(&str, Builder, Reference)] = &[
    ("exp", exp, f64::exp),
    ("expm1", expm1, f64::exp_m1),
    ("log", log, f64::ln),
    ("log1p", log1p, f64::ln_1p),
    ("sin", sin, f64::sin),
    ("cos", cos, f64::cos),
    ("tan", tan, f64::tan),
    ("asin", asin, f64::asin),
    ("acos", acos, f64::acos),
    ("atan", atan, f64::atan),
    ("sinh", sinh, f64::sinh),
    ("cosh", cosh, f64::cosh),
    ("tanh", tanh, f64::tanh),
    ("sigmoid", sigmoid, reference_sigmoid),
    ("softplus", softplus, |x| x.max(0.0) + (-x.abs()).exp().ln_1p()),
    ("erf", erf, libm::erf),
    ("rsqrt", rsqrt, |x| 1.0 / x.sqrt()),
];

/// A function that builds the expression of an elementary function of two values.
pub type Builder2 = fn(&mut Exprs, ExprId, ExprId) -> ExprId;

/// A function of two `f64` that is taken as exact.
pub type Reference2 = fn(f64, f64) -> f64;

/// All functions of two values, as [`UNARY`].
pub const BINARY: &[(&str, Builder2, Reference2)] = &[("pow", pow, f64::powf), ("atan2", atan2, f64::atan2)];

fn reference_sigmoid(x: f64) -> f64 {
    let z = (-x.abs()).exp();
    if x < 0.0 { z / (1.0 + z) } else { 1.0 / (1.0 + z) }
}
