"""Zeros of both signs, denormals, the largest numbers, infinities and NaN, in f32, by PyTorch; and functions of logits up
to ±10⁴."""

import jax
import numpy as np
import torch
import torch.nn.functional as F

from case import Case
from losses import LOSSES
from operators import BINARY, UNARY

NUMBERS = np.array(
    [0.0, -0.0, 1e-40, -1e-40, 1e-30, 3e-5, -3e-5, 0.5, -0.5, 1.0, -1.0, 80.0, -80.0, 1e4, -1e4, 1e30, -1e30, 3e38, -3e38]
    + [np.inf, -np.inf, np.nan],
    np.float32,
)
LEFT, RIGHT = (grid.flatten() for grid in np.meshgrid(NUMBERS, NUMBERS))
LOGITS = np.array(
    [[1e4, -1e4, 0.0], [1e4, 1e4, 1e4], [-1e4, -1e4, 0.0], [88.0, -104.0, 1.0], [-1e4, 9.0, 1e4]], np.float32
).astype(np.float64)


def case(name, function, operator, *inputs):
    named = {f"x{i}": x for i, x in enumerate(inputs)}
    alone = "JAX takes denormal numbers for 0"
    CASES.append(Case(f"extreme {name}", function, named, None, operator, dtype=np.float32, alone=alone))


CASES = []
for name, function, *_ in UNARY:
    # The sine of 3·10³⁸ depends on how far the reduction goes; that one has tests of its own.
    case(name, function, name, NUMBERS[np.abs(NUMBERS) < 1e5] if name in ("sin", "cos", "tan") else NUMBERS)
for name, function, *_ in BINARY:
    case(name, function, name, LEFT, RIGHT)
for name, operator, function in [
    ("reduce_max", "reduce_max {axes=[1]}", lambda x: x.amax(1)),
    ("reduce_min", "reduce_min {axes=[1]}", lambda x: x.amin(1)),
    ("reduce_sum", "reduce_sum {axes=[1]}", lambda x: x.sum(1)),
    ("cumulative_max", "cumulative_max {axis=1}", lambda x: x.cummax(1).values),
    ("arg_sort", "arg_sort {axis=1}", lambda x: torch.argsort(x, dim=1, stable=True).int()),
]:
    rows = np.array([[np.inf, 1, -np.inf, 0], [np.nan, 2, np.inf, -1], [3e38, 3e38, 1, 2], [-0.0, 0.0, 1e-40, -1e-40]])
    case(name, function, operator, rows.astype(np.float32))
TARGETS = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.3, 0.0, 1.0], [1.0, 0.0, 0.0]], np.float32)
TARGETS = TARGETS.astype(np.float64)
LABELS = np.array([1, 0, 2, 0, 1])
for name, by_torch, by_jax, *t in [
    ("softmax", lambda x: F.softmax(x, 1), jax.nn.softmax),
    ("log_softmax", lambda x: F.log_softmax(x, 1), jax.nn.log_softmax),
    ("logsumexp", lambda x: x.logsumexp(1), lambda x: jax.nn.logsumexp(x, 1)),
    ("cross_entropy", *LOSSES["cross_entropy"], LABELS),
    ("binary_cross_entropy", *LOSSES["binary_cross_entropy"], TARGETS),
    ("gelu", F.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
    ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), jax.nn.gelu),
    ("silu", F.silu, jax.nn.silu),
    ("elu", F.elu, jax.nn.elu),
    ("layer_norm", lambda x: F.layer_norm(x, (3,)), lambda x: jax.nn.standardize(x, -1, epsilon=1e-5)),
]:
    inputs = {"x": LOGITS, **({"t": t[0]} if t else {})}
    # JAX has the second derivative at 0 from below, PyTorch that from above.
    apart = (lambda x: x == 0) if name == "elu" else None
    CASES.append(Case(f"logits, {name}", by_torch, inputs, by_jax, apart=apart))
