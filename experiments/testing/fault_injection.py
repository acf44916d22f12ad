"""Kill a training command and its workers at random moments, and start the command again until its runs are finished.

The command is what `experiments.run` is up to its figure, in a process of its own; every start draws anew how many workers and
lanes there are. A moment is waited for by looking at the files that a worker writes. Needs /proc, so Linux.
"""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

from experiments import checkpoint
from experiments.cli import Request, make_console
from experiments.errors import told_plainly
from experiments.executor import ONE_THREAD, run_local
from experiments.plan import plan
from experiments.run import missing_runs, wait_for_the_dying
from experiments.spec import Experiment, Preset, Run
from experiments.store import Store, process_identity
from experiments.worker import Options

# What is done to whom, and how often among a hundred times. `all` are the command and its workers, as in a power cut.
KILLS = {
    (signal.SIGKILL, "worker"): 40,
    (signal.SIGKILL, "all"): 20,
    (signal.SIGKILL, "command"): 8,
    (signal.SIGTERM, "command"): 12,
    (signal.SIGINT, "command"): 10,
    (signal.SIGTERM, "worker"): 5,
    (signal.SIGINT, "worker"): 5,
}
# The moment that is waited for. All runs of a worker have to be trained for one chance of the last one.
MOMENTS = {"starting": 1, "training": 4, "checkpointing": 4, "publishing": 1}
# How often a chance to strike while a result is published is taken, though another moment was waited for.
TAKE_CHANCE = 0.8
CHECKPOINT_SECONDS = 0.02
# A process that has been asked to stop and is still there after so long has not understood.
PATIENCE_SECONDS = 120.0
MOST_IDLE_STARTS = 50

Say = Callable[[str], None]


class Kill(NamedTuple):
    """A signal to be sent at a moment; at the latest when the worker has gained a few more than `gain` checkpoints."""

    number: signal.Signals
    target: str
    moment: str
    seconds: float
    gain: int
    takes_chance: bool


