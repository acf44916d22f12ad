"""What bits depend on beside code and versions: instruction set, compiler, and what libraries make of a processor.

All workers of a command get the same `Arithmetic`, chosen once by the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from algorithms import toolchain
from experiments.errors import UserError

INSTRUCTION_SET_HELP = "Calculate with avx512, avx2 or scalar instructions on every node; default: the best of the processor."
KERNELS_HELP = "Folder of compiled kernels, the user's own; default: in the user's cache folder."

# Of usual processors, from the best on; on others there is only what the compiler finds.
INSTRUCTION_SETS = tuple(toolchain.X86)

# The keys of `requirements`.
ARITHMETIC = ("instruction_set", "compiler", "libraries")

if TYPE_CHECKING:  # with torch, which commands that only start workers do without
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
        scalar = self.instruction_set == "scalar"
        better = [name for name in toolchain.features("found") if scalar or name.startswith(("AVX512", "X86_V4"))]
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

        here = toolchain.compiler_version()
        if here is None or here != self.compiler:
            raise UserError(
                f"this process finds {here or 'no compiler that works'} where {self.compiler} was chosen; "
                "give them the same compiler and start again."
            )
        check_instruction_set(self.instruction_set)
        return kernels.Compiler(self.instruction_set, KernelCache(self.kernels, self.instruction_set, here))


def choose(instruction_set: str | None = None, folder: Path | None = None) -> Arithmetic:
    """Choose for this machine, once for all workers. Raise `UserError` where what is asked for cannot be had."""
    from experiments.kernel_cache import KernelCache, default_folder

    chosen = instruction_set or toolchain.best_instruction_set()
    check_instruction_set(chosen)
    compiler, place = toolchain.compiler_version(), (folder or default_folder()).absolute()
    if compiler is not None:
        if not toolchain.compiler_knows(chosen):
            raise UserError(
                f"{compiler} cannot compile for {chosen}; install a newer one, or choose another --instruction-set."
            )
        KernelCache(place, chosen, compiler)  # raises where it cannot be used
    return Arithmetic(chosen, instruction_set is not None, compiler, place)


def check_instruction_set(instruction_set: str) -> None:
    """Raise `UserError` unless this processor has an instruction set."""
    usable = toolchain.usable_instruction_sets()
    if instruction_set not in usable:
        raise UserError(
            f"kernels for {instruction_set!r} cannot run on this processor; choose --instruction-set from {', '.join(usable)}."
        )


def requirements(arithmetic: Arithmetic | None) -> dict[str, str | None]:
    """Return what must be equal, beside versions, for a run to go on to the same bytes; see `experiments.checkpoint`.

    With an `Arithmetic`, of compiled kernels as well.
    """
    from experiments.libraries import libraries

    compiled = {} if arithmetic is None else {"instruction_set": arithmetic.instruction_set, "compiler": arithmetic.compiler}
    return {**compiled, "libraries": libraries()}
