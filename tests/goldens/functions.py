"""Activations, norms and other functions that have no parameters of their own, or few; by PyTorch and by JAX."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

from case import Case, waves

CASES = []


def case(name, by_torch, by_jax, options={}, **shapes):
    """Inputs are waves of these shapes, or given tensors."""
    inputs = {n: waves(sum(n.encode()), s) if isinstance(s, tuple) else s.numpy() for n, s in shapes.items()}
    CASES.append(Case(name, by_torch, inputs, by_jax, **options))


# All kinks are among them.
POINTS = [-100.0, -30.0, -3.1, -3.0, -1.0, -0.7, -1e-3, 0.0, 1e-3, 0.9, 1.0, 3.0, 4.2, 6.0, 30.0, 100.0]
POINTS = torch.tensor(POINTS, dtype=torch.float32).double()


def hard_sigmoid(x):
    """F.hardsigmoid, which has no second derivative; it is flat from its kinks on."""
    return torch.where((x > -3) & (x < 3), x / 6 + 0.5, F.hardsigmoid(x).detach())


for name, by_torch, by_jax, *apart in [
    ("relu", F.relu, jax.nn.relu),
    # The slope at 0 is that from below, JAX's that from above.
    ("leaky_relu", lambda x: F.leaky_relu(x, 0.1), lambda x: jax.nn.leaky_relu(x, 0.1), lambda x: x == 0),
    # JAX has the second derivative at 0 from below, PyTorch that from above.
    ("elu", lambda x: F.elu(x, 1.5), lambda x: jax.nn.elu(x, 1.5), lambda x: x == 0),
    ("gelu", F.gelu, lambda x: jax.nn.gelu(x, approximate=False)),
    ("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), jax.nn.gelu),
    ("silu", F.silu, jax.nn.silu),
    ("sigmoid_slope", lambda x: torch.sigmoid(2.5 * x), lambda x: jax.nn.sigmoid(2.5 * x)),
    ("mish", F.mish, jax.nn.mish),
    ("selu", F.selu, jax.nn.selu, lambda x: x == 0),
    ("log_sigmoid", F.logsigmoid, jax.nn.log_sigmoid),
    # At 0, JAX has the second derivative from above, and PyTorch 0, which lies between both sides'.
    ("softsign", F.softsign, jax.nn.soft_sign, lambda x: x == 0),
    ("relu6", F.relu6, jax.nn.relu6),
    # JAX's is not flat at its kinks.
    ("hard_tanh", F.hardtanh, jax.nn.hard_tanh, lambda x: abs(x) == 1),
    ("hard_sigmoid", hard_sigmoid, jax.nn.hard_sigmoid),
]:
    case(name, by_torch, by_jax, {"apart": apart[0]} if apart else {}, x=POINTS)
case("prelu", F.prelu, lambda x, w: jnp.where(x > 0, x, w[:, None] * x), **{"x": (2, 3, 4), "prelu0/weight": (3,)})


def lengths(x, axis=None):
    return jnp.linalg.norm(x if axis is not None else x.ravel(), axis=axis)


for name, by_torch, by_jax in [
    ("softmax", lambda x: F.softmax(x, -1), jax.nn.softmax),
    ("softmax_first", lambda x: F.softmax(x, 0), lambda x: jax.nn.softmax(x, 0)),
    ("log_softmax", lambda x: F.log_softmax(x, -1), jax.nn.log_softmax),
    ("logsumexp", lambda x: x.logsumexp(0), lambda x: jax.nn.logsumexp(x, 0)),
    ("clamp", lambda x: x.clamp(-0.5, 0.4), lambda x: jnp.clip(x, -0.5, 0.4)),
    ("square", torch.square, jnp.square),
    ("reciprocal", torch.reciprocal, jnp.reciprocal),
    ("mean", lambda x: x.mean(), jnp.mean),
    ("mean_axes", lambda x: x.mean(0), lambda x: x.mean(0)),
    ("mean_keep", lambda x: x.mean(1, keepdim=True), lambda x: x.mean(1, keepdims=True)),
    ("variance", lambda x: x.var(0, correction=0), lambda x: x.var(0)),
    ("standardized", lambda x: F.layer_norm(x, (4,), eps=0.1), lambda x: jax.nn.standardize(x, -1, epsilon=0.1)),
    ("sort", lambda x: x.sort(1, descending=True).values, lambda x: jnp.sort(x, 1, descending=True)),
    ("top_k", lambda x: x.topk(2, 1).values, lambda x: jax.lax.top_k(x, 2)[0]),
    ("cumsum", lambda x: x.cumsum(0), lambda x: jnp.cumsum(x, 0)),
    ("cumprod", lambda x: x.cumprod(1), lambda x: jnp.cumprod(x, 1)),
    ("cummax", lambda x: x.cummax(0).values, lambda x: jax.lax.cummax(x, 0)),
    ("cummin", lambda x: x.cummin(1).values, lambda x: jax.lax.cummin(x, 1)),
    ("l1_norm", lambda x: x.abs().sum(), lambda x: jnp.abs(x).sum()),
    ("squared_norm", lambda x: (x * x).sum(), lambda x: (x * x).sum()),
    ("norm", torch.linalg.vector_norm, lengths),
    ("norm_keep", lambda x: torch.linalg.vector_norm(x, dim=1, keepdim=True), lambda x: lengths(x, 1)[:, None]),
    ("norm_axes", lambda x: torch.linalg.vector_norm(x, dim=1), lambda x: lengths(x, 1)),
    ("l2_normalize", lambda x: F.normalize(x, dim=1), lambda x: x / jnp.maximum(lengths(x, 1), 1e-12)[:, None]),
    ("l2_normalize_small", lambda x: F.normalize(x, dim=0, eps=1.2), lambda x: x / jnp.maximum(lengths(x, 0), 1.2)),
]:
    case(name, by_torch, by_jax, x=(3, 4))
PLACES = torch.tensor([[2, 0, 0, 1], [1, 1, 2, 0]], dtype=torch.int32)
LABELS = torch.tensor([2, 0, 3])
case("take_along", lambda x, i: x.gather(0, i.long()), lambda x, i: jnp.take_along_axis(x, i, 0), x=(3, 4), i=PLACES)
case("pick", lambda x, i: x.gather(1, i[:, None].long())[:, 0], lambda x, i: x[jnp.arange(3), i], x=(3, 4), i=LABELS)


def cosine(x, t):
    return (x * t).sum(1) / (jnp.maximum(lengths(x, 1), 1e-8) * jnp.maximum(lengths(t, 1), 1e-8))


case("cosine_similarity", lambda x, t: F.cosine_similarity(x, t, dim=1), cosine, x=(3, 4), t=(3, 4))
case("weighted_norm", lambda x, w: (x[:, :, None] * w).norm(dim=1), lambda x, w: lengths(x[:, :, None] * w, 1),
     **{"x": (2, 4), "weighted_norm0/weight": (4, 3)})
case("radial", lambda x, w: (x[:, :, None] - w).norm(dim=1), lambda x, w: lengths(x[:, :, None] - w, 1),
     **{"x": (2, 4), "radial0/weight": (4, 3)})


def sinusoidal(length, width, numbers):
    """By PyTorch or by JAX's numpy."""
    pairs = numbers.arange(0, width, 2)
    angles = numbers.arange(length)[:, None] / 10000.0 ** (pairs / width)
    return numbers.stack([numbers.sin(angles), numbers.cos(angles)], -1).reshape(length, -1)[:, :width]


