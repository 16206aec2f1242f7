"""Convolutional layers, pooling, normalisation and upsampling with the attributes that they have, by PyTorch and by JAX.
Inputs and parameters have the names that they have here."""

import jax
import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from jax import lax

from case import Case, named
from operators import arg_by_jax, windows_by_jax

CASES = []


def case(name, by_torch, by_jax, inputs, **options):
    CASES.append(Case(name, by_torch, named(**inputs), by_jax, **options))


def pairs(padding, axes):
    """Before and after along each axis, of a number, one for each axis, or pairs."""
    numbers = (padding,) * axes if isinstance(padding, int) else padding
    return [p if isinstance(p, tuple) else (p, p) for p in numbers]


def per_axis(number, axes):
    return (number,) * axes if isinstance(number, int) else tuple(number)


def padded(x, padding, value=0.0):
    return F.pad(x, [p for pair in reversed(padding) for p in pair], value=value)


def conv(name, x, weight, padding=0, stride=1, dilation=1, groups=1, same=None, kind=None):
    """Of a `kind` of layer. With padding `same`, JAX finds it; here it is what it should find."""
    axes = len(x) - 2
    around = pairs(same if same else padding, axes)
    stride, dilation = per_axis(stride, axes), per_axis(dilation, axes)

    def by_torch(x, w, b):
        return getattr(F, f"conv{axes}d")(padded(x, around), w, b, stride, 0, dilation, groups)

    def by_jax(x, w, b):
        pads = "SAME" if same else around
        y = lax.conv_general_dilated(x, w, stride, pads, rhs_dilation=dilation, feature_group_count=groups)
        return y + b.reshape(-1, *(1,) * axes)

    kind = kind or f"conv{axes}d0"
    case(name, by_torch, by_jax, {"x": x, f"{kind}__weight": weight, f"{kind}__bias": weight[:1]})


def conv_transpose(name, x, weight, padding=0, stride=1, dilation=1, groups=1, more=0, kind=None):
    """Asymmetric padding is cut off, since PyTorch has none."""
    axes = len(x) - 2
    around, stride, dilation, more = pairs(padding, axes), *(per_axis(n, axes) for n in [stride, dilation, more])

    def by_torch(x, w, b):
        whole = getattr(F, f"conv_transpose{axes}d")(x, w, None, stride, 0, 0, groups, dilation)
        # What output padding adds is nothing where the stride leaves a gap.
        whole = F.pad(whole, [p for m in reversed(more) for p in (0, m)])
        inside = [slice(low, n - high) for n, (low, high) in zip(whole.shape[2:], around)]
        return whole[(..., *inside)] + b.reshape(-1, *(1,) * axes)

    def by_jax(x, w, b):
        reach = [(k - 1) * d for k, d in zip(w.shape[2:], dilation)]
        pads = [(r - low, r - high + m) for r, (low, high), m in zip(reach, around, more)]
        layout = [letters + "HWD"[:axes] for letters in ("NC", "OI", "NC")]
        numbers = lax.conv_dimension_numbers(x.shape, w.shape, layout)
        parts = [
            lax.conv_transpose(x, w, stride, pads, dilation, numbers, transpose_kernel=True)
            for x, w in zip(jnp.split(x, groups, 1), jnp.split(w, groups, 0))
        ]
        return jnp.concatenate(parts, 1) + b.reshape(-1, *(1,) * axes)

    kind = kind or f"conv_transpose{axes}d0"
    case(name, by_torch, by_jax, {"x": x, f"{kind}__weight": weight, f"{kind}__bias": (weight[1] * groups,)})


