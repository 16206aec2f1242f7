"""The measurements of README.md in PyTorch eager: python torch_eager.py [threads]

Needs torch==2.15.0. Prints the median time of a training step of 784-512-256-10 (ReLU, cross-entropy, SGD with momentum
0.9, fused optimiser) and of LeNet-5 (max pooling, ReLU, cross-entropy, SGD, fused optimiser) at batch 1 and 128, and of
tanh(a x + b) sigmoid(c x) over 2^24 floats.
"""
import sys
import time

import torch

torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
torch.manual_seed(0)


def median(step, seconds=2.0):
    for _ in range(3):
        step()
    times, start = [], time.perf_counter()
    while len(times) < 5 or time.perf_counter() - start < seconds:
        before = time.perf_counter()
        step()
        times.append(time.perf_counter() - before)
    return sorted(times)[len(times) // 2]


nn = torch.nn


def mlp():
    return nn.Sequential(nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.MaxPool2d(2), nn.ReLU(), nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))


for model, shape, momentum in ((mlp, (784,), 0.9), (lenet, (1, 28, 28), 0)):
    for batch in (1, 128):
        net = model()
        # So small that nothing is learned: gradients of a learned batch are denormal numbers.
        optimizer = torch.optim.SGD(net.parameters(), lr=1e-9, momentum=momentum, fused=True)
        x, y = torch.rand(batch, *shape) * 2 - 1, torch.randint(0, 10, (batch,))

        def step():
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

        print(f"{model.__name__}, batch {batch}: {median(step) * 1e3:.3f} ms")

x = torch.rand(1 << 24) * 10 - 5
print(f"chain, 2^24: {median(lambda: torch.tanh(0.7 * x + 0.1) * torch.sigmoid(-0.3 * x)) * 1e3:.1f} ms")
