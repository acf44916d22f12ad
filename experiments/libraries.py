"""How the libraries of this process calculate: told by samples of what they give, since it cannot be asked everywhere."""

from __future__ import annotations

import hashlib
import math
from functools import cache

import numpy as np


@cache
def libraries() -> str:
    """Return a name for how this process's libraries calculate: torch's instruction set, and a digest of a few results.

    Matrix products, exponentials and the like are made by other code on other processors, in MKL, oneDNN, NumPy and the
    system's mathematical library. Which one it is cannot be asked everywhere, so that a sample of each is calculated.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        samples = [*_torch_samples(), *_numpy_samples(), *_libm_samples()]
    finally:
        torch.set_num_threads(threads)
    told = hashlib.sha256(b"".join(np.ascontiguousarray(x).tobytes() for x in samples))
    return f"{torch.backends.cpu.get_cpu_capability()} {told.hexdigest()[:12]}"


def _torch_samples() -> list[np.ndarray]:
    import torch

    # Sizes that fill no vector register, and numbers that need no generator.
    a = torch.linspace(-2, 3, 5 * 37 * 129).sin().reshape(5, 37, 129)
    b = torch.linspace(-3, 2, 5 * 129 * 67).cos().reshape(5, 129, 67)
    x = torch.linspace(0.01, 9, 997)
    image, filters = a[:2, :36, :36].reshape(2, 1, 36, 36), b[0, :3, :3].repeat(4, 1, 1).unsqueeze(1)
    found = [torch.bmm(a, b), a[0] @ b[0], a[0] @ b[0, :, 0], torch.nn.functional.conv2d(image, filters)]
    found += [f(x) for f in (torch.exp, torch.log, torch.tanh, torch.sqrt, torch.sigmoid, torch.sum)]
    found += [f(x.double()) for f in (torch.exp, torch.log, torch.tanh, torch.sum)]
    return [y.numpy() for y in found]


def _numpy_samples() -> list[np.ndarray]:
    a = np.array([math.sin(k) for k in range(48 * 33)]).reshape(48, 33)
    x = np.array([0.01 * k for k in range(1, 499)])
    functions = (np.exp, np.log, np.sin, np.cos, np.tanh, np.arctan, np.sqrt, np.sum)
    return [
        a @ a.T,
        a.astype(np.float32) @ a.T.astype(np.float32),
        *(np.asarray(f(y)) for f in functions for y in (x, x.astype(np.float32))),
    ]


def _libm_samples() -> list[np.ndarray]:
    functions = (math.exp, math.log, math.sin, math.cos, math.tan, math.atan, math.sqrt, math.tanh)
    return [np.array([f(0.013 * k) for k in range(1, 200) for f in functions] + [(0.7 + k) ** 1.3 for k in range(99)])]
