"""A lock is waited for, but not for ever: its holder may be suspended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from experiments import file_lock
from experiments.file_lock import locked
from experiments.kernel_cache import KernelCache
from experiments.store import Owner, Store

HOLD = """
import sys, time
from pathlib import Path
from experiments.file_lock import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
    time.sleep(0.1)
    Path(sys.argv[2]).touch()
"""


class Holder:
    """A process that holds a lock until it is told to let go; the last it does with it is to make `done`."""

    def __init__(self, lock: Path):
        lock.parent.mkdir(parents=True, exist_ok=True)
        self.done = lock.with_name("done")
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLD, str(lock), str(self.done)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "held\n"

    def suspend(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def let_go(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@pytest.fixture
def hold() -> Iterator[Callable[[Path], Holder]]:
    holders: list[Holder] = []

    def start(lock: Path) -> Holder:
        holders.append(Holder(lock))
        return holders[-1]

    yield start
    for holder in holders:
        holder.process.kill()
        holder.process.communicate()


def test_lock_is_waited_for_while_its_holder_works(tmp_path, hold):
    holder = hold(tmp_path / ".lock")
    holder.let_go()
    with locked(tmp_path / ".lock"):
        assert holder.done.exists()
        assert holder.process.wait(timeout=60) == 0


def test_lock_is_free_again_where_its_holder_is_killed(tmp_path, hold):
    holder = hold(tmp_path / ".lock")
    holder.process.kill()
    began = time.monotonic()
    with locked(tmp_path / ".lock"):
        assert time.monotonic() - began < file_lock.PATIENCE_SECONDS


def test_suspended_holder_keeps_nobody_from_claiming_and_releasing(tmp_path, hold, monkeypatch):
    monkeypatch.setattr(file_lock, "PATIENCE_SECONDS", 0.1)
    store, owner = Store(tmp_path / "runs"), Owner()
    hold(store.claims_path / ".lock").suspend()
    assert store.claim("run", owner)
    assert not store.claim("run", Owner()), "even without the lock a claim is one"
    store.release("run", owner)
    assert store.claimed() == set()


def test_suspended_holder_keeps_nobody_from_compiling(tmp_path, hold, monkeypatch):
    monkeypatch.setattr(file_lock, "PATIENCE_SECONDS", 0.1)
    hold(tmp_path / "kernels" / "work" / ".lock").suspend()
    (tmp_path / "kernels" / "work").chmod(0o700)
    (tmp_path / "kernels").chmod(0o700)
    with KernelCache(tmp_path / "kernels", "AVX2", "g++ 12").workspace() as place:
        assert place.is_dir()
