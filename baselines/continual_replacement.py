"""Learners that replace hidden units of little use by new ones: continual backprop, and generate and test.

Continual backprop: Dohare et al. (2024), Nature 632, 768-774, and its official code. SGD, and after every step in every hidden
layer: a unit's utility is averaged; of the mature units the least useful are replaced, a share of `replacement_rate` at a step.
A new unit has incoming weights as at the beginning, bias 0 and outgoing weights 0. What the old one gave in the mean goes into
the biases of the next layer.

Generate and test: Mahmood and Sutton (2013), Representation search through generate and test, in this form: one hidden layer of
random features; the output weights learn; a feature's utility is the mean size of its outgoing weights.

Ours: new incoming weights are uniform within 1/sqrt(inputs), the beginning of all networks here; the code's bound for ReLU is
2.4 times as wide, and so is its beginning. In the code the mean output of the old unit is set to zero before it would go into
the biases, so that nothing does. At most one unit of a layer is replaced at a step, which is no limit where rate times width
is at most 1. New features of generate and test are safe until they are mature, as continual backprop has it. Neither is made
for images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.adam import shares
from algorithms.agent import Info, LabelledSpaces, State, map_state
from algorithms.chain import Activation
from algorithms.labelled import LabelledNetwork, Pass
from algorithms.noise import uniform
from baselines.continual_settings import ContinualBackpropSettings, GenerateAndTestSettings, ReplacementSettings

# What random numbers are for: that of a layer's new unit is this plus the layer's number.
NEW_UNITS = 16
SMALLEST_WEIGHT = 1e-8


class _Replacing(ReplacementSettings, LabelledNetwork):
    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        """Make a network that has seen nothing."""
        if len(spaces.x_shape) == 3 or not self.hidden or self.activation == "linear":
            raise ValueError("replacing units needs hidden layers with an activation, and is not made for images")
        return super().init(generator, spaces)

    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        zeros = {str(number): torch.zeros(width) for number, width in enumerate(self.hidden)}
        memory: State = {name: map_state(torch.clone, zeros) for name in ("utility", "mean", "age")}
        return {**memory, "due": {number: torch.zeros(()) for number in zeros}}

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        hyper = state["hyper"]
        dtype = state["parameters"]["0.weight"].dtype
        sizes = [hyper["step_size"], 1 - hyper["step_size"] * hyper["weight_decay"]]
        alpha, shrink = torch.stack(sizes).to(dtype)
        parameters = map_state(lambda p, g: shrink * p - alpha * g, state["parameters"], self._trained(passed.gradient))
        memory: State = {name: {} for name in state["memory"]}
        replaced = torch.zeros(())
        places = [i + 1 for i, layer in enumerate(passed.layers) if isinstance(layer, Activation)]
        for number, place in enumerate(places):
            own, parameters, count = self._replace(state, parameters, number, passed.values[place])
            for name, value in own.items():
                memory[name][str(number)] = value
            replaced = replaced + count
        return memory, parameters, {"replaced_units": replaced}

    def _trained(self, gradient: State) -> State:
        return gradient

    def _replace(self, state: State, parameters: State, number: int, h: Tensor) -> tuple[State, State, Tensor]:
        """Look after one hidden layer; return its memory, the parameters, and how many units were replaced."""
        hyper = state["hyper"]
        memory = {name: values[str(number)] for name, values in state["memory"].items()}
        keep, take = shares(hyper["beta_utility"], h.dtype)
        age = memory["age"] + 1
        # Each unit has lived for another time, and its averages are corrected for that.
        correction = 1 - keep**age
        mean = keep * memory["mean"] + take * h
        incoming, outgoing = parameters[f"{number}.weight"], parameters[f"{number + 1}.weight"]
        utility = keep * memory["utility"] + take * self._worth(h, mean / correction, incoming, outgoing)

        mature = age > hyper["maturity"].to(age.dtype)
        due = memory["due"] + hyper["replacement_rate"].to(h.dtype) * mature.to(h.dtype).sum()
        worth = torch.where(mature, utility / correction, torch.full_like(utility, torch.inf))
        now = (due >= 1) & mature.any()
        chosen = (torch.arange(h.shape[0]) == worth.argmin()) & now

        bound = incoming.shape[1] ** -0.5
        fresh = (2 * uniform(state["key"], state["steps"], NEW_UNITS + number, (incoming.shape[1],)) - 1) * bound
        lost = torch.where(chosen, mean / correction, torch.zeros_like(mean))
        moved = {
            f"{number}.weight": torch.where(chosen.unsqueeze(1), fresh.to(incoming.dtype), incoming),
            f"{number}.bias": torch.where(chosen, torch.zeros_like(h), parameters[f"{number}.bias"]),
            f"{number + 1}.weight": torch.where(chosen, torch.zeros_like(outgoing), outgoing),
            f"{number + 1}.bias": parameters[f"{number + 1}.bias"] + (outgoing * lost).sum(-1),
        }
        zero = torch.zeros_like(h)
        own = {name: torch.where(chosen, zero, x) for name, x in (("utility", utility), ("mean", mean), ("age", age))}
        own["due"] = torch.where(now, due - 1, due)
        return own, {**parameters, **moved}, now.to(h.dtype)

    def _worth(self, h: Tensor, mean: Tensor, incoming: Tensor, outgoing: Tensor) -> Tensor:
        """Return the utility of each unit at this moment, [units]."""
        raise NotImplementedError


@dataclass(frozen=True)
class ContinualBackprop(ContinualBackpropSettings, _Replacing):
    """SGD with new units in the place of those that contribute least."""

    def _worth(self, h: Tensor, mean: Tensor, incoming: Tensor, outgoing: Tensor) -> Tensor:
        size = outgoing.abs().mean(0)
        if self.contribution == "plain":
            return h.abs() * size
        return (h - mean).abs() * size / incoming.abs().mean(1).clamp(min=SMALLEST_WEIGHT)


@dataclass(frozen=True)
class GenerateAndTest(GenerateAndTestSettings, _Replacing):
    """Random features, of which those with the smallest output weights are replaced."""

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        """Make a network that has seen nothing."""
        if len(self.hidden) != 1:
            raise ValueError("generate and test has one hidden layer")
        return super().init(generator, spaces)

    def _trained(self, gradient: State) -> State:
        if self.train_features:
            return gradient
        return {name: g if name.startswith("1.") else torch.zeros_like(g) for name, g in gradient.items()}

    def _worth(self, h: Tensor, mean: Tensor, incoming: Tensor, outgoing: Tensor) -> Tensor:
        return outgoing.abs().mean(0)
