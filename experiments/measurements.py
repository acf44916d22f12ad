"""Settings of what is measured rather than trained. Each says in `title` what it measures and in `repeat_seconds` how long."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval, MinLen

from algorithms.ranges import CountOrNone, Finite, Positive, Units
from experiments.checks import check_fields

Seconds = Annotated[float, Interval(gt=0, le=3600)]
Lanes = Annotated[int, Interval(ge=1, le=1024)]
Workers = Annotated[int, Interval(ge=1, le=1024)]
Points = Annotated[int, Interval(ge=2, le=10**6)]
Sizes = Annotated[tuple[CountOrNone, ...], MinLen(1), "a list of whole numbers from 0, like [1, 1000]"]
Deviations = Annotated[tuple[Positive, ...], MinLen(1), "a list of positive numbers"]


@dataclass(frozen=True)
class Throughput:
    """What to measure. A run's `steps` is the number of times that all quantities are measured, in turn."""

    learner: str = "stream_ac"
    """Algorithm of the registry, with its default hyperparameters."""
    implementation: Literal["", "sb3", "lanes", "library"] = field(default="", metadata={"added_later": True})
    """Which form of a one-sample learner; `library` is stable-baselines3's own, for comparison. Empty: the only one."""
    lanes: Lanes = 8
    """Streams in one process; 1 for batch learners."""
    workers: Workers = 1
    """Processes side by side, each on its own core; above 1 only the learner with its environment is measured."""
    seconds: Seconds = 1.5
    """Least time of one measurement."""
    changes: tuple[str, ...] = field(default=(), metadata={"added_later": True})
    """What the learner sets differently from its defaults, as key=value."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def settings(self) -> tuple[str, ...]:
        """Return the same with the form of a one-sample learner."""
        form = (f"implementation={self.implementation}",) if self.implementation in ("sb3", "lanes") else ()
        return (*form, *self.changes)

    @property
    def title(self) -> str:
        """Return what is measured."""
        form = f" ({self.implementation})" if self.implementation else ""
        return f"{self.learner}{form}, {self.lanes} lanes, {self.workers} workers"

    @property
    def repeat_seconds(self) -> float:
        """Return the least time of one repeat: there are three quantities."""
        return 3 * self.seconds


@dataclass(frozen=True)
class UpdateTime:
    """The time of one action and of one learning update (`experiments.training.resources`). `steps` counts repeats."""

    learner: str = "stream_ac"
    """Algorithm of the registry."""
    settings: tuple[str, ...] = ()
    """What the learner sets differently from its defaults, as key=value."""
    engine: Literal["compiled", "eager"] = "compiled"
    """How a streaming learner is executed: compiled as in training, or PyTorch operation by operation."""
    seconds: Seconds = 0.5
    """Least time of one measurement."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def title(self) -> str:
        """Return what is measured."""
        eager = ("eager",) if self.engine == "eager" else ()
        return ", ".join((self.learner, *eager, *self.settings))

    @property
    def repeat_seconds(self) -> float:
        """Return the least time of one repeat: there are actions and updates."""
        return 2 * self.seconds


@dataclass(frozen=True)
class LearningStep:
    """The time of one learning step of a recurrent network by exact gradients (`experiments.training.cells`)."""

    cell: Literal["none", "rtu", "gru", "lstm"] = "rtu"
    """What the network's layer is; `none` is a feed-forward one."""
    units: Units = 64
    """Units of the layer."""
    inputs: Units = 64
    """Size of what it sees. The paper does not say; with 64 its networks see what theirs see in most tasks."""
    seconds: Seconds = 1.0
    """Least time of one measurement, in which there are at least three steps."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def title(self) -> str:
        """Return what is measured."""
        return f"{self.cell}, {self.units} units"

    @property
    def repeat_seconds(self) -> float:
        """Return about how long one repeat takes. Sensitivities of gated units are multiplied at some 30 GFLOP/s."""
        parts = {"gru": 3, "lstm": 8}.get(self.cell, 0)
        return max(self.seconds, 3 * 2 * parts * self.units**3 * (self.units + self.inputs) / 3e10)


@dataclass(frozen=True)
class PeakMemory:
    """The memory of a learner that has stored so many samples (`experiments.training.memory`). `steps` counts repeats."""

    learner: str = "stream_ac"
    """Algorithm of the registry."""
    settings: tuple[str, ...] = ()
    """What the learner sets differently from its defaults, as key=value."""
    samples: Sizes = (0,)
    """Sizes of the replay buffer or of the rollout, each measured in a process of its own; 0 alone for streaming learners."""
    largest_gigabytes: Positive = 4.0
    """What would take more is computed and not measured."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def title(self) -> str:
        """Return what is measured."""
        return ", ".join((self.learner, *self.settings, f"{len(self.samples)} sizes"))

    @property
    def repeat_seconds(self) -> float:
        """Return about how long one repeat takes: a process for each size, and its samples one by one."""
        return sum(5.0 + 1e-5 * number for number in self.samples)


@dataclass(frozen=True)
class ArithmeticSpeed:
    """The speed of fixed arithmetic, by which devices compare, and the device that times are shown for."""

    cycle_ms: Positive = 45.0
    """Length of the action cycle that a learner has to keep, in ms: Create-Reacher of ReLoD, as the talk on AVG has it."""
    slowdown: Positive = 1.0
    """How many times slower than this machine the device is: the GFLOP/s measured here over those measured there."""
    seconds: Seconds = 0.5
    """Least time of one measurement."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def title(self) -> str:
        """Return what is measured."""
        return "matrix products"

    @property
    def repeat_seconds(self) -> float:
        """Return the least time of one repeat: there are two products."""
        return 2 * self.seconds


@dataclass(frozen=True)
class SquashedNormal:
    """What squashing does to a normal distribution (`experiments.training.squashed`). It is computed: one repeat is enough."""

    quantity: Literal["entropy", "density"] = "entropy"
    """Entropy with and without squashing, or the density of the squashed action."""
    deviations: Deviations = (0.2, 0.5, 1.0, 2.0, 5.0)
    """Standard deviations before squashing."""
    mean: Finite = 0.0
    """Mean before squashing."""
    points: Points = 401
    """Actions between -1 and 1 at which a density is computed."""

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def title(self) -> str:
        """Return what is computed."""
        return f"{self.quantity} of a squashed normal"

    @property
    def repeat_seconds(self) -> float:
        """Return about how long it takes."""
        return 0.1
