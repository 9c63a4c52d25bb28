"""Writes golden.txt: what PyTorch computes for the cases in the tests beside it.

Run with PyTorch 2.5: python golden.py > golden.txt
A line is: case key shape numbers. All in f64; inputs are rounded to few digits, so that f32 has them
nearly exactly.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)


def record(case, key, x):
    x = torch.as_tensor(x).detach()
    shape = ",".join(map(str, x.shape)) or "-"
    if x.dtype in (torch.int64, torch.bool):
        numbers = " ".join(str(int(v)) for v in x.flatten())
    else:
        digits = 13 if case.startswith(("optimizer", "lbfgs")) else 8
        numbers = " ".join(f"{v:.{digits}g}" for v in x.flatten().tolist())
    print(case, key, shape, numbers)


def draw(*shape, scale=1.0):
    return (torch.randn(*shape) * scale).mul(1000).round().div(1000)


def weights(y):
    return torch.cos(torch.arange(y.numel(), dtype=y.dtype)).reshape(y.shape)


def differentiate(case, outputs, inputs, named=()):
    """Records outputs, and gradients of the sum of (outputs x cos(position))."""
    loss = 0.0
    for i, y in enumerate(outputs):
        record(case, f"out{i}", y)
        loss = loss + (y * weights(y)).sum()
    for p in [*inputs, *(p for _, p in named)]:
        p.grad = None
    loss.backward()
    for i, x in enumerate(inputs):
        if x.requires_grad:
            record(case, f"grad_in{i}", x.grad)
    for name, p in named:
        record(case, f"grad.{name}", p.grad)


def layer(case, module, *inputs, call=None, after=False):
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(draw(*p.shape, scale=0.5))
    for name, p in module.state_dict().items():
        record(case, f"param.{name}", p)
    inputs = [x.clone().requires_grad_(x.is_floating_point()) for x in inputs]
    for i, x in enumerate(inputs):
        record(case, f"in{i}", x)
    outputs = call(module, *inputs) if call else module(*inputs)
    if not isinstance(outputs, (tuple, list)):
        outputs = [outputs]
    differentiate(case, outputs, inputs, list(module.named_parameters()))
    if after:
        for name, b in module.named_buffers():
            record(case, f"after.{name}", b)


# ---- layers ----

layer("linear", nn.Linear(4, 3), draw(2, 5, 4))
layer("conv1d", nn.Conv1d(3, 4, 3, stride=2, padding=2, dilation=2), draw(2, 3, 9))
layer("conv2d", nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0)), draw(2, 2, 6, 5))
layer("conv2d_grouped", nn.Conv2d(4, 6, 3, padding=2, dilation=2, groups=2, bias=False), draw(2, 4, 5, 5))
layer("conv2d_depthwise", nn.Conv2d(3, 3, 3, padding=1, groups=3), draw(1, 3, 4, 4))
layer("conv3d", nn.Conv3d(2, 2, 2, padding=1), draw(1, 2, 3, 3, 2))
layer("conv2d_large", nn.Conv2d(2, 2, 6, stride=2, padding=1, groups=2), draw(1, 2, 8, 9))
layer("conv_transpose1d", nn.ConvTranspose1d(3, 2, 4, stride=3, padding=1, output_padding=2), draw(2, 3, 4))
layer("conv_transpose2d", nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1), draw(2, 3, 3, 4))
layer("conv_transpose2d_grouped", nn.ConvTranspose2d(4, 6, 3, groups=2, dilation=2, bias=False), draw(1, 4, 3, 2))
layer("max_pool2d", nn.MaxPool2d(3, stride=2, padding=1), draw(2, 2, 6, 7))
layer("max_pool2d_ties", nn.MaxPool2d(2), draw(2, 2, 4, 6).sign().relu())
layer("max_pool2d_large", nn.MaxPool2d((40, 2)), draw(1, 2, 80, 2))
layer("avg_pool2d", nn.AvgPool2d(3, stride=2, padding=1), draw(2, 2, 6, 7))
layer("adaptive_avg_pool2d", nn.AdaptiveAvgPool2d((3, 4)), draw(2, 2, 5, 8))
layer("adaptive_max_pool2d", nn.AdaptiveMaxPool2d((3, 2)), draw(2, 2, 7, 5))
layer("batch_norm1d", nn.BatchNorm1d(3), draw(5, 3) + 1, after=True)
layer("batch_norm2d", nn.BatchNorm2d(2), draw(3, 2, 2, 3) - 1, after=True)
bn = nn.BatchNorm1d(3)
bn.running_mean.copy_(torch.tensor([0.5, -0.25, 1.0]))
bn.running_var.copy_(torch.tensor([0.5, 2.0, 1.5]))
layer("batch_norm_eval", bn.eval(), draw(2, 3, 4))
layer("layer_norm", nn.LayerNorm((3, 4)), draw(2, 3, 4))
layer("rms_norm", nn.RMSNorm(5, eps=1e-6), draw(2, 3, 5))
layer("group_norm", nn.GroupNorm(2, 4), draw(2, 4, 3))
layer("embedding", nn.Embedding(6, 3), torch.tensor([[1, 5, 1], [0, 2, 1]]))


def recurrent(module, x, *state):
    y, state = module(x, (state[0] if len(state) == 1 else state) if state else None)
    return [y, *(state if isinstance(state, tuple) else [state])]


layer("rnn", nn.RNN(3, 4), draw(5, 2, 3), call=recurrent)
layer("rnn_relu", nn.RNN(3, 4, nonlinearity="relu", bias=False), draw(4, 2, 3), draw(1, 2, 4), call=recurrent)
layer("lstm", nn.LSTM(3, 4, num_layers=2, bidirectional=True, batch_first=True), draw(2, 5, 3), call=recurrent)
layer("lstm_state", nn.LSTM(2, 3), draw(3, 2, 2), draw(1, 2, 3), draw(1, 2, 3), call=recurrent)
layer("gru", nn.GRU(3, 4, num_layers=2), draw(5, 2, 3), draw(2, 2, 4), call=recurrent)
layer("gru_bidirectional", nn.GRU(3, 2, bidirectional=True), draw(4, 2, 3), call=recurrent)


def causal(n):
    return torch.ones(n, n, dtype=torch.bool).triu(1)


layer(
    "attention",
    nn.MultiheadAttention(6, 2, batch_first=True),
    draw(2, 3, 6),
    draw(2, 4, 6),
    draw(2, 4, 6),
    call=lambda m, q, k, v: m(q, k, v)[0],
)
padding = torch.tensor([[False, False, False, True], [False, False, False, False]])
layer(
    "attention_masked",
    nn.MultiheadAttention(6, 2, batch_first=True),
    draw(2, 4, 6),
    call=lambda m, x: m(x, x, x, attn_mask=causal(4), key_padding_mask=padding)[0],
)


class Grouped(nn.Module):
    """Grouped-query attention with rotary positions, written out."""

    def __init__(self):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.empty(8 + 4 + 4, 8))
        self.in_proj_bias = nn.Parameter(torch.empty(16))
        self.out_proj = nn.Linear(8, 8)

    def forward(self, x):
        n, t, _ = x.shape
        q, k, v = F.linear(x, self.in_proj_weight, self.in_proj_bias).split([8, 4, 4], -1)

        def heads(y):
            return y.reshape(n, t, -1, 2).transpose(1, 2)

        def turn(y):
            half = y.shape[-1] // 2
            speeds = 100.0 ** (-torch.arange(half) * 2.0 / y.shape[-1])
            angles = torch.arange(t)[:, None] * speeds
            cos, sin = torch.cat([angles.cos()] * 2, -1), torch.cat([angles.sin()] * 2, -1)
            return y * cos + torch.cat([-y[..., half:], y[..., :half]], -1) * sin

        q, k, v = turn(heads(q)), turn(heads(k)), heads(v)
        k, v = k.repeat_interleave(2, 1), v.repeat_interleave(2, 1)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out_proj(y.transpose(1, 2).reshape(n, t, 8))


layer("attention_grouped", Grouped(), draw(2, 4, 8))
encoder = dict(dim_feedforward=8, dropout=0.0, batch_first=True)
layer("encoder", nn.TransformerEncoderLayer(4, 2, **encoder), draw(2, 3, 4))
layer(
    "encoder_norm_first",
    nn.TransformerEncoderLayer(4, 2, norm_first=True, activation="gelu", **encoder),
    draw(2, 3, 4),
    call=lambda m, x: m(x, src_mask=causal(3)),
)
layer(
    "decoder",
    nn.TransformerDecoderLayer(4, 2, **encoder),
    draw(2, 3, 4),
    draw(2, 2, 4),
    call=lambda m, x, memory: m(x, memory, tgt_mask=causal(3)),
)

# ---- losses: out0 without reduction, out1 the mean, out2 the sum ----


def loss(case, f, *inputs):
    inputs = [x.clone().requires_grad_(i == 0) for i, x in enumerate(inputs)]
    for i, x in enumerate(inputs):
        record(case, f"in{i}", x)
    differentiate(case, [f(*inputs, reduction=r) for r in ("none", "mean", "sum")], inputs)


y, t = draw(3, 4), draw(3, 4)
signs = torch.tensor([1.0, -1.0, -1.0])
p = torch.tensor([0.1, 0.9, 0.5, 0.0, 1.0, 0.25])
loss("mse", F.mse_loss, y, t)
loss("l1", F.l1_loss, y, t)
loss("huber", lambda y, t, reduction: F.huber_loss(y, t, delta=0.7, reduction=reduction), y, t)
loss("smooth_l1", lambda y, t, reduction: F.smooth_l1_loss(y, t, beta=0.7, reduction=reduction), y, t)
loss("hinge_embedding", F.hinge_embedding_loss, draw(3, 4).abs(), torch.tensor([1.0, -1.0]).repeat(3, 2))
loss("margin_ranking", lambda a, b, t, reduction: F.margin_ranking_loss(a, b, t, margin=0.5, reduction=reduction), draw(3), draw(3), signs)
loss("cosine_embedding", lambda a, b, t, reduction: F.cosine_embedding_loss(a, b, t, margin=-0.5, reduction=reduction), y, t, signs)
loss("triplet_margin", F.triplet_margin_loss, y, t, draw(3, 4))
loss("triplet_margin_swap", lambda a, b, c, reduction: F.triplet_margin_loss(a, b, c, margin=2.0, p=3.0, swap=True, reduction=reduction), y, t, draw(3, 4))
loss("bce", F.binary_cross_entropy, torch.tensor([0.2, 0.8, 0.5, 0.0, 1.0, 0.999]), p)
loss("bce_with_logits", F.binary_cross_entropy_with_logits, draw(6, scale=5.0), p)
loss("bce_with_logits_weights", lambda x, t, w, pw, reduction: F.binary_cross_entropy_with_logits(x, t, weight=w, pos_weight=pw, reduction=reduction), draw(2, 3), draw(2, 3).sigmoid(), draw(3).abs(), draw(3).abs())
loss("kl_div", F.kl_div, draw(3, 4), torch.tensor([[0.0, 0.5, 0.25, 0.25]]).repeat(3, 1))
loss("kl_div_log", lambda x, t, reduction: F.kl_div(x, t, log_target=True, reduction=reduction), draw(3, 4), draw(3, 4))
counts = torch.tensor([0.0, 1.0, 2.0, 7.0])
loss("poisson_nll", F.poisson_nll_loss, draw(4), counts)
loss("poisson_nll_full", lambda x, t, reduction: F.poisson_nll_loss(x, t, log_input=False, full=True, reduction=reduction), draw(4).abs() + 0.1, counts)
loss("gaussian_nll", lambda x, t, v, reduction: F.gaussian_nll_loss(x, t, v, full=True, reduction=reduction), draw(4), draw(4), draw(4).abs() + 0.1)
labels, w = torch.tensor([2, 0, 3]), torch.tensor([0.5, 1.0, 2.0, 0.25])
maps = torch.tensor([[[1, 0], [2, 2], [0, 1]], [[0, -100], [2, 0], [-100, 1]]])
loss("cross_entropy", F.cross_entropy, draw(3, 4), labels)
loss("cross_entropy_options", lambda x, t, w, reduction: F.cross_entropy(x, t, weight=w, label_smoothing=0.1, reduction=reduction), draw(3, 4), labels, w)
loss("cross_entropy_maps", lambda x, t, w, reduction: F.cross_entropy(x, t, weight=w, label_smoothing=0.2, reduction=reduction), draw(2, 3, 3, 2), maps, w[:3])
loss("cross_entropy_ignore", F.cross_entropy, draw(2, 3, 3, 2), maps)
loss("cross_entropy_vector", F.cross_entropy, draw(4), torch.tensor(1))
loss("cross_entropy_probabilities", lambda x, t, w, reduction: F.cross_entropy(x, t, weight=w, label_smoothing=0.1, reduction=reduction), draw(3, 4), draw(3, 4).softmax(-1), w)
loss("nll", lambda x, t, w, reduction: F.nll_loss(x, t, weight=w, reduction=reduction), draw(3, 4), labels, w)
loss("multi_margin", F.multi_margin_loss, draw(3, 4), labels)
loss("multi_margin_options", lambda x, t, w, reduction: F.multi_margin_loss(x, t, p=2, margin=0.7, weight=w, reduction=reduction), draw(3, 4), labels, w)

# ---- optimisers: the parameters after each of five steps ----

start_a, start_b = draw(2, 3), draw(4)
target_a = draw(2, 3)
record("optimizer", "a", start_a)
record("optimizer", "b", start_b)
record("optimizer", "target", target_a)


def objective(a, b):
    return ((a - target_a) ** 2).sum() + (b**4).sum() * 0.25 + b.sum() * a.sum() * 0.1


def optimizer(case, make, clip=None):
    a, b = start_a.clone().requires_grad_(), start_b.clone().requires_grad_()
    o = make([a, b])
    for step in range(5):
        o.zero_grad()
        objective(a, b).backward()
        if clip:
            clip([a, b])
        o.step()
        record(f"optimizer_{case}", f"a{step}", a)
        record(f"optimizer_{case}", f"b{step}", b)


class Lion(torch.optim.Optimizer):
    """As in the paper's algorithm 2."""

    def __init__(self, params):
        super().__init__(params, {})

    @torch.no_grad()
    def step(self):
        lr, b1, b2, wd = 0.01, 0.9, 0.99, 0.1
        for p in self.param_groups[0]["params"]:
            m = self.state[p].setdefault("m", torch.zeros_like(p))
            update = (b1 * m + (1 - b1) * p.grad).sign()
            p.sub_(lr * (update + wd * p))
            m.mul_(b2).add_(p.grad, alpha=1 - b2)


