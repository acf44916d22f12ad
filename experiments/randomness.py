"""Random numbers that belong to a run: each is a function of the run's seed, what it is for, and a counter.

No generator is carried along, so nothing has to be saved to go on exactly, and no run depends on its neighbours.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from algorithms.agent import NoiseSpec

Purpose = Literal["init", "episode", "noise"]
_PURPOSES: dict[Purpose, int] = {"init": 1, "episode": 2, "noise": 3}

# Steps of noise drawn at once.
BLOCK = 1024


def derive(seed: int, purpose: Purpose, counter: int = 0) -> int:
    """Return a 63-bit seed for one use of a run's randomness."""
    state = np.random.SeedSequence([seed, counter, _PURPOSES[purpose]]).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


class NoiseStream:
    """The noise of one run, addressed by the number of the action it makes: 0 for the first."""

    def __init__(self, seed: int, spec: NoiseSpec):
        self._seed = seed
        self._spec = spec

    def block(self, number: int) -> np.ndarray:
        """Return the noise of actions number * BLOCK to (number + 1) * BLOCK - 1, float32 [BLOCK, *shape]."""
        generator = np.random.Generator(np.random.Philox(key=derive(self._seed, "noise", number)))
        shape = (BLOCK, *self._spec.shape)
        if self._spec.distribution == "normal":
            return generator.standard_normal(shape, dtype=np.float32)
        return generator.random(shape, dtype=np.float32)
