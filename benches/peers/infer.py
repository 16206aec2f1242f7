"""W9 (inference, batch 1): python infer.py torch-eager|torch-eager-nhwc|torch-compile|jax-jit|onnxruntime"""
import os
import sys
import tempfile

import bench
import numpy as np

peer = sys.argv[1]
INPUTS = {"W9-lenet": (1, 1, 28, 28), "W9-resnet50": (1, 3, 224, 224)}


def torch_steps():
    import torch
    import torch_models
    torch.set_num_threads(bench.THREADS)
    torch.set_grad_enabled(False)
    for name, build in (("W9-lenet", torch_models.lenet_model), ("W9-resnet50", torch_models.resnet50_model)):
        model, x = build().eval(), torch.randn(INPUTS[name])
        if peer.endswith("nhwc"):
            model, x = model.to(memory_format=torch.channels_last), x.to(memory_format=torch.channels_last)
        if peer == "torch-compile":
            torch._inductor.config.freezing = True  # folds batch norm, packs the weights
            model = torch.compile(model)
        yield name, lambda: model(x)


def jax_steps():
    import jax
    import jax_models
    from jax import lax

    def frozen_norm(p, x):  # eval mode: mean 0, variance 1
        return x * (p["g"] * lax.rsqrt(1 + 1e-5)) + p["b"]

    net, forward = jax_models.resnet_parts(7, [3, 4, 6, 3], True, 1000)
    for name, params, fn in (("W9-lenet", *jax_models.lenet_parts()),
                             ("W9-resnet50", net, lambda p, x: forward(p, x, frozen_norm))):
        n, c, h, w = INPUTS[name]
        x, jitted = jax_models.normal(n, h, w, c), jax.jit(fn)
        yield name, lambda: jitted(params, x).block_until_ready()


def onnx_graph(name):
    """The same networks as ONNX, batch norm already folded into the convolutions (as an exporter does)."""
    from onnx import TensorProto, helper, numpy_helper
    rng, nodes, weights = np.random.default_rng(0), [], []

    def node(op, *inputs, **attributes):
        nodes.append(helper.make_node(op, list(inputs), [f"t{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def weight(*shape):
        w = rng.standard_normal(shape, dtype=np.float32) / np.sqrt(np.prod(shape[1:]) or 1)
        weights.append(numpy_helper.from_array(w.astype(np.float32), f"w{len(weights)}"))
        return weights[-1].name

    def conv(x, i, o, k, s=1, p=0):
        return node("Conv", x, weight(o, i, k, k), weight(o), strides=[s, s], pads=[p] * 4, kernel_shape=[k, k])

    def dense(x, i, o):
        return node("Gemm", x, weight(o, i), weight(o), transB=1)

    def pool(x, k, s, p=0):
        return node("MaxPool", x, kernel_shape=[k, k], strides=[s, s], pads=[p] * 4)

    if name == "W9-lenet":
        x = node("Relu", pool(conv("x", 1, 6, 5, 1, 2), 2, 2))
        x = node("Flatten", node("Relu", pool(conv(x, 6, 16, 5), 2, 2)))
        x = dense(node("Relu", dense(node("Relu", dense(x, 400, 120)), 120, 84)), 84, 10)
    else:
        x, cin = pool(node("Relu", conv("x", 3, 64, 7, 2, 3)), 3, 2, 1), 64
        for stage, depth in enumerate((3, 4, 6, 3)):
            for i in range(depth):
                w, s = 64 << stage, 2 if stage and i == 0 else 1
                h = node("Relu", conv(node("Relu", conv(x, cin, w, 1)), w, w, 3, s, 1))
                skip = conv(x, cin, 4 * w, 1, s) if s != 1 or cin != 4 * w else x
                x, cin = node("Relu", node("Add", conv(h, w, 4 * w, 1), skip)), 4 * w
        x = dense(node("Flatten", node("GlobalAveragePool", x)), cin, 1000)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, name, [info("x", TensorProto.FLOAT, INPUTS[name])],
                              [info(x, TensorProto.FLOAT, None)], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def onnx_steps():
    import onnxruntime as ort
    options = ort.SessionOptions()
    options.intra_op_num_threads = bench.THREADS
    for name, shape in INPUTS.items():
        session = ort.InferenceSession(onnx_graph(name), options, providers=["CPUExecutionProvider"])
        x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
        yield name, lambda: session.run(None, {"x": x})


with tempfile.TemporaryDirectory() as cache:
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
    steps = torch_steps if peer.startswith("torch") else jax_steps if peer == "jax-jit" else onnx_steps
    for name, step in steps():
        bench.emit_us(peer, name, step)
