"""W1 to W8 and W14 to W17 in JAX. Each builder returns one jitted train step with its state donated."""
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

rng = np.random.default_rng(0)


def normal(*shape, scale=1.0):
    return jnp.asarray(rng.standard_normal(shape, dtype=np.float32) * scale)


def uniform(*shape):
    return jnp.asarray(rng.random(shape, dtype=np.float32))


def labels(classes, *shape):
    return jnp.asarray(rng.integers(classes, size=shape))


def dense_params(i, o):
    return {"w": normal(i, o, scale=i ** -0.5), "b": jnp.zeros(o)}


def dense(p, x):
    return x @ p["w"] + p["b"]


def cross_entropy(logits, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[..., None], -1).mean()


def trainer(params, loss_fn, data, lr=1e-9, momentum=0.9, weight_decay=0.0, adam=False):
    """loss_fn(params, key, *data); momentum=0 and adam=False is plain SGD."""
    tree = jax.tree_util.tree_map

    def update(state, *data):
        params, m, v, t, key = state
        key, sub = jax.random.split(key)
        loss, g = jax.value_and_grad(loss_fn)(params, sub, *data)
        t = t + 1
        if adam:
            m = tree(lambda m, g: 0.9 * m + 0.1 * g, m, g)
            v = tree(lambda v, g: 0.999 * v + 0.001 * g * g, v, g)
            params = tree(lambda p, m, v: p - lr * (m / (1 - 0.9 ** t)) / (jnp.sqrt(v / (1 - 0.999 ** t)) + 1e-8),
                          params, m, v)
        elif momentum:
            m = tree(lambda m, g, p: momentum * m + g + weight_decay * p, m, g, params)
            params = tree(lambda p, m: p - lr * m, params, m)
        else:
            params = tree(lambda p, g: p - lr * g, params, g)
        return (params, m, v, t, key), loss

    jitted = jax.jit(update, donate_argnums=0)
    zeros = lambda on: tree(jnp.zeros_like, params) if on else None
    state = (params, zeros(adam or momentum), zeros(adam), jnp.float32(0), jax.random.key(0))

    def step():
        nonlocal state
        state, loss = jitted(state, *data)
        jax.block_until_ready((state, loss))
        return loss

    step.parameters = sum(p.size for p in jax.tree_util.tree_leaves(params))
    return step


def mlp(batch):
    sizes = [784, 512, 256, 10]
    params = [dense_params(i, o) for i, o in zip(sizes, sizes[1:])]

    def loss(params, key, x, y):
        for p in params[:-1]:
            x = jax.nn.relu(dense(p, x))
        return cross_entropy(dense(params[-1], x), y)

    return trainer(params, loss, (normal(batch, 784), labels(10, batch)))


def conv_params(i, o, k):
    return normal(k, k, i, o, scale=(i * k * k) ** -0.5)


def conv(w, x, stride=1, pad=0):
    return lax.conv_general_dilated(x, w, (stride, stride), [(pad, pad)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def maxpool(x, size=2, stride=2, pad=0):
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, stride, stride, 1),
                             [(0, 0), (pad, pad), (pad, pad), (0, 0)])


def lenet_parts():
    params = {"c1": conv_params(1, 6, 5), "b1": jnp.zeros(6), "c2": conv_params(6, 16, 5), "b2": jnp.zeros(16),
              "f": [dense_params(400, 120), dense_params(120, 84), dense_params(84, 10)]}

    def forward(p, x):
        x = jax.nn.relu(maxpool(conv(p["c1"], x, pad=2) + p["b1"]))
        x = jax.nn.relu(maxpool(conv(p["c2"], x) + p["b2"])).reshape(x.shape[0], -1)
        x = jax.nn.relu(dense(p["f"][0], x))
        return dense(p["f"][2], jax.nn.relu(dense(p["f"][1], x)))

    return params, forward


def lenet():
    params, forward = lenet_parts()
    return trainer(params, lambda p, key, x, y: cross_entropy(forward(p, x), y),
                   (normal(64, 28, 28, 1), labels(10, 64)))


def norm_params(c):
    return {"g": jnp.ones(c), "b": jnp.zeros(c)}


