"""What kernels are compiled with: the C++ compiler, and the instruction sets of this processor.

Both are found without torch, which takes seconds to load: a command that only starts workers does without it.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal, NamedTuple


class Target(NamedTuple):
    """An instruction set as Inductor knows it, by the bits of a vector, and as the compiler and NumPy do."""

    bits: int
    architecture: str | None
    features: frozenset[str] = frozenset()


# From the best to what every such processor has. `native` is what Inductor chooses on processors that are not listed.
X86 = {
    "avx512": Target(512, "x86-64-v4", frozenset({"X86_V4", "AVX512_SKX"})),
    "avx2": Target(256, "x86-64-v3", frozenset({"X86_V3", "AVX2"})),
    "scalar": Target(0, "x86-64"),
}
NATIVE = {"native": Target(0, None)}


def usable_instruction_sets() -> list[str]:
    """Return the instruction sets that this processor has, best first."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return list(NATIVE)
    has = {*features("baseline"), *features("found")}
    return [name for name, target in X86.items() if not target.features or target.features & has]


def features(kind: Literal["baseline", "found"]) -> Sequence[str]:
    """Return what NumPy calls the features of a processor: those that it was built for, and those that it found beside them."""
    import numpy as np

    told: Any = np.show_config(mode="dicts").get("SIMD Extensions", {})  # without what is empty
    found: Sequence[str] = told.get(kind, ())
    return found


def best_instruction_set() -> str:
    """Return the best of these, or what torch's own kernels are held to by ATEN_CPU_CAPABILITY."""
    usable, held = usable_instruction_sets(), os.environ.get("ATEN_CPU_CAPABILITY", "")
    if held == "default" and "scalar" in usable:
        return "scalar"
    return held if held in usable else usable[0]


@cache
def compiler() -> str | None:
    """Return the command of the C++ compiler, that of CXX if it is set; None where there is none that works."""
    command = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    return command if _answers(command) is not None else None


@cache
def compiler_version() -> str | None:
    """Return what the C++ compiler calls itself; None where there is none, or where the headers of Python are missing."""
    command = compiler()
    if command is None:
        return None
    headers = [command, "-fsyntax-only", "-I", sysconfig.get_path("include"), "-x", "c++", "-"]
    if subprocess.run(headers, input=b"#include <Python.h>", capture_output=True).returncode != 0:
        return None
    return _answers(command)


def compiler_available() -> bool:
    """Return whether lanes can be compiled here: it takes a C++ compiler and the headers of Python."""
    return compiler_version() is not None


def compiler_knows(instruction_set: str) -> bool:
    """Return whether the C++ compiler can make code for an instruction set."""
    target, command = (X86 | NATIVE)[instruction_set], compiler()
    if target.architecture is None:
        return True
    if command is None:
        return False
    words = [command, f"-march={target.architecture}", "-fsyntax-only", "-x", "c++", "-"]
    return subprocess.run(words, input=b"", capture_output=True).returncode == 0


@cache
def _answers(command: str) -> str | None:
    """Return the first line of what a compiler says of its version; None where it does not run or answers with an error."""
    try:
        done = subprocess.run([command, "--version"], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.partition("\n")[0].strip() if done.returncode == 0 else None