class Muon(torch.optim.Optimizer):
    """As torch.optim.Muon (2.9), in f64; vectors are one row."""

    def __init__(self, params):
        super().__init__(params, {})

    @torch.no_grad()
    def step(self):
        lr, momentum, wd = 0.05, 0.9, 0.1
        for p in self.param_groups[0]["params"]:
            if p.ndim != 2:
                continue
            buf = self.state[p].setdefault("m", torch.zeros_like(p))
            buf.lerp_(p.grad, 1 - momentum)
            x = p.grad.lerp(buf, momentum)
            if x.shape[0] > x.shape[1]:
                x = x.T
            x = x / x.norm().clamp(min=1e-7)
            for _ in range(5):
                g = x @ x.T
                x = 3.4445 * x + (-4.7750 * g + 2.0315 * g @ g) @ x
            if p.shape[0] > p.shape[1]:
                x = x.T
            p.mul_(1 - lr * wd)
            p.sub_(lr * max(1, p.shape[0] / p.shape[1]) ** 0.5 * x)


O = torch.optim
optimizer("sgd", lambda p: O.SGD(p, 0.05, momentum=0.9, dampening=0.3, weight_decay=0.1))
optimizer("sgd_nesterov", lambda p: O.SGD(p, 0.05, momentum=0.9, nesterov=True))
optimizer("adam", lambda p: O.Adam(p, 0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.1))
optimizer("adamw", lambda p: O.AdamW(p, 0.1, weight_decay=0.2))
optimizer("adam_amsgrad", lambda p: O.Adam(p, 0.1, betas=(0.5, 0.6), amsgrad=True))
optimizer("adamw_amsgrad", lambda p: O.AdamW(p, 0.1, betas=(0.5, 0.6), amsgrad=True))
optimizer("rmsprop", lambda p: O.RMSprop(p, 0.05, alpha=0.9))
optimizer("rmsprop_centered", lambda p: O.RMSprop(p, 0.05, alpha=0.9, momentum=0.5, centered=True, weight_decay=0.1))
optimizer("adagrad", lambda p: O.Adagrad(p, 0.3, lr_decay=0.1, weight_decay=0.1))
optimizer("lion", Lion)
optimizer("muon", Muon)
optimizer("clip_norm", lambda p: O.SGD(p, 0.1), lambda p: nn.utils.clip_grad_norm_(p, 1.5))
optimizer("clip_value", lambda p: O.SGD(p, 0.1), lambda p: nn.utils.clip_grad_value_(p, 0.5))

