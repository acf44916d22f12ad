"""MuJoCo robots of which positions or velocities alone are seen.

Registered with Gymnasium as `masked/Ant-v4`, `masked/HalfCheetah-v5` and so on, with the options `visible`, `mask` and
`hidden_as` (`experiments.environment_options.MaskedOptions`). Ant-v5 comes without contact forces, as Ant-v4 does.

The observation of every robot is its positions, the root's place left out, and then its velocities. The papers' code cuts
HalfCheetah elsewhere: that of arXiv:2409.01449 shows 9 and 8 components, so that the forward velocity counts as a position;
that of arXiv:2605.24709 shows 4 positions with 5 velocities, and 4 with 4. Both are here to compare with their numbers. They
use Brax, whose returns are not those of MuJoCo.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

from experiments.environment_options import MaskedOptions
from experiments.environments.packages import unknown_environment
from experiments.environments.vector import Vector, mujoco_quiet, steps_limit

# Positions and velocities in an observation.
SIZES = {"Ant": (13, 14), "HalfCheetah": (8, 9), "Hopper": (5, 6), "Walker2d": (8, 9)}
ROBOTS = {f"masked/{body}-{version}": body for body in SIZES for version in ("v4", "v5")}

Visible = Literal["positions", "velocities", "all"]
Mask = Literal["true", "published_2409_01449", "published_2605_24709"]


def visible_indices(body: str, visible: Visible, mask: Mask = "true") -> np.ndarray:
    """Return the indices of the components that are shown."""
    positions, velocities = SIZES[body]
    every = np.arange(positions + velocities)
    if visible == "all":
        return every
    shown = every[:positions]
    if body == "HalfCheetah" and mask == "published_2605_24709":
        shown = np.array([0, 1, 2, 3, 8, 9, 10, 11, 12])
    elif body == "HalfCheetah" and mask == "published_2409_01449":
        shown = every[:9]
    return shown if visible == "positions" else np.setdiff1d(every, shown)


class Mask1D(gymnasium.ObservationWrapper[np.ndarray, np.ndarray, np.ndarray]):
    """An environment of whose vector some components are shown, and the others zero or left out."""

    def __init__(self, env: gymnasium.Env[np.ndarray, np.ndarray], indices: np.ndarray, hidden_as: Literal["zeros", "nothing"]):
        super().__init__(env)
        box = env.observation_space
        assert isinstance(box, gym_spaces.Box)
        self._indices, self._keep = indices, hidden_as == "zeros"
        self._shape = box.shape
        low, high = (box.low, box.high) if self._keep else (box.low[indices], box.high[indices])
        self.observation_space = gym_spaces.Box(low, high, dtype=np.float64)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        """Return what is shown, float64."""
        shown = np.asarray(observation, np.float64)[self._indices]
        if not self._keep:
            return shown
        kept = np.zeros(self._shape)
        kept[self._indices] = shown
        return kept


def make_masked(
    robot: str,
    visible: Visible = MaskedOptions.visible,
    mask: Mask = MaskedOptions.mask,
    hidden_as: Literal["zeros", "nothing"] = MaskedOptions.hidden_as,
    **of_the_robot: Any,
) -> gymnasium.Env[Any, Any]:
    """Return a masked robot without time limit. More keyword arguments are the robot's own, as Gymnasium has it."""
    if robot == "Ant-v5":
        of_the_robot = {"include_cfrc_ext_in_observation": False, **of_the_robot}
    with warnings.catch_warnings(), mujoco_quiet():
        warnings.simplefilter("ignore")  # -v4 is deprecated upstream, and is what the papers used
        env = gymnasium.make(robot, disable_env_checker=True, **of_the_robot).unwrapped
    return Mask1D(env, visible_indices(robot.partition("-")[0], visible, mask), hidden_as)


class Masked(Vector):
    """A masked robot for learners."""

    def __init__(self, env_id: str, options: MaskedOptions):
        if env_id not in ROBOTS:
            raise unknown_environment(env_id, ROBOTS)
        choices = {"visible": options.visible, "mask": options.mask, "hidden_as": options.hidden_as}
        limit = steps_limit(options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of -v4, that there is a -v5
            env = gymnasium.make(env_id, max_episode_steps=limit, disable_env_checker=True, **choices)
        super().__init__(env_id, options, env)


for _id in ROBOTS:
    gymnasium.register(
        _id, entry_point=f"{__name__}:make_masked", max_episode_steps=1000, kwargs={"robot": _id.removeprefix("masked/")}
    )
