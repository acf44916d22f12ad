"""Ctrl-C on a real terminal: workers write checkpoints while one watches, and another one kills them."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from experiment_support import ALWAYS, ROOT, eager, make_run, wait_until

from experiments import checkpoint
from experiments.executor import Job, run_local
from experiments.plan import Group
from experiments.store import Store

RUNS = tuple(make_run(seed=seed, steps=100_000) for seed in range(2))
# As `experiments.run` trains, uncompiled.
COMMAND = """
import sys
from experiment_support import ALWAYS, eager, make_run
from experiments.cli import make_console
from experiments.plan import Group
from experiments.run import _train
from experiments.store import Store
runs = tuple(make_run(seed=seed, steps=100_000) for seed in range(2))
_train(make_console(), [Group(runs, 1000.0, 200_000)], Store(sys.argv[1]), 1, eager(ALWAYS))
"""


class Terminal:
    """A command on a terminal of its own, whose worker has written a checkpoint and is then held."""

    def __init__(self, store: Store):
        self.store, self.output, self.code = store, "", None
        self.pid, self._screen = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs tests in the background ignores it
            os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(Path(__file__).parent)])
            os.environ["TERM"] = "xterm"
            os.execv(sys.executable, [sys.executable, "-W", "ignore", "-c", COMMAND, str(store.root)])
        self.wait(lambda: all(checkpoint.latest_step(store, run.run_id) for run in RUNS))
        self.worker = store.claimant(RUNS[0].run_id)["pid"]
        os.kill(self.worker, signal.SIGSTOP)

    def press_ctrl_c(self) -> None:
        os.write(self._screen, b"\x03")

    def read(self) -> bool:
        while select.select([self._screen], [], [], 0)[0]:
            try:
                self.output += os.read(self._screen, 65536).decode(errors="replace")
            except OSError:  # it is closed
                break
        return True

    def wait(self, condition) -> None:
        wait_until(lambda: self.read() and condition())

    def ended(self) -> bool:
        if self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.code = os.waitstatus_to_exitcode(status) if pid else None
        return self.code is not None

    def close(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.worker, signal.SIGKILL)
        if not self.ended():
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._screen)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(Store(tmp_path / "runs"))
    yield terminal
    terminal.close()


def test_ctrl_c_lets_workers_write_checkpoints_while_the_table_goes_on(terminal):
    store = terminal.store
    terminal.press_ctrl_c()
    terminal.wait(lambda: "stopping, checkpoints are being written" in terminal.output)
    terminal.wait(lambda: "stopping for 1 s" in terminal.output)
    terminal.wait(lambda: "stopping for 2 s" in terminal.output)
    os.kill(terminal.worker, signal.SIGCONT)
    terminal.wait(terminal.ended)
    assert terminal.code == 130
    assert "stopped; the same command goes on from the checkpoints." in terminal.output
    assert "Traceback" not in terminal.output
    assert [store.claimant(run.run_id) for run in RUNS] == [None, None]
    assert all(checkpoint.latest_step(store, run.run_id) for run in RUNS)
    assert store.failures() == store.finished() == set()


def test_another_ctrl_c_kills_workers_that_do_not_answer(terminal):
    store = terminal.store
    terminal.press_ctrl_c()
    terminal.wait(lambda: "another Ctrl-C kills the workers" in terminal.output)
    terminal.press_ctrl_c()
    terminal.wait(terminal.ended)
    assert terminal.code == 130
    assert "killed; the same command goes on from the last checkpoints." in terminal.output
    assert "Traceback" not in terminal.output
    with pytest.raises(ProcessLookupError):
        os.kill(terminal.worker, 0)
    assert all((store.claimant(run.run_id) or {"alive": False})["alive"] is False for run in RUNS)
    assert all(checkpoint.latest_step(store, run.run_id) for run in RUNS)
    assert store.failures() == store.finished() == set()


def test_worker_that_is_stopped_before_it_listens_has_not_died(tmp_path):
    seen: list[Job] = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def watch(jobs) -> None:
        seen[:] = jobs
        if jobs[0].state == "running" and not jobs[0].stopping:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    try:
        with pytest.raises(KeyboardInterrupt):
            run_local([Group(RUNS, 1000.0, 200_000)], Store(tmp_path / "runs"), eager(ALWAYS), 1, watch)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert (seen[0].state, seen[0].deaths) == ("stopped", 0)
    assert Store(tmp_path / "runs").failures() == set()
