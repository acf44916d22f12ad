"""Images of any environment of Gymnasium for learners with convolutions, by its id with a prefix: `pixels/CarRacing-v3`.

What the environment shows must be an image of bytes, [height, width], [height, width, 1] or [height, width, 3]. A large one is
treated as Atari's: made grey and 84 x 84, with the latest four stacked by the learner. A small one, such as a grid of symbols,
stays as it is, with its channels first. Learners standardise every pixel, as in Atari.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces as gym_spaces
from gymnasium.wrappers import GrayscaleObservation, ResizeObservation

from algorithms.agent import Spaces
from experiments.environment_options import PixelOptions
from experiments.environments.gymnasium_simulator import GymnasiumSimulator
from experiments.environments.vector import made, steps_limit
from experiments.errors import UserError
from experiments.families import PIXELS

STACKED_FRAMES = 4
SMALLEST_SIDE = 3


class Pixels(GymnasiumSimulator):
    """One environment of Gymnasium that shows images."""

    def __init__(self, env_id: str, options: PixelOptions):
        inner = made(env_id.removeprefix(PIXELS), steps_limit(options))
        image = inner.observation_space.shape or ()
        if not _is_image(inner.observation_space):
            name = env_id.removeprefix(PIXELS)
            raise UserError(
                f"{name} shows no image of bytes but {inner.observation_space}; leave out pixels/ if it is a vector."
            )
        if min(image[:2]) < SMALLEST_SIDE:
            raise UserError(f"{env_id} shows images of {image[0]} x {image[1]}; at least 3 x 3 pixels are needed.")
        channels = image[2] if len(image) == 3 else 1
        large = max(image[:2]) > options.size
        if large:
            inner = ResizeObservation(inner if channels == 1 else GrayscaleObservation(inner), (options.size, options.size))
        super().__init__(env_id, options, inner)
        shape = (options.size, options.size) if large else (channels, *image[:2])
        self._shape = shape
        self.observation_space: gym_spaces.Space[Any] = gym_spaces.Box(0, 255, shape, np.uint8)
        low, high = self.action_bounds
        self.spaces = Spaces(
            shape,
            self.actions,
            self.discrete,
            frames=STACKED_FRAMES if large else 1,
            obs_dtype="uint8",
            action_low=low,
            action_high=high,
        )

    def observation(self, seen: np.ndarray, steps: int) -> np.ndarray:
        """Return the image, uint8 [size, size] or [channels, height, width]."""
        image = np.asarray(seen, np.uint8)
        if len(self._shape) == 2:
            return image.reshape(self._shape)
        return np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1))


def _is_image(space: gym_spaces.Space[Any]) -> bool:
    if not isinstance(space, gym_spaces.Box) or space.dtype != np.uint8:
        return False
    return len(space.shape) == 2 or (len(space.shape) == 3 and space.shape[2] in (1, 3))
