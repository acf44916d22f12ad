"""The hyperparameters of recurrent PPO; what is our choice in them stands in `baselines.recurrent_ppo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms.ranges import Count, NonNegative, Units, Widths
from baselines.rollout_settings import RolloutSettings


@dataclass(frozen=True)
class RecurrentPPOSettings(RolloutSettings):
    """Hyperparameters of recurrent PPO: those that arXiv:2605.24709 has for MuJoCo, but for sequences and mini-batches."""

    cell: Literal["rtu", "gru", "lstm"] = "rtu"
    """The recurrent layer, of policy and value network each."""
    units: Units = 192
    """Its units; an RTU gives two features for each."""
    hidden: Widths = (64,)
    """Width of each hidden layer before the cell, tanh."""
    readout: Widths = (64,)
    """Width of each hidden layer behind the cell, tanh."""
    learning_rate: NonNegative = 1e-4
    """Adam's step size, for both networks together."""
    sequence_steps: Count = 64
    """Steps through which the gradient goes back at most; a rollout is cut into pieces of this length."""
    minibatch_size: Count = 256
    """Samples of a gradient step, in whole sequences."""
    epochs: Count = 4
    """Passes over each rollout."""
