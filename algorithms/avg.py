"""AVG, action value gradient: soft actor-critic from a stream, the actor climbing the action value that it is learnt with.

Source: AVG (arXiv:2411.15370), Algorithm 1. One moment (S, A, R, S') is learnt from once and forgotten. Three parts keep that
stable: standardised observations, features of length 1 (`feature_norm`), and TD errors divided by their scale.

The actor's loss is differentiated through the action that was taken, A = tanh(mean + deviation * noise). So the noise that made
an action stays in the state until its transition has been learnt from.

Deviations of the paper's text from the official code, each an option whose default is the code, unless it says otherwise:
1. The second head of the actor is the log of the variance (`log_variance`); the paper's is a log of the deviation, as its
   name says. Entropy weights were tuned with the former.
2. Rewards and returns in the scale of TD errors have their share of entropy (`entropy_in_scale`); in the paper they have not.
3. The scale is 1 until rewards vary (`cold_start`); in the paper, as others have read it, until two episodes have ended.
4. At a time limit, the return of the episode is carried into the next one (`return_at_truncation`), and S' keeps its value.
5. Actions are clipped to the bounds of the environment: an option of the environment (`action_clip`), and without effect where
   bounds are -1 and 1. Actions are not stretched to wider ones. What is learnt from is the action before it is clipped. The
   published runs were probably made before the code clipped, which matters on Humanoid, whose bounds are -0.4 and 0.4.
6. Actor and critic are updated at once, from the parameters before either. The paper lists the critic first. No option.
7. The last step of an episode enters the scale once, with discount 0, before the update. In the paper it enters twice. No
   option.
The target network of the paper's Fig. 8 (`target_network`) is not in the code. It serves the value of the next action; the
actor climbs the critic itself (our choice).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from algorithms import agent
from algorithms.adam import adam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, map_state
from algorithms.avg_parts import (
    action_value,
    cast,
    features,
    gradient_norm,
    init_actor_critic,
    init_sight,
    precision,
    pullback,
    sample,
    see,
    see_acting,
)
from algorithms.avg_settings import AVGSettings
from algorithms.targets import blend
from algorithms.td_scaling import update_td_scale


class AVG(AVGSettings):
    """Action value gradient. Noise, [2, action_size]: the next action's, and that of the action which the target values."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers: one row for each action that is drawn in a step."""
        return NoiseSpec("normal", (2, spaces.action_size))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: orthogonal networks, empty statistics."""
        (size,) = spaces.obs_shape
        state: State = {"hyper": agent.hyperparameters(self), **init_sight(spaces, self.normalize_obs)}
        state |= init_actor_critic(generator, spaces, self.hidden, size + spaces.action_size, self.scale_td_error)
        if self.target_network:
            state["target"] = map_state(torch.clone, state["critic"])
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [obs_size], and choose the first action, [action_size]."""
        return self._act(see(state, obs), noise)

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error before it is scaled."""
        h = cast(state["hyper"], precision(state["actor"]))
        obs, taken = state["obs"], state["noise"]  # standardised when it was seen, and the noise of the action taken there
        state = see(state, transition.next_obs)

        actor, critic = state["actor"], state["critic"]
        (action, log_prob), pull_actor = pullback(self._policy(obs, taken, h), actor)
        value, pull_critic = pullback(self._value(obs, h), critic, action)
        next_action, next_log_prob = self._policy(state["obs"], noise[1], h)(actor)
        next_value = self._value(state["obs"], h)(state["target"] if self.target_network else critic, next_action)
        goal = torch.where(transition.terminated, 0.0, h["gamma"] * (next_value - h["entropy"] * next_log_prob))
        delta = transition.reward.to(value.dtype) + goal - value  # Alg. 1: R + gamma (Q(S', A') - eta log pi(A'|S')) - Q(S, A)
        state, sigma = self._scaled(state, transition, log_prob)

        value_gradient, uphill = pull_critic(torch.ones_like(value))
        factor = -2 * delta / (sigma * sigma)  # the slope of (delta / sigma)^2 with the target held fixed
        critic_gradient = map_state(lambda g: factor * g, value_gradient)
        (actor_gradient,) = pull_actor((-uphill, h["entropy"]))  # of eta log pi(A|S) - Q(S, A)
        rates = {"beta1": state["hyper"]["beta1"], "beta2": state["hyper"]["beta2"]}
        for name, gradient in (("actor", actor_gradient), ("critic", critic_gradient)):
            memory = state[f"{name}_adam"]
            state[f"{name}_adam"], state[name] = adam(memory, state[name], gradient, state["hyper"][f"{name}_lr"], **rates)
        if self.target_network:
            state["target"] = blend(state["target"], state["critic"], h["tau"])

        info = {"td_error": delta}
        if self.diagnostics:
            info["actor_gradient_norm"] = gradient_norm(actor_gradient)
            info["critic_gradient_norm"] = gradient_norm(critic_gradient)
        state, action = self._act(see_acting(state, transition.acting_obs, transition.restarted), noise)
        return state, action, info

    def _act(self, state: State, noise: Tensor) -> tuple[State, Tensor]:
        h = cast(state["hyper"], precision(state["actor"]))
        action, _ = self._policy(state["obs"], noise[0], h)(state["actor"])
        return {**state, "noise": noise[0]}, action

    def _policy(self, obs: Tensor, noise: Tensor, h: dict[str, Tensor]) -> Callable[[State], tuple[Tensor, Tensor]]:
        """Return what gives, for an actor, the action that noise makes at an observation and the log of its density."""

        def draw(actor: State) -> tuple[Tensor, Tensor]:
            return sample(actor, self._features(actor, obs, h), noise, self.log_variance)

        return draw

    def _value(self, obs: Tensor, h: dict[str, Tensor]) -> Callable[[State, Tensor], Tensor]:
        """Return what gives, for a critic, the value of an action at an observation."""
        return lambda critic, action: action_value(critic, obs, action, self.feature_norm, h["feature_floor"])

    def _features(self, actor: State, obs: Tensor, h: dict[str, Tensor]) -> Tensor:
        return features(actor["body"], obs, self.feature_norm, h["feature_floor"])

    def _scaled(self, state: State, transition: Transition, log_prob: Tensor) -> tuple[State, Tensor]:
        """Take the transition into the scale of TD errors; return the state, and sigma in the type of the parameters."""
        if not self.scale_td_error:
            return state, torch.ones_like(log_prob)
        hyper, reward = state["hyper"], transition.reward
        if self.entropy_in_scale:
            reward = reward - hyper["entropy"] * log_prob.to(torch.float64)
        scale, sigma = update_td_scale(
            state["td_scale"],
            reward,
            transition.terminated,
            transition.truncated,
            hyper["gamma"],
            at_truncation=self.return_at_truncation,
            cold_start=self.cold_start,
        )
        return {**state, "td_scale": scale}, sigma.to(log_prob.dtype)
