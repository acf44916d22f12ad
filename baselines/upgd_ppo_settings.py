"""The hyperparameters of PPO with AdaUPGD in the place of Adam. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.ranges import Decay, NonNegative, Positive
from baselines.settings import PPO


@dataclass(frozen=True)
class AdaUPGDPPO(PPO):
    """PPO whose optimizer is AdaUPGD (UPGD, arXiv:2404.00781, section 4.5 and appendix I.6); all else is CleanRL's.

    One optimizer moves policy and value network, so that utilities are scaled by the largest of both. The gradient is
    shortened before its utility is taken, and an annealed step size lowers the noise as well. Defaults are the official code's.
    """

    sigma: NonNegative = 0.001
    """Standard deviation of the noise, which is added to Adam's direction."""
    beta_utility: Decay = 0.999
    """Decay of the utility trace; the paper has 0.9 for Humanoid and HumanoidStandup."""
    weight_decay: NonNegative = 0.001
    """Decoupled weight decay lambda; the paper does not say."""
    step_scale: Positive = 2.0
    """Factor on the change; 1 in the paper's algorithm."""
    beta1: Decay = 0.9
    """Decay of Adam's first moment."""
    beta2: Decay = 0.999
    """Decay of Adam's second moment."""
    eta_bias_corrected: bool = False
    """Take eta from the corrected trace, as the paper's algorithm does. The code corrects the numerator alone."""
