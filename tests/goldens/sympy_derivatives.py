"""Writes derivatives.txt: 40 derivatives, the fewest operations with which SymPy 1.14.0 writes each, and their values.

SymPy differentiates; then each of `WAYS` is tried, `simplify` among them, each as it is and after `cse` with and without
its optimisations, and the shortest is kept. How operations are counted is said at `Counter`, which is how
crates/optimize/src/operations.rs counts ours. SymPy lacks sigmoid and softplus: it is given both their definitions and
functions that know their derivative. They count in two ways, for SymPy as for us: as their definitions (elementary), and as
one function each.

Run: pip install sympy==1.14.0 mpmath==1.3.0 && python sympy_derivatives.py
"""

import re
import sys

import mpmath
import sympy as sp

assert sp.__version__ == "1.14.0"

# By topic: formula, variable.
ACTIVATIONS = """
sigmoid(x) ; x
tanh(x) ; x
softplus(x) ; x
x*sigmoid(x) ; x
x*sigmoid(b*x) ; b
x*tanh(softplus(x)) ; x
x*(1 + erf(x/sqrt(2)))/2 ; x
x*(1 + tanh(0.8*(x + 0.045*x^3)))/2 ; x
x/(1 + abs(x)) ; x
relu(x)^2 ; x
max(x, 0.01*x) ; x
max(x, 0) + min(exp(x) - 1, 0) ; x
log(sigmoid(x)) ; x
x - tanh(x) ; x
exp(-x^2) ; x
"""
COMPOSITIONS = """
sigmoid(w*x + b)^2 ; w
tanh(w*x + b) ; w
v*tanh(w*x + b) + c ; w
sigmoid(v*tanh(w*x)) ; w
exp(sin(x)^2) ; x
sqrt(1 + x^2) ; x
x/sqrt(x^2 + s) ; x
(x - m)/sqrt(s + 0.001) ; s
(a*x + b)/(c*x + d) ; x
x^3*exp(-x) ; x
sin(x)*cos(x) ; x
log(x + sqrt(x^2 + 1)) ; x
exp(x)/(exp(x) + exp(y)) ; x
atan(y/x) ; x
s^n*exp(-n*s) ; s
"""
LOSSES = """
(sigmoid(w*x + b) - y)^2/2 ; w
-(y*log(sigmoid(z)) + (1 - y)*log(1 - sigmoid(z))) ; z
-(y*log(p) + (1 - y)*log(1 - p)) ; p
log(1 + exp(-y*z)) ; z
max(0, 1 - y*z) ; z
log(cosh(x - y)) ; x
s^2*(sqrt(1 + ((x - y)/s)^2) - 1) ; x
log(exp(x) + exp(y) + exp(z)) - x ; x
log(s) + (x - m)^2/(2*s^2) ; s
-(1 - sigmoid(z))^2*log(sigmoid(z)) ; z
"""
POSITIVE, PROBABILITIES, POINTS = {"s", "n"}, {"p"}, 4


def symbol(name):
    positive = name in POSITIVE | PROBABILITIES
    return sp.Symbol(name, positive=True) if positive else sp.Symbol(name, real=True)


class sigmoid(sp.Function):
    def fdiff(self, _=1):
        return self * (1 - self)

    def define(self):
        return 1 / (1 + sp.exp(-self.args[0]))


class softplus(sp.Function):
    def fdiff(self, _=1):
        return sigmoid(self.args[0])

    def define(self):
        return sp.log(1 + sp.exp(self.args[0]))


def define(expr):
    """The expression with composites as their definitions."""
    while found := expr.atoms(sigmoid, softplus):
        expr = expr.xreplace({f: f.define() for f in found})
    return expr


def parse(text):
    names = set(re.findall(r"[a-z]+", text))
    functions = {"sigmoid": sigmoid, "softplus": softplus, "max": sp.Max, "min": sp.Min, "abs": sp.Abs,
                 "relu": lambda x: sp.Max(x, 0)}
    functions |= {f: getattr(sp, f) for f in ["exp", "log", "tanh", "cosh", "erf", "sqrt", "sin", "cos", "atan"]}
    scope = functions | {n: symbol(n) for n in names if n not in functions}
    text = re.sub(r"\d+\.\d+", lambda m: f"Rational('{m[0]}')", text.replace("^", "**"))
    return eval(re.sub(r"(?<![\w.'])(\d+)(?![\w.'])", r"Integer(\1)", text),
                {"Integer": sp.Integer, "Rational": sp.Rational}, scope)


