"""A group of lanes on its way: begun or restored, taken to its end in lockstep, and each of its runs published by itself.

What a lane is (an agent in its environment, a learner on its stream of samples) is a loop's to know: it derives its own kind of
`LaneGroup`. Claims are the worker's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, reduce
from typing import Any, Protocol, Self

import numpy as np
import torch

from algorithms.kernels import Compiler
from algorithms.lanes import Engine
from experiments import arithmetic, checkpoint
from experiments.devices import NOT_EXACT, is_measured
from experiments.provenance import exact_versions
from experiments.registry import packages_of
from experiments.spec import Run
from experiments.training.context import Context, Interrupted, RunFailed, Watcher, blamed_on

# Steps between two looks at the watcher.
LOOK_EVERY = 64


class Stream(Protocol):
    """What a loop keeps for one lane, beside the learner."""

    run: Run
    diverged_at: int | None
    failed: bool

    def recent_return(self) -> float | None:
        """Return how good the learner is now, to be shown while it trains; None where that has no name."""
        ...


class LaneGroup:
    """Runs of equal structure and budget that are trained in lockstep."""

    streams: Sequence[Stream]
    lanes: Engine

    @classmethod
    def begin(cls, runs: Sequence[Run], compiled: Compiler | bool) -> Self:
        """Make learners that have seen nothing, ready for their first update."""
        raise NotImplementedError

    @classmethod
    def restore(cls, runs: Sequence[Run], payloads: Sequence[dict[str, Any]], compiled: Compiler | bool, step: int) -> Self:
        """Go to where `payload` was called, which was after so many steps."""
        raise NotImplementedError

    def payload(self, lane: int) -> dict[str, Any]:
        """Return what the rest of a lane's run depends on, the state of its learner left out."""
        raise NotImplementedError

    def advance(self, begun_at: int, end: int, watcher: Watcher, save: Callable[[int], None]) -> float:
        """Take all lanes from one step to another; return steps/s over all lanes, compiling left out."""
        raise NotImplementedError

    def tables(self, lane: int) -> dict[str, Mapping[str, np.ndarray]]:
        """Return the tables that the run of a lane leaves, by name; empty ones are not kept."""
        raise NotImplementedError

    def close(self) -> None:
        """Free what is held."""


class Clock:
    """Counts the steps of a group, and looks after it between them: tells how far it is, saves it, stops where asked to.

    Attributes:
        alive: lanes that have neither diverged nor failed, each with its stream; they alone are stepped and looked at.
    """

    def __init__(self, group: LaneGroup, begun_at: int, end: int, watcher: Watcher, save: Callable[[int], None]):
        self._group, self._begun_at, self._end, self._watcher, self._save = group, begun_at, end, watcher, save
        self.alive: list[tuple[int, Any]] = [(n, s) for n, s in enumerate(group.streams) if s.diverged_at is None]
        self._step = self._warm_step = begun_at
        self._warm_at = time.monotonic()

    def steps(self) -> Iterator[int]:
        """Yield the number of each step, the first that is to be taken next, until the end or until all lanes have diverged.

        Raise `Interrupted` where the watcher asks to stop, with everything saved.
        """
        for step in range(self._begun_at + 1, self._end + 1):
            self._step = step
            yield step
            if not self.alive:
                return
            first = step == self._begun_at + 1
            if first:
                self._warm_at, self._warm_step = time.monotonic(), step  # the first step compiles
            if first or step % LOOK_EVERY == 0:
                self._look()

    def drop_failed(self, errors: Mapping[int, BaseException]) -> None:
        """Take lanes whose environment or stream has raised out of `alive`, and give their runs up. The others go on."""
        for lane, stream in self.alive:
            if lane in errors:
                stream.failed = True
                self._watcher.fail(stream.run, errors[lane])
        self.alive = [(lane, stream) for lane, stream in self.alive if lane not in errors]

    def drop_diverged(self, before: Callable[[], None] = lambda: None) -> bool:
        """Take lanes that have left the finite numbers out of `alive`; return whether there were any.

        Where there are, `before` is called while they are still in it.
        """
        sound = self._group.lanes.sound()
        if sound.all() or all(sound[lane] for lane, _ in self.alive):
            return False
        before()
        for lane, stream in self.alive:
            if not sound[lane]:
                stream.diverged_at = self._step
        self.alive = [(lane, stream) for lane, stream in self.alive if sound[lane]]
        return True

    def pace(self) -> float:
        """Return steps/s over all lanes since the first step."""
        lanes = len(self.alive) or len(self._group.streams)
        return (self._step - self._warm_step) * lanes / max(1e-9, time.monotonic() - self._warm_at)

    def _look(self) -> None:
        recent = [mean for _, stream in self.alive if (mean := stream.recent_return()) is not None]
        self._watcher.beat(self._step, self.pace(), float(np.mean(recent)) if recent else None)
        if self._step < self._end and self._watcher.stop_requested():
            self._save(self._step)
            raise Interrupted
        if self._step < self._end and self._watcher.checkpoint_due():
            self._save(self._step)


