"""How far an update went: effective step size, overshooting, and what the bound had to hold back.

Source: Stream-X (arXiv:2410.14606), section 3.2 and appendix C. The TD error is evaluated again after the update, on the same
transition: delta+ beside delta. It costs two more evaluations of the network, so learners do it only when asked.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.agent import Info
from algorithms.obgd import Parameters, l1_norm


def overshooting(delta: Tensor, delta_after: Tensor) -> Info:
    """Return xi = (delta - delta+) / delta (Eq. 1; 0 where delta is 0), and whether the error changed sign, 0 or 1."""
    correction = torch.where(delta == 0, 0.0, (delta - delta_after) / torch.where(delta == 0, 1.0, delta))
    return {"effective_step_size": correction, "overshoot": (delta * delta_after < 0).to(delta.dtype)}


def bounding(trace: Parameters, delta: Tensor, hyper: dict[str, Tensor], bounded: bool, prefix: str = "") -> Info:
    """Return the L1 norm of the trace that makes an update and, with ObGD, whether its bound is active, 0 or 1.

    Args:
        trace: the trace that is followed, the gradient of the present moment included.
        delta: TD error.
        hyper: alpha and kappa, as the optimiser gets them.
        bounded: the optimiser is ObGD.
        prefix: put before the names.
    """
    norm = l1_norm(trace)
    info = {f"{prefix}trace_norm": norm}
    if bounded:
        bound = hyper["alpha"] * hyper["kappa"] * delta.abs().clamp(min=1.0) * norm
        info[f"{prefix}bound_active"] = (bound > 1).to(delta.dtype)
    return info
