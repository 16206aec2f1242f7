//! What the machine can do at most: how many fused multiply-adds, and how fast memory is read and written.

use std::{
    hint::black_box,
    sync::Barrier,
    time::{Duration, Instant},
};

/// Each is measured for so long; the best of it counts.
const TIME: Duration = Duration::from_millis(200);
/// So many fused multiply-adds do not wait for one another: more than any processor has under way.
const CHAINS: usize = 12;
const STEPS: usize = 20_000;

/// The floating-point operations a second of fused multiply-adds of f32 in the widest vectors of this machine, on so many
/// threads; `None` if it has none that are known here.
pub fn operations(threads: usize) -> Option<f64> {
    let (lanes, fma) = widest()?.multiply_add;
    let seconds = slowest(threads, || least(|| fma(STEPS)));
    Some((2 * lanes * CHAINS * STEPS * threads) as f64 / seconds)
}

/// The bytes a second of aᵢ = bᵢ + s cᵢ over so many bytes in all, a part of them on each thread: of whichever cache holds them,
/// or of memory.
pub fn bandwidth(bytes: usize, threads: usize) -> f64 {
    let triad = widest().map_or(triad as Triad, |w| w.triad);
    let length = (bytes / threads / 12).max(64);
    // Enough for the clock.
    let passes = (1 << 20) / (12 * length) + 1;
    let seconds = slowest(threads, || {
        let (mut a, b, c) = (vec![0f32; length], vec![1f32; length], vec![2f32; length]);
        least(|| (0..passes).for_each(|_| triad(black_box(&mut a), black_box(&b), black_box(&c))))
    });
    (12 * length * passes * threads) as f64 / seconds
}

/// The seconds of the slowest of threads that work at once.
fn slowest(threads: usize, time: impl Fn() -> f64 + Sync) -> f64 {
    let barrier = Barrier::new(threads);
    let run = || {
        barrier.wait();
        time()
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(run)).collect();
        let own = run();
        others.into_iter().fold(own, |slowest, t| slowest.max(t.join().expect("it only computes")))
    })
}

/// The least seconds of a call.
fn least(mut f: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut least = f64::INFINITY;
    while start.elapsed() < TIME {
        let call = Instant::now();
        f();
        least = least.min(call.elapsed().as_secs_f64());
    }
    least
}

/// aᵢ = bᵢ + 3 cᵢ.
type Triad = fn(&mut [f32], &[f32], &[f32]);

/// Both loops in vectors of one width.
struct Loops {
    /// The vectors' lanes, and a loop of so many steps, in each of which every chain goes on by one.
    multiply_add: (usize, fn(usize)),
    triad: Triad,
}

#[inline(always)]
fn triad(a: &mut [f32], b: &[f32], c: &[f32]) {
    for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
        *a = *b + 3.0 * *c;
    }
}

/// Both loops, compiled for a feature of the processor.
macro_rules! loops {
    ($name:ident, $arch:ident, $feature:literal, $lanes:literal, $set:ident, |$a:ident, $x:ident, $y:ident| $fma:expr) => {
        mod $name {
            use super::{CHAINS, black_box};
            use std::arch::$arch::*;

            #[target_feature(enable = $feature)]
            pub fn multiply_add(steps: usize) {
                let ($x, $y) = (black_box($set(0.999)), black_box($set(0.001)));
                let mut chains = [black_box($set(1.0)); CHAINS];
                for _ in 0..steps {
                    for chain in &mut chains {
                        let $a = *chain;
                        *chain = $fma;
                    }
                }
                black_box(chains);
            }

            #[target_feature(enable = $feature)]
            pub fn triad(a: &mut [f32], b: &[f32], c: &[f32]) {
                super::triad(a, b, c);
            }

            /// To be called only where the processor has the feature.
            pub const LOOPS: super::Loops = super::Loops {
                // SAFETY: `widest` gives these only where the processor has the feature, which is all that they need.
                multiply_add: ($lanes, |steps| unsafe { multiply_add(steps) }),
                // SAFETY: the same.
                triad: |a, b, c| unsafe { triad(a, b, c) },
            };
        }
    };
}

#[cfg(target_arch = "x86_64")]
loops!(lanes16, x86_64, "avx512f", 16, _mm512_set1_ps, |a, x, y| _mm512_fmadd_ps(a, x, y));
#[cfg(target_arch = "x86_64")]
loops!(lanes8, x86_64, "avx,fma", 8, _mm256_set1_ps, |a, x, y| _mm256_fmadd_ps(a, x, y));
#[cfg(target_arch = "aarch64")]
loops!(lanes4, aarch64, "neon", 4, vdupq_n_f32, |a, x, y| vfmaq_f32(y, a, x));

#[cfg(target_arch = "x86_64")]
fn widest() -> Option<Loops> {
    if is_x86_feature_detected!("avx512f") {
        return Some(lanes16::LOOPS);
    }
    let has = is_x86_feature_detected!("avx") && is_x86_feature_detected!("fma");
    has.then_some(lanes8::LOOPS)
}

#[cfg(target_arch = "aarch64")]
fn widest() -> Option<Loops> {
    Some(lanes4::LOOPS)
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn widest() -> Option<Loops> {
    None
}
