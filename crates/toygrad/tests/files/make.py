"""Files of other writers, for tests/files.rs and images.rs: python make.py (needs numpy, safetensors, pillow)."""

from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

a = np.arange(6, dtype=np.float32).reshape(2, 3) / 4
np.save("f4.npy", a)
np.save("f8-fortran.npy", np.asfortranarray(a.astype(np.float64)))
np.save("i2-big-endian.npy", np.array([1, -2, 300], dtype=">i2"))
np.save("f2.npy", np.array([1.5, -0.25, 65504], dtype=np.float16))
np.save("scalar.npy", np.array(7, dtype=np.int64))
np.savez("stored.npz", a=a, b=np.array([True, False]))
np.savez_compressed("packed.npz", a=a, b=np.array([True, False]))
save_file(
    {"a": a, "half": np.array([1.5, -0.25], dtype=np.float16), "i": np.array([[1], [-1]], dtype=np.int32)},
    "numpy.safetensors",
    metadata={"format": "np", "who": "safetensors"},
)

for folder in ("sky", "sea"):
    Path("images", folder).mkdir(parents=True, exist_ok=True)
rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3) * 10
Image.fromarray(rgb).save("images/sea/rgb.png")
Image.fromarray(rgb).convert("RGBA").save("images/sea/rgba.PNG")
Image.fromarray(rgb).quantize(colors=6, method=Image.Quantize.FASTOCTREE).save("images/sea/palette.png")
Image.fromarray(np.array([[0, 257, 65535], [25700, 2570, 12850]], dtype=np.uint16)).save("images/sky/grey16.png")
Image.fromarray(np.full((2, 3), 90, dtype=np.uint8)).save("images/sky/plain.jpg", quality=95)
Image.fromarray(np.zeros((3, 2), dtype=np.uint8)).save("tall.png")
