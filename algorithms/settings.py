"""The hyperparameters of the papers' learners: what each means, and its default.

They stand apart from the learners that inherit them because planning, status and figures need nothing else of a learner, and
importing torch takes longer than all of them. Nothing here imports anything of ours.

Source: Stream-X (arXiv:2410.14606), section 3 and appendix F: one set of hyperparameters for all tasks. Where the paper's
text and the official code differ, the default is the code's; the learner's module lists these places. The scripts of the code
differ from one another too: for discrete Stream AC on vectors see `StreamAC`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

OptimizerName = Literal["obgd", "adaptive_obgd", "adam", "sgd"]
Torso = Literal["code", "paper"]


@dataclass(frozen=True)
class StreamLearnerSettings:
    """Hyperparameters of every stream-x learner; the defaults are those of the code behind the paper's figures."""

    gamma: float = 0.99
    """Discount."""
    lamda: float = 0.8
    """Trace decay; 0 learns from one step only."""
    sparsity: float = 0.9
    """Fraction of incoming weights that start at zero; 0 is dense LeCun-uniform."""
    hidden: tuple[int, ...] = (128, 128)
    """Width of each hidden layer for vector observations; images bring their own torso (`algorithms.networks`)."""
    layer_norm: bool = True
    """LayerNorm without scale and bias on every hidden layer's pre-activations."""
    normalize_obs: bool = True
    """Standardise observations with running statistics."""
    normalize_reward: bool = True
    """Divide rewards by the running standard deviation of their discounted sum."""
    optimizer: OptimizerName = "obgd"
    """What turns trace and TD error into a change of the parameters."""
    bootstrap_on_truncation: bool = False
    """Keep the value of S' in the target when a time limit ended the episode."""
    reset_trace_on_truncation: bool = True
    """Start the next episode with empty traces after a time limit, as after a terminal state."""
    cut_reward_trace_on_truncation: bool = True
    """Cut the discounted reward sum of the reward scaler at a time limit, as at a terminal state."""
    centered_reward_variance: bool = True
    """Subtract the running mean in the reward scaler's variance."""
    same_inputs_for_all_units: bool = False
    """SparseInit drops one set of inputs per layer instead of one per unit."""
    torso: Torso = field(default="code", metadata={"added_later": True})
    """Widths of the layers after the convolutions of an image: the code's, or those that the paper's text lists (F.2, F.3)."""
    adaptive_bias_correction: bool = True
    """AdaptiveObGD divides its second moment by 1 - beta2^t; the paper's box does not."""
    diagnostics: bool = False
    """Tell with every update how far it went (`algorithms.diagnostics`)."""


@dataclass(frozen=True)
class StreamACSettings(StreamLearnerSettings):
    """Hyperparameters of Stream AC(lambda), one set for all tasks of the paper (Stream-X, section 3 and appendix F.4).

    They all have continuous actions. The code's script for discrete ones on vectors (classic control) has `hidden` (32, 32).
    """

    alpha_policy: float = 1.0
    """Step size of the actor before the bound."""
    alpha_value: float = 1.0
    """Step size of the critic before the bound."""
    kappa_policy: float = 3.0
    """How cautious the actor's bound is: its change has an L1 norm of at most 1 / kappa."""
    kappa_value: float = 2.0
    """How cautious the critic's bound is."""
    entropy: float = 0.01
    """Weight tau of the entropy in the actor's trace."""
    diagnostics: bool = field(default=False, metadata={"added_later": True})
    """Tell with every update how far it went (`algorithms.diagnostics`). Runs from before it existed keep their names."""


@dataclass(frozen=True)
class ActionValueLearnerSettings(StreamLearnerSettings):
    """Hyperparameters of Stream Q(lambda) and Stream SARSA(lambda), one set for all tasks (Stream-X, appendices F.2, F.3).

    The exploration schedule is linear from `epsilon_start` to `epsilon_end` over the first `exploration_fraction` of
    `schedule_steps` choices of an action, counted from 1. A run may be shorter than its schedule.
    """

    alpha: float = 1.0
    """Step size before the bound."""
    kappa: float = 2.0
    """How cautious the bound is: a change has an L1 norm of at most 1 / kappa."""
    epsilon_start: float = 1.0
    """Probability of a random action at the beginning."""
    epsilon_end: float = 0.01
    """Probability of a random action in the end."""
    exploration_fraction: float = 0.05
    """Share of the schedule over which epsilon falls."""
    schedule_steps: float = 500_000.0
    """Length of the schedule in steps: that of the published run, also where a run is cut short."""
    hidden: tuple[int, ...] = (32, 32)
    """Width of each hidden layer for vector observations; images bring their own torso (`algorithms.networks`)."""


@dataclass(frozen=True)
class StreamQSettings(ActionValueLearnerSettings):
    """Hyperparameters of Stream Q(lambda)."""

    cut: Literal["after_update", "before_accumulation"] = "after_update"
    """When an exploratory action empties the trace: after the update from it, or before its gradient is added."""


@dataclass(frozen=True)
class StreamSARSASettings(ActionValueLearnerSettings):
    """Hyperparameters of Stream SARSA(lambda)."""

    first_action: Literal["from_terminal_obs", "from_first_obs"] = "from_terminal_obs"
    """Which observation the first action of an episode is chosen from: the last of the episode before, or its own first."""


@dataclass(frozen=True)
class StreamTDSettings(StreamLearnerSettings):
    """Hyperparameters of Stream TD(lambda) (Stream-X, appendix F.1)."""

    alpha: float = 1.0
    """Step size before the bound."""
    kappa: float = 2.0
    """How cautious the bound is: a change has an L1 norm of at most 1 / kappa."""
