"""What learners of action values share: the network and epsilon-greedy choice. See `stream_q`, `stream_sarsa`."""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import settings
from algorithms.agent import Info, NoiseSpec, Spaces, State
from algorithms.diagnostics import bounding, overshooting
from algorithms.learner import StreamLearner
from algorithms.networks import apply
from algorithms.obgd import Parameters
from algorithms.policies import pick


class ActionValueLearner(StreamLearner, settings.ActionValueLearnerSettings):
    """A stream-x learner that chooses epsilon-greedily."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Two uniform numbers for one choice: whether to explore, and what to try."""
        return NoiseSpec("uniform", (2,))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: sparse network, empty trace, empty statistics."""
        state = self._begin(spaces)
        state["q"] = self._parameters(generator, state, {"q": spaces.action_size})
        state["optimizer"] = self._optimizer().init(state["q"])
        state["choices"] = torch.zeros((), dtype=torch.float64)
        return state

    def _values(self, parameters: Parameters, obs: Tensor) -> Tensor:
        """Return q(obs, .), [action_size]."""
        actions = parameters["heads.q.bias"].shape[0]
        return apply(self._network(obs, {"q": actions}), parameters, obs)["q"]

    def _value(self, parameters: Parameters, obs: Tensor, action: Tensor) -> Tensor:
        """Return q(obs, action), []."""
        return pick(self._values(parameters, obs), action)

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

    def _diagnose(self, trace: Parameters, delta: Tensor, delta_after: Tensor, hyper: dict[str, Tensor]) -> Info:
        return overshooting(delta, delta_after) | bounding(trace, delta, hyper, self.optimizer == "obgd")
