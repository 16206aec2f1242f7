"""Timing helpers for the Python peers. Import this before torch, jax or numpy.

PEER_THREADS limits the process to that many cores, so that every library sees the same machine however it sizes its
thread pool. PEER_QUICK=1 times next to nothing, to try the scripts.
"""
import json
import os
import statistics
import time

THREADS = int(os.environ.get("PEER_THREADS", "1"))
QUICK = os.environ.get("PEER_QUICK") == "1"
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-THREADS:])
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = str(THREADS)


def measure(step, budget=3.0, warmup=0.5, least=7, most=5000):
    """Seconds per call after warm-up: (median, min)."""
    if QUICK:
        budget, warmup, least, most = 0, 0, 2, 2
    end = time.perf_counter() + warmup
    step()
    while time.perf_counter() < end:
        step()
    start = time.perf_counter()
    step()
    once = time.perf_counter() - start
    inner = max(1, int(2e-5 / max(once, 1e-9)))  # keep the clock's own cost below 1 %
    times, end = [], time.perf_counter() + budget
    while len(times) < least or (time.perf_counter() < end and len(times) < most):
        start = time.perf_counter()
        for _ in range(inner):
            step()
        times.append((time.perf_counter() - start) / inner)
    return statistics.median(times), min(times)


def emit(peer, workload, metric, median, least):
    print(json.dumps({"peer": peer, "workload": workload, "threads": THREADS, "metric": metric,
                      "median": float(f"{median:.5g}"), "min": float(f"{least:.5g}")}), flush=True)


def emit_us(peer, workload, step, **limits):
    median, least = measure(step, **limits)
    emit(peer, workload, "us", median * 1e6, least * 1e6)


def memory_mib(field):
    """VmRSS (now) or VmHWM (the peak since reset_peak) of this process."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(field))


def reset_peak():
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")
