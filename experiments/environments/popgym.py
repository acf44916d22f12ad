"""POPGym: games that want memory (Morad et al., arXiv:2303.01859), by the package's ids, such as popgym-RepeatFirstEasy-v0.

What is shown is made a vector: choices become one-hot, and behind them stand the last action, one-hot, and the last reward. In
the first observation of an episode these are action 0 and reward 0, as in the code of arXiv:2605.24709. An action of several
choices becomes one choice among all their combinations.

Deviations from that code: it appends the reward as the learner scales it; here it is the raw reward, which the learner
standardises with the rest of the observation. It does not standardise the last action; here that is an option, by default off
(`standardised`). PPO and the learners of AVG take no notice of it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

from experiments.environment_options import PopgymOptions, VectorOptions
from experiments.environments.packages import missing_package, unknown_environment
from experiments.environments.vector import Vector, flattened


class PreviousActionAndReward(gymnasium.Wrapper[np.ndarray, Any, Any, Any]):
    """An environment that shows a vector, with the last action and the last reward appended, or in the other order."""

    def __init__(self, env: gymnasium.Env[Any, Any], action_last: bool = False):
        super().__init__(env)
        self._action_last = action_last
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
        bounds = (self._joined(box.low, low, -np.inf), self._joined(box.high, high, np.inf))
        self.observation_space = gym_spaces.Box(*bounds, dtype=np.float64)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode, as if action 0 had been taken and no reward given."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._joined(obs, self._first, 0.0), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Take one step."""
        obs, reward, terminated, truncated, info = self.env.step(action)
        last = np.ravel(action) if self._actions is None else self._actions[int(action)]
        return self._joined(obs, last, float(reward)), reward, terminated, truncated, info

    def _joined(self, obs: np.ndarray, action: np.ndarray, reward: float) -> np.ndarray:
        return np.concatenate([obs, [reward], action] if self._action_last else [obs, action, [reward]])


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
        action_last = options.previous and options.standardised == "not_the_action"
        super().__init__(env_id, VectorOptions(time_feature=False), make_popgym(env_id, options.previous, action_last))
        if action_last:
            self.spaces = replace(self.spaces, as_is=self.spaces.action_size)


def make_popgym(env_id: str, previous: bool = True, action_last: bool = False) -> gymnasium.Env[Any, Any]:
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
    return PreviousActionAndReward(env, action_last) if previous else env