conv("conv1d", (2, 3, 7), (4, 3, 3), padding=1, stride=2, dilation=2)
conv("conv1d_same", (2, 3, 6), (2, 3, 4), same=[(1, 2)])
conv("conv1d_same_strided", (2, 3, 8), (2, 3, 3), stride=3, same=[(0, 1)])
conv("conv2d_same_dilated", (1, 2, 5, 6), (2, 2, 2, 3), stride=(2, 1), dilation=(1, 2), same=[(0, 1), (2, 2)])
conv("conv3d_same", (1, 2, 3, 4, 2), (2, 2, 2, 2, 1), stride=2, same=[(0, 1), (0, 0), (0, 0)])
conv("conv", (1, 2, 4, 3), (3, 2, 2, 2), padding=((1, 0), (0, 2)), kind="conv0")
conv("conv2d", (2, 4, 5, 6), (6, 2, 3, 2), padding=(1, 0), stride=(2, 1), groups=2)
conv("conv3d", (1, 2, 3, 4, 3), (2, 2, 2, 2, 2), padding=1, stride=2)
conv_transpose("conv_transpose1d", (2, 4, 3), (4, 3, 3), 1, 3, 2, groups=2, more=2)
conv_transpose("conv_transpose2d", (1, 2, 3, 2), (2, 3, 3, 2), (1, 2), (2, 1), (1, 3), more=(1, 0))
conv_transpose("conv_transpose3d", (1, 2, 2, 2, 2), (2, 1, 2, 1, 2), stride=2)
conv_transpose("conv_transpose1d_asymmetric", (2, 3, 4), (3, 2, 3), [(2, 0)], 2)
conv_transpose("conv_transpose2d_groups", (1, 4, 3, 2), (4, 3, 2, 3), [(1, 0), (0, 2)], (1, 2), groups=2, more=(0, 1))
conv_transpose("conv_transpose3d_padded", (1, 2, 2, 3, 2), (2, 2, 2, 2, 3), [(0, 1), (1, 1), (1, 2)], (2, 1, 2), more=(1, 0, 1))
conv_transpose("conv_transpose", (1, 2, 2, 3), (2, 2, 2, 3), 1, 2, kind="conv_transpose0")
case("convolve", lambda x, w: F.conv1d(x, w, stride=2), lambda x, w: lax.conv_general_dilated(x, w, (2,), "VALID"),
     {"x": (2, 3, 5), "w": (2, 3, 2)})
case("convolve_transposed", lambda x, w: F.conv_transpose1d(x, w, stride=2),
     lambda x, w: lax.conv_general_dilated(x, w[:, :, ::-1].swapaxes(0, 1), (1,), [(2, 2)], (2,)),
     {"x": (2, 3, 4), "w": (3, 2, 3)})


def depthwise(x, w, padding, stride, axes):
    return lax.conv_general_dilated(x, w, (stride,) * axes, [(padding, padding)] * axes, feature_group_count=x.shape[1])


case(
    "separable_conv",
    lambda x, w, point, b: F.conv2d(F.conv2d(x, w, padding=1, groups=2), point, b),
    lambda x, w, point, b: jnp.einsum("nchw,oc->nohw", depthwise(x, w, 1, 1, 2), point[:, :, 0, 0]) + b[:, None, None],
    {"x": (1, 2, 4, 3), "separable0__conv0__weight": (2, 1, 3, 3), "separable0__conv1__weight": (3, 2, 1, 1),
     "separable0__conv1__bias": (3,)},
)
case(
    "depthwise_conv",
    lambda x, w: F.conv1d(x, w, stride=2, groups=2),
    lambda x, w: depthwise(x, w, 0, 2, 1),
    {"x": (1, 2, 6), "depthwise0__conv0__weight": (6, 1, 3)},
)


def reduced(x, init, function, kernel, stride, around, dilation):
    """Windows over the axes behind the second, by JAX."""
    whole = lambda numbers, fill: (fill, fill, *numbers)
    return lax.reduce_window(
        x, init, function, whole(kernel, 1), whole(stride, 1), whole(around, (0, 0)), None, whole(dilation, 1)
    )


