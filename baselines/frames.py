"""A replay buffer of stacked frames that keeps every frame once."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import torch
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.type_aliases import ReplayBufferSamples


class FrameBuffer(ReplayBuffer):
    """stable-baselines3's replay buffer of one stream whose observations are stacks of the latest frames, oldest first.

    Slot i holds the newest frame of the i-th observation. The older frames of its stack are in the slots before it, back to
    the first one of the episode, which stands for those before it. The newest frame of the next observation is in the slot
    after it, or in `last_frames` where no transition goes on from there.

    Attributes:
        observations: frames, [slots, 1, *frame_shape], in the type of the environment.
        depths: number of earlier frames of the same episode, [slots].
        last_frames: by slot, the newest frame of a next observation that has no slot of its own.
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: gymnasium.spaces.Space[Any],
        action_space: gymnasium.spaces.Space[Any],
        device: torch.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = False,
    ):
        assert isinstance(observation_space, gymnasium.spaces.Box)
        assert n_envs == 1
        assert not handle_timeout_termination
        self.transitions = buffer_size
        self.frames, *shape = observation_space.shape
        low, high = float(observation_space.low.min()), float(observation_space.high.max())
        frame = gymnasium.spaces.Box(low, high, tuple(shape), observation_space.dtype.type)
        # The oldest transition needs earlier frames, and those alone.
        slots = buffer_size + self.frames - 1
        super().__init__(slots, frame, action_space, device, 1, optimize_memory_usage=True, handle_timeout_termination=False)
        self.depths = np.zeros(slots, np.int64)
        self.last_frames: dict[int, np.ndarray] = {}

    def add(
        self,
        obs: np.ndarray,
        next_obs: np.ndarray,
        action: np.ndarray,
        reward: np.ndarray,
        done: np.ndarray,
        infos: list[dict[str, Any]],
    ) -> None:
        """Keep a transition.

        Args:
            obs: stack of frames, [1, frames, *frame_shape].
            next_obs: the next one: its older frames are those of `obs`.
            action: [1].
            reward: [1].
            done: [1], terminal: nothing is bootstrapped from `next_obs`.
            infos: one dict, in which `first` says that `obs` is the first observation of an episode.
        """
        slot, previous = self.pos, (self.pos - 1) % self.buffer_size
        if infos[0]["first"]:
            self.depths[slot] = 0
        else:
            self.depths[slot] = self.depths[previous] + 1
            self.last_frames.pop(previous, None)
        self.observations[slot] = obs[:, -1]
        self.last_frames[slot] = next_obs[0, -1].copy()
        self.actions[slot], self.rewards[slot], self.dones[slot] = action.reshape(1, -1), reward, done
        self.pos = (slot + 1) % self.buffer_size
        self.full = self.full or self.pos == 0

    def sample(self, batch_size: int, env: Any = None) -> ReplayBufferSamples:
        """Draw transitions from those kept, with replacement and all alike."""
        back = np.random.randint(1, min(self.size(), self.transitions) + 1, size=batch_size)
        return self._get_samples((self.pos - back) % self.buffer_size)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> ReplayBufferSamples:
        back = np.minimum(np.arange(self.frames - 1, -1, -1), self.depths[batch_inds, None])
        obs = self.observations[(batch_inds[:, None] - back) % self.buffer_size, 0]
        newest = self.observations[(batch_inds + 1) % self.buffer_size, 0]
        for row, slot in enumerate(batch_inds.tolist()):
            if slot in self.last_frames:
                newest[row] = self.last_frames[slot]
        next_obs = np.concatenate([obs[:, 1:], newest[:, None]], 1)
        data = (obs, self.actions[batch_inds, 0], next_obs, self.dones[batch_inds], self.rewards[batch_inds])
        return ReplayBufferSamples(*(torch.from_numpy(column) for column in data))
