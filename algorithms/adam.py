"""Adam fed with an eligibility trace: what the classic learners and the "no ObGD" ablation use.

Source: Stream-X (arXiv:2410.14606), appendix F.4 (betas 0.9 and 0.999, epsilon 1e-4). How the trace enters Adam was not
published; our choice is the natural reading, the gradient of the loss := -delta z.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import State
from algorithms.obgd import Parameters, TraceOptimizer, reset_trace


@dataclass(frozen=True)
class TraceAdam(TraceOptimizer):
    """Adam on -delta z, with bias correction as in `torch.optim.Adam`."""

    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-4

    def init(self, parameters: Parameters) -> State:
        """Return zero traces and moments, and beta1 and beta2 to the power of the number of steps."""
        zeros = {name: torch.zeros_like(p) for name, p in parameters.items()}
        return {
            "trace": zeros,
            "first_moment": {name: p.clone() for name, p in zeros.items()},
            "second_moment": {name: p.clone() for name, p in zeros.items()},
            # Kept as numbers, because in lanes the compiler would take a power anew for every 16 parameters.
            "decay1": torch.ones((), dtype=torch.float64),
            "decay2": torch.ones((), dtype=torch.float64),
        }

    def apply(
        self, state: State, parameters: Parameters, delta: Tensor, reset: Tensor, hyper: dict[str, Tensor]
    ) -> tuple[State, Parameters]:
        """Take one Adam step of size alpha along delta z; kappa is not used."""
        trace = state["trace"]
        decay1, decay2 = state["decay1"] * self.beta1, state["decay2"] * self.beta2
        ascent = {name: delta * z for name, z in trace.items()}
        first = {n: self.beta1 * state["first_moment"][n] + (1 - self.beta1) * g for n, g in ascent.items()}
        second = {n: self.beta2 * state["second_moment"][n] + (1 - self.beta2) * g * g for n, g in ascent.items()}
        correction1, correction2 = ((1 - decay).to(delta.dtype) for decay in (decay1, decay2))
        parameters = {
            n: p + hyper["alpha"] * (first[n] / correction1) / (torch.sqrt(second[n] / correction2) + self.epsilon)
            for n, p in parameters.items()
        }
        moments = {"first_moment": first, "second_moment": second, "decay1": decay1, "decay2": decay2}
        return {"trace": reset_trace(trace, reset), **moments}, parameters