def batch_norm(p, x, eps=1e-5):
    """Training mode; the running averages are left out (they are off the gradient path)."""
    mean, var = x.mean((0, 1, 2)), x.var((0, 1, 2))
    return (x - mean) * (lax.rsqrt(var + eps) * p["g"]) + p["b"]


def resnet_parts(stem_kernel, depths, bottleneck, classes):
    """Parameters and the forward pass; norm(p, x) says which batch norm to use."""
    blocks, strides, cin = [], [], 64
    for stage, depth in enumerate(depths):
        for i in range(depth):
            width, stride = 64 << stage, 2 if stage and i == 0 else 1
            cout = width * (4 if bottleneck else 1)
            shape = [(cin, width, 1), (width, width, 3), (width, cout, 1)] if bottleneck else [(cin, width, 3), (width, cout, 3)]
            block = {"body": [{"w": conv_params(*s), **norm_params(s[1])} for s in shape]}
            if stride != 1 or cin != cout:
                block["skip"] = {"w": conv_params(cin, cout, 1), **norm_params(cout)}
            blocks.append(block)
            strides.append(stride)
            cin = cout
    params = {"stem": {"w": conv_params(3, 64, stem_kernel), **norm_params(64)}, "blocks": blocks, "head": dense_params(cin, classes)}

    def forward(p, x, norm=batch_norm):
        big = stem_kernel == 7
        x = jax.nn.relu(norm(p["stem"], conv(p["stem"]["w"], x, 2 if big else 1, stem_kernel // 2)))
        x = maxpool(x, 3, 2, 1) if big else x
        for block, stride in zip(p["blocks"], strides):
            h = x
            for i, layer in enumerate(block["body"]):
                s = stride if i == (1 if bottleneck else 0) else 1
                h = norm(layer, conv(layer["w"], h, s, layer["w"].shape[0] // 2))
                h = jax.nn.relu(h) if i + 1 < len(block["body"]) else h
            skip = norm(block["skip"], conv(block["skip"]["w"], x, stride)) if "skip" in block else x
            x = jax.nn.relu(h + skip)
        return dense(p["head"], x.mean((1, 2)))

    return params, forward


def resnet18_cifar():
    params, forward = resnet_parts(3, [2, 2, 2, 2], False, 10)
    return trainer(params, lambda p, key, x, y: cross_entropy(forward(p, x), y),
                   (normal(16, 32, 32, 3), labels(10, 16)), weight_decay=5e-4)


def lstm():
    params = {"x": dense_params(128, 1024), "h": normal(256, 1024, scale=1 / 16), "head": dense_params(256, 10)}

    def loss(p, key, x, y):
        xs = dense(p["x"], x).swapaxes(0, 1)  # the input half of the gates, all steps at once

        def cell(carry, xt):
            h, c = carry
            i, f, g, o = jnp.split(xt + h @ p["h"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        (h, _), _ = lax.scan(cell, (jnp.zeros((32, 256)), jnp.zeros((32, 256))), xs)
        return cross_entropy(dense(p["head"], h), y)

    return trainer(params, loss, (normal(32, 64, 128), labels(10, 32)), adam=True)


def vae():
    params = [dense_params(*s) for s in ((784, 400), (400, 40), (20, 400), (400, 784))]

    def loss(p, key, x):
        mu, logvar = jnp.split(dense(p[1], jnp.tanh(dense(p[0], x))), 2, 1)
        z = mu + jax.random.normal(key, mu.shape) * jnp.exp(0.5 * logvar)
        logits = dense(p[3], jnp.tanh(dense(p[2], z)))
        bce = -(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits)).sum()
        return (bce - 0.5 * (1 + logvar - mu * mu - jnp.exp(logvar)).sum()) / 128

    return trainer(params, loss, (uniform(128, 784),), adam=True)


def deep_tanh():
    def loss(params, key, x, y):
        for p in params:
            x = jnp.tanh(dense(p, x))
        return jnp.mean((x - y) ** 2)

    return trainer([dense_params(500, 500) for _ in range(10)], loss, (normal(128, 500), normal(128, 500)), momentum=0)


def contractive(analytic):
    params = [dense_params(784, 256), dense_params(256, 784)]

    def loss(p, key, x):
        encode = lambda x: jax.nn.sigmoid(dense(p[0], x))
        h = encode(x)
        if analytic:
            penalty = ((h * (1 - h)) ** 2 @ (p[0]["w"] ** 2).sum(0)).sum()
        else:
            penalty = (jax.vmap(jax.jacrev(encode))(x) ** 2).sum()
        return jnp.mean((jax.nn.sigmoid(dense(p[1], h)) - x) ** 2) + 1e-4 * penalty / 128

    return trainer(params, loss, (uniform(128, 784),), momentum=0)


def layer_norm(p, x):
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * lax.rsqrt(var + 1e-5) * p["g"] + p["b"]


def gpt(d=256, seq=128, heads=4, vocab=256, batch=8):
    block = lambda: {"ln1": norm_params(d), "ln2": norm_params(d), "qkv": dense_params(d, 3 * d),
                     "proj": dense_params(d, d), "up": dense_params(d, 4 * d), "down": dense_params(4 * d, d)}
    params = {"tok": normal(vocab, d), "pos": jnp.zeros((seq, d)), "blocks": [block() for _ in range(4)],
              "ln": norm_params(d), "head": dense_params(d, vocab)}

    def loss(p, key, ids, y):
        x = p["tok"][ids] + p["pos"]
        for b in p["blocks"]:
            q, k, v = jnp.split(dense(b["qkv"], layer_norm(b["ln1"], x)).reshape(batch, seq, 3 * heads, d // heads), 3, 2)
            scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(d // heads)
            scores = jnp.where(jnp.tril(jnp.ones((seq, seq), bool)), scores, -1e30)
            a = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores), v).reshape(batch, seq, d)
            x = x + dense(b["proj"], a)
            x = x + dense(b["down"], jax.nn.gelu(dense(b["up"], layer_norm(b["ln2"], x))))
        return cross_entropy(dense(p["head"], layer_norm(p["ln"], x)), y)

    return trainer(params, loss, (labels(vocab, batch, seq), labels(vocab, batch, seq)), adam=True)


def wide_resnet():
    blocks, strides, cin = [], [], 16
    for cout, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        block = {"n1": norm_params(cin), "w1": conv_params(cin, cout, 3), "n2": norm_params(cout), "w2": conv_params(cout, cout, 3)}
        if stride > 1 or cin != cout:
            block["skip"] = conv_params(cin, cout, 1)
        blocks.append(block)
        strides.append(stride)
        cin = cout
    params = {"stem": conv_params(3, 16, 3), "blocks": blocks, "norm": norm_params(cin), "head": dense_params(cin, 10)}

    def loss(p, key, x, y):
        x = conv(p["stem"], x, pad=1)
        for block, stride in zip(p["blocks"], strides):
            active = jax.nn.relu(batch_norm(block["n1"], x))
            h = jax.nn.relu(batch_norm(block["n2"], conv(block["w1"], active, stride, 1)))
            x = conv(block["w2"], h, pad=1) + (conv(block["skip"], active, stride) if "skip" in block else x)
        return cross_entropy(dense(p["head"], jax.nn.relu(batch_norm(p["norm"], x)).mean((1, 2))), y)

    return trainer(params, loss, (normal(16, 32, 32, 3), labels(10, 16)), weight_decay=5e-4)


# Features of the branches, and None for a pooling between modules.
INCEPTIONS = [(64, 96, 128, 16, 32, 32), (128, 128, 192, 32, 96, 64), None,
              (192, 96, 208, 16, 48, 64), (160, 112, 224, 24, 64, 64), (128, 128, 256, 24, 64, 64),
              (112, 144, 288, 32, 64, 64), (256, 160, 320, 32, 128, 128), None,
              (256, 160, 320, 32, 128, 128), (384, 192, 384, 48, 128, 128)]


def pool_up(x, size=3):
    """Of stride 2, with a last window that may be cut off (PyTorch's ceil_mode)."""
    over = [(0, max(0, (-(-(n - size) // 2)) * 2 + size - n)) for n in x.shape[1:3]]
    return lax.reduce_window(x, -jnp.inf, lax.max, (1, size, size, 1), (1, 2, 2, 1), [(0, 0), *over, (0, 0)])


def googlenet():
    def layer(i, o, k):
        return {"w": conv_params(i, o, k), **norm_params(o)}

    def apply(p, x, stride=1):
        return jax.nn.relu(batch_norm(p, conv(p["w"], x, stride, p["w"].shape[0] // 2), 1e-3))

    modules, cin = [], 192
    for widths in filter(None, INCEPTIONS):
        single, reduce3, out3, reduce5, out5, pooled = widths
        modules.append([layer(cin, single, 1), layer(cin, reduce3, 1), layer(reduce3, out3, 3), layer(cin, reduce5, 1),
                        layer(reduce5, out5, 3), layer(cin, pooled, 1)])
        cin = single + out3 + out5 + pooled
    params = {"stem": [layer(3, 64, 7), layer(64, 64, 1), layer(64, 192, 3)], "modules": modules, "head": dense_params(cin, 10)}

    def loss(p, key, x, y):
        a, b, c = p["stem"]
        x = pool_up(apply(c, apply(b, pool_up(apply(a, x, 2)))))
        modules, sizes = iter(p["modules"]), iter((3, 2))
        for widths in INCEPTIONS:
            if widths is None:
                x = pool_up(x, next(sizes))
                continue
            m = next(modules)
            x = jnp.concatenate([apply(m[0], x), apply(m[2], apply(m[1], x)), apply(m[4], apply(m[3], x)),
                                 apply(m[5], maxpool(x, 3, 1, 1))], -1)
        x = x.mean((1, 2))
        x = jnp.where(jax.random.bernoulli(key, 0.8, x.shape), x / 0.8, 0)
        return cross_entropy(dense(p["head"], x), y)

    return trainer(params, loss, (normal(16, 96, 96, 3), labels(10, 16)), weight_decay=5e-4)


def conv_autoencoder_3d():
    def layer(i, o):
        return {"w": normal(3, 3, 3, i, o, scale=(27 * i) ** -0.5), "b": jnp.zeros(o)}

    params = [layer(1, 16), layer(16, 8), layer(8, 16), layer(16, 1)]

    def apply(p, x, up):
        strides, pads, dilation = ((1,) * 3, [(1, 2)] * 3, (2,) * 3) if up else ((2,) * 3, [(1, 1)] * 3, (1,) * 3)
        return lax.conv_general_dilated(x, p["w"], strides, pads, lhs_dilation=dilation,
                                        dimension_numbers=("NDHWC", "DHWIO", "NDHWC")) + p["b"]

    def loss(p, key, x):
        h = jax.nn.relu(apply(p[1], jax.nn.relu(apply(p[0], x, False)), False))
        logits = apply(p[3], jax.nn.relu(apply(p[2], h, True)), True)
        return -(x * jax.nn.log_sigmoid(logits) + (1 - x) * jax.nn.log_sigmoid(-logits)).mean()

    return trainer(params, loss, (uniform(16, 16, 16, 16, 1),), adam=True)


def gru():
    params = {"x": dense_params(128, 768), "h": normal(256, 768, scale=1 / 16), "b": jnp.zeros(768), "head": dense_params(256, 10)}

    def loss(p, key, x, y):
        xs = dense(p["x"], x).swapaxes(0, 1)  # the input part of the gates, all steps at once

        def cell(h, xt):
            r, z, n = jnp.split(h @ p["h"] + p["b"], 3, -1)
            xr, xz, xn = jnp.split(xt, 3, -1)
            z = jax.nn.sigmoid(xz + z)
            return (1 - z) * jnp.tanh(xn + jax.nn.sigmoid(xr + r) * n) + z * h, None

        h, _ = lax.scan(cell, jnp.zeros((32, 256)), xs)
        return cross_entropy(dense(p["head"], h), y)

    return trainer(params, loss, (normal(32, 64, 128), labels(10, 32)), adam=True)


WORKLOADS = {
    "W1-b1": lambda: mlp(1), "W1-b16": lambda: mlp(16), "W1-b128": lambda: mlp(128),
    "W2": lenet, "W3": resnet18_cifar, "W4": lstm, "W5": vae, "W6": deep_tanh,
    "W7-autodiff": lambda: contractive(False), "W7-closed": lambda: contractive(True), "W8": gpt,
    "W14": wide_resnet, "W15": googlenet, "W16": conv_autoencoder_3d, "W17": gru,
}
