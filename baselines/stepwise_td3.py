"""TD3 on stable-baselines3 that goes one environment step at a time, with CleanRL's update rule.

From stable-baselines3 come the networks with their initial weights, the replay buffer and the seeding. stable-baselines3's own
update differs from CleanRL's: critics see actions rescaled to [-1, 1], and the actor's turn comes by the number of updates
instead of the number of steps. Hyperparameters, choices and deviations: `baselines.batch`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stable_baselines3 as sb3
import torch
from torch import Tensor

from baselines.stepwise import Layers, OffPolicy, adam, forward, layers

if TYPE_CHECKING:
    from baselines.settings import TD3


class StepwiseTD3(OffPolicy, sb3.TD3):
    """TD3 with CleanRL's update."""

    def begin(self, learner: TD3) -> None:
        """Lay out the parameters and see the first observation."""
        self._learner = learner
        self._lay_out(actor=self.actor, critic=self.critic, actor_target=self.actor_target, critic_target=self.critic_target)
        self._actor_parameters = list(self.actor.parameters())
        self._actor_layers, self._actor_target_layers = layers(self.actor.mu), layers(self.actor_target.mu)
        self.actor.optimizer = adam(self.vectors["actor"], learner.learning_rate)
        self.critic.optimizer = adam(self.vectors["critic"], learner.learning_rate)
        self.optimizers = {"actor": self.actor.optimizer, "critic": self.critic.optimizer}
        self._start_stream()

    def _explore(self, obs: Tensor) -> Tensor:
        action = self._act(self._actor_layers, obs)
        noise = self._learner.exploration_noise * torch.randn_like(action)
        return self._within_bounds(action + noise * self._scale)

    def _update(self, batch: Any, step: int) -> None:
        with torch.no_grad():
            limit = self._learner.noise_clip
            noise = (self._learner.policy_noise * torch.randn_like(batch.actions)).clamp(-limit, limit)
            next_action = self._act(self._actor_target_layers, batch.next_observations)
            next_action = self._within_bounds(next_action + noise * self._scale)
            next_value = self._least(self._target_layers, batch.next_observations, next_action)
        self._descend_critics(batch, next_value)

        if step % self._learner.policy_frequency == 0:
            action = self._act(self._actor_layers, batch.observations)
            pair = torch.cat([batch.observations, action], 1)
            actor_loss = -forward(self._critic_layers[0], pair, torch.relu).mean()
            self._descend("actor", actor_loss, self._actor_parameters)
            for name in ("actor", "critic"):
                self.vectors[f"{name}_target"].data.lerp_(self.vectors[name].data, self.tau)

    def _act(self, actor: Layers, obs: Tensor) -> Tensor:
        """Return the action without noise, [n, action_size], in the units of the environment."""
        return torch.tanh(forward(actor, obs, torch.relu)) * self._scale + self._bias

    def _within_bounds(self, action: Tensor) -> Tensor:
        return torch.max(torch.min(action, self._high), self._low)
