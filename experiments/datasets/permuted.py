"""Samples of a data set in tasks, each with a permutation of its own, and without hint at where one ends.

Source: UPGD (arXiv:2404.00781), section 4, and the official code. A task takes its samples without replacement, in an order of
its own; one that is longer than the data set goes through it again, in another order. Inputs are permuted anew, from the
original, in every task, the first one too; so are labels. (The code permutes labels on top of the last permutation, which is
the same in distribution.) Everything is a function of the stream's seed: learners of equal seed share their stream, which those
of the code do not where inputs are permuted.

`permuted_digits` is a stand-in: the paper has no such stream. Its data are the 1,797 images of digits, 8 x 8 pixels, that come
with scikit-learn (a part of UCI's Optical Recognition of Handwritten Digits), for machines without the files of the paper.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from algorithms.agent import LabelledSpaces
from experiments.datasets.stream_options import PermutedOptions

# What a generator is for.
_PERMUTATION, _ORDER = 0, 1


class Labelled(NamedTuple):
    """A data set: x, float32 [samples, *x_shape] in [-1, 1]; y, int64 [samples]; and the number of classes."""

    x: np.ndarray
    y: np.ndarray
    classes: int


class PermutedStream:
    """A data set in tasks."""

    def __init__(self, env_id: str, options: PermutedOptions, seed: int):
        self._data = data_of(env_id)
        self._options, self._seed = options, seed
        self._kept: tuple[int, np.ndarray, np.ndarray] | None = None
        self.spaces = LabelledSpaces(self._data.x.shape[1:], classes=self._data.classes, task_steps=options.task_steps)

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x, float32 [count, *x_shape], and y, int64 [count], of samples counted from 0."""
        x = np.empty((count, *self._data.x.shape[1:]), np.float32)
        y = np.empty(count, np.int64)
        place = 0
        while place < count:
            number, within = divmod(first + place, self._pass_steps())
            rows, permutation = self._pass(number)
            chosen = rows[within : within + count - place]
            part = slice(place, place + len(chosen))
            x[part], y[part] = self._data.x[chosen], self._data.y[chosen]
            if self._options.permute == "inputs":
                x[part] = x[part].reshape(len(chosen), -1)[:, permutation].reshape(x[part].shape)
            elif self._options.permute == "labels":
                y[part] = permutation[y[part]]
            place += len(chosen)
        return x, y

    def _pass_steps(self) -> int:
        return self._options.task_steps or len(self._data.y)

    def _pass(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows a task takes, and its permutation. Where there is one task without end: those of one epoch."""
        if self._kept is None or self._kept[0] != number:
            size, steps = len(self._data.y), self._pass_steps()
            order = np.random.default_rng([self._seed, number, _ORDER])
            rows = np.concatenate([order.permutation(size) for _ in range(-(-steps // size))])[:steps]
            places = int(np.prod(self._data.x.shape[1:])) if self._options.permute == "inputs" else self._data.classes
            self._kept = number, rows, np.random.default_rng([self._seed, number, _PERMUTATION]).permutation(places)
        return self._kept[1], self._kept[2]


def data_of(env_id: str) -> Labelled:
    """Return the data set behind a stream, not writable."""
    return {"permuted_digits": digits}[env_id]()


@lru_cache(maxsize=1)
def digits() -> Labelled:
    """Return scikit-learn's digits, scaled to [-1, 1] as the paper scales pixels: [1797, 64], 10 classes."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return frozen(Labelled((bunch.data / 8.0 - 1.0).astype(np.float32), bunch.target.astype(np.int64), 10))


def frozen(data: Labelled) -> Labelled:
    """Return a data set that nobody can write into."""
    data.x.setflags(write=False)
    data.y.setflags(write=False)
    return data
