//! Inverse circular functions. Those of `f32` are computed in `f64`.

use std::f64::consts::{FRAC_PI_2, PI};

use super::{
    build::{V, build, build2},
    calls,
};
use crate::{ExprId, Exprs};

/// atan(x) / x of x² ≤ 1.
const ATAN: [f64; 11] = [
    0.999999999666506,
    -0.3333332470647486,
    0.19999630192077825,
    -0.14279487777773814,
    0.11056639656633205,
    -0.08806772845625178,
    0.06734324647885673,
    -0.04461414169415666,
    0.022492803650619668,
    -0.007302306708602543,
    0.001111717147982813,
];
/// asin(x) / x of x² ≤ 1/4.
const ASIN: [f64; 8] = [
    0.9999999999844895,
    0.1666666743801239,
    0.07499937141580543,
    0.0446622925674827,
    0.030089231393318438,
    0.02472926345459307,
    0.007171523502195708,
    0.03501221148652604,
];

/// The arc sine, within ±π/2; NaN beyond ±1.
pub fn asin(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::ASIN);
        }
        let (large, small) = asin_parts(x.wide().abs());
        let value = small
            .fma(large.select(x.wide().constant(-2.0), 1.0), large.select(x.wide().constant(FRAC_PI_2), 0.0));
        value.narrow().with_sign_of(x)
    })
}

/// The arc cosine, from 0 to π; NaN beyond ±1.
pub fn acos(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::ACOS);
        }
        let x = x.wide();
        let (large, small) = asin_parts(x.abs());
        let negative = x.lt(0.0);
        // π/2 − asin(x) if |x| ≤ 1/2, else 2·asin(√((1−|x|)/2)) or π minus that.
        let factor =
            large.select(negative.select(x.constant(-2.0), 2.0), negative.select(x.constant(1.0), -1.0));
        let offset = large.select(negative.select(x.constant(PI), 0.0), FRAC_PI_2);
        small.fma(factor, offset).narrow()
    })
}

/// The arc tangent, within ±π/2.
pub fn atan(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::ATAN);
        }
        let a = x.wide().abs();
        let large = a.gt(1.0);
        let t = large.select(a.constant(1.0) / a, a);
        let value = atan_unit(t);
        large.select(value.subtracted_from(FRAC_PI_2), value).narrow().with_sign_of(x)
    })
}

/// The angle of the point (x, y), within ±π; zeros and infinities as C99's `atan2`.
pub fn atan2(e: &mut Exprs, y: ExprId, x: ExprId) -> ExprId {
    build2(e, y, x, |y, x| {
        if !x.is_f32() {
            return y.call2(calls::ATAN2, x);
        }
        let (a, b) = (y.wide().abs(), x.wide().abs());
        let (least, most) = (a.min(b), a.max(b));
        // 0/0 counts as 0, ∞/∞ as 1.
        let ratio =
            most.eq(0.0).select(most, least.eq(f64::INFINITY).select(most.constant(1.0), least / most));
        let value = atan_unit(ratio);
        let value = a.gt(b).select(value.subtracted_from(FRAC_PI_2), value);
        // The sign bit, so that -0 is on the left.
        let value = x.bits().lt(0).select(value.subtracted_from(PI), value);
        let nan = x.ne(x);
        nan.select(x, value.narrow().with_sign_of(y))
    })
}

/// Is 1/2 < a, and asin of a, or of √((1−a)/2) then.
fn asin_parts(a: V<'_>) -> (V<'_>, V<'_>) {
    let large = a.gt(0.5);
    let t = large.select(a.fma(-0.5, 0.5), a * a);
    let root = large.select(t.sqrt(), a);
    (large, root * t.poly(&ASIN))
}

/// The arc tangent of 0 ≤ t ≤ 1.
fn atan_unit(t: V<'_>) -> V<'_> {
    t * (t * t).poly(&ATAN)
}
