"""TD3-1 as a learner of one stream: CleanRL's update from the newest transition only. See `baselines.incremental`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32, hyperparameters, map_state
from baselines.batch import TD3_1
from baselines.incremental import (
    Form,
    OneTransition,
    adam,
    as_seen,
    follow,
    fresh_adam,
    fresh_bounds,
    fresh_layers,
    fresh_twins,
    nothing_learnt,
    perceptron,
    spread,
    twin_values,
    uniform_action,
)


@dataclass(frozen=True)
class IncrementalTD3(OneTransition, TD3_1):
    """TD3-1 in lanes. Noise, [2, action_size]: on the next action, and on the action that the target values."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers: one row for each action that is drawn in a step."""
        return NoiseSpec("normal", (2, spaces.action_size))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: actor, two critics, and the targets of all three."""
        (size,), actions = spaces.obs_shape, spaces.action_size
        state: State = {
            "hyper": hyperparameters(self),
            "bounds": fresh_bounds(spaces.action_low, spaces.action_high),
            "actor": fresh_layers(generator, (size, *self.hidden, actions)),
            "critics": fresh_twins(generator, size + actions, self.hidden),
        }
        state["actor_target"], state["targets"] = (map_state(torch.clone, state[name]) for name in ("actor", "critics"))
        state["actor_adam"], state["critic_adam"] = fresh_adam(state["actor"]), fresh_adam(state["critics"])
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """Choose the first action, [action_size]."""
        return state, self._act(state, obs, noise, explore=self.learning_starts > 0)

    def step(self, state: State, transition: Transition, noise: Tensor, form: Form) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error of the first critic."""
        state, info = self._learn(state, transition, noise, form) if form.learn else (state, nothing_learnt(transition))
        return state, self._act(state, transition.acting_obs, noise, form.explore), info

    def _turns(self, steps: int) -> tuple[bool, bool]:
        turn = steps % self.policy_frequency == 0
        return turn, turn

    def _act(self, state: State, obs: Tensor, noise: Tensor, explore: bool) -> Tensor:
        bounds = state["bounds"]
        if explore:
            return uniform_action(bounds, noise[0])
        deviation = state["hyper"]["exploration_noise"].to(torch.float32) * spread(bounds)[0]
        return _within(bounds, _policy(state["actor"], bounds, obs.to(torch.float32)) + deviation * noise[0])

    def _learn(self, state: State, transition: Transition, noise: Tensor, form: Form) -> tuple[State, Info]:
        h, state = as_float32(state["hyper"]), dict(state)
        obs, next_obs, reward = as_seen(transition)
        bounds = state["bounds"]

        shift = (h["policy_noise"] * noise[1]).clamp(-h["noise_clip"], h["noise_clip"]) * spread(bounds)[0]
        next_action = _within(bounds, _policy(state["actor_target"], bounds, next_obs) + shift)
        next_value = twin_values(state["targets"], next_obs, next_action).min()
        goal = reward + torch.where(transition.terminated, 0.0, h["gamma"] * next_value)

        def critic_loss(critics: State) -> tuple[Tensor, Tensor]:
            error = goal - twin_values(critics, obs, transition.action)
            return (error**2).sum(), error[0]

        gradient, td_error = grad(critic_loss, has_aux=True)(state["critics"])
        state["critic_adam"], state["critics"] = adam(state["critic_adam"], state["critics"], gradient, h["learning_rate"])
        if form.actor:

            def actor_loss(actor: State) -> Tensor:
                pair = torch.cat([obs, _policy(actor, bounds, obs)])
                return -perceptron(state["critics"]["q1"], pair, torch.relu)[0]

            gradient = grad(actor_loss)(state["actor"])
            state["actor_adam"], state["actor"] = adam(state["actor_adam"], state["actor"], gradient, h["learning_rate"])
        if form.targets:
            state["actor_target"] = follow(state["actor_target"], state["actor"], h["tau"])
            state["targets"] = follow(state["targets"], state["critics"], h["tau"])
        return state, {"td_error": td_error}


def _policy(actor: State, bounds: State, obs: Tensor) -> Tensor:
    """Return the action without noise, [action_size]."""
    scale, middle = spread(bounds)
    return torch.tanh(perceptron(actor, obs, torch.relu)) * scale + middle


def _within(bounds: State, action: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(action, bounds["high"]), bounds["low"])
