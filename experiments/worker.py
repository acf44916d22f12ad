"""One worker: claims the runs of a group, trains them on one thread, and leaves nothing behind but results.

    python -m experiments.worker STORE    with the group and its options as a pickle on standard input

Exit codes: 0 done, 1 training raised or a run was refused (the store keeps why), 74 the store cannot be written, 75 stopped on
request with its state in a checkpoint, or because another one has taken a run over.
"""

from __future__ import annotations

import errno
import os
import pickle
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from experiments import checkpoint
from experiments.errors import UserError
from experiments.provenance import git_state
from experiments.spec import Run
from experiments.store import Owner, Store
from experiments.training.context import ClaimLost, Context, Interrupted

DONE, FAILED, STORE_UNWRITABLE, STOPPED = 0, 1, 74, 75
STORE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


@dataclass(frozen=True)
class Options:
    """How to train, none of which changes a result.

    `replaceable` are `checkpoint.identities`: where one of these does not fit here, its run begins anew and is not refused.
    """

    checkpoint_seconds: float = 60.0
    compiled: bool | None = None
    provenance: Any = None
    replaceable: frozenset[str] = frozenset()


def train_runs(runs: Sequence[Run], store: Store, options: Options, stop_requested: Callable[[], bool]) -> int:
    """Claim, train and publish runs; return an exit code. Runs that others hold or have finished are left out."""
    from experiments.registry import loop_of

    owner = Owner()
    claimed: list[Run] = []
    context = Context(
        store=store,
        owner=owner,
        checkpoint_seconds=options.checkpoint_seconds,
        stop_requested=stop_requested,
        compiled=options.compiled,
        provenance=options.provenance or {},
        replaceable=options.replaceable,
    )
    try:
        store.sweep()
        checkpoint.sweep(store)
        for run in runs:
            if store.claim(run.run_id, owner):
                context.claimed.append(run.run_id)
                claimed.append(run)  # one by one: what is claimed before the disk is full is given up again
        if not claimed:
            return DONE
        context.beat(0, 0.0, None, force=True)
        loop_of(claimed[0]).function()(claimed, context)
        if context.refused:
            print(f"refused {len(context.refused)} of {len(runs)} runs: {[*context.refused.values()][-1]}", file=sys.stderr)
            return FAILED
        return DONE
    except Interrupted:
        return STOPPED
    except ClaimLost as error:
        print(error, file=sys.stderr)
        return STOPPED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in STORE_ERRORS:
            print(f"{error.filename or store.root}: {error.strerror}", file=sys.stderr)
            return STORE_UNWRITABLE
        message = f"error: {error}\n" if isinstance(error, UserError) else traceback.format_exc()
        finished = store.finished()
        for run in claimed:
            if run.run_id not in finished and store.holds(run.run_id, owner):
                store.fail(run.run_id, message)
        print(message.strip().splitlines()[-1], file=sys.stderr)
        return FAILED
    finally:
        try:
            for run in claimed:
                store.release(run.run_id, owner)
            store.forget(owner)
        except OSError:
            pass  # a store that cannot be written keeps the claims; they are stale once this process is gone


def main() -> None:
    """Train the group on standard input."""
    asked_to_stop: list[int] = []
    # SLURM sends the warning of a job, SIGUSR2, to every process of it.
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)
    for number in numbers:
        signal.signal(number, lambda got, _: asked_to_stop.append(got))
    parent = os.getppid()

    def stop_requested() -> bool:
        # An orphan stops as well: whoever started it is gone, and the same command will go on from its checkpoint.
        return bool(asked_to_stop) or os.getppid() != parent

    runs, options = pickle.load(sys.stdin.buffer)
    # Whoever started this process may have looked at the code hours ago.
    options = replace(options, provenance={**(options.provenance or {}), "git": git_state()})
    code = train_runs(runs, Store(sys.argv[1]), options, stop_requested)
    for number in numbers:  # a second one would end Python on its way out, and the exit code would be lost
        signal.signal(number, signal.SIG_IGN)
    sys.exit(code)


if __name__ == "__main__":
    main()
