"""What learners of action values share: the network, epsilon-greedy choice, and options. See `stream_q`, `stream_sarsa`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import Info, NoiseSpec, Spaces, State
from algorithms.diagnostics import bounding, overshooting
from algorithms.learner import StreamLearner
from algorithms.networks import apply, network
from algorithms.obgd import Parameters
from algorithms.policies import pick


@dataclass(frozen=True)
class ActionValueLearner(StreamLearner):
    """Hyperparameters of Stream Q(lambda) and Stream SARSA(lambda), one set for all tasks (Stream-X, appendices F.2, F.3).

    The exploration schedule is linear from `epsilon_start` to `epsilon_end` over the first `exploration_fraction` of
    `schedule_steps` choices of an action, counted from 1. A run may be shorter than its schedule.
    """

    alpha: float = 1.0
    """Step size before the bound."""
    kappa: float = 2.0
    """How cautious the bound is: a change has an L1 norm of at most 1 / kappa."""
    epsilon_start: float = 1.0
    """Probability of a random action at the beginning."""
    epsilon_end: float = 0.01
    """Probability of a random action in the end."""
    exploration_fraction: float = 0.05
    """Share of the schedule over which epsilon falls."""
    schedule_steps: float = 500_000.0
    """Length of the schedule in steps: that of the published run, also where a run is cut short."""
    hidden: tuple[int, ...] = (32, 32)
    """Width of each hidden layer for vector observations; images bring their own torso (`algorithms.networks`)."""

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
        return apply(network(tuple(obs.shape), self.hidden, {"q": actions}, self.layer_norm), parameters, obs)["q"]

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
