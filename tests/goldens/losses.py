"""Losses, by PyTorch and by JAX."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

from case import Case, named


def focal(x, t, alpha=0.25, gamma=2.0):
    """As torchvision has it, but that 1 − p is found without a difference: p is the probability of what is right."""
    right, weight = torch.where(t > 0, x, -x), torch.where(t > 0, alpha, 1 - alpha)
    return -weight * torch.sigmoid(-right) ** gamma * F.logsigmoid(right)


def focal_by_logarithms(x, t, alpha=0.25, gamma=2.0):
    right, weight = jnp.where(t > 0, x, -x), jnp.where(t > 0, alpha, 1 - alpha)
    return -weight * jnp.exp(gamma * jax.nn.log_sigmoid(-right)) * jax.nn.log_sigmoid(right)


def of_labels(x, labels):
    return -jax.nn.log_softmax(x)[jnp.arange(len(labels)), labels]


def of_probabilities(p, t):
    log = lambda x: jnp.maximum(jnp.log(x), -100.0)
    return -t * log(p) - (1 - t) * log(1 - p)


def of_bits(x, t):
    return -t * jax.nn.log_sigmoid(x) - (1 - t) * jax.nn.log_sigmoid(-x)


def huber(x, t, delta=0.7):
    near, far = 0.5 * (x - t) ** 2, delta * (abs(x - t) - 0.5 * delta)
    return jnp.where(abs(x - t) <= delta, near, far)


NONE = {"reduction": "none"}
# Of logits or probabilities and labels or targets.
LOSSES = {
    "cross_entropy": (lambda x, labels: F.cross_entropy(x, labels.long(), **NONE), of_labels),
    "cross_entropy_smoothed": (
        lambda x, labels: F.cross_entropy(x, labels.long(), label_smoothing=0.1, **NONE),
        lambda x, labels: 0.9 * of_labels(x, labels) - 0.1 * jax.nn.log_softmax(x).mean(1),
    ),
    "soft_cross_entropy": (
        lambda x, t: F.cross_entropy(x, t, **NONE),
        lambda x, t: -(t * jax.nn.log_softmax(x)).sum(1),
    ),
    "categorical_cross_entropy": (
        lambda q, p: -torch.xlogy(p, q).sum(1),
        lambda q, p: -jax.scipy.special.xlogy(p, q).sum(1),
    ),
    "bernoulli_cross_entropy": (lambda p, t: F.binary_cross_entropy(p, t, **NONE), of_probabilities),
    "binary_cross_entropy": (lambda x, t: F.binary_cross_entropy_with_logits(x, t, **NONE), of_bits),
    "kl_divergence": (
        lambda p, q: F.kl_div(q.log(), p, **NONE).sum(1),
        lambda p, q: jax.scipy.special.rel_entr(p, q).sum(1),
    ),
    "entropy": (lambda p: torch.special.entr(p).sum(1), lambda p: jax.scipy.special.entr(p).sum(1)),
    "squared_error": (lambda x, t: (x - t) ** 2, lambda x, t: (x - t) ** 2),
    "absolute_error": (lambda x, t: (x - t).abs(), lambda x, t: abs(x - t)),
    "mse": (F.mse_loss, lambda x, t: ((x - t) ** 2).mean()),
    "huber": (lambda x, t: F.huber_loss(x, t, delta=0.7, **NONE), huber),
    "hinge": (lambda x, t: F.relu(1 - t * x), lambda x, t: jax.nn.relu(1 - t * x)),
    "focal": (focal, focal_by_logarithms),
}


MATRIX = (3, 4)
LABELS = {"x": MATRIX, "t": torch.tensor([2, 0, 3], dtype=torch.int32)}
FLOATS = {"x": MATRIX, "t": MATRIX}
SIGNS = {"x": MATRIX, "t": (-1) ** torch.arange(12, dtype=torch.int32).reshape(MATRIX)}
SOFTMAX = lambda x: F.softmax(x, 1), jax.nn.softmax
SIGMOID = torch.sigmoid, jax.nn.sigmoid
CASES = []
for name, operands, *made in [
    ("cross_entropy", LABELS),
    ("cross_entropy_smoothed", LABELS),
    ("soft_cross_entropy", FLOATS),
    ("categorical_cross_entropy", FLOATS, *SOFTMAX),
    ("bernoulli_cross_entropy", FLOATS, *SIGMOID),
    ("binary_cross_entropy", FLOATS),
    ("kl_divergence", FLOATS, *SOFTMAX),
    ("entropy", {"x": MATRIX}, *SOFTMAX),
    ("squared_error", FLOATS),
    ("absolute_error", FLOATS),
    ("mse", FLOATS),
    ("huber", FLOATS),
    ("hinge", SIGNS),
    ("focal", SIGNS),
]:
    by_torch, by_jax = LOSSES[name]
    if made:
        # Of what this makes of each operand.
        by_torch, by_jax = (lambda *x, f=f, g=g: f(*map(g, x)) for f, g in zip(LOSSES[name], made))
    CASES.append(Case(name, by_torch, named(**operands), by_jax))
RIGHT = {"x": MATRIX, "t": torch.tensor([2, 0, 0], dtype=torch.int32)}
for name, right in [("accuracy", 1), ("zero_one", 0)]:
    CASES.append(Case(name, lambda x, t, right=right: ((x.argmax(1) == t) == bool(right)).float(), named(**RIGHT),
                      lambda x, t, right=right: ((x.argmax(1) == t) == bool(right)).astype(jnp.float32)))
