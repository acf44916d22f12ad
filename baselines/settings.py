"""The hyperparameters of the batch baselines PPO, SAC and TD3, of their one-sample forms, and of the classic learners.

Their sources, and what is our choice in them, stand in `baselines.batch` and `baselines.classic`; DQN's are in
`baselines.dqn_settings`. They are apart from what learns by them for the reason given in `algorithms.settings`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from algorithms import settings
from algorithms.ranges import Count, CountOrNone, Exponent, Fraction, NonNegative, Widths
from algorithms.settings import OptimizerName
from baselines.dqn_settings import DQN, Implementation, RolloutSizes, Sizes
from baselines.recurrent_settings import RecurrentPPOSettings
from baselines.rollout_settings import RolloutSettings

# Those that a buffer or a rollout may decide.
SIZES = ("rollout_steps", "minibatch_size", "epochs", "normalize_advantage", "buffer_size", "batch_size", "learning_starts")
MINIBATCHES = 32  # of a rollout, in CleanRL


@dataclass(frozen=True)
class PPO(RolloutSettings):
    """Hyperparameters of PPO, CleanRL's for continuous actions."""

    learning_rate: NonNegative = 3e-4
    """Adam's step size, for policy and value network together."""
    anneal_learning_rate: bool = True
    """Lower the step size linearly to 0, rollout by rollout."""
    minibatch_size: Count = 64
    """Samples per gradient step; CleanRL says 32 mini-batches."""
    epochs: Count = 10
    """Passes over each rollout."""
    clip_value_loss: bool = True
    """Take the larger of the value loss and its clipped form."""
    hidden: Widths = (64, 64)
    """Width of each hidden layer, tanh, the same for policy and value network."""
    sizes: RolloutSizes = field(default="as_given", metadata={"added_later": True})
    """`derived`: mini-batch no larger than the rollout; `cleanrl`: 32 mini-batches; see `with_sizes`."""


@dataclass(frozen=True)
class PPO1(PPO):
    """PPO that learns once from each sample (Stream-X, appendix F.4)."""

    rollout_steps: Count = 1
    """Environment steps between two updates."""
    minibatch_size: Count = 1
    """Samples per gradient step."""
    epochs: Count = 1
    """Passes over each sample."""
    normalize_advantage: bool = False
    """Off, since one sample has no standard deviation."""
    implementation: Implementation = field(default="sb3", metadata={"added_later": True})
    """Which code runs it: the step-by-step form on stable-baselines3, or lanes (`baselines.incremental`)."""


@dataclass(frozen=True)
class SAC:
    """Hyperparameters of SAC, CleanRL's for continuous actions."""

    policy_learning_rate: NonNegative = 3e-4
    """Adam's step size for the actor."""
    q_learning_rate: NonNegative = 1e-3
    """Adam's step size for the critics and for the entropy weight."""
    buffer_size: Count = 1_000_000
    """Transitions kept."""
    batch_size: Count = 256
    """Transitions per update."""
    learning_starts: CountOrNone = 5000
    """Steps with uniformly random actions and without updates."""
    gamma: Fraction = 0.99
    """Discount."""
    tau: Fraction = 0.005
    """Fraction by which the target critics follow at each update."""
    policy_frequency: Count = 2
    """Every so many steps the actor makes so many updates."""
    target_network_frequency: Count = 1
    """Steps between two updates of the target critics."""
    autotune: bool = True
    """Learn the entropy weight; the target entropy is minus the number of action components."""
    alpha: NonNegative = 0.2
    """Entropy weight without `autotune`."""
    log_std_min: Exponent = -5.0
    """Lower bound of the actor's log standard deviation."""
    log_std_max: Exponent = 2.0
    """Upper bound of the actor's log standard deviation."""
    hidden: Widths = (256, 256)
    """Width of each hidden layer, ReLU, the same for actor and critics."""
    time_feature: bool = False
    """Append the time to the observation: CleanRL does not. Overrides the option of the environment."""
    sizes: Sizes = field(default="as_given", metadata={"added_later": True})
    """`derived`: batch and learning starts no larger than the buffer; see `with_sizes`."""
    diagnostics: bool = field(default=False, metadata={"added_later": True})
    """Tell with every update how long the gradients of actor and critics are; not in lanes."""


@dataclass(frozen=True)
class SAC1(SAC):
    """SAC that learns from the newest transition only, one update per step (Stream-X, section 4.1)."""

    buffer_size: Count = 1
    """Transitions kept."""
    batch_size: Count = 1
    """Transitions per update."""
    learning_starts: CountOrNone = 1
    """Steps with uniformly random actions and without updates."""
    implementation: Implementation = field(default="sb3", metadata={"added_later": True})
    """Which code runs it: the step-by-step form on stable-baselines3, or lanes (`baselines.incremental`)."""


