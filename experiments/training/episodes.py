"""The rows that a run of reinforcement learning leaves: one for every episode that has ended, or for every window of steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from experiments.environments import EpisodeEnd
from experiments.spec import Run

RECENT = 10
# Steps of a window of rewards.
WINDOW = 1000


class EpisodeLog:
    """Episodes in the order in which they ended.

    Where time passes while the learner computes, each has numbers of it too: `timing` names them.
    """

    def __init__(self, timing: Sequence[str] = ()) -> None:
        self.rows: list[tuple[int, float, int]] = []
        self._timing: dict[str, list[float]] = {name: [] for name in timing}

    def record(self, step: int, episode: EpisodeEnd | None, timing: Mapping[str, float] | None = None) -> None:
        """Note that an episode has ended with the given step, counted from 1."""
        assert episode is not None
        self.rows.append((step, *episode))
        for name, values in self._timing.items():
            values.append((timing or {})[name])

    def recent_return(self) -> float | None:
        """Return the mean return of the last episodes, None if there are none yet."""
        return float(np.mean([row[1] for row in self.rows[-RECENT:]])) if self.rows else None

    def table(self) -> dict[str, np.ndarray]:
        """Return the columns step int64, episodic_return float64, length int32, and float64 those of the timing."""
        step, episodic_return, length = zip(*self.rows, strict=True) if self.rows else ((), (), ())
        return {
            "step": np.array(step, np.int64),
            "episodic_return": np.array(episodic_return, np.float64),
            "length": np.array(length, np.int32),
            **{name: np.array(values, np.float64) for name, values in self._timing.items()},
        }

    def get_state(self) -> dict[str, Any]:
        """Return what restores the log exactly, as plain data."""
        return {**self.table(), "length": np.array([length for *_, length in self.rows], np.int64)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where `get_state` was called."""
        columns = (state[name].tolist() for name in ("step", "episodic_return", "length"))
        self.rows = list(zip(*columns, strict=True))
        self._timing = {name: state[name].tolist() for name in self._timing}


class RewardLog:
    """The mean reward of a step, over windows of 1,000: what is measured where there are no episodes to sum over."""

    @classmethod
    def of(cls, run: Run) -> RewardLog | None:
        """Return an empty log for a run in a continuing environment, and None for any other."""
        return cls() if dict(run.environment).get("continuing") else None

    def __init__(self) -> None:
        self._rates: list[float] = []
        self._sum, self._count = 0.0, 0

    def record(self, reward: float) -> None:
        """Take in the raw reward of the next step."""
        self._sum += reward
        self._count += 1
        if self._count == WINDOW:
            self._rates.append(self._sum / WINDOW)
            self._sum, self._count = 0.0, 0

    def recent_rate(self) -> float | None:
        """Return the rate of the last whole window, None before there is one."""
        return self._rates[-1] if self._rates else None

    def table(self) -> dict[str, np.ndarray]:
        """Return the columns step int64 (the last of its window, counted from 1) and reward_rate float64."""
        rates = np.array(self._rates, np.float64)
        return {"step": np.arange(1, len(rates) + 1, dtype=np.int64) * WINDOW, "reward_rate": rates}

    def get_state(self) -> dict[str, Any]:
        """Return what restores the log exactly, as plain data."""
        return {"rates": np.array(self._rates, np.float64), "sum": self._sum, "count": self._count}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self._rates, self._sum, self._count = state["rates"].tolist(), state["sum"], state["count"]
