"""Adam: down a gradient (`adam`), or fed with an eligibility trace (`TraceAdam`).

Source: Kingma and Ba (arXiv:1412.6980), Algorithm 1, with the numbers of `torch.optim.Adam`.

The trace is what the classic learners and the "no ObGD" ablation use, with the settings of Stream-X (arXiv:2410.14606),
appendix F.4 (betas 0.9 and 0.999, epsilon 1e-4). How the trace enters Adam was not published; our choice is the natural
reading, the gradient of the loss := -delta z.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import State, leaves, map_state
from algorithms.obgd import Parameters, TraceOptimizer, reset_trace


def fresh_adam(parameters: State) -> State:
    """Return Adam's memory: moments of zero, a count of steps, and beta1 and beta2 to the power of that count."""
    # The powers are kept because the compiler would take one anew for every 16 parameters.
    zeros, one = map_state(torch.zeros_like, parameters), torch.ones((), dtype=torch.float64)
    counts: State = {"count": torch.zeros_like(one), "decay1": one, "decay2": one.clone()}
    return {"first": zeros, "second": map_state(torch.clone, zeros), **counts}


def adam(
    memory: State,
    parameters: State,
    gradient: State,
    rate: Tensor,
    epsilon: Tensor | float = 1e-8,
    beta1: Tensor | float = 0.9,
    beta2: Tensor | float = 0.999,
) -> tuple[State, State]:
    """Take one step of Adam down a gradient; return its memory and the parameters.

    Args:
        memory: as `fresh_adam` began it.
        parameters: nested dict of tensors, all of one type.
        gradient: of what is to become smaller, in the form of the parameters.
        rate: step size, [].
        epsilon: added to the root of the second moment, after the correction for its beginning at zero.
        beta1: decay of the first moment: a number, or float64 [] where lanes are to differ in it.
        beta2: decay of the second moment, likewise.
    """
    dtype = leaves(parameters)[0].dtype
    count, decay1, decay2 = memory["count"] + 1, memory["decay1"] * beta1, memory["decay2"] * beta2
    # The corrections for moments that began at zero are moved out of the arrays, into two numbers; stacked, they are computed
    # once, where the compiler would take the root anew for every 16 parameters.
    root = torch.sqrt(1 - decay2)
    size, floor = torch.stack([rate * root / (1 - decay1), epsilon * root]).to(dtype)
    keep1, take1 = shares(beta1, dtype)
    keep2, take2 = shares(beta2, dtype)
    first = map_state(lambda m, g: keep1 * m + take1 * g, memory["first"], gradient)
    second = map_state(lambda v, g: keep2 * v + take2 * g * g, memory["second"], gradient)
    parameters = map_state(lambda p, m, v: p - size * m / (torch.sqrt(v) + floor), parameters, first, second)
    return {"first": first, "second": second, "count": count, "decay1": decay1, "decay2": decay2}, parameters


def shares(beta: Tensor | float, dtype: torch.dtype) -> tuple[Tensor | float, Tensor | float]:
    """Return beta and 1 - beta in the precision of the parameters."""
    if not isinstance(beta, Tensor):
        return beta, 1 - beta
    # Subtracted before it is rounded: from 0.999 in float32, the rest would be off by 1 in 77,000.
    keep, take = torch.stack([beta, 1 - beta]).to(dtype)
    return keep, take


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
