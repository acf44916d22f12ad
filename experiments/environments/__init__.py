"""Environments as every learner of the suite sees them, with the wrapper order in one place.

Innermost first, as in the official Stream-X code: simulator and time limit -> flattened observation -> raw episodic return
and length recorded -> action clipped -> time feature appended. Reward scaling and observation normalisation follow inside
the learner (`algorithms.normalization`), which leaves the time feature alone.
"""

from __future__ import annotations

import difflib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import gymnasium
import mujoco
import numpy as np
from gymnasium import spaces as gym_spaces
from gymnasium.wrappers import FlattenObservation

from algorithms.agent import Spaces
from experiments.errors import UserError
from experiments.streams import derive

# Episodes of dm_control end inside dm_control, so Gymnasium knows no limit for them.
DM_CONTROL_EPISODE_STEPS = 1000

# Modules that bring an environment family, by the namespace of its ids, and the names to install with pip.
PACKAGES = {
    "dm_control": (("shimmy", "dm_control"), "shimmy dm-control"),
    "ALE": (("ale_py",), "ale-py"),
    "MinAtar": (("minatar",), "minatar"),
}


class SimulationDivergedError(Exception):
    """The simulator has left the finite numbers: the run has diverged, which is a result."""


class EpisodeEnd(NamedTuple):
    """What is recorded when an episode ends: the undiscounted sum of raw rewards, and the number of steps."""

    episodic_return: float
    length: int


