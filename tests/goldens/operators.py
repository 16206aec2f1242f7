"""Operators other than convolution, with their attributes."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F

from case import Case, waves

CASES = []


def op(name, operator, torch_function, jax_function, *inputs, **options):
    named = {f"x{i}": waves(i + 0.1, x) if isinstance(x, tuple) else np.asarray(x) for i, x in enumerate(inputs)}
    CASES.append(Case(name, torch_function, named, jax_function, operator, **options))


def spread(low, high, shape=(3, 5), start=0.1):
    """Waves between two bounds, as f32 gives them."""
    middle = low + (high - low) * (waves(start, shape) * 0.98 + 1) / 2
    return middle.astype(np.float32).astype(np.float64)


def integers(*numbers):
    return np.array(numbers, np.int32)


# Name, PyTorch's, JAX's, between which bounds.
UNARY = [
    ("neg", torch.neg, jnp.negative, (-2, 2)),
    ("abs", torch.abs, jnp.abs, (-2, 2)),
    ("sign", torch.sign, jnp.sign, (-2, 2)),
    ("floor", torch.floor, jnp.floor, (-2, 2)),
    ("ceil", torch.ceil, jnp.ceil, (-2, 2)),
    ("round", torch.round, jnp.round, (-3, 3)),
    ("exp", torch.exp, jnp.exp, (-3, 3)),
    ("expm1", torch.expm1, jnp.expm1, (-1, 1)),
    ("log", torch.log, jnp.log, (0.2, 3)),
    ("log1p", torch.log1p, jnp.log1p, (-0.6, 2)),
    ("sqrt", torch.sqrt, jnp.sqrt, (0.3, 3)),
    ("rsqrt", torch.rsqrt, jax.lax.rsqrt, (0.5, 3)),
    ("sin", torch.sin, jnp.sin, (-4, 4)),
    ("cos", torch.cos, jnp.cos, (-4, 4)),
    ("tan", torch.tan, jnp.tan, (-1, 1)),
    ("asin", torch.asin, jnp.arcsin, (-0.7, 0.7)),
    ("acos", torch.acos, jnp.arccos, (-0.7, 0.7)),
    ("atan", torch.atan, jnp.arctan, (-3, 3)),
    ("sinh", torch.sinh, jnp.sinh, (-2, 2)),
    ("cosh", torch.cosh, jnp.cosh, (-2, 2)),
    ("tanh", torch.tanh, jnp.tanh, (-2, 2)),
    ("sigmoid", torch.sigmoid, jax.nn.sigmoid, (-3, 3)),
    ("softplus", lambda x: torch.logaddexp(x, torch.zeros_like(x)), jax.nn.softplus, (-3, 3)),
    ("erf", torch.erf, jax.scipy.special.erf, (-2, 2)),
    ("is_nan", torch.isnan, jnp.isnan, (-2, 2)),
    ("is_finite", torch.isfinite, jnp.isfinite, (-2, 2)),
    ("stop_gradient", lambda x: x.detach(), jax.lax.stop_gradient, (-2, 2)),
    ("barrier", lambda x: x * 1, lambda x: x, (-2, 2)),
]
for name, by_torch, by_jax, bounds in UNARY:
    op(name, name, by_torch, by_jax, spread(*bounds))
op("not, of bool", "not", torch.logical_not, jnp.logical_not, [True, False])
op("not, of integers", "not", torch.bitwise_not, jnp.bitwise_not, integers(0, 5, -7))

# Name, PyTorch's, JAX's, bounds of both operands.
BINARY = [
    ("add", torch.add, jnp.add, (-2, 2), (-2, 2)),
    ("sub", torch.sub, jnp.subtract, (-2, 2), (-2, 2)),
    ("mul", torch.mul, jnp.multiply, (-2, 2), (-2, 2)),
    ("div", torch.div, jnp.divide, (-2, 2), (0.4, 2)),
    ("rem", torch.fmod, jnp.fmod, (-9, 9), (0.7, 2)),
    ("pow", torch.pow, jnp.power, (0.3, 2), (-2, 2)),
    ("min", torch.minimum, jnp.minimum, (-2, 2), (-2, 2)),
    ("max", torch.maximum, jnp.maximum, (-2, 2), (-2, 2)),
    ("atan2", torch.atan2, jnp.arctan2, (-2, 2), (-2, 2)),
    ("eq", torch.eq, jnp.equal, (-2, 2), (-2, 2)),
    ("ne", torch.ne, jnp.not_equal, (-2, 2), (-2, 2)),
    ("lt", torch.lt, jnp.less, (-2, 2), (-2, 2)),
    ("le", torch.le, jnp.less_equal, (-2, 2), (-2, 2)),
    ("gt", torch.gt, jnp.greater, (-2, 2), (-2, 2)),
    ("ge", torch.ge, jnp.greater_equal, (-2, 2), (-2, 2)),
]
for name, by_torch, by_jax, left, right in BINARY:
    op(name, name, by_torch, by_jax, spread(*left), spread(*right, start=2.0))
NUMBERS = integers(5, -7, 2_000_000_011, -1, 0), integers(3, 2, 9, 30, 31)
for name, by_torch, by_jax in [
    ("and", torch.bitwise_and, jnp.bitwise_and),
    ("or", torch.bitwise_or, jnp.bitwise_or),
    ("xor", torch.bitwise_xor, jnp.bitwise_xor),
    ("shl", torch.bitwise_left_shift, jnp.left_shift),
    ("shr", torch.bitwise_right_shift, jnp.right_shift),
]:
    op(f"{name}, of integers", name, by_torch, by_jax, *NUMBERS)
op("rem, of integers", "rem", torch.fmod, jnp.fmod, integers(7, -7, 7, -7), integers(3, 3, -3, -3))

CONDITION = np.array([[True, False, True], [False, False, True]])
op("select", "select", torch.where, jnp.where, CONDITION, (2, 3), (2, 3))
op("convert, to integers", "convert", lambda x: x.int(), lambda x: x.astype(np.int32), spread(-9, 9))
op("convert, to floats", "convert", lambda x: x.double(), lambda x: x.astype(float), integers(-3, 4))

# Movement.
op("reshape", "reshape", lambda x: x.reshape(4, 3), lambda x: x.reshape(4, 3), (2, 6))
for permutation in [(1, 0, 2), (2, 0, 1), (2, 1, 0)]:
    text = ",".join(map(str, permutation))
    op(f"transpose {text}", f"transpose {{permutation=[{text}]}}",
       lambda x, p=permutation: x.permute(p), lambda x, p=permutation: x.transpose(p), (2, 3, 4))
op("broadcast", "broadcast {axes=[1]}", lambda x: x[None, :, None].expand(2, 3, 4) * 1,
   lambda x: jnp.broadcast_to(x[None, :, None], (2, 3, 4)), (3,))
op("reverse", "reverse {axes=[0,2]}", lambda x: x.flip(0, 2), lambda x: jnp.flip(x, (0, 2)), (2, 3, 4))
op("slice", "slice {start=[1,0,2], limit=[3,6,5], step=[1,5,2]}", lambda x: x[1:3, 0:6:5, 2:5:2],
   lambda x: x[1:3, 0:6:5, 2:5:2], (4, 6, 5))
op("pad", "pad {low=[1,0], high=[0,2], inner=[0,0]}",
   lambda x, v: torch.cat([torch.cat([v.expand(1, 3), x]), v.expand(3, 2)], 1),
   lambda x, v: jax.lax.pad(x, v, [(1, 0, 0), (0, 2, 0)]), (2, 3), ())


def with_gaps(x, v):
    columns = [c for i in range(3) for c in (x[:, i : i + 1], v.expand(2, 2))][:-1]
    return torch.cat(columns, 1)


op("pad, between", "pad {low=[0,0], high=[0,0], inner=[0,2]}", with_gaps,
   lambda x, v: jax.lax.pad(x, v, [(0, 0, 0), (0, 0, 2)]), (2, 3), ())
for axis, second in [(0, (3, 3)), (1, (2, 1))]:
    op(f"concatenate {axis}", f"concatenate {{axis={axis}}}", lambda x, y, a=axis: torch.cat([x, y], a),
       lambda x, y, a=axis: jnp.concatenate([x, y], a), (2, 3), second)
op("iota", "iota {axis=1}", lambda: torch.arange(3).expand(2, 3).int(),
   lambda: jax.lax.broadcasted_iota(np.int32, (2, 3), 1))

# Reductions. Values apart from 0, and no two alike.
REDUCED = spread(0.5, 1.5, (3, 4, 5))
for axes in [(0,), (1,), (2,), (0, 2), (0, 1, 2)]:
    text = ",".join(map(str, axes))

    def product(x, axes=axes):
        for axis in reversed(axes):
            x = x.prod(axis)
        return x

    for word, by_torch, by_jax in [
        ("sum", torch.sum, jnp.sum),
        ("max", torch.amax, jnp.max),
        ("min", torch.amin, jnp.min),
        ("product", product, jnp.prod),
    ]:
        op(f"reduce_{word} {text}", f"reduce_{word} {{axes=[{text}]}}", lambda x, f=by_torch, a=axes: f(x, a),
           lambda x, f=by_jax, a=axes: f(x, axis=a), REDUCED)
ZEROS = np.array([[0.0, 2.0, 3.0], [0.0, 5.0, 0.0], [1.5, 2.0, 0.5]])
op("reduce_product, zeros", "reduce_product {axes=[1]}", lambda x: x.prod(1), lambda x: jnp.prod(x, axis=1), ZEROS)
op("reduce_any", "reduce_any {axes=[1]}", lambda x: x.any(1), lambda x: jnp.any(x, axis=1), CONDITION)
op("reduce_all", "reduce_all {axes=[0]}", lambda x: x.all(0), lambda x: jnp.all(x, axis=0), CONDITION)
TIES = np.array([[1.0, 3.0, 3.0, 0.0, 3.0], [2.0, 2.0, 2.0, 2.0, 2.0], [-1.0, -5.0, 0.5, -5.0, 0.5]])
for axis in (0, 1):
    for word in ("max", "min"):
        op(f"arg_{word} {axis}", f"arg_{word} {{axis={axis}}}",
           lambda x, f=getattr(torch, f"arg{word}"), a=axis: f(x, a).int(),
           lambda x, f=getattr(jnp, f"arg{word}"), a=axis: f(x, axis=a).astype(np.int32), waves(0.1, (4, 5)))

# Products.
for name, equation, attributes, left, right in [
    ("matrices", "ij,jk->ik", "contract=[1]x[0]", (2, 3), (3, 4)),
    ("left transposed", "ji,jk->ik", "contract=[0]x[0]", (3, 2), (3, 4)),
    ("right transposed", "ij,kj->ik", "contract=[1]x[1]", (2, 3), (4, 3)),
    ("batch", "bij,bjk->bik", "batch=[0]x[0], contract=[2]x[1]", (2, 3, 4), (2, 4, 5)),
    ("batch behind", "ijb,kbj->bik", "batch=[2]x[1], contract=[1]x[2]", (3, 4, 2), (5, 2, 4)),
    ("two axes", "ijkl,lmj->ikm", "contract=[3,1]x[0,2]", (2, 3, 4, 5), (5, 2, 3)),
    ("outer", "i,j->ij", "contract=[]x[]", (3,), (4,)),
    ("vectors", "i,i->", "contract=[0]x[0]", (5,), (5,)),
    ("elements", "ij,ij->ij", "batch=[0,1]x[0,1], contract=[]x[]", (4, 2), (4, 2)),
]:
    op(f"dot, {name}", f"dot {{{attributes}}}", lambda x, y, e=equation: torch.einsum(e, x, y),
       lambda x, y, e=equation: jnp.einsum(e, x, y), left, right)

# Windows over the last axes. Extents, window, stride, padding below and above, dilation.
WINDOWS = [
    ("2×2", (2, 4, 6), (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1)),
    ("3×3 overlapping", (2, 5, 7), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    ("2×3 asymmetric", (1, 5, 8), (2, 3), (1, 1), ((0, 1), (1, 0)), (1, 1)),
    ("4 dilated", (2, 13), (4,), (3,), ((2, 1),), (2,)),
    ("2×1×2", (1, 4, 3, 4), (2, 1, 2), (1, 2, 2), ((1, 0), (0, 0), (0, 1)), (1, 1, 2)),
]


def windows(x, fill, window, stride, padding, dilation):
    """The elements of each window along the last axis, and their positions in the operand, -1 outside."""
    n = len(window)
    positions = torch.arange(int(np.prod(x.shape[-n:]))).reshape(x.shape[-n:])
    flat = [p for pair in reversed(padding) for p in pair]
    x, positions = F.pad(x, flat, value=fill), F.pad(positions, flat, value=-1)
    for axis in range(n):
        def slide(t, at):
            at += t.dim() if at < 0 else 0
            wide = t.unfold(at, (window[axis] - 1) * dilation[axis] + 1, stride[axis])
            return wide[..., :: dilation[axis]]
        x, positions = slide(x, axis - n - axis), slide(positions, axis - n - axis)
    return x.flatten(-n), positions.flatten(-n)


def arg(x, word, *at):
    values, positions = windows(x, -np.inf if word == "max" else np.inf, *at)
    where = getattr(values, f"arg{word}")(-1)[..., None]
    return positions.expand(values.shape).gather(-1, where)[..., 0].int()


def windows_by_jax(x, init, function, window, stride, padding, dilation):
    """The windows reduced, of an operand or several."""
    lead = (1,) * (jax.tree.leaves(x)[0].ndim - len(window))
    none = ((0, 0),) * len(lead)
    return jax.lax.reduce_window(
        x, init, function, lead + window, lead + stride, none + padding, None, lead + dilation
    )


def arg_by_jax(x, word, window, *at):
    def first(a, b):
        greater = b[0] > a[0] if word == "max" else b[0] < a[0]
        second = greater | (a[0] == b[0]) & (b[1] < a[1])
        return tuple(jnp.where(second, y, x) for x, y in zip(a, b))

    spatial = x.shape[-len(window) :]
    positions = jnp.broadcast_to(jnp.arange(np.prod(spatial), dtype=np.int32).reshape(spatial), x.shape)
    init = (-np.inf if word == "max" else np.inf, np.int32(2**31 - 1))
    return windows_by_jax((x, positions), init, first, window, *at)[1]


for name, extents, *at in WINDOWS:
    text = lambda numbers: "[" + ",".join(map(str, numbers)) + "]"
    window, stride, padding, dilation = at
    lows, highs = zip(*padding)
    attributes = f"{{window={text(window)}, stride={text(stride)}, padding={text(lows)}x{text(highs)}, dilation={text(dilation)}}}"
    op(f"window_sum {name}", f"window_sum {attributes}", lambda x, at=at: windows(x, 0.0, *at)[0].sum(-1),
       lambda x, at=at: windows_by_jax(x, 0.0, jax.lax.add, *at), extents)
    for word, fill in [("max", -np.inf), ("min", np.inf)]:
        # JAX has no second derivative of these, and none of dilated ones.
        op(f"window_{word} {name}", f"window_{word} {attributes}",
           lambda x, at=at, fill=fill, f=getattr(torch, word): f(windows(x, fill, *at)[0], -1).values,
           lambda x, at=at, fill=fill, f=getattr(jax.lax, word): windows_by_jax(x, fill, f, *at),
           extents, jax_orders=1 if set(dilation) == {1} else 0)
        op(f"window_arg_{word} {name}", f"window_arg_{word} {attributes}", lambda x, w=word, at=at: arg(x, w, *at),
           lambda x, w=word, at=at: arg_by_jax(x, w, *at), extents)
STEPS = np.floor(waves(0, (1, 6, 7)) * 1.5)
THREE = (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)
op("window_max, first of equals", "window_max {window=[3,3], stride=[2,2], padding=[1,1]x[1,1], dilation=[1,1]}",
   lambda x: F.max_pool2d(x, 3, 2, 1), lambda x: windows_by_jax(x, -np.inf, jax.lax.max, *THREE), STEPS, jax_orders=1)
op("window_arg_max, first of equals", "window_arg_max {window=[3,3], stride=[2,2], padding=[1,1]x[1,1], dilation=[1,1]}",
   lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True)[1].int(), lambda x: arg_by_jax(x, "max", *THREE), STEPS)

# Along an axis.
for axis in (0, 1):
    for reverse in (False, True):
        text = f"{{axis={axis}{', reverse=1' if reverse else ''}}}"
        name = f"{axis}{' reverse' if reverse else ''}"
        for word, by_torch, by_jax in [
            ("sum", torch.cumsum, jax.lax.cumsum),
            ("product", torch.cumprod, jax.lax.cumprod),
            ("max", lambda x, a: torch.cummax(x, a).values, jax.lax.cummax),
            ("min", lambda x, a: torch.cummin(x, a).values, jax.lax.cummin),
        ]:
            flip = lambda x, a, r=reverse: x.flip(a) if r else x
            op(f"cumulative_{word} {name}", f"cumulative_{word} {text}",
               lambda x, f=by_torch, a=axis, flip=flip: flip(f(flip(x, a), a), a),
               lambda x, f=by_jax, a=axis, r=reverse: f(x, a, reverse=r), (4, 5))
op("cumulative_product, zeros", "cumulative_product {axis=1}", lambda x: x.cumprod(1), lambda x: jnp.cumprod(x, 1), ZEROS)
for axis in (0, 1):
    for descending in (False, True):
        text = f"{{axis={axis}{', descending=1' if descending else ''}}}"
        sort = lambda x, a=axis, d=descending: torch.argsort(x, dim=a, descending=d, stable=True).int()
        op(f"arg_sort {text[1:-1]}", f"arg_sort {text}", sort,
           lambda x, a=axis, d=descending: jnp.argsort(x, axis=a, descending=d, stable=True).astype(np.int32), TIES)

# Places known at run time.
op("gather rows", "gather {axis=0}", lambda x, i: x[i], lambda x, i: x[i], (5, 3), np.array([[4, 0], [2, 2]], np.int32))
op("gather, an axis within", "gather {axis=1}", lambda x, i: x[:, i], lambda x, i: x[:, i], (2, 4, 3), integers(3, 1, 1))
op("gather, in batches", "gather {axis=1, batch=1}", lambda x, i: x[torch.arange(3), i], lambda x, i: x[jnp.arange(3), i],
   (3, 4), integers(1, 3, 0))
op("gather, two indices", "gather {axis=0}", lambda x, i, j: x[i, j], lambda x, i, j: x[i, j], (4, 3, 2),
   integers(3, 0, 3), integers(1, 2, 1))
op("gather, two indices in batches", "gather {axis=1, batch=1}", lambda x, i, j: x[torch.arange(2)[:, None], i, j],
   lambda x, i, j: x[jnp.arange(2)[:, None], i, j], (2, 4, 3), np.array([[3, 0, 3], [1, 1, 2]], np.int32),
   np.array([[1, 2, 1], [0, 0, 2]], np.int32))
op("scatter_add rows", "scatter_add {axis=0}", lambda x, i, u: x.index_add(0, i, u), lambda x, i, u: x.at[i].add(u),
   (5, 3), integers(4, 0, 4, 2), (4, 3))
op("scatter_add, an axis within", "scatter_add {axis=1}", lambda x, i, u: x.index_add(1, i, u),
   lambda x, i, u: x.at[:, i].add(u), (2, 4, 3), integers(3, 1, 1), (2, 3, 3))
op("scatter_add, in batches", "scatter_add {axis=1, batch=1}",
   lambda x, i, u: x.index_put((torch.arange(3), i), u, accumulate=True), lambda x, i, u: x.at[jnp.arange(3), i].add(u),
   (3, 4), integers(1, 3, 0), (3,))
op("scatter_add, two indices", "scatter_add {axis=0}", lambda x, i, j, u: x.index_put((i, j), u, accumulate=True),
   lambda x, i, j, u: x.at[i, j].add(u), (4, 3, 2), integers(3, 0, 3), integers(1, 2, 1), (3, 2))


def starts(x, sizes, *at):
    """As JAX has them: negative ones count from the end, and then the piece is moved to fit."""
    return [slice(s, s + n) for s, n in ((min(max(int(s), 0), d - n), n) for s, d, n in zip(at, x.shape, sizes))]


def updated(x, u, *at):
    mask = torch.zeros(x.shape, dtype=torch.bool)
    where = starts(x, u.shape, *at)
    mask[tuple(where)] = True
    return torch.masked_scatter(x, mask, u.flatten())


for name, at in [("inside", (1, 2)), ("beyond the end", (3, 4))]:
    at = [np.array(a, np.int32) for a in at]
    op(f"dynamic_slice {name}", "dynamic_slice {sizes=[2,3]}", lambda x, i, j: x[tuple(starts(x, (2, 3), i, j))],
       lambda x, i, j: jax.lax.dynamic_slice(x, (i, j), (2, 3)), (4, 5), *at)
    op(f"dynamic_update {name}", "dynamic_update", updated,
       lambda x, u, i, j: jax.lax.dynamic_update_slice(x, u, (i, j)), (4, 5), (2, 3), *at)

# h ← tanh(x + h·w); gives h·x of each step, or the last h.
STEP = """  body @0 {
    %0 = input {name="h"} : f64[2,3]
    %1 = input {name="x"} : f64[2,3]
    %2 = input {name="w"} : f64[3,3]
    %3 = dot %0, %2 {contract=[1]x[0]} : f64[2,3]
    %4 = add %1, %3 : f64[2,3]
    %5 = tanh %4 : f64[2,3]
    %6 = mul %5, %1 : f64[2,3]
    output "h" = %5
    output "y" = %6
  }"""


def loop(reverse, result, stack, tanh):
    def run(h, xs, w):
        ys = [None] * 4
        for t in reversed(range(4)) if reverse else range(4):
            h = tanh(xs[t] + h @ w)
            ys[t] = h * xs[t]
        return stack(ys) if result else h

    return run


for reverse in (False, True):
    for result in (0, 1):
        for recompute in (False, True):
            flags = "".join(f", {word}=1" for word, on in [("reverse", reverse), ("recompute", recompute)] if on)
            words = [w for w, on in [("reverse", reverse), ("recompute", recompute)] if on]
            op(" ".join([f"scan, result {result}", *words]),
               f"scan {{body=@0, length=4, carried=1, stepped=1{flags}, result={result}}}",
               loop(reverse, result, torch.stack, torch.tanh), loop(reverse, result, jnp.stack, jnp.tanh),
               (2, 3), (4, 2, 3), (3, 3), bodies=STEP)

# The value of a rounding, with the gradient of the identity, and c·x² for a rule of its own.
ROUND = """  body @0 {
    %0 = input {name="x"} : f64[3,5]
    %1 = round %0 : f64[3,5]
    output "y" = %1
  }
  body @1 {
    %0 = input {name="x"} : f64[3,5]
    %1 = input {name="y"} : f64[3,5]
    %2 = input {name="c"} : f64[3,5]
    %3 = mul %0, %0 : f64[3,5]
    %4 = mul %2, %3 : f64[3,5]
    output "0" = %4
  }"""


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(context, x):
        context.save_for_backward(x)
        return x.round()

    @staticmethod
    def backward(context, c):
        return c * context.saved_tensors[0] ** 2


rounded = jax.custom_vjp(lambda x: jnp.round(x))
rounded.defvjp(lambda x: (jnp.round(x), x), lambda x, c: (c * x**2,))
op("custom", 'custom {name="rounded", body=@0, vjp=@1}', Rounded.apply, rounded, spread(-3, 3), bodies=ROUND)
