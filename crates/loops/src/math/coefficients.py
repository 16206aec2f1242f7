#!/usr/bin/env python3
"""Near-minimax polynomials of the elementary functions: weighted least squares on Chebyshev nodes, iterated (Lawson) to
level the error. With `single`, coefficients are rounded to f32 one by one, lowest order first, and the rest refitted.
Needs mpmath. Prints Rust arrays, lowest order first, with the largest relative error of the function."""
import struct
from mpmath import asin, atan, cos, cosh, exp, expm1, floor, log, log1p, lu_solve, matrix, mp, mpf, pi, sin, sinh, sqrt, tanh

mp.prec = 300


def f32(v):
    return mpf(struct.unpack("f", struct.pack("f", float(v)))[0])


def solve(points, target, weight, powers):
    n = len(powers)
    a, b = matrix(n, n), matrix(n, 1)
    for x, t, w in zip(points, target, weight):
        row = [x**p for p in powers]
        for i in range(n):
            b[i] += w * row[i] * t
            for j in range(i + 1):
                a[i, j] += w * row[i] * row[j]
    for i in range(n):
        for j in range(i):
            a[j, i] = a[i, j]
    return list(lu_solve(a, b))


def fit(name, f, relative_to, lo, hi, degree, single=False):
    """f ≈ Σ c_i x^i on [lo, hi]; the error is weighed by 1 / relative_to(x)."""
    lo, hi = mpf(lo), mpf(hi)
    count = 6 * (degree + 2)
    points = [(lo + hi) / 2 + (hi - lo) / 2 * cos(pi * (2 * k + 1) / (2 * count)) for k in range(count)]
    values = [f(x) for x in points]
    scale = [1 / relative_to(x) for x in points]
    fixed = []
    while True:
        powers = list(range(len(fixed), degree + 1))
        rest = [v - sum(c * x**i for i, c in enumerate(fixed)) for x, v in zip(points, values)]
        lawson = [mpf(1)] * count
        for _ in range(12):
            weight = [l * s * s for l, s in zip(lawson, scale)]
            solved = solve(points, rest, weight, powers) if powers else []
            error = [abs(r - sum(c * x**p for c, p in zip(solved, powers))) * s for x, r, s in zip(points, rest, scale)]
            top = max(error)
            lawson = [l * (e / top + mpf("1e-3")) for l, e in zip(lawson, error)]
        if not single or not powers:
            break
        fixed.append(f32(solved[0]))
    coefficients = fixed if single else [mpf(float(c)) for c in solved]
    print(f"// {name}: {mp.nstr(top, 3)}")
    print("[" + ", ".join(repr(float(c)) if not single else mp.nstr(c, 9) for c in coefficients) + "]")


def removable(f, series):
    """f, or its limit series near 0 where it cancels."""
    return lambda x: series(x) if abs(x) < mpf("1e-25") else f(x)


LN2 = log(mpf(2))
tail = removable(lambda r: (expm1(r) - r) / r**2, lambda r: mpf(1) / 2 + r / 6)
log_tail = removable(lambda f: (log1p(f) - f + f * f / 2) / f**3, lambda f: mpf(1) / 3 - f / 4)


def main():
    one = lambda x: mpf(1)
    small = mpf("1e-20")
    for single in (True, False):
        print("// exp.rs, f32:" if single else "// f64:")
        fit("(e^r - 1 - r)/r^2, |r| <= ln2", tail, lambda r: exp(r) / max(r * r, mpf("1e-9")), -LN2 * 1.0001, LN2 * 1.0001, 5 if single else 11, single)
        fit("(e^r - 1 - r)/r^2, |r| <= ln2/2", tail, lambda r: 1 / max(abs(r), mpf("1e-3")), -LN2 / 2 * 1.001, LN2 / 2 * 1.001, 4 if single else 9, single)
        if single:
            fit("(e^r - 1 - r)/r^2, |r| <= ln2/2, for sigmoid", tail, lambda r: 1 / max(abs(r), mpf("1e-3")), -LN2 / 2 * 1.001, LN2 / 2 * 1.001, 5, single)
            fit("(log(1+z) - z)/z^2, 0 <= z <= 1", lambda z: (log1p(z) - z) / z**2, lambda z: log1p(z) / z**2, mpf("1e-9"), 1, 8, single)
        print("// log.rs")
        fit("(log(1+f) - f + f^2/2)/f^3", log_tail, lambda f: 1 / max(f * f, mpf("1e-4")), sqrt(mpf(1) / 2) - 1, sqrt(mpf(2)) - 1, 6 if single else 18, single)
        print("// hyperbolic.rs")
        fit("(tanh(x)/x - 1)/x^2, |x| <= 0.6, of x^2", lambda t: (tanh(sqrt(t)) / sqrt(t) - 1) / t, lambda t: 1 / t, mpf("1e-9"), mpf("0.361"), 4 if single else 10, single)
    h = (LN2 / 2 * mpf("1.001"))**2
    for degree in (3, 6):
        fit("sinh(r)/r, of r^2", lambda t: sinh(sqrt(t)) / sqrt(t), one, small, h, degree)
        fit("(cosh(r) - 1)/r^2, of r^2", lambda t: (cosh(sqrt(t)) - 1) / t, one, small, h, degree)
    print("// trig.rs, pieces of 2/pi")
    pieces, rest = [], 2 / pi
    for i in range(1, 8):
        pieces.append(floor(rest * mpf(2)**(28 * i)) / mpf(2)**(28 * i))
        rest -= pieces[-1]
    print([float(p) for p in pieces])
    print("// trig.rs, of s^2")
    h = mpf(1) / 4 * mpf("1.0001")
    fit("sin(pi/2 s)/s", lambda t: sin(pi / 2 * sqrt(t)) / sqrt(t), one, small, h, 4)
    fit("cos(pi/2 s)", lambda t: cos(pi / 2 * sqrt(t)), one, small, h, 4)
    print("// arc.rs, of x^2")
    fit("atan(x)/x, x <= 1", lambda t: atan(sqrt(t)) / sqrt(t), one, small, 1, 10)
    fit("asin(x)/x, x <= 1/2", lambda t: asin(sqrt(t)) / sqrt(t), one, small, mpf("0.2501"), 7)
    print("// pow.rs")
    h = ((sqrt(mpf(2)) - 1) / (sqrt(mpf(2)) + 1))**2 * mpf("1.001")
    fit("log2((1+s)/(1-s))/s, of s^2", lambda t: log((1 + sqrt(t)) / (1 - sqrt(t))) / sqrt(t) / LN2, one, small, h, 5)
    fit("2^r, |r| <= 1.001", lambda r: 2**r, lambda r: 2**r, mpf("-1.001"), mpf("1.001"), 8)


main()
