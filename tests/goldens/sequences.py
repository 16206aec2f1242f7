"""Attention and recurrent layers, by PyTorch and by JAX. Inputs and parameters have the names that they have here."""

import jax
import jax.numpy as jnp
import torch
import torch.nn.functional as F
from jax import lax

from case import Case, named, waves

CASES = []


def case(name, by_torch, by_jax, inputs, **options):
    CASES.append(Case(name, by_torch, named(**inputs), by_jax, **options))


def attend(q, k, v, mask=None, scale=None, causal=False):
    """By JAX's softmax, since its `dot_product_attention` has one of f32."""
    scores = q @ k.swapaxes(1, 2) * (q.shape[2] ** -0.5 if scale is None else scale)
    if causal:
        mask = jnp.tri(*scores.shape[1:], dtype=bool)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    return jax.nn.softmax(scores) @ v


ABSENT = torch.arange(5) >= torch.tensor([[5], [3]])
LATER = torch.arange(5) > torch.arange(5)[:, None]
OPERANDS = {"q": (2, 3, 4), "k": (2, 5, 4), "v": (2, 5, 3)}
SEEN = (torch.arange(5) + torch.arange(3)[:, None]) % 3 > 0
case("attention", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
     lambda q, k, v: attend(q, k, v, causal=True), OPERANDS)
case("attention_masked", lambda q, k, v: F.scaled_dot_product_attention(q, k, v, SEEN, scale=0.7),
     lambda q, k, v: attend(q, k, v, jnp.asarray(SEEN), 0.7), OPERANDS)
MASK = {"m": (3, 5)}
case("attention_added", lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m),
     lambda q, k, v, m: attend(q, k, v, m), OPERANDS | MASK)
case("attention_added_causal", lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m.masked_fill(LATER[:3], -torch.inf)),
     lambda q, k, v, m: attend(q, k, v, jnp.where(jnp.asarray(LATER[:3]), -jnp.inf, m)), OPERANDS | MASK)


def additive(linear, tanh, softmax):
    """Scores may be scaled and masked by what is added."""

    def function(q, k, v, of_queries, of_keys, of_scores, mask=0.0, scale=1.0):
        met = tanh(linear(q, of_queries)[:, :, None] + linear(k, of_keys)[:, None])
        return softmax(scale * (met @ of_scores) + mask) @ v

    return function


ADDITIVE = {
    "q": (2, 3, 4),
    "k": (2, 5, 3),
    "v": (2, 5, 2),
    "additive_attention0__query_weight": (6, 4),
    "additive_attention0__key_weight": (6, 3),
    "additive_attention0__score_weight": (6,),
}
by_torch = additive(F.linear, torch.tanh, lambda x: F.softmax(x, -1))
by_jax = additive(lambda x, w: x @ w.T, jnp.tanh, jax.nn.softmax)
case("additive_attention", by_torch, by_jax, ADDITIVE)
case("additive_attention_masked", lambda *x: by_torch(*x, scale=0.7), lambda *x: by_jax(*x, scale=0.7), ADDITIVE | MASK)


def heads(q, k, v, weights, biases, out, out_bias, count, seen=True, added=0.0):
    """What the heads attend to and by what weights, by JAX."""
    split = lambda x: x.reshape(*x.shape[:2], count, -1)
    q, k, v = (split(x @ w.T + b) for x, w, b in zip((q, k, v), weights, biases))
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(q.shape[-1])
    weights = jax.nn.softmax(jnp.where(seen, scores + added, -jnp.inf))
    y = jnp.einsum("bhqk,bkhd->bqhd", weights, v)
    return y.reshape(*y.shape[:2], -1) @ out.T + out_bias, weights


def halves(name, shape):
    """Small weights, so that second derivatives are not small differences of large terms, of which f32 has few digits."""
    return waves(sum(name.encode()) % 17, shape) / 2


ONE = {
    "x": (2, 5, 6),
    "attention0__in_proj_weight": halves("in_proj_weight", (18, 6)),
    "attention0__in_proj_bias": (18,),
    "attention0__out_proj__weight": (6, 6),
    "attention0__out_proj__bias": (6,),
}
SELF = torch.nn.MultiheadAttention(6, 3, batch_first=True)
CROSS = torch.nn.MultiheadAttention(4, 2, kdim=3, vdim=2, bias=False, batch_first=True)


