"""Writes optimizers.txt: the parameters of a small nonlinear least-squares problem after steps of PyTorch 2.15.0's optimisers,
in f64. Lion and LAMB, which PyTorch does not have, are written here from their papers.

A line is a case, a step, and A (row by row) and b. Rates are numbers of f32 but in the cases named `-tenth`.

Run: pip install torch==2.15.0 && python optimizers.py > optimizers.txt
"""
import torch

STEPS = [1, 2, 3, 4, 5, 10, 50, 100]


class Written:
    """An optimiser written from a paper: `change(state, parameter, gradient, step)` gives the new value."""

    def __init__(self, parameters, change):
        self.parameters, self.change, self.steps = list(parameters), change, 0
        self.states = [{} for _ in self.parameters]

    def zero_grad(self):
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self):
        self.steps += 1
        for state, p in zip(self.states, self.parameters):
            p.copy_(self.change(state, p.clone(), p.grad, self.steps))


def lion(lr, beta1=0.9, beta2=0.99, decay=0.0):
    """Chen et al. 2023, algorithm 2."""

    def change(state, theta, g, _):
        m = state.get("m", torch.zeros_like(theta))
        c = beta1 * m + (1 - beta1) * g
        state["m"] = beta2 * m + (1 - beta2) * g
        return theta - lr * (torch.sign(c) + decay * theta)

    return lambda p: Written(p, change)


def lamb(lr, beta1=0.9, beta2=0.999, epsilon=1e-6, decay=0.0):
    """You et al. 2020, algorithm 2, with φ(z) = z."""

    def change(state, x, g, t):
        m = state["m"] = beta1 * state.get("m", torch.zeros_like(x)) + (1 - beta1) * g
        v = state["v"] = beta2 * state.get("v", torch.zeros_like(x)) + (1 - beta2) * g**2
        m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
        r = m_hat / (torch.sqrt(v_hat) + epsilon)
        u = r + decay * x
        return x - lr * (torch.linalg.norm(x) / torch.linalg.norm(u)) * u

    return lambda p: Written(p, change)


def groups(p):
    """The rate of b is a quarter, and only it decays."""
    return torch.optim.AdamW([{"params": p[:1]}, {"params": p[1:], "lr": 2**-8, "weight_decay": 0.5}], lr=2**-6, weight_decay=0.0)


R = 2**-6
optim = torch.optim
CASES = {
    "sgd": lambda p: optim.SGD(p, lr=R),
    "sgd-tenth": lambda p: optim.SGD(p, lr=0.1),
    "sgd-decay": lambda p: optim.SGD(p, lr=R, weight_decay=0.1),
    "sgd-momentum": lambda p: optim.SGD(p, lr=R, momentum=0.9),
    "sgd-momentum-decay": lambda p: optim.SGD(p, lr=R, momentum=0.9, weight_decay=0.1),
    "sgd-nesterov": lambda p: optim.SGD(p, lr=R, momentum=0.9, nesterov=True),
    "adagrad": lambda p: optim.Adagrad(p, lr=R),
    "adagrad-options": lambda p: optim.Adagrad(p, lr=R, lr_decay=0.01, initial_accumulator_value=0.5, eps=1e-3, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=R),
    "rmsprop-centered": lambda p: optim.RMSprop(p, lr=R, centered=True),
    "rmsprop-momentum": lambda p: optim.RMSprop(p, lr=R, momentum=0.9),
    "rmsprop-options": lambda p: optim.RMSprop(p, lr=R, alpha=0.9, eps=1e-3, momentum=0.5, centered=True, weight_decay=0.1),
    "adadelta": lambda p: optim.Adadelta(p, lr=1.0),
    "adadelta-options": lambda p: optim.Adadelta(p, lr=R, rho=0.8, eps=1e-3, weight_decay=0.1),
    "adam": lambda p: optim.Adam(p, lr=R),
    "adam-tenth": lambda p: optim.Adam(p, lr=0.1),
    "adam-options": lambda p: optim.Adam(p, lr=R, betas=(0.8, 0.99), eps=1e-3, weight_decay=0.1),
    "adam-amsgrad": lambda p: optim.Adam(p, lr=0.25, betas=(0.9, 0.9), amsgrad=True),
    "adamw": lambda p: optim.AdamW(p, lr=R),
    "adamw-amsgrad": lambda p: optim.AdamW(p, lr=0.25, betas=(0.9, 0.9), weight_decay=0.1, amsgrad=True),
    "lion": lion(2**-9),
    "lion-options": lion(2**-9, beta1=0.8, beta2=0.9, decay=0.5),
    "lamb": lamb(R),
    "lamb-options": lamb(R, beta1=0.8, beta2=0.99, epsilon=1e-3, decay=0.1),
    "groups": groups,
    "clip-norm": lambda p: optim.SGD(p, lr=R, momentum=0.9),
    "clip-value": lambda p: optim.SGD(p, lr=R, momentum=0.9),
}
CLIP = {
    "clip-norm": lambda p: torch.nn.utils.clip_grad_norm_(p, 0.5),
    "clip-value": lambda p: torch.nn.utils.clip_grad_value_(p, 0.125),
}


def wave(n, phase):
    return torch.sin(torch.arange(1, n + 1, dtype=torch.float64) * 1.7 + phase)


for name, make in CASES.items():
    x, t = wave(32, 0.0).reshape(8, 4), wave(8, 1.0) * 2
    a = wave(12, 2.0).reshape(4, 3).requires_grad_()
    b = wave(3, 3.0).requires_grad_()
    optimizer = make([a, b])
    for step in range(1, STEPS[-1] + 1):
        optimizer.zero_grad()
        loss = ((torch.tanh(x @ a) @ b - t) ** 2).mean()
        loss.backward()
        CLIP.get(name, lambda p: None)([a, b])
        optimizer.step()
        if step in STEPS:
            print(name, step, *(repr(v) for v in a.flatten().tolist() + b.tolist()))
