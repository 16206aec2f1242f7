//! Comparison of tensors.

use bespoke_graph::Values;
use bespoke_tensor::{DType, Scalar, Tensor};

use crate::Reference;

/// How far elements may be apart. Integers and truth values must be equal, a NaN equals a NaN, an infinity itself.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance<'a> {
    /// Not at all, bit by bit (but any NaN equals any NaN).
    Exact,
    /// By this factor of the expected value, or by it absolutely below 1.
    Relative(f64),
    /// Each element by its own bound; nothing is expected of elements whose bound is infinite.
    Bounds(&'a [f64]),
}

/// Is `got` close to `expected`?
///
/// # Errors
/// The first element that is not, with both values and their distance; or other types.
pub fn compare(got: &Tensor, expected: &Tensor, tolerance: Tolerance<'_>) -> Result<(), String> {
    if got.ty() != expected.ty() {
        return Err(format!("expected {}, got {}", expected.ty(), got.ty()));
    }
    for (i, (a, b)) in got.scalars().zip(expected.scalars()).enumerate() {
        let allowed = match tolerance {
            Tolerance::Exact => 0.0,
            Tolerance::Relative(_) if !b.to_f64().is_finite() => 0.0,
            Tolerance::Relative(factor) => factor * b.to_f64().abs().max(1.0),
            Tolerance::Bounds(bounds) => bounds[i],
        };
        let exact = matches!(tolerance, Tolerance::Exact) || !a.dtype().is_float();
        if !close(a, b, allowed, exact) {
            let (x, y) = (a.to_f64(), b.to_f64());
            let place: Vec<usize> = expected
                .shape()
                .strides()
                .iter()
                .zip(&expected.shape()[..])
                .map(|(s, d)| i / s.max(&1) % d)
                .collect();
            return Err(format!(
                "{} at {place:?}: expected {b}, got {a}: {:.3e} apart ({:.1} units in the last place, {:.1e} relative), allowed {allowed:.3e}",
                expected.ty(),
                (x - y).abs(),
                (x - y).abs() / ulp(b.dtype(), y),
                (x - y).abs() / y.abs(),
            ));
        }
    }
    Ok(())
}

/// Are all outputs and states what the reference says?
///
/// # Errors
/// The first that is not.
pub fn compare_values(got: &Values, expected: &Reference) -> Result<(), String> {
    for (kind, got, expected) in
        [("output", &got.outputs, &expected.outputs), ("state", &got.states, &expected.states)]
    {
        if !got.keys().eq(expected.keys()) {
            return Err(format!("{kind}s: expected {:?}, got {:?}", expected.keys(), got.keys()));
        }
        for (name, bounded) in expected {
            compare(&got[name], &bounded.value, Tolerance::Bounds(&bounded.error))
                .map_err(|e| format!("{kind} {name:?}: {e}"))?;
        }
    }
    Ok(())
}

fn close(a: Scalar, b: Scalar, allowed: f64, exact: bool) -> bool {
    let (x, y) = (a.to_f64(), b.to_f64());
    if a.bits() == b.bits() || allowed == f64::INFINITY || x.is_nan() && y.is_nan() {
        return true;
    }
    // Of equal infinities the difference is NaN, which is no distance.
    !exact && (x == y || (x - y).abs() <= allowed)
}

/// The distance of the floats around `x`; 1 of integers.
pub(crate) fn ulp(dtype: DType, x: f64) -> f64 {
    let (digits, least) = match dtype {
        DType::F32 => (23, -149),
        DType::F64 => (52, -1074),
        _ => return 1.0,
    };
    if !x.is_finite() {
        return 0.0;
    }
    let exponent = if x == 0.0 { least } else { x.abs().log2().floor() as i32 - digits };
    power_of_two(exponent.max(least))
}

/// 2ⁿ, denormals included.
fn power_of_two(n: i32) -> f64 {
    if n < -1022 { f64::from_bits(1 << (n + 1074).max(0)) } else { 2f64.powi(n) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_differs() {
        let a = Tensor::from_vec([2, 2], vec![1.0f32, 2.0, f32::NAN, f32::INFINITY]).unwrap();
        let b = Tensor::from_vec([2, 2], vec![1.0f32, 2.0, f32::NAN, f32::NEG_INFINITY]).unwrap();
        assert_eq!(compare(&a, &a, Tolerance::Exact), Ok(()));
        let error = compare(&a, &b, Tolerance::Relative(1.0)).unwrap_err();
        assert!(error.starts_with("f32[2,2] at [1, 1]: expected -inf, got inf"), "{error}");
        let c = Tensor::from_vec([2, 2], vec![1.0f32, 2.000_000_2, f32::NAN, f32::INFINITY]).unwrap();
        assert_eq!(compare(&c, &a, Tolerance::Relative(1e-6)), Ok(()));
        let error = compare(&c, &a, Tolerance::Exact).unwrap_err();
        assert!(error.contains("1.0 units in the last place"), "{error}");
        let ints = [1, 2].map(Tensor::scalar);
        assert!(compare(&ints[0], &ints[1], Tolerance::Relative(10.0)).is_err());
    }

    #[test]
    fn units_in_the_last_place() {
        assert_eq!(ulp(DType::F32, 1.0), f64::from(f32::EPSILON));
        assert_eq!(ulp(DType::F32, 1.5e-45), f64::from(f32::from_bits(1)));
        assert_eq!(ulp(DType::F64, 0.0), f64::from_bits(1));
        assert_eq!(ulp(DType::F64, -3.0), 2.0 * f64::EPSILON);
    }
}
