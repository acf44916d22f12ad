"""A learner of labelled samples and its stream, in one file: all that a new one needs beside its records.

The stream is linear regression whose weights are drawn anew for every task. The learner is LMS with a little noise on its
weights: enough to notice where noise or samples of another lane come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.func import grad_and_value

from algorithms.agent import Info, LabelledSpaces, NoiseSpec, Sample, State, hyperparameters
from experiments import families, registry

ENV_ID = "toy-regression"
INPUTS = 6


@dataclass(frozen=True)
class ToyOptions:
    """What can be chosen of the stream."""

    task_steps: int = 150
    """Samples of one task."""
    law: Literal["normal", "sign"] = "normal"
    """What inputs are drawn from."""


class ToyStream:
    """y = w(task) x + b(task); a function of the seed and of the number of the sample."""

    def __init__(self, env_id: str, options: ToyOptions, seed: int):
        self.seed, self.options = seed, options
        self.spaces = LabelledSpaces((INPUTS,), y_size=1, task_steps=options.task_steps)

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = np.empty((count, INPUTS), np.float32), np.empty((count, 1), np.float32)
        for i in range(count):
            task, place = divmod(first + i, self.options.task_steps)
            weights = np.random.default_rng([self.seed, task, 0]).normal(size=INPUTS + 1)
            drawn = np.random.default_rng([self.seed, task, 1 + place]).normal(size=INPUTS)
            x[i] = np.sign(drawn) if self.options.law == "sign" else drawn
            y[i] = weights[:-1] @ x[i] + weights[-1]
        return x, y


@dataclass(frozen=True)
class ToyLearner:
    """Least mean squares, its own hyperparameters."""

    step_size: float = 0.05
    """Step size."""
    jitter: float = 0.001
    """Standard deviation of the noise on every weight, at every update."""

    def noise(self, spaces: LabelledSpaces) -> NoiseSpec:
        return NoiseSpec("normal", spaces.x_shape)

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        weights = 0.1 * torch.randn(spaces.x_shape, generator=generator)
        return {"hyper": hyperparameters(self), "weights": weights, "bias": torch.zeros(())}

    def step(self, state: State, sample: Sample) -> tuple[State, Info]:
        alpha, jitter = (state["hyper"][name].to(torch.float32) for name in ("step_size", "jitter"))

        def loss(parameters: tuple[Tensor, Tensor]) -> Tensor:
            return (sample.y[0] - (parameters[0] * sample.x).sum() - parameters[1]) ** 2 / 2

        (by_weights, by_bias), error = grad_and_value(loss)((state["weights"], state["bias"]))
        weights = state["weights"] - alpha * by_weights + jitter * sample.noise
        return {**state, "weights": weights, "bias": state["bias"] - alpha * by_bias}, {"loss": error}


# The two records.
FAMILY = families.Family(ENV_ID.__eq__, ToyOptions, f"{__name__}:ToyStream", labelled=True)
LEARNER = registry.Algorithm("Toy", ToyLearner, registry.SUPERVISED, ("label",))
