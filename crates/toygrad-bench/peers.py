"""The workloads F1 to F10 of toygrad-bench in PyTorch and JAX, from the same numbers.

    BENCH_THREADS=2 python peers.py torch|compile|jax [F1 F2 ...]

Needs numpy and torch or jax; prints a JSON object a line, as toygrad-bench does.
"""
import json, os, resource, sys, time
import numpy as np

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
os.environ["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if THREADS > 1 else 'false'}"


def uniform(seed, n):
    with np.errstate(over="ignore"):
        z = (np.uint64(seed) << np.uint64(32)) + np.arange(n, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 16777216.0


def array(seed, shape, bound, dtype=np.float32):
    return ((2 * uniform(seed, int(np.prod(shape))) - 1) * bound).astype(dtype).reshape(shape)


def measure(peer, name, step):
    times, losses, total = [], [], 0.0
    while len(times) < 5 or len(times) < 35 or (total < 2.0 and len(times) < 105):
        start = time.perf_counter()
        losses.append(float(step()))
        times.append(time.perf_counter() - start)
        if len(times) > 5: total += times[-1]
    timed = sorted(times[5:])
    print(json.dumps(dict(
        peer=peer, workload=name, threads=THREADS, median_us=round(timed[len(timed) // 2] * 1e6, 3),
        min_us=round(timed[0] * 1e6, 3), steps=len(timed),
        peak_rss_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
        version=sys.modules["jax" if peer == "jax" else "torch"].__version__,
        first_step_s=round(times[0], 4), loss0=losses[0], loss10=losses[10], loss_last=losses[-1])), flush=True)


def lstm_weights():
    shapes = [(512, 64), (512, 128), (512,), (512,)]
    return [array(72 + i, s, 128 ** -0.5) for i, s in enumerate(shapes)]


def logistic_data():
    """Weights, samples, labels."""
    return array(88, (50,), 0.5, np.float64), array(86, (2000, 50), 1.0, np.float64), (array(87, (2000,), 1.0, np.float64) > 0).astype(np.float64)


def diagonal_data():
    """Means, scales, logits, points."""
    return array(89, (16, 8), 2.0), array(90, (16, 8), 0.5), array(91, (16,), 1.0), array(92, (4096, 8), 2.0)


def rows_data(): return array(95, (4096, 512), 2.0), array(93, (512,), 1.0), array(94, (512,), 1.0)


def layers_data(): return [(array(s, (2048, 2048), 2048 ** -0.5), array(s + 1, (2048,), 0.1)) for s in (96, 98, 100)]


def with_torch(names, compiled):
    import torch
    torch.set_num_threads(THREADS)
    peer = "torch-compile" if compiled else "torch-eager"
    t = torch.from_numpy

    def gradient(x, f):
        f = torch.compile(f) if compiled else f
        leaves = [v.requires_grad_() for v in x]

        def step():
            y = f(*leaves)
            torch.autograd.grad(y, leaves)
            return y.item()
        return step

    def f1(x): return (x.tanh() * (-x.square()).exp() + x.abs().log1p() * x.sigmoid()).sum()
    def f2(x): return (x.erf() * (-x.abs()).exp() + (x.square() + 1).log().sqrt() * x.tanh()).sum()

    def f3():
        lstm = torch.nn.LSTM(64, 128)
        with torch.no_grad():
            for p, v in zip(lstm.parameters(), lstm_weights()): p.copy_(t(v))
        x, sgd = t(array(80, (32, 32, 64), 1.0)), torch.optim.SGD(lstm.parameters(), lr=0.1)
        forward = torch.compile(lambda: lstm(x)[0].square().mean()) if compiled else lambda: lstm(x)[0].square().mean()

        def step():
            sgd.zero_grad()
            loss = forward(); loss.backward(); sgd.step()
            return loss.item()
        return step

    def f4():
        x = t(array(84, (2000, 16), 1.0))

        def f(means, factors, logits):
            z = (x[None] - means) @ factors
            scale = torch.diagonal(factors, dim1=1, dim2=2).abs().log().sum(-1)
            log = z.square().sum(-1) * -0.5 + scale[:, None] + logits.log_softmax(0)[:, None]
            return log.logsumexp(0).mean()
        return gradient([t(array(81, (32, 1, 16), 1.0)), t(array(82, (32, 16, 16), 0.5) + np.eye(16, dtype=np.float32)),
                         t(array(83, (32,), 1.0))], f)

    def f5():
        x = t(array(85, (10,), 2.0, np.float64))
        def f(x): return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        def all(x): return f(x), torch.func.grad(f)(x), torch.func.hessian(f)(x)
        run = torch.compile(all) if compiled else all
        return lambda: run(x)[0].item()

    def f6():
        w, x, y = map(t, logistic_data())
        def f(w):
            z = x @ w
            return (torch.nn.functional.softplus(z) - y * z).mean() + 0.01 * w.square().sum()
        def all(w): return f(w), torch.func.grad(f)(w), torch.func.hessian(f)(w)
        run = torch.compile(all) if compiled else all
        return lambda: run(w)[0].item()

    def f7():
        *leaves, x = map(t, diagonal_data())
        def f(means, scales, logits):
            z = (x[:, None] - means) * (-scales).exp()
            return (-0.5 * z.square().sum(-1) - scales.sum(-1) + logits.log_softmax(0)).logsumexp(-1).mean()
        return gradient(leaves, f)

    def f8(x, w, b): return torch.nn.functional.layer_norm(x, (512,), w, b).softmax(-1).square().sum()

    def f9():
        layers, x = [(t(w), t(b)) for w, b in layers_data()], t(array(102, (1, 2048), 1.0))
        def f(x):
            for w, b in layers[:-1]: x = torch.nn.functional.linear(x, w, b).relu()
            return torch.nn.functional.linear(x, *layers[-1]).sum()
        f = torch.compile(f) if compiled else f

        def step():
            with torch.no_grad(): return f(x).item()
        return step

    def f10(x):
        q, k, v = (part.reshape(4, 512, 8, 32).transpose(1, 2) for part in x.split(256, -1))
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True).square().sum()

    make = dict(F1=lambda: gradient([t(array(70, (1 << 20,), 2.0))], f1),
                F2=lambda: gradient([t(array(71, (1 << 20,), 2.0, np.float64))], f2), F3=f3, F4=f4, F5=f5,
                F6=f6, F7=f7, F8=lambda: gradient([t(v) for v in rows_data()], f8), F9=f9,
                F10=lambda: gradient([t(array(104, (4, 512, 768), 1.0))], f10))
    for name in names: measure(peer, name, make[name]())


def with_jax(names):
    import jax, jax.numpy as jnp
    jax.config.update("jax_enable_x64", True)

    def gradient(x, f):
        run = jax.jit(jax.value_and_grad(f, argnums=tuple(range(len(x)))))

        def step():
            y, g = run(*x)
            jax.block_until_ready(g)
            return y
        return step

    def f1(x): return (jnp.tanh(x) * jnp.exp(-x * x) + jnp.log1p(jnp.abs(x)) * jax.nn.sigmoid(x)).sum()
    def f2(x): return (jax.scipy.special.erf(x) * jnp.exp(-jnp.abs(x)) + jnp.sqrt(jnp.log(x * x + 1)) * jnp.tanh(x)).sum()

    def f3():
        x = jnp.asarray(array(80, (32, 32, 64), 1.0))
        weights = [jnp.asarray(v) for v in lstm_weights()]

        def loss(weights):
            wi, wh, bi, bh = weights

            def cell(state, x):
                h, c = state
                i, f, g, o = jnp.split(x @ wi.T + bi + h @ wh.T + bh, 4, -1)
                c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h
            zero = jnp.zeros((32, 128), jnp.float32)
            return jnp.mean(jax.lax.scan(cell, (zero, zero), x)[1] ** 2)

        @jax.jit
        def train(weights):
            y, g = jax.value_and_grad(loss)(weights)
            return y, [w - 0.1 * g for w, g in zip(weights, g)]

        def step():
            nonlocal weights
            y, weights = train(weights)
            jax.block_until_ready(weights)
            return y
        return step

    def f4():
        x = jnp.asarray(array(84, (2000, 16), 1.0))

        def f(means, factors, logits):
            z = (x[None] - means) @ factors
            scale = jnp.log(jnp.abs(jnp.diagonal(factors, axis1=1, axis2=2))).sum(-1)
            log = (z * z).sum(-1) * -0.5 + scale[:, None] + jax.nn.log_softmax(logits)[:, None]
            return jax.scipy.special.logsumexp(log, axis=0).mean()
        return gradient([jnp.asarray(array(81, (32, 1, 16), 1.0)),
                         jnp.asarray(array(82, (32, 16, 16), 0.5) + np.eye(16, dtype=np.float32)),
                         jnp.asarray(array(83, (32,), 1.0))], f)

    def f5():
        x = jnp.asarray(array(85, (10,), 2.0, np.float64))
        def f(x): return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        run = jax.jit(lambda x: (f(x), jax.grad(f)(x), jax.hessian(f)(x)))
        return lambda: jax.block_until_ready(run(x))[0]

    def f6():
        w, x, y = map(jnp.asarray, logistic_data())
        def f(w, x, y):
            z = x @ w
            return (jax.nn.softplus(z) - y * z).mean() + 0.01 * (w * w).sum()
        run = jax.jit(lambda *all: (f(*all), jax.grad(f)(*all), jax.hessian(f)(*all)))
        return lambda: jax.block_until_ready(run(w, x, y))[0]

    def f7():
        *leaves, x = map(jnp.asarray, diagonal_data())
        def f(means, scales, logits):
            z = (x[:, None] - means) * jnp.exp(-scales)
            log = -0.5 * (z * z).sum(-1) - scales.sum(-1) + jax.nn.log_softmax(logits)
            return jax.scipy.special.logsumexp(log, axis=-1).mean()
        return gradient(leaves, f)

    def f8(x, w, b):
        z = (x - x.mean(-1, keepdims=True)) * jax.lax.rsqrt(x.var(-1, keepdims=True) + 1e-5) * w + b
        return (jax.nn.softmax(z) ** 2).sum()

    def f9():
        layers, x = [(jnp.asarray(w), jnp.asarray(b)) for w, b in layers_data()], jnp.asarray(array(102, (1, 2048), 1.0))

        @jax.jit
        def f(layers, x):
            for w, b in layers[:-1]: x = jax.nn.relu(x @ w.T + b)
            return (x @ layers[-1][0].T + layers[-1][1]).sum()
        return lambda: f(layers, x)

    def f10(x):
        q, k, v = (part.reshape(4, 512, 8, 32) for part in jnp.split(x, 3, -1))
        return (jax.nn.dot_product_attention(q, k, v, is_causal=True) ** 2).sum()

    make = dict(F1=lambda: gradient([jnp.asarray(array(70, (1 << 20,), 2.0))], f1),
                F2=lambda: gradient([jnp.asarray(array(71, (1 << 20,), 2.0, np.float64))], f2), F3=f3, F4=f4, F5=f5,
                F6=f6, F7=f7, F8=lambda: gradient([jnp.asarray(v) for v in rows_data()], f8), F9=f9,
                F10=lambda: gradient([jnp.asarray(array(104, (4, 512, 768), 1.0))], f10))
    for name in names: measure("jax", name, make[name]())


if __name__ == "__main__":
    which, names = sys.argv[1], sys.argv[2:] or [f"F{i}" for i in range(1, 10)]
    with_jax(names) if which == "jax" else with_torch(names, which == "compile")
