"""Methods of values that are an operator each: that the names mean what they should. Results stand one behind the other."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F

from case import Case, named
from operators import BINARY, UNARY, spread

CASES = []


def flat(library, values):
    """As floats, in a row."""
    if library is torch:
        return torch.cat([v.double().flatten() for v in values])
    return jnp.concatenate([v.astype(float).ravel() for v in values])


def case(name, function, inputs, **options):
    """By functions of a library that give a list."""
    by_torch = lambda *x: flat(torch, function(torch, *x))
    by_jax = lambda *x: flat(jnp, function(jnp, *x))
    CASES.append(Case(name, by_torch, inputs, by_jax, **options))


def of(table, *names):
    """The functions of these operators, by both."""
    rows = {name: (by_torch, by_jax) for name, by_torch, by_jax, *_ in table}
    return lambda library, *x: [rows[name][library is jnp](*x) for name in names]


WITHIN = {"x": spread(0.2, 0.9)}
case("unary", of(UNARY, "abs", "sign", "floor", "ceil", "round", "exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "sin", "cos",
                 "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "sigmoid", "softplus", "erf", "neg"), WITHIN)
case("binary", of(BINARY, "pow", "max", "min", "atan2", "add", "sub", "mul", "div", "rem"), WITHIN | {"t": spread(0.3, 2, start=2.0)})
HALVES = named(x=(torch.arange(6.0) - 2) / 2, t=torch.tensor([-1.0, 0.5, 0.0, 1.0, 1.0, -3.0]))
case("comparisons", of(BINARY, "eq", "ne", "lt", "le", "gt", "ge"), HALVES)


def bits(library, x, t):
    a, b, root = x > 0, t > 0, library.sqrt(t)
    either = [library.logical_and(a, b), library.logical_or(a, b), library.logical_xor(a, b)]
    return [*either, library.logical_not(a), library.isnan(root), library.isfinite(1 / x)]


case("bits", bits, HALVES)


def reductions(library, x):
    keep = {"keepdim" if library is torch else "keepdims": True}
    largest, least = (library.amax, library.amin) if library is torch else (library.max, library.min)
    bits = x > 0.6
    return [
        x.sum(), x.sum(1), x.sum(0, **keep),
        library.prod(x), library.prod(x, 1), library.prod(x, 0, **keep),
        x.max(), largest(x, 1), largest(x, 0, **keep),
        x.min(), least(x, 1), least(x, 0, **keep),
        bits.any(), bits.any(1), bits.any(0, **keep), bits.all(), bits.all(1), bits.all(0, **keep),
        library.argmax(x, 1), library.argmin(x, 0), library.argsort(x, 1),
    ]


case("reductions", reductions, WITHIN)


def movement(library, x, i):
    transpose = (lambda v, *axes: v.permute(axes)) if library is torch else (lambda v, *axes: v.transpose(axes))
    pad, stop = (
        (lambda v: F.pad(v, (1, 2, 0, 1, 2, 0), value=0.5), torch.detach)
        if library is torch
        else (lambda v: jnp.pad(v, [(2, 0), (0, 1), (1, 2)], constant_values=0.5), jax.lax.stop_gradient)
    )
    one_hot = F.one_hot(i.long(), 4) if library is torch else jax.nn.one_hot(i, 4)
    return [
        x.reshape(4, 6), x.reshape(2, 12), x[:, None], x[:, :, :1].reshape(2, 3), transpose(x, 2, 0, 1), transpose(x, 0, 2, 1),
        x[:, 1:3], x[:, :, 0:4:3], pad(x), library.flip(x, (0, 2)), library.concatenate([x, x * 2], 1),
        x[i], x[:, i], library.broadcast_to(x[0], (2, 3, 4)), library.where(x > 0, x * 3, 0.25), x * stop(x),
        x.sum(1).reshape(2, 1, 4) * x, one_hot,
    ]


INDICES = torch.tensor([1, 0, 1, 1], dtype=torch.int32)
case("movement", movement, named(x=(2, 3, 4), i=INDICES))


def places(library, x, u, i, j):
    """Places that are known at run time. That of the piece is 7, and clamped to 1."""
    if library is torch:
        added = x.index_put((i.long(), j.long()), u, accumulate=True)
        counts = torch.bincount(i.long(), minlength=3)
        piece = x[1:3, 1:2]
        update = torch.cat([x[:1], torch.cat([x[1:3, :1], u[:2, None, :], x[1:3, 2:]], 1), x[3:]])
    else:
        added, counts = x.at[i, j].add(u), jnp.bincount(i, length=3)
        piece = jax.lax.dynamic_slice(x, (1, 7, 0), (2, 1, 3))
        update = jax.lax.dynamic_update_slice(x, u[:2, None, :], (1, 7, 0))
    return [x[i, j], added, counts, piece, update]


case("places", places, named(x=(4, 2, 3), u=(4, 3), i=torch.tensor([2, 0, 2, 1], dtype=torch.int32),
                             j=torch.tensor([1, 0, 1, 0], dtype=torch.int32)))
