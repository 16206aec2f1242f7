#!/usr/bin/env python3
"""Writes golden_f64.csv: function, arguments and value of f64 functions as hexadecimal bits; values rounded to nearest.
Needs mpmath."""
import random
import struct
from mpmath import mp, mpf, acos, asin, atan, atan2, cos, cosh, erf, exp, expm1, log, log1p, power, sin, sinh, sqrt, tan, tanh

mp.prec = 2400  # The bits of 2/π that the largest f64 needs, and enough behind.
rng = random.Random(2)


def bits(v):
    return struct.pack(">d", v).hex()


def spread(lo, hi, signs=(1, -1), count=40):
    """Values spread evenly by exponent from 2^lo to 2^hi."""
    return [rng.choice(signs) * 2.0 ** rng.uniform(lo, hi) for _ in range(count)]


def rounded(v):
    """To nearest f64, denormals included (mpmath's float rounds them twice at worst, which is far below a unit)."""
    return float(v)


above, both = (1,), (1, -1)
small = spread(-60, -5, both, 10)
unary = {
    "exp": (exp, small + spread(-6, 9.47) + [709.7827, -708.3, -708.5, -730.0, -745.1]),
    "expm1": (expm1, small + spread(-6, 9.47) + [0.3465, 0.3467, -0.3465, -0.3467, 1.04, -1.04]),
    "log": (log, spread(-1070, 1020, above) + spread(-2, 2, above) + [5e-324, 0.7071, 0.70711, 1.4142, 1.41422]),
    "log1p": (log1p, small + spread(-5, 1020, above) + spread(-6, -0.01, (-1,), 20) + [-0.2929, -0.29288, 0.4142, 0.41422]),
    "sin": (sin, small + spread(-6, 1023)),
    "cos": (cos, small + spread(-6, 1023)),
    "tan": (tan, small + spread(-6, 1023)),
    "asin": (asin, small + spread(-5, 0)),
    "acos": (acos, small + spread(-5, 0)),
    "atan": (atan, small + spread(-5, 60)),
    "sinh": (sinh, small + spread(-5, 9.47) + [709.9, -710.4]),
    "cosh": (cosh, small + spread(-5, 9.47) + [709.9, -710.4]),
    "tanh": (tanh, small + spread(-5, 5)),
    "sigmoid": (lambda x: 1 / (1 + exp(-x)), small + spread(-5, 9.47)),
    "softplus": (lambda x: log1p(exp(x)), small + spread(-5, 9.47)),
    "erf": (erf, small + spread(-5, 3)),
    "rsqrt": (lambda x: 1 / sqrt(x), spread(-1070, 1023, above)),
}
binary = {
    "pow": (power, [(x, y) for x, y in zip(spread(-20, 20, above), spread(-6, 5))] + [(-3.0, 5.0), (-7.0, -2.0), (2.0, -1074.0), (1.0000001, 1e9)]),
    "atan2": (atan2, list(zip(spread(-20, 20), spread(-20, 20)))),
}

with open("golden_f64.csv", "w") as out:
    for name, (f, points) in unary.items():
        for x in points:
            out.write(f"{name},{bits(x)},,{bits(rounded(f(mpf(x))))}\n")
    for name, (f, points) in binary.items():
        for x, y in points:
            out.write(f"{name},{bits(x)},{bits(y)},{bits(rounded(f(mpf(x), mpf(y))))}\n")
