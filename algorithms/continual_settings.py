"""The hyperparameters of learners of labelled streams: what each means, and its default. Nothing here imports torch.

Source: UPGD (arXiv:2404.00781). Where the paper's text and the official code differ, the default is the code's, with which the
published curves were made. Hyperparameters are tuned for every stream; the defaults are those of input-permuted MNIST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms.ranges import Count, Decay, NonNegative, Widths

ActivationName = Literal["relu", "leaky_relu", "tanh", "sigmoid", "elu", "linear"]


@dataclass(frozen=True)
class LabelledSettings:
    """Hyperparameters of every learner of labelled samples: its network, and what it tells."""

    step_size: NonNegative = 0.01
    """Step size alpha."""
    hidden: Widths = (300, 150)
    """Width of each hidden layer; none makes a linear map. Images are convolved first (`algorithms.chain`)."""
    activation: ActivationName = "relu"
    """What follows each hidden layer; `linear` is nothing."""
    diagnostics: bool = False
    """Tell plasticity, zero activations, and norms of weights and gradient with every update: a second forward pass."""
    window: Count = 10_000
    """Samples over which is averaged what it tells. A window ends with its task as well."""
    first_window: Literal["paper", "code"] = "paper"
    """Where windows end: with their task, or one sample later. In the code the first window is the very first sample."""


@dataclass(frozen=True)
class UtilitySettings(LabelledSettings):
    """What UPGD and AdaUPGD have in common: how useful a weight is, and how that protects it."""

    sigma: NonNegative = 0.1
    """Standard deviation of the noise on every weight's gradient."""
    beta_utility: Decay = 0.9999
    """Decay of the utility trace; 0 takes the utility of the moment."""
    weight_decay: NonNegative = 0.01
    """Decoupled weight decay lambda: weights shrink by 1 - alpha lambda. UPGD-W has it; 0 is UPGD."""
    step_scale: NonNegative = 1.0
    """Factor on the change. 2 makes up for a mean gate of 1/2, as the code's stand-alone UPGD and its AdaUPGD have it."""
    protecting: bool = True
    """Protect useful weights from gradient and noise; else from noise alone (N-UPGD)."""
    order: Literal["first", "second"] = "first"
    """Terms of the utility's Taylor series: -g w, or with it h w^2 / 2 of HesScale."""
    level: Literal["weight", "feature"] = "weight"
    """What has a utility: every weight, or every hidden unit, which then gates its incoming weights."""
    scaling: Literal["global", "local"] = "global"
    """Divide utilities by the largest of all (eta), or by their norm: over a unit's incoming weights, or a layer's features."""
    eta_bias_corrected: bool = False
    """Take eta from the corrected trace, as the paper's Algorithm 1 does. The code corrects the numerator alone."""
    local_norm_bias_corrected: bool = True
    """Take the local norm from the corrected trace, as the code does. The paper's Algorithm 2 prints the uncorrected one."""
    eta_guard: Literal["clamp", "magnitude", "none"] = "clamp"
    """What is done where no utility is positive: eta is a tiny number, or always the largest magnitude, or it is used as it is.

    The code has no guard: with eta below zero the order of the gates turns round, and with zero there is none."""


@dataclass(frozen=True)
class UPGDSettings(UtilitySettings):
    """Hyperparameters of UPGD."""


@dataclass(frozen=True)
class AdaUPGDSettings(UtilitySettings):
    """Hyperparameters of AdaUPGD; the defaults are those of the code, made for PPO. The paper has neither decay nor factor."""

    step_size: NonNegative = 3e-4
    """Step size alpha."""
    sigma: NonNegative = 0.001
    """Standard deviation of the noise, which is added to Adam's direction."""
    beta_utility: Decay = 0.999
    """Decay of the utility trace."""
    weight_decay: NonNegative = 0.001
    """Decoupled weight decay lambda."""
    step_scale: NonNegative = 2.0
    """Factor on the change; 1 in the paper."""
    beta1: Decay = 0.9
    """Decay of the first moment."""
    beta2: Decay = 0.999
    """Decay of the second moment."""
    epsilon: NonNegative = 1e-5
    """Added to the root of the second moment."""


@dataclass(frozen=True)
class UtilityQualitySettings(LabelledSettings):
    """What is measured of utilities while a network learns by plain SGD (UPGD, Figs. 2 and 12)."""

    hidden: Widths = (50,)
    """Width of each hidden layer."""
    level: Literal["weight", "feature"] = "weight"
    """Utilities of weights, or of hidden units."""
    correlation: Literal["rank", "argsort"] = "rank"
    """Spearman's coefficient, equal values sharing a rank; or the code's statistic, of sorted indices in the place of ranks."""
    measured: Literal["before_update", "after_update"] = "before_update"
    """Where utilities and true ones are taken; the code takes them after the update, with slopes from before it."""
    window: Count = 10
    """Samples over which is averaged what it tells."""
