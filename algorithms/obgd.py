"""Overshooting-bounded gradient descent: eligibility traces and a step that cannot be too long.

Source: Stream-X (arXiv:2410.14606), Algorithm 3 (ObGD) and Algorithm 11 (AdaptiveObGD).

Where paper and official code differ:
1. AdaptiveObGD in the code divides the second moment by 1 - beta2^t, the paper does not: `bias_correction`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import State

Parameters = dict[str, Tensor]


def accumulate_trace(trace: Parameters, gradient: Parameters, decay: Tensor) -> Parameters:
    """z <- gamma lambda z + g (Alg. 3, line 3)."""
    return {name: decay * trace[name] + gradient[name] for name in trace}


def reset_trace(trace: Parameters, reset: Tensor) -> Parameters:
    """Set the trace to zero where the flag is up; called after the update, as in the code."""
    return {name: torch.where(reset, 0.0, z) for name, z in trace.items()}


def l1_norm(direction: Parameters) -> Tensor:
    """Return the sum of the magnitudes of all entries, []."""
    # Rows first: the compiler sums up to 4096 numbers in a register, and more of them through memory.
    rows = (z.flatten(1) if z.ndim > 2 else z for z in direction.values())
    return sum((z.abs().sum(-1).sum() for z in rows), start=torch.zeros(()))


def bounded_step_size(direction: Parameters, delta: Tensor, alpha: Tensor, kappa: Tensor) -> Tensor:
    """Return min(alpha / M, alpha) with M = alpha kappa max(|delta|, 1) ||direction||_1 (Alg. 3, lines 4-6).

    The norm runs over all parameters of one network. Where the bound is active the change delta * step * direction has
    an L1 norm of at most 1 / kappa.
    """
    bound = alpha * kappa * delta.abs().clamp(min=1.0) * l1_norm(direction)
    return alpha / bound.clamp(min=1.0)


class TraceOptimizer:
    """An optimiser with an eligibility trace: what all of them share.

    A learner either hands over a gradient with every TD error (`update`), or has the gradient added to the trace as soon as
    it is known (`accumulate`) and the trace followed when the TD error is (`apply`); the result is the same.
    """

    def init(self, parameters: Parameters) -> State:
        """Return the state that goes with fresh parameters; `trace` in it is all zeros."""
        raise NotImplementedError

    def accumulate(self, state: State, gradient: Parameters, trace_decay: Tensor) -> State:
        """Add a gradient to the decayed trace; `trace_decay` is gamma * lambda."""
        return {**state, "trace": accumulate_trace(state["trace"], gradient, trace_decay)}

    def apply(
        self, state: State, parameters: Parameters, delta: Tensor, reset: Tensor, hyper: dict[str, Tensor]
    ) -> tuple[State, Parameters]:
        """Move the parameters along the trace, then empty the trace where `reset` is up."""
        raise NotImplementedError

    def update(
        self,
        state: State,
        parameters: Parameters,
        gradient: Parameters,
        delta: Tensor,
        reset: Tensor,
        hyper: dict[str, Tensor],
    ) -> tuple[State, Parameters]:
        """Accumulate, then apply. `hyper` holds alpha, kappa and trace_decay."""
        return self.apply(self.accumulate(state, gradient, hyper["trace_decay"]), parameters, delta, reset, hyper)


@dataclass(frozen=True)
class ObGD(TraceOptimizer):
    """Gradient ascent along the trace with a bounded step. Its state is the trace."""

    def init(self, parameters: Parameters) -> State:
        """Return a trace of zeros."""
        return {"trace": {name: torch.zeros_like(p) for name, p in parameters.items()}}

    def apply(
        self, state: State, parameters: Parameters, delta: Tensor, reset: Tensor, hyper: dict[str, Tensor]
    ) -> tuple[State, Parameters]:
        """Move the parameters by step * delta * z. `hyper` holds alpha and kappa."""
        trace = state["trace"]
        step = bounded_step_size(trace, delta, hyper["alpha"], hyper["kappa"]) * delta
        parameters = {name: p + step * trace[name] for name, p in parameters.items()}  # Alg. 3, line 7
        return {"trace": reset_trace(trace, reset)}, parameters


@dataclass(frozen=True)
class AdaptiveObGD(TraceOptimizer):
    """ObGD whose direction is z scaled by the root of a running second moment of delta z."""

    bias_correction: bool = True
    beta2: float = 0.999
    epsilon: float = 1e-8

    def init(self, parameters: Parameters) -> State:
        """Return zero traces, zero second moments and beta2 to the power of the steps; the latter two outlive episodes."""
        return {
            "trace": {name: torch.zeros_like(p) for name, p in parameters.items()},
            "moment": {name: torch.zeros_like(p) for name, p in parameters.items()},
            # Kept as a number, because in lanes the compiler would take the power anew for every 16 parameters.
            "decay": torch.ones((), dtype=torch.float64),
        }

    def apply(
        self, state: State, parameters: Parameters, delta: Tensor, reset: Tensor, hyper: dict[str, Tensor]
    ) -> tuple[State, Parameters]:
        """Move the parameters by step * delta * z / sqrt(v + eps) (Alg. 11)."""
        trace = state["trace"]
        decay = state["decay"] * self.beta2
        moment = {n: self.beta2 * state["moment"][n] + (1 - self.beta2) * (delta * z) ** 2 for n, z in trace.items()}
        correction = (1 - decay if self.bias_correction else torch.ones_like(decay)).to(delta.dtype)
        direction = {n: z / torch.sqrt(moment[n] / correction + self.epsilon) for n, z in trace.items()}
        step = bounded_step_size(direction, delta, hyper["alpha"], hyper["kappa"]) * delta
        parameters = {name: p + step * direction[name] for name, p in parameters.items()}
        return {"trace": reset_trace(trace, reset), "moment": moment, "decay": decay}, parameters
