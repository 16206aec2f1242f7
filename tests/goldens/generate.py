"""Writes goldens.npz and operators.txt: what PyTorch and JAX say of every operator and layer.

Of each case: its inputs, rounded to f32; the value y; the gradient d of Σ w·y by each input; and the gradient dd of
Σ v·d, which is the second derivative. Computed in f64 from the rounded inputs; cases of extreme values in f32, by PyTorch.
Where JAX has the function too, both must agree. `operators.txt` has the graphs of the cases of operators.

Run: pip install -r requirements.txt && python generate.py
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch

import convolutions
import extremes
import functions
import layers
import operators
from case import V, W, Case

jax.config.update("jax_enable_x64", True)
assert jax.__version__ == "0.10.2" and torch.__version__.startswith("2.15.0")


def is_float(array):
    return array.dtype.kind == "f"


def by_torch(case: Case):
    """The value, first and second derivatives by name of the input."""
    if case.inputs is None:
        y, at = case.torch()
        case.inputs = {n: x.detach().numpy() for n, x in at.items()}
    else:
        at = {n: torch.tensor(x, requires_grad=is_float(x)) for n, x in case.inputs.items()}
        y = case.torch(*at.values())
    wrt = {n: x for n, x in at.items() if x.requires_grad}
    if not y.dtype.is_floating_point or not wrt or not y.requires_grad:
        return y.detach().numpy(), {}, {}

    def slopes(of):
        if not of.requires_grad:
            return {n: torch.zeros_like(x) for n, x in wrt.items()}
        found = torch.autograd.grad(of, list(wrt.values()), create_graph=True, allow_unused=True)
        return {n: torch.zeros_like(x) if s is None else s for (n, x), s in zip(wrt.items(), found)}

    d = slopes((torch.tensor(W(y.shape, case.dtype)) * y).sum())
    dd = slopes(sum((torch.tensor(V(j, x.shape, case.dtype)) * d[n]).sum() for j, (n, x) in enumerate(sorted(wrt.items()))))
    numpy = lambda slopes: {n: s.numpy(force=True) for n, s in slopes.items()}
    return y.detach().numpy(), numpy(d), numpy(dd)


def by_jax(case: Case):
    fixed = {n: x for n, x in case.inputs.items() if not is_float(x)}
    wrt = {n: x for n, x in case.inputs.items() if is_float(x)}

    def value(at):
        return case.jax(*(jnp.asarray((at | fixed)[n]) for n in case.inputs))

    y = np.asarray(value(wrt))
    if not is_float(y) or not wrt:
        return y, {}, {}
    first = jax.grad(lambda at: (W(y.shape, case.dtype) * value(at)).sum())
    weights = {n: V(j, x.shape, case.dtype) for j, (n, x) in enumerate(sorted(wrt.items()))}
    second = jax.grad(lambda at: sum((weights[n] * d).sum() for n, d in first(at).items()))
    return y, first(wrt), second(wrt)


def check(name, ours, theirs):
    """PyTorch and JAX must agree."""
    (y, *slopes), (jax_y, *jax_slopes) = ours, theirs
    pairs = [("y", y, jax_y)]
    for order, (a, b) in enumerate(zip(slopes, jax_slopes)):
        pairs += [(f"{'d' * (order + 1)} {n}", a[n], b[n]) for n in a]
    for what, a, b in pairs:
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11, err_msg=f"{name}: {what}")


def main():
    arrays, texts, compared = {}, [], 0
    for case in [*operators.CASES, *convolutions.CASES, *extremes.CASES, *functions.CASES, *layers.CASES]:
        y, d, dd = result = by_torch(case)
        if case.jax is not None:
            check(case.name, result, by_jax(case))
            compared += 1
        assert f"{case.name}|y" not in arrays, case.name
        for n, x in case.inputs.items():
            arrays[f"{case.name}|in|{n}"] = x.astype(np.float32) if is_float(x) else x
        arrays[f"{case.name}|y"] = y
        arrays |= {f"{case.name}|d|{n}": s for n, s in d.items()}
        arrays |= {f"{case.name}|dd|{n}": s for n, s in dd.items() if s.any() or np.isnan(s).any()}
        if case.operator is not None:
            texts.append(case.graph(y))
    np.savez_compressed("goldens.npz", **arrays)
    with open("operators.txt", "w") as file:
        file.write("\n".join(texts))
    print(f"{len(arrays)} arrays of {len({k.split('|')[0] for k in arrays})} cases, {compared} compared with JAX", file=sys.stderr)


main()
