"""Plain gradient ascent along the trace: TD(lambda) as in the textbook, the step size as it is given."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import State
from algorithms.obgd import Parameters, TraceOptimizer, reset_trace


@dataclass(frozen=True)
class TraceSGD(TraceOptimizer):
    """w <- w + alpha delta z, with nothing to bound it. Its state is the trace."""

    def init(self, parameters: Parameters) -> State:
        """Return a trace of zeros."""
        return {"trace": {name: torch.zeros_like(p) for name, p in parameters.items()}}

    def apply(
        self, state: State, parameters: Parameters, delta: Tensor, reset: Tensor, hyper: dict[str, Tensor]
    ) -> tuple[State, Parameters]:
        """Move the parameters by alpha * delta * z; kappa is not used."""
        trace = state["trace"]
        step = hyper["alpha"] * delta
        return {"trace": reset_trace(trace, reset)}, {name: p + step * trace[name] for name, p in parameters.items()}
