"""Simulators that show a vector: MuJoCo, dm_control, classic control, and anything of the kind that Gymnasium registers.

Wrapper order of the official Stream-X code: simulator and time limit -> flattened observation -> action clipped -> time
feature appended. An environment is restored by resetting the current episode and replaying its actions, which is exact for
every simulator that is deterministic given its seed.
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
from experiments.environments.packages import missing_package, unknown_environment
from experiments.environments.simulator import Moment, SimulationDivergedError
from experiments.errors import UserError

# Episodes of dm_control end inside dm_control, so Gymnasium knows no limit for them.
DM_CONTROL_EPISODE_STEPS = 1000

# Modules that bring an environment family, by the namespace of its ids, and the names to install with pip.
PACKAGES = {
    "dm_control": (("shimmy", "dm_control"), "shimmy dm-control"),
    "ALE": (("ale_py",), "ale-py"),
}


class Vector:
    """One simulator of Gymnasium, with its time limit, clipping and time feature."""

    def __init__(self, env_id: str, options: VectorOptions, inner: gymnasium.Env[Any, Any] | None = None):
        """Make one by its id, or around an environment of Gymnasium that is there already."""
        self._inner = _make(env_id, options.time_limit) if inner is None else flattened(inner)
        if options.contact_margin == "larger":
            take_larger_margin(env_id, self._inner)
        self._physics_errors = _physics_errors(env_id)
        self._time_feature = options.time_feature
        limit = self._inner.spec.max_episode_steps if self._inner.spec else None
        if limit is None and env_id.startswith("dm_control/"):
            limit = DM_CONTROL_EPISODE_STEPS
        if options.time_feature and limit is None:
            raise UserError(
                f"{env_id} has no time limit, so it can have no time feature; add --set time_feature=false, "
                "or --set time_limit=N for one of N steps."
            )
        self._time_per_step = 1.0 / limit if limit else 0.0
        self._limit_is_terminal = options.time_limit_is == "terminal"

        box = self._inner.observation_space
        assert isinstance(box, gym_spaces.Box)
        size = int(np.prod(box.shape)) + int(options.time_feature)
        self.observation_space: gym_spaces.Space[Any] = gym_spaces.Box(-np.inf, np.inf, (size,), np.float64)
        self.action_space: gym_spaces.Space[Any] = self._inner.action_space
        self._discrete = isinstance(self.action_space, gym_spaces.Discrete)
        if isinstance(self.action_space, gym_spaces.Discrete):
            actions = int(self.action_space.n)
        elif isinstance(self.action_space, gym_spaces.Box) and len(self.action_space.shape) == 1:
            actions = self.action_space.shape[0]
            unit = options.action_clip == "unit"
            self._low = np.full(actions, -1.0, np.float32) if unit else self.action_space.low.astype(np.float32)
            self._high = np.full(actions, 1.0, np.float32) if unit else self.action_space.high.astype(np.float32)
        else:
            raise UserError(f"{env_id} has actions of the form {self.action_space}; a vector or a discrete choice is needed.")
        self._clip = not self._discrete and options.action_clip != "none"
        bounds = (self.action_space.low, self.action_space.high) if isinstance(self.action_space, gym_spaces.Box) else ((), ())
        low, high = (tuple(float(x) for x in bound) for bound in bounds)
        self.spaces = Spaces((size,), actions, self._discrete, options.time_feature, action_low=low, action_high=high)
        self._actions: list[Any] = []

    def reset(self, seed: int) -> tuple[np.ndarray, float]:
        """Start an episode."""
        self._actions = []
        obs, _ = self._inner.reset(seed=seed >> 32)  # 31 bits
        return self._with_time(obs, 0), 0.0

    def step(self, action: Any) -> Moment:
        """Take one step. Raise `SimulationDivergedError` where the simulator gives up."""
        if self._clip:
            action = np.minimum(np.maximum(action, self._low), self._high)
        elif self._discrete:
            action = int(action)
        else:
            action = np.array(action)  # a copy: the caller may write the next action into the same memory
        return self._take(action)

    def get_state(self) -> dict[str, Any]:
        """Return the actions taken in this episode, as the simulator was given them."""
        # Two types in one episode: of dm_control's actions random ones have 64 bits, and those of a network 32.
        types = {np.asarray(action).dtype for action in self._actions}
        return {"actions": np.array(self._actions) if len(types) == 1 else [np.array(action) for action in self._actions]}

    def set_state(self, state: dict[str, Any], seed: int) -> None:
        """Replay the episode."""
        self.reset(seed)
        for action in state["actions"]:
            self._take(int(action) if self._discrete else action)

    def close(self) -> None:
        """Free the simulator."""
        self._inner.close()

    def _take(self, action: Any) -> Moment:
        self._actions.append(action)
        try:
            obs, reward, terminated, truncated, _ = self._inner.step(action)
        except self._physics_errors as error:
            raise SimulationDivergedError(str(error)) from error
        terminated, truncated = bool(terminated), bool(truncated)
        if truncated and self._limit_is_terminal:
            terminated, truncated = True, False
        # As in the official code the time is appended before it is advanced: the first two observations both say -0.5.
        obs = self._with_time(obs, len(self._actions) - 1)
        return Moment(obs, float(reward), terminated, truncated, terminated or truncated)

    def _with_time(self, obs: np.ndarray, steps: int) -> np.ndarray:
        if not self._time_feature:
            return np.asarray(obs, np.float64)
        extended = np.empty(obs.shape[0] + 1)
        extended[:-1] = obs
        extended[-1] = -0.5 + steps * self._time_per_step  # Stream-X appendix F.4
        return extended


def _physics_errors(env_id: str) -> tuple[type[Exception], ...]:
    if not env_id.startswith("dm_control/"):
        return ()
    from dm_control.rl.control import PhysicsError

    return (PhysicsError,)


def _make(env_id: str, time_limit: int) -> gymnasium.Env[Any, Any]:
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
    if family == "dm_control" and time_limit > DM_CONTROL_EPISODE_STEPS:
        raise UserError(
            f"{env_id} ends its episodes after {DM_CONTROL_EPISODE_STEPS} steps; time_limit={time_limit} is beyond."
        )
    with warnings.catch_warnings(), mujoco_quiet():
        warnings.simplefilter("ignore")  # -v4 is deprecated upstream, and is what the papers used
        level, gymnasium.logger.min_level = gymnasium.logger.min_level, gymnasium.logger.ERROR
        try:
            env = gymnasium.make(env_id, disable_env_checker=True, max_episode_steps=time_limit or None)
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
    if isinstance(env.observation_space, gym_spaces.Box) and len(env.observation_space.shape) == 3:
        raise UserError(
            f"{env_id} shows images; those that can be learnt from are Atari games, named like BreakoutNoFrameskip-v4."
        )
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
