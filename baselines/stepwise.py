"""PPO and SAC on stable-baselines3, one environment step at a time with CleanRL's updates, and what TD3 and DQN share.

From stable-baselines3 come the networks with their initial weights, the buffers, the advantage estimate and the seeding. Ours
are the loop, so that a run can stop after any step and go on from there to the same result, and the updates, since
stable-baselines3 differs from CleanRL: it clips the value loss without taking the larger one, anneals one rollout later,
bootstraps PPO at a time limit, bounds SAC's deviation by clamping, has one step size for all of SAC, and updates SAC's entropy
weight and actor at every step, before the critics.

For one sample the cost is not in the arithmetic but in what surrounds it: hence no logger, no copies of observations and
infos, no checked distributions, and parameters as vectors.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np
import stable_baselines3 as sb3
import torch
from gymnasium.wrappers import NormalizeObservation, NormalizeReward
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor, nn
from torch.nn import functional as F

from algorithms.upgd import AdaUPGD
from baselines.upgd_ppo_settings import AdaUPGDPPO

if TYPE_CHECKING:
    from baselines.settings import PPO, SAC

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)

Layers = list[tuple[Tensor, Tensor]]


class Diverged(Exception):
    """A loss, an action or a parameter is no longer a finite number."""


class Stepwise(BaseAlgorithm):
    """What the models share: one stream, one step at a time, and a state that can be saved after each of them."""

    vectors: dict[str, nn.Parameter]
    # What the model tells of its last updates, by name, where that is asked for.
    told: dict[str, float]
    optimizers: dict[str, torch.optim.Optimizer]

    @staticmethod
    def _wrap_env(env: Any, verbose: int = 0, monitor_wrapper: bool = True) -> Any:
        return BaseAlgorithm._wrap_env(env, verbose, monitor_wrapper=False)

    def step(self) -> None:
        """Take one environment step and learn where it is time to. May raise `Diverged`."""
        raise NotImplementedError

    def play(self) -> None:
        """Take one environment step by what has been learnt, without learning. May raise `Diverged`."""
        with torch.no_grad():
            self._take(self._chosen())

    def _chosen(self) -> np.ndarray:
        """Return the action of the policy, [1, ...]."""
        action, _ = self.policy.predict(self._last_obs, deterministic=False)
        return np.asarray(action)

    def learn(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: the models advance by `step`."""
        raise NotImplementedError("call step() once for each environment step")

    def _start_stream(self) -> None:
        # The one environment of SB3's vector form, stepped without the copies that the vector form makes.
        self.stream: gymnasium.Env[Any, Any] = cast(Any, self.env).envs[0]
        self._last_obs: np.ndarray = self._see(self.stream.reset()[0], first=True)
        self._last_episode_starts: np.ndarray = np.ones(1, bool)
        self.told = {}

    def _see(self, obs: np.ndarray, first: bool) -> np.ndarray:
        """Return what the networks see of an observation, as a batch of one; `first` says that it begins an episode."""
        return obs[None]

    def _take(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool]:
        """Step the environment with an action, [1, ...]; return next observation [1, ...], reward, terminated, truncated."""
        if not np.isfinite(action).all():
            raise Diverged("action")
        obs, reward, terminated, truncated, _ = self.stream.step(action[0])
        self.num_timesteps += 1
        self._last_obs = next_obs = self._see(obs, first=False)
        # In Atari a lost life is terminal while the game goes on; environments of Gymnasium know no such thing.
        if getattr(self.stream.unwrapped, "needs_reset", terminated or truncated):
            self._last_obs = self._see(self.stream.reset()[0], first=True)
        return next_obs, float(reward), terminated, truncated

    def check(self) -> None:
        """Raise `Diverged` if a parameter is not finite."""
        if not all(vector.isfinite().all() for vector in self.vectors.values()):
            raise Diverged("parameter")

    def get_state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on, as plain data, the environment inside the wrappers excepted.

        Arrays and tensors are the model's own: to be written before the next step.
        """
        buffer, _ = self._buffer()
        return {
            "counters": {name: getattr(self, name) for name in COUNTERS},
            "vectors": {name: vector.detach() for name, vector in self.vectors.items()},
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "buffer": {name: array[: buffer.size()] for name, array in self.buffer_arrays().items()},
            "position": (buffer.pos, buffer.full),
            "statistics": [{name: getattr(part, name) for name in names} for part, names in self._statistics()],
            "generators": {
                "python": random.getstate(),
                "numpy": np.random.get_state(),
                "torch": torch.get_rng_state().numpy(),
                "action_space": self.action_space.np_random.bit_generator.state,
            },
        }

    def weights(self) -> dict[str, Any]:
        """Return what has been learnt, as plain data: the networks, and the statistics that observations are scaled by."""
        state = self.get_state()
        return {"policy": dict(self.policy.state_dict()), "statistics": state["statistics"]}

    def put_weights(self, weights: dict[str, Any]) -> None:
        """Take over what `weights` returned, in a model built from the same arguments."""
        self.policy.load_state_dict(weights["policy"])
        put_statistics(self._statistics(), weights["statistics"])

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called, in a model built from the same arguments.

        What of the buffer has been read into `buffer_arrays` already is not copied.
        """
        buffer, _ = self._buffer()
        buffer.pos, buffer.full = state["position"]
        for name, array in self.buffer_arrays().items():
            array[: len(state["buffer"][name])] = state["buffer"][name]  # NumPy copies nothing onto itself
        for name in COUNTERS:
            setattr(self, name, state["counters"][name])
        for name, vector in self.vectors.items():
            vector.data.copy_(state["vectors"][name])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        put_statistics(self._statistics(), state["statistics"])
        generators = state["generators"]
        random.setstate(generators["python"])
        np.random.set_state(generators["numpy"])
        torch.set_rng_state(torch.from_numpy(generators["torch"]))
        self.action_space.np_random.bit_generator.state = generators["action_space"]

    def buffer_arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the buffer by name, first axis = slot; the first `size()` slots hold something."""
        buffer, names = self._buffer()
        return {name: getattr(buffer, name) for name in names}

    def _buffer(self) -> tuple[Any, tuple[str, ...]]:
        raise NotImplementedError

    def _statistics(self) -> list[tuple[Any, tuple[str, ...]]]:
        return running_statistics(self.stream)


def running_statistics(env: gymnasium.Env[Any, Any]) -> list[tuple[Any, tuple[str, ...]]]:
    """List what the wrappers of an environment remember: the objects that hold it and the names of their attributes."""
    found: list[tuple[Any, tuple[str, ...]]] = []
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, NormalizeObservation):
            found.append((env.obs_rms, ("mean", "var", "count")))
        elif isinstance(env, NormalizeReward):
            found += [(env.return_rms, ("mean", "var", "count")), (env, ("discounted_reward",))]
        env = env.env
    return found


def put_statistics(parts: list[tuple[Any, tuple[str, ...]]], statistics: list[dict[str, Any]]) -> None:
    """Give what wrappers remember (`running_statistics`) the values that it had."""
    for (part, names), values in zip(parts, statistics, strict=True):
        for name in names:
            setattr(part, name, values[name])


COUNTERS = ("num_timesteps", "_n_updates", "_current_progress_remaining", "_last_obs", "_last_episode_starts")


class StepwisePPO(Stepwise, sb3.PPO):
    """PPO with CleanRL's update."""

    def begin(self, learner: PPO, steps: int) -> None:
        """Prepare for a run of so many steps and see the first observation."""
        self._bootstrap = learner.bootstrap_on_truncation
        self._total_timesteps = steps // self.n_steps * self.n_steps
        self.vectors = {"policy": as_vector(self.policy.parameters())}
        self.policy.optimizer = ppo_optimizer(learner, self.vectors["policy"])
        self.optimizers = {"policy": self.policy.optimizer}
        self._policy_layers = layers(self.policy.mlp_extractor.policy_net, self.policy.action_net)
        self._value_layers = layers(self.policy.mlp_extractor.value_net, self.policy.value_net)
        self._start_stream()

    def step(self) -> None:
        """Take one environment step, and learn where it fills a rollout. May raise `Diverged`."""
        obs = self._last_obs
        with torch.no_grad():
            mean, value = self._forward(torch.tensor(obs))
            action = mean + self.policy.log_std.exp() * torch.randn_like(mean)
            log_prob = self._log_prob(mean, action)
        next_obs, reward, terminated, truncated = self._take(action.numpy())
        done = np.array([terminated or truncated])
        if self._bootstrap and truncated and not terminated:
            reward += self.gamma * self._value(next_obs).item()
        self.rollout_buffer.add(obs, action.numpy(), np.array([reward]), self._last_episode_starts, value, log_prob)
        self._last_episode_starts = done
        if self.rollout_buffer.full:
            self.rollout_buffer.compute_returns_and_advantage(self._value(self._last_obs), done)
            # CleanRL takes the step size from the start of the rollout.
            self._update_current_progress_remaining(self.num_timesteps - self.n_steps, self._total_timesteps)
            self.train()
            self.rollout_buffer.pos, self.rollout_buffer.full = 0, False

    def train(self) -> None:
        """Learn from the rollout."""
        buffer = self.rollout_buffer
        columns = [
            torch.tensor(column[:, 0])
            for column in (
                buffer.observations,
                buffer.actions,
                buffer.values,
                buffer.log_probs,
                buffer.advantages,
                buffer.returns,
            )
        ]
        for group in self.policy.optimizer.param_groups:
            group["lr"] = self.lr_schedule(self._current_progress_remaining)
        for _ in range(self.n_epochs):
            order = torch.from_numpy(np.random.permutation(self.n_steps))
            for rows in order.split(self.batch_size):
                batch = columns if self.n_steps == 1 else [column[rows] for column in columns]
                descend(self._loss(*batch), self.policy.optimizer, self.vectors["policy"], self.max_grad_norm)
            self._n_updates += 1

    def _loss(self, obs: Tensor, action: Tensor, old_value: Tensor, old_log_prob: Tensor, adv: Tensor, ret: Tensor) -> Tensor:
        clip = cast(Any, self.clip_range)(self._current_progress_remaining)
        mean, value = self._forward(obs)
        if self.normalize_advantage and len(adv) > 1:  # one sample has no standard deviation
            adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        ratio = (self._log_prob(mean, action) - old_log_prob).exp()
        policy_gain = torch.min(adv * ratio, adv * ratio.clamp(1 - clip, 1 + clip)).mean()
        error = (value - ret) ** 2
        if self.clip_range_vf is not None:
            error = torch.max(error, (old_value + (value - old_value).clamp(-clip, clip) - ret) ** 2)
        loss = self.vf_coef * 0.5 * error.mean() - policy_gain
        if self.ent_coef:
            loss = loss - self.ent_coef * (0.5 + HALF_LOG_2PI + self.policy.log_std).sum()
        return loss

    def _forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean of the action, [n, action_size], and the value, [n]."""
        value = forward(self._value_layers, obs, torch.tanh).squeeze(1)
        return forward(self._policy_layers, obs, torch.tanh), value

    def _value(self, obs: np.ndarray) -> Tensor:
        with torch.no_grad():
            return forward(self._value_layers, torch.tensor(obs), torch.tanh).squeeze(1)

    def _log_prob(self, mean: Tensor, action: Tensor) -> Tensor:
        log_std = self.policy.log_std
        return (-0.5 * ((action - mean) * (-log_std).exp()) ** 2 - log_std - HALF_LOG_2PI).sum(1)

    def _buffer(self) -> tuple[Any, tuple[str, ...]]:
        return self.rollout_buffer, ("observations", "actions", "rewards", "episode_starts", "values", "log_probs")


class OffPolicy(Stepwise):
    """What SAC and TD3 share; replayed actions and the critics' inputs are in the units of the environment."""

    learning_starts: int
    batch_size: int
    gamma: float
    _learner: Any
    replay_buffer: Any
    critic: Any
    critic_target: Any

    def _lay_out(self, **networks: nn.Module) -> None:
        actions = cast(gymnasium.spaces.Box, self.action_space)
        self._low, self._high = (torch.tensor(bound, dtype=torch.float32) for bound in (actions.low, actions.high))
        self._scale, self._bias = (self._high - self._low) / 2, (self._high + self._low) / 2
        self.vectors = {name: as_vector(network.parameters()) for name, network in networks.items()}
        self._critic_layers = [layers(network) for network in self.critic.q_networks]
        self._target_layers = [layers(network) for network in self.critic_target.q_networks]

    def step(self) -> None:
        """Take one environment step and learn from one batch. May raise `Diverged`."""
        step, obs = self.num_timesteps, self._last_obs
        if step < self.learning_starts:
            action = self.action_space.sample()[None]
        else:
            with torch.no_grad():
                action = self._explore(torch.tensor(obs)).numpy()
        next_obs, reward, terminated, truncated = self._take(action)
        done = terminated or truncated
        limit = [{"TimeLimit.truncated": truncated and not terminated}]
        self.replay_buffer.add(obs, next_obs, action, reward, done, limit)
        if step > self.learning_starts:
            self.train(gradient_steps=1, batch_size=self.batch_size)

    def train(self, gradient_steps: int, batch_size: int = 64) -> None:
        """Make so many updates, each from transitions drawn from the buffer."""
        for _ in range(gradient_steps):
            self._update(self.replay_buffer.sample(batch_size), self.num_timesteps - 1)
            self._n_updates += 1

    def _explore(self, obs: Tensor) -> Tensor:
        """Return the action to take, [n, action_size]."""
        raise NotImplementedError

    def _update(self, batch: Any, step: int) -> None:
        """Learn from a batch after a step, counted from 0."""
        raise NotImplementedError

    def _values(self, critics: list[Layers], obs: Tensor, action: Tensor) -> list[Tensor]:
        pair = torch.cat([obs, action], 1)
        return [forward(critic, pair, torch.relu).squeeze(1) for critic in critics]

    def _least(self, critics: list[Layers], obs: Tensor, action: Tensor) -> Tensor:
        q1, q2 = self._values(critics, obs, action)
        return torch.min(q1, q2)

    def _descend_critics(self, batch: Any, next_value: Tensor) -> None:
        """Move both critics towards the reward and the discounted value, [n], of the next observation."""
        target = batch.rewards[:, 0] + (1 - batch.dones[:, 0]) * self.gamma * next_value
        q1, q2 = self._values(self._critic_layers, batch.observations, batch.actions)
        critic_loss = ((q1 - target) ** 2).mean() + ((q2 - target) ** 2).mean()
        self._descend("critic", critic_loss)

    def _descend(self, name: str, loss: Tensor, inputs: list[nn.Parameter] | None = None) -> None:
        """Make one gradient step of the actor or the critics, and tell how long the gradient was where that is asked for."""
        descend(loss, self.optimizers[name], self.vectors[name], inputs=inputs)
        if self._learner.diagnostics:
            self.told[f"{name}_gradient_norm"] = float(torch.linalg.vector_norm(cast(Tensor, self.vectors[name].grad)))

    def _buffer(self) -> tuple[Any, tuple[str, ...]]:
        return self.replay_buffer, ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class StepwiseSAC(OffPolicy, sb3.SAC):
    """SAC with CleanRL's update."""

    def begin(self, learner: SAC) -> None:
        """Lay out the parameters and see the first observation."""
        self._learner = learner
        self._lay_out(actor=self.actor, critic=self.critic, target=self.critic_target)
        self._actor_parameters = list(self.actor.parameters())
        *self._latent_layers, self._mean_layer, self._std_layer = layers(
            self.actor.latent_pi, self.actor.mu, cast(nn.Module, self.actor.log_std)
        )
        self.actor.optimizer = adam(self.vectors["actor"], learner.policy_learning_rate)
        self.critic.optimizer = adam(self.vectors["critic"], learner.q_learning_rate)
        self.optimizers = {"actor": self.actor.optimizer, "critic": self.critic.optimizer}
        if self.log_ent_coef is not None:
            self.vectors["entropy"] = as_vector([cast(nn.Parameter, self.log_ent_coef)])
            self.ent_coef_optimizer = adam(self.vectors["entropy"], learner.q_learning_rate)
            self.optimizers["entropy"] = self.ent_coef_optimizer
        self._start_stream()

    def _explore(self, obs: Tensor) -> Tensor:
        return self._sample(obs)[0]

    def _update(self, batch: Any, step: int) -> None:
        obs = batch.observations
        alpha = self._entropy_weight()
        with torch.no_grad():
            next_action, next_log_prob = self._sample(batch.next_observations)
            next_value = self._least(self._target_layers, batch.next_observations, next_action) - alpha * next_log_prob
        self._descend_critics(batch, next_value)

        if step % self._learner.policy_frequency == 0:
            for _ in range(self._learner.policy_frequency):  # as many updates as steps were left out
                action, log_prob = self._sample(obs)
                actor_loss = (self._entropy_weight() * log_prob - self._least(self._critic_layers, obs, action)).mean()
                self._descend("actor", actor_loss, self._actor_parameters)
                if self.log_ent_coef is not None:
                    self._update_entropy_weight(obs)

        if step % self.target_update_interval == 0:
            self.vectors["target"].data.lerp_(self.vectors["critic"].data, self.tau)

    def _update_entropy_weight(self, obs: Tensor) -> None:
        with torch.no_grad():
            excess = self._sample(obs)[1].mean() + cast(float, self.target_entropy)
            # The loss is -exp(log alpha) * excess, and so is its derivative by log alpha.
            vector = self.vectors["entropy"]
            vector.grad = -vector.exp() * excess
        self.optimizers["entropy"].step()

    def _entropy_weight(self) -> float:
        return self._learner.alpha if self.log_ent_coef is None else self.vectors["entropy"].exp().item()

    def _sample(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """Draw an action, [n, action_size], and return it with the log of its density, [n]."""
        latent = torch.relu(forward(self._latent_layers, obs, torch.relu))
        mean = F.linear(latent, *self._mean_layer)
        low, high = self._learner.log_std_min, self._learner.log_std_max
        log_std = low + 0.5 * (high - low) * (torch.tanh(F.linear(latent, *self._std_layer)) + 1)
        noise = torch.randn_like(mean)
        squashed = torch.tanh(mean + log_std.exp() * noise)
        stretch = torch.log(self._scale * (1 - squashed**2) + 1e-6)
        log_prob = (-0.5 * noise**2 - log_std - HALF_LOG_2PI - stretch).sum(1)
        return squashed * self._scale + self._bias, log_prob


def layers(*modules: nn.Module) -> Layers:
    """List weight and bias of all linear layers."""
    return [(part.weight, part.bias) for module in modules for part in module.modules() if isinstance(part, nn.Linear)]


def forward(layers: Layers, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply layers with an activation between them; for one sample the modules' own call costs as much as the arithmetic."""
    for weight, bias in layers[:-1]:
        x = activation(F.linear(x, weight, bias))
    return F.linear(x, *layers[-1])


def as_vector(parameters: Iterable[nn.Parameter]) -> nn.Parameter:
    """Lay parameters and their gradients out in one vector, of which they become views.

    Clipping, Adam and averaging are then one operation each instead of one per layer, several times faster for small networks.
    """
    parameters = list(parameters)
    vector = nn.Parameter(torch.cat([parameter.detach().flatten() for parameter in parameters]))
    gradient = torch.zeros_like(vector)
    vector.grad = gradient
    for parameter, part, slope in zip(parameters, _views(vector.data, parameters), _views(gradient, parameters), strict=True):
        parameter.data, parameter.grad = part, slope
    return vector


def _views(vector: Tensor, like: list[nn.Parameter]) -> list[Tensor]:
    parts = vector.split([parameter.numel() for parameter in like])
    return [part.view_as(parameter) for part, parameter in zip(parts, like, strict=True)]


def adam(vector: nn.Parameter, learning_rate: float, epsilon: float = 1e-8) -> torch.optim.Adam:
    """Return Adam over a vector of parameters."""
    return torch.optim.Adam([vector], lr=learning_rate, eps=epsilon, fused=True)


def ppo_optimizer(learner: PPO, vector: nn.Parameter) -> torch.optim.Optimizer:
    """Return what moves the parameters of PPO: Adam, or AdaUPGD, whose noise comes from torch's own generator."""
    if not isinstance(learner, AdaUPGDPPO):
        return adam(vector, learner.learning_rate, learner.adam_epsilon)
    return AdaUPGD(
        [vector],
        lr=learner.learning_rate,
        weight_decay=learner.weight_decay,
        beta_utility=learner.beta_utility,
        sigma=learner.sigma,
        betas=(learner.beta1, learner.beta2),
        eps=learner.adam_epsilon,
        step_scale=learner.step_scale,
        eta_bias_corrected=learner.eta_bias_corrected,
    )


def descend(
    loss: Tensor,
    optimizer: torch.optim.Optimizer,
    vector: nn.Parameter,
    max_norm: float | None = None,
    inputs: list[nn.Parameter] | None = None,
) -> None:
    """Make one gradient step; `inputs` are the parameters to differentiate by where the loss depends on others too."""
    if not math.isfinite(loss.item()):
        raise Diverged("loss")
    gradient = vector.grad
    assert gradient is not None
    gradient.zero_()
    loss.backward(inputs=inputs)
    if max_norm is not None:
        gradient *= (max_norm / (torch.linalg.vector_norm(gradient) + 1e-6)).clamp(max=1.0)
    optimizer.step()
