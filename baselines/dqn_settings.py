"""Hyperparameters of DQN and of its one-sample form DQN1.

Source: CleanRL's `dqn` and `dqn_atari`, which Stream-X (arXiv:2410.14606, appendices F.2, F.3) names for DQN1: the same
hyperparameters with a buffer and a batch of 1, learning from step 1 on and at every step. DQN itself was not run by the paper,
whose bars and lines of DQN are those of Young & Tian (2019, MinAtar) and of Hessel et al. (2018, Atari).

The defaults are those of CleanRL's `dqn`, for vector observations and for MinAtar. For Atari an experiment sets the values of
`ATARI` (DQN) or `ATARI1` (DQN1): nothing is chosen behind the configuration of a run. Only the network follows from what the
environment shows (`baselines.stepwise_dqn.network`).

Our choice, since it was not published: MinAtar takes CleanRL's `dqn` and not its `dqn_atari`, with the network of Stream-X
without LayerNorm; DQN1 on Atari clips rewards to their sign and divides pixels by 255, as `dqn_atari` does.

Truncation: the value of the last observation is kept in the target where a time limit ended an episode, as in CleanRL.

Deviations from CleanRL:
1. In Atari the game goes on after a lost life: it is terminal for the target, but no-op, FIRE and a new stack of frames come
   with a new game only, as the streaming learners see it. CleanRL's wrappers begin anew after each life.
2. Atari frames are kept once each, and the last one of an episode too. CleanRL's buffer (`optimize_memory_usage`) bootstraps
   a time limit from the first frame of the next episode, and cannot be sampled at a size of 1.
3. Initial weights follow the same laws, drawn in another order, so equal seeds are not equal runs.
4. Adam works on all parameters as one vector: equal up to rounding.
5. Every episode starts from a seed of its own, as in all environments of this suite.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from algorithms.ranges import Count, CountOrNone, Fraction, NonNegative, PositiveFraction, ScheduleOrRun, Widths

# The one-sample forms exist twice; see `baselines.incremental`.
Implementation = Literal["sb3", "lanes"]
# How sizes that a buffer or a rollout may decide are found; see `baselines.settings.with_sizes`.
Sizes = Literal["as_given", "derived"]
RolloutSizes = Literal["as_given", "derived", "cleanrl"]


@dataclass(frozen=True)
class DQN:
    """Hyperparameters of DQN, those of CleanRL's `dqn`."""

    learning_rate: NonNegative = 2.5e-4
    """Adam's step size."""
    buffer_size: Count = 10_000
    """Transitions kept."""
    batch_size: Count = 128
    """Transitions per update."""
    learning_starts: CountOrNone = 10_000
    """Steps without updates."""
    train_frequency: Count = 10
    """Steps between two updates."""
    gamma: Fraction = 0.99
    """Discount."""
    target_network_frequency: Count = 500
    """Steps between two updates of the target network, counted whether or not there is an update of the other one."""
    tau: Fraction = 1.0
    """Fraction by which the target network follows at each of them; 1 copies."""
    epsilon_start: Fraction = 1.0
    """Probability of a random action at the beginning."""
    epsilon_end: Fraction = 0.05
    """Probability of a random action in the end."""
    exploration_fraction: PositiveFraction = 0.5
    """Share of the schedule over which epsilon falls linearly."""
    schedule_steps: ScheduleOrRun = 0.0
    """Length of the schedule in steps, that of the published run where a run is cut short; 0 for the run's own length."""
    clip_reward: bool = False
    """Learn from the sign of the reward; returns are recorded as they are."""
    hidden: Widths = (120, 84)
    """Width of each hidden layer, ReLU, for vector observations; images bring a network of their own."""
    time_feature: bool = False
    """Append the time to the observation: CleanRL does not. Overrides the option of the environment."""
    sizes: Sizes = field(default="as_given", metadata={"added_later": True})
    """`derived`: batch and learning starts no larger than the buffer; see `baselines.settings.with_sizes`."""


@dataclass(frozen=True)
class DQN1(DQN):
    """DQN that learns from the newest transition only, one update per step (Stream-X, appendices F.2, F.3)."""

    buffer_size: Count = 1
    """Transitions kept."""
    batch_size: Count = 1
    """Transitions per update."""
    learning_starts: CountOrNone = 1
    """Steps without updates."""
    train_frequency: Count = 1
    """Steps between two updates."""
    implementation: Implementation = field(default="sb3", metadata={"added_later": True})
    """Which code runs it: the step-by-step form on stable-baselines3, or lanes (`baselines.incremental`)."""


# What CleanRL's `dqn_atari` sets differently, first that which DQN1 takes over.
ATARI1: Mapping[str, int | float] = {
    "learning_rate": 1e-4,
    "target_network_frequency": 1000,
    "epsilon_end": 0.01,
    "exploration_fraction": 0.1,
    "clip_reward": True,
}
ATARI: Mapping[str, int | float] = {
    **ATARI1,
    "buffer_size": 1_000_000,
    "batch_size": 32,
    "learning_starts": 80_000,
    "train_frequency": 4,
}
