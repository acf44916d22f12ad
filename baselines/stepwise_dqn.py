"""DQN on stable-baselines3 that goes one environment step at a time, with CleanRL's update rule.

From stable-baselines3 come the networks with their initial weights, the replay buffer and the seeding. stable-baselines3's own
update differs from CleanRL's: Huber loss, gradients no longer than 10, and only random actions before learning starts.
Hyperparameters, choices and deviations: `baselines.dqn_settings`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

import gymnasium
import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from torch import Tensor, nn
from torch.nn import functional as F

from algorithms.agent import Spaces
from baselines.frames import FrameBuffer
from baselines.stepwise import Stepwise, adam, as_vector, descend

if TYPE_CHECKING:
    from baselines.dqn_settings import DQN

ATARI_FRAME = (84, 84)
MINATAR_GRID = (10, 10)

Operations = list[Callable[[Tensor], Tensor]]


class MinAtarFeatures(BaseFeaturesExtractor):
    """The convolution of Stream-X's MinAtar network, shape [n, channels, 10, 10] -> [n, 1024]; weights as torch draws them."""

    def __init__(self, observation_space: gymnasium.spaces.Box):
        super().__init__(observation_space, 16 * 8 * 8)
        channels = observation_space.shape[0]
        self.convolution = nn.Sequential(nn.Conv2d(channels, 16, kernel_size=3), nn.LeakyReLU(), nn.Flatten())

    def forward(self, observations: Tensor) -> Tensor:
        """Return the features, [n, 1024]."""
        features: Tensor = self.convolution(observations)
        return features


def network(spaces: Spaces, hidden: tuple[int, ...]) -> tuple[str, dict[str, Any]]:
    """Return which policy of stable-baselines3 fits an environment, and its arguments.

    Vectors: CleanRL's perceptron of the given widths with ReLU. MinAtar: convolution and 128 units with LeakyReLU (Stream-X,
    appendix F.2, without LayerNorm). Stacks of Atari frames: CleanRL's, that is Nature DQN's. Raise ValueError for others.
    """
    shape = spaces.obs_shape
    if len(shape) == 1 and spaces.frames == 1:
        return "MlpPolicy", {"net_arch": list(hidden)}
    if shape[1:] == MINATAR_GRID and spaces.frames == 1:
        return "MlpPolicy", {
            "features_extractor_class": MinAtarFeatures,
            "net_arch": [128],
            "activation_fn": nn.LeakyReLU,
        }
    if shape == ATARI_FRAME and spaces.frames > 1 and spaces.obs_dtype == "uint8":
        return "CnnPolicy", {}
    raise ValueError(
        "DQN has networks for vectors, MinAtar's channels of 10 x 10 and stacks of 84 x 84 bytes; "
        f"this environment shows {spaces.frames} x {shape}."
    )


class StepwiseDQN(Stepwise, sb3.DQN):
    """DQN with CleanRL's update."""

    def begin(self, learner: DQN, spaces: Spaces, steps: int) -> None:
        """Lay out the parameters for a run of so many steps and see the first observation."""
        self._learner = learner
        self._frames = spaces.frames
        self._exploration_steps = learner.exploration_fraction * (learner.schedule_steps or steps)
        self.vectors = {"online": as_vector(self.q_net.parameters()), "target": as_vector(self.q_net_target.parameters())}
        self.policy.optimizer = adam(self.vectors["online"], learner.learning_rate)
        self.optimizers = {"online": self.policy.optimizer}
        self._online, self._target = operations(self.q_net), operations(self.q_net_target)
        self._start_stream()

    def step(self) -> None:
        """Take one environment step and learn where it is time to. May raise `Diverged`."""
        step, obs, first = self.num_timesteps, self._last_obs, self._last_episode_starts[0]
        action = self.action_space.sample()[None] if random.random() < self.epsilon(step) else self._greedy(obs)
        next_obs, reward, terminated, _ = self._take(action)
        if self._learner.clip_reward:
            reward = np.sign(reward)
        cast(Any, self.replay_buffer).add(obs, next_obs, action, reward, terminated, [{"first": first}])
        if step > self.learning_starts:
            if step % self._learner.train_frequency == 0:
                self.train(gradient_steps=1, batch_size=self.batch_size)
            if step % self.target_update_interval == 0:
                self.vectors["target"].data.lerp_(self.vectors["online"].data, self.tau)

    def _chosen(self) -> np.ndarray:
        return self._greedy(self._last_obs)

    def _greedy(self, obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            chosen: np.ndarray = evaluate(self._online, torch.from_numpy(obs)).argmax(1).numpy()
        return chosen

    def epsilon(self, step: int) -> float:
        """Return the probability of a random action at a step, counted from 0."""
        start, end = self._learner.epsilon_start, self._learner.epsilon_end
        return max(start + (end - start) / self._exploration_steps * step, end)

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Learn from transitions drawn from the buffer."""
        for _ in range(gradient_steps):
            self._update(cast(Any, self.replay_buffer).sample(batch_size))
            self._n_updates += 1

    def _update(self, batch: Any) -> None:
        with torch.no_grad():
            next_value = evaluate(self._target, batch.next_observations).amax(1)
            target = batch.rewards[:, 0] + (1 - batch.dones[:, 0]) * self.gamma * next_value
        value = evaluate(self._online, batch.observations).gather(1, batch.actions)[:, 0]
        descend(F.mse_loss(value, target), self.policy.optimizer, self.vectors["online"])

    def _see(self, obs: np.ndarray, first: bool) -> np.ndarray:
        # Stack the latest frames; at the beginning of an episode its first frame stands for those before it.
        self._last_episode_starts = np.array([first])
        if self._frames == 1:
            return obs[None]
        frame = obs[None, None]
        return np.repeat(frame, self._frames, 1) if first else np.concatenate([self._last_obs[:, 1:], frame], 1)

    def get_state(self) -> dict[str, Any]:
        """Return all that the rest of the run depends on; see `Stepwise.get_state`."""
        state = super().get_state()
        if isinstance(self.replay_buffer, FrameBuffer):
            state["last_frames"] = self.replay_buffer.last_frames
        return state

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called, in a model built from the same arguments."""
        super().set_state(state)
        if isinstance(self.replay_buffer, FrameBuffer):
            self.replay_buffer.last_frames = dict(state["last_frames"])

    def _buffer(self) -> tuple[Any, tuple[str, ...]]:
        names = ("depths",) if isinstance(self.replay_buffer, FrameBuffer) else ("next_observations",)
        return self.replay_buffer, ("observations", "actions", "rewards", "dones", *names)


def operations(network: nn.Module) -> Operations:
    """List what a network of layers one after the other does; a module's own call costs more than a small layer."""
    return [module.forward for module in network.modules() if not list(module.children())]


def evaluate(operations: Operations, obs: Tensor) -> Tensor:
    """Return the action values, [n, actions], of observations, [n, *obs_shape]; bytes are scaled to [0, 1]."""
    x = obs / 255 if obs.dtype == torch.uint8 else obs
    for operation in operations:
        x = operation(x)
    return x
