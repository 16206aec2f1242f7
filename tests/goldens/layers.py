"""Layers, with the attributes that they have. A case gives the value, and inputs and parameters by the names they have here."""

import torch
import torch.nn.functional as F

from case import Case

torch.set_default_dtype(torch.float64)


def tensor(name, *shape):
    """Waves that start elsewhere for each name."""
    n = torch.Size(shape).numel()
    waves = torch.sin(0.37 * torch.arange(n) + sum(name.encode()) % 17)
    return waves.float().double().reshape(shape).requires_grad_()


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
def separable_conv():
    at = {"x": tensor("x", 1, 2, 4, 3)} | {
        name: tensor(name, *shape)
        for name, shape in {
            "separable0/conv0/weight": (2, 1, 3, 3),
            "separable0/conv1/weight": (3, 2, 1, 1),
            "separable0/conv1/bias": (3,),
        }.items()
    }
    x, depthwise, point, bias = at.values()
    return F.conv2d(F.conv2d(x, depthwise, padding=1, groups=2), point, bias), at


@case
def depthwise_conv():
    at = {"x": tensor("x", 1, 2, 6), "depthwise0/conv0/weight": tensor("depthwise0/conv0/weight", 6, 1, 3)}
    return F.conv1d(*at.values(), stride=2, groups=2), at


@case
def additive_attention():
    at = {"q": tensor("q", 2, 3, 4), "k": tensor("k", 2, 5, 3), "v": tensor("v", 2, 5, 2)} | {
        f"additive_attention0/{name}": tensor(f"additive_attention0/{name}", *shape)
        for name, shape in {"query_weight": (6, 4), "key_weight": (6, 3), "score_weight": (6,)}.items()
    }
    q, k, v, of_queries, of_keys, of_scores = at.values()
    met = torch.tanh(F.linear(q, of_queries)[:, :, None] + F.linear(k, of_keys)[:, None])
    return F.softmax(met @ of_scores, -1) @ v, at


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


def recurrent(kind, layers, both, lengths=None, initial=False, bias=True, **options):
    """Batches of 2, 4 steps of 3 numbers, 2 hidden ones."""

    def run():
        inputs, hidden, sides = 3, 2, 1 + both
        gates = {"rnn": 1, "lstm": 4, "gru": 3}[kind]
        at = {"x": tensor("x", 4, 2, inputs)}
        if initial:
            at["h"] = tensor("h", layers * sides, 2, hidden)
        if initial and kind == "lstm":
            at["c"] = tensor("c", layers * sides, 2, hidden)
        module = getattr(torch.nn, kind.upper())(
            inputs, hidden, layers, bidirectional=both, bias=bias, **options
        )
        for layer in range(layers):
            for side in range(sides):
                width = inputs if layer == 0 else hidden * sides
                shapes = {"weight_ih": (gates * hidden, width), "weight_hh": (gates * hidden, hidden)}
                if bias:
                    shapes |= {"bias_ih": (gates * hidden,), "bias_hh": (gates * hidden,)}
                for weight, shape in shapes.items():
                    own = f"{weight}_l{layer}{'_reverse' if side else ''}"
                    name = f"{kind}0/{own}"
                    at[name] = tensor(name, *shape)
        state = None
        if initial:
            state = (at["h"], at["c"]) if kind == "lstm" else at["h"]
        x = at["x"]
        if lengths is not None:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        parameters = {name.split("/")[1]: value for name, value in at.items() if "/" in name}
        y, last = torch.func.functional_call(module, parameters, (x, state))
        if lengths is not None:
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=4)
        last = last if kind == "lstm" else (last,)
        return torch.cat([y.flatten()] + [s.flatten() for s in last]), at

    return run


