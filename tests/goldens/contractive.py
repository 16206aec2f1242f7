"""Writes contractive.npz: loss, penalty and gradients of a contractive autoencoder, by JAX 0.10.2 in float64.

The penalty is the mean over examples of the squared norm of each one's Jacobian of the code by the image, and its
gradient a derivative of a derivative. Images and parameters are the formula below, which the test repeats.

Run: pip install jax==0.10.2 numpy==2.4.6 && python contractive.py
"""

import jax
import jax.numpy as jnp
import numpy as np

jax.config.update("jax_enable_x64", True)
assert jax.__version__ == "0.10.2"

EXAMPLES, PIXELS, CODE, WEIGHT = 8, 784, 256, 0.1


def formula(which, shape, low, high):
    """Integers from 0 to 1008, in no obvious order, mapped to an interval."""
    i = np.arange(np.prod(shape), dtype=np.int64)
    unit = (i * (7919 + 2 * which) + 104729 * which + i // 1009 * 31) % 1009 / 1009
    return (low + (high - low) * unit).reshape(shape)


x = formula(0, (EXAMPLES, PIXELS), 0.0, 1.0)
parameters = {
    "encoder": formula(1, (PIXELS, CODE), -0.1, 0.1),
    "encoder_bias": formula(2, (CODE,), -0.1, 0.1),
    "decoder": formula(3, (CODE, PIXELS), -0.1, 0.1),
    "decoder_bias": formula(4, (PIXELS,), -0.1, 0.1),
}


def code(p, image):
    return jax.nn.sigmoid(image @ p["encoder"] + p["encoder_bias"])


def penalty(p):
    jacobians = jax.vmap(jax.jacrev(code, argnums=1), in_axes=(None, 0))(p, x)
    return jnp.sum(jacobians**2) / EXAMPLES


def loss(p):
    y = jax.nn.sigmoid(code(p, x) @ p["decoder"] + p["decoder_bias"])
    return jnp.mean((x - y) ** 2) + WEIGHT * penalty(p)


values, gradients = jax.value_and_grad(loss)(parameters)
golden = {"loss": np.float64(values), "penalty": np.float64(penalty(parameters))}
for name, gradient in gradients.items():
    flat = np.asarray(gradient).reshape(-1)
    golden[f"{name}_norm"] = np.sqrt(np.sum(flat**2))
    golden[f"{name}_largest"] = np.max(np.abs(flat))
    golden[f"{name}_sample"] = flat[:: max(1, flat.size // 97)][:97].copy()
np.savez("contractive.npz", **golden)
print({k: float(v) for k, v in golden.items() if np.ndim(v) == 0})