def train(kind: type[LaneGroup], runs: Sequence[Run], context: Context, eager_below: int) -> None:
    """Train and publish runs that share structure and budget. Raise `Interrupted` when asked to stop.

    Runs of fewer than `eager_below` steps are not worth compiling, unless the context decides. The number of lanes has no say:
    a run's bits must not depend on it.
    """
    torch.set_num_threads(1)
    compiled: Compiler | bool = bool(context.compiled)
    if compiled or (context.compiled is None and runs[0].steps >= eager_below):
        compiled = context.lane_compiler() or compiled
    how = arithmetic.requirements(context.arithmetic if compiled else None)
    requires = {**requirements(runs[0], bool(compiled)), **how}

    @cache
    def fresh() -> dict[str, Any]:
        group = kind.begin(runs[:1], compiled)
        payload = _payload(group, 0, [], False)
        group.close()
        return payload

    found: dict[Run, list[checkpoint.Checkpoint]] = {}
    for run in runs:
        try:
            found[run] = list(checkpoint.usable(context.store, run.run_id, requires, fresh, context.replaceable))
        except checkpoint.Misfit as misfit:
            context.refuse(run.run_id, misfit)
    for group, checkpoints in _groups_at_one_step(found):
        while group:
            try:
                _train_group(kind, group, checkpoints, compiled, requires, context)
                break
            except RunFailed as failure:  # it could not be begun or restored: the others are, without it
                context.fail(failure.run, failure.__cause__ or failure)
                place = group.index(failure.run)
                del group[place], checkpoints[place]


def requirements(run: Run, compiled: bool) -> dict[str, Any]:
    """Return what must be equal for a checkpoint to be continued to the same bytes."""
    return {"engine": "compiled" if compiled else "eager", **exact_versions(packages_of(run))}


Restored = list[checkpoint.Checkpoint | None]


def _groups_at_one_step(found: Mapping[Run, Sequence[checkpoint.Checkpoint]]) -> list[tuple[list[Run], Restored]]:
    # A kill while a group was writing its checkpoints leaves some lanes one checkpoint ahead; the older one is common.
    common = reduce(set.intersection, ({c.step for c in checkpoints} for checkpoints in found.values())) if found else set()
    if common:
        at = max(common)
        return [(list(found), [next(c for c in checkpoints if c.step == at) for checkpoints in found.values()])]
    groups: dict[int, tuple[list[Run], Restored]] = {}
    for run in found:
        newest = next(iter(found[run]), None)
        group, restored = groups.setdefault(newest.step if newest else 0, ([], []))
        group.append(run)
        restored.append(newest)
    return list(groups.values())


def _train_group(
    kind: type[LaneGroup],
    runs: list[Run],
    restored: Restored,
    compiled: Compiler | bool,
    requires: dict[str, Any],
    context: Context,
) -> None:
    begun_at = restored[0].step if restored[0] else 0
    resumed_at: list[int] = []
    restarted = [not begun_at and checkpoint.latest_step(context.store, run.run_id) > 0 for run in runs]
    if begun_at:
        payloads = [c.load() for c in restored if c is not None]
        group = kind.restore(runs, payloads, compiled, begun_at)
        resumed_at = [*payloads[0]["resumed_at"], begun_at]
        restarted = [payload["restarted"] for payload in payloads]
        for run, found in zip(runs, restored, strict=True):
            if found is not None:
                context.goes_on(run.run_id, found)
    else:
        group = kind.begin(runs, compiled)

    def save(step: int) -> None:
        for lane, stream in enumerate(group.streams):
            if stream.failed:
                continue
            try:
                with blamed_on(stream.run):
                    payload = _payload(group, lane, resumed_at, restarted[lane])
            except RunFailed as failure:
                stream.failed = True
                context.fail(stream.run, failure.__cause__ or failure)
                continue
            context.save(stream.run.run_id, step, requires, payload)

    began, worked = time.monotonic(), time.process_time()
    pace = group.advance(begun_at, runs[0].steps, context, save)
    seconds, worked = time.monotonic() - began, time.process_time() - worked
    for lane, (stream, again) in enumerate(zip(group.streams, restarted, strict=True)):
        if stream.failed:
            continue
        result = {
            "status": "finished" if stream.diverged_at is None else "diverged",
            "diverged_at": stream.diverged_at,
            "steps": stream.run.steps if stream.diverged_at is None else stream.diverged_at,
        }
        provenance = {
            **{key: requires[key] for key in ("engine", *arithmetic.ARITHMETIC) if key in requires},
            "lanes": len(runs),
            "threads": 1,
            "steps_per_second": pace,
            "train_seconds": seconds,
            "core_share": worked / max(1e-9, seconds),
            "resumed_at": resumed_at,
            **({"resume": checkpoint.RESTARTED} if again else {}),
            **({"time": NOT_EXACT} if is_measured(dict(stream.run.environment)) else {}),
        }
        tables = {name: table for name, table in group.tables(lane).items() if table}
        # A lane that has diverged was not looked at any more: what it holds is nothing that it has learnt.
        weights = group.lanes.state(lane) if stream.diverged_at is None else None
        context.publish(stream.run, tables, result, provenance, weights)
    group.close()


def _payload(group: LaneGroup, lane: int, resumed_at: list[int], restarted: bool) -> dict[str, Any]:
    return {
        "state": group.lanes.state(lane),
        **group.payload(lane),
        "diverged_at": group.streams[lane].diverged_at,
        "resumed_at": resumed_at,
        "restarted": restarted,
    }
