"""A network that learns from labelled samples: one update from each, by a rule that a learner of its own adds.

Source: UPGD (arXiv:2404.00781), section 3.3 for what is told. Before the update: `loss`, and `accuracy` where there are
classes. With `diagnostics` also

- `plasticity`: the share of the sample's loss that the update takes away, 1 - L(after) / max(L(before), 1e-8), at least 0;
- `zero_activations`: the share of hidden units whose output is zero, after the update and on the same sample. Those of
  convolutions do not count;
- `weight_l1`, `weight_l2` of all weights after the update, and `gradient_l0` (share that is not zero), `gradient_l1` and
  `gradient_l2` of their gradient before it. Biases do not count.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.func import vmap

from algorithms.agent import Info, LabelledSpaces, NoiseSpec, Sample, State, hyperparameters
from algorithms.chain import Activation, Chain, LossName, LossValue, chain, forward, fresh_chain, loss_of, slopes
from algorithms.continual_settings import LabelledSettings
from algorithms.noise import fresh_key

# What random numbers are for: a learner may have more.
WEIGHTS = 0
# Under this the loss is as good as zero, and plasticity is measured against it.
SMALLEST_LOSS = 1e-8
# Samples that are answered together; each takes as much memory as the largest layer.
CHUNK = 10


class Pass(NamedTuple):
    """A sample on its way through a network and back."""

    layers: Chain
    values: list[Tensor]  # as `chain.forward` returns them
    loss: LossValue
    gradient: State
    slopes: list[Tensor]  # at `values`


class LabelledNetwork(LabelledSettings):
    """What learners of labelled samples have in common. A learner adds its memory (`_fresh`) and its rule (`_update`)."""

    @property
    def METRICS_EVERY(self) -> int:  # noqa: N802
        """Return over how many samples is averaged what it tells."""
        return self.window

    @property
    def LATE_WINDOWS(self) -> bool:  # noqa: N802
        """Return whether windows end one sample after their task, as in the official code."""
        return self.first_window == "code"

    def noise(self, spaces: LabelledSpaces) -> NoiseSpec:
        """None from outside: what is drawn is drawn in the step."""
        return NoiseSpec("normal", (0,))

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        """Make a network that has seen nothing. Equal generators make equal networks, whatever the rule."""
        if not self.hidden and len(spaces.x_shape) == 3:
            raise ValueError("a network for images needs hidden layers behind its convolutions")
        parameters = fresh_chain(generator, spaces.x_shape, self.hidden, spaces.classes or spaces.y_size)
        key, steps = fresh_key(generator), torch.zeros((), dtype=torch.int64)
        state: State = {"hyper": hyperparameters(self), "parameters": parameters, "key": key, "steps": steps}
        return {**state, "memory": self._fresh(parameters, spaces)}

    def step(self, state: State, sample: Sample) -> tuple[State, Info]:
        """Make one update from one sample."""
        passed = self._pass(state["parameters"], sample)
        memory, parameters, told = self._update(state, passed)
        info = {"loss": passed.loss.loss}
        if not sample.y.is_floating_point():
            info["accuracy"] = (passed.values[-1].argmax(-1) == sample.y).to(torch.float32)
        if self.diagnostics:
            info |= self._diagnostics(passed, parameters, sample)
        state = {**state, "parameters": parameters, "memory": memory, "steps": state["steps"] + 1}
        return state, {**info, **told}

    def share_right(self, state: State, x: Tensor, y: Tensor) -> float:
        """Return which share of samples the network has right, without learning from them.

        Args:
            state: of one lane.
            x: float32 [samples, *x_shape].
            y: int64 [samples].
        """
        layers, parameters = chain(tuple(x.shape[1:]), self.hidden, self.activation), state["parameters"]

        def output(one: Tensor) -> Tensor:
            return forward(layers, parameters, one.to(parameters["0.weight"].dtype))[-1]

        with torch.no_grad():
            chosen = vmap(output, chunk_size=CHUNK)(x).argmax(-1)
        return float((chosen == y).to(torch.float64).mean())

    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        """Return the memory of a rule that has seen nothing."""
        raise NotImplementedError

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        """Return the rule's memory, the parameters, and what else there is to tell."""
        raise NotImplementedError

    def _pass(self, parameters: State, sample: Sample) -> Pass:
        layers = self._layers(sample)
        values = forward(layers, parameters, sample.x.to(parameters["0.weight"].dtype))
        loss = loss_of(self._loss(sample), values[-1], sample.y)
        return Pass(layers, values, loss, *slopes(layers, parameters, values, loss.slope))

    def _layers(self, sample: Sample) -> Chain:
        return chain(tuple(sample.x.shape), self.hidden, self.activation)

    def _loss(self, sample: Sample) -> LossName:
        return "squared" if sample.y.is_floating_point() else "cross_entropy"

    def _diagnostics(self, passed: Pass, parameters: State, sample: Sample) -> Info:
        values = forward(passed.layers, parameters, passed.values[0])
        after = loss_of(self._loss(sample), values[-1], sample.y).loss
        kept = after / passed.loss.loss.clamp(min=SMALLEST_LOSS)
        shown = [values[i + 1] for i, layer in enumerate(passed.layers) if isinstance(layer, Activation)]
        units = sum(x.numel() for x in shown)
        zeros = sum((_count(x == 0) for x in shown), torch.zeros(()))
        weights = [x for name, x in parameters.items() if name.endswith("weight")]
        gradients = [x for name, x in passed.gradient.items() if name.endswith("weight")]
        size = sum(x.numel() for x in gradients)
        return {
            "plasticity": (1 - kept).clamp(0, 1),
            "zero_activations": zeros / max(units, 1),
            "weight_l1": _total([x.abs().sum() for x in weights]),
            "weight_l2": _total([(x * x).sum() for x in weights]).sqrt(),
            "gradient_l0": _total([_count(x != 0) for x in gradients]) / size,
            "gradient_l1": _total([x.abs().sum() for x in gradients]),
            "gradient_l2": _total([(x * x).sum() for x in gradients]).sqrt(),
        }


def _count(mask: Tensor) -> Tensor:
    return mask.to(torch.float32).sum()


def _total(parts: list[Tensor]) -> Tensor:
    return torch.stack(parts).sum()
