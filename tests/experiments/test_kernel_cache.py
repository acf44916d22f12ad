"""Compiled kernels: kept whole or not at all, whoever is killed; and never for another machine code than the one chosen."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from experiment_support import ALWAYS, NEVER, Answer, ask, in_child, make_run, one_sentence, python, snapshot, wait_until
from torch._inductor import cpu_vec_isa
from torch.fx.experimental.proxy_tensor import make_fx

from algorithms import kernels, toolchain
from algorithms.kernels import Compiler
from experiments import arithmetic, checkpoint, executor
from experiments.arithmetic import Arithmetic, requirements
from experiments.errors import UserError
from experiments.kernel_cache import OWNER, KernelCache, check_private
from experiments.libraries import libraries
from experiments.plan import Group
from experiments.progress import Progress
from experiments.store import Store
from experiments.worker import DONE, FAILED, STOPPED, Options, train_runs

needs_compiler = pytest.mark.skipif(not toolchain.compiler_available(), reason="no C++ compiler to compile kernels with")
BEST = toolchain.best_instruction_set()
INPUTS = [torch.linspace(-2, 2, 2 * 37).reshape(2, 37), torch.linspace(-1, 3, 2 * 5 * 37).reshape(2, 5, 37)]


def step(x: torch.Tensor, w: torch.Tensor) -> list[torch.Tensor]:
    return [(w * x.unsqueeze(1)).sum(-1).tanh(), x.exp()]


class Kernels:
    """A folder of kernels, and what was said about it."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.said: list[str] = []

    def cache(self, instruction_set: str = BEST, compiler: str = "g++ 12") -> KernelCache:
        return KernelCache(self.folder, instruction_set, compiler, self.said.append)

    def compile(self) -> list[bytes]:
        """Compile the graph as a process would that has just started; return the bits of what it calculates."""
        kernel = Compiler(BEST, self.cache()).compile(make_fx(step)(*INPUTS), INPUTS)
        return [y.numpy().tobytes() for y in kernel(*INPUTS)]

    def entries(self) -> list[Path]:
        return sorted(self.folder.glob("torch-*/*"))

    def work(self) -> list[Path]:
        return [path for path in (self.folder / "work").glob("*") if path.name != ".lock"]