def of_one(x, weight, bias, out, out_bias):
    parameters = {"in_proj_weight": weight, "in_proj_bias": bias, "out_proj.weight": out, "out_proj.bias": out_bias}
    masks = {"key_padding_mask": ABSENT, "attn_mask": LATER}
    return torch.func.functional_call(SELF, parameters, (x, x, x), masks)[0]


def of_one_by_jax(x, weight, bias, out, out_bias):
    seen = ~jnp.asarray(ABSENT)[:, None, None] & ~jnp.asarray(LATER)
    return heads(x, x, x, jnp.split(weight, 3), jnp.split(bias, 3), out, out_bias, 3, seen)[0]


def of_three(q, k, v, *weights):
    names = ["q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight"]
    options = {"average_attn_weights": False}
    y, weights = torch.func.functional_call(CROSS, dict(zip(names, weights)), (q, k, v), options)
    return torch.cat([y.flatten(), weights.flatten()])


def of_three_by_jax(q, k, v, *weights):
    y, weights = heads(q, k, v, weights[:3], (0, 0, 0), weights[3], 0, 2)
    return jnp.concatenate([y.ravel(), weights.ravel()])


def of_one_added(x, weight, bias, out, out_bias, m):
    """What is added to the scores of heads 0, 1, 2 of both examples."""
    parameters = {"in_proj_weight": weight, "in_proj_bias": bias, "out_proj.weight": out, "out_proj.bias": out_bias}
    absent = torch.zeros(2, 5).masked_fill(ABSENT, -torch.inf)
    masks = {"key_padding_mask": absent, "attn_mask": m.expand(2, 3, 5, 5).flatten(0, 1)}
    return torch.func.functional_call(SELF, parameters, (x, x, x), masks)[0]


def of_one_added_by_jax(x, weight, bias, out, out_bias, m):
    added = jnp.where(jnp.asarray(ABSENT)[:, None, None], -jnp.inf, m)
    return heads(x, x, x, jnp.split(weight, 3), jnp.split(bias, 3), out, out_bias, 3, added=added)[0]


case("multi_head_self", of_one, of_one_by_jax,
     ONE)
case("multi_head_added", of_one_added, of_one_added_by_jax, ONE | {"m": (3, 5, 5)})
case("multi_head_cross", of_three, of_three_by_jax,
     {"q": (2, 3, 4), "k": (2, 5, 3), "v": (2, 5, 2), "attention0__q_proj_weight": (4, 4),
      "attention0__k_proj_weight": (4, 3), "attention0__v_proj_weight": (4, 2), "attention0__out_proj__weight": (4, 4)})

GATES = {"rnn": 1, "lstm": 4, "gru": 3}


def step(kind, x, states, wi, wh, bi=0.0, bh=0.0, function=jnp.tanh):
    """The next states by PyTorch's documented equations, in JAX."""
    h, *cell = states
    of_x, of_h = (jnp.split(v, GATES[kind], -1) for v in (x @ wi.T + bi, h @ wh.T + bh))
    gates = [a + b for a, b in zip(of_x, of_h)]
    if kind == "rnn":
        return [function(gates[0])]
    if kind == "gru":
        r, z = map(jax.nn.sigmoid, gates[:2])
        n = jnp.tanh(of_x[2] + r * of_h[2])
        return [(1 - z) * n + z * h]
    i, f, o = (jax.nn.sigmoid(gates[k]) for k in (0, 1, 3))
    c = f * cell[0] + i * jnp.tanh(gates[2])
    return [o * jnp.tanh(c), c]


for kind, gates in GATES.items():
    weights = {"wi": (2 * gates, 3), "wh": (2 * gates, 2), "bi": (2 * gates,), "bh": (2 * gates,)}
    if kind == "lstm":
        case("lstm_cell", lambda x, h, c, *w: torch.cat(torch.lstm_cell(x, (h, c), *w), 1),
             lambda x, h, c, *w: jnp.concatenate(step("lstm", x, [h, c], *w), 1),
             {"x": (2, 3), "h": (2, 2), "c": (2, 2), **weights})
    else:
        cell = {"gru": torch.gru_cell, "rnn": torch.rnn_tanh_cell}[kind]
        case(f"{kind}_cell", lambda x, h, *w, cell=cell: cell(x, h, *w),
             lambda x, h, *w, kind=kind: step(kind, x, [h], *w)[0], {"x": (2, 3), "h": (2, 2), **weights})
    if kind == "rnn":
        case("rnn_cell_relu", lambda x, h, *w: torch.rnn_relu_cell(x, h, *w),
             lambda x, h, *w: step("rnn", x, [h], *w, function=jax.nn.relu)[0], {"x": (2, 3), "h": (2, 2), **weights})


