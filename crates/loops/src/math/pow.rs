//! Powers.

use super::{
    build::{V, build, build2},
    calls,
    format::SINGLE,
    log::split,
};
use crate::{ExprId, Exprs};

/// log₂((1+s)/(1−s)) / s of s², (1+s)/(1−s) from √½ to √2.
const LOG2: [f64; 6] = [
    2.885390081777849,
    0.9617966941149021,
    0.5770779419004456,
    0.41220930042774906,
    0.31990368056853813,
    0.2829296109726136,
];
/// 2ʳ for |r| ≤ 1.
const EXP2: [f64; 9] = [
    0.999999999767721,
    0.6931471775055997,
    0.24022651437685896,
    0.055504152363592074,
    0.009618093412304959,
    0.001333191444744426,
    0.0001540864533531614,
    1.5478226442588313e-05,
    1.3057104521330757e-06,
];

/// x to the power of y; zeros, infinities, NaN and negative x as C99's `pow`.
pub fn pow(e: &mut Exprs, x: ExprId, y: ExprId) -> ExprId {
    build2(e, x, y, |x, y| if x.is_f32() { pow_f32(x, y) } else { x.call2(calls::POW, y) })
}

/// 1 / √x; ±∞ at ±0.
pub fn rsqrt(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| x.constant(1.0) / x.sqrt())
}

fn pow_f32<'m>(x: V<'m>, y: V<'m>) -> V<'m> {
    let a = x.abs();
    // 0 and not ∞·0 at |x| = 1, but for a NaN y.
    let product = y.wide() * log2(a);
    let product = a.eq(1.0).select(y.eq(y).select(product.constant(0.0), y.wide()), product);
    let magnitude = exp2(product);
    // Even exponents are twice an integer; infinities are even.
    let even = (y * 0.5).trunc() * 2.0;
    let odd = y.trunc().eq(y).and(even.ne(y));
    let value = x.bits().lt(0).and(odd).select(-magnitude, magnitude);
    // A negative number to a fractional power.
    let undefined = x.lt(0.0).and(x.gt(f64::NEG_INFINITY)).and(y.trunc().ne(y));
    let value = undefined.select(x.constant(f64::NAN), value);
    x.eq(1.0).or(y.eq(0.0)).select(x.constant(1.0), value)
}

/// log₂ of an `f32` a ≥ 0, as `f64`.
fn log2(a: V<'_>) -> V<'_> {
    let denormal = a.lt(SINGLE.min_positive);
    let (exponent, m) = split(denormal.select(a * 33554432.0, a));
    let m = m.wide();
    let exponent = exponent.wide() + denormal.select(m.constant(-25.0), 0.0);
    let s = (m - 1.0) / (m + 1.0);
    let value = s.fma((s * s).poly(&LOG2), exponent);
    let value = a.eq(0.0).select(value.constant(f64::NEG_INFINITY), value);
    a.lt(f64::INFINITY).select(value, a.wide())
}

/// 2ʷ of an `f64`, as `f32`. The integer part is even, its half the exponent of a power of two that is applied twice.
fn exp2(w: V<'_>) -> V<'_> {
    let w = w.min(130.0).max(-155.0);
    let rounding = SINGLE.rounding + 127.0;
    let m = w.narrow().fma(0.5, rounding);
    let n = (m - rounding).wide();
    let p = n.fma(-2.0, w).poly(&EXP2);
    let scale = m.bits().shl(23).float().wide();
    (p * scale * scale).narrow()
}
