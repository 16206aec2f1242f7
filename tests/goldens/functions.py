"""Activations, losses and other functions that have no parameters of their own, or few."""

import torch
import torch.nn.functional as F

from case import Case, waves

CASES = []


def case(name, function, **shapes):
    """Inputs are waves of these shapes, or given tensors."""
    inputs = {n: waves(sum(n.encode()), s) if isinstance(s, tuple) else s.numpy() for n, s in shapes.items()}
    CASES.append(Case(name, function, inputs))


POINTS = torch.tensor([-100.0, -30.0, -3.1, -0.7, -1e-3, 0.0, 1e-3, 0.9, 4.2, 30.0, 100.0]).double()
for name, function in {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": lambda x: F.elu(x, 1.5),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "sigmoid_slope": lambda x: torch.sigmoid(2.5 * x),
    "mish": F.mish,
    "selu": F.selu,
    "log_sigmoid": F.logsigmoid,
    "softsign": F.softsign,
    "relu6": F.relu6,
    "hard_tanh": F.hardtanh,
    # F.hardsigmoid has no second derivative.
    "hard_sigmoid": lambda x: (x / 6 + 0.5).clamp(0, 1),
}.items():
    case(name, function, x=POINTS)
case("prelu", F.prelu, **{"x": (2, 3, 4), "prelu0/weight": (3,)})
LABELS = torch.tensor([2, 0, 3])
for name, function in {
    "softmax": lambda x: F.softmax(x, -1),
    "softmax_first": lambda x: F.softmax(x, 0),
    "log_softmax": lambda x: F.log_softmax(x, -1),
    "logsumexp": lambda x: x.logsumexp(0),
    "clamp": lambda x: x.clamp(-0.5, 0.4),
    "square": torch.square,
    "reciprocal": torch.reciprocal,
    "mean": lambda x: x.mean(),
    "mean_axes": lambda x: x.mean(0),
    "mean_keep": lambda x: x.mean(1, keepdim=True),
    "variance": lambda x: x.var(0, correction=0),
    "standardized": lambda x: F.layer_norm(x, (4,), eps=0.1),
    "sort": lambda x: x.sort(1, descending=True).values,
    "top_k": lambda x: x.topk(2, 1).values,
    "cumsum": lambda x: x.cumsum(0),
    "cumprod": lambda x: x.cumprod(1),
    "cummax": lambda x: x.cummax(0).values,
    "cummin": lambda x: x.cummin(1).values,
    "l1_norm": lambda x: x.abs().sum(),
    "squared_norm": lambda x: (x * x).sum(),
    "norm": torch.linalg.vector_norm,
    "norm_axes": lambda x: torch.linalg.vector_norm(x, dim=1),
    "l2_normalize": lambda x: F.normalize(x, dim=1),
    "l2_normalize_small": lambda x: F.normalize(x, dim=0, eps=1.2),
    "cross_entropy": lambda x: F.cross_entropy(x, LABELS, reduction="none"),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy_with_logits(x, torch.full_like(x, 0.25), reduction="none"),
}.items():
    case(name, function, x=(3, 4))
for name, function in {
    "squared_error": lambda x, t: (x - t) ** 2,
    "absolute_error": lambda x, t: (x - t).abs(),
    "mse": F.mse_loss,
}.items():
    case(name, function, x=(3, 4), t=(3, 4))
PLACES = torch.tensor([[2, 0, 0, 1], [1, 1, 2, 0]], dtype=torch.int32)
case("take_along", lambda x, i: x.gather(0, i.long()), x=(3, 4), i=PLACES)
case("pick", lambda x, i: x.gather(1, i[:, None].long())[:, 0], x=(3, 4), i=LABELS)
case("cosine_similarity", lambda x, t: F.cosine_similarity(x, t, dim=1), x=(3, 4), t=(3, 4))
case("weighted_norm", lambda x, w: (x[:, :, None] * w).norm(dim=1), **{"x": (2, 4), "weighted_norm0/weight": (4, 3)})
case("radial", lambda x, w: (x[:, :, None] - w).norm(dim=1), **{"x": (2, 4), "radial0/weight": (4, 3)})


def sinusoidal(length, width):
    angles = torch.arange(length)[:, None] / 10000.0 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    return torch.stack([angles.sin(), angles.cos()], -1).reshape(length, -1)[:, :width]


def rotary(x, halves, base):
    length, width = x.shape[-2:]
    angles = torch.arange(length)[:, None] * base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    if halves:
        first, second = x.chunk(2, -1)
        turned = torch.complex(first, second) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([turned.real, turned.imag], -1)
    pairs = torch.view_as_complex(x.unflatten(-1, (-1, 2)))
    return torch.view_as_real(pairs * torch.polar(torch.ones_like(angles), angles)).flatten(-2)


case("sinusoidal_positions", lambda x: x + sinusoidal(5, 7), x=(2, 5, 7))
case("learned_positions", lambda x, w: x + w, **{"x": (2, 3, 4), "positions0/weight": (3, 4)})
case("rotary", lambda x: rotary(x, False, 10000.0), x=(2, 5, 6))
case("rotary_halves", lambda x: rotary(x, True, 100.0), x=(2, 5, 6))
case("linear", F.linear, x=(2, 3, 4), w=(5, 4), bias=(5,))
case("dense", lambda x, w, b: x @ w + b, **{"x": (2, 4), "dense0/weight": (4, 3), "dense0/bias": (3,)})
case("maxout", lambda x, w, b, u, c: torch.maximum(x @ w + b, x @ u + c),
     **{"x": (2, 4), "maxout0/dense0/weight": (4, 3), "maxout0/dense0/bias": (3,),
        "maxout0/dense1/weight": (4, 3), "maxout0/dense1/bias": (3,)})
INDICES = torch.tensor([[2, 0, 2], [1, 4, 1]], dtype=torch.int32)
case("embedding", lambda i, w: F.embedding(i, w), **{"i": INDICES, "embedding0/weight": (5, 3)})
case("embedding_padding", lambda i, w: F.embedding(i, w.index_fill(0, torch.tensor([2]), 0.0)), **{"i": INDICES, "embedding0/weight": (5, 3)})
for kind, gates in [("lstm", 4), ("gru", 3), ("rnn", 1)]:
    cell = {"lstm": torch.lstm_cell, "gru": torch.gru_cell, "rnn": torch.rnn_tanh_cell}[kind]
    weights = {"wi": (2 * gates, 3), "wh": (2 * gates, 2), "bi": (2 * gates,), "bh": (2 * gates,)}
    if kind == "lstm":
        case("lstm_cell", lambda x, h, c, *w, cell=cell: torch.cat(cell(x, (h, c), *w), 1),
             x=(2, 3), h=(2, 2), c=(2, 2), **weights)
    else:
        case(f"{kind}_cell", lambda x, h, *w, cell=cell: cell(x, h, *w), x=(2, 3), h=(2, 2), **weights)
case("matmul", torch.matmul, x=(2, 3, 4), t=(4, 5))
case("matmul_batched", torch.matmul, x=(2, 1, 3, 4), t=(3, 4, 2))
case("dot", torch.dot, x=(5,), t=(5,))
