"""Speed of learners of labelled samples: of the stream alone, of an update alone, and of both; and of an ordinary PyTorch loop.

The loop is what a user of PyTorch writes: a module, its loss, `backward`, and an optimizer (`algorithms.upgd.UPGD`, or torch's
own), one sample at a time on the same stream. It is there to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from torch import nn

from algorithms.kernels import Compiler
from algorithms.upgd import UPGD, AdaUPGD
from experiments import families, registry
from experiments.datasets.labelled import LabelledStream
from experiments.errors import UserError
from experiments.measurements import Throughput
from experiments.randomness import BLOCK
from experiments.spec import Run
from experiments.training.context import Unwatched
from experiments.training.supervised import LabelledLearners

Take = Callable[[int], int]


def in_lanes(run: Run, settings: Throughput, compiler: Compiler | bool) -> tuple[Take, Take]:
    """Return what goes on for so many ticks and tells how many samples that were: with the stream, and the update alone."""
    seeds = range(run.seed * settings.lanes, (run.seed + 1) * settings.lanes)
    learners = LabelledLearners.begin([replace(run, seed=seed) for seed in seeds], compiler)
    step = 0

    def together(ticks: int) -> int:
        nonlocal step
        count = _whole_blocks(ticks)
        learners.advance(step, step + count, Unwatched(), lambda _: None)
        step += count
        return count * settings.lanes

    def update(ticks: int) -> int:
        for _ in range(ticks):
            learners.lanes.step()
        return ticks * settings.lanes

    return together, update


def _whole_blocks(ticks: int) -> int:
    """Return at least so many ticks. Training takes samples by the block: one that was broken off would be made for nothing."""
    return -(-ticks // BLOCK) * BLOCK


def stream_alone(run: Run) -> Take:
    """Return what takes samples from the stream and does nothing with them."""
    stream, first = _stream(run), 0

    def take(ticks: int) -> int:
        nonlocal first
        count = _whole_blocks(ticks)
        stream.samples(first, count)
        first += count
        return count

    return take


def loop(run: Run) -> Take:
    """Return an ordinary loop over module, loss and optimizer."""
    stream, settings = _stream(run), dict(run.hyperparameters)
    spaces, number = stream.spaces, 0
    if len(spaces.x_shape) != 1 or not spaces.classes or settings["activation"] != "relu":
        raise UserError(f"the ordinary loop is written for vectors, classes and ReLU, which {run.env_id} is not.")
    hidden: tuple[int, ...] = settings["hidden"]  # type: ignore[assignment]
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise((spaces.x_shape[0], *hidden, spaces.classes)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    network, loss_of = nn.Sequential(*layers[:-1]), nn.CrossEntropyLoss()
    optimizer = _optimizer(run, network)

    def take(ticks: int) -> int:
        nonlocal number
        x, y = (torch.from_numpy(part) for part in stream.samples(number, ticks))
        for row in range(ticks):
            optimizer.zero_grad()
            loss_of(network(x[row : row + 1]), y[row : row + 1]).backward()
            optimizer.step()
        number += ticks
        return ticks

    return take


def _stream(run: Run) -> LabelledStream:
    stream: LabelledStream = families.make(run.env_id, registry.environment_options(run), run.seed)
    return stream


def _optimizer(run: Run, network: nn.Module) -> torch.optim.Optimizer:
    own: dict[str, Any] = dict(run.hyperparameters)
    parameters, rate = network.parameters(), own["step_size"]
    if run.algorithm in ("upgd", "adaupgd"):
        if own["level"] == "feature" or own["order"] == "second":
            raise UserError("the ordinary loop has utilities of weights and of first order only.")
        names = ("weight_decay", "beta_utility", "sigma", "step_scale", "protecting", "scaling", "eta_bias_corrected")
        given = {name: own[name] for name in (*names, "local_norm_bias_corrected", "eta_guard")}
        if run.algorithm == "upgd":
            return UPGD(parameters, lr=rate, **given)
        return AdaUPGD(parameters, lr=rate, betas=(own["beta1"], own["beta2"]), eps=own["epsilon"], **given)
    if run.algorithm == "sgd":
        return torch.optim.SGD(parameters, lr=rate, weight_decay=own["weight_decay"])
    if run.algorithm == "adam":
        adam = {"betas": (own["beta1"], own["beta2"]), "eps": own["epsilon"], "weight_decay": own["weight_decay"]}
        return torch.optim.AdamW(parameters, lr=rate, **adam)
    raise UserError(f"{run.algorithm} has no optimizer of PyTorch to compare with; choose upgd, adaupgd, sgd or adam.")