CASES["rnn"] = recurrent("rnn", 1, False)
CASES["rnn_relu"] = recurrent("rnn", 2, True, nonlinearity="relu", initial=True)
CASES["lstm"] = recurrent("lstm", 1, False)
CASES["lstm_deep"] = recurrent("lstm", 2, True, initial=True)
CASES["lstm_lengths"] = recurrent("lstm", 2, True, lengths=[2, 4], initial=True)
CASES["lstm_plain"] = recurrent("lstm", 1, False, bias=False)
CASES["gru"] = recurrent("gru", 1, False, initial=True)
CASES["gru_deep"] = recurrent("gru", 2, True, lengths=[3, 1])
CASES["gru_plain"] = recurrent("gru", 1, True, bias=False)


def pool(name, shape, **options):
    def run():
        at = {"x": tensor("x", *shape)}
        return getattr(F, name)(at["x"], **options), at

    return run


CASES["max_pool1d"] = pool("max_pool1d", (2, 3, 8), kernel_size=3, stride=2, padding=1, dilation=2)
CASES["max_pool2d"] = pool("max_pool2d", (2, 3, 5, 6), kernel_size=(3, 2), stride=2, padding=(1, 0))
CASES["max_pool2d_ceil"] = pool("max_pool2d", (1, 2, 6, 5), kernel_size=2, stride=3, padding=1, ceil_mode=True)
CASES["max_pool3d"] = pool("max_pool3d", (1, 2, 4, 4, 4), kernel_size=2)
CASES["avg_pool1d"] = pool("avg_pool1d", (2, 3, 8), kernel_size=3, stride=2, padding=1)
CASES["avg_pool2d"] = pool("avg_pool2d", (2, 2, 5, 6), kernel_size=(3, 2), stride=2, padding=(1, 0), count_include_pad=False)
CASES["avg_pool2d_ceil"] = pool("avg_pool2d", (1, 2, 6, 5), kernel_size=2, stride=3, padding=1, ceil_mode=True)
CASES["avg_pool3d"] = pool("avg_pool3d", (1, 2, 4, 4, 4), kernel_size=2)
CASES["max_pool1d_wide"] = pool("max_pool1d", (1, 2, 40), kernel_size=18, stride=7, padding=9)
CASES["global_avg_pool"] = lambda: ((x := tensor("x", 2, 3, 4, 2)).mean((2, 3)), {"x": x})
CASES["global_max_pool"] = lambda: ((x := tensor("x", 2, 3, 4, 2)).amax((2, 3)), {"x": x})
CASES["avg_pool1d_wide"] = pool("avg_pool1d", (1, 2, 40), kernel_size=18, stride=7, padding=9)
CASES["avg_pool2d_divisor"] = pool("avg_pool2d", (1, 2, 4, 5), kernel_size=2, divisor_override=3)
CASES["adaptive_avg_pool1d"] = pool("adaptive_avg_pool1d", (2, 2, 8), output_size=3)
CASES["adaptive_avg_pool2d"] = pool("adaptive_avg_pool2d", (1, 2, 5, 7), output_size=(2, 3))
CASES["adaptive_avg_pool3d"] = pool("adaptive_avg_pool3d", (1, 2, 4, 3, 5), output_size=(2, 3, 2))
CASES["adaptive_max_pool1d"] = pool("adaptive_max_pool1d", (2, 2, 8), output_size=3)
CASES["adaptive_max_pool2d"] = pool("adaptive_max_pool2d", (1, 2, 5, 7), output_size=(2, 3))
CASES["adaptive_max_pool3d"] = pool("adaptive_max_pool3d", (1, 2, 4, 3, 5), output_size=(2, 3, 2))


for name, size, mode, aligned in [
    ("upsample_nearest1d", 9, "nearest", None),
    ("upsample_nearest2d", (6, 5), "nearest", None),
    ("upsample_nearest3d", (2, 4, 3), "nearest", None),
    ("upsample_linear1d", 9, "linear", False),
    ("upsample_linear1d_aligned", 9, "linear", True),
    ("upsample_linear2d", (6, 5), "bilinear", False),
    ("upsample_linear2d_aligned", (1, 5), "bilinear", True),
    ("upsample_linear2d_smaller", (2, 3), "bilinear", False),
    ("upsample_linear3d", (2, 4, 3), "trilinear", False),
]:
    shape = {1: (2, 2, 4), 2: (1, 2, 3, 4), 3: (1, 1, 1, 2, 3)}[int(name.split("d")[0][-1])]
    CASES[name] = pool("interpolate", shape, size=size, mode=mode, align_corners=aligned)
