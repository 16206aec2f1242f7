//! How far a computed value is from the exact one.

use std::ops::RangeInclusive;

/// The distance of `got` from `exact` in units of the last place of `f32` at `exact`; infinite if just one is NaN or
/// the signs differ, those of zeros included.
///
/// Infinity counts as the overflow threshold 2¹²⁸, so the largest finite value is one unit away from it, and so does
/// an `exact` value beyond; an `exact` value that is infinite itself is only met by infinity.
pub fn ulp_f32(got: f32, exact: f64) -> f64 {
    distance(got as f64, exact, power(128), 24, -149..=104)
}

/// The distance of `got` from `exact` in units of the last place of `f64` at `exact`: as [`ulp_f32`], but infinity is
/// only met by infinity. As exact as `exact` is.
pub fn ulp_f64(got: f64, exact: f64) -> f64 {
    distance(got, exact, f64::INFINITY, 53, -1074..=971)
}

/// The distance in units of the last of `digits` binary places, the exponent of which lies within `ulps`.
fn distance(got: f64, exact: f64, limit: f64, digits: i32, ulps: RangeInclusive<i32>) -> f64 {
    if got.is_nan() && exact.is_nan() || got == exact && got.is_sign_negative() == exact.is_sign_negative() {
        return 0.0;
    }
    if got.is_nan()
        || exact.is_nan()
        || exact.is_infinite()
        || got.is_sign_negative() != exact.is_sign_negative()
    {
        return f64::INFINITY;
    }
    let (got, exact) = (got.abs().min(limit), exact.abs().min(limit));
    let ulp = (exponent(exact) - digits + 1).clamp(*ulps.start(), *ulps.end());
    // In two steps, as 2⁻ᵘˡᵖ itself may overflow.
    (got - exact).abs() * power(-(ulp / 2)) * power(-(ulp - ulp / 2))
}

/// ⌊log₂ v⌋ of a finite v > 0; less than any for 0.
fn exponent(v: f64) -> i32 {
    match (v.to_bits() >> 52) as i32 {
        0 if v == 0.0 => i32::MIN / 2,
        0 => exponent(v * power(64)) - 64,
        biased => biased - 1023,
    }
}

/// 2ⁿ for −1022 ≤ n ≤ 1023.
fn power(n: i32) -> f64 {
    f64::from_bits(((1023 + n) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_follow_the_exact_value() {
        assert_eq!(ulp_f32(1.0 + f32::EPSILON, 1.0), 1.0);
        assert_eq!(ulp_f32(1.0, 1.0 + f64::EPSILON), (0.5f64).powi(29));
        assert_eq!(ulp_f32(f32::from_bits(3), f32::from_bits(1) as f64), 2.0);
        assert_eq!(ulp_f32(0.0, f32::from_bits(1) as f64 / 4.0), 0.25);
        assert_eq!(ulp_f32(f32::INFINITY, f32::MAX as f64), 1.0);
        assert_eq!(ulp_f32(f32::MAX, 1e300), 1.0);
        assert_eq!(ulp_f64(f64::from_bits(5), f64::from_bits(1)), 4.0);
        assert_eq!(ulp_f64(f64::MAX.next_down(), f64::MAX), 1.0);
    }

    #[test]
    fn special_values_must_match() {
        assert_eq!(ulp_f32(f32::NAN, f64::NAN), 0.0);
        assert_eq!(ulp_f32(f32::INFINITY, f64::INFINITY), 0.0);
        for (got, exact) in
            [(0.0, -0.0), (f32::MAX, f64::INFINITY), (f32::NAN, 1.0), (1.0, f64::NAN), (-1.0, 1.0)]
        {
            assert_eq!(ulp_f32(got, exact), f64::INFINITY, "{got} for {exact}");
        }
        assert_eq!(ulp_f64(f64::INFINITY, f64::MAX), f64::INFINITY);
    }
}