class FaultInjector:
    """Trains runs in processes of their own and kills these. Notes what must not happen in `faults`."""

    def __init__(self, store: Store, kills: int, dice: random.Random, say: Say):
        self.store = store
        self.kills = kills
        self.landed = 0
        self.starts = 0
        self.counts: Counter[tuple[str, str]] = Counter()
        self.subjects: Counter[str] = Counter()
        self.faults: list[str] = []
        self._dice = dice
        self._say = say
        self._began = time.monotonic()
        self._published: dict[str, tuple[int, int]] = {}

    def train(self, runs: Sequence[Run]) -> None:
        """Start the command until all runs are finished; it is struck as long as kills are left."""
        idle = 0
        while self._missing(runs) and not self.faults:
            workers, lanes = self._dice.choice((1, 1, 2)), self._dice.choice((None, 2, 3))
            before = self.landed, len(self._missing(runs))
            with tempfile.TemporaryFile() as output:
                command = _start(self.store, runs, workers, lanes, output)
                try:
                    struck = self._watch(command, runs)
                    code = command.wait()
                finally:
                    _kill_all(command)
                self._look(code, struck, output)
            idle = idle + 1 if before == (self.landed, len(self._missing(runs))) else 0
            if idle > MOST_IDLE_STARTS:
                self.faults.append(f"{idle} starts in a row have finished nothing")
            time.sleep(0.1 * idle)  # all that is missing is in the hands of workers that are about to stop

    def start_later(self, runs: Sequence[Run]) -> None:
        """Start once more, on other runs, and note whatever is still there of the killed ones."""
        self.kills = self.landed
        self.train(runs)
        left = [path for name in ("tmp", "checkpoints", "failures") for path in self.store.root.glob(f"{name}/*")]
        left += [path for path in self.store.root.glob("claims/*") if not path.name.startswith(".")]
        self.faults += [f"left behind: {path.relative_to(self.store.root)}" for path in left]

    def _missing(self, runs: Sequence[Run]) -> set[str]:
        return {run.run_id for run in runs} - self.store.finished()

    def _watch(self, command: subprocess.Popen[bytes], runs: Sequence[Run]) -> bool:
        """Strike the command and its workers until the command is gone; return whether it was struck itself."""
        # No learner takes all the kills for itself.
        most = self.kills // len({subject(run) for run in runs}) + 2
        victims: dict[int, Victim] = {}
        while command.poll() is None and self.landed < self.kills:
            for pid in _workers(command):
                if pid not in victims:
                    victims[pid] = Victim(self.store, pid, runs, self._draw())
                victim = victims[pid]
                if victim.is_due() and self.subjects[victim.subject()] < most and self._strike(command, victim):
                    if victim.kill.target != "worker":
                        return True
                    break
            time.sleep(0.001)
        command.wait()
        return False

    def _draw(self) -> Kill:
        number, target = self._dice.choices(list(KILLS), list(KILLS.values()))[0]
        moment = self._dice.choices(list(MOMENTS), list(MOMENTS.values()))[0]
        seconds = self._dice.uniform(0.0, 2.0 if moment == "starting" else 1.0)
        return Kill(number, target, moment, seconds, self._dice.randint(0, 4), self._dice.random() < TAKE_CHANCE)

    def _strike(self, command: subprocess.Popen[bytes], victim: Victim) -> bool:
        """Send the signal and wait for its effect; return whether it landed."""
        kill = victim.kill
        workers = {pid: process_identity(pid) for pid in _workers(command)}
        hit = {"worker": [victim.pid], "command": [command.pid], "all": [command.pid, *workers]}[kill.target]
        moment = victim.moment()
        if not victim.alive():
            return False
        for pid in hit:
            with suppress(ProcessLookupError):
                os.kill(pid, kill.number)
        if kill.target == "worker":
            ended = _gone({victim.pid: victim.identity})
        else:
            with suppress(subprocess.TimeoutExpired):
                command.wait(PATIENCE_SECONDS)
            # After the command alone was killed, the next one sometimes meets workers that have not yet noticed.
            waits = kill.number != signal.SIGKILL or kill.target == "all" or self._dice.random() < 0.5
            ended = command.poll() is not None and (not waits or _gone(workers))
        if not ended:
            self.faults.append(f"{kill.number.name} to the {kill.target}: not gone after {PATIENCE_SECONDS:.0f} s")
        if kill.number == signal.SIGKILL and kill.target != "command":
            moment = victim.moment()  # dead, it cannot have gone on: what it left half-written tells the truth
        self.landed += 1
        self.counts[f"{kill.number.name} to {kill.target}", moment] += 1
        self.subjects[victim.subject()] += 1
        self._say(
            f"{self.landed:4} {time.monotonic() - self._began:6.0f} s  {kill.number.name:7} {kill.target:7} "
            f"{moment:13} {victim.title()}"
        )
        return True

    def _look(self, code: int, struck: bool, output: IO[bytes]) -> None:
        """Note a command that ended as it should not have, runs that failed by themselves, and results that have changed."""
        self.starts += 1
        if not struck and code != 0:
            output.seek(0)
            self.faults.append(f"the command ended with {code}: {output.read().decode(errors='replace').strip()}")
        for run_id in self.store.failures():
            message = self.store.failure(run_id).strip()
            if not message.startswith("the worker died twice"):
                self.faults.append(f"{run_id} failed: {message}")
        for run_id in self.store.finished():
            with suppress(FileNotFoundError):
                stat = (self.store.finished_path / run_id / "provenance.json").stat()
                if self._published.setdefault(run_id, (stat.st_ino, stat.st_mtime_ns)) != (stat.st_ino, stat.st_mtime_ns):
                    self.faults.append(f"{run_id} was published twice")


