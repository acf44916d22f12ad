"""SAC1 as a learner of one stream: CleanRL's update from the newest transition only. See `baselines.incremental`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from algorithms.adam import adam, fresh_adam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32
from algorithms.bounds import spread
from algorithms.dense import perceptron
from algorithms.policies import noise_log_prob
from algorithms.targets import follow
from baselines.incremental import Form, TwinCritics, as_seen, twin_values
from baselines.settings import SAC1


@dataclass(frozen=True)
class IncrementalSAC(TwinCritics, SAC1):
    """SAC1 in lanes. Noise, [2 + 2 policy_frequency, action_size]: the next action, the target's, and two per actor update."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers: one row for each action that is drawn in a step."""
        return NoiseSpec("normal", (2 + 2 * self.policy_frequency, spaces.action_size))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing; the actor gives mean and log deviation side by side."""
        state = self._begin(generator, spaces, actor_outputs=2 * spaces.action_size)
        if self.autotune:
            state["entropy"] = {"log_weight": torch.zeros(())}
            state["entropy_adam"] = fresh_adam(state["entropy"])
        return state

    def _turns(self, steps: int) -> tuple[bool, bool]:
        return steps % self.policy_frequency == 0, steps % self.target_network_frequency == 0

    def _policy(self, state: State, obs: Tensor, noise: Tensor) -> Tensor:
        return self._sample(state, state["actor"], obs, noise)[0]

    def _learn(self, state: State, transition: Transition, noise: Tensor, form: Form) -> tuple[State, Info]:
        h = as_float32(state["hyper"])
        obs, next_obs, _ = as_seen(transition)

        next_action, next_log_prob = self._sample(state, state["actor"], next_obs, noise[1])
        next_value = twin_values(state["targets"], next_obs, next_action).min() - self._weight(state) * next_log_prob
        state, td_error = self._descend_critics(state, transition, next_value, h["q_learning_rate"])
        if form.actor:
            for number in range(self.policy_frequency):  # as many updates as steps were left out
                state = self._improve(state, obs, noise[2 + 2 * number], noise[3 + 2 * number])
        if form.targets:
            state = {**state, "targets": follow(state["targets"], state["critics"], h["tau"])}
        return state, {"td_error": td_error}

    def _improve(self, state: State, obs: Tensor, noise: Tensor, entropy_noise: Tensor) -> State:
        """Update the actor, and then the entropy weight by what the new actor does."""
        h, weight = as_float32(state["hyper"]), self._weight(state)

        def actor_loss(actor: State) -> Tensor:
            action, log_prob = self._sample(state, actor, obs, noise)
            q1, q2 = twin_values(state["critics"], obs, action)
            return weight * log_prob - torch.minimum(q1, q2)

        gradient = grad(actor_loss)(state["actor"])
        memory, actor = adam(state["actor_adam"], state["actor"], gradient, h["policy_learning_rate"])
        state = {**state, "actor": actor, "actor_adam": memory}
        if not self.autotune:
            return state
        # The target entropy is minus the number of components; the loss is -exp(log weight) * excess, and so is its slope.
        excess = self._sample(state, actor, obs, entropy_noise)[1] - float(entropy_noise.shape[-1])
        slope = {"log_weight": -weight * excess}
        memory, entropy = adam(state["entropy_adam"], state["entropy"], slope, h["q_learning_rate"])
        return {**state, "entropy": entropy, "entropy_adam": memory}

    def _weight(self, state: State) -> Tensor:
        weight: Tensor = state["entropy"]["log_weight"].exp() if self.autotune else state["hyper"]["alpha"].to(torch.float32)
        return weight

    def _sample(self, state: State, actor: State, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Draw an action, [action_size], and return it with the log of its density, []."""
        h = as_float32(state["hyper"])
        mean, raw = perceptron(actor, obs, torch.relu).chunk(2)
        log_std = h["log_std_min"] + 0.5 * (h["log_std_max"] - h["log_std_min"]) * (torch.tanh(raw) + 1)
        squashed = torch.tanh(mean + log_std.exp() * noise)
        scale, middle = spread(state["bounds"])
        # As CleanRL keeps the logarithm finite; `policies.squashed_gaussian` needs no such addition.
        stretch = torch.log(scale * (1 - squashed**2) + 1e-6)
        return squashed * scale + middle, (noise_log_prob(noise, log_std) - stretch).sum()
