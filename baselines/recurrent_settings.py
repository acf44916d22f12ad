"""The hyperparameters of recurrent PPO; what is our choice in them stands in `baselines.recurrent_ppo`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from algorithms.ranges import Count, Fraction, NonNegative, Positive, Units, Widths


@dataclass(frozen=True)
class RecurrentPPOSettings:
    """Hyperparameters of recurrent PPO: those that arXiv:2605.24709 has for MuJoCo, except for the length of sequences."""

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
    adam_epsilon: NonNegative = 1e-5
    """Adam's epsilon."""
    rollout_steps: Count = 2048
    """Environment steps between two updates."""
    sequence_steps: Count = 64
    """Steps through which the gradient goes back at most; a rollout is cut into pieces of this length."""
    minibatch_size: Count = 256
    """Samples of a gradient step, in whole sequences."""
    epochs: Count = 4
    """Passes over each rollout."""
    gamma: Fraction = 0.99
    """Discount, of the return and of the reward normalisation."""
    gae_lambda: Fraction = 0.95
    """Decay of the advantage estimate."""
    clip_range: Positive = 0.2
    """How far the ratio of probabilities, and the value, may move before the loss is clipped."""
    normalize_advantage: bool = True
    """Standardise the advantages of each mini-batch."""
    entropy_coefficient: NonNegative = 0.0
    """Weight of the entropy bonus."""
    value_coefficient: NonNegative = 0.5
    """Weight of the value loss, which is half the squared error."""
    max_grad_norm: Positive = 0.5
    """Longest gradient of all parameters together; longer ones are shortened to it."""
    bootstrap_on_truncation: bool = False
    """Add the value of the last observation where a time limit ended the episode."""
    normalize_obs: bool = True
    """Standardise observations with running statistics, then clip them."""
    obs_clip: Positive = 10.0
    """Bound of a standardised observation."""
    normalize_reward: bool = True
    """Divide rewards by the running standard deviation of their discounted sum, then clip them."""
    reward_clip: Positive = 10.0
    """Bound of a normalised reward."""
    time_feature: bool = False
    """Append the time to the observation."""
