"""Networks of dense layers: nested dicts of weights and biases by number, for one input vector.

They are those of the learners that use nothing of Stream-X: no LayerNorm, and weights as torch draws them, or orthogonal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from algorithms.agent import State


def fresh_layers(generator: torch.Generator, sizes: Sequence[int]) -> State:
    """Return weights and biases of layers of the given widths as torch draws them, U(-1, 1) / sqrt(inputs)."""
    layers: State = {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        for name, shape in (("weight", (outputs, inputs)), ("bias", (outputs,))):
            layers[f"{number}.{name}"] = (2 * torch.rand(shape, generator=generator) - 1) / math.sqrt(inputs)
    return layers


def orthogonal_layers(generator: torch.Generator, sizes: Sequence[int], gain: float, last_gain: float) -> State:
    """Return layers of the given widths: orthogonal weights times a gain, which the last layer has of its own, no biases.

    Source: Saxe et al. (arXiv:1312.6120), as `torch.nn.init.orthogonal_` draws them.
    """
    layers: State = {}
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        weight = torch.empty(outputs, inputs)
        own = last_gain if number == len(sizes) - 2 else gain
        layers[f"{number}.weight"] = torch.nn.init.orthogonal_(weight, own, generator=generator)
        layers[f"{number}.bias"] = torch.zeros(outputs)
    return layers


def perceptron(layers: State, x: Tensor, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply layers to one vector with an activation between them, [inputs] -> [outputs]."""
    last = len(layers) // 2 - 1
    for number in range(last + 1):
        x = (layers[f"{number}.weight"] * x).sum(-1) + layers[f"{number}.bias"]
        if number < last:
            x = activation(x)
    return x
