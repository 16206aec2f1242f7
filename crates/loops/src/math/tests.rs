use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bespoke_tensor::DType;

use super::{
    UNARY,
    evaluate::{BLOCK, Column, Evaluator},
    ulp::{ulp_f32, ulp_f64},
};

/// Every how many bit patterns a unary function of `f32` is tested; 1 for all of them.
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

/// Bit patterns around all powers of two and the ends of all domains, of both signs.
fn special_f32() -> Vec<f32> {
    let mut points: Vec<f32> =
        vec![0.927734375, 4.0, 9.0, 17.4, 20.0, 88.72284, 89.0, 89.41599, 89.5, 103.972084, 105.0];
    points.extend([std::f32::consts::LN_2, 0.3465736, 0.8284271, 0.41421357, 0.70710677, 1.4142135]);
    points.extend((0..300).map(|k| k as f32 * std::f32::consts::FRAC_PI_4));
    points.extend((0..=255).map(|e| f32::from_bits(e << 23)));
    let near =
        |p: &f32| (-20..=20).map(|d| f32::from_bits(p.to_bits().wrapping_add_signed(d))).collect::<Vec<_>>();
    let mut all: Vec<f32> = points.iter().flat_map(near).flat_map(|p| [p, -p]).collect();
    all.extend([f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN]);
    all
}

#[derive(Clone, Copy, Default, Debug)]
struct Worst {
    ulp: f64,
    x: f64,
    got: f64,
    exact: f64,
}

impl Worst {
    fn take(&mut self, ulp: f64, x: f64, got: f64, exact: f64) {
        if ulp > self.ulp {
            *self = Worst { ulp, x, got, exact };
        }
    }
}

/// The worst of a unary function of `f32`.
fn measure_f32(build: super::Builder, reference: fn(f64) -> f64) -> Worst {
    let mut evaluator = Evaluator::unary(DType::F32, build);
    let mut worst = Worst::default();
    let regular = (0..=u32::MAX).step_by(stride()).map(f32::from_bits);
    let mut points = regular.chain(special_f32());
    loop {
        let mut block: Vec<f32> = points.by_ref().take(BLOCK).collect();
        if block.is_empty() {
            return worst;
        }
        block.resize(BLOCK, 1.0);
        let got = evaluator.run([Column::F32(block.clone())]).f32();
        for (&x, &got) in block.iter().zip(got) {
            let exact = reference(x as f64);
            worst.take(ulp_f32(got, exact), x as f64, got as f64, exact);
        }
    }
}

#[test]
fn unary_f32_within_two_units() {
    in_parallel(UNARY.len(), |i| {
        let (name, build, reference) = UNARY[i];
        let worst = measure_f32(build, reference);
        println!("{name:9} {:.3} at {:e}", worst.ulp, worst.x as f32);
        (worst.ulp > 2.0).then(|| format!("{name} of f32: {worst:?}, bits {:#x}", (worst.x as f32).to_bits()))
    });
}

#[test]
fn unary_f64_within_four_units() {
    let _ = ulp_f64;
}
