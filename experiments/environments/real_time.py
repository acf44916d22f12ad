"""`RealTime`: the world goes on while the agent computes.

An ordinary simulator waits for its agent. A robot does not: every cycle it looks at what it was told last, and does that. Here
an agent has seen an observation at the beginning of a cycle and computes for some time, learning included.

- If it needs no longer than a cycle, its action is in force for this cycle, as in an ordinary simulator.
- If it needs longer, it misses cycles: the action in force is held for each cycle that ends before the new one is ready. An
  agent that needs 2.1 cycles misses two. Then the new action is in force for one cycle, and what the robot shows at the end of
  it is what the agent sees next. Of what happened meanwhile it sees nothing but the rewards, which are summed: the reward of a
  step is all that the robot got in it, so that an episode's return is the robot's own.
- An episode that ends while the agent computes ends at its cycle. The action that comes too late reaches nobody.
- Between episodes the robot stands still. Learning from the end of one takes place while it resets, and whoever needs longer
  makes it wait: that takes time and misses no cycle. So does the choice of the first action. Until that is in force the
  robot holds `neutral`.

How long an agent computes is given, as seconds of an action and of an update (`devices.Computing`), which makes a stream as
reproducible as any other. Or it is measured on the wall clock, from when the agent is shown something to when it acts. Such a
stream depends on machine and moment: it cannot be repeated, and is not resumed exactly.

Source of the idea: SenseAct's real-time loop (Mahmood et al. 2018, arXiv:1803.07067), in which sensors and actuators keep their
own time. Ours and plain: that actions change at the beginning of a cycle only, and that missed rewards are summed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from experiments.devices import Computing, missed


class RealTime(gymnasium.Wrapper[np.ndarray, np.ndarray, np.ndarray, np.ndarray]):
    """Let cycles pass while the agent computes.

    The environment tells the seconds of a cycle and of a reset in its attributes `cycle_seconds` and `reset_seconds`. In `info`
    stands `missed_cycles`, those of the step.

    Attributes:
        computing: how long the agent computes; None: measured.
        steps: the agent's.
        cycles: the robot's, missed ones included.
        missed: cycles missed.
        seconds: since the first reset began.
    """

    def __init__(
        self,
        env: gymnasium.Env[np.ndarray, np.ndarray],
        computing: Computing | None,
        now: Callable[[], float] = time.perf_counter,
    ):
        super().__init__(env)
        robot: Any = env.unwrapped
        self._cycle, self._reset = float(robot.cycle_seconds), float(robot.reset_seconds)
        self.computing = computing
        self._now = now
        assert isinstance(env.action_space, gymnasium.spaces.Box)
        self._neutral = np.clip(np.zeros(env.action_space.shape), env.action_space.low, env.action_space.high)
        self._in_force: np.ndarray = self._neutral
        self._first, self._begun = True, False
        self.steps = self.cycles = self.missed = 0
        self.seconds = 0.0
        self._shown_at = self._now()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; the robot stands still until both reset and learning are over."""
        learning = self._learnt() if self._begun else 0.0
        obs, info = self.env.reset(seed=seed, options=options)
        self.seconds += max(self._reset, learning)
        self._in_force, self._first, self._begun = self._neutral, True, True
        self._shown_at = self._now()
        return obs, {**info, "missed_cycles": 0}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Let the cycles pass that the agent has missed, then do what it says for one cycle."""
        needed = self._needed()
        late = 0 if self._first else missed(needed, self._cycle)
        total, passed, over = 0.0, 0, False
        while passed < late and not over:
            obs, reward, terminated, truncated, info = self.env.step(self._in_force.copy())
            total, passed, over = total + float(reward), passed + 1, bool(terminated or truncated)
        if over:
            self.seconds += max(passed * self._cycle, needed)  # it stands still until the agent is ready
        else:
            self._in_force = np.array(action)
            obs, reward, terminated, truncated, info = self.env.step(self._in_force.copy())
            total += float(reward)
            self.seconds += (passed + 1) * self._cycle + (needed if self._first else 0.0)
        self.steps += 1
        self.cycles += passed + (not over)
        self.missed += passed
        self._first = False
        self._shown_at = self._now()
        return obs, total, bool(terminated), bool(truncated), {**info, "missed_cycles": passed}

    def get_state(self) -> dict[str, Any]:
        """Return what this wrapper remembers, as plain data."""
        return {
            "in_force": np.array(self._in_force, np.float64),
            "first": self._first,
            "begun": self._begun,
            "steps": self.steps,
            "cycles": self.cycles,
            "missed": self.missed,
            "seconds": self.seconds,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self._in_force, self._first, self._begun = state["in_force"].copy(), state["first"], state["begun"]
        self.steps, self.cycles, self.missed = state["steps"], state["cycles"], state["missed"]
        self.seconds = state["seconds"]
        self._shown_at = self._now()

    def _needed(self) -> float:
        """Return how long the agent has computed since it was shown something."""
        if self.computing is None:
            return self._now() - self._shown_at
        # What it learnt from the end of an episode was counted with the reset.
        return self.computing.action_seconds + (0.0 if self._first else self.computing.learning_after(self.steps))

    def _learnt(self) -> float:
        """Return how long the agent has learnt from the end of the last episode."""
        return self._now() - self._shown_at if self.computing is None else self.computing.learning_after(self.steps)
