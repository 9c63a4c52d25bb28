"""Runs the exported models of the tests beside it under ONNX Runtime, and compares.

    python check.py > results.md

needs the packages onnx, onnxruntime and numpy, and cargo. Exits with 1 if a model is not valid or a
difference is larger than TOLERANCE (relative to the largest number of an output, at least 1).
"""

import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as errors

TOLERANCE = 1e-5
# Of random graphs in f32, whose rounding errors grow.
TOLERANCE_OF_GRAPHS = 2e-4
MODELS = ["feed-forward", "convolutional", "transformer"]


def write(folder):
    command = "cargo test -q -p toygrad --features onnx --test onnx --test graphs"
    command += " -- --include-ignored onnx"
    here = pathlib.Path(__file__).parent
    environment = {**os.environ, "TOYGRAD_ONNX": folder}
    subprocess.run(command.split(), cwd=here, env=environment, check=True, stdout=sys.stderr)


def difference(ours, theirs):
    """The largest difference, and the same relative to the largest number."""
    assert ours.shape == theirs.shape, f"shape {theirs.shape}, not {ours.shape}"
    assert ours.dtype == theirs.dtype, f"{theirs.dtype}, not {ours.dtype}"
    if ours.size == 0:
        return 0.0, 0.0
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    with np.errstate(invalid="ignore"):
        off = np.where(same, 0.0, np.abs(ours - theirs))
    off = np.where(np.isnan(off), np.inf, off)
    finite = np.abs(ours[np.isfinite(ours)])
    return off.max(), off.max() / max(1.0, finite.max(initial=0.0))


def session_of(path):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    try:
        return ort.InferenceSession(path, options, providers=providers)
    except errors.InvalidArgument:
        # Its optimiser breaks some valid graphs that have operators without a kernel.
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        return ort.InferenceSession(path, options, providers=providers)


def check(path):
    """Differences of a model over all its arrays."""
    onnx.checker.check_model(onnx.load(path), full_check=True)
    session = session_of(path)
    found = []
    for arrays in sorted(path.parent.glob(path.stem + ".*.npz")):
        arrays = np.load(arrays)
        names = [i.name for i in session.get_inputs()]
        outputs = session.run(None, {n: arrays[f"input_{i}"] for i, n in enumerate(names)})
        found += [difference(arrays[f"output_{i}"], y) for i, y in enumerate(outputs)]
    return max(d for d, _ in found), max(r for _, r in found)


def main():
    results, missing, faults = {}, [], []
    with tempfile.TemporaryDirectory() as folder:
        write(folder)
        for path in sorted(pathlib.Path(folder).glob("*.onnx")):
            try:
                results[path.stem] = check(path)
            except errors.NotImplemented:
                # The model is valid; the runtime has no kernel for a dtype of an operator.
                missing.append(path.stem)
            except Exception as e:
                faults.append(f"{path.stem}: {e}")
    for name, (d, r) in results.items():
        if r > (TOLERANCE_OF_GRAPHS if name.startswith("graph-") else TOLERANCE):
            faults.append(f"{name}: differs by {d:.3g}")

    print("# ONNX Runtime and toygrad\n")
    print("Written by `python check.py > results.md`, with")
    print(f"onnx {onnx.__version__}, onnxruntime {ort.__version__}, numpy {np.__version__} (CPU).")
    print("The largest difference of an element of an output, over a batch of 5 and one of 1:\n")
    print("| model | largest difference |\n| --- | --- |")
    for name in MODELS:
        print(f"| {name} | {results[name][0]:.2g} |" if name in results else f"| {name} | - |")
    for what, chosen in [
        ("Other layers, rows of the table, kinds of nodes", lambda n: not n.startswith("graph-")),
        ("Random graphs with their gradients", lambda n: n.startswith("graph-")),
    ]:
        others = {n: d for n, d in results.items() if n not in MODELS and chosen(n)}
        worst = max(others, key=lambda n: others[n][1])
        exact = sum(d == 0.0 for d, _ in others.values())
        print(f"\n{what}: {len(others)} models, {exact} of them equal to the bit.")
        d, r = others[worst]
        print(f"The largest difference is {d:.2g}, relative to the largest number {r:.2g} ({worst}).")
    if missing:
        rows = [n.removeprefix("row-") for n in missing if not n.startswith("graph-")]
        print(f"\nValid, but not run, as this runtime has no kernel for a dtype: {len(missing)}, of them")
        print(f"the rows {', '.join(rows)}.")
    for fault in faults:
        print(fault, file=sys.stderr)
    sys.exit(bool(faults))


main()
