"""The hyperparameters of the papers' learners: what each means, and its default.

They stand apart from the learners that inherit them because planning, status and figures need nothing else of a learner, and
importing torch takes longer than all of them. Nothing here imports anything of ours but the ranges.

Source: Stream-X (arXiv:2410.14606), section 3 and appendix F: one set of hyperparameters for all tasks. Where the paper's
text and the official code differ, the default is the code's; the learner's module lists these places. The scripts of the code
differ from one another too: for discrete Stream AC on vectors see `StreamAC`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from algorithms.ranges import CountOrNone, Fraction, Fractions, NonNegative, Positive, PositiveFraction, Schedule, Units, Widths

OptimizerName = Literal["obgd", "adaptive_obgd", "adam", "sgd"]
Torso = Literal["code", "paper"]
CellName = Literal["none", "rtu", "gru", "lstm"]
Activation = Literal["linear", "tanh", "relu"]

# Options that existing learners got later: runs from before they existed keep their names.
LATER = {"added_later": True}


@dataclass(frozen=True)
class LearnerSettings:
    """Hyperparameters of every streaming learner; the defaults are those of the code behind the figures of Stream-X."""

    gamma: Fraction = 0.99
    """Discount."""
    lamda: Fraction = 0.8
    """Trace decay; 0 learns from one step only."""
    sparsity: Fraction = 0.9
    """Fraction of incoming weights that start at zero; 0 is dense LeCun-uniform."""
    hidden: Widths = (128, 128)
    """Width of each hidden layer for vector observations; images bring their own torso (`algorithms.networks`)."""
    layer_norm: bool = True
    """LayerNorm without scale and bias on every hidden layer's pre-activations."""
    normalized_layers: CountOrNone = field(default=0, metadata=LATER)
    """LayerNorm in the first so many hidden layers of a vector's network alone, those behind a cell counted on; 0: in all."""
    normalize_obs: bool = True
    """Standardise observations with running statistics."""
    normalize_reward: bool = True
    """Divide rewards by the running standard deviation of their discounted sum."""
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
    torso: Torso = field(default="code", metadata=LATER)
    """Widths of the layers after the convolutions of an image: the code's, or those that the paper's text lists (F.2, F.3)."""
    diagnostics: bool = False
    """Tell with every update how far it went (`algorithms.diagnostics`)."""
    activation: Literal["leaky_relu", "tanh"] = field(default="leaky_relu", metadata=LATER)
    """Activation of the hidden layers."""
    one_sample_prior: bool = field(default=False, metadata=LATER)
    """Begin running statistics with one sample of mean 0 and variance 1, as in the code of arXiv:2605.24709."""


@dataclass(frozen=True)
class StreamLearnerSettings(LearnerSettings):
    """Hyperparameters of every stream-x learner: those that an eligibility trace and its optimiser bring."""

    optimizer: OptimizerName = "obgd"
    """What turns trace and TD error into a change of the parameters."""
    adaptive_bias_correction: bool = True
    """AdaptiveObGD divides its second moment by 1 - beta2^t; the paper's box does not."""


@dataclass(frozen=True)
class CellSettings:
    """What lies between the hidden layers and the heads of a network: nothing, or a recurrent cell (`algorithms.recurrent`).

    Source: recurrent trace units (arXiv:2409.01449) and streaming with real-time recurrent learning (arXiv:2605.24709).
    """

    cell: CellName = field(default="none", metadata=LATER)
    """Recurrent cell behind the hidden layers; with `none` the network is feed-forward and ignores the options below."""
    units: Units = field(default=192, metadata=LATER)
    """Units of the cell; an RTU gives two features for each."""
    gradient: Literal["rtrl", "tbptt1"] = field(default="rtrl", metadata=LATER)
    """Gradient of the cell: exact and through the whole past, or through the present step alone."""
    rtu_recurrence: Activation = field(default="linear", metadata=LATER)
    """Activation inside the recurrence of an RTU."""
    rtu_output: Activation = field(default="tanh", metadata=LATER)
    """Activation of what an RTU gives."""
    rtu_radius: Fractions = field(default=(0.0, 1.0), metadata=LATER)
    """Least and greatest decay r that an RTU starts with."""
    rtu_fan: Literal["units", "inputs"] = field(default="units", metadata=LATER)
    """What the variance of an RTU's input weights starts as one over: the streaming paper's code has it so, or LeCun's."""
    taylor_correction: bool = field(default=False, metadata=LATER)
    """Move an RTU's sensitivities along with its parameters, to first order; `algorithms.rtu` says how far that goes."""
    readout: Widths = field(default=(), metadata=LATER)
    """Width of each hidden layer between the cell and the heads."""
    staleness_window: CountOrNone = field(default=0, metadata=LATER)
    """Tell every so many steps how far an RTU's sensitivities are from what its present parameters would have made; 0: never.

    The inputs of so many steps are kept for it, and nothing is told of longer episodes."""

    def __post_init__(self) -> None:
        if self.units < 1:
            raise ValueError(f"units must be a positive number; {self.units} is not")
        numbers = [x for x in self.rtu_radius if type(x) in (int, float)]
        if not (len(self.rtu_radius) == len(numbers) == 2 and 0 <= numbers[0] < numbers[1] <= 1):
            raise ValueError(f"rtu_radius must be two numbers with 0 <= least < greatest <= 1; {self.rtu_radius} is not")
        if self.staleness_window and (self.cell, self.gradient, self.rtu_recurrence) != ("rtu", "rtrl", "linear"):
            raise ValueError("staleness_window is for an RTU with linear recurrence and gradient rtrl alone")
        if self.staleness_window < 0:
            raise ValueError(f"staleness_window must be a number of steps, or 0 for never; {self.staleness_window} is not")
        if any(type(width) is not int or width < 1 for width in self.readout):
            raise ValueError(f"readout must be a list of positive widths, like [64]; {self.readout} is not")