def rotary(x, halves, base):
    length, width = x.shape[-2:]
    angles = torch.arange(length)[:, None] * base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    if halves:
        first, second = x.chunk(2, -1)
        turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([turned.real, turned.imag], -1)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


def rotary_by_matrices(x, halves, base):
    length, width = x.shape[-2:]
    angles = jnp.arange(length)[:, None] * base ** (-jnp.arange(0, width, 2) / width)
    turn = jnp.array([[jnp.cos(angles), -jnp.sin(angles)], [jnp.sin(angles), jnp.cos(angles)]])
    if halves:
        pairs = x.reshape(*x.shape[:-1], 2, -1)
        return jnp.einsum("ijpk,bpjk->bpik", turn, pairs).reshape(x.shape)
    return jnp.einsum("ijpk,bpkj->bpki", turn, x.reshape(*x.shape[:-1], -1, 2)).reshape(x.shape)


case("sinusoidal_positions", lambda x: x + sinusoidal(5, 7, torch), lambda x: x + sinusoidal(5, 7, jnp), x=(2, 5, 7))
case("learned_positions", lambda x, w: x + w, lambda x, w: x + w, **{"x": (2, 3, 4), "positions0/weight": (3, 4)})
for name, *options in [("rotary", False, 10000.0), ("rotary_halves", True, 100.0)]:
    case(name, lambda x, o=options: rotary(x, *o), lambda x, o=options: rotary_by_matrices(x, *o), x=(2, 5, 6))
case("linear", F.linear, lambda x, w, b: x @ w.T + b, x=(2, 3, 4), w=(5, 4), bias=(5,))
DENSE = {"x": (2, 4), "dense0/weight": (4, 3), "dense0/bias": (3,)}
case("dense", lambda x, w, b: x @ w + b, lambda x, w, b: x @ w + b, **DENSE)
case("penalties", lambda x, w, b: x @ w + b + 0.4 * w.abs().sum() + 0.6 * (w * w).sum(),
     lambda x, w, b: x @ w + b + 0.4 * jnp.abs(w).sum() + 0.6 * (w * w).sum(), **DENSE)
case("dense_plain", lambda x, w: x @ w, lambda x, w: x @ w, **{"x": (2, 4), "dense0/weight": (4, 3)})
case("maxout", lambda x, w, b, u, c: torch.maximum(x @ w + b, x @ u + c),
     lambda x, w, b, u, c: jnp.maximum(x @ w + b, x @ u + c),
     **{"x": (2, 4), "maxout0/dense0/weight": (4, 3), "maxout0/dense0/bias": (3,),
        "maxout0/dense1/weight": (4, 3), "maxout0/dense1/bias": (3,)})
INDICES = torch.tensor([[2, 0, 2], [1, 4, 1]], dtype=torch.int32)
TABLE = {"i": INDICES, "embedding0/weight": (5, 3)}
case("embedding", lambda i, w: F.embedding(i, w), lambda i, w: w[i], **TABLE)
case("embedding_padding", lambda i, w: F.embedding(i, w.index_fill(0, torch.tensor([2]), 0.0)),
     lambda i, w: w.at[2].set(0.0)[i], **TABLE)
case("matmul", torch.matmul, jnp.matmul, x=(2, 3, 4), t=(4, 5))
case("matmul_batched", torch.matmul, jnp.matmul, x=(2, 1, 3, 4), t=(3, 4, 2))
case("dot", torch.dot, jnp.dot, x=(5,), t=(5,))
