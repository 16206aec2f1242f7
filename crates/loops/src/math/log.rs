//! Logarithms: log x = e·ln 2 + log(1 + f) with x = 2ᵉ·(1 + f), √½ ≤ 1 + f < √2.

use super::build::{V, build};
use crate::{ExprId, Exprs};

/// The natural logarithm.
pub fn log(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        // What is no positive normal number: denormals are scaled; for others the exponent becomes the result.
        let format = x.format();
        let special = x.lt(format.min_positive);
        let scaled = special.select(x * 2f64.powi(format.denormal_bits), x);
        let pole = of_nonpositive(x, 0.0);
        let offset = x.gt(0.0).select(x.constant(-format.denormal_bits as f64), pole);
        let (exponent, mantissa) = split(scaled);
        let result = combine(exponent.convert(x.dtype()) + special.select(offset, 0.0), mantissa - 1.0);
        x.lt(f64::INFINITY).select(result, x)
    })
}

/// log(1 + x), accurate near 0.
pub fn log1p(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, log1p_of)
}

/// f = 2⁻ᵉ·x + (2⁻ᵉ − 1) has one rounding; e comes from the rounded 1 + x.
pub(super) fn log1p_of(x: V<'_>) -> V<'_> {
    let format = x.format();
    let (exponent, _) = split(x + 1.0);
    // 2²⁻ᵉ, as 2⁻ᵉ may be denormal.
    let scale = exponent.shl(format.shift).subtracted_from((format.bias as i64 + 2) << format.shift).float();
    let f = (x * 0.25).fma(scale, scale.fma(0.25, -1.0));
    let result = combine(exponent.convert(x.dtype()), f);
    let result = x.gt(-1.0).select(result, of_nonpositive(x, -1.0));
    // Tiny ones as they are: keeps -0 and denormals. Infinity and NaN too.
    let tiny = x.abs().lt(format.tiny);
    x.lt(f64::INFINITY).select(tiny.select(x, result), x)
}

/// e, an integer, and 1 + f of a positive normal number.
pub(super) fn split(x: V<'_>) -> (V<'_>, V<'_>) {
    let format = x.format();
    let bits = x.bits();
    let exponent = (bits - format.sqrt_half_bits).shr(format.shift);
    (exponent, (bits - exponent.shl(format.shift)).float())
}

/// The logarithm's value at and below its pole.
fn of_nonpositive(x: V<'_>, pole: f64) -> V<'_> {
    x.lt(pole).select(x.constant(f64::NAN), f64::NEG_INFINITY)
}

/// exponent·ln 2 + log(1 + f). Both parts of ln 2 are positive, so an infinite exponent gives that infinity.
fn combine<'m>(exponent: V<'m>, f: V<'m>) -> V<'m> {
    let format = f.format();
    let tail = f.fma(f.poly(format.log_tail), -0.5);
    let low = (f * f).fma(tail, exponent * format.ln2_lo);
    exponent.fma(format.ln2_hi, low + f)
}
