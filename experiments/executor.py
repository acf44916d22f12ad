"""The local executor: worker processes, one thread each, one group at a time.

A worker that dies (killed, out of memory) is noticed, and its group is run once more, from its checkpoint. So is one that
ends well and has not finished its runs. A worker that raises has recorded a failure, which is not retried by itself. Runs that
are in the hands of another worker are left to it, and taken up where it gives them up.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from experiments.errors import NOTE, UserError, last_line
from experiments.plan import Group
from experiments.spec import Run
from experiments.store import Store
from experiments.terminal import runs_are
from experiments.worker import DONE, FAILED, HELD, STOPPED, STORE_UNWRITABLE, Options, train_runs

# Threads of every library that would start more than one per worker.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")

# How long a worker may take to write its checkpoint and go that whoever started it has left behind.
PATIENCE_SECONDS = 600.0
# How long a command waits for them that is asked to stop itself.
STOP_SECONDS = 120.0


class Killed(KeyboardInterrupt):
    """Workers were asked to stop and did not get to write their last checkpoints."""


@dataclass
class Job:
    """A group on its way: waiting, running in a process, or over."""

    group: Group
    state: str = "waiting"  # waiting | running | done | failed | stopped | held (by another worker, which goes on)
    deaths: int = 0
    stopping: bool = False  # it was asked to write a checkpoint and stop
    notes: list[str] = field(default_factory=list)
    starts: int = 0
    began: float = 0.0
    seconds: float = 0.0
    message: str = ""
    progress: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    errors: IO[bytes] | None = None


def run_inline(groups: Sequence[Group], store: Store, options: Options) -> list[int]:
    """Train groups one after the other in this process; return their exit codes. For tests and debugging."""
    return [train_runs(group.runs, store, options, lambda: False) for group in groups]


def run_local(
    groups: Sequence[Group],
    store: Store,
    options: Options,
    workers: int,
    watch: Callable[[Sequence[Job]], None] = lambda jobs: None,
    stop_requested: Callable[[], bool] | None = None,
) -> list[Job]:
    """Train groups on worker processes and return how each went; `watch` is called several times a second.

    On Ctrl-C or SIGTERM the workers write checkpoints and stop, which is watched as well; then `KeyboardInterrupt` is raised.
    Another Ctrl-C kills them, and `Killed` is raised. With `stop_requested` both signals are left to the caller: once that
    returns True the workers write checkpoints and stop, and the jobs are returned.
    """
    jobs = [Job(group) for group in groups]
    asked: list[int] = []  # the signals that came

    def stop(number: int, _: Any) -> None:
        asked.append(number)
        _ask_to_stop(jobs)  # at once: they may be about to finish

    numbers = () if stop_requested is not None else (signal.SIGINT, signal.SIGTERM)
    # A command in the background may have been told not to hear Ctrl-C.
    previous = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    for number in previous:
        signal.signal(number, stop)
    try:
        while any(job.state in ("waiting", "running") for job in jobs):
            running = [job for job in jobs if job.state == "running"]
            if asked:
                _stop_and_watch(jobs, store, options, watch, asked)
            if stop_requested is not None and stop_requested():
                _stop_all(jobs)
                for job in running:
                    _look_after(job, store, options)
                break
            for job in [job for job in jobs if job.state == "waiting"][: max(0, workers - len(running))]:
                _start(job, store, options)
            for job in running:
                _look_after(job, store, options)
            watch(jobs)
            time.sleep(0.2)
    except BaseException:
        _stop_all(jobs)
        raise
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    watch(jobs)
    if asked:  # as the last of them finished
        raise KeyboardInterrupt
    return jobs


def _ask_to_stop(jobs: Sequence[Job]) -> None:
    for job in jobs:
        if job.state == "running" and job.process is not None and not job.stopping:
            job.stopping = True
            job.process.terminate()


def _stop_and_watch(
    jobs: Sequence[Job], store: Store, options: Options, watch: Callable[[Sequence[Job]], None], asked: Sequence[int]
) -> None:
    """Let workers write checkpoints and stop, and raise `KeyboardInterrupt` when they have; `Killed` after another Ctrl-C."""
    began = time.monotonic()
    _ask_to_stop(jobs)  # those that were being started
    while running := [job for job in jobs if job.state == "running"]:
        watch(jobs)
        killed = signal.SIGINT in asked[1:]
        if killed or time.monotonic() - began > STOP_SECONDS:
            for job in running:
                if job.process is not None:
                    job.process.kill()
                    job.process.wait()
            raise Killed
        time.sleep(0.05)
        for job in running:
            _look_after(job, store, options)
    watch(jobs)
    raise KeyboardInterrupt


def _start(job: Job, store: Store, options: Options) -> None:
    runs = job.group.runs
    if job.starts:  # what has failed since is not tried again by itself
        failed = store.failures()
        runs = tuple(run for run in runs if run.run_id not in failed)
    job.starts += 1
    job.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the worker has ended)
    job.process = subprocess.Popen(
        [sys.executable, "-m", "experiments.worker", str(store.root), str(os.getpid())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=job.errors,
        env={**os.environ, **ONE_THREAD, **(options.arithmetic.environment() if options.arithmetic else {})},
        start_new_session=True,  # Ctrl-C reaches this process only, which passes it on
    )
    assert job.process.stdin is not None
    try:
        job.process.stdin.write(pickle.dumps((runs, options)))
        job.process.stdin.close()
    except BrokenPipeError:
        pass  # it died at once; its exit code says so
    job.state, job.began = "running", time.monotonic()


def _look_after(job: Job, store: Store, options: Options) -> None:
    assert job.process is not None
    assert job.errors is not None
    job.seconds = time.monotonic() - job.began
    code = job.process.poll()
    if code is None:
        holder = store.claimant(job.group.runs[0].run_id)
        if holder is not None and "step" in holder and holder["pid"] == job.process.pid:
            job.progress = holder
        return
    unfinished = _unfinished(job, store, options)
    holders = {run: holder for run in unfinished if (holder := store.claimant(run.run_id)) is not None and holder["alive"]}
    if code == HELD and job.seconds < PATIENCE_SECONDS and any(holder["dying"] for holder in holders.values()):
        return  # about to be free
    job.errors.seek(0)
    job.message = job.errors.read().decode(errors="replace").strip()
    job.errors.close()
    job.notes += [line.removeprefix(NOTE) for line in job.message.splitlines() if line.startswith(NOTE)]
    free = [run for run in unfinished if run not in holders]
    if code == DONE and (options.again or not unfinished):
        job.state = "done"
    elif code == HELD and free:
        job.state = "waiting"
    elif code == HELD:
        job.state = "held" if holders else "done"
        names = sorted({f"process {holder['pid']} on {holder['host']}" for holder in holders.values()})
        job.message = f"{len(holders)} of {runs_are(len(job.group.runs))} being trained by {', '.join(names)}" if names else ""
    elif code == FAILED:
        job.state = "failed"
        if not store.failures().intersection(run.run_id for run in job.group.runs):
            _fail(free, store, job.message)  # it could not begin
    elif code == STOPPED:
        job.state = "stopped"
    elif code == STORE_UNWRITABLE:
        raise UserError(f"the store cannot be written ({last_line(job.message)}); free space or choose another with --store.")
    elif job.stopping:
        job.state = "stopped"  # before it could listen
    elif job.deaths == 0:
        job.deaths, job.state = 1, "waiting"
    else:
        job.state = "failed"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        job.message = f"the worker died twice, the second time by {how}; {last_line(job.message)}"
        _fail(free, store, job.message)


def _unfinished(job: Job, store: Store, options: Options) -> list[Run]:
    over = store.failures() | (set() if options.again else store.finished())
    return [run for run in job.group.runs if run.run_id not in over]


def _fail(runs: Sequence[Run], store: Store, message: str) -> None:
    for run in runs:
        store.fail(run.run_id, message + "\n")


def _stop_all(jobs: Sequence[Job]) -> None:
    """Ask workers to checkpoint and stop, and wait; a second Ctrl-C no longer waits."""
    running = [job.process for job in jobs if job.state == "running" and job.process is not None]
    for process in running:
        process.terminate()
    try:
        for process in running:
            process.wait(timeout=STOP_SECONDS)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in running:
            process.kill()
