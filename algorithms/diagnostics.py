"""How far an update went: effective step size, overshooting, and what the bound had to hold back.

Source: Stream-X (arXiv:2410.14606), section 3.2 and appendix C. The TD error is evaluated again after the update, on the same
transition: delta+ beside delta. It costs two more evaluations of the network, so learners do it only when asked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.agent import Info
from algorithms.obgd import Parameters, accumulate_trace, l1_norm


def overshooting(delta: Tensor, delta_after: Tensor) -> Info:
    """Return xi = (delta - delta+) / delta (Eq. 1; 0 where delta is 0), and whether the error changed sign, 0 or 1."""
    correction = torch.where(delta == 0, 0.0, (delta - delta_after) / torch.where(delta == 0, 1.0, delta))
    return {"effective_step_size": correction, "overshoot": (delta * delta_after < 0).to(delta.dtype)}


def bounding(
    trace: Parameters, gradient: Parameters, delta: Tensor, hyper: dict[str, Tensor], bounded: bool, prefix: str = ""
) -> Info:
    """Return the L1 norm of the trace that made the update and, with ObGD, whether its bound was active, 0 or 1.

    Args:
        trace: trace before the update, to which `gradient` is added.
        delta: TD error.
        hyper: alpha, kappa and trace_decay, as the optimiser got them.
        bounded: the optimiser is ObGD.
        prefix: put before the names.
    """
    norm = l1_norm(accumulate_trace(trace, gradient, hyper["trace_decay"]))
    info = {f"{prefix}trace_norm": norm}
    if bounded:
        bound = hyper["alpha"] * hyper["kappa"] * delta.abs().clamp(min=1.0) * norm
        info[f"{prefix}bound_active"] = (bound > 1).to(delta.dtype)
    return info
