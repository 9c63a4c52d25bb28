"""Writes reference.txt: what the f64 functions should return (mpmath).

A line with a name starts a function; each later line holds its arguments and
the rounded result, as hexadecimal bits.

    python3 reference.py [points per function] > reference.txt
"""
import random
import struct
import sys
import mpmath as m
from mpmath import mp, mpf

mp.dps = 60
random.seed(7)
COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 150


def uniform(lo, hi):
    return lambda: random.uniform(lo, hi)


def spread(lo, hi, sign=False):
    """Evenly over the exponents."""
    a, b = m.log(lo, 2), m.log(hi, 2)
    return lambda: float(2 ** random.uniform(float(a), float(b))) * (random.choice((-1, 1)) if sign else 1)


def near(c, width):
    return lambda: c + random.choice((-1, 1)) * float(2 ** random.uniform(-40, 0)) * width


def order():
    return float(random.choice([1, 1, 2, 2, 3, 4, 5, 7, 10, 15, 20, 30]))


def lgamma(x):
    return m.log(abs(m.gamma(x)))


def softplus(x):
    return m.log1p(m.exp(x))


def sigmoid(x):
    return 1 / (1 + m.exp(-x))


def polygamma(n, x):
    return m.polygamma(int(n), x)


FUNCTIONS = [
    ("exp", m.exp, [uniform(-1, 1), uniform(-745, 709.5), spread(1e-17, 1, True)]),
    ("exp2", lambda x: mpf(2) ** x, [uniform(-1, 1), uniform(-1074, 1023.9), spread(1e-17, 1, True)]),
    ("expm1", m.expm1, [uniform(-1.5, 1.5), uniform(-40, 709.5), spread(1e-18, 1, True)]),
    ("ln", m.log, [uniform(0.5, 2), spread(5e-324, 1.7e308), near(1, 0.5)]),
    ("log2", lambda x: m.log(x, 2), [uniform(0.5, 2), spread(5e-324, 1.7e308), near(1, 0.5)]),
    ("log10", m.log10, [uniform(0.5, 2), spread(5e-324, 1.7e308), near(1, 0.5)]),
    ("log1p", m.log1p, [uniform(-0.999, 2), spread(1e-18, 1.7e308), near(0, 0.9)]),
    ("sin", m.sin, [uniform(-10, 10), spread(1e-9, 1e9, True), uniform(-1e9, 1e9)]),
    ("cos", m.cos, [uniform(-10, 10), spread(1e-9, 1e9, True), uniform(-1e9, 1e9)]),
    ("tan", m.tan, [uniform(-10, 10), spread(1e-9, 1e9, True), uniform(-1e9, 1e9)]),
    ("asin", m.asin, [uniform(-1, 1), spread(1e-18, 1, True), lambda: 1 - abs(near(0, 0.5)())]),
    ("acos", m.acos, [uniform(-1, 1), spread(1e-18, 1, True), lambda: 1 - abs(near(0, 0.5)())]),
    ("atan", m.atan, [uniform(-3, 3), spread(1e-18, 1e18, True)]),
    ("sinh", m.sinh, [uniform(-3, 3), uniform(-710, 710), spread(1e-18, 1, True)]),
    ("cosh", m.cosh, [uniform(-3, 3), uniform(-710, 710), spread(1e-18, 1, True)]),
    ("tanh", m.tanh, [uniform(-1, 1), uniform(-20, 20), spread(1e-18, 1, True)]),
    ("asinh", m.asinh, [uniform(-3, 3), spread(1e-18, 1e308, True)]),
    ("acosh", m.acosh, [uniform(1, 5), spread(1, 1e308), lambda: 1 + abs(near(0, 0.5)())]),
    ("atanh", m.atanh, [uniform(-1, 1), spread(1e-18, 1, True), lambda: 1 - abs(near(0, 0.5)())]),
    ("sigmoid", sigmoid, [uniform(-5, 5), uniform(-745, 40), spread(1e-18, 1, True)]),
    ("softplus", softplus, [uniform(-5, 5), uniform(-745, 60), spread(1e-18, 1, True)]),
    ("erf", m.erf, [uniform(-2, 2), uniform(-6, 6), spread(1e-18, 1, True)]),
    ("erfc", m.erfc, [uniform(-2, 6), uniform(0, 27.2), spread(1e-18, 1, True)]),
    ("lgamma", lgamma, [uniform(0, 10), spread(1e-300, 1e300), uniform(-20, 0)]),
    ("digamma", m.digamma, [uniform(0, 12), spread(1e-300, 1e300), uniform(-20, 0)]),
    ("atan2", m.atan2, [(uniform(-2, 2), uniform(-2, 2)), (spread(1e-150, 1e150, True), spread(1e-150, 1e150, True))]),
    ("pow", lambda x, y: mpf(x) ** mpf(y), [
        (uniform(0, 3), uniform(-30, 30)),
        (spread(1e-300, 1e300), uniform(-1, 1)),
        (near(1, 0.3), uniform(-1000, 1000)),
        (uniform(-9, 0), lambda: float(random.randint(-50, 50))),
    ]),
    ("polygamma", polygamma, [(order, uniform(0, 20)), (order, spread(1e-5, 1e6))]),
]


def bits(x):
    return struct.pack(">d", x).hex()


for name, f, sources in FUNCTIONS:
    print(name)
    for k in range(COUNT):
        s = sources[k % len(sources)]
        args = tuple(g() for g in s) if isinstance(s, tuple) else (s(),)
        try:
            v = f(*map(mpf, args))
        except (ValueError, ZeroDivisionError):
            continue
        if isinstance(v, m.mpc) or abs(v) > mpf("1.7976931348623157e308"):
            continue
        print(*map(bits, args), bits(float(v)))
