"""DQN1 as a learner of one stream: CleanRL's update from the newest transition only. See `baselines.incremental`.

The networks are those of the form on stable-baselines3 (`baselines.stepwise_dqn.network`), for one observation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad
from torch.nn import functional as F

from algorithms.adam import adam, fresh_adam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32, hyperparameters, map_state
from algorithms.networks import Convolution, Linear
from algorithms.perception import init_perception, see, see_acting
from algorithms.policies import pick
from algorithms.targets import follow
from baselines.dqn_settings import DQN1
from baselines.incremental import Form, OneTransition, nothing_learnt

# By height and width: (units, kernel, stride) of the convolutions, the layer after them, and the activation.
IMAGE_NETWORKS: dict[tuple[int, ...], tuple[tuple[tuple[int, int, int], ...], int, Callable[[Tensor], Tensor]]] = {
    (10, 10): (((16, 3, 1),), 128, F.leaky_relu),
    (84, 84): (((32, 8, 4), (64, 4, 2), (64, 3, 1)), 512, F.relu),
}


class QNetwork(nn.Module):
    """Convolutions, if there are any, and layers; shape [*obs_shape] -> [actions]."""

    def __init__(self, obs_shape: tuple[int, ...], hidden: Sequence[int], actions: int):
        super().__init__()
        convolutions: list[nn.Module] = []
        size = obs_shape[0]
        self.activation: Callable[[Tensor], Tensor] = F.relu
        if len(obs_shape) == 3:
            channels, height, width = obs_shape
            shapes, last, self.activation = IMAGE_NETWORKS[height, width]
            hidden = (last,)
            for units, kernel, stride in shapes:
                convolutions.append(Convolution(channels, units, kernel, stride))
                channels, height, width = units, (height - kernel) // stride + 1, (width - kernel) // stride + 1
            size = channels * height * width
        self.convolutions = nn.ModuleList(convolutions)
        self.layers = nn.ModuleList(Linear(a, b) for a, b in pairwise((size, *hidden, actions)))

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = self.activation(convolution(x))
        x = x.flatten()
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        values: Tensor = self.layers[-1](x)
        return values


@lru_cache(maxsize=16)
def q_network(obs_shape: tuple[int, ...], hidden: tuple[int, ...], actions: int) -> QNetwork:
    """Return the network for what the learner sees, without parameters of its own."""
    with torch.device("meta"):
        return QNetwork(obs_shape, hidden, actions)


@dataclass(frozen=True)
class IncrementalDQN(OneTransition, DQN1):
    """DQN1 in lanes."""

    run_steps: float = 0.0
    """Length of the run, over which epsilon falls where `schedule_steps` is 0."""

    def check(self) -> None:
        """Raise ValueError where the sizes are not those of one sample, or the schedule has no length."""
        super().check()
        if self.exploration_fraction <= 0 or self.schedule_steps < 0:
            raise ValueError("exploration_fraction must be positive, and schedule_steps at least 0")

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Two uniform numbers for one choice: whether to explore, and what to try."""
        return NoiseSpec("uniform", (2,))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing; weights and biases as torch draws them, U(-1, 1) / sqrt(inputs)."""
        state: State = {"hyper": hyperparameters(self), **init_perception(spaces, normalize=False)}
        net = q_network(tuple(state["obs"].shape), self.hidden, spaces.action_size)
        online: State = {}
        for name, parameter in net.named_parameters():
            if parameter.ndim > 1:  # a layer's weight comes before its bias
                bound = 1 / math.sqrt(parameter[0].numel())
            online[name] = (2 * torch.rand(parameter.shape, generator=generator) - 1) * bound
        state |= {"online": online, "target": map_state(torch.clone, online), "adam": fresh_adam(online)}
        state["choices"] = torch.zeros((), dtype=torch.float64)
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [*obs_shape], and choose the first action, []."""
        return self._act(see(state, obs, first=True), noise, _divisor(obs))

    def step(self, state: State, transition: Transition, noise: Tensor, form: Form) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error."""
        divisor = _divisor(transition.obs)
        obs, state = state["obs"], see(state, transition.next_obs)
        info: Info = nothing_learnt(transition)
        if form.learn:
            state, info["td_error"] = self._learn(state, obs, transition, divisor)
        if form.targets:
            tau = state["hyper"]["tau"].to(torch.float32)
            state = {**state, "target": follow(state["target"], state["online"], tau)}
        state, action = self._act(see_acting(state, transition.acting_obs, transition.restarted), noise, divisor)
        return state, action, info

    def _turns(self, steps: int) -> tuple[bool, bool]:
        return False, steps % self.target_network_frequency == 0

    def _learn(self, state: State, obs: Tensor, transition: Transition, divisor: float) -> tuple[State, Tensor]:
        h, actions = as_float32(state["hyper"]), self._actions(state)
        reward = transition.reward.to(torch.float32)
        reward = torch.sign(reward) if self.clip_reward else reward
        next_value = self._values(state["target"], state["obs"], actions, divisor).max()
        goal = reward + torch.where(transition.terminated, 0.0, h["gamma"] * next_value)

        def loss(online: State) -> tuple[Tensor, Tensor]:
            error = goal - pick(self._values(online, obs, actions, divisor), transition.action)
            return error**2, error

        gradient, td_error = grad(loss, has_aux=True)(state["online"])
        memory, online = adam(state["adam"], state["online"], gradient, h["learning_rate"])
        return {**state, "adam": memory, "online": online}, td_error

    def _act(self, state: State, noise: Tensor, divisor: float) -> tuple[State, Tensor]:
        h, choices, actions = state["hyper"], state["choices"], self._actions(state)
        length = torch.where(h["schedule_steps"] > 0, h["schedule_steps"], h["run_steps"])
        slope = (h["epsilon_end"] - h["epsilon_start"]) / (h["exploration_fraction"] * length)
        epsilon = torch.maximum(h["epsilon_start"] + slope * choices, h["epsilon_end"])
        greedy = torch.argmax(self._values(state["online"], state["obs"], actions, divisor))
        tried = (noise[1] * actions).to(torch.int64).clamp(max=actions - 1)
        return {**state, "choices": choices + 1}, torch.where(noise[0] < epsilon, tried, greedy)

    def _actions(self, state: State) -> int:
        last = max(int(name.split(".")[1]) for name in state["online"] if name.startswith("layers."))
        return int(state["online"][f"layers.{last}.bias"].shape[0])

    def _values(self, parameters: State, obs: Tensor, actions: int, divisor: float) -> Tensor:
        """Return the action values, [actions]."""
        values: Tensor = functional_call(q_network(tuple(obs.shape), self.hidden, actions), parameters, (obs / divisor,))
        return values


def _divisor(obs: Tensor) -> float:
    return 255.0 if obs.dtype == torch.uint8 else 1.0
