"""A case, and the numbers that cases are made of."""

from dataclasses import dataclass
from typing import Callable

import numpy as np

NAMES = {"float32": "f32", "float64": "f64", "int32": "i32", "int64": "i64", "bool": "bool"}


def waves(start, shape):
    """sin(0.37·i + start) as f32 gives it, in f64."""
    n = int(np.prod(shape, dtype=int))
    return np.sin(0.37 * np.arange(n) + start).astype(np.float32).astype(np.float64).reshape(shape)


def W(shape, dtype=np.float64):
    """The weights of the value's elements."""
    return np.sin(0.7 * np.arange(int(np.prod(shape, dtype=int))) + 0.3).reshape(shape).astype(dtype)


def V(j, shape, dtype=np.float64):
    """The weights of the elements of the gradient by the j-th input, by name."""
    return np.cos(1.3 * np.arange(int(np.prod(shape, dtype=int))) + j).reshape(shape).astype(dtype)


def named(**shapes):
    """Inputs by name: waves that start elsewhere for each, or the given tensors. "__" stands for "/"."""
    inputs = {}
    for name, shape in shapes.items():
        name = name.replace("__", "/")
        inputs[name] = waves(sum(name.encode()) % 17, shape) if isinstance(shape, tuple) else np.asarray(shape)
    return inputs


def ty(array):
    return f"{NAMES[str(array.dtype)]}[{','.join(map(str, array.shape))}]"


@dataclass
class Case:
    """A function of named inputs, in order. An operator has its node's text too, of operands that are the inputs, and
    bodies before it. There are no derivatives by `fixed` inputs. `jax_orders` derivatives are compared with JAX's; not where
    they are `apart`, by the first input, which must differ there. `alone` says why a case is not compared with JAX."""

    name: str
    torch: Callable
    inputs: dict
    jax: Callable | None = None
    operator: str | None = None
    bodies: str = ""
    dtype: type = np.float64
    fixed: tuple = ()
    jax_orders: int = 2
    apart: Callable | None = None
    alone: str = ""

    def graph(self, y):
        nodes = [f'  %{i} = input {{name="{n}"}} : {ty(x)}' for i, (n, x) in enumerate(self.inputs.items())]
        last = len(nodes)
        operands = ", ".join(f"%{i}" for i in range(last))
        word, _, attributes = self.operator.partition(" ")
        node = " ".join(filter(None, [word, operands, attributes]))
        nodes.append(f"  %{last} = {node} : {ty(np.asarray(y))}")
        lines = [f"// {self.name}", "graph {", *self.bodies.splitlines(), *nodes, f'  output "y" = %{last}', "}"]
        return "\n".join(lines) + "\n"
