"""Makes golden.csv: values and gradients of toygrad's public functions, computed by PyTorch and SciPy.

    pip install torch scipy && python make.py

A line is `case,part,shape,numbers`; the parts of a case are its inputs x0, x1, ..., its result y, and
the gradients g0, g1, ... of sum(y * w) with w_i = i % 5 - 1.5. The functions on toygrad's side are in
golden.rs, under the same names.
"""

import numpy as np
import scipy.special
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

ANY = (-2.5, 2.5)
POSITIVE = (0.2, 3.0)
UNIT = (-0.95, 0.95)

CASES = {}


class Polygamma(torch.autograd.Function):
    """SciPy's: that of PyTorch is right to 9 digits only."""

    @staticmethod
    def forward(ctx, n, x):
        ctx.n = n
        ctx.save_for_backward(x)
        return torch.as_tensor(scipy.special.polygamma(n, x.detach().numpy()))

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return None, g * Polygamma.apply(ctx.n + 1, x)


def polygamma(n):
    return lambda x: Polygamma.apply(n, x)


def case(name, f, *inputs):
    """Inputs are (shape, range); a bare range has shape [6]."""
    assert name not in CASES, name
    CASES[name] = (f, [i if isinstance(i[0], tuple) else ((6,), i) for i in inputs])


# Rows of the table.
for name in ["neg", "abs", "exp", "exp2", "expm1", "sin", "cos", "tan", "atan", "sinh", "cosh", "tanh",
             "asinh", "sigmoid", "relu", "erf", "erfc", "sign", "floor", "ceil", "round", "square"]:
    case(name, getattr(torch, name), ANY)
for name, torch_name in [("sqrt", "sqrt"), ("ln", "log"), ("log2", "log2"), ("log10", "log10"), ("log1p", "log1p"),
                         ("lgamma", "lgamma"), ("rsqrt", "rsqrt"), ("recip", "reciprocal")]:
    case(name, getattr(torch, torch_name), POSITIVE)
for name in ["asin", "acos", "atanh"]:
    case(name, getattr(torch, name), UNIT)
case("acosh", torch.acosh, (1.1, 4.0))
case("softplus", F.softplus, (-40.0, 40.0))
case("add", torch.add, ((2, 3), ANY), ((3,), ANY))
case("sub", torch.sub, ((2, 1), ANY), ((1, 3), ANY))
case("mul", torch.mul, ((2, 3), ANY), ((), ANY))
case("div", torch.div, ((2, 3), ANY), ((3,), POSITIVE))
case("rem", torch.remainder, ((2, 3), (-9.0, 9.0)), ((3,), (-4.0, 4.0)))
case("pow", torch.pow, ((2, 3), POSITIVE), ((3,), ANY))
case("pow of a negative", lambda x: x**3, (-3.0, -0.5))
case("atan2", torch.atan2, ANY, ANY)
case("maximum", torch.maximum, ANY, ANY)
case("minimum", torch.minimum, ANY, ANY)
case("select", lambda c, a, b: torch.where(c > 0, a, b), ANY, ANY, ANY)
for n in (1, 2, 3):
    case(f"polygamma {n}", polygamma(n), POSITIVE)
case("digamma", polygamma(0), POSITIVE)

# Far from the origin, where naive formulas lose digits or overflow.
case("sigmoid far out", torch.sigmoid, (-60.0, 60.0))
case("log_sigmoid far out", F.logsigmoid, (-800.0, 800.0))
case("expm1 near 0", torch.expm1, (-1e-6, 1e-6))
case("log1p near 0", torch.log1p, (-1e-6, 1e-6))
case("erfc far out", torch.erfc, (3.0, 6.0))
case("sin of large", torch.sin, (-300.0, 300.0))
case("digamma of negative", polygamma(0), (-3.9, -3.1))
case("logsumexp of large", lambda x: torch.logsumexp(x * 1000, 0), ANY)
case("softmax of large", lambda x: torch.softmax(x * 400, 0), ANY)

# Composed functions.
case("leaky_relu", lambda x: F.leaky_relu(x, 0.2), ANY)
case("elu", lambda x: F.elu(x, 1.3), ANY)
case("gelu", F.gelu, ANY)
case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), ANY)
case("silu", F.silu, ANY)
case("mish", F.mish, ANY)
case("log_sigmoid", F.logsigmoid, ANY)
case("clamp", lambda x: torch.clamp(x, -1.0, 1.5), ANY)

# Reductions.
M = ((3, 4), ANY)
T = ((2, 3, 2), ANY)
case("sum", torch.sum, M)
case("sum_axis", lambda x: x.sum((0, 2)), T)
case("prod", torch.prod, ((2, 3), ANY))
case("prod with zeros", lambda x: (x * torch.tensor([1.0, 0.0, 1.0, 0.0])).prod(0), M)
case("prod_axis", lambda x: x.prod(1), M)
case("mean_axis", lambda x: x.mean(1, keepdim=True), M)
case("max_axis", lambda x: x.amax(0), M)
case("max at ties", lambda x: x.round().amax(1), ((2, 4), (0.6, 1.4)))
case("min", torch.amin, M)
case("var", torch.var, M)
case("var_axis", lambda x: x.var(1, correction=0), M)
case("std_axis", lambda x: x.std(0), M)
case("norm_axis", lambda x: torch.linalg.vector_norm(x, dim=1), M)
case("norm at 0", lambda x: torch.linalg.vector_norm(x * 0, dim=1), M)
case("logsumexp_axis", lambda x: torch.logsumexp(x, (0, 1)), T)
case("softmax", lambda x: torch.softmax(x, -1), M)
case("log_softmax", lambda x: torch.log_softmax(x, 0), M)
case("cumsum", lambda x: x.cumsum(1), M)
case("argmax", lambda x: x.argmax(1).double() + 0 * x.sum(), M)
case("argmin", lambda x: x.argmin(0).double() + 0 * x.sum(), M)

