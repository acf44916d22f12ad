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

import numpy as np

from algorithms.agent import LabelledSpaces
from experiments.datasets import images
from experiments.datasets.images import Labelled, Loaded
from experiments.errors import UserError
from experiments.stream_options import PermutedOptions

# What a generator is for.
_PERMUTATION, _ORDER = 0, 1


class PermutedStream:
    """A data set in tasks."""

    def __init__(self, env_id: str, options: PermutedOptions, seed: int):
        self._data = load(env_id, options).data
        self._options, self._seed = options, seed
        self._kept: tuple[int, np.ndarray, np.ndarray] | None = None
        self._held_out = _scaled_part(test_part(env_id, options), options.held_out) if options.held_out else None
        self.held_out_delay = None if self._held_out is None else int(options.held_out_at == "after_update")
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
            x[part], y[part] = self._permuted(scaled(self._data.x[chosen]), self._data.y[chosen], permutation)
            place += len(chosen)
        return x, y

    def held_out(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the samples that a network is judged on at the end of a task, counted from 0, permuted as the task's own."""
        if self._held_out is None:
            raise ValueError("no samples are held out")
        return self._permuted(*self._held_out, self._permutation(task))

    def _permuted(self, x: np.ndarray, y: np.ndarray, permutation: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self._options.permute == "inputs":
            x = x.reshape(len(x), -1)[:, permutation].reshape(x.shape)
        elif self._options.permute == "labels":
            y = permutation[y]
        return x, y

    def _pass_steps(self) -> int:
        return self._options.task_steps or len(self._data.y)

    def _pass(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return which rows a task takes, and its permutation. Where there is one task without end: those of one epoch."""
        if self._kept is None or self._kept[0] != number:
            size, steps = len(self._data.y), self._pass_steps()
            order = np.random.default_rng([self._seed, number, _ORDER])
            rows = np.concatenate([order.permutation(size) for _ in range(-(-steps // size))])[:steps]
            self._kept = number, rows, self._permutation(number)
        return self._kept[1], self._kept[2]

    def _permutation(self, number: int) -> np.ndarray:
        places = int(np.prod(self._data.x.shape[1:])) if self._options.permute == "inputs" else self._data.classes
        return np.random.default_rng([self._seed, number, _PERMUTATION]).permutation(places)


def load(env_id: str, options: PermutedOptions) -> Loaded:
    """Return the data set behind a stream, not writable; raise `UserError` where it cannot be had."""
    readers = {
        "permuted_mnist": images.mnist,
        "permuted_emnist": images.emnist,
        "permuted_cifar10": images.cifar10,
        "permuted_mini_imagenet": images.mini_imagenet,
    }
    if env_id in readers:
        return readers[env_id](options.data_sha256)
    if options.data_sha256:
        raise UserError(f"{env_id} is read from no file; leave data_sha256 out.")
    return Loaded({"permuted_digits": digits, "permuted_generated": generated_images}[env_id](), {})


def spaces(env_id: str, options: PermutedOptions) -> LabelledSpaces:
    """Return the sizes of a stream; a data set in files is not read for it."""
    if env_id in images.SIZES:
        shape, classes = images.SIZES[env_id]
    else:
        data = load(env_id, options).data
        shape, classes = data.x.shape[1:], data.classes
    return LabelledSpaces(shape, classes=classes, task_steps=options.task_steps)


def test_part(env_id: str, options: PermutedOptions) -> Labelled:
    """Return the samples beside the stream's own on which a network can be judged; raise `UserError` where there are none."""
    if env_id == "permuted_emnist":
        return images.emnist_test(options.data_sha256).data
    if env_id == "permuted_generated":
        return generated_images(test=True)
    raise UserError(f"{env_id} has no test part here; leave held_out at 0.")


def _scaled_part(data: Labelled, count: int) -> tuple[np.ndarray, np.ndarray]:
    if count > len(data.y):
        raise UserError(f"held_out must be at most {len(data.y):,} here; {count:,} is more.")
    return scaled(data.x[:count]), data.y[:count].copy()


def files(env_id: str, options: PermutedOptions) -> dict[str, str]:
    """Return the files that a stream is read from, with the SHA-256 of each."""
    return load(env_id, options).sha256


def scaled(x: np.ndarray) -> np.ndarray:
    """Return pixels from 0..255 in [-1, 1], as the paper scales them; other numbers as they are."""
    return x if x.dtype != np.uint8 else x.astype(np.float32) / np.float32(127.5) - 1


@lru_cache(maxsize=1)
def digits() -> Labelled:
    """Return scikit-learn's digits, scaled to [-1, 1] as the paper scales pixels: [1797, 64], 10 classes."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return _frozen(Labelled((bunch.data / 8.0 - 1.0).astype(np.float32), bunch.target.astype(np.int64), 10))


# Of the generated images: how many, of how many pixels a side, and how many waves make one.
GENERATED, SIDE, WAVES, KEY = 10_000, 28, 6, 20240404


@lru_cache(maxsize=2)
def generated_images(test: bool = False) -> Labelled:
    """Return images made up to be of MNIST's form, uint8 [10000, 784] in 10 classes: smooth patterns, shifted and noisy.

    They can be learnt, and say nothing about real ones: they are for measurements of speed. Those of the test part are others.
    """
    g = np.random.default_rng(KEY)
    waves, phases = g.normal(size=(10, WAVES, 2)) * 0.25, g.uniform(0, 2 * np.pi, (10, WAVES))
    if test:
        g = np.random.default_rng([KEY, 1])
    y = g.integers(0, 10, GENERATED)
    at = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), -1).reshape(-1, 2)
    x = np.empty((GENERATED, SIDE**2), np.uint8)
    for i, label in enumerate(y):
        places = at + g.integers(-2, 3, 2)
        pattern = np.cos(places @ waves[label].T + phases[label]).sum(1) / WAVES
        x[i] = np.clip(128 + 120 * pattern + 25 * g.standard_normal(SIDE**2), 0, 255)
    return _frozen(Labelled(x, y.astype(np.int64), 10))


def _frozen(data: Labelled) -> Labelled:
    data.x.setflags(write=False)
    data.y.setflags(write=False)
    return data
