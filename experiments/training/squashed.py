"""Compute the entropy and the density of a squashed normal distribution, by the very function that the policies use.

The entropy of tanh(X) is that of X plus the mean of log(1 - tanh(X)^2), an integral over the standard normal number behind X.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap

from algorithms.policies import HALF_LOG_2PI, squashed_gaussian
from experiments.measurements import SquashedNormal
from experiments.spec import Run
from experiments.training.context import Context

# A standard normal number is integrated over so many steps between these bounds.
FURTHEST, STEPS = 12.0, 40_000


def train(runs: Sequence[Run], context: Context) -> None:
    """Compute and publish one after the other."""
    for run in runs:
        settings = SquashedNormal(**dict(run.hyperparameters))  # type: ignore[arg-type]
        columns = entropies(settings) if settings.quantity == "entropy" else densities(settings)
        context.publish(run, {"squashed_normal": columns}, {"status": "finished", "steps": run.steps, "diverged_at": None})


def entropies(settings: SquashedNormal) -> Mapping[str, np.ndarray]:
    """Return the columns deviation, normal and squashed: differential entropies in nats, before and after tanh."""
    noise = torch.linspace(-FURTHEST, FURTHEST, STEPS + 1, dtype=torch.float64)
    weight = torch.exp(-0.5 * noise**2 - HALF_LOG_2PI)
    squashed = [-torch.trapezoid(weight * _log_density(settings.mean, s, noise)[1], noise).item() for s in settings.deviations]
    deviations = np.array(settings.deviations, np.float64)
    return {
        "deviation": deviations,
        "normal": 0.5 + HALF_LOG_2PI + np.log(deviations),
        "squashed": np.array(squashed),
    }


def densities(settings: SquashedNormal) -> Mapping[str, np.ndarray]:
    """Return the columns deviation, action and density: every deviation at every action, the bounds themselves left out."""
    edges = np.linspace(-1.0, 1.0, settings.points + 1)
    actions = torch.tensor((edges[:-1] + edges[1:]) / 2)
    rows = []
    for deviation in settings.deviations:
        reached, log_density = _log_density(settings.mean, deviation, (torch.atanh(actions) - settings.mean) / deviation)
        rows.append((np.full(settings.points, float(deviation)), reached.numpy(), log_density.exp().numpy()))
    return dict(
        zip(("deviation", "action", "density"), (np.concatenate(parts) for parts in zip(*rows, strict=True)), strict=True)
    )


def _log_density(mean: float, deviation: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return the actions that normal numbers make, and the log of the density at each."""
    centre = torch.tensor([mean], dtype=torch.float64)
    log_std = torch.log(torch.tensor([deviation], dtype=torch.float64))
    action, log_density = vmap(lambda e: squashed_gaussian(centre, log_std, e))(noise.unsqueeze(1))
    return action.squeeze(1), log_density