@dataclass(frozen=True)
class TD3:
    """Hyperparameters of TD3, CleanRL's for continuous actions."""

    learning_rate: NonNegative = 3e-4
    """Adam's step size, for the actor and for the critics."""
    buffer_size: Count = 1_000_000
    """Transitions kept."""
    batch_size: Count = 256
    """Transitions per update."""
    learning_starts: CountOrNone = 25_000
    """Steps with uniformly random actions and without updates."""
    gamma: Fraction = 0.99
    """Discount."""
    tau: Fraction = 0.005
    """Fraction by which the targets of actor and critics follow at each of their updates."""
    exploration_noise: NonNegative = 0.1
    """Standard deviation of the noise on the action taken, in halves of the action's range."""
    policy_noise: NonNegative = 0.2
    """Standard deviation of the noise on the action that the target values, in halves of the action's range."""
    noise_clip: NonNegative = 0.5
    """Bound of that noise, in halves of the action's range."""
    policy_frequency: Count = 2
    """Steps between two updates of the actor and of all targets."""
    hidden: Widths = (256, 256)
    """Width of each hidden layer, ReLU, the same for actor and critics."""
    time_feature: bool = False
    """Append the time to the observation: CleanRL does not. Overrides the option of the environment."""
    sizes: Sizes = field(default="as_given", metadata={"added_later": True})
    """`derived`: batch and learning starts no larger than the buffer; see `with_sizes`."""
    diagnostics: bool = field(default=False, metadata={"added_later": True})
    """Tell with every update how long the gradients of actor and critics are; not in lanes."""


@dataclass(frozen=True)
class TD3_1(TD3):  # noqa: N801
    """TD3 that learns from the newest transition only, one update per step (AVG, Fig. 1)."""

    buffer_size: Count = 1
    """Transitions kept."""
    batch_size: Count = 1
    """Transitions per update."""
    learning_starts: CountOrNone = 1
    """Steps with uniformly random actions and without updates."""
    implementation: Implementation = field(default="sb3", metadata={"added_later": True})
    """Which code runs it: the step-by-step form on stable-baselines3, or lanes (`baselines.incremental`)."""


@dataclass(frozen=True)
class ClassicSettings:
    """What all classic learners do without."""

    sparsity: Fraction = 0.0
    layer_norm: bool = False
    normalize_obs: bool = False
    normalize_reward: bool = False
    optimizer: OptimizerName = "adam"


@dataclass(frozen=True)
class ClassicACSettings(ClassicSettings, settings.StreamACSettings):
    """Hyperparameters of classic AC(lambda)."""

    alpha_policy: NonNegative = 1e-7
    """Adam's step size for the actor."""
    alpha_value: NonNegative = 1e-7
    """Adam's step size for the critic."""


@dataclass(frozen=True)
class ClassicQSettings(ClassicSettings, settings.StreamQSettings):
    """Hyperparameters of classic Q(lambda)."""

    alpha: NonNegative = 1e-5
    """Adam's step size."""


@dataclass(frozen=True)
class ClassicSARSASettings(ClassicSettings, settings.StreamSARSASettings):
    """Hyperparameters of classic SARSA(lambda)."""

    alpha: NonNegative = 1e-5
    """Adam's step size."""


@dataclass(frozen=True)
class ClassicTDSettings(ClassicSettings, settings.StreamTDSettings):
    """Hyperparameters of classic TD(lambda)."""

    alpha: NonNegative = 3e-4
    """Adam's step size."""


Learner = PPO | SAC | TD3 | DQN


def with_sizes(learner: Learner) -> Learner:
    """Return the learner with the sizes that it will use: its own, or those derived from its buffer or rollout.

    The rule of `sizes = "derived"` is our choice. SAC, TD3 and DQN: batch and learning starts are at most the size of the
    buffer, so that a buffer of 1 makes SAC1 and TD3-1, and with a train frequency of 1 DQN1. PPO: the rollout is the buffer, a
    mini-batch is at most a rollout, and a rollout of 1 is learnt from once. The advantage of a mini-batch of one sample is not
    normalised, be it left over at the end of a rollout or not. A rollout of 1 thus makes PPO1.

    PPO with `sizes = "cleanrl"` is the same but for the mini-batch: CleanRL fixes not its size but that there are 32 of them.
    Where 32 does not divide the rollout, the size is rounded up (CleanRL rounds down, which can leave a single sample over).
    """
    if isinstance(learner, PPO) and learner.sizes != "as_given":
        rollout = learner.rollout_steps
        minibatch = min(learner.minibatch_size, rollout) if learner.sizes == "derived" else math.ceil(rollout / MINIBATCHES)
        epochs = 1 if learner.rollout_steps == 1 else learner.epochs
        normalize = learner.normalize_advantage and minibatch > 1
        return replace(learner, minibatch_size=minibatch, epochs=epochs, normalize_advantage=normalize)
    if isinstance(learner, SAC | TD3 | DQN) and learner.sizes == "derived":
        size = learner.buffer_size
        return replace(learner, batch_size=min(learner.batch_size, size), learning_starts=min(learner.learning_starts, size))
    return learner


def used_sizes(learner: Learner | RecurrentPPOSettings, steps: int) -> dict[str, int | bool]:
    """Return the sizes that a run of so many steps works with, derived ones included, by the names of the hyperparameters."""
    learner = learner if isinstance(learner, RecurrentPPOSettings) else with_sizes(learner)
    used = {name: getattr(learner, name) for name in SIZES if hasattr(learner, name)}
    if "buffer_size" in used:
        used["buffer_size"] = min(used["buffer_size"], steps)  # what can never be filled need not be held
    return used