@pytest.fixture(scope="module")
def bits(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    return Kernels(tmp_path_factory.mktemp("alone")).compile()


@pytest.fixture
def shared(tmp_path: Path) -> Kernels:
    return Kernels(tmp_path / "kernels")


@pytest.fixture
def no_compiling(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    def forbid() -> None:
        def refuse(*_: object, **__: object) -> None:
            raise RuntimeError("the compiler was called")

        monkeypatch.setattr("torch._inductor.cpp_builder.run_compile_cmd", refuse)

    return forbid


# Kept


@needs_compiler
def test_kernel_is_compiled_once_and_then_found(shared, bits, no_compiling):
    assert shared.compile() == bits
    (entry,) = shared.entries()
    before = entry.stat().st_ino
    no_compiling()
    assert shared.compile() == bits
    assert shared.entries() == [entry]
    assert entry.stat().st_ino == before, "it was written again"
    assert (shared.work(), shared.said) == ([], [])


@needs_compiler
def test_kernel_that_cannot_be_compiled_is_an_error_and_not_executed_otherwise(shared, no_compiling):
    no_compiling()
    with pytest.raises(Exception, match="the compiler was called"):
        shared.compile()
    assert (shared.entries(), shared.work()) == ([], [])


def empty(path: Path) -> None:
    os.truncate(path, 0)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    path.write_bytes(random.Random(0).randbytes(path.stat().st_size))


def turn_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[200] ^= 1
    path.write_bytes(content)


def make_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


@pytest.mark.parametrize("damage", [empty, cut, scramble, turn_a_byte, make_folder])
def test_damaged_kernel_is_noticed_removed_and_told_in_one_sentence(shared, damage):
    cache = shared.cache()
    with cache.workspace() as folder:
        (folder / "ab").mkdir()
        (folder / "ab" / "kernel.so").write_bytes(random.Random(1).randbytes(500))
        cache.publish("name", folder)
    (entry,) = shared.entries()
    damage(entry)
    with cache.workspace() as folder:
        assert not cache.restore("name", folder)
        assert list(folder.iterdir()) == []
        assert shared.entries() == []
        (sentence,) = shared.said
        assert sentence.startswith(f"the compiled kernel {entry} was of no use (")
        assert "\n" not in sentence
        (folder / "kernel.so").write_bytes(b"whole")
        cache.publish("name", folder)
    with cache.workspace() as folder:
        assert cache.restore("name", folder)
        assert (folder / "kernel.so").read_bytes() == b"whole"
    assert len(shared.said) == 1


@pytest.mark.slow
@needs_compiler
def test_library_that_was_emptied_before_it_was_kept_is_compiled_again(shared, bits):
    assert shared.compile() == bits
    (entry,) = shared.entries()
    with zipfile.ZipFile(entry) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    libraries_inside = [name for name in files if name.endswith(".main.so")]
    assert libraries_inside
    with zipfile.ZipFile(entry, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, b"" if name in libraries_inside else content)
    assert shared.compile() == bits
    (sentence,) = shared.said
    assert "file too short" in sentence
    assert shared.compile() == bits
    assert len(shared.said) == 1


def test_folder_that_is_full_costs_the_copy_and_not_the_kernel(shared, tmpfs):
    full = Kernels(tmpfs("64k") / "kernels")
    cache = full.cache()
    with cache.workspace() as folder:
        (full.folder / "filler").write_bytes(bytes(20_000))
        (folder / "kernel.so").write_bytes(random.Random(0).randbytes(24_000))
        cache.publish("name", folder)
        assert full.entries() == []
        (sentence,) = full.said
        assert "No space left on device" in sentence


# Killed


def start_child(shared: Kernels) -> int:
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        try:
            shared.compile()
        finally:
            os._exit(0)
    return pid


def written(place: Path) -> bool:
    """Return whether a process has begun to write its kernel into its folder."""
    return any(path.is_file() and path.name != OWNER for path in place.rglob("*"))


@needs_compiler
def test_processes_killed_while_they_compile_leave_nothing_that_others_stumble_over(shared, bits):
    dice, begun = random.Random(0), 0
    for _ in range(3):
        shared.cache()  # sweeps
        known = set(shared.work())
        victims = [start_child(shared) for _ in range(2)]
        wait_until(lambda known=known: len(set(shared.work()) - known) == 2 or shared.entries(), pause=0.002)
        wait_until(lambda: any(map(written, shared.work())) or shared.entries(), pause=0.002)
        time.sleep(dice.uniform(0.0, 0.3))
        for pid in victims:
            os.kill(pid, signal.SIGKILL)  # its compiler lives on and writes into the folder of the dead
        for pid in victims:
            os.waitpid(pid, 0)
        begun += sum(map(written, shared.work()))
        for entry in shared.entries():
            assert zipfile.ZipFile(entry).testzip() is None
            entry.unlink()  # so that there is something to compile
    assert begun > 1, "nobody was killed half-way"
    assert shared.compile() == bits
    assert len(shared.entries()) == 1
    wait_until(lambda: shared.cache() and not shared.work())
    assert shared.said == []


@pytest.mark.slow
@needs_compiler
def test_two_processes_compile_the_same_kernel_at_once(shared, bits):
    def same() -> None:
        assert shared.compile() == bits

    other = start_child(shared)
    assert in_child(same) == 0
    assert os.waitstatus_to_exitcode(os.waitpid(other, 0)[1]) == 0
    assert len(shared.entries()) == 1
    assert (shared.work(), shared.said) == ([], [])


def test_folders_of_the_dead_are_swept_and_those_of_the_living_and_of_other_hosts_are_not(shared):
    cache = shared.cache()
    with cache.workspace() as living:
        killed = os.fork()
        if killed == 0:
            with cache.workspace() as mine:
                (mine / "half.so").touch()
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(killed, 0)
        elsewhere, long_ago = (shared.folder / "work" / name for name in ("another.abc", "another.def"))
        elsewhere.mkdir()
        long_ago.mkdir()
        os.utime(long_ago, (0, 0))
        assert len(shared.work()) == 4
        shared.cache()
        assert set(shared.work()) == {living.parent, elsewhere}
    assert shared.work() == [elsewhere]


# Whose folder


def test_new_folder_is_private(shared):
    shared.cache()
    modes = {path.stat().st_mode & 0o777 for path in (shared.folder, *shared.folder.iterdir())}
    assert modes == {0o700}


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_folder_that_others_may_write_to_is_refused(shared, mode):
    shared.folder.mkdir()
    shared.folder.chmod(mode)
    with pytest.raises(UserError, match="other users may write to the folder for compiled kernels"):
        shared.cache()
    assert list(shared.folder.iterdir()) == []


def test_folder_below_one_that_others_may_write_to_is_refused_but_not_in_the_folder_for_temporary_files(tmp_path):
    (tmp_path / "open" / "mine").mkdir(parents=True)
    (tmp_path / "open").chmod(0o1777)
    check_private(tmp_path / "open" / "mine")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(UserError, match="open and so replace the folder"):
        check_private(tmp_path / "open" / "mine")


def test_folder_whose_path_would_fall_apart_in_a_command_line_is_refused(tmp_path):
    with pytest.raises(UserError, match="a space or another special character"):
        Kernels(tmp_path / "my kernels").cache()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_folder_of_another_user_is_refused(shared):
    shared.folder.mkdir()
    os.chown(shared.folder, 12345, 12345)
    with pytest.raises(UserError, match="belongs to another user"):
        shared.cache()


def test_kernels_of_another_instruction_set_or_compiler_are_not_seen(shared):
    caches = [shared.cache("avx512"), shared.cache("avx2"), shared.cache("avx512", "g++ 13")]
    with caches[0].workspace() as folder:
        (folder / "kernel.so").touch()
        caches[0].publish("name", folder)
    found = []
    for cache in caches:
        with cache.workspace() as folder:
            found.append(cache.restore("name", folder))
    assert found == [True, False, False]


@pytest.mark.slow
@needs_compiler
def test_kernels_of_another_version_of_this_suites_compiling_are_not_taken(shared, bits, monkeypatch):
    assert shared.compile() == bits
    (before,) = shared.entries()
    monkeypatch.setattr(kernels, "SOURCE", kernels.SOURCE + b"\n# asks for other loops\n")
    assert shared.compile() == bits
    assert set(shared.entries()) > {before}


# Which instruction set


@needs_compiler
@pytest.mark.skipif(BEST not in ("avx512", "avx2"), reason="a processor without vectors")
def test_nothing_is_compiled_to_try_an_instruction_set_out(shared, bits, monkeypatch):
    tried = []
    monkeypatch.setattr(cpu_vec_isa.VecISA, "check_build", lambda *what: tried.append(what))
    for remembered in (cpu_vec_isa.valid_vec_isa_list, cpu_vec_isa.VecAVX512.__bool__, cpu_vec_isa.VecAVX512VNNI.__bool__):
        remembered.cache_clear()
    assert shared.compile() == bits
    assert not tried
    (entry,) = shared.entries()
    with zipfile.ZipFile(entry) as archive:
        code = b"".join(archive.read(name) for name in archive.namelist() if name.endswith(".main.cpp"))
    assert b"at::vec::Vectorized<float>" in code


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    return lambda *words: ask(capfd, monkeypatch, "run", "overshooting", "--set", "steps=100", *words)


@needs_compiler
def test_instruction_set_that_cannot_be_used_is_refused_before_anything_is_written(command, monkeypatch, tmp_path):
    words = ("--store", str(tmp_path / "runs"), "--kernels", str(tmp_path / "kernels"))
    assert one_sentence(command(*words, "--instruction-set", "avx1024"), "'avx1024' cannot run", "--instruction-set")
    monkeypatch.setattr(toolchain, "usable_instruction_sets", lambda: ["avx2", "scalar"])
    assert one_sentence(command(*words, "--instruction-set", "avx512"), "'avx512' cannot run", "from avx2, scalar")
    assert not (tmp_path / "kernels").exists()
    assert not (tmp_path / "runs" / "runs").exists()


@needs_compiler
def test_folder_that_cannot_be_used_is_refused_before_anything_is_trained(command, tmp_path):
    (tmp_path / "file").touch()
    words = ("--store", str(tmp_path / "runs"))
    assert one_sentence(command(*words, "--kernels", str(tmp_path / "file")), "is not a folder", "another with --kernels")
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    assert one_sentence(command(*words, "--kernels", str(tmp_path / "open")), "other users may write", "--kernels")


def test_worker_with_another_compiler_than_the_one_chosen_says_so(tmp_path):
    with pytest.raises(UserError, match=r"where g\+\+ of another node was chosen"):
        Arithmetic(BEST, False, "g++ of another node", tmp_path).lane_compiler()


@pytest.mark.skipif("avx512" not in toolchain.usable_instruction_sets(), reason="this processor has nothing better than avx2")
def test_libraries_of_a_worker_keep_to_an_instruction_set_that_was_asked_for(tmp_path):
    program = "import torch; print(torch.backends.cpu.get_cpu_capability())"
    fixed = Arithmetic("avx2", True, None, tmp_path).environment()
    assert python("-c", program, env={**os.environ, **fixed}).out == "AVX2\n"
    assert Arithmetic("avx512", False, None, tmp_path).environment() == {}


def test_libraries_are_known_by_the_same_name_in_every_process():
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    program = "from experiments.libraries import libraries; print(libraries())"
    assert python("-c", program, env=environment).out == libraries() + "\n"


# What a run depends on


@pytest.mark.parametrize("changed", ["instruction_set", "compiler", None])
def test_checkpoint_of_another_instruction_set_or_compiler_is_not_continued(tmp_path, monkeypatch, changed):
    monkeypatch.setattr(Compiler, "compile", lambda self, graph, inputs: graph)  # what it does is not what is tested here
    monkeypatch.setattr(Arithmetic, "lane_compiler", lambda self: Compiler(self.instruction_set))
    here = Arithmetic("avx512", False, "g++ 12", tmp_path / "kernels")
    there = here if changed is None else replace(here, **{changed: "another"})
    store, run = Store(tmp_path / "runs"), make_run(steps=130)
    assert train_runs([run], store, Options(ALWAYS, True, here), lambda: True) == STOPPED
    kept = snapshot(store.checkpoints_path)
    if changed:
        assert train_runs([run], store, Options(NEVER, True, there), lambda: False) == FAILED
        assert f"made with {changed} " in store.refusals()[run.run_id]
        assert snapshot(store.checkpoints_path) == kept
    replaceable = checkpoint.identities(store, [run.run_id]) if changed else frozenset()
    assert train_runs([run], store, Options(NEVER, True, there, replaceable=replaceable), lambda: False) == DONE
    provenance = store.provenance(run.run_id)
    assert provenance["resumed_at"] == ([] if changed else [1])
    told = {key: provenance[key] for key in arithmetic.ARITHMETIC}
    assert told == requirements(there) == {**requirements(there), "instruction_set": there.instruction_set}


@pytest.mark.parametrize("make", [{"steps": 130}, {"steps": 300, "algorithm": "ppo", "hidden": (4,), "rollout_steps": 64}])
def test_checkpoint_of_libraries_that_calculate_otherwise_is_not_continued(tmp_path, monkeypatch, make):
    store, run = Store(tmp_path / "runs"), make_run(**make)
    asked: list[None] = []

    def stop_after_a_while() -> bool:
        asked.append(None)
        return len(asked) > 1

    options = Options(ALWAYS, False)
    assert train_runs([run], store, options, stop_after_a_while) == STOPPED
    monkeypatch.setattr("experiments.libraries.libraries", lambda: "AVX2 0123456789ab")
    assert train_runs([run], store, options, lambda: False) == FAILED
    assert "libraries AVX" in store.refusals()[run.run_id]
    options = replace(options, replaceable=checkpoint.identities(store, [run.run_id]))
    assert train_runs([run], store, options, lambda: False) == DONE
    provenance = store.provenance(run.run_id)
    assert (provenance["resumed_at"], provenance["libraries"]) == ([], "AVX2 0123456789ab")


# What workers say


def test_what_a_worker_notes_is_shown_though_nothing_failed(tmp_path):
    from rich.console import Console

    program = "import sys; print('a warning of a library\\nnote: a kernel was damaged.\\nanother', file=sys.stderr)"
    with open(tmp_path / "errors", "w+b") as errors, open(os.devnull, "w") as nothing:
        job = executor.Job(Group((make_run(),), 1.0, 1), state="running", errors=errors)
        job.process = subprocess.Popen([sys.executable, "-c", program], stderr=errors)
        job.process.wait()
        executor._look_after(job, Store(tmp_path / "runs"), Options(again=True))
        console = Console(record=True, width=200, file=nothing)
        Progress(console, 1)([job])
        shown = console.export_text()
    assert job.state == "done"
    assert "a kernel was damaged." in shown
    assert "warning" not in shown
    assert "another" not in shown
