//! Every function against references that share no code with it.

use std::{
    f32::consts::{FRAC_1_SQRT_2, FRAC_PI_4, LN_2, SQRT_2},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bespoke_tensor::{DType, Scalar, Tensor, Type};

use super::{
    BINARY, Builder, Builder2, Reference, Reference2, UNARY,
    evaluate::{BLOCK, Column, Evaluator},
    ulp::{ulp_f32, ulp_f64},
};
use crate::{Access, Buffer, ExprId, Exprs, Kernel, LoopKind, Stmt, Store, interpret, parse_kernel, verify};

/// Every how many bit patterns a unary function of `f32` is tested; 1 takes all of them. More points elsewhere too.
fn stride() -> usize {
    std::env::var("MATH_STRIDE").ok().map_or(4099, |s| s.parse().expect("MATH_STRIDE must be a number"))
}

/// Runs `test` on 0..count, on all cores, and fails with what it returned.
fn in_parallel(count: usize, test: impl Fn(usize) -> Option<String> + Sync) {
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= count {
                        break;
                    }
                    if let Some(failure) = test(i) {
                        failures.lock().unwrap().push(failure);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Where a function is furthest from its reference.
#[derive(Default)]
struct Worst {
    ulp: f64,
    at: String,
}

impl Worst {
    fn take(&mut self, ulp: f64, at: impl FnOnce() -> String) {
        if ulp > self.ulp {
            *self = Worst { ulp, at: at() };
        }
    }

    /// A complaint if this is beyond `limit`.
    fn beyond(&self, limit: f64, name: &str) -> Option<String> {
        println!("{name:12} {:.3} ulp: {}", self.ulp, self.at);
        (self.ulp > limit)
            .then(|| format!("{name}: expected at most {limit} ulp, got {:.3}: {}", self.ulp, self.at))
    }
}

/// Numbers where functions switch between formulas or meet the ends of their domain and range, and their neighbours.
fn special_f32() -> Vec<f32> {
    let mut points: Vec<f32> =
        vec![0.6, 0.9277344, 4.0, 9.0, 17.4, 20.0, 88.72284, 89.0, 89.41599, 89.5, 103.972084, 105.0];
    // Where single functions are furthest off.
    points.extend([5.843673, 0.017351478, 0.39350894, 75.55451, 0.7070493, 0.41428742, 0.6019285, 1.2160506]);
    points.extend([LN_2, LN_2 / 2.0, SQRT_2 * 2.0 - 2.0, SQRT_2 - 1.0, FRAC_1_SQRT_2, SQRT_2]);
    points.extend((0..300).map(|k| k as f32 * FRAC_PI_4));
    points.extend((0..=255).map(|e| f32::from_bits(e << 23)));
    let near =
        |p: &f32| (-20..=20).map(|d| f32::from_bits(p.to_bits().wrapping_add_signed(d))).collect::<Vec<_>>();
    let mut all: Vec<f32> = points.iter().flat_map(near).flat_map(|p| [p, -p]).collect();
    all.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]);
    all
}

fn worst_unary_f32(build: Builder, reference: Reference) -> Worst {
    let mut evaluator = Evaluator::unary(DType::F32, build);
    let mut worst = Worst::default();
    let mut points = (0..=u32::MAX).step_by(stride()).map(f32::from_bits).chain(special_f32());
    loop {
        let mut block: Vec<f32> = points.by_ref().take(BLOCK).collect();
        if block.is_empty() {
            return worst;
        }
        block.resize(BLOCK, 1.0);
        let got = evaluator.run([Column::F32(block.clone())]).f32();
        for (&x, &got) in block.iter().zip(got) {
            let exact = reference(x as f64);
            worst.take(ulp_f32(got, exact), || {
                format!("f({x:e}) = {exact:e}, got {got:e}, x is {:#x}", x.to_bits())
            });
        }
    }
}

fn worst_unary_f64(build: Builder, reference: Reference) -> Worst {
    let mut evaluator = Evaluator::unary(DType::F64, build);
    let mut worst = Worst::default();
    let count = 409_900_000 / stride();
    let regular = (0..=u64::MAX).step_by(u64::MAX as usize / count).map(f64::from_bits);
    // Evenly over the exponents from 2⁻⁴⁰ to 2¹², where something happens.
    let middle = (983u64 << 52..1035 << 52).step_by((52 << 52) / count).flat_map(|b| [b, b | 1 << 63]);
    let special = special_f32().into_iter().map(|x| x as f64);
    let ends = [709.78, 709.79, 710.4, 710.5, 745.1, 745.2, 708.39, 708.4, 36.7, 37.5, 22.0, 19.1]
        .into_iter()
        .flat_map(|x| [x, -x]);
    let mut points = regular.chain(middle.map(f64::from_bits)).chain(special).chain(ends);
    loop {
        let mut block: Vec<f64> = points.by_ref().take(BLOCK).collect();
        if block.is_empty() {
            return worst;
        }
        block.resize(BLOCK, 1.0);
        let got = evaluator.run([Column::F64(block.clone())]).f64();
        for (&x, &got) in block.iter().zip(got) {
            let exact = reference(x);
            worst.take(ulp_f64(got, exact), || {
                format!("f({x:e}) = {exact:e}, got {got:e}, x is {:#x}", x.to_bits())
            });
        }
    }
}

fn worst_binary_f32(build: Builder2, reference: Reference2, points: &[(f32, f32)]) -> Worst {
    let mut evaluator = Evaluator::binary(DType::F32, build);
    let mut worst = Worst::default();
    for block in points.chunks(BLOCK) {
        let (mut xs, mut ys): (Vec<f32>, Vec<f32>) = block.iter().copied().unzip();
        xs.resize(BLOCK, 1.0);
        ys.resize(BLOCK, 1.0);
        let got = evaluator.run([Column::F32(xs), Column::F32(ys)]).f32();
        for (&(x, y), &got) in block.iter().zip(got) {
            let exact = reference(x as f64, y as f64);
            worst.take(ulp_f32(got, exact), || format!("f({x:e}, {y:e}) = {exact:e}, got {got:e}"));
        }
    }
    worst
}

/// The same pseudo-random numbers each time (xorshift).
fn noise(seed: u64) -> impl Iterator<Item = u32> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u32
    })
}

