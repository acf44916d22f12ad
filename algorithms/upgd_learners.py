"""UPGD and AdaUPGD as learners of labelled streams; the rule is in `algorithms.upgd`.

Source: UPGD (arXiv:2404.00781), Algorithms 1 to 5. Feature-wise (Algorithms 3 and 4), a hidden unit's utility is that of a gate
that multiplies its output, and protects the weights and the bias that lead to it. The output layer has no gate: it descends
without noise, and with the decay that the code gives it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.adam import shares
from algorithms.agent import Info, LabelledSpaces, State, map_state
from algorithms.chain import Activation, gradient_at
from algorithms.continual_settings import AdaUPGDSettings, UPGDSettings, UtilitySettings
from algorithms.hesscale import curvatures
from algorithms.labelled import WEIGHTS, LabelledNetwork, Pass
from algorithms.noise import normal_like
from algorithms.upgd import Scale, exponents, follow_utility, fresh_utility, kept_and_taken, largest, perturbed, utility


class UtilityLearner(UtilitySettings, LabelledNetwork):
    """What UPGD and AdaUPGD have in common. A rule of its own says what the direction of a step is."""

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        """Make a network that has seen nothing."""
        if self.level == "feature" and (len(spaces.x_shape) == 3 or not self.hidden):
            raise ValueError("feature-wise utilities need hidden layers, and are not made for images: choose level=weight")
        if self.level == "feature" and self.activation == "linear":
            raise ValueError("feature-wise utilities need an activation: choose level=weight")
        return super().init(generator, spaces)

    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        rated = parameters
        if self.level == "feature":
            rated = {str(number): torch.zeros(width) for number, width in enumerate(self.hidden)}
        return {"utility": fresh_utility(rated), **self._moments(parameters)}

    def _moments(self, parameters: State) -> State:
        return {}

    def _direction(self, state: State, gradient: State) -> tuple[State, State]:
        """Return what is remembered of gradients, and where a step goes."""
        return {}, gradient

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        parameters, hyper = state["parameters"], state["hyper"]
        dtype = parameters["0.weight"].dtype
        scale = Scale(self.scaling, self.eta_bias_corrected, self.local_norm_bias_corrected, self.eta_guard)
        # The trace is followed twice: for the largest of it, which takes a pass over the weights, and for the gates. To compute
        # it again costs less than to write it into memory in between (`gradient_at`).
        top = largest(self._followed(state, passed)["trace"], self.eta_guard)
        memory = self._followed(state, self._again(passed))
        found, top = exponents(memory, scale, top)
        gradient = self._again(passed).gradient
        moments, direction = self._direction(state, gradient)

        wanted = [hyper["step_size"] * hyper["step_scale"], 1 - hyper["step_size"] * hyper["weight_decay"], hyper["sigma"]]
        sizes = torch.stack([x.to(dtype) for x in wanted])
        sigma = sizes[2]
        noise = normal_like(state["key"], state["steps"], WEIGHTS, parameters)
        changed: State = {}
        for name, parameter in parameters.items():
            exponent = self._exponent(found, name)
            step, shrink = _by_rows(sizes[:2], parameter)
            if exponent is None:
                changed[name] = shrink * parameter - step * direction[name]
                continue
            shake = sigma * noise[name].to(dtype)
            changed[name] = perturbed(parameter, direction[name], shake, exponent, step, shrink, self.protecting)
        told = {} if self.scaling == "local" else {"eta_not_positive": (top <= 0).to(torch.float32)}
        return {"utility": memory, **moments}, changed, told

    def _exponent(self, found: State, name: str) -> Tensor | None:
        """Return the exponent that gates a parameter, None where nothing does."""
        if self.level == "weight":
            exponent: Tensor = found[name]
            return exponent
        number, kind = name.split(".")
        if number not in found:
            return None
        return found[number].unsqueeze(1) if kind == "weight" else found[number]

    def _followed(self, state: State, passed: Pass) -> State:
        parameters, memory, beta = state["parameters"], state["memory"]["utility"], state["hyper"]["beta_utility"]
        if self.level == "weight" and self.order == "first":
            # The same as below, but what a utility is multiplied by is taken into the slopes, which are few. The compiler
            # computes an array of at most ten operations anew wherever it is wanted, and writes a longer one into memory.
            keep, take = kept_and_taken(beta, parameters["0.weight"].dtype)
            pull = gradient_at(passed.layers, passed.values, [-take * slope for slope in passed.slopes])
            trace = map_state(lambda old, p, g: keep * old + p * g, memory["trace"], parameters, pull)
            return {"trace": trace, "decay": memory["decay"] * beta}
        return follow_utility(memory, self._utilities(parameters, passed), beta)

    def _again(self, passed: Pass) -> Pass:
        return passed._replace(gradient=gradient_at(passed.layers, passed.values, passed.slopes))

    def _utilities(self, parameters: State, passed: Pass) -> State:
        second = self.order == "second"
        if second:
            diagonal, bends = curvatures(passed.layers, parameters, passed.values, passed.slopes, passed.loss.curvature)
        if self.level == "weight":
            if second:
                return map_state(utility, parameters, passed.gradient, diagonal)
            return map_state(utility, parameters, passed.gradient)
        # A gate of 1 in front of a feature: by the chain rule its slope is h dL/dh, as that of h would be from zero.
        places = [i + 1 for i, layer in enumerate(passed.layers) if isinstance(layer, Activation)]
        return {
            str(number): utility(passed.values[i], passed.slopes[i], bends[i] if second else None)
            for number, i in enumerate(places)
        }


def _by_rows(numbers: Tensor, parameter: Tensor) -> Tensor:
    """Return numbers, [n], once for each row of a matrix, [n, rows, 1], or as they are for other parameters.

    With them the compiler goes through a matrix row by row here too, so that it makes the whole change in one loop.
    """
    if parameter.ndim != 2:
        return numbers
    return torch.stack([x.expand(parameter.shape[0]) for x in numbers]).unsqueeze(-1)


@dataclass(frozen=True)
class UPGDLearner(UPGDSettings, UtilityLearner):
    """UPGD: weight-wise or feature-wise, with global or local scaling, utilities of first or second order."""


@dataclass(frozen=True)
class AdaUPGDLearner(AdaUPGDSettings, UtilityLearner):
    """AdaUPGD: the direction is Adam's, the utility that of the raw gradient."""

    def _moments(self, parameters: State) -> State:
        zeros, one = map_state(torch.zeros_like, parameters), torch.ones((), dtype=torch.float64)
        return {"first": zeros, "second": map_state(torch.clone, zeros), "decay1": one, "decay2": one.clone()}

    def _direction(self, state: State, gradient: State) -> tuple[State, State]:
        memory, hyper = state["memory"], state["hyper"]
        dtype = gradient["0.weight"].dtype
        keep1, take1 = shares(hyper["beta1"], dtype)
        keep2, take2 = shares(hyper["beta2"], dtype)
        decay1, decay2 = memory["decay1"] * hyper["beta1"], memory["decay2"] * hyper["beta2"]
        first = map_state(lambda m, g: keep1 * m + take1 * g, memory["first"], gradient)
        second = map_state(lambda v, g: keep2 * v + take2 * g * g, memory["second"], gradient)
        # M / (1 - b1^t) / (sqrt(V / (1 - b2^t)) + epsilon), with the corrections in two numbers.
        root = torch.sqrt(1 - decay2)
        size, floor = torch.stack([root / (1 - decay1), hyper["epsilon"] * root]).to(dtype)
        direction = map_state(lambda m, v: size * m / (torch.sqrt(v) + floor), first, second)
        return {"first": first, "second": second, "decay1": decay1, "decay2": decay2}, direction
