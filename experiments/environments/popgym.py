"""POPGym: games that want memory (Morad et al., arXiv:2303.01859), by the package's ids, such as popgym-RepeatFirstEasy-v0.

What is shown is made a vector: choices become one-hot, and behind them stand the last action, one-hot, and the last reward. In
the first observation of an episode these are action 0 and reward 0, as in the code of arXiv:2605.24709. An action of several
choices becomes one choice among all their combinations.

Deviation from that code: it appends the reward as the learner scales it. Here it is the raw reward, which the learner
standardises with the rest of the observation.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

from experiments.environment_options import PopgymOptions, VectorOptions
from experiments.environments.packages import missing_package, unknown_environment
from experiments.environments.vector import Vector, flattened


class PreviousActionAndReward(gymnasium.Wrapper[np.ndarray, Any, Any, Any]):
    """An environment that shows a vector, with the last action and the last reward appended."""

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        box, actions = env.observation_space, env.action_space
        assert isinstance(box, gym_spaces.Box)
        self._actions: np.ndarray | None = None  # a vector is appended as it is
        if isinstance(actions, gym_spaces.Discrete):
            self._actions = np.eye(int(actions.n))
            low, high = np.zeros(int(actions.n)), np.ones(int(actions.n))
            self._first = self._actions[0]
        else:
            assert isinstance(actions, gym_spaces.Box)
            low, high = actions.low.ravel().astype(np.float64), actions.high.ravel().astype(np.float64)
            self._first = np.zeros_like(low)
        self.observation_space = gym_spaces.Box(
            np.concatenate([box.low, low, [-np.inf]]), np.concatenate([box.high, high, [np.inf]]), dtype=np.float64
        )

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode, as if action 0 had been taken and no reward given."""
        obs, info = self.env.reset(seed=seed, options=options)
        return np.concatenate([obs, self._first, [0.0]]), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Take one step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        last = np.ravel(action) if self._actions is None else self._actions[int(action)]
        return np.concatenate([obs, last, [float(reward)]]), reward, terminated, truncated, info


class OneChoice(gymnasium.ActionWrapper[Any, Any, Any]):
    """An environment with several choices at once, as one choice among all combinations."""

    def __init__(self, env: gymnasium.Env[Any, Any]):
        super().__init__(env)
        actions = env.action_space
        assert isinstance(actions, gym_spaces.MultiDiscrete)
        self._sizes = tuple(int(size) for size in actions.nvec)
        self.action_space = gym_spaces.Discrete(int(np.prod(self._sizes)))

    def action(self, action: Any) -> np.ndarray:
        """Return the single choices."""
        return np.array(np.unravel_index(int(action), self._sizes))


class Popgym(Vector):
    """A game of POPGym for learners."""

    def __init__(self, env_id: str, options: PopgymOptions):
        super().__init__(env_id, VectorOptions(time_feature=False), make_popgym(env_id, options.previous))


def make_popgym(env_id: str, previous: bool = True) -> gymnasium.Env[Any, Any]:
    """Return a game with one choice, or a vector, as action, and a vector as observation."""
    try:
        import popgym  # noqa: F401  # which registers its games
    except ImportError as error:
        raise missing_package(env_id, error, "popgym") from None
    if env_id not in gymnasium.registry:
        raise unknown_environment(env_id, [known for known in gymnasium.registry if known.startswith("popgym-")])
    env = gymnasium.make(env_id, disable_env_checker=True)
    if isinstance(env.action_space, gym_spaces.MultiDiscrete):
        env = OneChoice(env)
    env = flattened(env)
    return PreviousActionAndReward(env) if previous else env
