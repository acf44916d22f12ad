"""Second forms of the learners, from the parts in `reference_parts`: slow, float64, and without code from `algorithms/`."""

import math

import numpy as np
import torch
from reference_parts import ReferenceNetwork, ReferenceOptimizer, ReferenceSenses, lookup
from torch import nn


class ReferenceStreamAC:
    """Stream AC(lambda) for one stream."""

    def __init__(
        self,
        state,
        time_feature,
        gamma=0.99,
        lamda=0.8,
        alpha_policy=1.0,
        alpha_value=1.0,
        kappa_policy=3.0,
        kappa_value=2.0,
        entropy=0.01,
        layer_norm=True,
        normalized_layers=0,
        normalize_obs=True,
        normalize_reward=True,
        optimizer="obgd",
        bootstrap_on_truncation=False,
        reset_trace_on_truncation=True,
        cut_reward_trace_on_truncation=True,
        centered_reward_variance=True,
        adaptive_bias_correction=True,
        activation="leaky_relu",
        one_sample_prior=False,
        frames=1,
    ):
        self.actor = ReferenceNetwork(state["actor"], layer_norm, activation, normalized_layers)
        self.critic = ReferenceNetwork(state["critic"], layer_norm, activation, normalized_layers)
        self.gamma, self.entropy = gamma, entropy
        self.bootstrap_on_truncation, self.reset_trace_on_truncation = bootstrap_on_truncation, reset_trace_on_truncation
        self.cut_reward_trace_on_truncation = cut_reward_trace_on_truncation
        scaling = (normalize_obs, normalize_reward, centered_reward_variance, one_sample_prior)
        self.senses = ReferenceSenses(time_feature, frames, gamma, *scaling)
        decay = gamma * lamda
        self.actor_optimizer, self.critic_optimizer = (
            ReferenceOptimizer(network, optimizer, alpha, kappa, decay, adaptive_bias_correction)
            for network, alpha, kappa in ((self.actor, alpha_policy, kappa_policy), (self.critic, alpha_value, kappa_value))
        )
        self.obs = None

    def take_over(self, state):
        """Go on from the parameters, traces and moments of an agent's state, so that rounding differences do not build up."""
        self.actor_optimizer.take_over(state["actor"], state["actor_optimizer"])
        self.critic_optimizer.take_over(state["critic"], state["critic_optimizer"])

    def start(self, obs, noise):
        self.obs = self.senses.look(obs, first=True)
        return self._act(noise)

    def step(self, action, reward, next_obs, terminated, truncated, acting_obs, noise, restarted=None):
        """Learn from (own last observation, action, reward, next_obs); return the next action and the TD error."""
        restarted = terminated or truncated if restarted is None else restarted
        reward = self.senses.scale(reward, terminated or (truncated and self.cut_reward_trace_on_truncation))
        next_obs = self.senses.look(next_obs)
        bootstrap = not (terminated or (truncated and not self.bootstrap_on_truncation))

        value = self.critic(self.obs)["value"].squeeze()
        with torch.no_grad():
            next_value = self.critic(next_obs)["value"].squeeze().item() if bootstrap else 0.0
        delta = reward + self.gamma * next_value - value.item()

        policy = self._policy(self.obs)
        sign = (delta > 0) - (delta < 0)
        (policy.log_prob(action).sum() + self.entropy * sign * policy.entropy().sum()).backward()
        value.backward()
        reset = terminated or (truncated and self.reset_trace_on_truncation)
        self.actor_optimizer.step(delta, reset)
        self.critic_optimizer.step(delta, reset)
        with torch.no_grad():
            next_value = self.critic(next_obs)["value"].squeeze().item() if bootstrap else 0.0
            self.delta_after = reward + self.gamma * next_value - self.critic(self.obs)["value"].squeeze().item()

        self.obs = self.senses.look(acting_obs, first=True) if restarted else next_obs
        return self._act(noise), delta

    def _policy(self, obs):
        heads = self.actor(obs)
        if "logits" in heads:
            return torch.distributions.Categorical(logits=heads["logits"])
        std = heads["log_std"].exp() if "log_std" in heads else nn.functional.softplus(heads["std"])
        return torch.distributions.Normal(heads["mean"], std)

    def _act(self, noise):
        with torch.no_grad():
            policy = self._policy(self.obs)
        if isinstance(policy, torch.distributions.Categorical):
            return lookup(policy.probs.numpy(), float(noise[0]))
        return policy.mean + policy.stddev * noise


