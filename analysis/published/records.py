"""What is published, as data: curves, values at the end of a paper's own budget, reference lines, and a record per paper."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "paper"


@dataclass(frozen=True)
class Published:
    """One published mean over `seeds` runs: the bin of `bin_width` steps that ends at `step`.

    Attributes:
        ci90: half-width of its 90 % interval, known at the end of a curve only.
        reading_error: how far the value may be off as it was read from a figure.
    """

    value: float
    paper: str
    figure: str
    step: int
    bin_width: int
    seeds: int
    ci90: float | None = None
    reading_error: float = 0.0


@dataclass(frozen=True)
class Curve:
    """A published learning curve, in agent steps, averaged over `seeds` runs; `reading_error` in units of the values."""

    paper: str
    figure: str
    seeds: int
    bin_width: int
    steps: tuple[int, ...]
    values: tuple[float, ...]
    ci90_at_end: float | None = None
    reading_error: float = 0.0

    def at(self, step: int) -> Published | None:
        """Return the point at a step, if the curve has one exactly there."""
        if step not in self.steps:
            return None
        ci90 = self.ci90_at_end if step == self.steps[-1] else None
        value = self.values[self.steps.index(step)]
        return Published(value, self.paper, self.figure, step, self.bin_width, self.seeds, ci90, self.reading_error)


@dataclass(frozen=True)
class End:
    """What a paper shows of an arm after the whole of its own budget, `steps` agent steps, whatever ours is."""

    value: float
    paper: str
    figure: str
    steps: int


@dataclass(frozen=True)
class Tables:
    """The numbers of a paper, by panel and label as our rows and arms name them.

    A panel is an environment, unless the paper shows several of one: then its loader names them as our rows do.

    Attributes:
        curves: learning curves; several figures may show the same.
        ends: values at the end of the paper's budget.
        references: by panel name and height of a line that is a result of the literature.
    """

    curves: Mapping[tuple[str, str], tuple[Curve, ...]] = field(default_factory=dict)
    ends: Mapping[tuple[str, str], End] = field(default_factory=dict)
    references: Mapping[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Paper:
    """The protocol of a paper, and where its numbers are.

    Attributes:
        name: how sources of experiments name it.
        seeds: over how many runs its figures average; `other_seeds` has those that differ, by figure.
        window: what an end is an average of.
        figures: in the order of preference where they show the same curve.
        suffixes: what its labels have behind ours.
        read: reads the tables.
    """

    name: str
    seeds: int
    window: str
    figures: tuple[str, ...]
    read: Callable[[], Tables]
    other_seeds: Mapping[str, int] = field(default_factory=dict)
    suffixes: tuple[str, ...] = ()

    def seeds_of(self, figure: str) -> int:
        """Return over how many runs a figure averages."""
        return self.other_seeds.get(figure, self.seeds)

    def names(self, label: str) -> tuple[str, ...]:
        """Return the names under which a paper may have an arm of ours."""
        return (label, *(f"{label}{suffix}" for suffix in self.suffixes))