# Movement.
case("reshape", lambda x: x.reshape(4, -1), M)
case("permute", lambda x: x.permute(2, 0, 1), T)
case("transpose", lambda x: x.transpose(0, 2), T)
case("slice", lambda x: x[1:, ::2], M)
case("slice backwards", lambda x: x.flip(0)[:, [3, 1]], M)
case("flip", lambda x: x.flip(1), M)
case("roll", lambda x: torch.roll(x, 3, 1), M)
case("pad", lambda x: F.pad(x, (1, 2, 0, 1)), M)
case("pad_with", lambda x: F.pad(x, (1, 0), value=7.0), M)
case("repeat", lambda x: x.repeat(2, 3), ((2, 2), ANY))
case("tril", lambda x: x.tril(-1), M)
case("triu", lambda x: x.triu(1), M)
case("windows", lambda x: x.unfold(1, 3, 1), M)
case("concat", lambda a, b: torch.cat([a, b], 1), M, ((3, 1), ANY))
case("stack", lambda a, b: torch.stack([a, b], -1), ANY, ANY)

# Products.
case("matmul", torch.matmul, ((2, 3), ANY), ((3, 2), ANY))
case("matmul of stacks", torch.matmul, ((2, 1, 2, 3), ANY), ((2, 3, 1), ANY))
case("matrix and vector", torch.matmul, ((2, 3), ANY), ((3,), ANY))
case("vector and stack", torch.matmul, ((3,), ANY), ((2, 3, 2), ANY))
case("dot", torch.dot, ANY, ANY)
case("outer", torch.outer, ((2,), ANY), ((3,), ANY))
case("einsum", lambda a, b, c: torch.einsum("bij,jk,k->bi", a, b, c),
     ((2, 2, 3), ANY), ((3, 2), ANY), ((2,), ANY))
case("einsum diagonal", lambda a: torch.einsum("iij->ij", a), ((2, 2, 3), ANY))

# Positions.
INDEX = torch.tensor([[0, 3], [1, 1], [2, 0]])
case("gather", lambda x: x.gather(1, INDEX), M)
case("index_select", lambda x: x[:, torch.tensor([3, 0, 3])], M)
case("scatter_add", lambda x, s: x.scatter_add(1, INDEX, s), M, ((3, 2), ANY))
case("one_hot", lambda x: F.one_hot(INDEX, 4).double() * x, ((4,), ANY))
case("sort", lambda x: x.sort(1).values, M)
case("sort descending", lambda x: x.sort(0, descending=True).values, M)
case("topk", lambda x: x.topk(2, 1).values, M)

# Losses and layers, as users write them.
case("mean squared error", F.mse_loss, M, M)
case("cross entropy", lambda x: F.cross_entropy(x, torch.tensor([2, 0, 3])), M)
case("hinge", lambda x: torch.relu(1 - x * torch.tensor([1.0, -1, 1, -1, 1, -1])).mean(), ANY)
case("layer norm", lambda x: F.layer_norm(x, (4,)), M)
case("attention", lambda q, k, v: F.scaled_dot_product_attention(q[None], k[None], v[None])[0],
     ((3, 2), ANY), ((3, 2), ANY), ((3, 2), ANY))
case("second derivative", lambda x: torch.autograd.grad((torch.tanh(x) * x**2).sum(), x, create_graph=True)[0], ANY)
case("third derivative of lgamma", polygamma(2), POSITIVE)
case("gelu_grad", lambda x: torch.autograd.grad(F.gelu(x).sum(), x, create_graph=True)[0], ANY)

# A second opinion on what PyTorch computes itself: SciPy gives the values.
SCIPY = {
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "lgamma": scipy.special.gammaln,
    "digamma": scipy.special.digamma,
    "logsumexp_axis": lambda x: scipy.special.logsumexp(x, axis=(0, 1)),
    "softmax": lambda x: scipy.special.softmax(x, axis=-1),
    "gelu": lambda x: x * scipy.special.ndtr(x),
}


def line(name, part, array):
    shape = " ".join(map(str, array.shape))
    return f"{name},{part},{shape},{' '.join(repr(float(x)) for x in array.flatten())}"


def main():
    rng = np.random.default_rng(42)
    lines = []
    for name, (f, inputs) in CASES.items():
        assert "," not in name
        xs = []
        for shape, (low, high) in inputs:
            # Three significant digits keep the file small and the inputs exact in decimal.
            x = np.vectorize(lambda v: float(f"{v:.3g}"))(rng.uniform(low, high, shape))
            xs.append(torch.tensor(x, requires_grad=True))
        y = f(*xs)
        if name in SCIPY:
            value = SCIPY[name](*[x.detach().numpy() for x in xs])
            np.testing.assert_allclose(y.detach().numpy(), value, rtol=2e-14)
        w = (torch.arange(y.numel()) % 5 - 1.5).reshape(y.shape)
        (y * w).sum().backward()
        lines += [line(name, f"x{k}", x.detach()) for k, x in enumerate(xs)]
        lines.append(line(name, "y", y.detach()))
        lines += [line(name, f"g{k}", torch.zeros_like(x) if x.grad is None else x.grad) for k, x in enumerate(xs)]
    with open("golden.csv", "w") as file:
        file.write("\n".join(lines) + "\n")


main()
