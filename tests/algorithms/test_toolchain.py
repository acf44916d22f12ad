"""The compiler and the instruction sets: found without torch, and the same that torch finds."""

import os
import subprocess

import pytest
import torch
from experiment_support import python
from torch._inductor.cpp_builder import get_cpp_compiler

from algorithms import toolchain
from algorithms.toolchain import best_instruction_set, compiler, compiler_available, compiler_knows, compiler_version
from experiments.arithmetic import Arithmetic

needs_x86 = pytest.mark.skipif("scalar" not in toolchain.usable_instruction_sets(), reason="not one of the usual processors")


def answer(program: str, **environment: str) -> str:
    told = python("-c", program, env=os.environ | environment)
    assert told.code == 0, told
    return told.out.strip()


@needs_x86
def test_instruction_sets_are_those_that_torch_sees():
    usable = toolchain.usable_instruction_sets()
    assert ("avx512" in usable, "avx2" in usable) == (torch.cpu._is_avx512_supported(), torch.cpu._is_avx2_supported())
    assert usable[-1] == "scalar"


@needs_x86
@pytest.mark.parametrize("held", ["", "avx2", "default"])
def test_best_instruction_set_is_that_of_torchs_own_kernels(held, monkeypatch):
    if held == "avx2" and held not in toolchain.usable_instruction_sets():
        pytest.skip("this processor does not have avx2")
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", held)
    torchs = answer("import torch; print(torch.backends.cpu.get_cpu_capability())", ATEN_CPU_CAPABILITY=held).lower()
    assert best_instruction_set() == {"default": "scalar"}.get(torchs, torchs)


@needs_x86
@pytest.mark.parametrize("held", ["avx2", "scalar"])
def test_worker_that_is_held_to_an_instruction_set_finds_that_one(held, tmp_path):
    if held not in toolchain.usable_instruction_sets():
        pytest.skip(f"this processor does not have {held}")
    environment = Arithmetic(held, True, None, tmp_path).environment()
    asked = "from algorithms import toolchain; print(toolchain.best_instruction_set(), *toolchain.usable_instruction_sets())"
    best, *usable = answer(asked, **environment).split()
    assert (best, usable[0], usable[-1]) == (held, held, "scalar")


def test_neither_is_worth_loading_torch():
    asked = "from algorithms import toolchain as t; t.best_instruction_set(); t.compiler_version(); t.compiler_knows('scalar')"
    assert answer(f"import sys; {asked}; print('torch' in sys.modules)") == "False"


@pytest.mark.skipif(not compiler_available(), reason="there is no C++ compiler")
def test_compiler_is_that_which_inductor_would_take():
    assert compiler() == get_cpp_compiler()
    version = compiler_version()
    assert version is not None
    assert version in subprocess.run([get_cpp_compiler(), "--version"], capture_output=True, text=True).stdout


@pytest.mark.parametrize("command", ["a-compiler-that-nobody-has", "false", "/"])
def test_compiler_that_does_not_work_is_none(command, monkeypatch):
    monkeypatch.setenv("CXX", command)
    for found in (compiler, compiler_version):
        monkeypatch.setattr(toolchain, found.__name__, found.__wrapped__)
    assert (toolchain.compiler(), toolchain.compiler_version(), compiler_available()) == (None, None, False)
    assert not compiler_knows("scalar")


def test_compiler_without_the_headers_of_python_does_not_serve(tmp_path, monkeypatch):
    script = tmp_path / "c++"
    script.write_text("#!/bin/sh\ncase $1 in --version) echo a compiler 1.0;; *) exit 1;; esac\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    for found in (compiler, compiler_version):
        monkeypatch.setattr(toolchain, found.__name__, found.__wrapped__)
    assert toolchain.compiler() == str(script)
    assert toolchain.compiler_version() is None
