"""Target networks: copies of parameters that follow them slowly (Polyak averaging)."""

from __future__ import annotations

from torch import Tensor

from algorithms.agent import State, map_state


def follow(targets: State, parameters: State, tau: Tensor) -> State:
    """Return the targets moved by a fraction tau towards the parameters."""
    return map_state(lambda target, parameter: target + tau * (parameter - target), targets, parameters)


def blend(targets: State, parameters: State, tau: Tensor) -> State:
    """Return (1 - tau) targets + tau parameters: the targets themselves at tau = 0, the parameters at 1, bit for bit."""
    return map_state(lambda target, parameter: (1 - tau) * target + tau * parameter, targets, parameters)
