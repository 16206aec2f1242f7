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
TARGETS = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.3, 0.0, 1.0], [1.0, 0.0, 0.0]])
LABELS = np.array([1, 0, 2, 0, 1])
# Beside each other, and far from 0: what f32 cannot hold of log Σ eˣ.
FAR = np.array([[1e4, 9998.5, 9999.25], [-3e4, -30001.5, -30004.0], [5e5, 499999.5, 500000.25], [1e4, 1e4, 9992.0]])
# Probabilities of what is sure, and of what is not.
SURE = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.125], [0.0, 1.0, 0.75]])
BITS = np.array([[0.0, 1.0, 0.25], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
ROWS = np.array([[0.0, 0.25, 0.75], [1.0, 0.0, 0.0], [2.0**-20, 0.0, 1 - 2.0**-20]])
ROUGH = np.array([[0.0, 0.5, 0.5], [0.25, 0.5, 0.25], [0.5, 0.0, 0.5]])


def logits(name, by_torch, by_jax, **options):
    """Of activations, whose kinks at 0 are cases of `functions.py`."""
    CASES.append(Case(f"logits, {name}", by_torch, {"x": LOGITS}, by_jax, **options))


def given(name, loss, x, t, **options):
    """By a loss of these operands."""
    rounded = lambda t: t if t.dtype.kind == "i" else t.astype(np.float32).astype(np.float64)
    inputs = {"x": rounded(x)} | ({} if t is None else {"t": rounded(t)})
    by_torch, by_jax = loss
    CASES.append(Case(name, by_torch, inputs, by_jax, **options))


AT_0 = lambda x: x == 0
for name, by_torch, by_jax, *apart in [
    ("softmax", lambda x: F.softmax(x, 1), jax.nn.softmax),
    ("log_softmax", lambda x: F.log_softmax(x, 1), jax.nn.log_softmax),
    ("logsumexp", lambda x: x.logsumexp(1), lambda x: jax.nn.logsumexp(x, 1)),
    ("gelu", F.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
    ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), jax.nn.gelu),
    ("silu", F.silu, jax.nn.silu),
    # JAX has the second derivative at 0 from below, PyTorch that from above.
    ("elu", F.elu, jax.nn.elu, AT_0),
    ("selu", F.selu, jax.nn.selu, AT_0),
    # The second derivative of PyTorch's own is ∞·0.
    ("mish", lambda x: x * F.softplus(x).tanh(), jax.nn.mish),
    ("relu", F.relu, jax.nn.relu),
    ("leaky_relu", lambda x: F.leaky_relu(x, 1.5), lambda x: jax.nn.leaky_relu(x, 1.5), AT_0),
    ("sigmoid_slope", lambda x: torch.sigmoid(2.5 * x), lambda x: jax.nn.sigmoid(2.5 * x)),
    ("log_sigmoid", F.logsigmoid, jax.nn.log_sigmoid),
    ("softsign", F.softsign, jax.nn.soft_sign, AT_0),
    ("relu6", F.relu6, jax.nn.relu6),
    ("layer_norm", lambda x: F.layer_norm(x, (3,)), lambda x: jax.nn.standardize(x, -1, epsilon=1e-5)),
]:
    logits(name, by_torch, by_jax, apart=apart[0] if apart else None)
given("logits, cross_entropy", LOSSES["cross_entropy"], LOGITS, LABELS)
for name in ["binary_cross_entropy", "squared_error", "huber"]:
    given(f"logits, {name}", LOSSES[name], LOGITS, TARGETS)
# JAX's slope of |0| is 1.
given("logits, absolute_error", LOSSES["absolute_error"], LOGITS, TARGETS, apart=lambda x: x == TARGETS)
for name in ["hinge", "focal"]:
    signs = (-1) ** np.arange(15, dtype=np.int32).reshape(5, 3)
    given(f"logits, {name}", LOSSES[name], LOGITS, signs)
softmax = lambda x: F.log_softmax(x, 1), jax.nn.log_softmax
given("far, log_softmax", softmax, FAR, None)
given("far, cross_entropy", LOSSES["cross_entropy"], FAR, LABELS[:4])
given("far, cross_entropy_smoothed", LOSSES["cross_entropy_smoothed"], FAR, LABELS[:4])
given("far, soft_cross_entropy", LOSSES["soft_cross_entropy"], FAR, TARGETS[:4])
# JAX's derivatives at 0 and 1 are no numbers.
alone = "PyTorch alone bounds the slope of what is sure"
given("sure, bernoulli_cross_entropy", (LOSSES["bernoulli_cross_entropy"][0], None), SURE, BITS, fixed=("t",), alone=alone)
given("sure, categorical_cross_entropy", LOSSES["categorical_cross_entropy"], ROUGH, ROWS, fixed=("t",), jax_orders=0)
given("sure, kl_divergence", LOSSES["kl_divergence"], ROWS, np.full((3, 3), 0.25), fixed=("t",), jax_orders=0)
given("sure, entropy", LOSSES["entropy"], ROWS, None, fixed=("t",), jax_orders=0)
# Of functions that have a value and derivatives there; those of x·σ(x) and its like are ∞·0.
ENDS = np.array([np.inf, -np.inf])
for name, by_torch, by_jax in [
    ("relu", F.relu, jax.nn.relu),
    ("relu6", F.relu6, jax.nn.relu6),
    ("hard_tanh", F.hardtanh, jax.nn.hard_tanh),
    ("elu", F.elu, jax.nn.elu),
    ("selu", F.selu, jax.nn.selu),
    ("log_sigmoid", F.logsigmoid, jax.nn.log_sigmoid),
    ("sigmoid_slope", lambda x: torch.sigmoid(2.5 * x), lambda x: jax.nn.sigmoid(2.5 * x)),
    ("leaky_relu", lambda x: F.leaky_relu(x, 1.5), lambda x: jax.nn.leaky_relu(x, 1.5)),
    ("clamp", lambda x: x.clamp(-0.5, 0.4), lambda x: jax.numpy.clip(x, -0.5, 0.4)),
]:
    CASES.append(Case(f"infinite, {name}", by_torch, {"x": ENDS}, by_jax))
