"""The hyperparameters of the incremental learners that AVG is compared with: IAC, and its own forms of SAC-1 and TD3-1.

Source: AVG (arXiv:2411.15370) and its official code. By default nothing is normalised and nothing scaled; with `PLUS` they are
the learners that the paper writes with a plus. The settings behind the published curves are not known. Step sizes here are
those of examples in the code's documentation, or CleanRL's for TD3-1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from algorithms.avg_settings import FeatureNorm, NormalizedSettings
from algorithms.ranges import Count, Decay, Fraction, NonNegative, Positive

# What makes IAC+ of IAC, SAC-1+ of SAC-1 and TD3-1+ of TD3-1.
PLUS: Mapping[str, Any] = {"normalize_obs": True, "feature_norm": "penultimate", "scale_td_error": True}

EntropyForm = Literal["none", "actor", "distribution", "sample"]


@dataclass(frozen=True)
class PlainSettings(NormalizedSettings):
    """What all three do without unless it is asked for."""

    normalize_obs: bool = False
    """Standardise observations with running statistics."""
    feature_norm: FeatureNorm = "none"
    """What is done to the last hidden layer: divided by its length, LayerNorm, RMSNorm, or nothing."""
    scale_td_error: bool = False
    """Divide TD errors by a running estimate of their scale (`algorithms.td_scaling`)."""


@dataclass(frozen=True)
class IACSettings(PlainSettings):
    """Hyperparameters of IAC; the step sizes are those of the code's example on Hopper, configuration 122 of its search."""

    actor_lr: NonNegative = 1.1e-5
    """Adam's step size for the actor."""
    critic_lr: NonNegative = 7.7e-5
    """Adam's step size for the critic."""
    entropy: NonNegative = 0.3
    """Weight eta of the entropy."""
    entropy_form: EntropyForm = "actor"
    """Where entropy counts: nowhere; in the actor's loss; in the reward as well, as that of the distribution; or in the reward
    alone, as that of the sampled action, -log pi(A|S)."""
    log_variance: bool = True
    """The actor's second head is the log of the variance, as in the code; else that of the standard deviation."""


@dataclass(frozen=True)
class AVGSAC1Settings(PlainSettings):
    """Hyperparameters of SAC-1 in AVG's form; those of the code's example on HalfCheetah, configuration 146 of its search."""

    gamma: Fraction = 1.0
    """Discount."""
    actor_lr: NonNegative = 8.2e-5
    """Adam's step size for the actor."""
    critic_lr: NonNegative = 2.9e-5
    """Adam's step size for the critics."""
    entropy_lr: NonNegative = 0.02
    """Adam's step size for the log of the entropy weight, with betas 0.5 and 0.999."""
    first_entropy: Positive = 0.1
    """Entropy weight to begin with."""
    tau: Fraction = 0.005
    """Fraction by which the target critics follow at every step."""
    log_variance: bool = True
    """The actor's second head is the log of the variance, as in the code; else that of the standard deviation."""
    entropy_in_scale: bool = True
    """The scale of TD errors is that of rewards with their share of entropy, as in the code; else that of plain rewards."""


@dataclass(frozen=True)
class AVGTD31Settings(PlainSettings):
    """Hyperparameters of TD3-1 in AVG's form: CleanRL's numbers."""

    beta1: Decay = 0.9
    """Decay of the first moment of every Adam; 0: none."""
    actor_lr: NonNegative = 3e-4
    """Adam's step size for the actor."""
    critic_lr: NonNegative = 3e-4
    """Adam's step size for the critics."""
    tau: Fraction = 0.005
    """Fraction by which the targets of actor and critics follow at each of their updates."""
    exploration_noise: NonNegative = 0.1
    """Standard deviation of the noise on the action taken."""
    policy_noise: NonNegative = 0.2
    """Standard deviation of the noise on the action that the target values."""
    noise_clip: NonNegative = 0.5
    """Bound of that noise."""
    policy_frequency: Count = 2
    """Steps between two updates of the actor and of all targets."""
