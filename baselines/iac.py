"""IAC, incremental actor-critic: one step, likelihood ratio, no trace. With `PLUS` of the settings it is IAC+.

Source: AVG (arXiv:2411.15370), which compares AVG with it, and its official code. Networks, squashed policy and normalisation
are AVG's (`algorithms.avg_parts`); the critic is V(S).

1. The entropy that counts is that of the Gaussian before it is squashed, as in the code, and it counts in the actor's loss
   (`entropy_form`). The paper's other forms are known by name only (its figures 14 and 15); what they do here is our reading.
2. The scale of TD errors is that of plain rewards, and its return is gamma G + R, a discounted sum of past rewards, as in the
   code.
3. Actor and critic are updated at once, from the parameters before either.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms import agent
from algorithms.adam import adam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, map_state
from algorithms.avg_parts import (
    cast,
    features,
    gradient_norm,
    head,
    init_actor_critic,
    init_sight,
    log_deviation,
    precision,
    pullback,
    sample,
    see,
    see_acting,
)
from algorithms.policies import HALF_LOG_2PI, log_tanh_slope
from algorithms.td_scaling import update_td_scale
from baselines.avg_settings import IACSettings


class IAC(IACSettings):
    """Incremental actor-critic. Noise, [1, action_size]: the next action's, kept until its transition is learnt from."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers, one per component of the action."""
        return NoiseSpec("normal", (1, spaces.action_size))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: orthogonal networks, empty statistics."""
        (size,) = spaces.obs_shape
        state: State = {"hyper": agent.hyperparameters(self), **init_sight(spaces, self.normalize_obs)}
        state |= init_actor_critic(generator, spaces, self.hidden, size, self.scale_td_error)
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [obs_size], and choose the first action, [action_size]."""
        return self._act(see(state, obs), noise)

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error before it is scaled."""
        h = cast(state["hyper"], precision(state["actor"]))
        obs, taken = state["obs"], state["noise"]
        state = see(state, transition.next_obs)

        (log_prob, entropy), pull_actor = pullback(
            lambda actor: self._log_prob_and_entropy(actor, obs, taken, h), state["actor"]
        )
        value, pull_critic = pullback(lambda critic: self._value(critic, obs, h), state["critic"])
        next_value = torch.where(transition.terminated, 0.0, h["gamma"] * self._value(state["critic"], state["obs"], h))
        bonus = {"distribution": entropy, "sample": -log_prob}.get(self.entropy_form, torch.zeros_like(entropy))
        delta = transition.reward.to(value.dtype) + h["entropy"] * bonus + next_value - value
        state, sigma = self._scaled(state, transition, value.dtype)

        scaled = delta / sigma
        (value_gradient,) = pull_critic(torch.ones_like(value))
        factor = -2 * scaled / sigma  # the slope of (delta / sigma)^2 with the target held fixed
        critic_gradient = map_state(lambda g: factor * g, value_gradient)
        weight = h["entropy"] if self.entropy_form in ("actor", "distribution") else torch.zeros_like(entropy)
        (actor_gradient,) = pull_actor((-scaled, -weight))  # of -(delta log pi(A|S) + eta H)
        rates = {"beta1": state["hyper"]["beta1"], "beta2": state["hyper"]["beta2"]}
        for name, gradient in (("actor", actor_gradient), ("critic", critic_gradient)):
            memory = state[f"{name}_adam"]
            state[f"{name}_adam"], state[name] = adam(memory, state[name], gradient, state["hyper"][f"{name}_lr"], **rates)

        info = {"td_error": delta}
        if self.diagnostics:
            info["actor_gradient_norm"] = gradient_norm(actor_gradient)
            info["critic_gradient_norm"] = gradient_norm(critic_gradient)
        state, action = self._act(see_acting(state, transition.acting_obs, transition.restarted), noise)
        return state, action, info

    def _act(self, state: State, noise: Tensor) -> tuple[State, Tensor]:
        h = cast(state["hyper"], precision(state["actor"]))
        x = features(state["actor"]["body"], state["obs"], self.feature_norm, h["feature_floor"])
        action, _ = sample(state["actor"], x, noise[0], self.log_variance)
        return {**state, "noise": noise[0]}, action

    def _log_prob_and_entropy(self, actor: State, obs: Tensor, noise: Tensor, h: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return log pi(A|S) of the action that noise made, held fixed, and the entropy of the Gaussian behind it, []."""
        x = features(actor["body"], obs, self.feature_norm, h["feature_floor"])
        mean, log_std = head(actor["mean"], x), log_deviation(head(actor["log_std"], x), self.log_variance)
        spread = log_std.exp() * noise
        taken = (mean + spread).detach()
        # (taken - mean) / deviation, in the order in which nothing is lost where the deviation is small.
        away = (mean.detach() - mean + spread.detach()) * (-log_std).exp()
        log_prob = -0.5 * away**2 - log_std - HALF_LOG_2PI - log_tanh_slope(taken)
        return log_prob.sum(), (0.5 + HALF_LOG_2PI + log_std).sum()

    def _value(self, critic: State, obs: Tensor, h: dict[str, Tensor]) -> Tensor:
        return head(critic["value"], features(critic["body"], obs, self.feature_norm, h["feature_floor"]))[0]

    def _scaled(self, state: State, transition: Transition, dtype: torch.dtype) -> tuple[State, Tensor]:
        """Take the transition into the scale of TD errors; return the state, and sigma in the type of the parameters."""
        if not self.scale_td_error:
            return state, torch.ones((), dtype=dtype)
        gamma = state["hyper"]["gamma"]
        scale, sigma = update_td_scale(
            state["td_scale"],
            transition.reward,
            transition.terminated,
            transition.truncated,
            gamma,
            decay=gamma,
            at_truncation=self.return_at_truncation,
            cold_start=self.cold_start,
        )
        return {**state, "td_scale": scale}, sigma.to(dtype)
