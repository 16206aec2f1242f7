//! The error function.

use super::{
    build::{V, build},
    calls,
};
use crate::{ExprId, Exprs};

/// The error function erf(x) = 2/√π ∫₀ˣ exp(−t²) dt.
pub fn erf(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| if x.is_f32() { erf_f32(x) } else { x.call(calls::ERF) })
}

/// erf(x)/x − 1 of x² where |x| ≤ 0.927734375.
const SMALL: [f64; 6] =
    [1.28379166e-1, -3.76125336e-1, 1.12819925e-1, -2.67681349e-2, 4.99119423e-3, -5.96761703e-4];
/// log(1 − erf(a)) + a, divided by a, for larger a.
const LARGE: [f64; 7] = [
    -1.28717512e-1,
    -6.34846687e-1,
    -1.06777877e-1,
    2.42546219e-2,
    -3.88396438e-3,
    3.83197126e-4,
    -1.72853470e-5,
];

/// Norbert Juffa's `my_erff` (BSD licence): x + x·P(x²) near 0, 1 − exp(−Q(|x|)) elsewhere.
fn erf_f32(x: V<'_>) -> V<'_> {
    let a = x.abs();
    let t = x * x;
    let small = t.poly(&SMALL).fma(a, a);
    let b = a.min(4.0);
    let large = super::exp::exp_normal(b.poly(&LARGE).fma(b, -b));
    a.gt(0.927734375).select(large.subtracted_from(1.0), small).with_sign_of(x)
}
