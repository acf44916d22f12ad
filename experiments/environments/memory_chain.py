"""Chains to remember: a bit that is shown at the beginning and asked for in the end, or a lag of K steps all the time.

Registered with Gymnasium as `memory/MemoryChain-v0` (option `length`) and `memory/KMemoryChain-v1` (option `lag`).

MemoryChain is bsuite's `memory_len` with one bit of context (Osband et al., arXiv:1908.03568). Its `memory_length` m is our
`length` - 1: `length` is the number of actions in an episode, as in the figures of arXiv:2605.24709. bsuite makes the
observation of a step before the time goes on, so that the first two observations of an episode are the same, cue included, and
a chain of length 2 needs no memory.

KMemoryChain is that of the code of arXiv:2605.24709 (section 4.4). It too makes the observation before the time goes on: the
first bit is shown twice, and the bit that an action is asked for was seen `lag` - 1 observations before the latest one, so that
a lag of 1 needs no memory. Version 0 of ours had asked for the one before it.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces as gym_spaces

from experiments.environment_options import KMemoryChainOptions, MemoryChainOptions, VectorOptions
from experiments.environments.vector import Vector
from experiments.families import K_MEMORY_CHAIN, MEMORY_CHAIN

EPISODE_LAGS = 8  # length of an episode of KMemoryChain, in lags


class MemoryChainEnv(gymnasium.Env[np.ndarray, np.int64]):
    """Observation float32 [3]: time that is left, from 1 to 0; a query, always 0; the cue, +1 or -1, or 0 when it is hidden.

    Two actions. The last one of an episode is rewarded with +1 if it is 1 for the cue +1 or 0 for the cue -1, else with -1.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, length: int = MemoryChainOptions.length):
        MemoryChainOptions(length)
        self.observation_space = gym_spaces.Box(np.array([0, 0, -1], np.float32), np.ones(3, np.float32))
        self.action_space = gym_spaces.Discrete(2)
        self.length = length
        self.bit = 0
        self._time = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Draw a bit, and show it."""
        super().reset(seed=seed)
        self.bit = int(self.np_random.integers(2))
        self._time = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step."""
        obs = self._observe()
        self._time += 1
        over = self._time == self.length
        reward = (1.0 if int(action) == self.bit else -1.0) if over else 0.0
        return obs, reward, over, False, {}

    def _observe(self) -> np.ndarray:
        cue = 2 * self.bit - 1 if self._time == 0 else 0
        return np.array([1 - self._time / (self.length - 1), 0, cue], np.float32)


class KMemoryChainEnv(gymnasium.Env[np.ndarray, np.int64]):
    """Observation float32 [2]: a bit, +1 or -1, drawn anew at every step; time that is left, from 1 to 0.

    Two actions. From step `lag` on an action is rewarded with +1 if it is the bit drawn `lag` steps before (1 for +1, 0 for
    -1), else with -1. The bit of a step is in the observation that the step returns. An episode has 8 lags; the greatest return
    is 7 lags.
    """

    metadata = {"render_modes": []}  # noqa: RUF012  # as Gymnasium has it

    def __init__(self, lag: int = KMemoryChainOptions.lag):
        KMemoryChainOptions(lag)
        self.observation_space = gym_spaces.Box(np.array([-1, 0], np.float32), np.ones(2, np.float32))
        self.action_space = gym_spaces.Discrete(2)
        self.lag = lag
        self._bits: list[int] = []  # one of every step so far, the current one's last

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Show a first bit."""
        super().reset(seed=seed)
        self._bits = [int(self.np_random.integers(2))]
        return self._observe(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step."""
        obs, time = self._observe(), len(self._bits) - 1
        reward = 0.0
        if time >= self.lag:
            reward = 1.0 if int(action) == self._bits[time - self.lag] else -1.0
        self._bits.append(int(self.np_random.integers(2)))
        return obs, reward, time + 1 == EPISODE_LAGS * self.lag, False, {}

    def _observe(self) -> np.ndarray:
        time = len(self._bits) - 1
        return np.array([2 * self._bits[-1] - 1, 1 - time / (EPISODE_LAGS * self.lag)], np.float32)


class MemoryChain(Vector):
    """A MemoryChain for learners."""

    def __init__(self, env_id: str, options: MemoryChainOptions):
        super().__init__(env_id, VectorOptions(time_feature=False), MemoryChainEnv(options.length))


class KMemoryChain(Vector):
    """A KMemoryChain for learners."""

    def __init__(self, env_id: str, options: KMemoryChainOptions):
        super().__init__(env_id, VectorOptions(time_feature=False), KMemoryChainEnv(options.lag))


gymnasium.register(MEMORY_CHAIN, entry_point=f"{__name__}:MemoryChainEnv")
gymnasium.register(K_MEMORY_CHAIN, entry_point=f"{__name__}:KMemoryChainEnv")
