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
from typing import TYPE_CHECKING

from submitit.helpers import Checkpointable

if TYPE_CHECKING:  # imported when the handlers are in place: the first signal may come at once
    from experiments.plan import Group
    from experiments.store import Store

SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


class Task(Checkpointable):
    """Trains groups on so many workers; called by submitit on the node."""

    def __init__(
        self,
        store: str,
        groups: Sequence[Group],
        cores: int,
        checkpoint_seconds: float,
        time_minutes: int,
        replaceable: frozenset[str] = frozenset(),
    ):
        self.store = store
        self.groups = pickle.dumps(tuple(groups))
        self.cores = cores
        self.checkpoint_seconds = checkpoint_seconds
        self.time_minutes = time_minutes
        self.replaceable = replaceable

    def __call__(self) -> None:
        """Train what is neither finished nor failed; exit 0 when nothing is left to do here."""
        asked: list[int] = []
        for number in SIGNALS:
            signal.signal(number, lambda got, _: asked.append(got))
        began = time.monotonic()

        from rich.console import Console

        from experiments.errors import told_plainly
        from experiments.executor import run_local
        from experiments.progress import Progress
        from experiments.provenance import other_versions, provenance
        from experiments.store import Store
        from experiments.worker import Options

        console = Console(highlight=False, width=160)
        store = Store(self.store)
        given: tuple[Group, ...] = pickle.loads(self.groups)
        groups = _left(store, given)
        steps = _steps(store, groups)
        console.print(f"{_restarts()} of job {_job()}: {sum(len(group.runs) for group in groups)} runs to go.")
        if told := other_versions(store, [run for group in given for run in group.runs]):
            console.print(told, soft_wrap=True)
        options = Options(checkpoint_seconds=self.checkpoint_seconds, provenance=provenance(), replaceable=self.replaceable)
        with told_plainly(), Progress(console, self.cores) as progress:
            jobs = run_local(groups, store, options, self.cores, progress, stop_requested=lambda: bool(asked))
        left = _left(store, groups)
        if asked and left:
            console.print(f"{signal.Signals(asked[0]).name}: {sum(len(g.runs) for g in left)} runs are in their checkpoints.")
            if _steps(store, groups) == steps and time.monotonic() - began > 30 * self.time_minutes:
                print("error: not one step in half the time limit; choose a longer one in the profile.", file=sys.stderr)
                sys.exit(1)
            console.print(_ask_for_requeue())
            sys.exit(0)
        if any(job.state == "failed" for job in jobs):
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
    return os.environ["SLURM_JOB_ID"]


def _restarts() -> str:
    count = int(os.environ.get("SLURM_RESTART_COUNT", 0))
    return f"restart {count}" if count else "start"


def _ask_for_requeue() -> str:
    """Ask SLURM to start this job again, unless it is ending the job already: cancelled, or requeued by somebody else."""
    asked_of = ["squeue", "--noheader", "--jobs", _job(), "--states=all", "--format=%T"]
    state = subprocess.run(asked_of, capture_output=True, text=True).stdout.strip()
    if state != "RUNNING":
        return f"SLURM is ending the job ({state or 'gone'}) and decides what comes next."
    done = subprocess.run(["scontrol", "requeue", _job()], capture_output=True, text=True)
    if done.returncode:
        print(f"error: cannot be requeued ({done.stderr.strip()}); the same submission goes on from here.", file=sys.stderr)
        sys.exit(1)
    return "Requeued."
