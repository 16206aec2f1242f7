"""Convolutions: stride 1, 2, 3 × padding none, same, asymmetric × dilation 1, 2 × groups 1, 2, depthwise × 1, 2, 3 axes;
and with a dilated operand, which transposed convolutions are."""

from itertools import product

import jax
import torch
import torch.nn.functional as F

from case import Case, waves

SPATIAL = {1: ((9,), (3,)), 2: ((7, 6), (3, 2)), 3: ((5, 4, 4), (3, 2, 2))}


def same(n, k, stride, dilation):
    """As many results as ⌈n/stride⌉, the odd element of padding behind. JAX, told "SAME" only, must find the same."""
    total = max(0, (-(-n // stride) - 1) * stride + (k - 1) * dilation + 1 - n)
    return total // 2, total - total // 2


def dilate(x, by):
    """Zeros between the elements of the spatial axes."""
    for axis, factor in enumerate(by, 2):
        shape = list(x.shape)
        shape[axis] = (shape[axis] - 1) * factor + 1
        where = [slice(None)] * x.dim()
        where[axis] = slice(None, None, factor)
        wide = torch.zeros(shape, dtype=x.dtype)
        wide[tuple(where)] = x
        x = wide
    return x


def case(name, x, w, stride, padding, input_dilation, dilation, groups, same=False):
    def by_torch(x, w):
        flat = [p for pair in reversed(padding) for p in pair]
        x = dilate(x, input_dilation)
        x = F.pad(x, flat)
        return getattr(F, f"conv{len(stride)}d")(x, w, None, stride, 0, dilation, groups)

    def by_jax(x, w):
        pads = "SAME" if same else padding
        return jax.lax.conv_general_dilated(x, w, stride, pads, input_dilation, dilation, None, groups)

    text = lambda numbers: "[" + ",".join(map(str, numbers)) + "]"
    lows, highs = zip(*padding)
    operator = (
        f"convolution {{stride={text(stride)}, padding={text(lows)}x{text(highs)}, "
        f"input_dilation={text(input_dilation)}, kernel_dilation={text(dilation)}, groups={groups}}}"
    )
    return Case(name, by_torch, {"x": waves(0, x), "w": waves(1, w)}, by_jax, operator)


CASES = []
for axes, stride, padding, dilation, groups in product(
    (1, 2, 3), (1, 2, 3), ("none", "same", "asymmetric"), (1, 2), ("1", "2", "depthwise")
):
    extents, kernel = SPATIAL[axes]
    out, per_group, count = {"1": (3, 4, 1), "2": (4, 2, 2), "depthwise": (8, 1, 4)}[groups]
    pads = {
        "none": [(0, 0)] * axes,
        "same": [same(n, k, stride, dilation) for n, k in zip(extents, kernel)],
        "asymmetric": [(2, 1), (0, 1), (1, 0)][:axes],
    }[padding]
    CASES.append(
        case(
            f"conv{axes}d stride {stride} {padding} dilation {dilation} groups {groups}",
            (2 if axes == 1 else 1, 4, *extents), (out, per_group, *kernel),
            (stride,) * axes, pads, (1,) * axes, (dilation,) * axes, count, padding == "same",
        )
    )
CASES += [
    case("conv1d dilated operand", (2, 3, 4), (2, 3, 3), (1,), [(2, 1)], (2,), (1,), 1),
    case("conv1d cropped", (2, 3, 9), (2, 3, 2), (2,), [(-1, 0)], (1,), (2,), 1),
    case("conv2d dilated operand", (1, 4, 3, 2), (2, 2, 2, 3), (1, 2), [(1, 2), (2, 2)], (3, 2), (1, 2), 2),
    case("conv3d dilated operand", (1, 2, 2, 3, 2), (3, 2, 2, 1, 2), (1, 1, 1), [(1, 1), (0, 0), (1, 0)], (2, 1, 3), (1, 1, 1), 1),
    case("conv2d 1×1", (2, 3, 3, 2), (4, 3, 1, 1), (1, 1), [(0, 0), (0, 0)], (1, 1), (1, 1), 1),
]
