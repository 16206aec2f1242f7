"""Activations, losses and other functions that have no parameters of their own, or few."""

import torch
import torch.nn.functional as F

from case import Case, waves

CASES = []


def case(name, function, **shapes):
    """Inputs are waves of these shapes, or given tensors."""
    inputs = {n: waves(sum(n.encode()), s) if isinstance(s, tuple) else s.numpy() for n, s in shapes.items()}
    CASES.append(Case(name, function, inputs))


LABELS = torch.tensor([2, 0, 3])
for name, function in {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": lambda x: F.elu(x, 1.5),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "sigmoid_slope": lambda x: torch.sigmoid(2.5 * x),
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