class ReferenceActionValues:
    """Stream Q(lambda) (`rule` "q") and Stream SARSA(lambda) ("sarsa") for one stream."""

    def __init__(
        self,
        state,
        spaces,
        rule,
        gamma=0.99,
        lamda=0.8,
        alpha=1.0,
        kappa=2.0,
        epsilon_start=1.0,
        epsilon_end=0.01,
        exploration_fraction=0.05,
        schedule_steps=500_000.0,
        layer_norm=True,
        normalized_layers=0,
        normalize_obs=True,
        normalize_reward=True,
        optimizer="obgd",
        bootstrap_on_truncation=False,
        reset_trace_on_truncation=True,
        cut_reward_trace_on_truncation=True,
        centered_reward_variance=True,
        adaptive_bias_correction=True,
        activation="leaky_relu",
        one_sample_prior=False,
        cut="after_update",
        first_action="from_terminal_obs",
    ):
        self.rule, self.gamma, self.cut, self.first_action = rule, gamma, cut, first_action
        self.network = ReferenceNetwork(state["q"], layer_norm, activation, normalized_layers)
        self.optimizer = ReferenceOptimizer(self.network, optimizer, alpha, kappa, gamma * lamda, adaptive_bias_correction)
        self.epsilons = (epsilon_start, epsilon_end, exploration_fraction * schedule_steps)
        self.bootstrap_on_truncation, self.reset_trace_on_truncation = bootstrap_on_truncation, reset_trace_on_truncation
        self.cut_reward_trace_on_truncation = cut_reward_trace_on_truncation
        scaling = (normalize_obs, normalize_reward, centered_reward_variance, one_sample_prior)
        self.senses = ReferenceSenses(spaces.time_feature, spaces.frames, gamma, *scaling)
        self.choices, self.obs, self.greedy = 0, None, True

    def take_over(self, state):
        """Go on from the parameters and moments of an agent's state, so that rounding differences do not build up."""
        self.optimizer.take_over(state["q"], state["optimizer"], trace=False)

    def start(self, obs, noise):
        self.obs = self.senses.look(obs, first=True)
        return self._choose(self.obs, noise)

    def step(self, action, reward, next_obs, terminated, truncated, acting_obs, noise, restarted=None):
        """Learn from (own last observation, action, reward, next_obs); return the next action and the TD error."""
        restarted = terminated or truncated if restarted is None else restarted
        reward = self.senses.scale(reward, terminated or (truncated and self.cut_reward_trace_on_truncation))
        next_obs = self.senses.look(next_obs)
        first_obs = self.senses.look(acting_obs, first=True) if restarted else None
        bootstrap = not (terminated or (truncated and not self.bootstrap_on_truncation))
        reset = terminated or (truncated and self.reset_trace_on_truncation)
        with torch.no_grad():
            next_values = self.network(next_obs)["q"]

        if self.rule == "sarsa":
            next_action = self._choose(next_obs, noise)
            next_value = next_values[next_action].item()
            if restarted and self.first_action == "from_first_obs":
                self.choices -= 1  # the same choice, made again elsewhere
                next_action = self._choose(first_obs, noise)
        else:
            next_value = next_values.max().item()
            if not self.greedy and self.cut == "before_accumulation":
                self.optimizer.empty()
            reset = reset or (not self.greedy and self.cut == "after_update")

        value = self.network(self.obs)["q"][action]
        delta = reward + self.gamma * (next_value if bootstrap else 0.0) - value.item()
        value.backward()
        self.optimizer.step(delta, reset)
        with torch.no_grad():
            next_values = self.network(next_obs)["q"]
            next_value = (next_values[next_action] if self.rule == "sarsa" else next_values.max()).item()
            value = self.network(self.obs)["q"][action].item()
        self.delta_after = reward + self.gamma * (next_value if bootstrap else 0.0) - value

        self.obs = first_obs if restarted else next_obs
        if self.rule == "q":
            next_action = self._choose(self.obs, noise)
        return next_action, delta

    def _choose(self, obs, noise):
        with torch.no_grad():
            values = self.network(obs)["q"].numpy()
        self.choices += 1
        start, end, length = self.epsilons
        epsilon = max(start + self.choices * (end - start) / length, end)
        best = int(np.argmax(values))
        action = math.floor(float(noise[1]) * len(values)) if float(noise[0]) < epsilon else best
        self.greedy = action == best
        return torch.tensor(action)


