//! The interpreter: every function at its edges, statements at awkward sizes, and its errors.

use bespoke_loops::{
    BinaryFn as B, InterpretError, Kernel, UnaryFn as U, apply_binary, apply_unary, interpret, verify,
};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

fn unary(f: U, x: impl Into<Scalar>) -> Scalar {
    apply_unary(f, x.into()).expect("the function is defined")
}

fn binary<T: Into<Scalar>>(f: B, x: T, y: T) -> Scalar {
    apply_binary(f, x.into(), y.into()).expect("the function is defined")
}

fn edges(dtype: DType) -> Vec<Scalar> {
    let f64s = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1.5,
        -2.5,
        2.5,
        1e30,
        5e-324,
        1e-40,
        2.2250738585072014e-308,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
    ];
    let ints =
        [0, 1, 2, 3, 31, 32, 63, 64, 255, -1, -7, i64::MIN, i64::MAX, i32::MIN.into(), i32::MAX.into()];
    match dtype {
        DType::Bool => vec![Scalar::Bool(false), Scalar::Bool(true)],
        d if d.is_float() => f64s.iter().map(|&v| Scalar::from_f64(d, v)).collect(),
        d => ints.iter().map(|&v| Scalar::I64(v).convert(d)).collect(),
    }
}

/// NaNs count as equal whatever their bits.
fn same(a: Scalar, b: Scalar) -> bool {
    a == b || a.dtype() == b.dtype() && a.to_f64().is_nan() && b.to_f64().is_nan()
}

#[test]
fn unary_functions_at_the_edges() {
    for (x, y) in [(0.5f32, 0.0), (1.5, 2.0), (2.5, 2.0), (-0.5, -0.0), (-1.5, -2.0), (8388609.0, 8388609.0)]
    {
        assert_eq!(unary(U::Round, x), Scalar::F32(y), "round {x}");
    }
    assert_eq!(unary(U::Ceil, -0.5f64), Scalar::F64(-0.0));
    assert_eq!(unary(U::Trunc, -1.9f64), Scalar::F64(-1.0));
    assert_eq!(unary(U::Floor, -0.1f32), Scalar::F32(-1.0));
    assert_eq!(unary(U::Sqrt, -0.0f32), Scalar::F32(-0.0));
    assert!(unary(U::Sqrt, -1.0f32).to_f64().is_nan());
    assert_eq!(unary(U::Neg, 0.0f32), Scalar::F32(-0.0));
    assert_eq!(unary(U::Abs, f64::NEG_INFINITY), Scalar::F64(f64::INFINITY));
    assert_eq!(unary(U::Neg, i32::MIN), Scalar::I32(i32::MIN));
    assert_eq!(unary(U::Abs, i64::MIN), Scalar::I64(i64::MIN));
    assert_eq!(unary(U::Neg, 1u8), Scalar::U8(255));
    assert_eq!(unary(U::Abs, u32::MAX), Scalar::U32(u32::MAX));
    assert_eq!(unary(U::Not, 0i32), Scalar::I32(-1));
    assert_eq!(unary(U::Not, true), Scalar::Bool(false));
    for dtype in DType::ALL {
        for &f in U::ALL {
            let defined = match f {
                U::Neg | U::Abs => dtype != DType::Bool,
                U::Not => !dtype.is_float(),
                _ => dtype.is_float(),
            };
            for x in edges(dtype) {
                let y = apply_unary(f, x);
                assert_eq!(y.is_some(), defined, "{} of {dtype} {x}", f.name());
                assert!(y.is_none_or(|y| y.dtype() == dtype), "{} of {dtype} {x} is {y:?}", f.name());
            }
        }
    }
}

/// Against independent formulas in wider types.
#[test]
fn binary_functions_at_the_edges() {
    for dtype in DType::ALL {
        for x in edges(dtype) {
            for y in edges(dtype) {
                for &f in B::ALL {
                    let got = apply_binary(f, x, y);
                    let expected = match dtype {
                        DType::F32 | DType::F64 => float(f, dtype, x.to_f64(), y.to_f64()),
                        DType::Bool => boolean(f, x == Scalar::Bool(true), y == Scalar::Bool(true)),
                        _ => int(f, dtype, x.to_i64().unwrap().into(), y.to_i64().unwrap().into()),
                    };
                    let agree = match (got, expected) {
                        (Some(a), Some(b)) => same(a, b),
                        (a, b) => a.is_none() && b.is_none(),
                    };
                    assert!(agree, "{} of {dtype} {x}, {y}: got {got:?}, expected {expected:?}", f.name());
                }
            }
        }
    }
}

fn order<T: PartialOrd>(f: B, x: T, y: T) -> Option<Scalar> {
    Some(Scalar::Bool(match f {
        B::Eq => x == y,
        B::Ne => x != y,
        B::Lt => x < y,
        B::Le => x <= y,
        B::Gt => x > y,
        B::Ge => x >= y,
        _ => return None,
    }))
}

