"""What runs in one array task: workers side by side, and on a warning checkpoints and a request to be requeued.

The request is made here and not in submitit's hook, which runs inside a signal handler, counts every signal of a short job as
a time-out, and rewrites the job's pickle. Training state is in the store's checkpoints and nowhere else.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from submitit.helpers import Checkpointable

if TYPE_CHECKING:  # imported when the handlers are in place: the first signal may come at once
    from experiments.plan import Group
    from experiments.store import Store

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)
# How long SLURM is asked to requeue the job, how often, and how long before the time limit that has to be over.
PATIENCE_SECONDS, PAUSE_SECONDS, MARGIN_SECONDS = 60.0, 2.0, 15.0


class Task(Checkpointable):
    """Trains groups on so many workers; called by submitit on the node."""

    # Here for tasks that were in the queue before there were these.
    instruction_set: str | None = None
    kernels: Path | None = None
    replaceable: frozenset[str] = frozenset()
    keep_weights: bool = True

    def __init__(
        self,
        store: str,
        groups: Sequence[Group],
        cores: int,
        checkpoint_seconds: float,
        time_minutes: int,
        instruction_set: str | None = None,
        kernels: Path | None = None,
        replaceable: frozenset[str] = frozenset(),
        keep_weights: bool = True,
    ):
        self.store = store
        self.groups = pickle.dumps(tuple(groups))
        self.cores = cores
        self.checkpoint_seconds = checkpoint_seconds
        self.time_minutes = time_minutes
        self.instruction_set = instruction_set
        self.kernels = kernels
        self.replaceable = replaceable
        self.keep_weights = keep_weights

    def __call__(self) -> None:
        """Train what is neither finished nor failed.

        Exit 0 when all is finished, or held by another living worker, or by SLURM, which is to start this job again.
        """
        asked: list[int] = []
        for number in SIGNALS:
            signal.signal(number, lambda got, _: asked.append(got))
        began = time.monotonic()

        from experiments.cli import make_console
        from experiments.errors import told_plainly
        from experiments.executor import run_local
        from experiments.progress import Progress
        from experiments.provenance import other_versions, provenance
        from experiments.run import chosen_arithmetic, holders
        from experiments.store import Store
        from experiments.terminal import count, runs_are
        from experiments.worker import STOPPED, Options

        console = make_console(width=160)
        with told_plainly():
            store = Store(self.store)
            given: tuple[Group, ...] = pickle.loads(self.groups)
            groups = _left(store, given)
            steps = _steps(store, groups)
            console.print(f"{_restarts()} of job {_job()}: {count(sum(len(group.runs) for group in groups), 'run')} to go.")
            if told := other_versions(store, [run for group in given for run in group.runs]):
                console.print(told, soft_wrap=True)
            arithmetic = chosen_arithmetic(console, groups, self.instruction_set, self.kernels)
            options = Options(
                self.checkpoint_seconds,
                None,
                arithmetic,
                provenance(),
                replaceable=self.replaceable,
                keep_weights=self.keep_weights,
            )
            with Progress(console, self.cores) as progress:
                jobs = run_local(groups, store, options, self.cores, progress, stop_requested=lambda: bool(asked))
        left = [run for group in _left(store, groups) for run in group.runs]
        # A signal to all processes of a job may reach the workers first.
        if left and (asked or any(job.state == "stopped" for job in jobs)):
            name = signal.Signals(asked[0]).name if asked else "a worker was stopped"
            console.print(f"{name}: {runs_are(len(left))} in {'its checkpoint' if len(left) == 1 else 'their checkpoints'}.")
            if _steps(store, groups) == steps and time.monotonic() - began > 30 * self.time_minutes:
                print("error: not one step in half the time limit; choose a longer one in the profile.", file=sys.stderr)
                sys.exit(1)
            time_left = 60 * self.time_minutes - (time.monotonic() - began) - MARGIN_SECONDS
            if not _requeued(min(PATIENCE_SECONDS, time_left)):
                sys.exit(STOPPED)
            sys.exit(0)
        alive = {run.run_id for run in left if (holder := store.claimant(run.run_id)) is not None and holder["alive"]}
        if alive:
            console.print(f"{runs_are(len(alive))} being trained by {holders(store, alive)}.")
        failed = {run.run_id for group in given for run in group.runs} & store.failures() - store.finished()
        if failed or len(alive) < len(left):
            print(f"error: {count(len(failed), 'run')} failed, {len(left) - len(alive)} left over.", file=sys.stderr)
            sys.exit(1)


def _left(store: Store, groups: Sequence[Group]) -> list[Group]:
    """Return groups without the runs that are finished or have failed; one that was refused elsewhere may fit here."""
    import dataclasses

    over = store.finished() | (store.failures() - store.refusals().keys())
    left = ((group, tuple(run for run in group.runs if run.run_id not in over)) for group in groups)
    return [
        dataclasses.replace(group, runs=runs, steps_left=group.steps_left * len(runs) // len(group.runs))
        for group, runs in left
        if runs
    ]


def _steps(store: Store, groups: Sequence[Group]) -> int:
    from experiments import checkpoint

    finished = store.finished()
    runs = [run for group in groups for run in group.runs]
    return sum(run.steps if run.run_id in finished else checkpoint.latest_step(store, run.run_id) for run in runs)


def _job() -> str:
    """Return the id of this job; of a task of an array ARRAY_INDEX, as the id of its last task is that of the whole array."""
    array, index = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{index}" if array and index else os.environ["SLURM_JOB_ID"]


def _restarts() -> str:
    count = int(os.environ.get("SLURM_RESTART_COUNT", 0))
    return f"restart {count}" if count else "start"


def _requeued(seconds: float) -> bool:
    """Ask SLURM to start this job again, unless it is ending it already: cancelled, or requeued by somebody else.

    A controller that is busy or restarts does not answer. It is asked again for half of the seconds there are; a state that
    remains unknown is no reason not to go on, and the other half is for the request.
    """
    until = time.monotonic() + seconds
    state, said = _ask_again(until - seconds / 2, "squeue", "--noheader", f"--jobs={_job()}", "--states=all", "--format=%T")
    if state and state != "RUNNING":
        print(f"SLURM is ending the job ({state}) and decides what comes next.")
        return False
    if not state:
        print(f"squeue does not tell the state of the job ({said}); it is taken to be running.")
    answer, said = _ask_again(until, "scontrol", "requeue", _job(), silent=True)
    if answer is None:
        print(f"error: cannot be requeued ({said}); the same submission goes on from here.", file=sys.stderr)
        return False
    print("Requeued.")
    return True


def _ask_again(until: float, *words: str, silent: bool = False) -> tuple[str | None, str]:
    """Return what a command of SLURM answers, None where it never does, and what it last complained of. Asks once at least."""
    while True:
        try:
            patience = max(5.0, until - time.monotonic())
            done = subprocess.run(words, capture_output=True, text=True, timeout=patience)
            said = (done.stderr.strip().splitlines() or ["no answer"])[-1]
            if done.returncode == 0 and (silent or done.stdout.strip()):
                return done.stdout.strip(), said
        except (OSError, subprocess.TimeoutExpired) as error:
            said = str(error)
        if time.monotonic() + PAUSE_SECONDS > until:
            return None, said
        time.sleep(PAUSE_SECONDS)
