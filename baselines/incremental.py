"""The one-sample forms of PPO, SAC, TD3 and DQN as learners of one stream, which run in lanes.

Each takes its hyperparameters and update rule from the form on stable-baselines3 (`baselines.batch`): from the same parameters,
transition and random numbers it makes the same update, up to rounding, and it begins to learn at the same step. What differs is
how random numbers and initial weights are drawn (from the same laws): equal seeds are not equal runs.

This module holds what the four share; `incremental_ppo`, `incremental_sac`, `incremental_td3` and `incremental_dqn` are theirs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.func import grad

from algorithms.adam import adam, fresh_adam
from algorithms.agent import Info, Spaces, State, Transition, hyperparameters, map_state
from algorithms.bounds import fresh_bounds, uniform_action
from algorithms.dense import fresh_layers, perceptron


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
        if getattr(self, "diagnostics", False):
            raise ValueError("in lanes it tells nothing of its gradients; use implementation=sb3 for diagnostics=true")


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


class TwinCritics(OneTransition):
    """What SAC1 and TD3-1 share: an actor within bounds, two critics with targets, and how a step goes."""

    hidden: tuple[int, ...]

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """Choose the first action, [action_size]."""
        return state, self._act(state, obs, noise, explore=self.learning_starts > 0)

    def step(self, state: State, transition: Transition, noise: Tensor, form: Form) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error of the first critic."""
        state, info = self._learn(state, transition, noise, form) if form.learn else (state, nothing_learnt(transition))
        return state, self._act(state, transition.acting_obs, noise, form.explore), info

    def _learn(self, state: State, transition: Transition, noise: Tensor, form: Form) -> tuple[State, Info]:
        raise NotImplementedError

    def _policy(self, state: State, obs: Tensor, noise: Tensor) -> Tensor:
        """Return the action to take, [action_size], at an observation as the networks see it."""
        raise NotImplementedError

    def _act(self, state: State, obs: Tensor, noise: Tensor, explore: bool) -> Tensor:
        return uniform_action(state["bounds"], noise[0]) if explore else self._policy(state, obs.to(torch.float32), noise[0])

    def _begin(self, generator: torch.Generator, spaces: Spaces, actor_outputs: int) -> State:
        """Return the part of a fresh state that both have."""
        (size,) = spaces.obs_shape
        state: State = {
            "hyper": hyperparameters(self),
            "bounds": fresh_bounds(spaces.action_low, spaces.action_high),
            "actor": fresh_layers(generator, (size, *self.hidden, actor_outputs)),
            "critics": {name: fresh_layers(generator, (size + spaces.action_size, *self.hidden, 1)) for name in ("q1", "q2")},
        }
        state["targets"] = map_state(torch.clone, state["critics"])
        state["actor_adam"], state["critic_adam"] = fresh_adam(state["actor"]), fresh_adam(state["critics"])
        return state

    def _descend_critics(self, state: State, transition: Transition, next_value: Tensor, rate: Tensor) -> tuple[State, Tensor]:
        """Move both critics towards the reward and the discounted value, []; return the TD error of the first as well."""
        obs, _, reward = as_seen(transition)
        gamma = state["hyper"]["gamma"].to(torch.float32)
        goal = reward + torch.where(transition.terminated, 0.0, gamma * next_value)

        def loss(critics: State) -> tuple[Tensor, Tensor]:
            error = goal - twin_values(critics, obs, transition.action)
            return (error**2).sum(), error[0]

        gradient, td_error = grad(loss, has_aux=True)(state["critics"])
        memory, critics = adam(state["critic_adam"], state["critics"], gradient, rate)
        return {**state, "critics": critics, "critic_adam": memory}, td_error


def twin_values(critics: State, obs: Tensor, action: Tensor) -> Tensor:
    """Return what both critics say, [2]."""
    pair = torch.cat([obs, action])
    return torch.cat([perceptron(critics[name], pair, torch.relu) for name in ("q1", "q2")])


def as_seen(transition: Transition) -> tuple[Tensor, Tensor, Tensor]:
    """Return observation, next observation and reward in the precision of the networks."""
    return tuple(x.to(torch.float32) for x in (transition.obs, transition.next_obs, transition.reward))  # type: ignore[return-value]


def nothing_learnt(transition: Transition) -> dict[str, Any]:
    """Return the `info` of a step without an update."""
    return {"td_error": torch.zeros_like(transition.reward, dtype=torch.float32)}
