"""The one-sample forms of PPO, SAC, TD3 and DQN as learners of one stream, which run in lanes.

Each takes its hyperparameters and update rule from the form on stable-baselines3 (`baselines.batch`, `baselines.dqn`): from
the same parameters, transition and random numbers it makes the same update, up to rounding, and it begins to learn at the same
step. What differs is how random numbers and initial weights are drawn (from the same laws): equal seeds are not equal runs.

This module holds what the four share; `incremental_ppo`, `incremental_sac`, `incremental_td3` and `incremental_dqn` are theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

from algorithms.agent import State, Transition, map_state

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)
BETA1, BETA2 = 0.9, 0.999


class Form(NamedTuple):
    """What one step does: learn at all, update the actor, move the targets, choose the next action at random."""

    learn: bool
    actor: bool
    targets: bool
    explore: bool


class OneSample:
    """What the hyperparameters of all four must be for lanes; mixed into them."""

    def check(self) -> None:
        """Raise ValueError where the sizes are not those of one sample."""
        for name in ("buffer_size", "batch_size", "rollout_steps", "minibatch_size", "epochs", "train_frequency"):
            if getattr(self, name, 1) != 1:
                raise ValueError(f"in lanes {name} is 1; use implementation=sb3 for {name}={getattr(self, name)}")


class OneTransition(OneSample):
    """What those with a replay buffer share: when they begin to learn, and what they do at every so many steps."""

    learning_starts: int

    def form(self, steps: int) -> Form:
        """Return the form of the step after so many transitions, which is how the forms on stable-baselines3 count."""
        learn = steps > self.learning_starts
        actor, targets = self._turns(steps)
        return Form(learn, learn and actor, learn and targets, steps + 1 < self.learning_starts)

    def _turns(self, steps: int) -> tuple[bool, bool]:
        """Return whether it is the turn of the actor, and of the targets."""
        raise NotImplementedError


def fresh_layers(generator: torch.Generator, sizes: Sequence[int]) -> State:
    """Return weights and biases of layers of the given widths as torch draws them, U(-1, 1) / sqrt(inputs)."""
    layers: State = {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        for name, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            layers[f"{number}.{name}"] = (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(inputs)
    return layers


def perceptron(layers: State, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply layers to one vector with an activation between them, [inputs] -> [outputs]."""
    last = len(layers) // 2 - 1
    for number in range(last + 1):
        x = (layers[f"{number}.weight"] * x).sum(-1) + layers[f"{number}.bias"]
        if number < last:
            x = activation(x)
    return x


def fresh_adam(parameters: State) -> State:
    """Return Adam's memory: moments of zero and a count of steps."""
    zeros = map_state(torch.zeros_like, parameters)
    return {"first": zeros, "second": map_state(torch.clone, zeros), "count": torch.zeros((), dtype=torch.float64)}


def adam(
    memory: State, parameters: State, gradient: State, rate: Tensor, epsilon: Tensor | float = 1e-8
) -> tuple[State, State]:
    """Take one step of Adam down a gradient; return its memory and the parameters."""
    count = memory["count"] + 1
    correction1, correction2 = ((1 - beta**count).to(torch.float32) for beta in (BETA1, BETA2))
    first = map_state(lambda m, g: BETA1 * m + (1 - BETA1) * g, memory["first"], gradient)
    second = map_state(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, memory["second"], gradient)
    size, root = rate / correction1, torch.sqrt(correction2)
    parameters = map_state(lambda p, m, v: p - size * m / (torch.sqrt(v) / root + epsilon), parameters, first, second)
    return {"first": first, "second": second, "count": count}, parameters


def follow(targets: State, parameters: State, tau: Tensor) -> State:
    """Return the targets moved by a fraction tau towards the parameters."""
    return map_state(lambda target, parameter: target + tau * (parameter - target), targets, parameters)


def fresh_bounds(low: Sequence[float], high: Sequence[float]) -> State:
    """Return the bounds of an action, [action_size] each. Raise ValueError where there are none."""
    bounds: State = {"low": torch.tensor(low, dtype=torch.float32), "high": torch.tensor(high, dtype=torch.float32)}
    if not all(bound.numel() and bound.isfinite().all() for bound in bounds.values()):
        raise ValueError("the learner needs actions with finite bounds")
    return bounds


def spread(bounds: State) -> tuple[Tensor, Tensor]:
    """Return half the range of each component and its middle: what maps [-1, 1] to the bounds."""
    return (bounds["high"] - bounds["low"]) / 2, (bounds["high"] + bounds["low"]) / 2


def uniform_action(bounds: State, noise: Tensor) -> Tensor:
    """Turn normal numbers, [action_size], into an action drawn uniformly between the bounds."""
    share = 0.5 * (1 + torch.erf(noise / math.sqrt(2)))
    return bounds["low"] + share * (bounds["high"] - bounds["low"])


def twin_values(critics: State, obs: Tensor, action: Tensor) -> Tensor:
    """Return what both critics say, [2]."""
    pair = torch.cat([obs, action])
    return torch.cat([perceptron(critics[name], pair, torch.relu) for name in ("q1", "q2")])


def fresh_twins(generator: torch.Generator, inputs: int, hidden: Sequence[int]) -> State:
    """Return the parameters of two critics."""
    return {name: fresh_layers(generator, (inputs, *hidden, 1)) for name in ("q1", "q2")}


def as_seen(transition: Transition) -> tuple[Tensor, Tensor, Tensor]:
    """Return observation, next observation and reward in the precision of the networks."""
    return tuple(x.to(torch.float32) for x in (transition.obs, transition.next_obs, transition.reward))  # type: ignore[return-value]


def nothing_learnt(transition: Transition) -> dict[str, Any]:
    """Return the `info` of a step without an update."""
    return {"td_error": torch.zeros_like(transition.reward, dtype=torch.float32)}
