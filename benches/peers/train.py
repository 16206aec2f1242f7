"""One train-step measurement: python train.py PEER WORKLOAD

PEER: torch-eager, torch-eager-nhwc, torch-compile or jax-jit. Prints the time from model
definition to the end of the first step (torch.compile starts from an empty cache), the
steady step, and the peak memory above what the imports take, with and without compilation.
"""
import sys
import tempfile
import os
import time

import bench

peer, workload = sys.argv[1:3]
if peer.startswith("torch"):
    cache = tempfile.TemporaryDirectory()
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache.name
    import torch
    import torch_models as models
    torch.set_num_threads(bench.THREADS)
    torch.manual_seed(0)
    models.CHANNELS_LAST = peer.endswith("nhwc")
    def build(): return models.WORKLOADS[workload](peer == "torch-compile")
else:
    import jax_models as models
    def build(): return models.WORKLOADS[workload]()

bench.reset_peak()
base = bench.memory_mib("VmRSS")
start = time.perf_counter()
step = build()
step()
first = time.perf_counter() - start
bench.emit(peer, workload, "first_step_ms", first * 1e3, first * 1e3)
with_compile = bench.memory_mib("VmHWM") - base
for _ in range(3):
    step()
bench.reset_peak()
bench.emit_us(peer, workload, step)
steady = bench.memory_mib("VmHWM") - base
bench.emit(peer, workload, "peak_mib", max(with_compile, steady), steady)
