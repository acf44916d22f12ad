"""What bits depend on beside code and versions: instruction set, compiler, and what libraries make of a processor.

All workers of a command get the same `Arithmetic`, chosen once by the command.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from experiments.errors import UserError

INSTRUCTION_SET_HELP = "Calculate with avx512, avx2 or scalar instructions on every node; default: the best of the processor."
KERNELS_HELP = "Folder of compiled kernels, the user's own; default: in the user's cache folder."

# Of usual processors, from the best on; on others there is only what the compiler finds.
INSTRUCTION_SETS = ("avx512", "avx2", "scalar")

# The keys of `requirements`.
ARITHMETIC = ("instruction_set", "compiler", "libraries")

if TYPE_CHECKING:  # with torch, which planning does without
    from algorithms.kernels import Compiler


@dataclass(frozen=True)
class Arithmetic:
    """How lanes are compiled.

    Attributes:
        instruction_set: that of compiled kernels.
        fixed: whether it was asked for; then the libraries are held to it as well, so that better processors do the same.
        compiler: what the C++ compiler calls itself; None where there is none, so that lanes run uncompiled.
        kernels: folder that compiled kernels are kept in.
    """

    instruction_set: str
    fixed: bool
    compiler: str | None
    kernels: Path

    def environment(self) -> dict[str, str]:
        """Return the environment variables that hold the libraries of a worker to the instruction set, if it was asked for.

        They are read once, when a library is loaded.
        """
        if not self.fixed or self.instruction_set not in ("avx2", "scalar"):
            return {}
        found: Sequence[str] = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
        scalar = self.instruction_set == "scalar"
        better = [name for name in found if scalar or name.startswith(("AVX512", "X86_V4"))]
        return {
            "ATEN_CPU_CAPABILITY": "default" if scalar else "avx2",
            "MKL_CBWR": "COMPATIBLE" if scalar else "AVX2",
            "ONEDNN_MAX_CPU_ISA": "SSE41" if scalar else "AVX2",
            "OPENBLAS_CORETYPE": "Nehalem" if scalar else "Haswell",
            "NPY_DISABLE_CPU_FEATURES": " ".join(better),
        }

    def lane_compiler(self) -> Compiler | bool:
        """Return the compiler for `Lanes`, False where there is none; raise `UserError` where it is not the chosen one."""
        if self.compiler is None:
            return False
        from algorithms import kernels
        from experiments.kernel_cache import KernelCache

        here = kernels.compiler_version()
        if here is None or here != self.compiler:
            raise UserError(
                f"this process finds {here or 'no compiler that works'} where {self.compiler} was chosen; "
                "give them the same compiler and start again."
            )
        _check(self.instruction_set)
        return kernels.Compiler(self.instruction_set, KernelCache(self.kernels, self.instruction_set, here))


def choose(instruction_set: str | None = None, folder: Path | None = None) -> Arithmetic:
    """Choose for this machine, once for all workers. Raise `UserError` where what is asked for cannot be had."""
    from algorithms import kernels
    from experiments.kernel_cache import KernelCache, default_folder

    chosen = instruction_set or kernels.best_instruction_set()
    _check(chosen)
    compiler, place = kernels.compiler_version(), (folder or default_folder()).absolute()
    if compiler is not None:
        if not kernels.compiler_knows(chosen):
            raise UserError(
                f"{compiler} cannot compile for {chosen}; install a newer one, or choose another --instruction-set."
            )
        KernelCache(place, chosen, compiler)  # raises where it cannot be used
    return Arithmetic(chosen, instruction_set is not None, compiler, place)


def _check(instruction_set: str) -> None:
    from algorithms import kernels

    usable = kernels.usable_instruction_sets()
    if instruction_set not in usable:
        raise UserError(
            f"kernels for {instruction_set!r} cannot run on this processor; choose --instruction-set from {', '.join(usable)}."
        )


def requirements(arithmetic: Arithmetic | None) -> dict[str, str | None]:
    """Return what must be equal, beside versions, for a run to go on to the same bytes; see `experiments.checkpoint`.

    With an `Arithmetic`, of compiled kernels as well.
    """
    compiled = {} if arithmetic is None else {"instruction_set": arithmetic.instruction_set, "compiler": arithmetic.compiler}
    return {**compiled, "libraries": libraries()}


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
