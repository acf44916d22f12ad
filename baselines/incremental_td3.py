"""TD3-1 as a learner of one stream: CleanRL's update from the newest transition only. See `baselines.incremental`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from algorithms.adam import adam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32, map_state
from algorithms.bounds import spread, stretched
from algorithms.dense import perceptron
from algorithms.targets import follow
from baselines.incremental import Form, TwinCritics, as_seen, twin_values
from baselines.settings import TD3_1


@dataclass(frozen=True)
class IncrementalTD3(TwinCritics, TD3_1):
    """TD3-1 in lanes. Noise, [2, action_size]: on the next action, and on the action that the target values."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers: one row for each action that is drawn in a step."""
        return NoiseSpec("normal", (2, spaces.action_size))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing; here the actor has a target too."""
        state = self._begin(generator, spaces, actor_outputs=spaces.action_size)
        return {**state, "actor_target": map_state(torch.clone, state["actor"])}

    def _turns(self, steps: int) -> tuple[bool, bool]:
        turn = steps % self.policy_frequency == 0
        return turn, turn

    def _policy(self, state: State, obs: Tensor, noise: Tensor) -> Tensor:
        bounds = state["bounds"]
        deviation = state["hyper"]["exploration_noise"].to(torch.float32) * spread(bounds)[0]
        return _within(bounds, _best(state["actor"], bounds, obs) + deviation * noise)

    def _learn(self, state: State, transition: Transition, noise: Tensor, form: Form) -> tuple[State, Info]:
        h, bounds = as_float32(state["hyper"]), state["bounds"]
        obs, next_obs, _ = as_seen(transition)

        shift = (h["policy_noise"] * noise[1]).clamp(-h["noise_clip"], h["noise_clip"]) * spread(bounds)[0]
        next_action = _within(bounds, _best(state["actor_target"], bounds, next_obs) + shift)
        next_value = twin_values(state["targets"], next_obs, next_action).min()
        state, td_error = self._descend_critics(state, transition, next_value, h["learning_rate"])
        if form.actor:
            critic = state["critics"]["q1"]

            def loss(actor: State) -> Tensor:
                return -perceptron(critic, torch.cat([obs, _best(actor, bounds, obs)]), torch.relu)[0]

            gradient = grad(loss)(state["actor"])
            memory, actor = adam(state["actor_adam"], state["actor"], gradient, h["learning_rate"])
            state = {**state, "actor": actor, "actor_adam": memory}
        if form.targets:
            followed = {"actor_target": "actor", "targets": "critics"}
            state = {**state, **{target: follow(state[target], state[name], h["tau"]) for target, name in followed.items()}}
        return state, {"td_error": td_error}


def _best(actor: State, bounds: State, obs: Tensor) -> Tensor:
    """Return the action without noise, [action_size]."""
    return stretched(bounds, torch.tanh(perceptron(actor, obs, torch.relu)))


def _within(bounds: State, action: Tensor) -> Tensor:
    return torch.maximum(torch.minimum(action, bounds["high"]), bounds["low"])
