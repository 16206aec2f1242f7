"""Writes functions.txt: values and slopes of activations, and losses with their gradients, by PyTorch 2.15.0.

Run: pip install torch==2.15.0 && python functions.py > functions.txt
"""
import torch
import torch.nn.functional as F

POINTS = [-100.0, -30.0, -3.1, -0.7, -1e-3, 0.0, 1e-3, 0.9, 4.2, 30.0, 100.0]
ELEMENTWISE = {
    "relu": F.relu,
    "leaky_relu": lambda x: F.leaky_relu(x, 0.1),
    "elu": lambda x: F.elu(x, 1.5),
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "softplus": lambda x: F.softplus(x, threshold=1e9),
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "sigmoid_slope": lambda x: torch.sigmoid(2 * x),
    "binary_cross_entropy": lambda x: F.binary_cross_entropy_with_logits(
        x, torch.full_like(x, 0.25), reduction="none"
    ),
}
LOGITS = [[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [50.0, -50.0, 0.0], [1e3, 1e3, -1e3]]
LABELS = torch.tensor([2, 0, 1, 0])
WEIGHTS = torch.tensor([0.1, 0.2, 0.3, 0.4], dtype=torch.float64)
ROWS = {
    "cross_entropy": lambda x: F.cross_entropy(x, LABELS, reduction="none"),
    "logsumexp": lambda x: torch.logsumexp(x, 1),
    "softmax": lambda x: F.softmax(x, 1)[:, 1],
    "log_softmax": lambda x: F.log_softmax(x, 1)[:, 1],
}


def line(name, what, values):
    print(name, what, *(repr(v) for v in values.flatten().tolist()))


for name, function in ELEMENTWISE.items():
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    y = function(x)
    y.sum().backward()
    line(name, "value", y)
    line(name, "slope", x.grad)
for name, function in ROWS.items():
    x = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    y = function(x)
    (y * WEIGHTS).sum().backward()
    line(name, "value", y)
    line(name, "slope", x.grad)