/// Pairs of: special values; any bits; bases and exponents whose power is in range; small integers.
fn pairs() -> Vec<(f32, f32)> {
    let corners = [
        0.0,
        f32::from_bits(1),
        f32::from_bits(0x7f_ffff),
        f32::MIN_POSITIVE,
        1e-30,
        1e-5,
        0.1,
        0.5,
        0.99999994,
        1.0,
        1.0000001,
        1.5,
        2.0,
        2.5,
        3.0,
        4.0,
        127.0,
        128.0,
        149.0,
        150.0,
        8388607.5,
        16777215.0,
        16777216.0,
        1e30,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    let signed = || corners.into_iter().flat_map(|x| [x, -x]);
    let mut pairs: Vec<(f32, f32)> = signed().flat_map(|x| signed().map(move |y| (x, y))).collect();
    let mut bits = noise(0x9e37_79b9_7f4a_7c15);
    let mut next = || bits.next().expect("noise does not end");
    for _ in 0..1_229_700_000 / stride() {
        pairs.push((f32::from_bits(next()), f32::from_bits(next())));
        let x = f32::from_bits(next() & 0x7fff_ffff);
        let exponent = next() as f32 / 2f32.powi(32) * 310.0 - 155.0;
        pairs.push((x, exponent / x.log2()));
        let near_one = 1.0 + (next() as i32) as f32 * 2f32.powi(-(32 + (next() % 20) as i32));
        pairs.push((near_one, exponent / near_one.log2()));
        pairs.push(((next() % 2000) as f32 - 1000.0, (next() % 100) as f32 - 50.0));
    }
    pairs
}

#[test]
fn unary_f32_within_two_units() {
    in_parallel(UNARY.len(), |i| {
        let (name, build, reference) = UNARY[i];
        worst_unary_f32(build, reference).beyond(2.0, &format!("{name} f32"))
    });
}

#[test]
fn binary_f32_within_two_units() {
    let points = pairs();
    in_parallel(BINARY.len(), |i| {
        let (name, build, reference) = BINARY[i];
        worst_binary_f32(build, reference, &points).beyond(2.0, &format!("{name} f32"))
    });
}

/// References that are called are equal; the golden values check those.
#[test]
fn unary_f64_within_four_units() {
    in_parallel(UNARY.len(), |i| {
        let (name, build, reference) = UNARY[i];
        worst_unary_f64(build, reference).beyond(4.0, &format!("{name} f64"))
    });
}

#[test]
fn f64_within_four_units_of_golden_values() {
    let rows: Vec<Vec<&str>> =
        include_str!("golden_f64.csv").lines().map(|line| line.split(',').collect()).collect();
    let value = |hex: &str| f64::from_bits(u64::from_str_radix(hex, 16).expect("golden values are bits"));
    let unary = UNARY.iter().map(|&(name, build, _)| (name, Evaluator::unary(DType::F64, build)));
    let binary = BINARY.iter().map(|&(name, build, _)| (name, Evaluator::binary(DType::F64, build)));
    let mut failures = Vec::new();
    for (name, mut evaluator) in unary.chain(binary) {
        let mut worst = Worst::default();
        let own = rows.iter().filter(|r| r[0] == name);
        assert!(own.clone().count() > 20, "too few golden values of {name}");
        for row in own {
            let arguments = row[1..3].iter().filter(|a| !a.is_empty());
            let columns = arguments.map(|a| Column::F64(vec![value(a); BLOCK]));
            let got = evaluator.run(columns).f64()[0];
            let exact = value(row[3]);
            worst.take(ulp_f64(got, exact), || {
                format!("f({:e}) = {exact:e}, got {got:e}; {}", value(row[1]), row.join(","))
            });
        }
        failures.extend(worst.beyond(4.0, &format!("{name} golden")));
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// A kernel that stores `build` of each of `points`.
fn kernel_of(
    name: &str,
    dtype: DType,
    points: usize,
    build: impl FnOnce(&mut Exprs, ExprId) -> ExprId,
) -> Kernel {
    let mut exprs = Exprs::new();
    let (input, output) = (exprs.declare_buffer(dtype), exprs.declare_buffer(dtype));
    let var = exprs.declare_var(points as i64);
    let index = exprs.var(var);
    let x = exprs.load(input, index);
    let value = build(&mut exprs, x);
    let buffer = |access| Buffer { dtype, elements: points, access };
    Kernel {
        name: name.to_owned(),
        buffers: vec![buffer(Access::Read), buffer(Access::Write)],
        accs: Vec::new(),
        exprs,
        body: Stmt::For {
            var,
            kind: LoopKind::Serial,
            body: vec![Stmt::Store(vec![Store { buffer: output, index, value }])],
        },
    }
}

/// The functions are valid kernels with a text form, and the interpreter gives the bits that these tests check.
#[test]
fn kernels_of_all_functions_agree_with_the_evaluator() {
    let points: Vec<f32> = special_f32().into_iter().step_by(37).take(BLOCK).collect();
    assert_eq!(points.len(), BLOCK);
    for dtype in [DType::F32, DType::F64] {
        let input = Tensor::from_fn(Type::new(dtype, [BLOCK]), |i| Scalar::F32(points[i]).convert(dtype));
        let column = match dtype {
            DType::F32 => Column::F32(points.clone()),
            _ => Column::F64(points.iter().map(|&x| x as f64).collect()),
        };
        let check = |name: &str, kernel: Kernel, expected: &Column| {
            let problems = verify(&kernel);
            assert!(problems.is_empty(), "{name} of {dtype}: {problems:?}");
            let text = kernel.to_string();
            let read =
                parse_kernel(&text, super::calls::ALL).unwrap_or_else(|e| panic!("{name} of {dtype}: {e}"));
            assert_eq!(read.to_string(), text, "{name} of {dtype}");
            let mut buffers = [input.clone(), Tensor::zeros(input.ty())];
            interpret(&read, &mut buffers, 0..BLOCK as i64)
                .unwrap_or_else(|e| panic!("{name} of {dtype}: {e}"));
            for (i, got) in buffers[1].scalars().enumerate() {
                let expected = match expected {
                    Column::F32(v) => Scalar::F32(v[i]),
                    other => Scalar::F64(other.f64()[i]),
                };
                let both_nan = got.to_f64().is_nan() && expected.to_f64().is_nan();
                assert!(
                    got == expected || both_nan,
                    "{name} of {dtype} at {}: {expected}, got {got}",
                    points[i]
                );
            }
        };
        for &(name, build, _) in UNARY {
            let mut evaluator = Evaluator::unary(dtype, build);
            check(name, kernel_of(name, dtype, BLOCK, build), evaluator.run([column.clone()]));
        }
        for &(name, build, _) in BINARY {
            let mut evaluator = Evaluator::binary(dtype, build);
            let kernel = kernel_of(name, dtype, BLOCK, |e, x| build(e, x, x));
            check(name, kernel, evaluator.run([column.clone(), column.clone()]));
        }
    }
}
