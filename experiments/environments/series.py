"""A time series to predict: 15-minute loads and oil temperature of a transformer (ETTm2), one row per step.

Stream-X, section 4.5. The learner sees the 7 channels, each as an exponential average (the memory trace; with bias correction,
which the code has and the paper has not), and predicts the discounted sum of the oil temperature to come, rescaled to [0, 1]
by its least and greatest value in the whole series. Its prediction is its action, which changes nothing here.

The first observation is row 0; step k, counted from 1, shows row k and gives row k + 1 as its reward. The stream is cut
where the rows are used up and is the same whatever the seed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces

from algorithms.agent import Spaces
from experiments.datasets import ettm2, generated, load_series, series_files
from experiments.environment_options import SeriesOptions
from experiments.environments.simulator import Moment


def files(env_id: str, options: SeriesOptions) -> dict[str, str]:
    """Return the files that a series is read from, with the SHA-256 of each."""
    return series_files(env_id, options.data_sha256)


def spaces(env_id: str, options: SeriesOptions) -> Spaces:
    """Return the sizes of a series, which is not read for it."""
    if env_id == generated.NAME:
        load_series(env_id, options.data_sha256)  # from no file: refused where one is named
    return Spaces((len(ettm2.COLUMNS) - 1,), 1, prediction=True)


class Series:
    """One pass over a series."""

    def __init__(self, env_id: str, options: SeriesOptions):
        self._rows = load_series(env_id, options.data_sha256)  # float64 [rows, channels], the last channel is what is predicted
        target = self._rows[:, -1]
        self._rewards: list[float] = ((target - target.min()) / (target.max() - target.min())).tolist()
        self._decay, self._bias_correction = options.memory_trace, options.trace_bias_correction
        self._row = 0
        self._trace = np.zeros(self._rows.shape[1])
        self.spaces = Spaces(self._trace.shape, 1, prediction=True)
        self.observation_space: gym_spaces.Space[Any] = gym_spaces.Box(-np.inf, np.inf, self._trace.shape, np.float64)
        self.action_space: gym_spaces.Space[Any] = gym_spaces.Box(-np.inf, np.inf, (1,), np.float32)

    def reset(self, seed: int) -> tuple[np.ndarray, float]:
        """Go to the first row."""
        self._row = 0
        self._trace = np.zeros_like(self._trace)
        return self._observe(), 0.0

    def step(self, action: Any) -> Moment:
        """Go to the next row, whatever the action."""
        self._row += 1
        truncated = self._row + 2 >= len(self._rewards)
        return Moment(self._observe(), self._rewards[self._row + 1], False, truncated, truncated)

    def readings(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """Return the raw channels at some steps, counted from 1, as columns obs_0, obs_1, ..., float64."""
        return {f"obs_{channel}": self._rows[steps, channel] for channel in range(self._rows.shape[1])}

    def get_state(self) -> dict[str, Any]:
        """Return the number of the row that is seen, and the trace."""
        return {"row": self._row, "trace": self._trace}

    def set_state(self, state: dict[str, Any], seed: int) -> None:
        """Go back to a row."""
        self._row, self._trace = state["row"], state["trace"]

    def close(self) -> None:
        """Nothing is held."""

    def _observe(self) -> np.ndarray:
        self._trace = self._decay * self._trace + (1.0 - self._decay) * self._rows[self._row]
        if not self._bias_correction:
            return self._trace.copy()
        seen: np.ndarray = self._trace / (1.0 - self._decay ** (self._row + 1))
        return seen
