"""The simulated robots, registered with Gymnasium, and as learners of the suite see them.

`gymnasium.make("experiments.environments.robots:UR-Reacher-2-v0")` imports this module first, which registers them; after that
`gymnasium.make("UR-Reacher-2-v0")` does as well. Episodes end by themselves, so the registry knows no limit for them.

An episode of Create-Mover begins where the last one ended: other than elsewhere in the suite it is a function of the whole
stream before it, and so of the seed of the run and of all actions since then. The state is saved and restored whole, without
replaying anything.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

from algorithms.agent import Spaces
from experiments.devices import MEASURED, Computing
from experiments.environment_options import RobotOptions
from experiments.environments.create_mover import CreateMover
from experiments.environments.gymnasium_simulator import draw
from experiments.environments.real_time import RealTime
from experiments.environments.simulator import Moment
from experiments.environments.ur_reacher import URReacher2

ROBOTS: dict[str, type[URReacher2] | type[CreateMover]] = {"UR-Reacher-2-v0": URReacher2, "Create-Mover-v0": CreateMover}

for _id, _robot in ROBOTS.items():
    if _id not in gymnasium.registry:
        gymnasium.register(_id, entry_point=f"{_robot.__module__}:{_robot.__name__}")


class Robot:
    """One robot in its own time."""

    def __init__(self, env_id: str, options: RobotOptions):
        self._robot = ROBOTS[env_id]()
        self._timed = bool(options.device)
        computing = Computing(options.action_seconds, options.learning_seconds, options.learning_every, options.learning_starts)
        self._inner = RealTime(self._robot, None if options.device == MEASURED else computing)
        self._seeded = False
        self.observation_space: gym_spaces.Space[Any] = gym_spaces.Box(-np.inf, np.inf, (8,), np.float64)
        self.action_space: gym_spaces.Space[Any] = self._robot.action_space
        self.spaces = Spaces((8,), 2, action_low=(-1.0, -1.0), action_high=(1.0, 1.0))
        self.timing_columns = ("seconds", "cycles", "missed_cycles") if self._timed else ()
        self._before = (0, 0)

    def reset(self, seed: int) -> tuple[np.ndarray, float]:
        """Start an episode. A robot that goes on from where it stands takes the first seed only."""
        self._before = (self._inner.cycles, self._inner.missed)
        obs, _ = self._inner.reset(seed=None if self._seeded and self._robot.continues else seed >> 32)
        self._seeded = True
        return obs, 0.0

    def step(self, action: Any) -> Moment:
        """Take one step."""
        obs, reward, terminated, truncated, _ = self._inner.step(action)
        return Moment(obs, reward, terminated, truncated, terminated or truncated)

    def timing(self) -> dict[str, float]:
        """Return the robot's seconds since the beginning, and the cycles of this episode; nothing where the robot waits."""
        cycles, missed = self._before
        values = (self._inner.seconds, self._inner.cycles - cycles, self._inner.missed - missed)
        return dict(zip(self.timing_columns, map(float, values), strict=True)) if self._timed else {}

    def get_state(self) -> dict[str, Any]:
        """Return the robot and its clock."""
        return {"robot": self._robot.get_state(), "clock": self._inner.get_state(), "before": self._before}

    def set_state(self, state: dict[str, Any], seed: int) -> None:
        """Put robot and clock back; the seed is not needed."""
        self._robot.set_state(state["robot"])
        self._inner.set_state(state["clock"])
        self._before, self._seeded = tuple(state["before"]), True

    def frame(self) -> np.ndarray | None:
        """Return a picture of the robot, uint8 [height, width, 3]."""
        return draw(self._robot)

    def close(self) -> None:
        """Nothing is held."""
