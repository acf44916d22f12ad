"""What lies behind an environment: one game, physics or series that can start an episode, take a step, and be restored."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import gymnasium
import numpy as np

from algorithms.agent import Spaces


class SimulationDivergedError(Exception):
    """The simulator has left the finite numbers: the run has diverged, which is a result."""


class Moment(NamedTuple):
    """What one step brought. `over` says that the episode itself has ended and a reset must follow."""

    obs: np.ndarray
    reward: float
    terminated: bool
    truncated: bool
    over: bool


class Simulator(Protocol):
    """A source of episodes, each a function of the simulator, of one seed and of the actions.

    Attributes:
        spaces: sizes of observation and action as the learner sees them.
    """

    spaces: Spaces
    observation_space: gymnasium.Space[Any]
    action_space: gymnasium.Space[Any]

    def reset(self, seed: int) -> tuple[np.ndarray, float]:
        """Start an episode; return its first observation and the reward that came before it. The seed has 63 bits."""
        ...

    def step(self, action: Any) -> Moment:
        """Take one step. The action's memory may be written to afterwards."""
        ...

    def get_state(self) -> dict[str, Any]:
        """Return what `set_state` needs, as plain data (`experiments.plain_data`) that does not change any more."""
        ...

    def set_state(self, state: dict[str, Any], seed: int) -> None:
        """Go to where `get_state` was called, in the episode that began with this seed."""
        ...

    def close(self) -> None:
        """Free what is held."""
        ...
