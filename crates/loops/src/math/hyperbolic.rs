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
        let down = (-up + (254 << 23)).float().wide() * (0.5 / 16.0);
        let up = up.float().wide() * (0.5 * 16.0);
        let t = r * r;
        Parts { sinh_n: up - down, cosh_n: up + down, sinh_r: r * t.poly(&SINH), cosh_r: t.poly(&COSH) }
    }
}

/// With y = 2|x| = n·ln 2 − r and the numerator d = 1 − e⁻ʸ = (1 − 2⁻ⁿ) + 2⁻ⁿ·(1 − e⁻ʳ): tanh |x| = d / (2 − d).
fn tanh_f32(x: V<'_>) -> V<'_> {
    let y = (x.abs() * 2.0).min(20.0);
    let rounding = ROUNDING + 127.0;
    let m = y.fma(-std::f32::consts::LOG2_E, rounding);
    let n = m - rounding;
    let r = n.fma(LN2_HI, y);
    let r = n.fma(LN2_LO, r);
    // 1 − e⁻ʳ = r − r²·(e⁻ʳ − 1 + r)/r²: the coefficients of eʳ with alternating signs.
    let mut tail = TAIL;
    for c in tail.iter_mut().step_by(2) {
        *c = -*c;
    }
    let one_minus = (r * r).fma(r.poly(&tail), r);
    let scale = m.bits().shl(23).float();
    let d = scale.fma(one_minus, -scale + 1.0);
    (d / (-d + 2.0)).with_sign_of(x)
}