CASES["pixel_shuffle"] = pool("pixel_shuffle", (1, 8, 2, 3), upscale_factor=2)
CASES["pixel_unshuffle"] = pool("pixel_unshuffle", (1, 2, 4, 6), downscale_factor=2)


@case
def max_pool2d_ties():
    x = tensor("x", 1, 2, 6, 7)
    y = torch.floor(x * 1.5) + (x - x.detach())
    return F.max_pool2d(y, 3, stride=2, padding=1), {"x": x}


@case
def lp_pool2d():
    at = {"x": tensor("x", 1, 2, 5, 4)}
    return F.lp_pool2d(at["x"].abs(), 3.0, 2, stride=2), at


def norm(function, layer, shape, extents, *arguments, **options):
    def run():
        names = {"x": shape, f"{layer}0/weight": extents, f"{layer}0/bias": extents}
        at = {name: tensor(name, *shape) for name, shape in names.items()}
        x, weight, bias = at.values()
        return function(x, *arguments, weight=weight, bias=bias, **options), at

    return run


CASES["batch_norm"] = norm(F.batch_norm, "batch_norm", (4, 3), (3,), None, None, training=True)
CASES["batch_norm_images"] = norm(F.batch_norm, "batch_norm", (2, 3, 4, 2), (3,), None, None, training=True, eps=1e-3)
CASES["layer_norm"] = norm(F.layer_norm, "layer_norm", (2, 3, 4), (3, 4), (3, 4))
CASES["group_norm"] = norm(F.group_norm, "group_norm", (2, 6, 3), (6,), 2)
CASES["instance_norm"] = norm(F.instance_norm, "instance_norm", (2, 3, 4, 2), (3,))


@case
def local_response_norm():
    at = {"x": tensor("x", 2, 7, 3, 2)}
    return F.local_response_norm(at["x"], 4, alpha=0.3, beta=0.75, k=2.0), at


def loss(function, *names, shape=(3, 4)):
    def run():
        at = {name: tensor(name, *shape) for name in names}
        return function(*at.values()), at

    return run


LABELS = torch.tensor([2, 0, 3])
CASES["loss_smoothed"] = loss(lambda x: F.cross_entropy(x, LABELS, label_smoothing=0.1, reduction="none"), "x")
CASES["loss_soft"] = loss(lambda x, t: F.cross_entropy(x, F.softmax(t, 1), reduction="none"), "x", "t")
CASES["loss_categorical"] = loss(lambda x, t: -(F.softmax(t, 1) * F.softmax(x, 1).log()).sum(1), "x", "t")
CASES["loss_bernoulli"] = loss(
    lambda x, t: F.binary_cross_entropy(torch.sigmoid(x), torch.sigmoid(t), reduction="none"), "x", "t"
)
CASES["loss_entropy"] = loss(lambda x: torch.special.entr(F.softmax(x, 1)).sum(1), "x")
CASES["loss_kl"] = loss(lambda x, t: F.kl_div(F.log_softmax(t, 1), F.softmax(x, 1), reduction="none").sum(1), "x", "t")
CASES["loss_huber"] = loss(lambda x, t: F.huber_loss(x, t, reduction="none", delta=0.7), "x", "t")
CASES["loss_hinge"] = loss(lambda x: F.relu(1 - torch.sign(tensor("t", 3, 4).detach()) * x), "x")


def sigmoid_focal(x):
    t = (tensor("t", 3, 4) > 0).double()
    p = torch.sigmoid(x)
    right = p * t + (1 - p) * (1 - t)
    bce = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    return (0.25 * t + 0.75 * (1 - t)) * (1 - right) ** 2 * bce


CASES["loss_focal"] = loss(sigmoid_focal, "x")


CASES = [Case(name, function) for name, function in CASES.items()]
