"""Files of other writers, for tests/files.rs: python make.py (needs numpy and safetensors)."""

import numpy as np
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
