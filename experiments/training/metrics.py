"""What a learner tells about its own updates: kept as means and maxima over windows of steps.

A learner whose `METRICS_EVERY` is 1 (prediction) has every step kept as it is. Where the task changes every so many steps, a
window ends with the task, so that none holds steps of two tasks. One with `LATE_WINDOWS` has them end one step later, as in the
official code of UPGD: the first window is the first step alone, and the last is never over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

METRICS_EVERY = 1000
# Steps that are kept before they are taken into the logs.
MOST_UNTOLD = 256
# Every agent tells it, and the loop looks at it by itself; it is not recorded.
TD_ERROR = "td_error"
# The column of what networks knew at the ends of tasks, where they were judged there.
HELD_OUT = "held_out_accuracy"


class MetricsLog:
    """The metrics of one run. Nothing is kept of a learner that tells nothing but what is left out.

    Attributes:
        every: steps of a window.
        task_steps: steps after which the task changes, and a window ends at the latest; 0: it never does.
        left_out: the name of what is not recorded, if anything is.
        late: by how many steps windows end after their time.
    """

    @classmethod
    def of(cls, learner: object, task_steps: int = 0, left_out: str = "") -> MetricsLog:
        """Return an empty log with the windows that a learner asks for."""
        late = int(getattr(learner, "LATE_WINDOWS", False))
        return cls(getattr(learner, "METRICS_EVERY", METRICS_EVERY), task_steps, left_out, late)

    def __init__(self, every: int = METRICS_EVERY, task_steps: int = 0, left_out: str = TD_ERROR, late: int = 0):
        self.every, self.task_steps, self.left_out, self.late = every, task_steps, left_out, late
        self.names: list[str] = []
        self._rows: list[tuple[float, ...]] = []
        self._marks: list[tuple[float, float]] = []
        self._count = 0
        self._sum = np.zeros(0)
        self._max = np.zeros(0)

    def record(self, step: int, info: Mapping[str, np.ndarray], lane: int) -> None:
        """Take in what the learner of a lane told of the update of a step, counted from 1."""
        self.begin(info)
        self.record_many(step, np.array([[info[name][lane] for name in self.names]], np.float64))

    def begin(self, info: Iterable[str]) -> None:
        """Take the names of what is told, where they are not known yet."""
        if not self.names:
            self.names = [name for name in info if name != self.left_out]
            self._clear()

    def record_many(self, first: int, values: np.ndarray) -> None:
        """Take in what was told of updates one after the other, float64 [steps, names]; `first` is the step of the first.

        The bits are those of taking them in one by one.
        """
        steps = np.arange(first, first + len(values))
        if self.every == 1:
            self._rows += [(step, *row) for step, row in zip(steps.tolist(), values.tolist(), strict=True)]
            return
        begin = 0
        for end in [*(np.flatnonzero(self._ends_window(steps)) + 1).tolist(), len(values)]:
            part = values[begin:end]
            if len(part) == 0:
                continue
            # Accumulated, since a sum is taken in pairs and has other bits.
            self._sum = np.add.accumulate(np.concatenate([self._sum[None], part]))[-1]
            self._max = np.maximum.reduce(np.concatenate([self._max[None], part]))
            self._count += len(part)
            begin = end
            if self._ends_window(steps[end - 1 : end])[0]:
                self._rows.append((int(steps[end - 1]), *(self._sum / self._count), *self._max))
                self._clear()

    def mark(self, step: int, value: float) -> None:
        """Keep what a network was found to know at the end of a task, under the step of that end."""
        self._marks.append((step, value))

    def _ends_window(self, steps: np.ndarray) -> np.ndarray:
        steps = steps - self.late
        if not self.task_steps:
            return np.asarray(steps % self.every == 0)
        within = steps % self.task_steps
        return np.asarray((within == 0) | (within % self.every == 0))

    def _clear(self) -> None:
        self._count = 0
        self._sum = np.zeros(len(self.names))
        self._max = np.full(len(self.names), -np.inf)

    def table(self) -> dict[str, np.ndarray]:
        """Return the columns: step int64, and float64 NAME (mean of the window that ends there) and NAME_max; or nothing."""
        if not self.names:
            return {}
        names = self.names if self.every == 1 else [*self.names, *(f"{name}_max" for name in self.names)]
        columns = np.array(self._rows, np.float64).reshape(-1, 1 + len(names)).T
        table = {"step": columns[0].astype(np.int64), **dict(zip(names, columns[1:], strict=True))}
        return {**table, HELD_OUT: self._marked(table["step"])} if self._marks else table

    def _marked(self, steps: np.ndarray) -> np.ndarray:
        """Return each mark in the row in whose window its step lies, NaN in the others."""
        column = np.full(len(steps), np.nan)
        for step, value in self._marks:
            place = int(np.searchsorted(steps, step))
            if place < len(steps):
                column[place] = value
        return column

    def get_state(self) -> dict[str, Any]:
        """Return what restores the log exactly, as plain data."""
        kept = {"names": list(self.names), "rows": np.array(self._rows, np.float64), "count": self._count}
        marks = {"marks": np.array(self._marks, np.float64)} if self._marks else {}
        return {**kept, "sum": self._sum.copy(), "max": self._max.copy(), **marks}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self.names, self._count = list(state["names"]), state["count"]
        self._rows = [tuple(row) for row in state["rows"].tolist()]
        self._sum, self._max = state["sum"].copy(), state["max"].copy()
        self._marks = [tuple(mark) for mark in state["marks"].tolist()] if "marks" in state else []


class Recorded(Protocol):
    """A lane with a log of what its learner tells."""

    metrics: MetricsLog
    diverged_at: int | None
    failed: bool


class Untold:
    """What the lanes of a group have told of their last updates, before it is taken into their logs, many steps at a time.

    To call every log at every step would take longer than the update of a small network.
    """

    def __init__(self, streams: Sequence[Recorded]):
        self._streams = streams
        self._names: list[str] = []
        self._values = np.empty((0, 0, len(streams)))
        self._first = self._count = 0

    def add(self, step: int, info: Mapping[str, np.ndarray]) -> None:
        """Keep what all lanes told of the update of a step."""
        if not self._names:
            for stream in self._streams:
                stream.metrics.begin(info)
            self._names = list(self._streams[0].metrics.names)
            self._values = np.empty((MOST_UNTOLD, len(self._names), len(self._streams)))
        if self._count == 0:
            self._first = step
        for values, name in zip(self._values[self._count], self._names, strict=True):
            values[:] = info[name]
        self._count += 1
        if self._count == MOST_UNTOLD:
            self.tell()

    def tell(self) -> None:
        """Take what was kept into the logs of all lanes that have neither diverged nor failed."""
        for lane, stream in enumerate(self._streams if self._count else ()):
            if stream.diverged_at is None and not stream.failed:
                stream.metrics.record_many(self._first, self._values[: self._count, :, lane])
        self._count = 0
