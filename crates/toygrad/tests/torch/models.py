"""Four models trained for 50 steps by PyTorch and by toygrad, from the same weights on the same data.

Needs PyTorch and safetensors, and is run in this folder:

    python models.py write        # models/: first and trained weights, losses, outputs, by PyTorch
    cargo test -p toygrad --test torch models       # the same by toygrad, compared with these
    python models.py check ../../../../target/tmp/torch > models/agreement.txt

The second command leaves what toygrad trained in the folder that the third one loads: strictly, under
the same names.
"""

import gzip
import math
import pathlib
import platform
import sys

import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import nn

HERE = pathlib.Path(__file__).parent
MODELS = HERE / "models"
STEPS, BATCH = 50, 32

torch.set_num_threads(1)
rows = [[float(x) for x in line.split(",")] for line in gzip.open(HERE / "../../data/digits.csv.gz", "rt")]
digits = torch.tensor([row[:64] for row in rows]) / 16
labels = torch.tensor([int(row[64]) for row in rows])
text = (HERE / "../../../../LICENSE-APACHE").read_text(encoding="utf-8")
alphabet = sorted(set(text))
tokens = torch.tensor([alphabet.index(c) for c in text])


def digit_batch(step):
    part = slice(step * BATCH, (step + 1) * BATCH)
    return digits[part], labels[part]


def text_batch(step):
    """Eight windows of 32 characters, and the same one character later."""
    starts = [24 * (8 * step + i) for i in range(8)]
    return tuple(torch.stack([tokens[s + shift :][:32] for s in starts]) for shift in (0, 1))


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(64, 32), nn.Linear(32, 10)])

    def forward(self, x):
        return self.layers[1](self.layers[0](x).relu())


class Cnn(nn.Sequential):
    def __init__(self):
        def block(inputs, outputs):
            conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
            return [conv, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

        super().__init__(*block(1, 4), *block(4, 8), nn.Flatten(), nn.Linear(32, 10))

    def forward(self, x):
        return super().forward(x.reshape(-1, 1, 8, 8))


class Gpt(nn.Module):
    def __init__(self, vocabulary=len(alphabet), context=32, layers=2, heads=2, width=16):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Embedding(context, width)
        options = dict(dropout=0.0, activation="gelu", batch_first=True, norm_first=True)
        block = lambda: nn.TransformerEncoderLayer(width, heads, 4 * width, **options)
        self.blocks = nn.ModuleList([block() for _ in range(layers)])
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary)
        for embedding in (self.tokens, self.positions):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, x):
        n = x.shape[1]
        h = self.tokens(x) + self.positions(torch.arange(n))
        for block in self.blocks:
            h = block(h, src_mask=torch.ones(n, n, dtype=torch.bool).triu(1))
        return self.output(self.norm(h))


class Lstm(nn.Module):
    """Reads a digit row by row."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 16, num_layers=2, batch_first=True)
        self.output = nn.Linear(16, 10)

    def forward(self, x):
        return self.output(self.lstm(x.reshape(-1, 8, 8))[0][:, -1])


def loss(model, x, y):
    return F.cross_entropy(model(x).flatten(0, -2), y.flatten())


O = torch.optim
# RMSprop's rate: from 0.003 on, rounding grows with the steps, and PyTorch in f32 leaves PyTorch in f64
# by more than a part in a thousand. With these rates it stays within one in a million.
# Model, optimiser, data, length of the cosine schedule, norm of the gradient, inputs of the outputs.
CASES = {
    "mlp": (Mlp, lambda p: O.SGD(p, 0.03, momentum=0.9), digit_batch, None, None, digits[-4:]),
    "cnn": (Cnn, lambda p: O.Adam(p, 0.01), digit_batch, None, None, digits[-4:]),
    "gpt": (Gpt, lambda p: O.AdamW(p, 0.01, betas=(0.9, 0.95), weight_decay=0.1), text_batch, STEPS, 1.0, tokens[:4].reshape(1, 4)),
    "lstm": (Lstm, lambda p: O.RMSprop(p, 0.002), digit_batch, None, None, digits[-4:]),
}


def train(model, optimizer, batch, cosine, clip):
    optimizer = optimizer(model.parameters())
    schedule = O.lr_scheduler.CosineAnnealingLR(optimizer, cosine) if cosine else None
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        value = loss(model, *batch(step))
        value.backward()
        if clip:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        if schedule:
            schedule.step()
        losses.append(value.item())
    return losses


@torch.no_grad()
def outputs(model, x):
    return model.eval()(x)


def line(case, key, x):
    x = torch.as_tensor(x)
    numbers = " ".join(f"{v:.9g}" for v in x.flatten().tolist())
    return f"{case} {key} {','.join(map(str, x.shape))} {numbers}\n"


def write():
    MODELS.mkdir(exist_ok=True)
    golden = ""
    for i, (case, (make, optimizer, batch, cosine, clip, x)) in enumerate(CASES.items()):
        torch.manual_seed(i)
        first = MODELS / f"{case}.first.safetensors"
        save_file(make().state_dict(), first)
        model = make()
        model.load_state_dict(load_file(first))
        golden += line(f"model_{case}", "losses", train(model, optimizer, batch, cosine, clip))
        save_file(model.state_dict(), MODELS / f"{case}.trained.safetensors")
        golden += line(f"model_{case}", "outputs", outputs(model, x))
    (MODELS / "golden.txt").write_text(golden)


def check(folder):
    golden = {}
    for row in (MODELS / "golden.txt").read_text().splitlines():
        case, key, _, *numbers = row.split()
        golden[case, key] = torch.tensor([float(x) for x in numbers], dtype=torch.float64)
    versions = f"PyTorch {torch.__version__.split('+')[0]}, safetensors {safetensors.__version__}, Python {platform.python_version()}"
    print(f"# Written by `python models.py check`: {versions}, {platform.machine()}.")
    print("# losses: the largest relative difference of the losses of 50 steps.")
    print("# outputs: the largest difference between what toygrad and PyTorch compute of the weights that")
    print("# toygrad trained and wrote, loaded by load_state_dict(strict=True); and the largest output.")
    print("model losses outputs largest_output")
    for case, (make, *_, x) in CASES.items():
        model = make()
        model.load_state_dict(load_file(folder / f"{case}.safetensors"), strict=True)
        ours = load_file(folder / f"{case}.numbers.safetensors")
        expected = golden[f"model_{case}", "losses"]
        off = ((ours["losses"] - expected) / expected).abs().max().item()
        y = outputs(model, x)
        assert ours["outputs"].shape == y.shape and not math.isnan(off)
        difference = (ours["outputs"] - y).abs().max().item()
        assert off <= 1e-4 and difference <= 1e-4 * y.abs().max().item(), (case, off, difference)
        print(f"{case} {off:.1e} {difference:.1e} {y.abs().max().item():.3g}")


if sys.argv[1:] == ["write"]:
    write()
elif sys.argv[1:2] == ["check"] and len(sys.argv) == 3:
    check(pathlib.Path(sys.argv[2]))
else:
    sys.exit(__doc__)
