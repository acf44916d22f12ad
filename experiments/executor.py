"""The local executor: worker processes, one thread each, one group at a time.

A worker that dies (killed, out of memory) is noticed, and its group is run once more, from its checkpoint. A worker that
raises has recorded a failure, which is not retried by itself.
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

from experiments.errors import UserError
from experiments.plan import Group
from experiments.store import Store
from experiments.worker import DONE, FAILED, STOPPED, STORE_UNWRITABLE, Options, train_runs

# Threads of every library that would start more than one per worker.
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


@dataclass
class Job:
    """A group on its way: waiting, running in a process, or over."""

    group: Group
    state: str = "waiting"  # waiting | running | done | failed | stopped
    deaths: int = 0
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

    On Ctrl-C or SIGTERM the workers write checkpoints and stop; then `KeyboardInterrupt` is raised. With `stop_requested`
    SIGTERM is left to the caller: once that returns True the workers write checkpoints and stop, and the jobs are returned.
    """
    jobs = [Job(group) for group in groups]

    def terminate(*_: Any) -> None:
        raise KeyboardInterrupt

    previous = signal.getsignal(signal.SIGTERM)
    if stop_requested is None:
        signal.signal(signal.SIGTERM, terminate)
    try:
        while any(job.state in ("waiting", "running") for job in jobs):
            running = [job for job in jobs if job.state == "running"]
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
        signal.signal(signal.SIGTERM, previous)
    watch(jobs)
    return jobs


def _start(job: Job, store: Store, options: Options) -> None:
    job.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed when the worker has ended)
    job.process = subprocess.Popen(
        [sys.executable, "-m", "experiments.worker", str(store.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=job.errors,
        env={**os.environ, **ONE_THREAD},
        start_new_session=True,  # Ctrl-C reaches this process only, which passes it on
    )
    assert job.process.stdin is not None
    try:
        job.process.stdin.write(pickle.dumps((job.group.runs, options)))
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
    job.errors.seek(0)
    job.message = job.errors.read().decode(errors="replace").strip()
    job.errors.close()
    if code == DONE:
        job.state = "done"
    elif code == FAILED:
        job.state = "failed"
    elif code == STOPPED:
        job.state = "stopped"
    elif code == STORE_UNWRITABLE:
        raise UserError(f"the store cannot be written ({last_line(job.message)}); free space or choose another with --store.")
    elif job.deaths == 0:
        job.deaths, job.state = 1, "waiting"
    else:
        job.state = "failed"
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        job.message = f"the worker died twice, the second time by {how}; {last_line(job.message)}"
        for run in job.group.runs:
            if options.again or run.run_id not in store.finished():
                store.fail(run.run_id, job.message + "\n")


def last_line(message: str) -> str:
    """Return the last line of a message, where an error says what it is."""
    return message.splitlines()[-1] if message else "it left no message"


def _stop_all(jobs: Sequence[Job]) -> None:
    """Ask workers to checkpoint and stop, and wait; a second Ctrl-C no longer waits."""
    running = [job.process for job in jobs if job.state == "running" and job.process is not None]
    for process in running:
        process.terminate()
    try:
        for process in running:
            process.wait(timeout=120)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in running:
            process.kill()
