//! Hyperbolic functions.

use std::f64::consts::LOG2_E;

use super::{
    build::{V, build},
    format::DOUBLE,
};
use crate::{ExprId, Exprs};

/// The hyperbolic sine.
pub fn sinh(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        let p = Parts::of(x.abs());
        let sum = p.sinh_n + p.cosh_n.fma(p.sinh_r, p.sinh_n * p.cosh_r_less_1);
        let result = (sum * PARTS_SCALE).convert(x.dtype()).with_sign_of(x);
        // Tiny ones as they are: the scaled sum has not all bits of a denormal.
        x.abs().lt(x.format().tiny).select(x, result)
    })
}

/// The hyperbolic cosine.
pub fn cosh(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        let p = Parts::of(x.abs());
        let sum = p.cosh_n + p.sinh_n.fma(p.sinh_r, p.cosh_n * p.cosh_r_less_1);
        (sum * PARTS_SCALE).convert(x.dtype())
    })
}

/// The hyperbolic tangent.
pub fn tanh(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, tanh_of)
}

/// What the sum of products of [`Parts`] is to be multiplied by.
const PARTS_SCALE: f64 = 8.0;

/// x = n·ln 2 + r, in `f64`: hyperbolic sines and cosines of both terms, none of which cancels near 0. Those of the
/// first are divided by [`PARTS_SCALE`].
struct Parts<'m> {
    sinh_n: V<'m>,
    cosh_n: V<'m>,
    sinh_r: V<'m>,
    cosh_r_less_1: V<'m>,
}

impl<'m> Parts<'m> {
    /// Of x ≥ 0.
    fn of(x: V<'m>) -> Parts<'m> {
        let format = x.format();
        let x = x.min(format.sinh_limit);
        // 2ⁿ⁻⁴ and its reciprocal are normal for every n.
        let rounding = format.rounding + (format.bias - 4) as f64;
        let m = x.fma(LOG2_E, rounding);
        let n = (m - rounding).wide();
        let r = n.fma(-DOUBLE.ln2_hi, x.wide());
        let r = n.fma(-DOUBLE.ln2_lo, r);
        let bits = m.bits().shl(format.shift);
        let up = bits.float().wide();
        let down =
            bits.subtracted_from((2 * format.bias as i64) << format.shift).float().wide() * (1.0 / 256.0);
        let t = r * r;
        Parts {
            sinh_n: up - down,
            cosh_n: up + down,
            sinh_r: r * t.poly(format.sinh),
            cosh_r_less_1: t * t.poly(format.cosh),
        }
    }
}

/// x + x³·P(x²) up to 0.6; above, 1 − 2 / (e²ˣ + 1) with x = n·ln 2 / 2 + r and e²ʳ by the coefficients of eʳ.
fn tanh_of(x: V<'_>) -> V<'_> {
    let format = x.format();
    let a = x.abs();
    let y = a.min(format.tanh_limit);
    let rounding = format.rounding + format.bias as f64;
    let m = y.fma(2.0 * LOG2_E, rounding);
    let n = m - rounding;
    let r = n.fma(-0.5 * format.ln2_hi, y);
    let r = n.fma(-0.5 * format.ln2_lo, r);
    let coefficients =
        [1.0, 1.0].iter().chain(format.exp_tail).enumerate().map(|(i, c)| c * 2f64.powi(i as i32));
    let p = r.poly(&coefficients.collect::<Vec<f64>>());
    let scale = m.bits().shl(format.shift).float();
    let large = (x.constant(2.0) / p.fma(scale, 1.0)).subtracted_from(1.0);
    let t = a * a;
    let small = (a * t).fma(t.poly(format.tanh_tail), a);
    a.gt(0.6).select(large, small).with_sign_of(x)
}
