"""What UPGD is compared with on labelled streams: rules without utilities.

Source: UPGD (arXiv:2404.00781), section 4.2 and appendix I.4; shrink and perturb: Ash and Adams (arXiv:1910.08475), as one
small shrinking and one small perturbation a step. Noise comes as for UPGD: learners of equal seed draw equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.adam import adam, fresh_adam
from algorithms.agent import Info, LabelledSpaces, Sample, State, map_state
from algorithms.labelled import WEIGHTS, LabelledNetwork, Pass
from algorithms.noise import normal_like, uniform
from baselines.continual_settings import (
    AdamRestartsSettings,
    AdamSettings,
    PGDSettings,
    SGDSettings,
    ShrinkAndPerturbSettings,
)

# What random numbers are for, beside `WEIGHTS`: that of a parameter is this plus its place.
RESTARTS = 1024


@dataclass(frozen=True)
class SGD(SGDSettings, LabelledNetwork):
    """w <- (1 - alpha lambda) w - alpha g."""

    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        return {}

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        hyper, parameters = state["hyper"], state["parameters"]
        sizes = [hyper["step_size"], 1 - hyper["step_size"] * hyper["weight_decay"]]
        alpha, shrink = torch.stack(sizes).to(parameters["0.weight"].dtype)
        return {}, map_state(lambda p, g: shrink * p - alpha * g, parameters, passed.gradient), {}


class _Perturbed(LabelledNetwork):
    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        return {}

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        hyper, parameters = state["hyper"], state["parameters"]
        decay = hyper.get("weight_decay", torch.zeros_like(hyper["step_size"]))
        sizes = [hyper["step_size"], 1 - hyper["step_size"] * decay, hyper["sigma"] * hyper["sigma_scale"]]
        alpha, shrink, sigma = torch.stack(sizes).to(parameters["0.weight"].dtype)
        noise = normal_like(state["key"], state["steps"], WEIGHTS, parameters)
        moved = map_state(lambda p, g, n: shrink * p - alpha * (g + sigma * n.to(p.dtype)), parameters, passed.gradient, noise)
        return {}, moved, {}


@dataclass(frozen=True)
class PGD(PGDSettings, _Perturbed):
    """w <- w - alpha (g + noise)."""


@dataclass(frozen=True)
class ShrinkAndPerturb(ShrinkAndPerturbSettings, _Perturbed):
    """w <- (1 - alpha lambda) w - alpha (g + noise)."""


class _Adam(AdamSettings, LabelledNetwork):
    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        return fresh_adam(parameters)

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        hyper, parameters = state["hyper"], state["parameters"]
        shrink = (1 - hyper["step_size"] * hyper["weight_decay"]).to(parameters["0.weight"].dtype)
        parameters = map_state(lambda p: shrink * p, parameters)
        rates = (hyper[name] for name in ("step_size", "epsilon", "beta1", "beta2"))
        return *adam(state["memory"], parameters, passed.gradient, *rates), {}


@dataclass(frozen=True)
class Adam(_Adam):
    """Decay of the weights, then a step of Adam."""


@dataclass(frozen=True)
class AdamRestarts(AdamRestartsSettings, _Adam):
    """Adam whose network begins anew with every task (UPGD, Fig. 1b and c)."""

    def form(self, steps: int) -> bool:
        """Return whether the step after so many restarts the network."""
        return steps > 0 and steps % self.restart_every == 0

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        """Make a network that has seen nothing."""
        if self.restart_every <= 0:
            raise ValueError("restart_every must be a positive number of samples")
        return super().init(generator, spaces)

    def step(self, state: State, sample: Sample, form: bool = False) -> tuple[State, Info]:
        """Make one update from one sample, and begin anew before or after it where the form says so."""
        if form and self.restart == "before_task":
            state = self._anew(state)
        state, info = super().step(state, sample)
        return (self._anew(state) if form and self.restart == "after_first_update" else state), info

    def _anew(self, state: State) -> State:
        drawn: State = {}
        for place, (name, p) in enumerate(state["parameters"].items()):
            fan_in = state["parameters"][name.replace("bias", "weight")][0].numel()
            share = uniform(state["key"], state["steps"], RESTARTS + place, tuple(p.shape))
            drawn[name] = ((2 * share - 1) * fan_in**-0.5).to(p.dtype)
        memory = map_state(_begun, fresh_adam(drawn), state["memory"]) if self.reset_moments else state["memory"]
        return {**state, "parameters": drawn, "memory": memory}


def _begun(fresh: Tensor, like: Tensor) -> Tensor:
    """Return a fresh tensor made of the old one, which lanes need."""
    return torch.zeros_like(like) + fresh
