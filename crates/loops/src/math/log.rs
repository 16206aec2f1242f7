//! Logarithms: log x = e·ln 2 + log(1 + f) with x = 2ᵉ·(1 + f), √½ ≤ 1 + f < √2.

use super::{
    build::{V, build},
    calls,
};
use crate::{ExprId, Exprs};

/// The bits of √½.
pub(super) const SQRT_HALF_BITS: i32 = 0x3f35_04f3;
/// (log(1 + f) − f + f² / 2) / f³.
const TAIL: [f32; 7] =
    [0.333338588, -0.250017405, 0.199653596, -0.165658474, 0.148776233, -0.143486038, 0.089137733];
/// The upper part of ln 2, rounded down so that the lower one is positive: an infinite exponent times both adds up.
const LN2_HI: f32 = 0.693_145_75;
/// ln 2 − [`LN2_HI`].
const LN2_LO: f32 = 1.428_606_8e-6;

/// The natural logarithm.
pub fn log(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| if x.is_f32() { log_f32(x) } else { x.call(calls::LOG) })
}

/// log(1 + x), accurate near 0.
pub fn log1p(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| if x.is_f32() { log1p_f32(x) } else { x.call(calls::LOG1P) })
}

fn log_f32(x: V<'_>) -> V<'_> {
    // What is no positive normal number: denormals are scaled; for others the exponent becomes the result.
    let special = x.lt(f32::MIN_POSITIVE);
    let scaled = special.select(x * 33554432.0, x);
    let offset = x.gt(0.0).select(x.constant(-25.0), of_nonpositive(x, 0.0));
    let bits = scaled.bits();
    let exponent = (bits - SQRT_HALF_BITS).shr(23);
    let f = (bits - exponent.shl(23)).float() - 1.0;
    let exponent = exponent.narrow() + special.select(offset, 0.0);
    let result = combine(exponent, f);
    x.lt(f32::INFINITY).select(result, x)
}

/// f = 2⁻ᵉ·x + (2⁻ᵉ − 1) has one rounding; e comes from the rounded 1 + x.
fn log1p_f32(x: V<'_>) -> V<'_> {
    let bits = (x + 1.0).bits();
    let exponent = (bits - SQRT_HALF_BITS).shr(23);
    // 2²⁻ᵉ, as 2⁻ᵉ may be denormal.
    let scale = exponent.shl(23).from(129 << 23).float();
    let f = (x * 0.25).fma(scale, scale.fma(0.25, -1.0));
    let result = combine(exponent.narrow(), f);
    let result = x.gt(-1.0).select(result, of_nonpositive(x, -1.0));
    // Tiny ones as they are: keeps -0 and denormals. Infinity and NaN too.
    let tiny = x.abs().lt(1e-10);
    x.lt(f32::INFINITY).select(tiny.select(x, result), x)
}

/// The logarithm's value at and below its pole.
fn of_nonpositive<'m>(x: V<'m>, pole: f32) -> V<'m> {
    x.lt(pole).select(x.constant(f64::NAN), f32::NEG_INFINITY)
}

/// exponent·ln 2 + log(1 + f)
fn combine<'m>(exponent: V<'m>, f: V<'m>) -> V<'m> {
    let f2 = f * f;
    let tail = f.fma(f.poly(&TAIL), -0.5);
    let low = f2.fma(tail, exponent * LN2_LO);
    exponent.fma(LN2_HI, low + f)
}
