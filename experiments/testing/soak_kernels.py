"""Kill workers again and again while they compile, three at once on one folder of kernels; see `soak --compiling`.

Between kills the kept kernel is now and then removed, emptied or cut off, so that there is something to compile or to notice. A
worker that fails by itself is a fault: it has stumbled over what a dead one left.
"""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import time
import zipfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from experiments.arithmetic import Arithmetic, choose
from experiments.executor import ONE_THREAD, last_line
from experiments.expand import resolve
from experiments.kernel_cache import OWNER, WORK, KernelCache
from experiments.provenance import provenance
from experiments.spec import Arm, Row, Run
from experiments.store import Store
from experiments.testing.comparing import compare
from experiments.testing.fault_injection import Say
from experiments.worker import DONE, Options

ROW = Row("InvertedPendulum-v4", (Arm("", "stream_ac", {"hidden": ()}),), steps=300, seeds=2, bin_width=1)
ENDLESS = replace(ROW, steps=10**9)
AT_ONCE = 3
PATIENCE_SECONDS = 600.0


def soak_kernels(kills: int, seed: int, folder: Path, say: Say) -> list[str]:
    """Kill so many workers while they compile; return what went wrong."""
    told = provenance()
    say(f"{kills} kills, seed {seed}. Begun {told['started']}, commit {told['git']['commit']}, dirty {told['git']['dirty']}.")
    say(f"{told['machine']['cores']} cores, {told['machine']['processor']}, {told['machine']['system']}.")
    arithmetic, dice = choose(None, folder / "kernels"), random.Random(seed)
    assert arithmetic.compiler is not None
    say(f"{arithmetic.compiler}, {arithmetic.instruction_set}, torch {told['packages']['torch']}.")
    alone, began = Store(folder / "alone"), time.monotonic()
    faults = _finish(_runs(ROW, 0), alone, replace(arithmetic, kernels=folder / "kernels-alone"))
    longest = _seconds_to_compile(arithmetic, store := Store(folder / "killed"))
    say(f"A worker compiles for {longest:.1f} s.")
    say("")
    killed: Counter[str] = Counter()
    seeds = 100
    while killed.total() < kills and not faults:
        what = _tamper(arithmetic.kernels, dice)
        delays = [dice.uniform(0.0, longest) for _ in range(AT_ONCE)]
        runs, seeds = _runs(ENDLESS, seeds, AT_ONCE), seeds + AT_ONCE
        workers = [_Worker(run, store, arithmetic, delay) for run, delay in zip(runs, delays, strict=True)]
        while sum(worker.dies() for worker in workers):  # not `any`: a place to compile is soon gone, so all are looked at
            time.sleep(0.002)
        for worker in workers:
            if worker.fault:
                faults.append(worker.fault)
            if not worker.killed:
                continue
            killed[worker.moment] += 1
            say(f"{killed.total():4} {time.monotonic() - began:6.0f} s  SIGKILL {worker.moment:10} the kept kernel was {what}")
        damaged_here = what in ("emptied", "cut off")  # and perhaps not looked at before the kills
        faults += [f"{path.name} is damaged" for path in _entries(arithmetic.kernels) if not damaged_here and not _whole(path)]
    say("")
    for moment, number in killed.items():
        say(f"{moment:12}{number:5}")
    faults += _finish(_runs(ROW, 0), store, arithmetic)
    faults += _left_behind(arithmetic)
    faults += compare(store, alone, _runs(ROW, 0))
    for fault in faults:
        say(f"FAULT: {fault}")
    say("PASSED: every worker compiled or found its kernel, and the results are the same." if not faults else "FAILED")
    return faults


def _runs(row: Row, first_seed: int, count: int = 2) -> list[Run]:
    return [resolve(row, row.arms[0], first_seed + number) for number in range(count)]


