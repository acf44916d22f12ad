"""The hyperparameters that PPO and recurrent PPO have in common. Nothing here imports torch."""

from __future__ import annotations

from dataclasses import dataclass

from algorithms.ranges import Count, Fraction, NonNegative, Positive


@dataclass(frozen=True)
class RolloutSettings:
    """Learning from rollouts by a clipped ratio of probabilities, with normalised observations and rewards."""

    adam_epsilon: NonNegative = 1e-5
    """Adam's epsilon."""
    rollout_steps: Count = 2048
    """Environment steps between two updates, and the size of the batch."""
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
    """Append the time to the observation: CleanRL does not. Overrides the option of the environment."""
