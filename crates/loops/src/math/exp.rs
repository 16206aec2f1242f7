//! The exponential function and its kin.
//!
//! eˣ = 2ⁿ·eʳ with n = round(x / ln 2): adding 1.5·2²³ (plus the exponent bias) rounds to an integer and leaves it in
//! the low bits, from where a shift by 23 makes the float 2ⁿ. ln 2 is subtracted in two parts (Cody & Waite).

use super::{
    build::{V, build},
    calls,
};
use crate::{ExprId, Exprs};

/// 1.5·2²³: the sum with a small float is that float rounded to an integer in the low mantissa bits.
pub(super) const ROUNDING: f32 = 12582912.0;
/// The upper part of ln 2: 2⁻²⁶ relative.
pub(super) const LN2_HI: f32 = 0.693_359_4;
/// ln 2 − [`LN2_HI`].
pub(super) const LN2_LO: f32 = -2.121_944_4e-4;
/// (eʳ − 1 − r) / r² for |r| ≤ ln 2.
const TAIL_WIDE: [f32; 6] =
    [0.500000358, 0.166666165, 0.0416612029, 0.00833596569, 0.00141053472, 0.000196303125];
/// (eʳ − 1 − r) / r² for |r| ≤ ln 2 / 2.
pub(super) const TAIL: [f32; 5] = [0.5, 0.166665435, 0.0416664295, 0.00836655498, 0.00139382691];
/// (log(1 + z) − z) / z² for 0 ≤ z ≤ 1.
const LOG1P_TAIL: [f32; 9] = [
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
    build(e, x, |x| if x.is_f32() { exp_f32(x.min(89.0)) } else { x.call(calls::EXP) })
}

/// eˣ − 1, accurate near 0.
pub fn expm1(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| if x.is_f32() { expm1_f32(x) } else { x.call(calls::EXPM1) })
}

/// The logistic function 1 / (1 + e⁻ˣ).
pub fn sigmoid(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        // Times 3/4 the denominator is below 1 where e⁻ˡˣˡ < 1/3: that halves its rounding error.
        let (z, one) = exp_minus_abs(x, 0.75);
        x.lt(0.0).select(z, one) / (z + one)
    })
}

/// log(1 + eˣ).
pub fn softplus(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        let (z, one) = exp_minus_abs(x, 1.0);
        let z = z * (1.0 / one);
        let log1p = if x.is_f32() { (z * z).fma(z.poly(&LOG1P_TAIL), z) } else { z.call(calls::LOG1P) };
        x.max(0.0) + log1p
    })
}

/// e to the −|x|, times a number that makes it normal where it is not rounded to 0: `factor` and a power of two; that
/// number.
fn exp_minus_abs(x: V<'_>, factor: f32) -> (V<'_>, f64) {
    if !x.is_f32() {
        return ((-x.abs()).call(calls::EXP), 1.0);
    }
    let x = x.bits().or(i32::MIN).float().max(-105.0);
    let (p, scale) = reduced_exp(x, 25.0, factor);
    (p * scale, 33554432.0 * factor as f64)
}

/// eˣ for x ≤ 89. n is even, so that 2ⁿ is the square of a power of two far from under- and overflow; results below the
/// normal range are rounded by the last product only.
fn exp_f32(x: V<'_>) -> V<'_> {
    let x = x.max(-105.0);
    let rounding = ROUNDING + 127.0;
    let m = x.fma(std::f32::consts::LOG2_E * 0.5, rounding);
    let n = m - rounding;
    let r = n.fma(-2.0 * LN2_HI, x);
    let r = n.fma(-2.0 * LN2_LO, r);
    let p = r.poly(&[&[1.0, 1.0], &TAIL_WIDE[..]].concat());
    let scale = m.bits().shl(23).float();
    p * scale * scale
}

/// eˣ where the result is a normal number.
pub(super) fn exp_normal(x: V<'_>) -> V<'_> {
    let (p, scale) = reduced_exp(x, 0.0, 1.0);
    p * scale
}

/// `factor`·eʳ and 2ⁿ⁺ᵇ with b = `bias`, if that is normal.
fn reduced_exp(x: V<'_>, bias: f32, factor: f32) -> (V<'_>, V<'_>) {
    let rounding = ROUNDING + 127.0 + bias;
    let m = x.fma(std::f32::consts::LOG2_E, rounding);
    let n = m - rounding;
    let r = n.fma(-LN2_HI, x);
    let r = n.fma(-LN2_LO, r);
    let coefficients: Vec<f32> = [1.0, 1.0].into_iter().chain(TAIL).map(|c| c * factor).collect();
    (r.poly(&coefficients), m.bits().shl(23).float())
}

/// With half of 2ⁿ, which is always normal; half of the result overflows only where that does.
fn expm1_f32(x: V<'_>) -> V<'_> {
    let y = x.max(-18.0).min(89.0);
    let rounding = ROUNDING + 126.0;
    let m = y.fma(std::f32::consts::LOG2_E, rounding);
    let n = m - rounding;
    let r = n.fma(-LN2_HI, y);
    let r = n.fma(-LN2_LO, r);
    let em = (r * r).fma(r.poly(&TAIL), r);
    let half = m.bits().shl(23).float();
    let result = half.fma(em, half - 0.5);
    // Tiny ones as they are: keeps -0, and half a denormal may not be one.
    x.abs().lt(1e-10).select(x, result + result)
}
