"""The hyperparameters of what UPGD is compared with on labelled streams. Nothing here imports torch.

Source: UPGD (arXiv:2404.00781), appendix I.4, and its official code. The defaults are those of input-permuted MNIST.
"""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.continual_settings import LabelledSettings


@dataclass(frozen=True)
class SGDSettings(LabelledSettings):
    """Hyperparameters of SGD, with weight decay SGDW."""

    step_size: float = 0.001
    """Step size alpha."""
    weight_decay: float = 0.001
    """Weight decay lambda: weights shrink by 1 - alpha lambda. 0 is SGD."""


@dataclass(frozen=True)
class PGDSettings(LabelledSettings):
    """Hyperparameters of perturbed gradient descent."""

    step_size: float = 0.001
    """Step size alpha."""
    sigma: float = 0.05
    """Standard deviation of the noise on the gradient. The code's lists hold half of what the paper prints, which is 0.1."""
    sigma_scale: float = 1.0
    """Factor on sigma: 2 makes the paper's of the code's, and 1/2 the code's of the paper's."""


@dataclass(frozen=True)
class ShrinkAndPerturbSettings(PGDSettings):
    """Hyperparameters of shrink and perturb: PGD with weight decay."""

    weight_decay: float = 0.01
    """Decoupled weight decay lambda: weights shrink by 1 - alpha lambda."""


@dataclass(frozen=True)
class AdamSettings(LabelledSettings):
    """Hyperparameters of Adam, with weight decay AdamW."""

    step_size: float = 1e-4
    """Step size alpha."""
    beta1: float = 0.0
    """Decay of the first moment."""
    beta2: float = 0.99
    """Decay of the second moment."""
    epsilon: float = 1e-8
    """Added to the root of the second moment."""
    weight_decay: float = 0.0
    """Decoupled weight decay lambda: weights shrink by 1 - alpha lambda before the step."""