class Victim:
    """One worker, as the files that it writes show it, and what is to be done to it."""

    def __init__(self, store: Store, pid: int, runs: Sequence[Run], kill: Kill):
        self.pid = pid
        self.kill = kill
        self.identity = process_identity(pid)
        self._store = store
        self._runs = runs
        self._held: list[Run] = []
        self._steps_seen: set[int] = set()
        self._found = time.monotonic()
        self._trains_since: float | None = None

    def alive(self) -> bool:
        """Return whether it has not ended."""
        return self.identity is not None and process_identity(self.pid) == self.identity

    def is_due(self) -> bool:
        """Return whether it is time to strike."""
        now, moment = time.monotonic(), self.moment()
        if moment != "starting" and self._trains_since is None:
            self._trains_since = now
        wanted, seconds, gain = self.kill.moment, self.kill.seconds, self.kill.gain
        if moment == "publishing" and (wanted == "publishing" or self.kill.takes_chance):
            return True
        if wanted == "starting":
            return now - self._found > seconds
        if wanted == "training" and self._trains_since is not None and now - self._trains_since > seconds:
            return True
        if wanted == moment == "checkpointing" and self._gained() >= gain:
            return True
        return wanted != "publishing" and self._gained() > gain + 3

    def moment(self) -> str:
        """Return what it is doing: starting, training, checkpointing or publishing."""
        mark = f".{self.pid}."
        self._held = self._held or [run for run in self._runs if self._holds(run)]
        if not self._held:
            return "starting"
        half_published = any(mark in name for name in _listed(self._store.root / "tmp"))
        if half_published or any((self._store.finished_path / run.run_id).exists() for run in self._held):
            return "publishing"
        if any(name.startswith(mark) for run in self._held for name in _listed(self._store.checkpoints_path / run.run_id)):
            return "checkpointing"
        self._steps_seen.add(self._step())
        told = self._store.claimant(self._held[0].run_id) or {}
        return "training" if self._gained() or told.get("step") else "starting"

    def subject(self) -> str:
        """Return learner and environment of what it trains."""
        return subject(self._held[0]) if self._held else "before its first claim"

    def title(self) -> str:
        """Return what it trains, and the step of its last checkpoint."""
        if not self._held:
            return self.subject()
        seeds = ",".join(str(run.seed) for run in self._held)
        return f"{self.subject()} seeds {seeds}, step {max(self._steps_seen | {self._step()})}"

    def _holds(self, run: Run) -> bool:
        holder = self._store.claimant(run.run_id)
        return holder is not None and holder["process"] == self.identity

    def _step(self) -> int:
        return max(checkpoint.latest_step(self._store, run.run_id) for run in self._held)

    def _gained(self) -> int:
        return max(0, len(self._steps_seen) - 1)


def subject(run: Run) -> str:
    """Return learner and environment of a run."""
    return f"{run.algorithm} {run.env_id}"


def _start(store: Store, runs: Sequence[Run], workers: int, lanes: int | None, output: IO[bytes]) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", "from experiments.testing.fault_injection import command; command()"],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        env={**os.environ, **ONE_THREAD},
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(pickle.dumps((str(store.root), list(runs), workers, lanes)))
    process.stdin.close()
    return process


def command() -> None:
    """Train what is missing of the runs on standard input, as `experiments.run --retry` does up to the figure.

    Exit code 0 also where a worker was killed twice: the store tells.
    """
    root, runs, workers, lanes = pickle.load(sys.stdin.buffer)
    preset = Preset("", ())
    request = Request(Experiment("soak", "Soak", "ours", {"soak": preset}, figure=""), "soak", preset, runs)
    with told_plainly():
        store = Store(root)
        todo, _, taken = missing_runs(request, store, retry=True, again=False)
        if wait_for_the_dying(make_console(), store, taken):
            todo, _, _ = missing_runs(request, store, retry=True, again=False)
        groups = plan(store, todo, workers, lanes)
        store.check_writable()
        for run in todo:
            store.forgive(run.run_id)
        try:
            run_local(groups, store, Options(checkpoint_seconds=CHECKPOINT_SECONDS), workers)
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def _workers(command: subprocess.Popen[bytes]) -> list[int]:
    """Return the ids of a command's workers."""
    found = []
    with suppress(OSError):
        for pid in Path(f"/proc/{command.pid}/task/{command.pid}/children").read_text().split():
            if b"experiments.worker" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return found


def _gone(processes: dict[int, Any]) -> bool:
    """Wait until processes have ended; return False if one is still there when patience is."""
    until = time.monotonic() + PATIENCE_SECONDS
    while any(process_identity(pid) == identity for pid, identity in processes.items() if identity is not None):
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def _kill_all(command: subprocess.Popen[bytes]) -> None:
    """Leave no process behind when the soak itself is interrupted."""
    if command.poll() is None:
        for pid in [*_workers(command), command.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        command.wait()


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []
