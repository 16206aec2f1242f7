//! The exponential function and its kin.
//!
//! eˣ = 2ⁿ·eʳ with n = round(x / ln 2): adding 1.5·2²³ (plus the exponent bias; `f64`: 2⁵²) rounds to an integer and
//! leaves it in the low bits, from where a shift makes the float 2ⁿ. ln 2 is subtracted in two parts (Cody & Waite).

use std::f64::consts::LOG2_E;

use super::{
    build::{V, build},
    log::log1p_of,
};
use crate::{ExprId, Exprs};

/// (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2, for the sigmoid of `f32`, which has no error to spare.
const SIGMOID_TAIL: [f64; 6] = [0.5, 0.166666672, 0.0416664854, 0.00833320059, 0.00139330269, 0.000199509916];
/// (log(1 + z) − z) / z² for 0 ≤ z ≤ 1, for `f32`.
const LOG1P_TAIL: [f64; 9] = [
    -0.499999315,
    0.333304793,
    -0.249582931,
    0.196940243,
    -0.153517187,
    0.106747031,
    -0.0576095879,
    0.0201766267,
    -0.00331249624,
];

/// eˣ.
pub fn exp(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, exp_of)
}

/// eˣ − 1, accurate near 0.
pub fn expm1(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, expm1_of)
}

/// The logistic function 1 / (1 + e⁻ˣ).
pub fn sigmoid(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        // Times 3/4 the denominator is below 1 where e⁻ˡˣˡ < 1/3: that halves its rounding error.
        let tail = if x.is_f32() { &SIGMOID_TAIL[..] } else { x.format().exp_tail };
        let (z, one) = exp_minus_abs(x, tail, 0.75);
        x.lt(0.0).select(z, one) / (z + one)
    })
}

/// log(1 + eˣ).
pub fn softplus(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        let (z, one) = exp_minus_abs(x, x.format().exp_tail, 1.0);
        let z = z * (1.0 / one);
        x.max(0.0) + if x.is_f32() { (z * z).fma(z.poly(&LOG1P_TAIL), z) } else { log1p_of(z) }
    })
}

/// e to the −|x|, times a number that makes it normal where it is not rounded to 0: `factor` and a power of two; that
/// number.
fn exp_minus_abs<'m>(x: V<'m>, tail: &[f64], factor: f64) -> (V<'m>, f64) {
    let format = x.format();
    let x = x.minus_abs().max(format.exp_limits.1);
    let (p, scale) = reduced_exp(x, tail, format.denormal_bits, factor);
    (p * scale, 2f64.powi(format.denormal_bits) * factor)
}

/// n is even, so that 2ⁿ is the square of a power of two far from under- and overflow; results below the normal range
/// are rounded by the last product only.
fn exp_of(x: V<'_>) -> V<'_> {
    let format = x.format();
    let x = x.min(format.exp_limits.0).max(format.exp_limits.1);
    let rounding = format.rounding + format.bias as f64;
    let m = x.fma(LOG2_E * 0.5, rounding);
    let n = m - rounding;
    let r = n.fma(-2.0 * format.ln2_hi, x);
    let r = n.fma(-2.0 * format.ln2_lo, r);
    let p = r.poly(&[&[1.0, 1.0], format.exp_wide].concat());
    let scale = m.bits().shl(format.shift).float();
    p * scale * scale
}

/// eˣ where the result is a normal number.
pub(super) fn exp_normal(x: V<'_>) -> V<'_> {
    let (p, scale) = reduced_exp(x, x.format().exp_tail, 0, 1.0);
    p * scale
}

/// `factor`·eʳ and 2ⁿ⁺ᵇ with b = `bias`, if that is normal.
fn reduced_exp<'m>(x: V<'m>, tail: &[f64], bias: i32, factor: f64) -> (V<'m>, V<'m>) {
    let format = x.format();
    let rounding = format.rounding + (format.bias + bias) as f64;
    let m = x.fma(LOG2_E, rounding);
    let n = m - rounding;
    let r = n.fma(-format.ln2_hi, x);
    let r = n.fma(-format.ln2_lo, r);
    let coefficients: Vec<f64> = [1.0, 1.0].iter().chain(tail).map(|c| c * factor).collect();
    (r.poly(&coefficients), m.bits().shl(format.shift).float())
}

/// With half of 2ⁿ, which is always normal; half of the result overflows only where that does.
fn expm1_of(x: V<'_>) -> V<'_> {
    let format = x.format();
    let y = x.max(format.expm1_least).min(format.exp_limits.0);
    let rounding = format.rounding + (format.bias - 1) as f64;
    let m = y.fma(LOG2_E, rounding);
    let n = m - rounding;
    let r = n.fma(-format.ln2_hi, y);
    let r = n.fma(-format.ln2_lo, r);
    let em = (r * r).fma(r.poly(format.exp_tail), r);
    let half = m.bits().shl(format.shift).float();
    let result = half.fma(em, half - 0.5);
    // Tiny ones as they are: keeps -0, and half a denormal may not be one.
    x.abs().lt(format.tiny).select(x, result + result)
}
