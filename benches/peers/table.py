"""Markdown tables from result files: python table.py results/*.jsonl

A cell is "median (best)". Of several runs of one measurement the one with the better median counts: noise only adds time.
The last table is of ratios: the best peer's median over bespoke's.
"""
import json
import sys

PEERS = ["bespoke", "torch-eager", "torch-eager-nhwc", "torch-compile", "jax-jit", "onnxruntime", "candle", "burn", "gemm",
         "matrixmultiply", "numpy"]
rows, limits = {}, {}
for path in sys.argv[1:]:
    for line in open(path):
        r = json.loads(line)
        key, pair = (r["peer"], r["workload"], r["threads"], r["metric"]), (r["median"], r["min"])
        if key not in rows or pair < rows[key]:
            rows[key] = pair
            if "of_limit" in r:
                limits[r["workload"], r["threads"]] = r["of_limit"]


def number(v):
    return f"{v:.0f}" if v >= 100 else f"{v:.3g}"


def order(workload):
    head, _, tail = workload.partition("-")
    sizes = tail.removeprefix("2^").removeprefix("b").split("x")
    volume = 1
    for size in sizes:
        volume *= int(size) if size.isdigit() else 1
    return int(head[1:]), len(set(sizes)) > 1, volume, tail


def table(title, metric, heads, convert=lambda workload, v: v):
    keys = {k[1:3] for k in rows if k[3] == metric and k[1].split("-")[0] in heads}
    names = [p for p in PEERS if any((p, *k, metric) in rows for k in keys)]
    if not keys:
        return
    print(f"\n### {title}\n")
    print("| | threads | " + " | ".join(names) + " |\n|---|---:|" + "---:|" * len(names))
    for workload, threads in sorted(keys, key=lambda k: (order(k[0]), k[1])):
        cells = []
        for p in names:
            pair = [convert(workload, v) for v in rows.get((p, workload, threads, metric), ())]
            once = len(pair) == 2 and pair[0] == pair[1]
            cells.append("" if not pair else number(pair[0]) + ("" if once else f" ({number(pair[1])})"))
        print(f"| {workload} | {threads} | " + " | ".join(cells) + " |")


def gflops(workload, us):
    m, k, n = map(int, workload.split("-")[1].split("x"))
    return 2 * m * k * n / us / 1e3


def ratios():
    print("\n### Best peer's median / bespoke's median\n")
    print("| | threads | bespoke | best peer | | ratio | of the machine's limit |\n|---|---:|---:|---:|---|---:|---:|")
    units = {"us": ("", "µs"), "first_step_ms": ("W12 ", "ms"), "peak_mib": ("W13 ", "MiB")}

    def quantity(value, unit):
        return f"{number(value / 1e3)} ms" if unit == "µs" and value >= 1e3 else f"{number(value)} {unit}"

    for metric, (prefix, unit) in units.items():
        ours = [k[1:3] for k in rows if k[0] == "bespoke" and k[3] == metric]
        for workload, threads in sorted(ours, key=lambda k: (order(k[0]), k[1])):
            own = rows["bespoke", workload, threads, metric][0]
            peers = [(rows[k][0], k[0]) for k in rows if k[1:] == (workload, threads, metric) and k[0] != "bespoke"]
            best, name = min(peers, default=(None, ""))
            ratio = f"{best / own:.2f}" if best else ""
            limit = limits.get((workload, threads)) if metric == "us" else None
            share = f"{limit:.0%}" if limit else ""
            theirs = quantity(best, unit) if best else ""
            print(f"| {prefix}{workload} | {threads} | {quantity(own, unit)} | {theirs} | {name} | {ratio} | {share} |")


steps = [f"W{i}" for i in (*range(1, 9), *range(14, 18))]
table("Training step, ms", "us", steps, lambda workload, v: v / 1e3)
table("W9 inference, ms", "us", ["W9"], lambda workload, v: v / 1e3)
table("W10 elementwise chain, µs", "us", ["W10"])
table("W11 matrix product M x K x N, GFLOP/s", "us", ["W11"], gflops)
table("W12 definition to the end of the first step, ms", "first_step_ms", steps)
table("W13 peak memory, MiB: with compilation (steady)", "peak_mib", steps)
ratios()