@dataclass(frozen=True)
class StreamACSettings(CellSettings, StreamLearnerSettings):
    """Hyperparameters of Stream AC(lambda), one set for all tasks of the paper (Stream-X, section 3 and appendix F.4).

    They all have continuous actions. The code's script for discrete ones on vectors (classic control) has `hidden` (32, 32).
    """

    alpha_policy: NonNegative = 1.0
    """Step size of the actor before the bound."""
    alpha_value: NonNegative = 1.0
    """Step size of the critic before the bound."""
    kappa_policy: Positive = 3.0
    """How cautious the actor's bound is: its change has an L1 norm of at most 1 / kappa."""
    kappa_value: Positive = 2.0
    """How cautious the critic's bound is."""
    entropy: NonNegative = 0.01
    """Weight tau of the entropy in the actor's trace."""
    diagnostics: bool = field(default=False, metadata=LATER)
    """Tell with every update how far it went (`algorithms.diagnostics`). Runs from before it existed keep their names."""
    free_std: bool = field(default=False, metadata=LATER)
    """The logarithm of a Gaussian's standard deviation is a parameter, the same whatever is seen, that starts at 0."""
    head_init: Literal["sparse", "orthogonal"] = field(default="sparse", metadata=LATER)
    """How heads begin: as all layers, or with orthogonal weights, times 1 in the critic and times 0.01 in the actor."""


@dataclass(frozen=True)
class BoundedStepSettings:
    """The step of a learner with one network."""

    alpha: NonNegative = 1.0
    """Step size before the bound."""
    kappa: Positive = 2.0
    """How cautious the bound is: a change has an L1 norm of at most 1 / kappa."""


@dataclass(frozen=True)
class ExplorationSettings:
    """Epsilon-greedy exploration.

    The schedule is linear from `epsilon_start` to `epsilon_end` over the first `exploration_fraction` of `schedule_steps`
    choices of an action, counted from 1. A run may be shorter than its schedule.
    """

    epsilon_start: Fraction = 1.0
    """Probability of a random action at the beginning."""
    epsilon_end: Fraction = 0.01
    """Probability of a random action in the end."""
    exploration_fraction: PositiveFraction = 0.05
    """Share of the schedule over which epsilon falls."""
    schedule_steps: Schedule = 500_000.0
    """Length of the schedule in steps: that of the published run, also where a run is cut short."""


@dataclass(frozen=True)
class ActionValueLearnerSettings(ExplorationSettings, BoundedStepSettings, StreamLearnerSettings):
    """Hyperparameters of Stream Q(lambda) and Stream SARSA(lambda), one set for all tasks (Stream-X, appendices F.2, F.3)."""

    hidden: Widths = (32, 32)
    """Width of each hidden layer for vector observations; images bring their own torso (`algorithms.networks`)."""


@dataclass(frozen=True)
class StreamQSettings(CellSettings, ActionValueLearnerSettings):
    """Hyperparameters of Stream Q(lambda)."""

    cut: Literal["after_update", "before_accumulation", "never"] = "after_update"
    """When an exploratory action empties the trace: after the update from it (the code), before its gradient is added (the
    paper), or never, as Peng's Q(lambda) has it; before November 2024 the code left the choice."""


@dataclass(frozen=True)
class StreamSARSASettings(ActionValueLearnerSettings):
    """Hyperparameters of Stream SARSA(lambda)."""

    first_action: Literal["from_terminal_obs", "from_first_obs"] = "from_terminal_obs"
    """Which observation the first action of an episode is chosen from: the last of the episode before, or its own first."""


@dataclass(frozen=True)
class StreamTDSettings(BoundedStepSettings, StreamLearnerSettings):
    """Hyperparameters of Stream TD(lambda) (Stream-X, appendix F.1)."""


@dataclass(frozen=True)
class QRCSettings(CellSettings, ExplorationSettings, LearnerSettings):
    """Hyperparameters of QRC(lambda); the defaults are those of the official code for MemoryChain (arXiv:2605.24709)."""

    alpha: NonNegative = 1e-4
    """Step size of the action values."""
    alpha_h: NonNegative = 1e-5
    """Step size of the expected TD error."""
    beta: NonNegative = 1.0
    """Weight of the regularisation of the expected TD error's parameters."""
    max_norm: NonNegative = 0.0
    """Longest change of a network before the step size, in the L2 norm over all its parameters; 0: any length."""
    gradient_correction: bool = True
    """Subtract the two correction terms from the change of the action values."""
    exploration_fraction: PositiveFraction = 0.1
    """Share of the schedule over which epsilon falls."""
    hidden: Widths = (128,)
    """Width of each hidden layer before the cell."""
    one_sample_prior: bool = True
    """Begin running statistics with one sample of mean 0 and variance 1."""
    cell: CellName = "rtu"
    """Recurrent cell behind the hidden layers; with `none` the network is feed-forward and ignores the options about it."""