/// Sums, products and quotients of two `f32` are rounded to it innocuously from `f64`; remainders are exact.
fn float(f: B, dtype: DType, x: f64, y: f64) -> Option<Scalar> {
    let value = match f {
        B::Add => x + y,
        B::Sub => x - y,
        B::Mul => x * y,
        B::Div => x / y,
        B::Rem => x % y,
        B::Min | B::Max if x.is_nan() || y.is_nan() => f64::NAN,
        B::Min => {
            if y < x {
                y
            } else {
                x
            }
        }
        B::Max => {
            if y > x {
                y
            } else {
                x
            }
        }
        _ => return order(f, x, y),
    };
    Some(Scalar::from_f64(dtype, value))
}

fn int(f: B, dtype: DType, x: i128, y: i128) -> Option<Scalar> {
    let width = 8 * dtype.size() as i128;
    let value = match f {
        B::Add => x + y,
        B::Sub => x - y,
        B::Mul => x * y,
        B::Div => {
            if y == 0 {
                0
            } else {
                x / y
            }
        }
        B::Rem => {
            if y == 0 {
                x
            } else {
                x % y
            }
        }
        B::Min => x.min(y),
        B::Max => x.max(y),
        B::And => x & y,
        B::Or => x | y,
        B::Xor => x ^ y,
        B::Shl => x << y.rem_euclid(width),
        B::Shr => x >> y.rem_euclid(width),
        B::MulHigh if dtype == DType::U32 => (x * y) >> 32,
        B::MulHigh => return None,
        _ => return order(f, x, y),
    };
    Some(Scalar::from_bits(dtype, value as u64))
}

fn boolean(f: B, x: bool, y: bool) -> Option<Scalar> {
    let value = match f {
        B::Min | B::And => x && y,
        B::Max | B::Or => x || y,
        B::Xor => x != y,
        B::Add | B::Sub | B::Mul | B::Div | B::Rem | B::Shl | B::Shr | B::MulHigh => return None,
        _ => return order(f, x, y),
    };
    Some(Scalar::Bool(value))
}

#[test]
fn the_documented_corners_hold() {
    assert_eq!(binary(B::Div, 7i32, 0), Scalar::I32(0));
    assert_eq!(binary(B::Div, i64::MIN, -1), Scalar::I64(i64::MIN));
    assert_eq!(binary(B::Rem, i32::MIN, -1), Scalar::I32(0));
    assert_eq!(binary(B::Rem, 7u8, 0), Scalar::U8(7));
    assert_eq!(binary(B::Rem, -7i32, 3), Scalar::I32(-1));
    assert_eq!(binary(B::Rem, -7.5f32, 2.0), Scalar::F32(-1.5));
    // x where neither is less: the sign of zero is the first operand's.
    assert_eq!(binary(B::Min, 0.0f32, -0.0), Scalar::F32(0.0));
    assert_eq!(binary(B::Max, -0.0f32, 0.0), Scalar::F32(-0.0));
    assert_eq!(binary(B::Shr, -8i32, 33), Scalar::I32(-4));
    assert_eq!(binary(B::Shl, 1i32, -1), Scalar::I32(i32::MIN));
    assert_eq!(binary(B::MulHigh, u32::MAX, u32::MAX), Scalar::U32(u32::MAX - 1));
    assert_eq!(apply_binary(B::Add, Scalar::F32(1.0), Scalar::F64(1.0)), None);
}

fn kernel(text: &str) -> Kernel {
    let kernel: Kernel = text.parse().unwrap_or_else(|e| panic!("{e}\n{text}"));
    assert_eq!(verify(&kernel), [] as [&str; 0], "{text}");
    kernel
}

#[test]
fn row_sums_of_awkward_sizes() {
    for rows in [0usize, 1, 3, 5, 7] {
        for columns in [0usize, 1, 3, 5, 7] {
            let elements = rows * columns;
            let k = kernel(&format!(
                "kernel k(b0: f32[{elements}] read, b1: f32[{rows}] write) {{ parallel i0 < {rows} {{ a0 = sum f32 0
                 vector(4) i1 < {columns} {{ e0 = load b0[i0*{columns} + i1] update a0, e0 }} store b1[i0], a0 }} }}"
            ));
            let input: Vec<f32> = (0..elements).map(|i| i as f32 * 0.5 - 3.0).collect();
            let full = Tensor::full([rows], -9f32);
            let mut whole = [Tensor::from_slice([elements], &input).unwrap(), full.clone()];
            interpret(&k, &mut whole, 0..rows as i64).unwrap();
            let expected: Vec<f32> =
                (0..rows).map(|r| input[r * columns..][..columns].iter().fold(0.0, |s, v| s + v)).collect();
            assert_eq!(whole[1].to_vec::<f32>().unwrap(), expected, "{rows} × {columns}");
            // Pieces of the range give the same.
            let mut pieces = [whole[0].clone(), full];
            let middle = rows as i64 / 2;
            interpret(&k, &mut pieces, middle..rows as i64).unwrap();
            assert!(pieces[1].scalars().take(middle as usize).all(|s| s == Scalar::F32(-9.0)));
            interpret(&k, &mut pieces, 0..middle).unwrap();
            assert_eq!(pieces[1], whole[1]);
        }
    }
}