class Environment(gymnasium.Env[np.ndarray, np.ndarray]):
    """One stream of episodes that depends on nothing but its id, its options, its seed and the actions.

    Episode k starts from `reset(seed=f(seed, k))`, so an environment is restored exactly by resetting the current episode
    and replaying its actions: this works for every simulator that is deterministic given its seed.

    Attributes:
        spaces: sizes of observation and action, time feature included.
        episode: number of the current episode, from 0.
        last_episode: return and length of the episode that ended last, or None.
    """

    def __init__(
        self, env_id: str, seed: int, time_feature: bool = True, action_clip: Literal["bounds", "unit", "none"] = "bounds"
    ):
        self._inner = _make(env_id)
        self._seed = seed
        self._physics_errors = _physics_errors(env_id)
        self._time_feature = time_feature
        limit = self._inner.spec.max_episode_steps if self._inner.spec else None
        if limit is None and env_id.startswith("dm_control/"):
            limit = DM_CONTROL_EPISODE_STEPS
        if time_feature and limit is None:
            raise UserError(f"{env_id} has no time limit, so it can have no time feature; add --set time_feature=false.")
        self._time_per_step = 1.0 / limit if limit else 0.0

        box = self._inner.observation_space
        assert isinstance(box, gym_spaces.Box)
        size = int(np.prod(box.shape)) + int(time_feature)
        self.observation_space = gym_spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space = self._inner.action_space
        self._discrete = isinstance(self.action_space, gym_spaces.Discrete)
        if isinstance(self.action_space, gym_spaces.Discrete):
            actions = int(self.action_space.n)
        elif isinstance(self.action_space, gym_spaces.Box) and len(self.action_space.shape) == 1:
            actions = self.action_space.shape[0]
            unit = action_clip == "unit"
            self._low = np.full(actions, -1.0, np.float32) if unit else self.action_space.low.astype(np.float32)
            self._high = np.full(actions, 1.0, np.float32) if unit else self.action_space.high.astype(np.float32)
        else:
            raise UserError(f"{env_id} has actions of the form {self.action_space}; a vector or a discrete choice is needed.")
        self._clip = not self._discrete and action_clip != "none"
        self.spaces = Spaces((size,), actions, self._discrete, time_feature)

        self.episode = -1
        self.last_episode: EpisodeEnd | None = None
        self._return = 0.0
        self._actions: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start the next episode. The seed is ignored: the stream's own decides, so that any learner sees the same one."""
        self.episode += 1
        self._return = 0.0
        self._actions = []
        obs, info = self._inner.reset(seed=derive(self._seed, "episode", self.episode) >> 32)  # 31 bits
        return self._with_time(obs, 0), info

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step. Observation float64 [obs_size], raw reward; `last_episode` is set where the episode ends.

        Raise `SimulationDivergedError` where the simulator gives up.
        """
        if self._clip:
            action = np.minimum(np.maximum(action, self._low), self._high)
        elif self._discrete:
            action = int(action)
        else:
            action = np.array(action)  # a copy: the caller may write the next action into the same memory
        self._actions.append(action)
        try:
            obs, reward, terminated, truncated, info = self._inner.step(action)
        except self._physics_errors as error:
            raise SimulationDivergedError(str(error)) from error
        reward = float(reward)
        self._return += reward
        steps = len(self._actions)
        if terminated or truncated:
            self.last_episode = EpisodeEnd(self._return, steps)
        # As in the official code the time is appended before it is advanced: the first two observations both say -0.5.
        return self._with_time(obs, steps - 1), reward, bool(terminated), bool(truncated), info

    def get_state(self) -> dict[str, Any]:
        """Return what restores this environment exactly: the episode's number and the actions taken in it."""
        return {"episode": self.episode, "actions": [np.array(a) for a in self._actions], "last_episode": self.last_episode}

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called, by replaying the episode."""
        self.episode = state["episode"] - 1
        self.reset()
        clip, self._clip = self._clip, False  # recorded after clipping
        for action in state["actions"]:
            self.step(action)
        self._clip = clip
        self.last_episode = state["last_episode"]

    def close(self) -> None:
        """Free the simulator."""
        self._inner.close()

    def _with_time(self, obs: np.ndarray, steps: int) -> np.ndarray:
        if not self._time_feature:
            return obs
        extended = np.empty(obs.shape[0] + 1)
        extended[:-1] = obs
        extended[-1] = -0.5 + steps * self._time_per_step  # Stream-X appendix F.4
        return extended


def _physics_errors(env_id: str) -> tuple[type[Exception], ...]:
    if not env_id.startswith("dm_control/"):
        return ()
    from dm_control.rl.control import PhysicsError

    return (PhysicsError,)


def _make(env_id: str) -> gymnasium.Env[Any, Any]:
    family = env_id.partition("/")[0] if "/" in env_id else None
    if family in PACKAGES:
        modules, pip_names = PACKAGES[family]
        os.environ.setdefault("MUJOCO_GL", "disable")  # nothing is rendered; without it dm_control looks for a display
        try:
            for name in modules:
                __import__(name)
        except ImportError as error:
            raise UserError(
                f"environment {env_id} needs a package that is not installed ({error}); install it: pip install {pip_names}."
            ) from None
        if family == "dm_control":
            import shimmy

            gymnasium.register_envs(shimmy)
    with warnings.catch_warnings(), _mujoco_quiet():
        warnings.simplefilter("ignore")  # -v4 is deprecated upstream, and is what the papers used
        level, gymnasium.logger.min_level = gymnasium.logger.min_level, gymnasium.logger.ERROR
        try:
            env = gymnasium.make(env_id, disable_env_checker=True)
        except gymnasium.error.DependencyNotInstalled as error:
            raise UserError(
                f"environment {env_id} needs a package that is not installed: {' '.join(str(error).split()).rstrip('.')}."
            ) from None
        except (gymnasium.error.Error, ImportError) as error:
            close = difflib.get_close_matches(env_id, list(gymnasium.registry), n=3, cutoff=0.6)
            if env_id in close:
                raise UserError(f"{env_id} cannot be made: {' '.join(str(error).split()).rstrip('.')}.") from None
            hint = f"the closest are {', '.join(close)}" if close else " ".join(str(error).split()).rstrip(".")
            raise UserError(f"there is no environment {env_id!r}; {hint}.") from None
        finally:
            gymnasium.logger.min_level = level
    if not isinstance(env.observation_space, gym_spaces.Box) or len(env.observation_space.shape) != 1:
        env = FlattenObservation(env)
    return env


@contextmanager
def _mujoco_quiet() -> Iterator[None]:
    # Loading the -v4 models warns of an old attribute, into a log file in the working directory.
    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)


def describe(env_id: str, **options: Any) -> Spaces:
    """Return the sizes of an environment; raise `UserError` if there is none of that id or its package is missing."""
    env = Environment(env_id, seed=0, **options)
    env.close()
    return env.spaces