class _Worker:
    """A worker that is killed so many seconds after it has begun to compile, or to load what is kept."""

    def __init__(self, run: Run, store: Store, arithmetic: Arithmetic, delay: float):
        self._arithmetic = arithmetic
        self._run = run
        self._store = store
        self.moment, self.fault, self.killed = "", "", False
        self._delay = delay
        self._dies_at: float | None = None
        self._process = _start(run, store, arithmetic)

    def dies(self) -> bool:
        """Kill it when its time has come; return whether it is still alive."""
        if self.moment:
            return False
        code = self._process.poll()
        if code is not None:
            assert self._process.stderr is not None
            said = self._process.stderr.read().decode(errors="replace").strip()
            failure = last_line(self._store.failure(self._run.run_id).strip()) if self._store.failures() else last_line(said)
            self.moment = "ended"
            if code != DONE:  # a learner may have diverged, which is a result
                self.fault = f"a worker ended by itself with {code}: {failure}"
            return False
        if self._dies_at is None and self._workspace() is not None:
            self._dies_at = time.monotonic() + self._delay
        if self._dies_at is None or time.monotonic() < self._dies_at:
            return True
        self.killed = True
        self._process.kill()  # its compiler lives on, as when a job is cancelled process by process
        self._process.wait()
        place = self._workspace()
        if place is None:
            self.moment = "training"
        elif list(place.glob("*.zip")):
            self.moment = "keeping"
        else:
            self.moment = "compiling" if any((place / "kernel").rglob("*.cpp")) else "beginning"
        return False

    def _workspace(self) -> Path | None:
        for place in (self._arithmetic.kernels / WORK).glob("*"):
            with suppress(OSError):
                if (place / OWNER).read_text() == str(self._process.pid):
                    return place
        return None


def _start(run: Run, store: Store, arithmetic: Arithmetic) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-m", "experiments.worker", str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **ONE_THREAD},
    )
    assert process.stdin is not None
    process.stdin.write(pickle.dumps(((run,), Options(checkpoint_seconds=1e9, compiled=True, arithmetic=arithmetic))))
    process.stdin.close()
    return process


def _seconds_to_compile(arithmetic: Arithmetic, store: Store) -> float:
    """Return how long a worker needs from the moment when it has a place to compile until its kernel is kept."""
    (run,) = _runs(ENDLESS, 10_000)[:1]
    process, work = _start(run, store, arithmetic), arithmetic.kernels / WORK
    until = time.monotonic() + PATIENCE_SECONDS
    while not list(work.glob("*.*/kernel")) and time.monotonic() < until:
        time.sleep(0.005)
    began = time.monotonic()
    while not _entries(arithmetic.kernels) and time.monotonic() < until:
        time.sleep(0.005)
    process.kill()
    process.wait()
    return time.monotonic() - began


def _tamper(kernels: Path, dice: random.Random) -> str:
    """Remove or damage what is kept, or leave it; return what it is now, as a word."""
    entries = _entries(kernels)
    if not entries:
        return "not there"
    what = dice.choice(("removed", "removed", "emptied", "cut off", "left"))
    for path in entries:
        if what == "removed":
            path.unlink()
        elif what != "left":
            os.truncate(path, 0 if what == "emptied" else path.stat().st_size // 2)
    return what


def _entries(kernels: Path) -> list[Path]:
    return list(kernels.glob("torch-*/*.zip"))


def _whole(path: Path) -> bool:
    """Return whether a kernel is whole."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except zipfile.BadZipFile:
        return False


def _finish(runs: Sequence[Run], store: Store, arithmetic: Arithmetic) -> list[str]:
    """Train runs to their ends, side by side; return what went wrong."""
    processes = [_start(run, store, arithmetic) for run in runs]
    faults = []
    for process in processes:
        assert process.stderr is not None
        said = process.stderr.read().decode(errors="replace").strip()
        if process.wait() != DONE:
            faults.append(f"a worker ended with {process.returncode}: {last_line(said)}")
    return faults


def _left_behind(arithmetic: Arithmetic) -> list[str]:
    """Return what a later start does not clear away of the folders of the dead."""
    assert arithmetic.compiler is not None
    until = time.monotonic() + 60
    while True:  # the compilers of the dead write on for a while
        KernelCache(arithmetic.kernels, arithmetic.instruction_set, arithmetic.compiler)
        left = [path for path in (arithmetic.kernels / WORK).iterdir() if path.name != ".lock"]
        if not left or time.monotonic() > until:
            return [f"left behind: {path.name}" for path in left]
        time.sleep(0.5)
