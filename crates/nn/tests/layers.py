"""Writes layers.txt: what layers give, and gradients of Σ y·w by their inputs and parameters, by PyTorch 2.15.0.

A tensor `name` has the elements sin(0.37·i + s), where s is the sum of the bytes of its name modulo 17; so has w.
Run: pip install torch==2.15.0 && python layers.py > layers.txt
"""
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def tensor(name, *shape):
    n = torch.Size(shape).numel()
    return torch.sin(0.37 * torch.arange(n) + sum(name.encode()) % 17).reshape(shape).requires_grad_()


CASES = {}


def case(function):
    CASES[function.__name__] = function


def conv(spatial, transposed, x, weight, features, **options):
    def run():
        kind = "conv_transpose" if transposed else "conv"
        names = {"x": x, f"{kind}{spatial}d0/weight": weight, f"{kind}{spatial}d0/bias": (features,)}
        at = {name: tensor(name, *shape) for name, shape in names.items()}
        function = getattr(F, f"{kind}{spatial}d")
        return function(*at.values(), **options), at

    return run


CASES["conv1d"] = conv(1, False, (2, 3, 7), (4, 3, 3), 4, stride=2, padding=1, dilation=2)
CASES["conv1d_same"] = conv(1, False, (2, 3, 6), (2, 3, 4), 2, padding="same")
CASES["conv2d"] = conv(2, False, (2, 4, 5, 6), (6, 2, 3, 2), 6, stride=(2, 1), padding=(1, 0), groups=2)
CASES["conv3d"] = conv(3, False, (1, 2, 3, 4, 3), (2, 2, 2, 2, 2), 2, padding=1, stride=2)
CASES["conv_transpose1d"] = conv(
    1, True, (2, 4, 3), (4, 3, 3), 6, stride=3, padding=1, output_padding=2, groups=2, dilation=2
)
CASES["conv_transpose2d"] = conv(
    2, True, (1, 2, 3, 2), (2, 3, 3, 2), 3, stride=(2, 1), padding=(1, 2), output_padding=(1, 0), dilation=(1, 3)
)
CASES["conv_transpose3d"] = conv(3, True, (1, 2, 2, 2, 2), (2, 1, 2, 1, 2), 1, stride=2)


@case
def attention():
    at = {"q": tensor("q", 2, 3, 4), "k": tensor("k", 2, 5, 4), "v": tensor("v", 2, 5, 3)}
    return F.scaled_dot_product_attention(*at.values(), is_causal=True), at


@case
def attention_masked():
    at = {"q": tensor("q", 2, 3, 4), "k": tensor("k", 2, 5, 4), "v": tensor("v", 2, 5, 3)}
    mask = (torch.arange(5) + torch.arange(3)[:, None]) % 3 > 0
    return F.scaled_dot_product_attention(*at.values(), attn_mask=mask, scale=0.7), at


def multi_head(module, at, q, k, v, **options):
    for name in at:
        if name.startswith("attention0/"):
            parent = module
            *path, last = name.split("/")[1:]
            for part in path:
                parent = getattr(parent, part)
            del parent._parameters[last]
            setattr(parent, last, at[name])
    return module(q, k, v, **options)


@case
def multi_head_self():
    x = tensor("x", 2, 5, 6)
    at = {
        "x": x,
        "attention0/in_proj_weight": tensor("attention0/in_proj_weight", 18, 6),
        "attention0/in_proj_bias": tensor("attention0/in_proj_bias", 18),
        "attention0/out_proj/weight": tensor("attention0/out_proj/weight", 6, 6),
        "attention0/out_proj/bias": tensor("attention0/out_proj/bias", 6),
    }
    absent = torch.arange(5) >= torch.tensor([[5], [3]])
    later = torch.arange(5) > torch.arange(5)[:, None]
    module = torch.nn.MultiheadAttention(6, 3, batch_first=True)
    y, _ = multi_head(module, at, x, x, x, key_padding_mask=absent, attn_mask=later)
    return y, at


@case
def multi_head_cross():
    q, k, v = tensor("q", 2, 3, 4), tensor("k", 2, 5, 3), tensor("v", 2, 5, 2)
    at = {
        "q": q,
        "k": k,
        "v": v,
        "attention0/q_proj_weight": tensor("attention0/q_proj_weight", 4, 4),
        "attention0/k_proj_weight": tensor("attention0/k_proj_weight", 4, 3),
        "attention0/v_proj_weight": tensor("attention0/v_proj_weight", 4, 2),
        "attention0/out_proj/weight": tensor("attention0/out_proj/weight", 4, 4),
    }
    module = torch.nn.MultiheadAttention(4, 2, kdim=3, vdim=2, bias=False, batch_first=True)
    y, weights = multi_head(module, at, q, k, v, average_attn_weights=False)
    return torch.cat([y.flatten(), weights.flatten()]), at


def line(case, what, values):
    print(case, what, *(f"{v:.13g}" for v in values.flatten().tolist()))


for name, function in CASES.items():
    y, at = function()
    (y * tensor("w", *y.shape).detach()).sum().backward()
    line(name, "y", y)
    for what, value in at.items():
        line(name, what, value.grad)
