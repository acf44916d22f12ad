"""The rows that a run of reinforcement learning leaves: one for every episode that has ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.environments import EpisodeEnd

RECENT = 10


class EpisodeLog:
    """Episodes in the order in which they ended."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, int]] = []

    def record(self, step: int, episode: EpisodeEnd | None) -> None:
        """Note that an episode has ended with the given step, counted from 1."""
        assert episode is not None
        self.rows.append((step, *episode))

    def recent_return(self) -> float | None:
        """Return the mean return of the last episodes, None if there are none yet."""
        return float(np.mean([row[1] for row in self.rows[-RECENT:]])) if self.rows else None

    def table(self) -> dict[str, np.ndarray]:
        """Return the columns step int64, episodic_return float64 and length int32."""
        step, episodic_return, length = zip(*self.rows, strict=True) if self.rows else ((), (), ())
        return {
            "step": np.array(step, np.int64),
            "episodic_return": np.array(episodic_return, np.float64),
            "length": np.array(length, np.int32),
        }

    def get_state(self) -> dict[str, Any]:
        """Return what restores the log exactly, as plain data."""
        return {**self.table(), "length": np.array([length for *_, length in self.rows], np.int64)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Go to where `get_state` was called."""
        columns = (state[name].tolist() for name in ("step", "episodic_return", "length"))
        self.rows = list(zip(*columns, strict=True))
