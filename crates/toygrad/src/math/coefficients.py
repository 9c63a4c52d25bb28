"""Derives every polynomial of src/math/coefficients.rs (needs mpmath).

Each table is the weighted minimax polynomial (Remez exchange) of a smooth
function g on an interval; the weight turns the error of g into the error of
the final result relative to its size, so the printed figure compares directly
with half a unit in the last place: 2^-25 for f32, 2^-54 for f64.

    python3 coefficients.py > src/math/coefficients.rs
    cargo fmt

The errors of the approximations go to stderr.
"""
import struct
import sys
from mpmath import lu_solve, matrix, mp, mpf
import mpmath as m

mp.dps = 50


def remez(g, w, lo, hi, degree, below=0, rounds=12, grid=1200):
    """Coefficients (constant first) minimising max |w * (g - p / q)| on [lo, hi]: those of p, of
    `degree`, and those of q, of degree `below`, whose constant is 1."""
    lo, hi = mpf(lo), mpf(hi)
    n = degree + below + 2
    mid, half = (lo + hi) / 2, (hi - lo) / 2
    # The offset keeps nodes away from zeros of the weight.
    nodes = [mid - half * m.cos(m.pi * (i + mpf("0.013")) / (n - 1 + mpf("0.026"))) for i in range(n)]
    xs = [mid - half * m.cos(m.pi * (j + mpf("0.37")) / (grid + mpf("0.74"))) for j in range(grid + 1)]
    gs = [g(x) for x in xs]
    ws = [w(x) for x in xs]
    best, q = None, [mpf(1)]
    for _ in range(rounds):
        # Linear where the error is multiplied by the q of before: repeated until both agree.
        for _ in range(8 if below else 1):
            a, b = matrix(n, n), matrix(n, 1)
            for i, x in enumerate(nodes):
                scale = w(x)
                b[i] = scale * g(x)
                for k in range(degree + 1):
                    a[i, k] = scale * x**k
                for k in range(1, below + 1):
                    a[i, degree + k] = -b[i] * x**k
                a[i, n - 1] = (-1) ** i * m.polyval(q[::-1], x)
            sol = lu_solve(a, b)
            p = [sol[k] for k in range(degree + 1)]
            q = [mpf(1)] + [sol[degree + k] for k in range(1, below + 1)]
        es = [wv * (gv - m.polyval(p[::-1], x) / m.polyval(q[::-1], x)) for x, gv, wv in zip(xs, gs, ws)]
        worst = max(abs(e) for e in es)
        if best is None or worst < best[0]:
            best = (worst, p, q)
        # One extremum for each run of equal sign.
        peaks = []
        for x, e in zip(xs, es):
            if peaks and (peaks[-1][1] > 0) == (e > 0):
                if abs(e) > abs(peaks[-1][1]):
                    peaks[-1] = (x, e)
            else:
                peaks.append((x, e))
        while len(peaks) > n:
            peaks.pop(0 if abs(peaks[0][1]) < abs(peaks[-1][1]) else -1)
        if len(peaks) < n or worst < abs(sol[n - 1]) * mpf("1.002"):
            break
        nodes = [p[0] for p in peaks]
    return best


def root(f):
    """f(x) as a function of z = x*x."""
    return lambda z: f(m.sqrt(z))


S = m.sqrt(2) - 1
TINY = mpf("1e-14")
LN2H = m.log(2) / 2 * mpf("1.005")
LOG = (m.sqrt(mpf(1) / 2) - 1, m.sqrt(2) - 1)
ATANH_MAX = (S / (2 + S)) ** 2 * mpf("1.001")
P4 = (m.pi / 4 * mpf("1.0005")) ** 2


def erfcx(a):
    return m.erfc(a) * m.exp(a * a)


def erfc_map(c):
    """erfcx(a) * (1 + 2a) as a function of t = (a - c) / (a + c)."""

    def g(t):
        a = c * (1 + t) / (1 - t)
        return erfcx(a) * (1 + 2 * a)

    return g


def lg2(f):
    return m.loggamma(2 + f) / f if f else 1 - m.euler


def stirling(z):
    """(lgamma(x) - (x - 1/2) ln x + x - ln(2 pi)/2) * x as a function of z = 1/x^2."""
    x = 1 / m.sqrt(z)
    return (m.loggamma(x) - (x - 0.5) * m.log(x) + x - m.log(2 * m.pi) / 2) * x


def psi_tail(z):
    """(ln x - 1/(2x) - digamma(x)) * x^2 as a function of z = 1/x^2."""
    x = 1 / m.sqrt(z)
    return (m.log(x) - 1 / (2 * x) - m.digamma(x)) * x * x


