"""Classic incremental learners: eligibility traces with Adam and none of the parts that Stream-X adds.

Source: Stream-X (arXiv:2410.14606), appendix F.4: Adam with step 1e-7, betas (0.9, 0.999), epsilon 1e-4, lambda 0.8. The
step was the largest that did not diverge within 2M steps on HalfCheetah and Ant; on Hopper and Walker2d classic AC diverged
even at 1e-11.

Our choice, since it was not published:
1. Network of the same widths with LeakyReLU, dense LeCun-uniform weights, no LayerNorm.
2. Raw observations and rewards; the same time feature and action clipping; the same entropy term inside the trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms.stream_ac import StreamAC


@dataclass(frozen=True)
class ClassicAC(StreamAC):
    """AC(lambda) with Adam: Stream AC with every one of its components taken out."""

    alpha_policy: float = 1e-7
    """Adam's step size for the actor."""
    alpha_value: float = 1e-7
    """Adam's step size for the critic."""
    sparsity: float = 0.0
    layer_norm: bool = False
    normalize_obs: bool = False
    normalize_reward: bool = False
    optimizer: Literal["obgd", "adaptive_obgd", "adam"] = "adam"
