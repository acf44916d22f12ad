"""What the tests of runs share: small runs, real worker processes that start quickly, real disks that fill up."""

from __future__ import annotations

import importlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, Any, NamedTuple

import pytest

from experiments import checkpoint
from experiments.expand import resolve
from experiments.spec import Arm, Row, Run
from experiments.store import Store, process_identity
from experiments.terminal import run_app
from experiments.testing.comparing import result_bytes
from experiments.worker import DONE, Options, train_runs

ROOT = Path(__file__).parents[2]

# Checkpoint as often as the training loop lets one.
ALWAYS = 0.0
NEVER = 1e9


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a test, and the worker processes that it starts, away from the repository's `runs` and `results`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "200")


def make_run(
    env_id: str = "Hopper-v4",
    seed: int = 0,
    steps: int = 200,
    algorithm: str = "stream_ac",
    environment: dict[str, Any] | None = None,
    **hyperparameters: Any,
) -> Run:
    """Return a run of a streaming learner, by default a linear one: it starts in half the time."""
    arm = Arm("arm", algorithm, {"hidden": (), **hyperparameters})
    return resolve(Row(env_id, (arm,), steps, seeds=1, bin_width=1, environment=environment or {}), arm, seed)


def eager(checkpoint_seconds: float = NEVER) -> Options:
    return Options(checkpoint_seconds=checkpoint_seconds, compiled=False)


def stop_after(asked: int, then: Callable[[], Any] = lambda: True) -> Callable[[], bool]:
    """Return a `stop_requested` that does something when it is asked for the n-th time, counted from 1; for 0 it never does."""
    count = 0

    def stop_requested() -> bool:
        nonlocal count
        count += 1
        return bool(count == asked and then())

    return stop_requested


@cache
def bytes_alone(runs: tuple[Run, ...]) -> dict[str, dict[str, bytes]]:
    """Return the result of runs that were trained together, eagerly, and left alone."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        assert train_runs(runs, store, eager(), lambda: False) == DONE
        return result_bytes(store, runs)


def kept(state: dict[str, Any]) -> dict[str, Any]:
    """Return a state as it comes back from a checkpoint."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint.save(Store(folder), "run", 1, {}, state)
        found = checkpoint.latest(Store(folder), "run", {})
        assert found is not None
        return found.load()


def snapshot(folder: Path) -> dict[str, tuple[int, bytes | None]]:
    """Return every path below a folder with its time of change and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in sorted(folder.rglob("*"))
    }


class Answer(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def one_sentence(answer: Answer, *fragments: str) -> bool:
    """Return whether a command ended as bad input should: exit code 2 and one line on stderr that says what was wrong."""
    assert answer.code == 2, answer
    assert answer.err.startswith("error: "), answer.err
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.endswith("\n"), answer.err
    for fragment in fragments:
        assert fragment in answer.err
    return True


def wait_until(condition: Callable[[], Any], seconds: float = 300.0, pause: float = 0.02) -> Any:
    """Return the first true value of a condition; fail after so many seconds."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, f"still waiting after {seconds} s"
        time.sleep(pause)
    return value


def in_child(function: Callable[[], Any]) -> int:
    """Run a function in a forked process; return its exit code, negative for a signal."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            function()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ask(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, module: str, *words: str) -> Answer:
    """Run `python -m MODULE WORDS` in this process, through the function that the module calls as a script.

    MODULE is a whole name, such as `experiments.testing.soak`; a module right under `experiments` needs only its last word.
    """
    monkeypatch.setattr(sys, "argv", [f"{module}.py", *words])
    command = importlib.import_module(module if "." in module else f"experiments.{module}")
    capfd.readouterr()
    code = 0
    try:
        run_app(command.app) if hasattr(command, "app") else command.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    return Answer(code, *capfd.readouterr())


def python(*words: str, **options: Any) -> Answer:
    """Run python in a process of its own."""
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=300, **options)
    return Answer(done.returncode, done.stdout, done.stderr)


class Worker:
    """A worker process, to be waited for."""

    def __init__(self, pid: int, codes: IO[bytes]):
        assert pid > 1
        self.pid = pid
        self.code: int | None = None
        self._codes = codes

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def until(self, condition: Callable[[], Any], seconds: float = 300.0) -> None:
        """Wait for a condition; fail after so many seconds, or as soon as the worker has ended without it."""

        def met_or_ended() -> bool:
            ended = process_identity(self.pid) is None
            met = bool(condition())
            assert met or not ended, f"the worker ended first, with exit code {self.wait()}"
            return met

        wait_until(met_or_ended, seconds, pause=0.001)

    def wait(self) -> int:
        """Return the exit code, negative for a signal."""
        if self.code is None:
            word, code = self._codes.readline().split()
            assert word == b"ended"
            self.code = int(code)
        return self.code


class WorkerFactory:
    """Starts `experiments.worker` by forking a process that has imported everything: in 1 s instead of 4 s."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._worker: Worker | None = None

    def kill(self) -> None:
        """Kill the factory itself, which makes its worker an orphan."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = self._worker = None

    def start(self, store: Store, runs: Sequence[Run], options: Options) -> Worker:
        """Start a worker; one that an earlier test left behind is killed first."""
        if self._worker is not None and self._worker.code is None:
            with suppress(ProcessLookupError):
                self._worker.signal(signal.SIGKILL)
            self._worker.wait()
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "ignore", str(Path(__file__).with_name("worker_factory.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        pickle.dump((str(store.root), tuple(runs), options), self._process.stdin)
        self._process.stdin.flush()
        word, pid = self._process.stdout.readline().split()
        assert word == b"started"
        self._worker = Worker(int(pid), self._process.stdout)
        return self._worker

    def train(self, store: Store, runs: Sequence[Run], options: Options) -> int:
        return self.start(store, runs, options).wait()


@contextmanager
def mounted_tmpfs(folder: Path) -> Iterator[Callable[[str], Path]]:
    mounted = False

    def mount(size: str) -> Path:
        nonlocal mounted
        folder.mkdir()
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
        if done.returncode:
            pytest.skip("this user may not mount file systems, so no disk can really be full or read-only")
        mounted = True
        return folder

    try:
        yield mount
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)
