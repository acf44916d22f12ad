"""One worker: claims the runs of a group, trains them on one thread, and leaves nothing behind but results.

    python -m experiments.worker STORE PARENT    with the group and its options as a pickle on standard input

Exit codes: 0 all runs are finished, 1 training raised or a run was refused (the store keeps why), 74 the store cannot be
written, 75 stopped on request with its state in a checkpoint, 76 what is not finished was in the hands of another worker.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from experiments import checkpoint
from experiments.arithmetic import Arithmetic
from experiments.errors import failure_text, last_line
from experiments.families import files_of
from experiments.heap import keep_freed_memory
from experiments.provenance import this_version
from experiments.spec import Run
from experiments.store import Owner, Store
from experiments.training.context import ClaimLost, Context, Interrupted, RunFailed

DONE, FAILED, STORE_UNWRITABLE, STOPPED, HELD = 0, 1, 74, 75, 76
STORE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


@dataclass(frozen=True)
class Options:
    """How to train. None of it changes what a result means; `compiled` and `arithmetic` change its last bits.

    `replaceable` are `checkpoint.identities`: where one of these does not fit here, its run begins anew and is not refused.
    """

    checkpoint_seconds: float = 60.0
    compiled: bool | None = None
    arithmetic: Arithmetic | None = None
    provenance: Any = None
    again: bool = False  # measure what is finished anew
    replaceable: frozenset[str] = frozenset()
    keep_weights: bool = True


def train_runs(
    runs: Sequence[Run], store: Store, options: Options, stop_requested: Callable[[], bool], parent: int | None = None
) -> int:
    """Claim, train and publish runs; return an exit code. Runs that others hold or have finished are left out.

    `parent` is the process without which this one stops by itself; others then know that it is about to.
    """
    from experiments.registry import loop_of

    owner = Owner(parent)
    claimed: list[Run] = []
    context = Context(
        store=store,
        owner=owner,
        checkpoint_seconds=options.checkpoint_seconds,
        stop_requested=stop_requested,
        compiled=options.compiled,
        arithmetic=options.arithmetic,
        provenance=options.provenance or {},
        again=options.again,
        replaceable=options.replaceable,
        keep_weights=options.keep_weights,
    )
    try:
        store.sweep()
        checkpoint.sweep(store)
        for run in runs:
            if store.claim(run.run_id, owner, options.again):
                context.claimed.append(run.run_id)
                claimed.append(run)  # one by one: what is claimed before the disk is full is given up again
        if claimed:
            context.beat(0, 0.0, None, force=True)
            if files := files_of(claimed[0].env_id, dict(claimed[0].environment)):
                context.provenance = {**context.provenance, "data": files}
            loop_of(claimed[0]).function()(claimed, context)
        if context.failed:
            others = f"{len(context.failed)} of {len(runs)} runs failed, the first with " if len(runs) > 1 else ""
            print(others + last_line(next(iter(context.failed.values()))), file=sys.stderr)
            return FAILED
        if context.refused:
            print(f"refused {len(context.refused)} of {len(runs)} runs: {[*context.refused.values()][-1]}", file=sys.stderr)
            return FAILED
        finished = set() if options.again else store.finished()
        return DONE if all(run in claimed or run.run_id in finished for run in runs) else HELD
    except Interrupted:
        return STOPPED
    except ClaimLost as error:
        print(error, file=sys.stderr)
        return HELD
    except (Exception, SystemExit) as error:  # an environment may call sys.exit, which would pass for an end of our own
        if isinstance(error, OSError) and error.errno in STORE_ERRORS:
            print(f"{error.filename or store.root}: {error.strerror}", file=sys.stderr)
            return STORE_UNWRITABLE
        message = failure_text(error.__cause__ or error if isinstance(error, RunFailed) else error)
        finished = set() if options.again else store.finished()
        for run in claimed:
            if run.run_id not in finished and run.run_id not in context.failed and store.holds(run.run_id, owner):
                store.fail(run.run_id, message)
        print(last_line(message), file=sys.stderr)
        return FAILED
    finally:
        try:
            for run in claimed:
                store.release(run.run_id, owner)
            store.forget(owner)
        except OSError:
            pass  # a store that cannot be written keeps the claims; they are stale once this process is gone


def keep_niceness() -> None:
    """Let a worker be as nice to the whole machine as the command that started it was asked to be.

    A worker is a session of its own, and Linux shares processors out among sessions first ("autogroup"): the niceness of a
    process counts only within its session.
    """
    niceness = os.nice(0)
    if niceness > 0:
        with suppress(OSError):
            Path("/proc/self/autogroup").write_text(str(niceness))


def main() -> None:
    """Train the group on standard input."""
    keep_niceness()
    keep_freed_memory()
    asked_to_stop: list[int] = []
    # SLURM sends the warning of a job, SIGUSR2, to every process of it.
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    for number in numbers:
        signal.signal(number, lambda got, _: asked_to_stop.append(got))
    # Told by whoever started this process: asked for here, it would be another one if that has died meanwhile.
    parent = int(sys.argv[2]) if len(sys.argv) > 2 else os.getppid()

    def stop_requested() -> bool:
        # An orphan stops as well: whoever started it is gone, and the same command will go on from its checkpoint.
        return bool(asked_to_stop) or os.getppid() != parent

    try:
        runs, options = pickle.load(sys.stdin.buffer)
    except (EOFError, pickle.UnpicklingError):
        sys.exit(STOPPED)  # whoever started this process died before it could say for what
    if stop_requested():
        sys.exit(STOPPED)
    # Whoever started this process may have looked at the code hours ago.
    options = replace(options, provenance={**(options.provenance or {}), "git": this_version()})
    code = train_runs(runs, Store(sys.argv[1]), options, stop_requested, parent)
    for number in numbers:  # a second one would end Python on its way out, and the exit code would be lost
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


if __name__ == "__main__":
    main()