C32, C64 = mpf(2), mpf(4)

# name, what it is, then (g, weight, lo, hi, degree) for f32 and f64.
exp_g = (lambda r: (m.exp(r) - 1 - r) / r**2, lambda r: r**2 / m.exp(r), -LN2H, LN2H)
sin_g = (root(lambda x: (m.sin(x) / x - 1) / x**2), lambda z: z, TINY, P4)
cos_g = (root(lambda x: (m.cos(x) - 1 + x * x / 2) / x**4), lambda z: z * z / m.cos(m.sqrt(z)), TINY, P4)
asin_g = (root(lambda x: (m.asin(x) / x - 1) / x**2), lambda z: z, TINY, mpf("0.2502"))
atan_g = (root(lambda x: (m.atan(x) / x - 1) / x**2), lambda z: z, TINY, S * S * mpf("1.001"))
erf_w = root(lambda x: x / m.erf(x))
near_g = (root(lambda x: m.erf(x) / x - 1), erf_w, TINY, mpf("0.2502"))
erf_g = (root(lambda x: m.erf(x) / x), erf_w, TINY)
log_g = (lambda f: (m.log1p(f) - f + f * f / 2) / f**3, lambda f: f**3 / m.log1p(f), *LOG)
atanh_g = (root(lambda s: (2 * m.atanh(s) / s - 2) / s**2), lambda z: z / 2, TINY, ATANH_MAX)
atanh5_g = (root(lambda s: (2 * m.atanh(s) / s - 2 - 2 * s * s / 3) / s**4), lambda z: z * z / 2, TINY, ATANH_MAX)


def cx(c, amax, deg):
    return (erfc_map(c), lambda t: 1 / erfc_map(c)(t), -1, (mpf(amax) - c) / (mpf(amax) + c), deg)


TABLES = [
    ("EXP", "(e^r - 1 - r) / r^2 for |r| <= ln 2 / 2", (*exp_g, 4), (*exp_g, 9)),
    ("SIN", "(sin(x)/x - 1) / x^2 in x^2 for |x| <= pi/4", (*sin_g, 2), (*sin_g, 5)),
    ("COS", "(cos(x) - 1 + x^2/2) / x^4 in x^2 for |x| <= pi/4", (*cos_g, 2), (*cos_g, 5)),
    ("ASIN", "(asin(x)/x - 1) / x^2 in x^2 for |x| <= 1/2", (*asin_g, 4), (*asin_g, 11)),
    ("ATAN", "(atan(x)/x - 1) / x^2 in x^2 for |x| <= tan(pi/8)", (*atan_g, 4), (*atan_g, 10)),
    ("ERF_NEAR", "erf(x)/x - 1 in x^2 for |x| <= 1/2", (*near_g, 4), (*near_g, 9)),
    (("ERF", "ERF_OVER"), "erf(x)/x in x^2 for |x| <= ERF_MAX, a quotient",
     (*erf_g, mpf("3.93") ** 2, 5, 5), (*erf_g, mpf("5.93") ** 2, 12, 12)),
    ("ERFC", "erfcx(a) (1 + 2a) in (a - ERFC_CENTRE) / (a + ERFC_CENTRE)", cx(C32, "10.2", 10), cx(C64, "27.5", 22)),
]
SINGLE = [
    ("LOG32", "f32", "(ln(1+f) - f + f^2/2) / f^3 for 1 + f in [sqrt(1/2), sqrt(2)]", (*log_g, 7)),
    ("ATANH", "f64", "(2 atanh(s)/s - 2) / s^2 in s^2 for s = f/(2+f), f as above", (*atanh_g, 6)),
    ("ATANH5", "f64", "the same less its first term, over s^2", (*atanh5_g, 6)),
    ("LGAMMA2", "f64", "lgamma(2+f) / f for |f| <= 1/2", (lg2, lambda f: 1 / lg2(f), mpf("-0.5003"), mpf("0.5001"), 18)),
    ("STIRLING", "f64", "(lgamma(x) - (x - 1/2) ln x + x - ln(2 pi)/2) x in 1/x^2 for x >= 8",
     (stirling, lambda z: 1 / mpf(64), mpf("1e-12"), mpf(1) / 64, 6)),
    ("PSI", "f64", "(ln x - 1/(2x) - digamma(x)) x^2 in 1/x^2 for x >= 10",
     (psi_tail, lambda z: z, mpf("1e-12"), mpf(1) / 100, 6)),
]


def rust(c, t):
    if t == "f32":
        return float_text(struct.unpack("f", struct.pack("f", float(c)))[0], t)
    return float_text(float(c), t)