# L-BFGS on Rosenbrock's valley: parameters after each step of five iterations.
x = torch.tensor([-1.2, 1.0]).requires_grad_()
o = O.LBFGS([x], max_iter=5, max_eval=1000, line_search_fn="strong_wolfe")


def closure():
    o.zero_grad()
    value = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
    value.backward()
    return value


for step in range(4):
    o.step(closure)
    record("lbfgs", f"x{step}", x)

# ---- schedules: the rate before each of 30 steps ----


def schedule(case, make):
    p = torch.zeros(1, requires_grad=True)
    o = O.SGD([p], 0.5)
    s = make(o)
    rates = []
    for _ in range(30):
        rates.append(o.param_groups[0]["lr"])
        o.step()
        s.step()
    record("schedule", case, torch.tensor(rates))


S = torch.optim.lr_scheduler
schedule("constant", lambda o: S.ConstantLR(o, 0.25, total_iters=7))
schedule("step", lambda o: S.StepLR(o, 6, gamma=0.5))
schedule("multi_step", lambda o: S.MultiStepLR(o, [4, 9, 10], gamma=0.3))
schedule("exponential", lambda o: S.ExponentialLR(o, 0.9))
schedule("linear", lambda o: S.LinearLR(o, 0.1, 1.0, total_iters=12))
schedule("cosine", lambda o: S.CosineAnnealingLR(o, 29, eta_min=0.01))
schedule("cosine_restarts", lambda o: S.CosineAnnealingWarmRestarts(o, 4, 2, eta_min=0.01))
schedule("polynomial", lambda o: S.PolynomialLR(o, 20, power=2.0))
schedule("one_cycle", lambda o: S.OneCycleLR(o, 0.5, total_steps=31))
schedule("chained", lambda o: S.ChainedScheduler([S.ExponentialLR(o, 0.95), S.ConstantLR(o, 0.5, total_iters=5)]))
schedule("sequential", lambda o: S.SequentialLR(o, [S.LinearLR(o, 0.1, 1.0, total_iters=5), S.StepLR(o, 4, gamma=0.5)], [5]))