class Counter:
    """Operations of expressions that share what is equal.

    One each: +, −, ·, /, a change of sign, a power, a function. A square root and a reciprocal are powers: 1/x² is two
    operations, 1/x one. What contains no variable is a constant and costs nothing, nor does a constant's sign. A
    comparison is one, a choice between two values one. Given `turned`, e^(−x) is taken as 1/e^x, which saves the change of
    sign in a product.
    """

    def __init__(self, turned):
        self.turned, self.seen = turned, set()

    def once(self, key, cost, *operands):
        if key in self.seen:
            return 0
        self.seen.add(key)
        return cost + sum(self.visit(o) for o in operands)

    def power(self, base, exponent):
        """A power that is no division."""
        if exponent == 1:
            return self.visit(base)
        return self.once(sp.Pow(base, exponent, evaluate=False), 1, base, exponent)

    def split(self, factor):
        """Base, exponent, and whether it is divided by."""
        if isinstance(factor, sp.exp):
            if self.turned and factor.args[0].could_extract_minus_sign():
                return sp.exp(-factor.args[0]), sp.S.One, True
            return factor, sp.S.One, False
        base, exponent = factor.as_base_exp()
        if exponent.is_number and exponent.is_negative:
            return base, -exponent, True
        return base, exponent, False

    def product(self, expr):
        number, parts = sp.S.One, []
        for f in sp.Mul.make_args(expr):
            number, parts = (number * f, parts) if f.is_number else (number, [*parts, self.split(f)])
        above = [p for p in parts if not p[2]]
        below = [p for p in parts if p[2]]
        factors = len(above) + (number not in (1, -1))
        cost = max(factors - 1, 0) + len(below)
        if number == -1 and above:
            cost += 1
        return self.once(expr, cost) + sum(self.power(b, e) for b, e, _ in parts)

    def total(self, expr):
        terms = sp.Add.make_args(expr)
        number = sum(t for t in terms if t.is_number)
        terms = [t for t in terms if not t.is_number]
        signs = [t.as_coeff_Mul()[0] for t in terms]
        # A sum starts with a term that needs no change of sign, if there is one.
        cost = len(terms) - 1 + (number != 0) + (number == 0 and all(s == -1 for s in signs))
        return self.once(expr, cost) + sum(self.visit(-t if s < 0 else t) for s, t in zip(signs, terms))

    def visit(self, expr):
        if expr in self.seen or expr.is_number or expr.is_Symbol or expr in (sp.true, sp.false):
            return 0
        if expr.is_Add:
            return self.total(expr)
        if expr.is_Mul:
            return self.product(expr)
        if expr.is_Pow or isinstance(expr, sp.exp):
            base, exponent, below = self.split(expr)
            if below:
                return self.once(expr, 1) + self.power(base, exponent)
            if isinstance(expr, sp.exp):
                return self.once(expr, 1, *expr.args)
            return self.power(base, exponent)
        if isinstance(expr, (sp.Max, sp.Min)):
            return self.once(expr, len(expr.args) - 1, *expr.args)
        if isinstance(expr, sp.Piecewise):
            parts = [p for pair in expr.args for p in pair]
            return self.once(expr, len(expr.args) - 1, *parts)
        if isinstance(expr, (sp.And, sp.Or)):
            return self.once(expr, len(expr.args) - 1, *expr.args)
        if isinstance(expr, (sp.core.relational.Relational, sp.Function, sp.Not)):
            return self.once(expr, 1, *expr.args)
        raise ValueError(f"{expr.func}")


def count(exprs):
    """With the better of the two ways to take e^(−x)."""
    def of(turned):
        counter = Counter(turned)
        return sum(counter.visit(e) for e in exprs)

    return min(of(False), of(True))


