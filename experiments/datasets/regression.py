"""Toy regressions: targets that are the mean, or the sum, of two inputs.

Source: UPGD (arXiv:2404.00781), appendices H and J, and the official code. Every sample is a function of the stream's seed and
of its number. The official streams are not seeded by the run's seed; these are, so learners of equal seed share them.
"""

from __future__ import annotations

import numpy as np

from algorithms.agent import LabelledSpaces
from experiments.randomness import BLOCK
from experiments.stream_options import RegressionOptions, UtilityStreamOptions

# What a generator is for.
_TARGETS, _INPUTS = 0, 1


class Regression:
    """y = +-(x_i + x_j) / 2, x from N(0, 1).

    `toy_changing_inputs`: i and j are neighbours, 2 and 3 in the first task, the next pair in the next one, round and round.
    `toy_changing_sign`: i and j are drawn once, and the sign changes with every task; it is minus in the first.
    """

    def __init__(self, env_id: str, options: RegressionOptions, seed: int):
        self._options, self._seed, self._moving = options, seed, env_id == "toy_changing_inputs"
        self._fixed = _two(seed, options.inputs, options.draw)
        self.spaces = LabelledSpaces((options.inputs,), y_size=1, task_steps=options.task_steps)

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x, float32 [count, inputs], and y, float32 [count, 1], of samples counted from 0."""
        x = _drawn(self._seed, first, count, lambda g: g.standard_normal((BLOCK, self._options.inputs)))
        task = (first + np.arange(count)) // self._options.task_steps
        if self._moving:
            left = 2 * ((task + 1) % (self._options.inputs // 2))
            y = (np.take_along_axis(x, left[:, None], 1) + np.take_along_axis(x, left[:, None] + 1, 1)) / 2
        else:
            sign = np.where(task % 2 == 0, -1.0, 1.0)
            y = (sign * x[:, self._fixed].mean(1))[:, None]
        return x.astype(np.float32), y.astype(np.float32)


class UtilityStream:
    """y = x_i + x_j, with i and j drawn once, x from U[-1/2, 1/2): the stream of Figs. 2 and 12."""

    def __init__(self, env_id: str, options: UtilityStreamOptions, seed: int):
        self._options, self._seed = options, seed
        self._fixed = _two(seed, options.inputs, options.draw)
        self.spaces = LabelledSpaces((options.inputs,), y_size=1)

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x, float32 [count, inputs], and y, float32 [count, 1], of samples counted from 0."""
        x = _drawn(self._seed, first, count, lambda g: g.random((BLOCK, self._options.inputs)) - 0.5)
        return x.astype(np.float32), x[:, self._fixed].sum(1, keepdims=True).astype(np.float32)


def _two(seed: int, inputs: int, draw: str) -> np.ndarray:
    return np.random.default_rng([seed, _TARGETS]).choice(inputs, 2, replace=draw == "with_replacement")


def _drawn(seed: int, first: int, count: int, draw) -> np.ndarray:  # type: ignore[no-untyped-def]
    """Return rows of a sequence that is drawn in blocks, each by a generator of its own."""
    blocks = range(first // BLOCK, (first + count - 1) // BLOCK + 1)
    drawn = np.concatenate([draw(np.random.default_rng([seed, _INPUTS, number])) for number in blocks])
    begun = blocks.start * BLOCK
    found: np.ndarray = drawn[first - begun : first - begun + count]
    return found
