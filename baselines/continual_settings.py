"""The hyperparameters of what UPGD is compared with on labelled streams. Nothing here imports torch.

Source: UPGD (arXiv:2404.00781), appendix I.4, and its official code. The defaults are those of input-permuted MNIST.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms.continual_settings import LabelledSettings
from algorithms.ranges import Count, Decay, Fraction, NonNegative, Widths


@dataclass(frozen=True)
class SGDSettings(LabelledSettings):
    """Hyperparameters of SGD, with weight decay SGDW."""

    step_size: NonNegative = 0.001
    """Step size alpha."""
    weight_decay: NonNegative = 0.001
    """Weight decay lambda: weights shrink by 1 - alpha lambda. 0 is SGD."""


@dataclass(frozen=True)
class PGDSettings(LabelledSettings):
    """Hyperparameters of perturbed gradient descent."""

    step_size: NonNegative = 0.001
    """Step size alpha."""
    sigma: NonNegative = 0.05
    """Standard deviation of the noise on the gradient. The code's lists hold half of what the paper prints, which is 0.1."""
    sigma_scale: NonNegative = 1.0
    """Factor on sigma: 2 makes the paper's of the code's, and 1/2 the code's of the paper's."""


@dataclass(frozen=True)
class ShrinkAndPerturbSettings(PGDSettings):
    """Hyperparameters of shrink and perturb: PGD with weight decay."""

    weight_decay: NonNegative = 0.01
    """Decoupled weight decay lambda: weights shrink by 1 - alpha lambda."""


@dataclass(frozen=True)
class AdamSettings(LabelledSettings):
    """Hyperparameters of Adam, with weight decay AdamW."""

    step_size: NonNegative = 1e-4
    """Step size alpha."""
    beta1: Decay = 0.0
    """Decay of the first moment."""
    beta2: Decay = 0.99
    """Decay of the second moment."""
    epsilon: NonNegative = 1e-8
    """Added to the root of the second moment."""
    weight_decay: NonNegative = 0.0
    """Decoupled weight decay lambda: weights shrink by 1 - alpha lambda before the step."""


@dataclass(frozen=True)
class AdamRestartsSettings(AdamSettings):
    """Hyperparameters of Adam that begins anew with every task: it is told where tasks begin, as no other learner is."""

    step_size: NonNegative = 1e-4
    """Step size alpha."""
    beta1: Decay = 0.9
    """Decay of the first moment."""
    beta2: Decay = 0.9999
    """Decay of the second moment."""
    restart_every: Count = 60_000
    """Samples between two restarts: those of a task."""
    restart: Literal["after_first_update", "before_task"] = "after_first_update"
    """When: after the first update of a new task, as in the code, or before it."""
    reset_moments: bool = False
    """Begin Adam's moments anew as well; the code keeps them."""


@dataclass(frozen=True)
class ImportanceSettings(LabelledSettings):
    """What the methods against forgetting have in common: weights are drawn back to their average, the important ones more."""

    step_size: NonNegative = 0.001
    """Step size alpha."""
    kappa: NonNegative = 0.1
    """Weight of the pull."""
    beta_importance: Decay = 0.9999
    """Decay of the trace of importance."""
    beta_weight: Decay = 0.999
    """Decay of the average of the weights."""


@dataclass(frozen=True)
class StreamingEWCSettings(ImportanceSettings):
    """Hyperparameters of S-EWC."""

    kappa: NonNegative = 0.001
    """Weight of the pull."""
    beta_weight: Decay = 0.99
    """Decay of the average of the weights."""


@dataclass(frozen=True)
class StreamingMASSettings(ImportanceSettings):
    """Hyperparameters of S-MAS."""


@dataclass(frozen=True)
class StreamingSISettings(ImportanceSettings):
    """Hyperparameters of S-SI."""

    damping: NonNegative = 1e-3
    """Added to the squared distance, so that it can be divided by."""
    first_step_from: Literal["zero", "initial_weights"] = "zero"
    """Where the first step is taken to have come from: in the code from weights of zero, which makes it a spurious one."""


@dataclass(frozen=True)
class StreamingRWalkSettings(StreamingSISettings):
    """Hyperparameters of S-RWalk."""

    kappa: NonNegative = 10.0
    """Weight of the pull."""
    beta_importance: Decay = 0.99
    """Decay of the trace of importance."""
    rwalk_variant: Literal["code", "paper"] = "code"
    """The code's form or the paper's, which wants `first_step_from=initial_weights`: see `baselines.continual_importance`."""


@dataclass(frozen=True)
class ReplacementSettings(LabelledSettings):
    """What learners have in common that replace hidden units of little use by new ones."""

    step_size: NonNegative = 0.003
    """Step size alpha of SGD."""
    weight_decay: NonNegative = 0.0
    """Weight decay lambda: weights shrink by 1 - alpha lambda."""
    replacement_rate: Fraction = 1e-5
    """Share of a layer's mature units that is replaced at a step. Parts of a unit are added up until they make a whole."""
    maturity: NonNegative = 100.0
    """Updates for which a new unit is safe."""
    beta_utility: Decay = 0.99
    """Decay of the trace of a unit's utility; 0 takes that of the moment."""


@dataclass(frozen=True)
class ContinualBackpropSettings(ReplacementSettings):
    """Hyperparameters of continual backprop; the defaults are those of online permuted MNIST."""

    contribution: Literal["adaptable", "plain"] = "adaptable"
    """A unit's utility: its distance from its mean times outgoing over incoming weights, or its size times outgoing ones."""


@dataclass(frozen=True)
class GenerateAndTestSettings(ReplacementSettings):
    """Hyperparameters of representation search by generate and test."""

    hidden: Widths = (300,)
    """Width of the one hidden layer."""
    beta_utility: Decay = 0.0
    """Decay of the trace of a unit's utility; 0 takes that of the moment."""
    train_features: bool = False
    """Train the weights of the features as well, which are as they were drawn otherwise."""
