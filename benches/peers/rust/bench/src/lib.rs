//! Timing helpers for the Rust peers; the same rules and output as bench.py.

use std::time::{Duration, Instant};

/// The number of threads this process was given (it should also be pinned to that many cores).
pub fn threads() -> usize {
    std::env::var("PEER_THREADS").ok().and_then(|s| s.parse().ok()).unwrap_or(1)
}

/// Seconds per call after warm-up: (median, min).
pub fn measure(budget: f64, mut f: impl FnMut()) -> (f64, f64) {
    let quick = std::env::var("PEER_QUICK").is_ok_and(|s| s == "1");
    let (budget, warmup, least) = if quick { (0.0, 0, 2) } else { (budget, 500, 7) };
    let warm = Instant::now();
    f();
    while warm.elapsed() < Duration::from_millis(warmup) {
        f();
    }
    let once = Instant::now();
    f();
    let inner = ((2e-5 / once.elapsed().as_secs_f64()) as usize).max(1);
    let mut times = Vec::new();
    let start = Instant::now();
    while times.len() < least || (start.elapsed().as_secs_f64() < budget && times.len() < 5000) {
        let t = Instant::now();
        for _ in 0..inner {
            f();
        }
        times.push(t.elapsed().as_secs_f64() / inner as f64);
    }
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[0])
}

pub fn report(peer: &str, workload: &str, metric: &str, median: f64, min: f64) {
    println!(
        "{{\"peer\": \"{peer}\", \"workload\": \"{workload}\", \"threads\": {}, \"metric\": \"{metric}\", \"median\": {median:.3}, \"min\": {min:.3}}}",
        threads()
    );
}

pub fn report_us(peer: &str, workload: &str, (median, min): (f64, f64)) {
    report(peer, workload, "us", median * 1e6, min * 1e6);
}
