"""TD3-1 in the form of AVG's paper; with `PLUS` of the settings it is TD3-1+. CleanRL's own form is `incremental_td3`.

Source: TD3 (arXiv:1802.09477) by CleanRL's rule and numbers, from the newest transition only. AVG (arXiv:2411.15370) compares
itself with it and has no code of it. Our choice, so that the three incremental learners differ in nothing but their rules:
networks and normalisation are AVG's (`algorithms.avg_parts`), actions lie between -1 and 1 and are not stretched, no action is
drawn uniformly at the beginning, and the scale of TD errors is that of plain rewards and their undiscounted sum.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad

from algorithms import agent
from algorithms.adam import adam, fresh_adam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition
from algorithms.avg_parts import (
    action_value,
    cast,
    features,
    fresh_network,
    gradient_norm,
    head,
    init_sight,
    precision,
    pullback,
    see,
    see_acting,
)
from algorithms.targets import blend
from algorithms.td_scaling import init_td_scale, update_td_scale
from baselines.avg_settings import AVGTD31Settings


class AVGTD31(AVGTD31Settings):
    """TD3-1. Noise, [2, action_size]: on the next action, and on the action that the target values."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers: one row for each action that is drawn in a step."""
        return NoiseSpec("normal", (2, spaces.action_size))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: orthogonal networks, targets equal to what they follow."""
        (size,) = spaces.obs_shape
        state: State = {"hyper": agent.hyperparameters(self), **init_sight(spaces, self.normalize_obs)}
        state["actor"] = fresh_network(generator, size, self.hidden, {"action": spaces.action_size})
        state["critics"] = {
            name: fresh_network(generator, size + spaces.action_size, self.hidden, {"value": 1}) for name in ("q1", "q2")
        }
        for name in ("actor", "critics"):
            state[f"{name}_adam"] = fresh_adam(state[name])
            state[f"{name}_target"] = agent.map_state(torch.clone, state[name])
        if self.scale_td_error:
            state["td_scale"] = init_td_scale()
        if self.diagnostics:
            state["actor_gradient_norm"] = torch.zeros(())  # of its last turn
        return state

    def form(self, steps: int) -> bool:
        """Return whether the step after so many updates the actor and moves the targets."""
        return (steps + 1) % self.policy_frequency == 0

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [obs_size], and choose the first action, [action_size]."""
        state = see(state, obs)
        return state, self._act(state, noise)

    def step(self, state: State, transition: Transition, noise: Tensor, form: bool) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error of the first critic, unscaled."""
        dtype = precision(state["actor"])
        h, obs = cast(state["hyper"], dtype), state["obs"]
        state = see(state, transition.next_obs)
        next_obs, action = state["obs"], transition.action.to(dtype)
        rates = {"beta1": state["hyper"]["beta1"], "beta2": state["hyper"]["beta2"]}

        shift = torch.clamp(h["policy_noise"] * noise[1], -h["noise_clip"], h["noise_clip"])
        next_action = (self._best(state["actor_target"], next_obs, h) + shift).clamp(-1, 1)
        next_value = torch.minimum(*self._values(state["critics_target"], next_obs, next_action, h))
        goal = transition.reward.to(dtype) + torch.where(transition.terminated, 0.0, h["gamma"] * next_value)
        values, pull = pullback(lambda critics: torch.stack(self._values(critics, obs, action, h)), state["critics"])
        state, sigma = self._scaled(state, transition, dtype)
        errors = goal - values
        (critic_gradient,) = pull(-2 * errors / (sigma * sigma))
        state["critics_adam"], state["critics"] = adam(
            state["critics_adam"], state["critics"], critic_gradient, state["hyper"]["critic_lr"], **rates
        )
        if form:
            climbed = state["critics"]["q1"]

            def actor_loss(actor: State) -> Tensor:
                return -action_value(climbed, obs, self._best(actor, obs, h), self.feature_norm, h["feature_floor"])

            gradient = grad(actor_loss)(state["actor"])
            if self.diagnostics:
                state["actor_gradient_norm"] = gradient_norm(gradient)
            state["actor_adam"], state["actor"] = adam(
                state["actor_adam"], state["actor"], gradient, state["hyper"]["actor_lr"], **rates
            )
            for name in ("actor", "critics"):
                state[f"{name}_target"] = blend(state[f"{name}_target"], state[name], h["tau"])

        info = {"td_error": errors[0]}
        if self.diagnostics:
            info["actor_gradient_norm"] = state["actor_gradient_norm"]
            info["critic_gradient_norm"] = gradient_norm(critic_gradient)
        state = see_acting(state, transition.acting_obs, transition.restarted)
        return state, self._act(state, noise), info

    def _act(self, state: State, noise: Tensor) -> Tensor:
        h = cast(state["hyper"], precision(state["actor"]))
        return (self._best(state["actor"], state["obs"], h) + h["exploration_noise"] * noise[0]).clamp(-1, 1)

    def _best(self, actor: State, obs: Tensor, h: dict[str, Tensor]) -> Tensor:
        """Return the action without noise, [action_size]."""
        x = features(actor["body"], obs, self.feature_norm, h["feature_floor"])
        return torch.tanh(head(actor["action"], x))

    def _values(self, critics: State, obs: Tensor, action: Tensor, h: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return what both critics say, [] each."""
        norm, floor = self.feature_norm, h["feature_floor"]
        return action_value(critics["q1"], obs, action, norm, floor), action_value(critics["q2"], obs, action, norm, floor)

    def _scaled(self, state: State, transition: Transition, dtype: torch.dtype) -> tuple[State, Tensor]:
        """Take the transition into the scale of TD errors; return the state, and sigma in the type of the parameters."""
        if not self.scale_td_error:
            return state, torch.ones((), dtype=dtype)
        scale, sigma = update_td_scale(
            state["td_scale"],
            transition.reward,
            transition.terminated,
            transition.truncated,
            state["hyper"]["gamma"],
            at_truncation=self.return_at_truncation,
            cold_start=self.cold_start,
        )
        return {**state, "td_scale": scale}, sigma.to(dtype)
