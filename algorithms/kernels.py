"""Kernels: a traced step compiled into machine code, which a compiler and an instruction set decide to the last bit.

Inductor would find out both by itself, in every process anew and by trying: where a try fails, or on another processor, the
same graph becomes other code with other bits. Here they are chosen once, by whoever starts the processes, and handed in.

Inductor keeps what it compiles in a folder of the system's for temporary files. A process that is killed while it compiles
leaves half a kernel there, under the name of a whole one, and every later process fails on it. Here each kernel is compiled
in a folder of its own, which goes away; a `Cache` may keep a copy of the whole for the next process.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from unittest.mock import patch

import torch
from torch import Tensor

from algorithms.buffers import Buffers
from algorithms.toolchain import NATIVE, X86, best_instruction_set, compiler, usable_instruction_sets

# What this module asks of Inductor beside its options is in none of Inductor's own keys: kernels have other names with it.
SOURCE = Path(__file__).read_bytes()

# Longer ones are no layer's: they are the noise of a whole network, made number by number where each is used.
LARGEST_VECTOR = 4096


class Cache(Protocol):
    """Keeps copies of what a kernel was compiled to, by name."""

    def workspace(self) -> AbstractContextManager[Path]:
        """Give an empty folder that belongs to this process alone and goes away afterwards."""
        ...

    def restore(self, name: str, folder: Path) -> bool:
        """Copy what is kept under a name into an empty folder; return whether there was something, and whole."""
        ...

    def publish(self, name: str, folder: Path) -> None:
        """Keep a copy of a folder under a name, in place of what was there."""
        ...

    def discard(self, name: str, reason: str) -> None:
        """Remove what is kept under a name because it is of no use, and say so."""
        ...


class NoCache:
    """Keeps nothing: every process compiles for itself."""

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give a temporary folder."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(folder)

    def restore(self, name: str, folder: Path) -> bool:
        """Find nothing."""
        return False

    def publish(self, name: str, folder: Path) -> None:
        """Keep nothing."""

    def discard(self, name: str, reason: str) -> None:
        """Have nothing to remove."""


@dataclass(frozen=True)
class Compiler:
    """How to compile: for which instruction set, and where copies are kept.

    Attributes:
        instruction_set: one of `usable_instruction_sets`.
    """

    instruction_set: str = field(default_factory=best_instruction_set)
    cache: Cache = field(default_factory=NoCache)

    def compile(self, graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Any]:
        """Compile a traced step for inputs of these shapes. Raise where it cannot be compiled; never execute it otherwise."""
        name = _name(graph, inputs)
        with self.cache.workspace() as folder:
            if self.cache.restore(name, folder):
                kept = _files(folder)
                try:
                    kernel = _compile(graph, inputs, self.instruction_set, folder)
                except Exception as error:
                    lines = str(error).strip().splitlines() or [""]
                    self.cache.discard(name, f"{type(error).__name__}: {lines[0]}")
                    _empty(folder)
                else:
                    if _files(folder) - kept:  # something in it was for other options of the compiler
                        self.cache.publish(name, folder)
                    return kernel
            kernel = _compile(graph, inputs, self.instruction_set, folder)
            self.cache.publish(name, folder)
            return kernel


def _compile(graph: torch.fx.GraphModule, inputs: Sequence[Tensor], instruction_set: str, folder: Path) -> Callable[..., Any]:
    # Inductor is called on the traced graph directly: shapes are fixed, so the guards that `torch.compile` would check at
    # every call (a fifth of the step at 8 lanes) have nothing to guard.
    from torch._guards import TracingContext, tracing
    from torch._inductor import compile as inductor_compile
    from torch._inductor import config
    from torch._inductor.codegen.cpp import CppScheduling
    from torch._inductor.exc import InductorError
    from torch._inductor.runtime.cache_dir_utils import temporary_cache_dir
    from torch._subclasses import FakeTensorMode
    from torch.fx.experimental.symbolic_shapes import ShapeEnv

    target, command = (X86 | NATIVE)[instruction_set], compiler()
    # Only with a shape environment does Inductor look into its folder for what is compiled already.
    context = TracingContext(FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True))
    settings: dict[str, Any] = {
        "compile_threads": 1,
        "cpp.cxx": (command,),
        "size_asserts": False,
        "alignment_asserts": False,
        # A value read more than once is kept in memory: by default LayerNorm, with a root and a division, would be computed
        # again for every row of the matrix that follows.
        "realize_reads_threshold": 1,
        "realize_opcount_threshold": 10,
        # These would be 150 MB in the system's folder for temporary files, and broken by a kill like everything there.
        "cpp_cache_precompile_headers": False,
    }
    if instruction_set != "native":
        settings |= {
            "cpp.simdlen": target.bits,
            "cpp.vec_isa_ok": True,  # what the processor has is known; a compiler that cannot do it shall fail
            "cpp.march": target.architecture,  # not "native": kernels are shared by processors that differ in the rest
        }
    if instruction_set not in usable_instruction_sets():
        raise RuntimeError(f"this processor cannot run kernels for {instruction_set}")
    buffers = Buffers()
    with (
        temporary_cache_dir(str(folder)),
        tracing(context),
        config.patch(settings),
        _vectors(instruction_set),
        _loops(),
        buffers.given(),
    ):
        kernel: Callable[..., Any]
        try:
            kernel = inductor_compile(graph, list(inputs))
        except InductorError:
            # Loops fused around an outer one can be too much for Inductor: of PyTorch 2.13, it fails where one of them writes
            # the state that another has read (KeyError in `get_read_expr`). Then they stay apart. What compiles at once keeps
            # its bits.
            with patch.object(CppScheduling, "can_fuse_vertical_outer_loop", lambda *_: False):
                kernel = inductor_compile(graph, list(inputs))
        return buffers.around(kernel)


@contextmanager
def _vectors(instruction_set: str) -> Iterator[None]:
    """Let Inductor write for the vectors of an instruction set and for nothing else that this processor may have.

    By itself it would add VNNI, bfloat16 and matrix tiles, which no kernel here uses, after compiling a program for each of
    them: with all of them that is up to six programs in every process, 5 s of its start.
    """
    from torch._inductor import cpu_vec_isa

    if instruction_set == "native":
        yield
        return
    vectors = {"avx512": [cpu_vec_isa.VecAVX512()], "avx2": [cpu_vec_isa.VecAVX2()], "scalar": []}[instruction_set]
    with (
        patch.object(cpu_vec_isa, "valid_vec_isa_list", lambda: vectors),
        patch.object(cpu_vec_isa.VecAVX512, "__bool__", lambda _: True),  # by itself it tries bfloat16 here
    ):
        yield


@contextmanager
def _loops() -> Iterator[None]:
    """Let Inductor form loops as networks want them that learn from one sample (results/kernels).

    It walks through a matrix by rows wherever rows are whole vectors. By itself it takes all elements in one loop where it
    can; but an outer product needs rows and columns, so that it and what follows, such as Adam, would not become one loop, and
    the gradient would be written to memory and read again.

    And it keeps a layer's vector in memory that is used more than once, however little it takes to compute. By itself it would
    compute LeakyReLU again for every row of the matrix that follows. The comparison in it is slow beside a division: where it
    was measured, the instruction that makes numbers of its mask seemed to wait for what the register held before.
    """
    from torch._inductor.ir import Pointwise, StorageBox
    from torch._inductor.sizevars import SizeVarAllocator

    merge, realize = SizeVarAllocator._simplify_loops_impl, StorageBox.should_realize_on_reuse

    def simplify(self: Any, index_vars: Any, sizes: Any, formulas: Any) -> Any:
        if len(sizes) > 2 and 1 not in sizes and sizes[-1] % 16 == 0:  # lanes, rows, columns; 16 floats are AVX512's vector
            return list(sizes), list, list
        return merge(self, index_vars, sizes, formulas)

    def keep(self: Any, users: int, **options: Any) -> bool:
        if users > 1 and isinstance(self.data, Pointwise) and self.num_reads() > 0:
            size = self.data.get_size()  # lanes, units
            if len(size) == 2 and size[1] <= LARGEST_VECTOR:
                return True
        return realize(self, users, **options)

    with (
        patch.object(SizeVarAllocator, "_simplify_loops_impl", simplify),
        patch.object(StorageBox, "should_realize_on_reuse", keep),
    ):
        yield


def _name(graph: torch.fx.GraphModule, inputs: Sequence[Tensor]) -> str:
    """Return a name that differs between graphs and between versions of this module.

    Inductor makes sure by itself that what it finds is of this graph.
    """
    told = hashlib.sha256(SOURCE + graph.code.encode())
    for node in graph.graph.nodes:
        if node.op == "get_attr" and isinstance(value := getattr(graph, node.target), Tensor):
            told.update(f"{node.target} {value.dtype} {tuple(value.shape)}".encode() + value.numpy().tobytes())
    for x in inputs:
        told.update(f"{x.dtype} {tuple(x.shape)} {x.stride()}".encode())
    return told.hexdigest()[:32]


def _files(folder: Path) -> set[Path]:
    """Return what Inductor has put into its folder, which it never changes afterwards. Locks are empty."""
    return {path.relative_to(folder) for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock"}


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()