WAYS = {
    "diff": lambda e: e,
    "simplify": sp.simplify,
    "factor": sp.factor,
    "together": sp.together,
    "cancel": sp.cancel,
    "expand": sp.expand,
    "trigsimp": sp.trigsimp,
    "powsimp": sp.powsimp,
    "radsimp": sp.radsimp,
    "logcombine": lambda e: sp.logcombine(e, force=True),
    "factor simplify": lambda e: sp.factor(sp.simplify(e)),
    "factor_terms simplify": lambda e: sp.factor_terms(sp.simplify(e)),
    "simplify expand": lambda e: sp.simplify(sp.expand(e)),
    "simplify factor": lambda e: sp.simplify(sp.factor(e)),
    "together simplify": lambda e: sp.together(sp.simplify(e)),
    "horner": lambda e: sp.horner(e) if e.is_polynomial() else e,
    "simplify rewrite exp": lambda e: sp.simplify(e.rewrite(sp.exp)),
    "simplify rewrite tanh": lambda e: sp.simplify(e.rewrite(sp.tanh)),
    "simplify rewrite Piecewise": lambda e: sp.simplify(e.rewrite(sp.Piecewise)),
}
CSE = {
    "": lambda e: [e],
    " cse": lambda e: flat(sp.cse(e)),
    " cse basic": lambda e: flat(sp.cse(e, optimizations="basic")),
}


def flat(found):
    replaced, reduced = found
    return [e for _, e in replaced] + list(reduced)


def shortest(formula, variable, elementary):
    best = None
    starts = {"": sp.diff(define(formula), variable)}
    if formula.atoms(sigmoid, softplus):
        starts |= {"of functions ": sp.diff(formula, variable)}
    for start, derivative in starts.items():
        for way, change in WAYS.items():
            found = change(derivative)
            if elementary:
                found = define(found)
            if found.has(sp.nan, sp.zoo, sp.Derivative, sp.I):
                continue
            for name, share in CSE.items():
                operations = count(share(found))
                if best is None or operations < best[0]:
                    best = operations, f"{start}{way}{name}", found
    return best


def point(name, place, variable):
    """Numbers between −2 and 2, in no obvious order; positive, or below 1, where the name says so."""
    unit = ((place * 7919 + ord(name) * 104729 + (31 if name == variable else 0)) % 1009 + 1) / 1010
    if name in PROBABILITIES:
        return round(0.05 + 0.9 * unit, 3)
    return round(0.2 + 2 * unit if name in POSITIVE else 4 * unit - 2, 3)


def main():
    lines = [f"// Written by sympy_derivatives.py with SymPy {sp.__version__}: formula ; variable ; fewest elementary",
             "// operations ; fewest with sigmoid and softplus as one each ; how SymPy finds the former ; its derivative. Below",
             "// each, points ; the derivative there."]
    text = {"activations": ACTIVATIONS, "compositions": COMPOSITIONS, "losses": LOSSES}
    for topic, rows in text.items():
        lines += ["", f"// {topic}"]
        for row in rows.strip().splitlines():
            written, name = row.split(" ; ")
            formula, variable = parse(written), symbol(name)
            operations, how, found = shortest(formula, variable, True)
            composite = formula.atoms(sigmoid, softplus)
            fewest = shortest(formula, variable, False)[0] if composite else operations
            print(f"{operations:3} {fewest:3} {written:45} {name}: {how}: {found}", file=sys.stderr, flush=True)
            lines.append(f"{row} ; {operations} ; {fewest} ; {how} ; {found}")
            exact = sp.diff(define(formula), variable)
            for place in range(POINTS):
                at = {v: point(v.name, place, name) for v in sorted(formula.free_symbols, key=str)}
                value = sp.N(exact.subs({v: sp.Rational(str(x)) for v, x in at.items()}), 30)
                with mpmath.workdps(30):
                    value = float(mpmath.mpf(str(value)))
                    other = float(sp.lambdify(list(at), found, "mpmath")(*[mpmath.mpf(str(x)) for x in at.values()]))
                assert abs(value - other) <= 1e-14 * abs(value), (written, at, value, other)
                lines.append(f"  {' '.join(f'{v}={x}' for v, x in at.items())} ; {value!r}")
    with open("derivatives.txt", "w") as file:
        file.write("\n".join(lines) + "\n")


main()
