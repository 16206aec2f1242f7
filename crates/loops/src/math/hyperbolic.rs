//! Hyperbolic functions.

use super::{
    build::{V, build},
    calls,
    exp::{LN2_HI, LN2_LO, ROUNDING, TAIL},
};
use crate::{ExprId, Exprs};

/// sinh(r) / r of r², |r| ≤ ln 2 / 2.
const SINH: [f64; 4] = [0.9999999999954705, 0.16666666787065557, 0.008333283330879376, 0.0001990770669305176];
/// cosh(r) of r², |r| ≤ ln 2 / 2.
const COSH: [f64; 5] = [
    1.0000000000000135,
    0.4999999999943392,
    0.04166666704287008,
    0.0013888801391203343,
    2.4884629590039876e-05,
];
/// (tanh(x) / x − 1) / x² of x², |x| ≤ 0.6.
const TANH_TAIL: [f32; 5] = [-0.333332986, 0.133319378, -0.0537848324, 0.02079878, -0.00589776644];

/// The hyperbolic sine.
pub fn sinh(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::SINH);
        }
        let p = Parts::of(x.abs());
        p.sinh_n.fma(p.cosh_r, p.cosh_n * p.sinh_r).narrow().with_sign_of(x)
    })
}

/// The hyperbolic cosine.
pub fn cosh(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::COSH);
        }
        let p = Parts::of(x.abs());
        p.cosh_n.fma(p.cosh_r, p.sinh_n * p.sinh_r).narrow()
    })
}

/// The hyperbolic tangent.
pub fn tanh(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| if x.is_f32() { tanh_f32(x) } else { x.call(calls::TANH) })
}

/// x = n·ln 2 + r, in `f64`: hyperbolic sines and cosines of both terms, none of which cancels near 0.
struct Parts<'m> {
    sinh_n: V<'m>,
    cosh_n: V<'m>,
    sinh_r: V<'m>,
    cosh_r: V<'m>,
}

impl<'m> Parts<'m> {
    /// Of x ≥ 0; beyond 89.5, where both functions overflow, as of that.
    fn of(x: V<'m>) -> Parts<'m> {
        let x = x.min(89.5);
        // The exponent of 2ⁿ⁻⁴ and that of its reciprocal are in the range of f32.
        let rounding = ROUNDING + 123.0;
        let m = x.fma(std::f32::consts::LOG2_E, rounding);
        let n = (m - rounding).wide();
        let r = n.fma(-std::f64::consts::LN_2, x.wide());
        let up = m.bits().shl(23);
        let down = up.from(254 << 23).float().wide() * (0.5 / 16.0);
        let up = up.float().wide() * (0.5 * 16.0);
        let t = r * r;
        Parts { sinh_n: up - down, cosh_n: up + down, sinh_r: r * t.poly(&SINH), cosh_r: t.poly(&COSH) }
    }
}

/// x + x³·P(x²) up to 0.6; above, 1 − 2 / (e²ˣ + 1) with x = n·ln 2 / 2 + r and e²ʳ by the coefficients of eʳ.
fn tanh_f32(x: V<'_>) -> V<'_> {
    let a = x.abs();
    let y = a.min(10.0);
    let rounding = ROUNDING + 127.0;
    let m = y.fma(2.0 * std::f32::consts::LOG2_E, rounding);
    let n = m - rounding;
    let r = n.fma(-0.5 * LN2_HI, y);
    let r = n.fma(-0.5 * LN2_LO, r);
    let mut power = 1.0;
    let coefficients = [1.0, 1.0].into_iter().chain(TAIL).map(|c| {
        let scaled = c * power;
        power *= 2.0;
        scaled
    });
    let p = r.poly(&coefficients.collect::<Vec<f32>>());
    let large = (x.constant(2.0) / p.fma(m.bits().shl(23).float(), 1.0)).from(1.0);
    let t = a * a;
    let small = (a * t).fma(t.poly(&TANH_TAIL), a);
    a.gt(0.6).select(large, small).with_sign_of(x)
}
