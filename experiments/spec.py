"""What an experiment is, as data: rows of arms, presets that size them, and the run, which is the unit that is trained.

A spec module in `experiments/specs/` exports one `EXPERIMENT`. `experiments.expand` expands its presets into frozen `Run`s
whose `run_id` depends on everything that decides the result and on nothing that only decides how it is computed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any, Literal

from annotated_types import Interval

from algorithms.ranges import MOST_STEPS
from experiments.errors import UserError

# Raised when the meaning of a configuration changes; part of every run id.
SCHEMA_VERSION = 1

# More runs than that at once are a slip of the hand, and would take minutes to be listed.
MOST_RUNS = 100_000
MOST_SEEDS = MOST_RUNS

Steps = Annotated[int, Interval(ge=1, le=MOST_STEPS), "a positive whole number"]
Seed = Annotated[int, Interval(ge=0, le=2**53), "a whole number of at least 0"]

Value = bool | int | float | str | None | tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """One learner, one environment, one seed: the unit that is trained, stored and averaged over.

    `hyperparameters` and `environment` are complete: defaults are filled in before the run is made, so that a changed
    default makes a different run. Only options that were added later are left out while they have their default, so that
    earlier results keep their ids. How a run is computed (workers, lanes, compiled or not) is not here and so not in its id.

    `algorithm` is a name of the registry, or for a learner from outside the reference to its class (`experiments.external`);
    `code` is then the digest of its source. Where that source lies is not part of the configuration.
    """

    algorithm: str
    hyperparameters: tuple[tuple[str, Value], ...]
    env_id: str
    environment: tuple[tuple[str, Value], ...]
    steps: int
    seed: int
    code: str = ""

    @property
    def name(self) -> str:
        """Return the name of the algorithm, that of the class for one from outside."""
        return self.algorithm.rpartition(":")[2]

    def config(self) -> dict[str, Any]:
        """Return the configuration as plain data, the form that is hashed and stored."""
        return {
            **({"code": self.code} if self.code else {}),
            "schema": SCHEMA_VERSION,
            "algorithm": self.name,
            "hyperparameters": dict(self.hyperparameters),
            "env_id": self.env_id,
            "environment": dict(self.environment),
            "steps": self.steps,
            "seed": self.seed,
        }

    @cached_property
    def run_id(self) -> str:
        """Return a name that a person can read and that no other configuration has."""
        return run_id_of(self.config())


def run_id_of(config: Mapping[str, Any]) -> str:
    """Return the name of the run that a configuration is of, as `Run.config` returns it or as it is read from JSON."""
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:16]
    env_id = config["env_id"].replace("/", ".")
    return f"{config['algorithm']}-{env_id}-{_short(config['steps'])}-s{config['seed']}-{digest}"


def _short(number: int) -> str:
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if number >= size and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


@dataclass(frozen=True)
class Arm:
    """One bar or curve of a figure: a learner under a label, with what it sets differently.

    `algorithm` is a name of the registry or a reference to a class (`experiments.external`).

    `emphasised` arms are what the figure is about: they are drawn strongly, and in front of the others.
    """

    label: str
    algorithm: str
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)
    emphasised: bool = False


@dataclass(frozen=True)
class Row:
    """One panel of a figure: an environment, the arms compared on it, and its budget.

    `bin_width` is the width in steps of the bins of the learning curve; the last bin is the number a bar shows, or the last
    `window` steps where a window is given: a multiple of the bins of which the whole run is a multiple.
    `seeds` gives the number of seeds of every arm, counted from `first_seed`: seeds of a search are kept apart from those of
    an evaluation. `fewer_seeds` and `fewer_steps` override seeds and steps for arms by label.
    `chosen_seeds` are the seeds of every arm by their numbers, where a command names them.
    `panel` names the panel where the environment does not: two masks of one robot are two panels. `differs` says in which way
    the row is not run as published, where that forbids to judge it by the published numbers.
    """

    env_id: str
    arms: tuple[Arm, ...]
    steps: Steps
    seeds: int
    bin_width: Steps
    environment: Mapping[str, Value] = field(default_factory=dict)
    fewer_seeds: Mapping[str, int] = field(default_factory=dict)
    fewer_steps: Mapping[str, int] = field(default_factory=dict)
    first_seed: Seed = 0
    panel: str = ""
    differs: str = ""
    chosen_seeds: tuple[int, ...] = ()
    window: int = 0

    @property
    def continuing(self) -> bool:
        """Return whether the environment has no episodes, so that reward rates are measured and not returns."""
        return bool(self.environment.get("continuing"))

    @property
    def last_window(self) -> int:
        """Return how many of the last steps the number of a bar is made of: the window where whole windows fit, else a bin."""
        last = self.steps // self.bin_width * self.bin_width
        fits = self.window > 0 and self.window % self.bin_width == 0 and last % self.window == 0
        return self.window if fits else self.bin_width

    @property
    def panel_name(self) -> str:
        """Return the name of the panel, that of the environment unless the row has one of its own."""
        return self.panel or self.env_id

    def seeds_of(self, arm: Arm) -> Sequence[int]:
        """Return the seeds that an arm is run with."""
        if self.chosen_seeds:
            return self.chosen_seeds
        return range(self.first_seed, self.first_seed + min(self.seeds, self.fewer_seeds.get(arm.label, self.seeds)))

    def steps_of(self, arm: Arm) -> int:
        """Return for how many steps an arm is run."""
        return min(self.steps, self.fewer_steps.get(arm.label, self.steps))


@dataclass(frozen=True)
class Preset:
    """One size of an experiment: what it shows, and its rows."""

    description: str
    rows: tuple[Row, ...]


# What the runs of an experiment leave and its figure shows: episodic returns, what learners recorded in their `metrics` tables,
# or measured times and sizes. Measurements are taken one at a time, on a machine that is otherwise idle.
Kind = Literal["returns", "metrics", "measurement"]


@dataclass(frozen=True)
class Experiment:
    """A published figure as data. `figure` names the module in `analysis.figures` that draws it."""

    name: str
    title: str
    source: str
    presets: Mapping[str, Preset]
    figure: str
    notes: str = ""
    kind: Kind = "returns"

    def preset(self, name: str) -> Preset:
        """Return a preset by name."""
        if name not in self.presets:
            raise UserError(f"{self.name} has no preset {name!r}; it has {', '.join(self.presets)}.")
        return self.presets[name]
