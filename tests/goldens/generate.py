"""Writes goldens.npz and operators.txt: what PyTorch and JAX say of every operator and layer.

Of each case: its inputs, rounded to f32; the value y; the gradient d of Σ w·y by each input; and the gradient dd of
Σ v·d, which is the second derivative. Computed in f64 from the rounded inputs; operators at extreme values in f32. What is
written is PyTorch's; JAX must agree, or the case says why it is not asked. `operators.txt` has the graphs of the cases of
operators.

Run: pip install -r requirements.txt && python generate.py
With parts of names, the cases that have one are compared, and nothing is written: python generate.py pool attention
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import torch

from case import V, W, Case

jax.config.update("jax_enable_x64", True)
torch.set_default_dtype(torch.float64)
assert jax.__version__ == "0.10.2" and torch.__version__.startswith("2.15.0")

import convolutions
import extremes
import functions
import handles
import layers
import losses
import operators
import sequences

MODULES = [operators, convolutions, extremes, functions, handles, losses, layers, sequences]


def is_float(array):
    return array.dtype.kind == "f"


def by_torch(case: Case):
    """The value, first and second derivatives by name of the input."""
    at = {n: torch.tensor(x, requires_grad=is_float(x) and n not in case.fixed) for n, x in case.inputs.items()}
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
    """The same, of as many orders as are compared."""
    wrt = {n: x for n, x in case.inputs.items() if is_float(x) and n not in case.fixed}
    fixed = {n: x for n, x in case.inputs.items() if n not in wrt}

    def value(at):
        return case.jax(*(jnp.asarray((at | fixed)[n]) for n in case.inputs))

    y = jax.eval_shape(value, wrt)
    weights = {n: V(j, x.shape, case.dtype) for j, (n, x) in enumerate(sorted(wrt.items()))}
    first = jax.grad(lambda at: (W(y.shape, case.dtype) * value(at)).sum())
    second = jax.grad(lambda at: sum((weights[n] * d).sum() for n, d in first(at).items()))
    orders = case.jax_orders if is_float(y) and wrt else 0
    return jax.jit(lambda at: [f(at) for f in [value, first, second][: orders + 1]])(wrt)


def check(case, ours, theirs):
    """PyTorch and JAX must agree."""
    (y, *slopes), (jax_y, *jax_slopes) = ours, theirs
    pairs = [("y", y, np.asarray(jax_y))]
    for order, (a, b) in enumerate(zip(slopes, jax_slopes)):
        pairs += [(f"{'d' * (order + 1)} {n}", a[n], np.asarray(b[n])) for n in a]
    rtol, atol = (1e-9, 1e-11) if case.dtype == np.float64 else (2e-6, 1e-37)
    first = next(iter(case.inputs.values()), None)
    apart = None if case.apart is None else case.apart(first)
    differ = np.zeros(np.shape(first), bool)
    for what, a, b in pairs:
        assert np.shape(a) == np.shape(b), f"{case.name}: {what}: shapes {np.shape(a)} and {np.shape(b)}"
        if apart is not None and np.shape(a) == apart.shape:
            differ |= ~np.isclose(a, b, rtol, atol, equal_nan=True)
            a, b = a[~apart], b[~apart]
        np.testing.assert_allclose(a, b, rtol, atol, err_msg=f"{case.name}: {what}")
    assert apart is None or differ[apart].all(), f"{case.name}: they agree at {first[apart & ~differ]}"


def main(parts):
    arrays, texts, compared = {}, [], 0
    cases = [case for module in MODULES for case in module.CASES]
    assert len({case.name for case in cases}) == len(cases)
    for case in cases:
        if parts and not any(part in case.name for part in parts):
            continue
        y, d, dd = result = by_torch(case)
        assert (case.jax is None) == bool(case.alone), f"{case.name}: compared with JAX, or why not?"
        if case.jax is not None:
            try:
                check(case, result, by_jax(case))
            except AssertionError as error:
                if not parts:
                    raise
                print(error, file=sys.stderr)
            compared += 1
        for n, x in case.inputs.items():
            assert not is_float(x) or np.array_equal(x, x.astype(np.float32), equal_nan=True), f"{case.name}: {n}"
            arrays[f"{case.name}|in|{n}"] = x.astype(np.float32) if is_float(x) else x
        arrays[f"{case.name}|y"] = y
        arrays |= {f"{case.name}|d|{n}": s for n, s in d.items()}
        arrays |= {f"{case.name}|dd|{n}": s for n, s in dd.items() if s.any() or np.isnan(s).any()}
        if case.operator is not None:
            texts.append(case.graph(y))
    print(f"{len(arrays)} arrays of {len({k.split('|')[0] for k in arrays})} cases, {compared} compared with JAX", file=sys.stderr)
    if not parts:
        np.savez_compressed("goldens.npz", **arrays)
        with open("operators.txt", "w") as file:
            file.write("\n".join(texts))


if __name__ == "__main__":
    main(sys.argv[1:])
