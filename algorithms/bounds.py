"""Actions between bounds: where they lie, what maps [-1, 1] to them, and an action drawn uniformly."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from algorithms.agent import State


def fresh_bounds(low: Sequence[float], high: Sequence[float]) -> State:
    """Return the bounds of an action, [action_size] each. Raise ValueError where there are none."""
    bounds: State = {"low": torch.tensor(low, dtype=torch.float32), "high": torch.tensor(high, dtype=torch.float32)}
    if not all(bound.numel() and bound.isfinite().all() for bound in bounds.values()):
        raise ValueError("the learner needs actions with finite bounds")
    return bounds


def spread(bounds: State) -> tuple[Tensor, Tensor]:
    """Return half the range of each component and its middle: what maps [-1, 1] to the bounds."""
    return (bounds["high"] - bounds["low"]) / 2, (bounds["high"] + bounds["low"]) / 2


def stretched(bounds: State, x: Tensor) -> Tensor:
    """Map [-1, 1] to the bounds, [action_size]."""
    scale, middle = spread(bounds)
    return x * scale + middle


def uniform_action(bounds: State, noise: Tensor) -> Tensor:
    """Turn normal numbers, [action_size], into an action drawn uniformly between the bounds."""
    share = 0.5 * (1 + torch.erf(noise / math.sqrt(2)))
    return bounds["low"] + share * (bounds["high"] - bounds["low"])
