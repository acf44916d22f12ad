"""Simulators that show a vector: MuJoCo, dm_control, classic control, and anything of the kind that Gymnasium registers.

Wrapper order of the official Stream-X code: simulator and time limit -> flattened observation -> action clipped -> time
feature appended.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces
from gymnasium.wrappers import FlattenObservation

from algorithms.agent import Spaces
from experiments.environment_options import VectorOptions
from experiments.environments.contacts import take_larger_margin
from experiments.environments.gymnasium_simulator import DM_CONTROL_EPISODE_STEPS, EpisodeOptions, GymnasiumSimulator
from experiments.environments.packages import missing_package, unknown_environment
from experiments.errors import UserError

# Modules that bring an environment family, by the namespace of its ids, and the names to install with pip.
PACKAGES = {
    "dm_control": (("shimmy", "dm_control"), "shimmy dm-control"),
    "ALE": (("ale_py",), "ale-py"),
}


class Vector(GymnasiumSimulator):
    """One simulator of Gymnasium that shows a vector, and the time in its episode."""

    def __init__(self, env_id: str, options: VectorOptions, inner: gymnasium.Env[Any, Any] | None = None):
        """Make one by its id, or around an environment of Gymnasium that is there already."""
        inner = _shows_a_vector(env_id, made(env_id, steps_limit(options))) if inner is None else flattened(inner)
        if options.contact_margin == "larger":
            take_larger_margin(env_id, inner)
        super().__init__(env_id, options, inner)
        self._time_feature = options.time_feature
        if options.time_feature and self.limit is None:
            raise UserError(
                f"{env_id} has no time limit, so it can have no time feature; add --set time_feature=false, "
                "or --set time_limit=N for one of N steps. Where its episodes never end, add --set continuing=true as well."
            )
        self._time_per_step = 1.0 / self.limit if self.limit else 0.0
        box = inner.observation_space
        assert isinstance(box, gym_spaces.Box)
        size = int(np.prod(box.shape)) + int(options.time_feature)
        self.observation_space: gym_spaces.Space[Any] = gym_spaces.Box(-np.inf, np.inf, (size,), np.float64)
        low, high = self.action_bounds
        self.spaces = Spaces((size,), self.actions, self.discrete, options.time_feature, action_low=low, action_high=high)

    def observation(self, seen: np.ndarray, steps: int) -> np.ndarray:
        """Return the vector, float64 [size], with the time behind it."""
        if not self._time_feature:
            return np.asarray(seen, np.float64)
        extended = np.empty(seen.shape[0] + 1)
        extended[:-1] = seen
        extended[-1] = -0.5 + steps * self._time_per_step  # Stream-X appendix F.4
        return extended


def steps_limit(options: EpisodeOptions) -> int | None:
    """Return what Gymnasium is told of a time limit: a number of steps, -1 for none, or None for the environment's own."""
    return -1 if options.continuing else options.time_limit or None


def made(env_id: str, time_limit: int | None) -> gymnasium.Env[Any, Any]:
    """Return an environment of Gymnasium by its id; raise `UserError` where there is none, or no package for it."""
    family = env_id.partition("/")[0] if "/" in env_id else None
    if family in PACKAGES:
        modules, pip_names = PACKAGES[family]
        os.environ.setdefault("MUJOCO_GL", "disable")  # nothing is rendered; without it dm_control looks for a display
        try:
            for name in modules:
                __import__(name)
        except ImportError as error:
            raise missing_package(env_id, error, pip_names) from None
        if family == "dm_control":
            import shimmy

            gymnasium.register_envs(shimmy)
    if family == "dm_control" and time_limit == -1:
        raise UserError(f"{env_id} ends its episodes itself, so it cannot be continuing.")
    if family == "dm_control" and time_limit is not None and time_limit > DM_CONTROL_EPISODE_STEPS:
        raise UserError(
            f"{env_id} ends its episodes after {DM_CONTROL_EPISODE_STEPS} steps; time_limit={time_limit} is beyond."
        )
    with warnings.catch_warnings(), mujoco_quiet():
        warnings.simplefilter("ignore")  # -v4 is deprecated upstream, and is what the papers used
        level, gymnasium.logger.min_level = gymnasium.logger.min_level, gymnasium.logger.ERROR
        try:
            env = gymnasium.make(env_id, disable_env_checker=True, max_episode_steps=time_limit)
        except gymnasium.error.DependencyNotInstalled as error:
            raise UserError(
                f"environment {env_id} needs a package that is not installed: {' '.join(str(error).split()).rstrip('.')}."
            ) from None
        except (gymnasium.error.Error, ImportError) as error:
            reason = " ".join(str(error).split()).rstrip(".")
            if env_id in gymnasium.registry:
                raise UserError(f"{env_id} cannot be made: {reason}.") from None
            raise unknown_environment(env_id, gymnasium.registry, reason) from None
        finally:
            gymnasium.logger.min_level = level
    return env


def _shows_a_vector(env_id: str, env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    if isinstance(env.observation_space, gym_spaces.Box) and len(env.observation_space.shape) in (2, 3):
        atari = "; the papers' Atari games are named like BreakoutNoFrameskip-v4" if env_id.startswith("ALE/") else ""
        raise UserError(f"{env_id} shows images; name it pixels/{env_id} for learners with convolutions{atari}.")
    return flattened(env)


def flattened(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return an environment that shows a vector; choices in what it shows become one-hot."""
    if isinstance(env.observation_space, gym_spaces.Box) and len(env.observation_space.shape) == 1:
        return env
    return FlattenObservation(env)


@contextmanager
def mujoco_quiet() -> Iterator[None]:
    """Keep MuJoCo silent: loading the -v4 models warns of an old attribute, into a log file in the working directory."""
    import mujoco

    mujoco.set_mju_user_warning(lambda message: None)
    try:
        yield
    finally:
        mujoco.set_mju_user_warning(None)
