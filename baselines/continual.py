"""What UPGD is compared with on labelled streams: rules without utilities.

Source: UPGD (arXiv:2404.00781), section 4.2 and appendix I.4; shrink and perturb: Ash and Adams (arXiv:1910.08475), as one
small shrinking and one small perturbation a step. Noise comes as for UPGD: learners of equal seed draw equal numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from algorithms.adam import adam, fresh_adam
from algorithms.agent import Info, LabelledSpaces, State, map_state
from algorithms.labelled import WEIGHTS, LabelledNetwork, Pass
from algorithms.noise import normal_like
from baselines.continual_settings import AdamSettings, PGDSettings, SGDSettings, ShrinkAndPerturbSettings


@dataclass(frozen=True)
class SGD(LabelledNetwork, SGDSettings):
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
class PGD(_Perturbed, PGDSettings):
    """w <- w - alpha (g + noise)."""


@dataclass(frozen=True)
class ShrinkAndPerturb(_Perturbed, ShrinkAndPerturbSettings):
    """w <- (1 - alpha lambda) w - alpha (g + noise)."""


@dataclass(frozen=True)
class Adam(LabelledNetwork, AdamSettings):
    """Decay of the weights, then a step of Adam."""

    def _fresh(self, parameters: State, spaces: LabelledSpaces) -> State:
        return fresh_adam(parameters)

    def _update(self, state: State, passed: Pass) -> tuple[State, State, Info]:
        hyper, parameters = state["hyper"], state["parameters"]
        shrink = (1 - hyper["step_size"] * hyper["weight_decay"]).to(parameters["0.weight"].dtype)
        parameters = map_state(lambda p: shrink * p, parameters)
        rates = (hyper[name] for name in ("step_size", "epsilon", "beta1", "beta2"))
        return *adam(state["memory"], parameters, passed.gradient, *rates), {}
