"""How well utilities that cost little rank weights or features, while a network learns by SGD.

Source: UPGD (arXiv:2404.00781), section 4.1 and appendix J. The true utility of a weight is what the loss rises by when it is
set to zero; that of a feature, when its output is. Told are rank correlations with it, over the whole network (NAME) and in the
mean over its layers (NAME_layerwise), of

    second_order      -g w + h w^2 / 2 with the diagonal h of HesScale
    first_order       -g w
    squared_gradient  g^2
    magnitude         |w|; of features the size of their output
    random            U[0, 1)

For a feature, g and h are those of a gate of 1 that multiplies it. A layer is its weights and its biases together (our choice).

Deviation from the official code: the curvature of a feature below the last hidden layer is its own (`algorithms.hesscale`).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import vmap

from algorithms.agent import Info, LabelledSpaces, Sample, State, map_state
from algorithms.chain import Activation, Chain, LossName, forward, loss_of
from algorithms.continual_settings import UtilityQualitySettings
from algorithms.hesscale import curvatures
from algorithms.labelled import LabelledNetwork, Pass
from algorithms.noise import uniform
from algorithms.upgd import utility

# What random numbers are for.
RANDOM_UTILITY = 1
SMALLEST_SPREAD = 1e-30
Parts = list[Tensor]


def ranks(values: Tensor) -> Tensor:
    """Return the rank of each value, [n], from 0; equal values share the mean of theirs."""
    below = values.unsqueeze(0) < values.unsqueeze(1)
    equal = values.unsqueeze(0) == values.unsqueeze(1)
    return below.to(values.dtype).sum(1) + (equal.to(values.dtype).sum(1) - 1) / 2


def correlation(a: Tensor, b: Tensor) -> Tensor:
    """Return the correlation of two vectors, []; 0 where one of them is constant."""
    a, b = a - a.mean(), b - b.mean()
    return (a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt().clamp(min=SMALLEST_SPREAD)


def loss_without(layers: Chain, parameters: State, gates: Parts, x: Tensor, y: Tensor, loss: LossName) -> Tensor:
    """Return the loss of a network whose hidden layers are multiplied by gates, one vector for each."""
    left = iter(gates)
    for layer in layers:
        x = layer.forward(parameters, x)
        if isinstance(layer, Activation):
            x = x * next(left)
    return loss_of(loss, x, y).loss


@dataclass(frozen=True)
class UtilityQuality(UtilityQualitySettings, LabelledNetwork):
    """SGD that tells how well utilities rank what it learns."""

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        """Make a network that has seen nothing."""
        if len(spaces.x_shape) == 3 or not self.hidden or self.activation == "linear":
            raise ValueError("the quality of utilities needs hidden layers with an activation, and is not made for images")
        return super().init(generator, spaces)

    def step(self, state: State, sample: Sample) -> tuple[State, Info]:
        """Make one update from one sample, and rate utilities before or after it."""
        passed = self._pass(state["parameters"], sample)
        alpha = state["hyper"]["step_size"].to(passed.values[0].dtype)
        parameters = map_state(lambda p, g: p - alpha * g, state["parameters"], passed.gradient)
        rated = state["parameters"] if self.measured == "before_update" else parameters
        before = state["parameters"]
        # The pass through the network is that before the update, and so are the slopes and curvatures of all utilities.
        diagonal, bends = curvatures(passed.layers, before, passed.values, passed.slopes, passed.loss.curvature)
        if self.level == "feature":
            true, found = self._features(rated, bends, passed, sample)
        else:
            true, found = self._weights(rated, diagonal, passed, sample)
        found["random"] = [
            uniform(state["key"], state["steps"], RANDOM_UTILITY + place, tuple(part.shape)) for place, part in enumerate(true)
        ]
        info = {"loss": passed.loss.loss}
        for name, parts in found.items():
            info[name] = self._correlation(torch.cat(true), torch.cat(parts))
            own = [self._correlation(a, b) for a, b in zip(true, parts, strict=True)]
            info[f"{name}_layerwise"] = torch.stack(own).mean()
        state = {**state, "parameters": parameters, "steps": state["steps"] + 1}
        return state, info

    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        return {}

    def _correlation(self, a: Tensor, b: Tensor) -> Tensor:
        if self.correlation == "argsort":
            return correlation(a.argsort().to(a.dtype), b.argsort().to(b.dtype))
        return correlation(ranks(a), ranks(b))

    def _weights(self, parameters: State, diagonal: State, passed: Pass, sample: Sample) -> tuple[Parts, dict[str, Parts]]:
        layers, loss = passed.layers, self._loss(sample)
        flat, sizes = torch.cat([p.flatten() for p in parameters.values()]), [p.numel() for p in parameters.values()]

        def without(kept: Tensor) -> Tensor:
            parts = zip(parameters.items(), (flat * kept).split(sizes), strict=True)
            changed = {name: part.reshape(p.shape) for (name, p), part in parts}
            return loss_of(loss, forward(layers, changed, passed.values[0])[-1], sample.y).loss

        true = vmap(without)(1 - torch.eye(len(flat), dtype=flat.dtype)) - passed.loss.loss

        def by_layer(state: State) -> Parts:
            return [
                torch.cat([state[f"{number}.weight"].flatten(), state[f"{number}.bias"]]) for number in range(len(sizes) // 2)
            ]

        slope = passed.gradient
        widths = [a + b for a, b in zip(sizes[::2], sizes[1::2], strict=True)]
        return list(true.split(widths)), {
            "second_order": by_layer(map_state(utility, parameters, slope, diagonal)),
            "first_order": by_layer(map_state(utility, parameters, slope)),
            "squared_gradient": by_layer(map_state(torch.square, slope)),
            "magnitude": by_layer(map_state(torch.abs, parameters)),
        }

    def _features(self, parameters: State, bends: Parts, passed: Pass, sample: Sample) -> tuple[Parts, dict[str, Parts]]:
        layers, loss, values = passed.layers, self._loss(sample), passed.values
        places = [i + 1 for i, layer in enumerate(layers) if isinstance(layer, Activation)]
        sizes = [passed.values[i].numel() for i in places]

        def without(kept: Tensor) -> Tensor:
            return loss_without(layers, parameters, list(kept.split(sizes)), passed.values[0], sample.y, loss)

        true = vmap(without)(1 - torch.eye(sum(sizes), dtype=values[0].dtype)) - passed.loss.loss
        return list(true.split(sizes)), {
            "second_order": [utility(values[i], passed.slopes[i], bends[i]) for i in places],
            "first_order": [utility(values[i], passed.slopes[i]) for i in places],
            "squared_gradient": [(values[i] * passed.slopes[i]) ** 2 for i in places],
            "magnitude": [values[i].abs() for i in places],
        }