def over_the_end(extents, kernel, stride, around, dilation):
    """Padding with what a last window reaches over the end, if it begins before it."""
    result = []
    for n, k, s, (low, high), d in zip(extents, kernel, stride, around, dilation):
        span, whole = (k - 1) * d + 1, n + low + high
        windows = -(-(whole - span) // s) + 1
        windows -= (windows - 1) * s >= n + low
        result.append((low, high + max(0, (windows - 1) * s + span - whole)))
    return result


def pool(name, shape, kernel, stride=None, padding=0, dilation=1, ceil_mode=False, p=None, prepare=None, **options):
    """By the function of PyTorch's that the name begins with."""
    axes = len(shape) - 2
    kernel = per_axis(kernel, axes)
    stride = kernel if stride is None else per_axis(stride, axes)
    around, dilation = pairs(padding, axes), per_axis(dilation, axes)
    kind = name.split("_pool")[0]
    given = {"stride": stride, "ceil_mode": ceil_mode, **options}
    if kind != "lp":
        given["padding"] = padding
    if kind == "max":
        given["dilation"] = dilation
    if kind == "lp":
        given["norm_type"] = p
    # `lp_pool1d` takes no tuple.
    given["kernel_size"] = kernel if axes > 1 else kernel[0]

    def by_torch(x):
        return getattr(F, f"{kind}_pool{axes}d")(prepare(x) if prepare else x, **given)

    def by_jax(x):
        x = prepare(x) if prepare else x
        ends = over_the_end(x.shape[2:], kernel, stride, around, dilation) if ceil_mode else around
        if kind == "max":
            return reduced(x, -jnp.inf, lax.max, kernel, stride, ends, dilation)
        if kind == "lp":
            return reduced(x**p, 0.0, lax.add, kernel, stride, ends, dilation) ** (1 / p)
        sums = reduced(x, 0.0, lax.add, kernel, stride, ends, dilation)
        if "divisor_override" in options:
            return sums / options["divisor_override"]
        counted = jnp.ones(x.shape)
        if options.get("count_include_pad", True):
            counted = jnp.pad(counted, [(0, 0), (0, 0), *around], constant_values=1.0)
            ends = [(0, end[1] - pair[1]) for end, pair in zip(ends, around)]
        return sums / reduced(counted, 0.0, lax.add, kernel, stride, ends, dilation)

    # JAX has no second derivative of maxima of windows, and none of dilated ones.
    orders = (1 if set(dilation) == {1} else 0) if kind == "max" else 2
    case(name, by_torch, by_jax, {"x": shape}, jax_orders=orders)


pool("max_pool1d", (2, 3, 8), 3, 2, 1, 2)
pool("max_pool2d", (2, 3, 5, 6), (3, 2), 2, (1, 0))
pool("max_pool2d_ceil", (1, 2, 6, 5), 2, 3, 1, ceil_mode=True)
pool("max_pool3d", (1, 2, 4, 4, 4), 2)
pool("max_pool1d_wide", (1, 2, 40), 18, 7, 9)
pool("avg_pool1d", (2, 3, 8), 3, 2, 1)
pool("avg_pool2d", (2, 2, 5, 6), (3, 2), 2, (1, 0), count_include_pad=False)
pool("avg_pool2d_ceil", (1, 2, 6, 5), 2, 3, 1, ceil_mode=True)
pool("avg_pool3d", (1, 2, 4, 4, 4), 2)
pool("avg_pool1d_wide", (1, 2, 40), 18, 7, 9)
pool("avg_pool2d_divisor", (1, 2, 4, 5), 2, divisor_override=3)
pool("lp_pool2d", (1, 2, 5, 4), 2, 2, p=3.0, prepare=abs)
pool("avg_pool2d_ceil_excluded", (1, 2, 6, 5), 2, 3, 1, ceil_mode=True, count_include_pad=False)
pool("avg_pool1d_ceil", (2, 1, 8), 3, 2, 0, ceil_mode=True)
pool("max_pool1d_ceil_dilated", (2, 2, 10), 3, 3, 1, 2, ceil_mode=True)
pool("lp_pool1d", (2, 2, 7), 3, 2, p=2.0)
pool("lp_pool3d", (1, 1, 4, 3, 4), (2, 3, 2), 2, p=1.5, prepare=abs)
case("global_avg_pool", lambda x: x.mean((2, 3)), lambda x: x.mean((2, 3)), {"x": (2, 3, 4, 2)})
case("global_max_pool", lambda x: x.amax((2, 3)), lambda x: x.max((2, 3)), {"x": (2, 3, 4, 2)})


def stepped(x, floor, stop):
    """With ties, and the slope of the identity."""
    return floor(x * 1.5) + (x - stop(x))


case(
    "max_pool2d_ties",
    lambda x: F.max_pool2d(stepped(x, torch.floor, torch.detach), 3, stride=2, padding=1),
    lambda x: reduced(
        stepped(x, jnp.floor, lax.stop_gradient), -jnp.inf, lax.max, (3, 3), (2, 2), [(1, 1)] * 2, (1, 1)
    ),
    {"x": (1, 2, 6, 7)},
    jax_orders=1,
)


def same_windows(x, init, function):
    return lax.reduce_window(x, init, function, (1, 1, 3, 2), (1, 1, 2, 3), "SAME")


# As JAX's SAME has them: windows of 3 and 2 elements in steps of 2 and 3.
AROUND = [(1, 1), (0, 0)]
case("max_pool2d_same", lambda x: F.max_pool2d(padded(x, AROUND, -torch.inf), (3, 2), (2, 3)),
     lambda x: same_windows(x, -jnp.inf, lax.max), {"x": (1, 2, 5, 5)}, jax_orders=1)
case("avg_pool2d_same",
     lambda x: F.avg_pool2d(padded(x, AROUND), (3, 2), (2, 3)) / F.avg_pool2d(padded(x * 0 + 1, AROUND), (3, 2), (2, 3)),
     lambda x: same_windows(x, 0.0, lax.add) / same_windows(jnp.ones(x.shape), 0.0, lax.add), {"x": (1, 2, 5, 5)})


def with_indices(name, shape, kernel, stride, padding, kind=""):
    """The maxima and where they are, one behind the other."""
    axes = len(shape) - 2
    at = (kernel,) * axes, (stride,) * axes, ((padding, padding),) * axes, (1,) * axes

    def by_torch(x):
        y, indices = getattr(F, f"max_pool{axes}d")(x, kernel, stride, padding, return_indices=True)
        return torch.cat([y.flatten(), indices.flatten()])

    def by_jax(x):
        y = windows_by_jax(x, -jnp.inf, lax.max, *at)
        return jnp.concatenate([y.ravel(), arg_by_jax(lax.stop_gradient(x), "max", *at).ravel()])

    case(name, by_torch, by_jax, {"x": shape}, jax_orders=1)


with_indices("max_pool1d_with_indices", (2, 2, 7), 3, 2, 1)
with_indices("max_pool2d_with_indices", (1, 2, 5, 4), 2, 1, 1)
with_indices("max_pool3d_with_indices", (1, 1, 4, 3, 4), 2, 2, 0)
with_indices("max_pool_with_indices", (1, 2, 4, 4), 2, 2, 0)


def adaptive(name, shape, output):
    kind, axes = name.split("_")[1], len(shape) - 2

    def by_jax(x):
        for axis, (extent, count) in enumerate(zip(shape[2:], per_axis(output, axes)), 2):
            edges = [(i * extent // count, -(-(i + 1) * extent // count)) for i in range(count)]
            part = lambda start, end: lax.slice_in_dim(x, start, end, axis=axis)
            fold = {"avg": jnp.mean, "max": jnp.max}[kind]
            x = jnp.stack([fold(part(*edge), axis=axis) for edge in edges], axis)
        return x

    by_torch = getattr(F, f"adaptive_{kind}_pool{axes}d")
    case(name, lambda x: by_torch(x, output), by_jax, {"x": shape})


for kind in ("avg", "max"):
    adaptive(f"adaptive_{kind}_pool1d", (2, 2, 8), 3)
    adaptive(f"adaptive_{kind}_pool2d", (1, 2, 5, 7), (2, 3))
    adaptive(f"adaptive_{kind}_pool3d", (1, 2, 4, 3, 5), (2, 3, 2))
    adaptive(f"adaptive_{kind}_pool1d_more", (2, 2, 3), 5)
    adaptive(f"adaptive_{kind}_pool2d_even", (1, 2, 4, 6), (2, 3))


def of_any_rank(mean, largest, norm):
    """Windows side by side of all the pools that are not told a rank, each of 2 by 2 elements of 4 by 6."""

    def function(x):
        parts = x.reshape(1, 2, 2, 2, 3, 2)
        return [largest(parts), mean(parts), norm(parts), mean(parts), largest(parts)]

    return function


case(
    "pools_of_any_rank",
    lambda x: torch.stack(of_any_rank(lambda x: x.mean((3, 5)), lambda x: x.amax((3, 5)), lambda x: (x * x).sum((3, 5)).sqrt())(x)),
    lambda x: jnp.stack(of_any_rank(lambda x: x.mean((3, 5)), lambda x: x.max((3, 5)), lambda x: (x * x).sum((3, 5)) ** 0.5)(x)),
    {"x": (1, 2, 4, 6)},
)


def upsample(name, shape, size, aligned=None):
    """By `interpolate`, and by JAX's rows of the places, or its `image` with the pixels at the corners or their edges aligned."""
    axes = len(shape) - 2
    size = per_axis(size, axes)
    linear = aligned is not None
    mode = ["linear", "bilinear", "trilinear"][axes - 1] if linear else "nearest"
    by_torch = lambda x: F.interpolate(x, size=size, mode=mode, align_corners=aligned)

    def by_jax(x):
        if not linear:
            for axis, (old, new) in enumerate(zip(x.shape[2:], size), 2):
                x = jnp.take(x, jnp.arange(new) * old // new, axis)
            return x
        shape, old = (*x.shape[:2], *size), x.shape[2:]
        if not aligned:
            return jax.image.resize(x, shape, "linear", antialias=False)
        scale = np.array([(n - 1) / (o - 1) if n > 1 else 1.0 for n, o in zip(size, old)])
        spatial = tuple(range(2, x.ndim))
        return jax.image.scale_and_translate(x, shape, spatial, scale, 0.5 - 0.5 * scale, "linear", antialias=False)

    case(name, by_torch, by_jax, {"x": shape})


upsample("upsample_nearest1d", (2, 2, 4), 9)
upsample("upsample_nearest2d", (1, 2, 3, 4), (6, 5))
upsample("upsample_nearest3d", (1, 1, 1, 2, 3), (2, 4, 3))
upsample("upsample_linear1d", (2, 2, 4), 9, False)
upsample("upsample_linear1d_aligned", (2, 2, 4), 9, True)
upsample("upsample_linear2d", (1, 2, 3, 4), (6, 5), False)
upsample("upsample_linear2d_aligned", (1, 2, 3, 4), (1, 5), True)
upsample("upsample_linear2d_smaller", (1, 2, 3, 4), (2, 3), False)
upsample("upsample_linear3d", (1, 1, 1, 2, 3), (2, 4, 3), False)
case("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2),
     lambda x: x.reshape(1, 2, 2, 2, 2, 3).transpose(0, 1, 4, 2, 5, 3).reshape(1, 2, 4, 6), {"x": (1, 8, 2, 3)})
case("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2),
     lambda x: x.reshape(1, 2, 2, 2, 3, 2).transpose(0, 1, 3, 5, 2, 4).reshape(1, 8, 2, 3), {"x": (1, 2, 4, 6)})


def norm(name, layer, shape, extents, by_torch, axes, eps=1e-5, grouped=None):
    """Over these axes of the operand in this shape."""

    def by_jax(x, weight, bias):
        y = jax.nn.standardize(x.reshape(grouped or shape), axes, epsilon=eps).reshape(shape)
        along = (-1, *(1,) * (len(shape) - 2)) if len(extents) == 1 else extents
        return y * weight.reshape(along) + bias.reshape(along)

    case(name, by_torch, by_jax, {"x": shape, f"{layer}0__weight": extents, f"{layer}0__bias": extents})


def batch_norm(x, w, b, eps=1e-5):
    return F.batch_norm(x, None, None, w, b, training=True, eps=eps)


norm("batch_norm", "batch_norm", (4, 3), (3,), batch_norm, 0)
norm("batch_norm_images", "batch_norm", (2, 3, 4, 2), (3,), lambda *x: batch_norm(*x, eps=1e-3), (0, 2, 3), eps=1e-3)
norm("layer_norm", "layer_norm", (2, 3, 4), (3, 4), lambda x, w, b: F.layer_norm(x, (3, 4), w, b), (1, 2))
norm("group_norm", "group_norm", (2, 6, 3), (6,), lambda x, w, b: F.group_norm(x, 2, w, b), 2, grouped=(2, 2, 9))
norm("instance_norm", "instance_norm", (2, 3, 4, 2), (3,), lambda x, w, b: F.instance_norm(x, weight=w, bias=b), (2, 3))


def plain(x):
    return jax.nn.standardize(x, -1, epsilon=1e-3)


case("layer_norm_plain", lambda x: F.layer_norm(x, (4,), eps=1e-3), plain, {"x": (2, 3, 4)})
case("group_norm_plain", lambda x: F.group_norm(x, 3, eps=1e-3),
     lambda x: plain(x.reshape(2, 3, 4)).reshape(2, 6, 2), {"x": (2, 6, 2)})


def query(name, shape):
    """By running statistics."""
    along = (-1, *(1,) * (len(shape) - 2))

    def by_jax(x, mean, variance, weight, bias, training):
        x = (x - mean.reshape(along)) / jnp.sqrt(variance.reshape(along) + 1e-5)
        return x * weight.reshape(along) + bias.reshape(along)

    names = [f"batch_norm0__{name}" for name in ("running_mean", "running_var", "weight", "bias")]
    inputs = {"x": shape} | dict.fromkeys(names, (3,)) | {"training": torch.tensor(False)}
    inputs[names[1]] = torch.tensor([0.25, 1.0, 4.0])
    case(name, lambda x, *rest: F.batch_norm(x, *rest[:-1], training=bool(rest[-1])), by_jax, inputs,
         fixed=("batch_norm0/running_mean", "batch_norm0/running_var"))


query("batch_norm_query", (4, 3))
query("batch_norm_images_query", (2, 3, 2, 4))


def step(name, shape, momentum):
    """What the running statistics are after a step, one behind the other."""

    def by_torch(x, mean, variance):
        mean, variance = mean.clone(), variance.clone()
        F.batch_norm(x, mean, variance, training=True, momentum=momentum)
        return torch.cat([mean, variance])

    def by_jax(x, mean, variance):
        axes = (0, *range(2, x.ndim))
        now = lax.stop_gradient(jnp.concatenate([x.mean(axes), x.var(axes, ddof=1)]))
        return (1 - momentum) * jnp.concatenate([mean, variance]) + momentum * now

    names = [f"batch_norm0__{name}" for name in ("running_mean", "running_var")]
    case(name, by_torch, by_jax, {"x": shape, names[0]: (3,), names[1]: torch.tensor([0.25, 1.0, 4.0])},
         fixed=("batch_norm0/running_mean", "batch_norm0/running_var"))


step("batch_norm, next states", (4, 3), 0.1)
step("batch_norm_images, next states", (2, 3, 2, 4), 0.3)


def response_norm(x):
    sums = lax.reduce_window(x * x, 0.0, lax.add, (1, 4, 1, 1), (1, 1, 1, 1), [(0, 0), (2, 1), (0, 0), (0, 0)])
    return x / (2.0 + 0.3 / 4 * sums) ** 0.75


case("local_response_norm", lambda x: F.local_response_norm(x, 4, alpha=0.3, beta=0.75, k=2.0), response_norm,
     {"x": (2, 7, 3, 2)})
