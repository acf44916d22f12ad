"""SAC-1 in the form of AVG's paper; with `PLUS` of the settings it is SAC-1+. The form of Stream-X is `incremental_sac`.

Source: AVG (arXiv:2411.15370) and its official code. SAC's update (Haarnoja et al., arXiv:1812.05905) from the newest
transition only: two critics, two targets that follow at every step, an entropy weight that is learnt. Networks, squashed policy
and normalisation are AVG's (`algorithms.avg_parts`). In that it differs from the one-sample form of Stream-X, which has ReLU,
no orthogonal weights, actions stretched to the bounds, and an actor that learns twice at every other step.

In every step the critics come first, then the actor, which climbs the new critics with a fresh action, then the entropy weight,
then the targets. The scale of TD errors is that of both critics.
"""

from __future__ import annotations

import math

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
    init_sight,
    precision,
    pullback,
    sample,
    see,
    see_acting,
)
from algorithms.targets import blend
from algorithms.td_scaling import init_td_scale, update_td_scale
from baselines.avg_settings import AVGSAC1Settings

# Of the Adam that learns the entropy weight.
ENTROPY_BETA1, ENTROPY_BETA2 = 0.5, 0.999


class AVGSAC1(AVGSAC1Settings):
    """SAC-1. Noise, [3, action_size]: the next action's, the target's, and that of the actor's update."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers: one row for each action that is drawn in a step."""
        return NoiseSpec("normal", (3, spaces.action_size))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: orthogonal networks, targets equal to their critics."""
        (size,) = spaces.obs_shape
        state: State = {"hyper": agent.hyperparameters(self), **init_sight(spaces, self.normalize_obs)}
        heads = {"mean": spaces.action_size, "log_std": spaces.action_size}
        state["actor"] = fresh_network(generator, size, self.hidden, heads)
        for group in ("critics", "targets"):
            state[group] = {}
        for name in ("q1", "q2"):
            critic = fresh_network(generator, size + spaces.action_size, self.hidden, {"value": 1})
            state["critics"][name], state["targets"][name] = critic, agent.map_state(torch.clone, critic)
        state["entropy"] = {"log_weight": torch.tensor(math.log(self.first_entropy))}
        for name in ("actor", "critics", "entropy"):
            state[f"{name}_adam"] = fresh_adam(state[name])
        if self.scale_td_error:
            state["td_scale"], state["log_prob"] = init_td_scale(), torch.zeros(())
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [obs_size], and choose the first action, [action_size]."""
        return self._act(see(state, obs), noise)

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error of the first critic, unscaled."""
        dtype = precision(state["actor"])
        h, weight = cast(state["hyper"], dtype), state["entropy"]["log_weight"].exp()
        obs = state["obs"]
        state = see(state, transition.next_obs)
        next_obs, action = state["obs"], transition.action.to(dtype)
        rates = {"beta1": state["hyper"]["beta1"], "beta2": state["hyper"]["beta2"]}

        next_action, next_log_prob = self._sample(state["actor"], next_obs, noise[1], h)
        next_value = self._values(state["targets"], next_obs, next_action, h).min() - weight * next_log_prob
        goal = transition.reward.to(dtype) + torch.where(transition.terminated, 0.0, h["gamma"] * next_value)
        values, pull = pullback(lambda critics: self._values(critics, obs, action, h), state["critics"])
        state, sigma = self._scaled(state, transition, weight)
        errors = goal - values
        (critic_gradient,) = pull(-2 * errors / (sigma * sigma))
        state["critics_adam"], state["critics"] = adam(
            state["critics_adam"], state["critics"], critic_gradient, state["hyper"]["critic_lr"], **rates
        )

        def actor_loss(actor: State) -> tuple[Tensor, Tensor]:
            fresh, log_prob = self._sample(actor, obs, noise[2], h)
            return weight * log_prob - self._values(state["critics"], obs, fresh, h).min(), log_prob

        actor_gradient, log_prob = grad(actor_loss, has_aux=True)(state["actor"])
        state["actor_adam"], state["actor"] = adam(
            state["actor_adam"], state["actor"], actor_gradient, state["hyper"]["actor_lr"], **rates
        )
        # The target entropy is minus the number of components; the loss is exp(log weight) * excess, and so is its slope.
        slope = {"log_weight": weight * (float(action.shape[-1]) - log_prob)}
        state["entropy_adam"], state["entropy"] = adam(
            state["entropy_adam"],
            state["entropy"],
            slope,
            state["hyper"]["entropy_lr"],
            beta1=ENTROPY_BETA1,
            beta2=ENTROPY_BETA2,
        )
        state["targets"] = blend(state["targets"], state["critics"], h["tau"])

        info = {"td_error": errors[0]}
        if self.diagnostics:
            info["actor_gradient_norm"] = gradient_norm(actor_gradient)
            info["critic_gradient_norm"] = gradient_norm(critic_gradient)
        state, chosen = self._act(see_acting(state, transition.acting_obs, transition.restarted), noise)
        return state, chosen, info

    def _act(self, state: State, noise: Tensor) -> tuple[State, Tensor]:
        h = cast(state["hyper"], precision(state["actor"]))
        action, log_prob = self._sample(state["actor"], state["obs"], noise[0], h)
        return state | ({"log_prob": log_prob} if self.scale_td_error else {}), action

    def _sample(self, actor: State, obs: Tensor, noise: Tensor, h: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        x = features(actor["body"], obs, self.feature_norm, h["feature_floor"])
        return sample(actor, x, noise, self.log_variance)

    def _values(self, critics: State, obs: Tensor, action: Tensor, h: dict[str, Tensor]) -> Tensor:
        """Return what both critics say, [2]."""
        norm, floor = self.feature_norm, h["feature_floor"]
        return torch.stack([action_value(critics[name], obs, action, norm, floor) for name in ("q1", "q2")])

    def _scaled(self, state: State, transition: Transition, weight: Tensor) -> tuple[State, Tensor]:
        """Take the transition into the scale of TD errors; return the state, and sigma in the type of the parameters."""
        if not self.scale_td_error:
            return state, torch.ones_like(weight)
        reward = transition.reward
        if self.entropy_in_scale:
            reward = reward - (weight * state["log_prob"]).to(torch.float64)
        scale, sigma = update_td_scale(
            state["td_scale"],
            reward,
            transition.terminated,
            transition.truncated,
            state["hyper"]["gamma"],
            at_truncation=self.return_at_truncation,
            cold_start=self.cold_start,
        )
        return {**state, "td_scale": scale}, sigma.to(weight.dtype)
