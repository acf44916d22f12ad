"""What learners of action values share: the network and epsilon-greedy choice. See `stream_q`, `stream_sarsa`."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import settings
from algorithms.agent import Info, NoiseSpec, Spaces, State
from algorithms.diagnostics import bounding, overshooting
from algorithms.learner import Learner, StreamLearner
from algorithms.obgd import Parameters


class ActionValues(settings.ExplorationSettings, Learner):
    """A learner that chooses epsilon-greedily."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Two uniform numbers for one choice: whether to explore, and what to try."""
        return NoiseSpec("uniform", (2,))

    def _values(self, parameters: Parameters, carry: State, obs: Tensor, track: bool = False) -> tuple[Tensor, State]:
        """Return q(obs, .), [action_size], and the carry after it."""
        heads, carry = self._evaluate(parameters, carry, obs, {"q": parameters["heads.q.bias"].shape[0]}, track)
        return heads["q"], carry

    def _choose(self, state: State, values: Tensor, noise: Tensor) -> tuple[State, Tensor, Tensor]:
        """Choose epsilon-greedily; return the new state, the action, and whether it is another than the greedy one."""
        h, choices = state["hyper"], state["choices"] + 1
        slope = (h["epsilon_end"] - h["epsilon_start"]) / (h["exploration_fraction"] * h["schedule_steps"])
        epsilon = torch.maximum(h["epsilon_start"] + slope * choices, h["epsilon_end"])
        greedy = torch.argmax(values)
        actions = values.shape[0]
        tried = (noise[1] * actions).to(torch.int64).clamp(max=actions - 1)
        action = torch.where(noise[0] < epsilon, tried, greedy)
        return {**state, "choices": choices}, action, action != greedy


class ActionValueLearner(ActionValues, StreamLearner, settings.ActionValueLearnerSettings):
    """A stream-x learner that chooses epsilon-greedily."""

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: sparse network, empty trace, empty statistics."""
        state = self._add_network(self._begin(spaces), "q", generator, {"q": spaces.action_size})
        state["optimizer"] = self._optimizer().init(state["q"])
        state["choices"] = torch.zeros((), dtype=torch.float64)
        return state

    def _diagnose(self, trace: Parameters, delta: Tensor, delta_after: Tensor, hyper: dict[str, Tensor]) -> Info:
        return overshooting(delta, delta_after) | bounding(trace, delta, hyper, self.optimizer == "obgd")
