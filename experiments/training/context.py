"""What a training loop is given by whoever runs it, and what it may raise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from experiments import checkpoint
from experiments.arithmetic import Arithmetic, choose
from experiments.errors import failure_text
from experiments.spec import Run
from experiments.store import Owner, Store, Table, same_version

if TYPE_CHECKING:
    from algorithms.kernels import Compiler

BEAT_SECONDS = 2.0


class Interrupted(Exception):
    """Training was asked to stop; its state is in a checkpoint and the same command goes on from there."""


class RunFailed(Exception):
    """An environment or a stream raised, which concerns its own run and no other. `__cause__` is what it raised."""

    def __init__(self, run: Run):
        super().__init__(run.run_id)
        self.run = run


@contextmanager
def blamed_on(run: Run) -> Iterator[None]:
    """Raise `RunFailed` for a run where making, restoring or saving what it alone uses raises anything."""
    try:
        yield
    except (Exception, SystemExit) as error:  # an environment may call sys.exit
        raise RunFailed(run) from error


class ClaimLost(Exception):
    """Another process took this one for dead and trains its run: this one stops and leaves the checkpoints to the other."""


class Watcher(Protocol):
    """What a training loop calls between steps."""

    @property
    def stop_requested(self) -> Callable[[], bool]: ...

    def beat(self, step: int, steps_per_second: float, returns: float | None, force: bool = False) -> None: ...

    def checkpoint_due(self) -> bool: ...

    def fail(self, run: Run, error: BaseException) -> None: ...


class Unwatched:
    """A watcher for loops that nobody watches, such as those whose speed is measured."""

    def stop_requested(self) -> bool:
        """Never."""
        return False

    def beat(self, step: int, steps_per_second: float, returns: float | None, force: bool = False) -> None:
        """Tell nobody."""

    def checkpoint_due(self) -> bool:
        """Never."""
        return False

    def fail(self, run: Run, error: BaseException) -> None:
        """Raise the error: a measurement of speed has no others that could go on."""
        raise error


@dataclass
class Context:
    """The store to publish to, how often to checkpoint, and how to tell the outside how far it is.

    Attributes:
        checkpoint_seconds: time between checkpoints.
        stop_requested: asked at step boundaries; True after SIGTERM, SIGINT, SIGUSR1 or SIGUSR2.
        arithmetic: how lanes are compiled; chosen here if nobody has.
        provenance: what is known of the machine and the code before training starts.
        claimed: ids of the runs that the owner holds.
        again: finished runs are measured anew, and replaced once they have been.
        failed: what is kept of the runs that have failed by themselves while others went on, by id.
        replaceable: `checkpoint.identities` of checkpoints that runs begin anew in place of, where they do not fit here.
        refused: why runs were not trained, by id.
        keep_weights: what a learner has learnt is published with its run.
    """

    store: Store
    owner: Owner
    checkpoint_seconds: float = 60.0
    stop_requested: Callable[[], bool] = lambda: False
    compiled: bool | None = None
    arithmetic: Arithmetic | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    claimed: list[str] = field(default_factory=list)
    again: bool = False
    failed: dict[str, str] = field(default_factory=dict)
    replaceable: frozenset[str] = frozenset()
    refused: dict[str, str] = field(default_factory=dict)
    keep_weights: bool = True
    _code: dict[str, list[Any]] = field(default_factory=dict)
    _last_beat: float = 0.0
    _last_checkpoint: float = field(default_factory=time.monotonic)

    def beat(self, step: int, steps_per_second: float, returns: float | None, force: bool = False) -> None:
        """Tell the store how far the group is: step of each run, steps/s over all its runs, mean recent return.

        Raise `ClaimLost` where a run has been taken over.
        """
        now = time.monotonic()
        if force or now - self._last_beat >= BEAT_SECONDS:
            self._last_beat = now
            for run_id in self.claimed:
                self._check_claim(run_id)
            self.store.beat(self.owner, {"step": step, "steps_per_second": steps_per_second, "recent_return": returns})

    def lane_compiler(self) -> Compiler | bool:
        """Return the compiler for `Lanes`, False where there is none."""
        self.arithmetic = self.arithmetic or choose()
        return self.arithmetic.lane_compiler()

    def checkpoint_due(self) -> bool:
        """Return whether it is time for a checkpoint, and if so start the next interval."""
        if time.monotonic() - self._last_checkpoint < self.checkpoint_seconds:
            return False
        self._last_checkpoint = time.monotonic()
        return True

    def save(self, run_id: str, step: int, requires: dict[str, Any], payload: dict[str, Any]) -> None:
        """Write a checkpoint; raise `ClaimLost` where a run has been taken over, for its checkpoints are another's now."""
        if run_id in self.claimed:
            self._check_claim(run_id)
        checkpoint.save(self.store, run_id, step, requires, payload, self._versions(run_id))

    def publish(
        self,
        run: Run,
        tables: Mapping[str, Table],
        result: Mapping[str, Any],
        provenance: Mapping[str, Any] | None = None,
        weights: Any = None,
    ) -> None:
        """Publish a run with `provenance_of` it and more, and remove its checkpoints."""
        told = {**self.provenance_of(run.run_id), **(provenance or {})}
        self.store.publish(run, tables, result, told, self.again, weights if self.keep_weights else None)
        self.discard_checkpoints(run.run_id)

    def fail(self, run: Run, error: BaseException) -> None:
        """Keep why one of the runs has failed, and give it up; the others go on."""
        self.failed[run.run_id] = failure_text(error)
        if run.run_id in self.claimed:
            self.claimed.remove(run.run_id)
        if self.store.holds(run.run_id, self.owner):
            self.store.fail(run.run_id, self.failed[run.run_id])
            self.store.release(run.run_id, self.owner)

    def discard_checkpoints(self, run_id: str) -> None:
        """Remove the checkpoints of a run, unless it has been taken over and they are another's."""
        if run_id not in self.claimed or self.store.holds(run_id, self.owner):
            checkpoint.discard(self.store, run_id)

    def refuse(self, run_id: str, misfit: checkpoint.Misfit) -> None:
        """Leave a run and its checkpoint as they are, and say why; others go on without it."""
        if run_id in self.claimed:
            self._check_claim(run_id)
        self.refused[run_id] = str(misfit)
        self.store.refuse(run_id, str(misfit))
        if run_id in self.claimed:
            self.claimed.remove(run_id)
            self.store.release(run_id, self.owner)

    def goes_on(self, run_id: str, restored: checkpoint.Checkpoint) -> None:
        """Note that a run goes on from a checkpoint."""
        self._code[run_id] = restored.code

    def provenance_of(self, run_id: str) -> dict[str, Any]:
        """Return what is known before training; with `code`, the versions it ran under, if a run went on from a checkpoint."""
        return {**self.provenance, **({"code": self._versions(run_id)} if run_id in self._code else {})}

    def _versions(self, run_id: str) -> list[Any]:
        earlier, now = self._code.get(run_id, []), self.provenance.get("git")
        return earlier if now is None or (earlier and same_version(earlier[-1], now)) else [*earlier, now]

    def _check_claim(self, run_id: str) -> None:
        if not self.store.holds(run_id, self.owner):
            raise ClaimLost(f"{run_id} was taken over while this process stood still; it stops here.")