def recurrent(name, layers=1, both=False, lengths=None, initial=False, bias=True, function="tanh", first=False):
    """Batches of 2, 4 steps of 3 numbers, 2 hidden ones, all results one behind the other. The batch may be the first axis."""
    kind = name.split("_")[0]
    inputs, hidden, sides, gates = 3, 2, 1 + both, GATES[kind]
    shapes = {"x": (2, 4, inputs) if first else (4, 2, inputs)}
    states = ["h", "c"] if kind == "lstm" else ["h"]
    if initial:
        shapes |= {state: (layers * sides, 2, hidden) for state in states}
    weights = {}
    for layer in range(layers):
        for side in range(sides):
            width = inputs if layer == 0 else hidden * sides
            own = {"weight_ih": (gates * hidden, width), "weight_hh": (gates * hidden, hidden)}
            if bias:
                own |= {"bias_ih": (gates * hidden,), "bias_hh": (gates * hidden,)}
            weights |= {f"{weight}_l{layer}{'_reverse' if side else ''}": shape for weight, shape in own.items()}
    # What is not bounded by a function's range is kept small by its weights.
    given = halves if function == "relu" else lambda _, shape: shape
    shapes |= {f"{kind}0__{weight}": given(weight, shape) for weight, shape in weights.items()}
    options = {"nonlinearity": function} if kind == "rnn" else {}
    module = getattr(torch.nn, kind.upper())(inputs, hidden, layers, bidirectional=both, bias=bias, batch_first=first, **options)

    def parted(operands):
        """The operand, the states to start from, the weights by name."""
        x, *rest = operands
        start = rest[: len(states)] if initial else []
        return x, start, dict(zip(weights, rest[len(start) :]))

    def by_torch(*operands):
        x, start, parameters = parted(operands)
        if lengths is not None:
            x = torch.nn.utils.rnn.pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=False)
        start = (tuple(start) if kind == "lstm" else start[0]) if initial else None
        y, last = torch.func.functional_call(module, parameters, (x, start))
        if lengths is not None:
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=4)
        return torch.cat([y.flatten()] + [s.flatten() for s in (last if kind == "lstm" else (last,))])

    def by_jax(*operands):
        x, start, parameters = parted(operands)
        x = x.swapaxes(0, 1) if first else x
        present = jnp.arange(4)[:, None, None] < jnp.asarray(lengths or [4, 4])[:, None]
        last = []
        for layer in range(layers):
            given = []
            for side in range(sides):
                suffix = f"_l{layer}{'_reverse' if side else ''}"
                own = [w for n, w in parameters.items() if n.endswith(suffix)]
                at = layer * sides + side
                begin = [s[at] for s in start] or [jnp.zeros((2, hidden)) for _ in states]

                def run(now, slices):
                    x, here = slices
                    then = step(kind, x, now, *own, function=getattr(jax.nn, function))
                    return [jnp.where(here, a, b) for a, b in zip(then, now)], jnp.where(here, then[0], 0.0)

                end, y = lax.scan(run, begin, (x, present), reverse=side == 1)
                given.append(y)
                last.append(end)
            x = jnp.concatenate(given, -1)
        x = x.swapaxes(0, 1) if first else x
        return jnp.concatenate([x.ravel()] + [jnp.stack(s).ravel() for s in zip(*last)])

    case(name, by_torch, by_jax, shapes)


recurrent("rnn")
recurrent("rnn_relu", 2, True, initial=True, function="relu")
recurrent("lstm")
recurrent("lstm_deep", 2, True, initial=True)
recurrent("lstm_lengths", 2, True, lengths=[2, 4], initial=True)
recurrent("lstm_plain", bias=False)
recurrent("gru", initial=True)
recurrent("gru_deep", 2, True, lengths=[3, 1])
recurrent("gru_plain", both=True, bias=False)
recurrent("gru_batch_first", both=True, first=True)