#[test]
fn a_store_sees_what_was_there_before() {
    let k = kernel(
        "kernel swap(b0: i32[6] readwrite) { parallel i0 < 3 { e0 = load b0[i0*2 + 1] e1 = load b0[i0*2]
         store b0[i0*2], e0; b0[i0*2 + 1], e1  add b0[i0*2], i32 10  e2 = load b0[i0*2] store b0[i0*2 + 1], e2 } }",
    );
    let mut buffers = [Tensor::from_vec([6], vec![1i32, 2, 3, 4, 5, i32::MAX]).unwrap()];
    interpret(&k, &mut buffers, 0..3).unwrap();
    let last = i32::MAX.wrapping_add(10);
    assert_eq!(buffers[0].to_vec::<i32>().unwrap(), [12, 12, 14, 14, last, last]);
}

#[test]
fn accumulators_combine() {
    let k = kernel(
        "kernel all(b0: f32[5] read, b1: f32[3] write, b2: bool[2] write) { parallel i0 < 1 {
           a0 = product f32 1  a1 = max f32 -inf  a2 = set f32 0  a3 = any bool false  a4 = all bool true
           for i1 < 5 { e0 = load b0[i1] update a0, e0 update a1, e0 e1 = mul a2, f32 2 e2 = add e1, e0 update a2, e2
             e3 = gt e0, f32 2 update a3, e3 update a4, e3 }
           store b1[0], a0; b1[1], a1; b1[2], a2; b2[0], a3; b2[1], a4 } }",
    );
    let mut buffers = [
        Tensor::from_vec([5], vec![1f32, 2.0, 3.0, -1.0, 0.5]).unwrap(),
        Tensor::full([3], 0f32),
        Tensor::zeros(Type::new(DType::Bool, [2])),
    ];
    interpret(&k, &mut buffers, 0..1).unwrap();
    assert_eq!(buffers[1].to_vec::<f32>().unwrap(), [-3.0, 3.0, 42.5]);
    assert_eq!(buffers[2].to_vec::<bool>().unwrap(), [true, false]);
}

#[test]
fn fma_rounds_once() {
    let k = kernel(
        "kernel fma(b0: f32[1] write, b1: f64[1] write) { parallel i0 < 1 {
           e0 = fma f32 1.0000001, f32 1.0000001, f32 -1.0000002
           e1 = fma f64 1.0000000000000002, f64 1.0000000000000002, f64 -1.0000000000000004
           store b0[0], e0; b1[0], e1 } }",
    );
    let mut buffers = [Tensor::full([1], 0f32), Tensor::full([1], 0f64)];
    interpret(&k, &mut buffers, 0..1).unwrap();
    assert_eq!(buffers[0].to_vec::<f32>().unwrap(), [2f32.powi(-46)]);
    assert_eq!(buffers[1].to_vec::<f64>().unwrap(), [2f64.powi(-104)]);
}

#[test]
fn errors_name_what_is_wrong() {
    let k: Kernel = "kernel far(b0: i64[2] read, b1: f32[3] readwrite) { parallel i0 < 2 {
        e0 = load b0[i0] e1 = load b1[e0] store b1[e0 + 1], e1 } }"
        .parse()
        .unwrap();
    let run = |at: [i64; 2], range| {
        let mut buffers = [Tensor::from_slice([2], &at).unwrap(), Tensor::full([3], 1f32)];
        interpret(&k, &mut buffers, range).map_err(|e| e.to_string())
    };
    assert_eq!(run([0, 1], 0..2), Ok(()));
    assert_eq!(run([0, 7], 0..1), Ok(()));
    let error = |text: &str| Err(text.to_owned());
    assert_eq!(run([0, 7], 0..2), error("kernel far: load of b1[7], which has 3 elements"));
    assert_eq!(run([-1, 0], 0..2), error("kernel far: load of b1[-1], which has 3 elements"));
    assert_eq!(run([2, 0], 0..2), error("kernel far: store of b1[3], which has 3 elements"));
    assert_eq!(run([0, 0], 0..3), error("kernel far: expected a range within 0..2, got 0..3"));
    let one = &mut [Tensor::full([2], 0i64)];
    assert!(matches!(interpret(&k, one, 0..2), Err(InterpretError::Buffers { expected: 2, got: 1, .. })));
    let wrong = &mut [Tensor::full([2], 0i32), Tensor::full([3], 0f32)];
    let message = interpret(&k, wrong, 0..2).unwrap_err().to_string();
    assert_eq!(message, "kernel far: b0: expected i64[2], got i32[2]");
}
