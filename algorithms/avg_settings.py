"""The hyperparameters of AVG: what each means, and its default. Apart from the learner for the reason given in `settings`.

Source: AVG (arXiv:2411.15370) and its official code as of May 2025. Where the two differ, the default is that code; the
learner's module lists these places. The defaults of step sizes, entropy and discount are those that the code gives
for Ant, HalfCheetah and Humanoid. Other tasks have others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms.ranges import Decay, Fraction, NonNegative, Widths

FeatureNorm = Literal["penultimate", "layer_norm", "rms_norm", "none"]
ColdStart = Literal["until_variance", "until_two_returns"]
ReturnAtTruncation = Literal["carried", "dropped", "counted"]


@dataclass(frozen=True)
class NormalizedSettings:
    """What AVG shares with the incremental learners of its paper: the three parts that make a small update a safe one."""

    gamma: Fraction = 0.99
    """Discount."""
    beta1: Decay = 0.0
    """Decay of the first moment of every Adam; 0: none."""
    beta2: Decay = 0.999
    """Decay of the second moment of every Adam."""
    hidden: Widths = (256, 256)
    """Width of each hidden layer, LeakyReLU, the same for actor and critic."""
    normalize_obs: bool = True
    """Standardise observations with running statistics."""
    feature_norm: FeatureNorm = "penultimate"
    """What is done to the last hidden layer: divided by its length, LayerNorm, RMSNorm, or nothing."""
    feature_floor: NonNegative = 0.0
    """What a length is taken as at least where features are divided by it. With 0, features that are all 0 end the run."""
    scale_td_error: bool = True
    """Divide TD errors by a running estimate of their scale (`algorithms.td_scaling`)."""
    cold_start: ColdStart = "until_variance"
    """How long that scale stays 1: until rewards vary, or until two episodes have ended."""
    return_at_truncation: ReturnAtTruncation = "carried"
    """What becomes of an episode's return at a time limit: carried into the next episode, dropped, or counted as at an end."""
    time_feature: bool = False
    """Append the time to the observation: the code does not. Overrides the option of the environment."""
    diagnostics: bool = False
    """Tell with every update how long the gradients of actor and critic are."""


@dataclass(frozen=True)
class AVGSettings(NormalizedSettings):
    """Hyperparameters of AVG."""

    actor_lr: NonNegative = 6.3e-3
    """Adam's step size for the actor."""
    critic_lr: NonNegative = 8.7e-3
    """Adam's step size for the critic."""
    entropy: NonNegative = 0.07
    """Weight eta of the entropy."""
    log_variance: bool = True
    """The actor's second head is the log of the variance, as in the code; else that of the standard deviation."""
    entropy_in_scale: bool = True
    """The scale of TD errors is that of rewards with their share of entropy, as in the code; else that of plain rewards."""
    target_network: bool = False
    """Take the value of the next action from a copy of the critic that follows it slowly."""
    tau: Fraction = 1.0
    """Fraction by which that copy follows at every step: 1 is no copy at all, 0 one that never moves."""
