"""Environments as every learner of the suite sees them, with the wrapper order in one place.

Innermost first, as in the official Stream-X code; the raw episodic return and length are recorded right above the simulator:

- vectors (`vector.py`): simulator and time limit -> flattened observation -> action clipped -> time feature appended;
- images of any environment of Gymnasium (`pixels.py`): simulator and time limit -> small and grey where they are large;
- MinAtar (`minatar.py`): sticky actions -> planes of 0 and 1;
- Atari (`atari.py`): no-op start -> frame skip and maximum -> episodic life -> fire -> 84 x 84 -> grey;
- robots (`robots.py`): robot -> the cycles that pass while the learner computes (`real_time.py`);
- chains to remember (`memory_chain.py`) and POPGym (`popgym.py`): simulator -> last action and reward appended, POPGym alone
  -> flattened observation;
- masked robots (`masked_mujoco.py`): simulator -> part of the observation hidden -> as vectors;
- series to predict (`series.py`): rows -> memory trace.

Reward scaling, observation normalisation and, for Atari, the stack of frames follow inside the learner.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import gymnasium
import numpy as np

from algorithms.agent import LabelledSpaces, Spaces
from experiments import families
from experiments.datasets.labelled import LabelledStream
from experiments.environments.series import Series
from experiments.environments.simulator import SimulationDivergedError, Simulator
from experiments.randomness import derive

__all__ = ["Environment", "EpisodeEnd", "SimulationDivergedError", "describe"]


class EpisodeEnd(NamedTuple):
    """What is recorded when an episode ends: the undiscounted sum of raw rewards, and the number of the learner's steps."""

    episodic_return: float
    length: int


class Environment(gymnasium.Env[np.ndarray, Any]):
    """One stream of episodes that depends on nothing but its id, its options, its seed and the actions.

    Episode k is a function of (seed, k) and of the actions taken in it, whatever happened before; of Create-Mover, which
    goes on from where it stands, of all actions taken so far.

    Attributes:
        spaces: sizes of observation and action, time feature included.
        episode: number of the current episode, from 0.
        needs_reset: the episode has ended, or none has begun. In Atari a lost life is `terminated` for the learner and
            the game goes on; elsewhere this is `terminated or truncated`.
        last_reward: the raw reward of the last step.
        last_episode: return and length of the episode that ended last, or None.
        timing_columns: what `last_timing` holds, in environments in which time passes while the learner computes.
        last_timing: the robot's seconds at the end of that episode, and its cycles in it.
    """

    def __init__(self, env_id: str, seed: int, **options: bool | int | float | str):
        self._simulator: Simulator = families.make(env_id, options)
        self._seed = seed
        self.spaces = self._simulator.spaces
        self.observation_space = self._simulator.observation_space
        self.action_space = self._simulator.action_space
        self.episode = -1
        self.needs_reset = True
        self.last_reward = 0.0
        self.last_episode: EpisodeEnd | None = None
        self.timing_columns: tuple[str, ...] = getattr(self._simulator, "timing_columns", ())
        self.last_timing: dict[str, float] = dict.fromkeys(self.timing_columns, 0.0)
        self._return = 0.0
        self._length = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start the next episode. The seed is ignored: the stream's own decides, so that any learner sees the same one."""
        self.episode += 1
        self.needs_reset = False
        self._length = 0
        obs, self._return = self._simulator.reset(self._episode_seed())
        return obs, {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Take one step. Observation float64 (uint8 for Atari) [*obs_shape], raw reward; at an end `last_episode` is set.

        Raise `SimulationDivergedError` where the simulator gives up.
        """
        obs, reward, terminated, truncated, self.needs_reset = self._simulator.step(action)
        self.last_reward = reward
        self._return += reward
        self._length += 1
        if self.needs_reset:
            self.last_episode = EpisodeEnd(self._return, self._length)
            if self.timing_columns:
                self.last_timing = self._simulator.timing()  # type: ignore[attr-defined]
        return obs, reward, terminated, truncated, {}

    def readings(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """Return what a series showed at some steps before the learner's memory trace; nothing for other environments."""
        return self._simulator.readings(steps) if isinstance(self._simulator, Series) else {}

    def get_state(self) -> dict[str, Any]:
        """Return what restores this environment exactly, as plain data."""
        return {
            **self._simulator.get_state(),
            "episode": self.episode,
            "needs_reset": self.needs_reset,
            "last_episode": None if self.last_episode is None else tuple(self.last_episode),
            "return": self._return,
            "length": self._length,
            **({"timing": dict(self.last_timing)} if self.timing_columns else {}),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self.episode, self.needs_reset, last = state["episode"], state["needs_reset"], state["last_episode"]
        self.last_episode = None if last is None else EpisodeEnd(*last)
        self._return, self._length = state["return"], state["length"]
        self.last_timing = dict(state.get("timing", {}))
        if self.episode >= 0:
            self._simulator.set_state(state, self._episode_seed())

    def frame(self) -> np.ndarray | None:
        """Return a picture of the present moment, uint8 [height, width, 3]; None where there is none to be had."""
        return self._simulator.frame() if hasattr(self._simulator, "frame") else None

    def close(self) -> None:
        """Free the simulator."""
        self._simulator.close()

    def _episode_seed(self) -> int:
        return derive(self._seed, "episode", self.episode)


def describe(env_id: str, **options: Any) -> Spaces | LabelledSpaces:
    """Return the sizes of an environment or a labelled stream; raise `UserError` if there is none, or no package for it.

    No data set is read for it: whether a file is there shows where it is needed.
    """
    known: Spaces | LabelledSpaces | None = families.spaces_of(env_id, options)
    if known is not None:
        return known
    if families.family_of(env_id).labelled:
        stream: LabelledStream = families.make(env_id, options, 0)
        return stream.spaces
    env = Environment(env_id, seed=0, **options)
    env.close()
    return env.spaces