measures = [3.0, 2.0, 2.1, 1.9999, 2.5, 2.0, 1.0, 1.0, 1.1, 1.0, 1.0, 1.0, 1.0, 0.5, 0.6, 0.6, 0.6, 0.6, 0.6, 0.6]
o = O.SGD([torch.zeros(1, requires_grad=True)], 0.5)
s = S.ReduceLROnPlateau(o, factor=0.3, patience=2, cooldown=2, min_lr=0.02)
rates = []
for m in measures:
    s.step(m)
    rates.append(o.param_groups[0]["lr"])
record("schedule", "measures", measures)
record("schedule", "plateau", rates)

# ---- layers that came later: at the end, so that the cases before keep their numbers ----

layer("conv1d_reflect", nn.Conv1d(2, 2, 3, padding=3, padding_mode="reflect"), draw(2, 2, 4))
layer("conv1d_circular", nn.Conv1d(2, 2, 3, padding=4, stride=2, padding_mode="circular"), draw(2, 2, 4))
layer("conv2d_reflect", nn.Conv2d(2, 4, 3, padding=(2, 0), groups=2, padding_mode="reflect"), draw(2, 2, 4, 5))
layer("conv2d_replicate", nn.Conv2d(2, 2, 3, padding=(1, 5), padding_mode="replicate"), draw(2, 2, 3, 4))
layer("conv2d_circular", nn.Conv2d(2, 2, (2, 3), padding=1, dilation=2, padding_mode="circular"), draw(1, 2, 4, 5))
layer("embedding_padding", nn.Embedding(6, 3, padding_idx=2), torch.tensor([[1, 2, 1], [0, 2, 5]]))