def float_text(v, t):
    """The shortest decimal that reads back as v."""
    if t == "f32":
        for digits in range(5, 10):
            s = f"{v:.{digits}e}"
            if struct.pack("f", float(s)) == struct.pack("f", v):
                break
    else:
        s = repr(v)
    mant, _, ex = s.partition("e")
    if "." in mant and ex:
        mant = mant.rstrip("0")
        mant = mant + "0" if mant.endswith(".") else mant
    return mant + (f"e{int(ex)}" if ex and int(ex) else "")


def emit(spec, t, label):
    """The table or tables of a label, as pairs of name and text."""
    err, *tables = remez(*spec)
    labels = (label,) if isinstance(label, str) else label
    print(f"{labels[0]:10} {t}  degree {spec[4:]}  error 2^{float(m.log(err, 2)):.1f}", file=sys.stderr)
    return [(l, "&[" + ", ".join(rust(x, t) for x in c) + "]") for l, c in zip(labels, tables)]


def bits(x, keep):
    """x rounded to `keep` significant bits."""
    e = keep - 1 - int(m.floor(m.log(abs(x), 2)))
    return m.nint(x * mpf(2) ** e) / mpf(2) ** e


def parts(x, widths):
    """x as a sum of pieces of the given numbers of bits."""
    out = []
    for k in widths:
        out.append(bits(x, k))
        x -= out[-1]
    return out


def constants(t):
    f32 = t == "f32"
    p = 24 if f32 else 53
    def pair(a, b, x, k=p):
        return list(zip((a, b), parts(x, (k, p))))
    ln2, ln10 = m.log(2), m.log(10)
    rows = pair("LN2_HI", "LN2_LO", ln2, 15 if f32 else 41)
    rows += pair("LOG10_2_HI", "LOG10_2_LO", ln2 / ln10, 15 if f32 else 41)
    rows += pair("LOG2_E_HI", "LOG2_E_LO", 1 / ln2)
    rows += pair("LOG10_E_HI", "LOG10_E_LO", 1 / ln10)
    rows += [("TWO_OVER_PI", 2 / m.pi)]
    rows += pair("PI_HI", "PI_LO", m.pi)
    rows += [("ERFC_CENTRE", C32 if f32 else C64)]
    return rows


def main():
    print("//! Written by coefficients.py: do not edit. Constant term first.\n")
    print("#![allow(clippy::excessive_precision, clippy::approx_constant)]\n")
    print("/// The constants and polynomials that f32 and f64 both have.")
    print("pub(crate) trait Table: Sized + 'static {")
    for name, _ in constants("f64"):
        print(f"    const {name}: Self;")
    for names, doc, *_ in TABLES:
        for name in (names,) if isinstance(names, str) else names:
            print(f"    /// `{doc}`.\n    const {name}: &'static [Self];")
    print("}\n")
    for t, k in (("f32", 0), ("f64", 1)):
        print(f"impl Table for {t} {{")
        for name, v in constants(t):
            print(f"    const {name}: Self = {rust(v, t)};")
        for names, doc, *specs in TABLES:
            for name, table in emit(specs[k], t, names):
                print(f"    const {name}: &'static [Self] = {table};")
        print("}\n")
    for name, t, doc, spec in SINGLE:
        [(_, table)] = emit(spec, t, name)
        print(f"/// `{doc}`.\npub(super) const {name}: &[{t}] = {table};\n")
    p1, p2, p3 = parts(m.pi / 2, (23, 23, 53))
    print("/// pi/2 in three pieces; a product of the first two with 30 bits is exact.")
    print(f"pub(super) const PIO2: [f64; 3] = [{rust(p1,'f64')}, {rust(p2,'f64')}, {rust(p3,'f64')}];\n")
    pieces = ", ".join(rust(x, "f32") for x in parts(m.pi / 2, (24, 24, 24)))
    print("/// pi/2 in three pieces of f32.")
    print(f"pub(super) const PIO2_SINGLE: [f32; 3] = [{pieces}];\n")
    p1, p2 = parts(m.pi / 2, (27, 53))
    print("/// pi/2 in two pieces; a product of the first with 26 bits is exact.")
    print(f"pub(super) const PIO2_SHORT: [f64; 2] = [{rust(p1,'f64')}, {rust(p2,'f64')}];\n")
    ber = [m.bernoulli(2 * k) / m.factorial(2 * k) for k in range(1, 11)]
    print("/// `B(2k) / (2k)!` of the Euler-Maclaurin sum, k = 1, 2, ...")
    print("pub(super) const EULER_MACLAURIN: [f64; 10] = [" + ", ".join(rust(b, "f64") for b in ber) + "];")


main()
