//! Circular functions. Those of `f32` are computed in `f64`.

use super::{
    build::{V, build},
    calls,
};
use crate::{ExprId, Exprs};

/// 2/π in pieces of 28 bits, the unit of the last place of the i-th being 2^(−28·(i+1)): their products with an `f32`
/// are exact in `f64`. What 196 bits leave out is below 2⁻⁶⁸ quadrants of the largest `f32`.
const TWO_OVER_PI: [f64; 7] = [
    0.6366197690367699,
    3.3308114738561656e-09,
    2.276010047810136e-18,
    2.5268260189002822e-26,
    1.6682867657019525e-34,
    1.158871328288855e-43,
    7.053959174404295e-52,
];
/// sin(π/2·s) / s of s², |s| ≤ 1/2.
const SIN: [f64; 5] = [
    1.57079632678811,
    -0.6459640961479682,
    0.07969258274686201,
    -0.00468126637848037,
    0.00015820651895195488,
];
/// cos(π/2·s) of s², |s| ≤ 1/2.
const COS: [f64; 5] = [
    0.9999999999525767,
    -1.2337005406435384,
    0.2536692038470798,
    -0.020860070630123243,
    0.0009036301296408471,
];

/// The sine.
pub fn sin(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::SIN);
        }
        let a = Angle::of(x);
        x.eq(0.0).select(x, a.wave(a.quadrant).narrow())
    })
}

/// The cosine.
pub fn cos(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::COS);
        }
        let a = Angle::of(x);
        a.wave(a.quadrant + 1.0).narrow()
    })
}

/// The tangent.
pub fn tan(e: &mut Exprs, x: ExprId) -> ExprId {
    build(e, x, |x| {
        if !x.is_f32() {
            return x.call(calls::TAN);
        }
        let a = Angle::of(x);
        // Odd quadrants: −cos / sin.
        let odd = parity(a.quadrant).ne(0.0);
        let ratio = odd.select(-a.cos, a.sin) / odd.select(a.sin, a.cos);
        x.eq(0.0).select(x, ratio.narrow())
    })
}

/// x = π/2·(quadrant + s), |s| ≤ 1/2, with sine and cosine of π/2·s.
struct Angle<'m> {
    quadrant: V<'m>,
    sin: V<'m>,
    cos: V<'m>,
}

impl<'m> Angle<'m> {
    /// Sums the products with the pieces of 2/π from the large to the small, taking out whole quadrants as they appear,
    /// so that no sum has more bits than fit. The first three may have so many quadrants that fours are taken out first.
    fn of(x: V<'m>) -> Angle<'m> {
        let x = x.wide();
        let (mut s, mut quadrant) = (x.constant(0.0), x.constant(0.0));
        for (i, piece) in TWO_OVER_PI.into_iter().enumerate() {
            s = x.fma(piece, s);
            if i < 3 {
                s = (s * 0.25).round().fma(-4.0, s);
            }
            let whole = s.round();
            s = s - whole;
            quadrant = quadrant + whole;
        }
        let t = s * s;
        Angle { quadrant, sin: s * t.poly(&SIN), cos: t.poly(&COS) }
    }

    /// sin(π/2·(quadrant + s))
    fn wave(&self, quadrant: V<'m>) -> V<'m> {
        let value = parity(quadrant).ne(0.0).select(self.cos, self.sin);
        // Quadrants 2 and 3 modulo 4 are negative; their half is odd after rounding down.
        let half = (quadrant * 0.5).unary(crate::UnaryFn::Floor);
        parity(half).ne(0.0).select(-value, value)
    }
}

/// Zero for an even integer, ±1/2 for an odd one.
fn parity(n: V<'_>) -> V<'_> {
    let half = n * 0.5;
    half - half.trunc()
}