class ReferenceTD:
    """Stream TD(lambda) for one stream; what it returns is its prediction in units of the raw reward."""

    def __init__(
        self,
        state,
        spaces,
        gamma=0.99,
        lamda=0.8,
        alpha=1.0,
        kappa=2.0,
        layer_norm=True,
        normalized_layers=0,
        normalize_obs=True,
        normalize_reward=True,
        optimizer="obgd",
        bootstrap_on_truncation=False,
        reset_trace_on_truncation=True,
        cut_reward_trace_on_truncation=True,
        centered_reward_variance=True,
        adaptive_bias_correction=True,
        activation="leaky_relu",
        one_sample_prior=False,
    ):
        self.gamma = gamma
        self.bootstrap_on_truncation, self.reset_trace_on_truncation = bootstrap_on_truncation, reset_trace_on_truncation
        self.cut_reward_trace_on_truncation = cut_reward_trace_on_truncation
        self.network = ReferenceNetwork(state["v"], layer_norm, activation, normalized_layers)
        self.optimizer = ReferenceOptimizer(self.network, optimizer, alpha, kappa, gamma * lamda, adaptive_bias_correction)
        scaling = (normalize_obs, normalize_reward, centered_reward_variance, one_sample_prior)
        self.senses = ReferenceSenses(spaces.time_feature, spaces.frames, gamma, *scaling)
        self.obs = None

    def take_over(self, state):
        """Go on from the parameters and moments of an agent's state, so that rounding differences do not build up."""
        self.optimizer.take_over(state["v"], state["optimizer"], trace=False)

    def start(self, obs, noise):
        self.obs = self.senses.look(obs, first=True)
        return torch.tensor([self._prediction(self.obs)])

    def step(self, reward, next_obs, terminated, truncated, acting_obs, restarted=None):
        """Learn from (own last observation, reward, next_obs); return TD error, predictions after and before the step."""
        done = terminated or truncated
        before = self._prediction(self.obs)
        scaled = self.senses.scale(reward, terminated or (truncated and self.cut_reward_trace_on_truncation))
        bootstrap = not (terminated or (truncated and not self.bootstrap_on_truncation))
        reset = terminated or (truncated and self.reset_trace_on_truncation)
        next_obs = self.senses.look(next_obs)
        value = self.network(self.obs)["value"].squeeze()
        next_value = self.network(next_obs)["value"].item() if bootstrap else 0.0
        delta = scaled + self.gamma * next_value - value.item()
        value.backward()
        self.optimizer.step(delta, reset)
        with torch.no_grad():
            next_value = self.network(next_obs)["value"].item() if bootstrap else 0.0
            self.delta_after = scaled + self.gamma * next_value - self.network(self.obs)["value"].item()
        after = self._prediction(next_obs)
        restarted = done if restarted is None else restarted
        self.obs = self.senses.look(acting_obs, first=True) if restarted else next_obs
        return delta, after, before

    def _prediction(self, obs):
        with torch.no_grad():
            value = self.network(obs)["value"].item()
        return value * self.senses.deviation() if self.senses.normalize_reward else value
