"""What a learner tells about its own updates, beside the TD error: kept as means and maxima over windows of steps.

A learner whose `METRICS_EVERY` is 1 (prediction) has every step kept as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

METRICS_EVERY = 1000
# Always there, and looked at by the loop itself.
TD_ERROR = "td_error"


class MetricsLog:
    """The metrics of one run. Nothing is kept of a learner that tells nothing but its TD error."""

    def __init__(self, every: int = METRICS_EVERY):
        self.every = every
        self.names: list[str] = []
        self._rows: list[tuple[float, ...]] = []
        self._count = 0
        self._sum = np.zeros(0)
        self._max = np.zeros(0)

    def record(self, step: int, info: Mapping[str, np.ndarray], lane: int) -> None:
        """Take in what the learner of a lane told of the update of a step, counted from 1."""
        if not self.names:
            self.names = [name for name in info if name != TD_ERROR]
            self._clear()
        values = np.array([info[name][lane] for name in self.names], np.float64)
        if self.every == 1:
            self._rows.append((step, *values))
            return
        self._count += 1
        self._sum += values
        np.maximum(self._max, values, out=self._max)
        if step % self.every == 0:
            self._rows.append((step, *(self._sum / self._count), *self._max))
            self._clear()

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
        return {"step": columns[0].astype(np.int64), **dict(zip(names, columns[1:], strict=True))}

    def get_state(self) -> dict[str, Any]:
        """Return what restores the log exactly."""
        kept = {"names": self.names, "rows": list(self._rows), "count": self._count}
        return {**kept, "sum": self._sum.copy(), "max": self._max.copy()}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self.names, self._rows, self._count = list(state["names"]), list(state["rows"]), state["count"]
        self._sum, self._max = state["sum"].copy(), state["max"].copy()
