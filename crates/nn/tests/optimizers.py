"""Writes optimizers.txt: a weight of three elements after each of five steps, by PyTorch 2.15.0.

Run: pip install torch==2.15.0 && python optimizers.py > optimizers.txt
"""
import torch

CASES = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "sgd-decay": lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.1),
    "sgd-momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "sgd-momentum-decay": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1),
    "sgd-nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "adam-decay": lambda p: torch.optim.Adam(p, lr=0.1, weight_decay=0.1),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
}

for name, make in CASES.items():
    w = torch.tensor([0.5, -0.25, 1.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([1.0, 2.0, -0.5], dtype=torch.float64)
    optimizer = make([w])
    for step in range(5):
        optimizer.zero_grad()
        loss = 0.5 * ((w * x).sum() - 1.5) ** 2
        loss.backward()
        optimizer.step()
        print(name, step, *(repr(v) for v in w.tolist()))
