"""What an experiment is: rows of arms, presets that size them, and the runs they expand to.

A spec module in `experiments/specs/` exports one `EXPERIMENT`, plain data. `Experiment.runs(preset)` expands it into frozen
`Run`s whose `run_id` depends on everything that decides the result and on nothing that only decides how it is computed.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import importlib
import json
import pkgutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import experiments.specs
from experiments.errors import UserError

# Raised when the meaning of a configuration changes; part of every run id.
SCHEMA_VERSION = 1

Value = bool | int | float | str | None | tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """One learner, one environment, one seed: the unit that is trained, stored and averaged over.

    `hyperparameters` and `environment` are complete: defaults are filled in before the run is made, so that a changed
    default makes a different run. Only options that were added later are left out while they have their default, so that
    earlier results keep their ids. How a run is computed (workers, lanes, compiled or not) is not here and so not in its id.
    """

    algorithm: str
    hyperparameters: tuple[tuple[str, Value], ...]
    env_id: str
    environment: tuple[tuple[str, Value], ...]
    steps: int
    seed: int

    def config(self) -> dict[str, Any]:
        """Return the configuration as plain data, the form that is hashed and stored."""
        return {
            "schema": SCHEMA_VERSION,
            "algorithm": self.algorithm,
            "hyperparameters": dict(self.hyperparameters),
            "env_id": self.env_id,
            "environment": dict(self.environment),
            "steps": self.steps,
            "seed": self.seed,
        }

    @cached_property
    def run_id(self) -> str:
        """Return a name that a person can read and that no other configuration has."""
        digest = hashlib.sha256(json.dumps(self.config(), sort_keys=True).encode()).hexdigest()[:16]
        return f"{self.algorithm}-{self.env_id.replace('/', '.')}-{_short(self.steps)}-s{self.seed}-{digest}"


def _short(number: int) -> str:
    for size, unit in ((10**6, "M"), (10**3, "k")):
        if number >= size and number % size == 0:
            return f"{number // size}{unit}"
    return str(number)


@dataclass(frozen=True)
class Arm:
    """One bar or curve of a figure: an algorithm of the registry under a label, with what it sets differently."""

    label: str
    algorithm: str
    hyperparameters: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One panel of a figure: an environment, the arms compared on it, and its budget.

    `bin_width` is the width in steps of the bins of the learning curve; the last bin is the number a bar shows.
    `seeds` gives the number of seeds, 0 to seeds - 1, of every arm; `fewer_seeds` overrides it for arms by label.
    """

    env_id: str
    arms: tuple[Arm, ...]
    steps: int
    seeds: int
    bin_width: int
    environment: Mapping[str, Value] = field(default_factory=dict)
    fewer_seeds: Mapping[str, int] = field(default_factory=dict)

    def seeds_of(self, arm: Arm) -> int:
        """Return how many seeds an arm is run with."""
        return min(self.seeds, self.fewer_seeds.get(arm.label, self.seeds))


@dataclass(frozen=True)
class Preset:
    """One size of an experiment: what it shows, and its rows."""

    description: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Experiment:
    """A published figure as data. `figure` names the module in `analysis.figures` that draws it."""

    name: str
    title: str
    source: str
    presets: Mapping[str, Preset]
    figure: str
    notes: str = ""
    measurement: bool = False
    """Measures speed instead of learning: trained one group at a time, on an otherwise idle machine."""
    returns: bool = True
    """Compared by episodic returns; otherwise its figure reads what the runs recorded in their `metrics` tables."""

    def preset(self, name: str) -> Preset:
        """Return a preset by name."""
        if name not in self.presets:
            raise UserError(f"{self.name} has no preset {name!r}; it has {', '.join(self.presets)}.")
        return self.presets[name]

    def runs(self, preset: str | Preset) -> list[Run]:
        """Expand a preset into its distinct runs, in the order of rows, arms and seeds."""
        preset = self.preset(preset) if isinstance(preset, str) else preset
        return list(dict.fromkeys(run for _, _, run in labelled_runs(preset)))


def labelled_runs(preset: Preset) -> list[tuple[Row, Arm, Run]]:
    """Expand a preset into runs, each with the row and the arm that asked for it; two arms may share a run."""
    labelled = []
    for row in preset.rows:
        for arm in row.arms:
            if seeds := row.seeds_of(arm):
                first = resolve(row, arm, seed=0)  # once for all seeds, of which there may be thousands
                labelled += [(row, arm, dataclasses.replace(first, seed=seed)) for seed in range(seeds)]
    return labelled


def resolve(row: Row, arm: Arm, seed: int) -> Run:
    """Make a run with every default filled in, apart from those of options that were added later."""
    from experiments import registry

    hyperparameter_defaults = registry.hyperparameter_defaults(arm.algorithm)
    added_later = registry.added_later(arm.algorithm)
    environment_defaults = registry.environment_defaults(row.env_id)
    environment_added_later = registry.environment_added_later(row.env_id)
    return Run(
        algorithm=arm.algorithm,
        hyperparameters=_filled(hyperparameter_defaults, arm.hyperparameters, arm.algorithm, added_later),
        env_id=row.env_id,
        environment=_filled(environment_defaults, row.environment, row.env_id, environment_added_later),
        steps=row.steps,
        seed=seed,
    )


def _filled(
    defaults: Mapping[str, Value], changes: Mapping[str, Value], owner: str, added_later: frozenset[str]
) -> tuple[tuple[str, Value], ...]:
    merged = dict(defaults)
    for key, value in changes.items():
        if key not in defaults:
            raise UserError(f"{owner} has no option {key!r}{closest_names(key, defaults)}.")
        merged[key] = typed(key, value, defaults[key])
    # A run trained before an option existed is the same run as one in which the option has its default.
    return tuple(sorted((k, v) for k, v in merged.items() if k not in added_later or v != defaults[k]))


def typed(key: str, value: Value, like: Value) -> Value:
    """Return a value in the type of an option's default, or say what type it must have."""
    if isinstance(like, bool) or isinstance(value, bool):
        fits = isinstance(like, bool) and isinstance(value, bool)
    elif isinstance(like, float):
        fits = isinstance(value, int | float)
        try:
            value = float(value) if fits else value  # type: ignore[arg-type]
        except OverflowError:
            raise UserError(f"{key} must be a finite number; {str(value)[:20]}... is too large.") from None
    elif isinstance(like, tuple):
        value = tuple(value) if isinstance(value, list) else value
        fits = isinstance(value, tuple) and all(isinstance(item, bool | int | float | str) for item in value)
    else:
        fits = like is None or isinstance(value, type(like))
    if not fits:
        raise UserError(f"{key} must be of type {type(like).__name__}, like {like!r}; {value!r} is not.")
    return value


def closest_names(word: str, known: Any) -> str:
    """Return `; the closest are ...` with the closest known names, or the list of all of them."""
    close = difflib.get_close_matches(word, list(known), n=3, cutoff=0.5)
    return f"; the closest are {', '.join(close)}" if close else f"; there are {', '.join(known)}" if known else ""


def experiment_names() -> list[str]:
    """List the experiments there are: one module each in `experiments/specs/`."""
    return sorted(module.name for module in pkgutil.iter_modules(experiments.specs.__path__))


def load_experiment(name: str) -> Experiment:
    """Return an experiment by name."""
    if name not in experiment_names():
        hint = closest_names(name, experiment_names())
        raise UserError(f"there is no experiment {name!r}{hint}. `python -m experiments.list` shows them all.")
    experiment: Experiment = importlib.import_module(f"experiments.specs.{name}").EXPERIMENT
    return experiment


def override(preset: Preset, settings: Mapping[str, Value], seeds: int | None = None) -> Preset:
    """Return a preset with rows, arms and environments changed as asked on the command line.

    A key is `steps`, `bin_width`, `env_id` (replaces all rows by one), `algorithm` (leaves out all other arms), an option of
    at least one row's environment (set in all rows that have it), a hyperparameter of at least one arm's algorithm (set in all
    arms that have it), or `ALGORITHM.KEY`. Whatever their order, `env_id` comes first: it decides which options there are.
    """
    from experiments.registry import environment_defaults, hyperparameter_defaults

    rows = preset.rows
    for key, value in sorted(settings.items(), key=lambda item: item[0] != "env_id"):
        if key == "algorithm":
            rows = _only(rows, value)
        elif key == "env_id":
            rows = (_elsewhere(rows[0], str(typed(key, value, "")), environment_defaults),)
        elif key in ("steps", "bin_width"):
            number = typed(key, value, 0)
            if not isinstance(number, int) or number <= 0:
                raise UserError(f"{key} must be a positive whole number; {value!r} is not.")
            rows = tuple(dataclasses.replace(row, **{key: number}) for row in rows)  # type: ignore[arg-type]
        elif any(key in environment_defaults(row.env_id) for row in rows):
            rows = tuple(
                dataclasses.replace(row, environment={**row.environment, key: value})
                if key in environment_defaults(row.env_id)
                else row
                for row in rows
            )
        else:
            options = {option for row in rows for option in environment_defaults(row.env_id)}
            rows = _override_arms(rows, key, value, hyperparameter_defaults, options)
    if seeds is not None:
        if seeds <= 0:
            raise UserError(f"the number of seeds must be positive; {seeds} is not.")
        rows = tuple(dataclasses.replace(row, seeds=seeds, fewer_seeds={}) for row in rows)
    rows = tuple(dataclasses.replace(row, bin_width=min(row.bin_width, row.steps)) for row in rows)
    return dataclasses.replace(preset, rows=rows)


def _elsewhere(row: Row, env_id: str, environment_defaults: Callable[[str], Mapping[str, Value]]) -> Row:
    # What was set for one kind of environment means nothing in another.
    known = environment_defaults(env_id)
    return dataclasses.replace(
        row, env_id=env_id, environment={key: value for key, value in row.environment.items() if key in known}
    )


def _only(rows: tuple[Row, ...], algorithm: Value) -> tuple[Row, ...]:
    known = dict.fromkeys(arm.algorithm for row in rows for arm in row.arms)
    if not isinstance(algorithm, str) or algorithm not in known:
        raise UserError(f"no arm uses the algorithm {algorithm!r}{closest_names(str(algorithm), known)}.")
    kept = (dataclasses.replace(row, arms=tuple(arm for arm in row.arms if arm.algorithm == algorithm)) for row in rows)
    return tuple(row for row in kept if row.arms)


def parse_settings(pairs: Sequence[str]) -> dict[str, Value]:
    """Read `key=value` pairs; a value is JSON (0.5, true, [64, 64]) or else a string."""
    settings: dict[str, Value] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set wants key=value; {pair!r} has no key or no '='.")
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            value = text
        settings[key] = tuple(value) if isinstance(value, list) else value
    return settings


def _override_arms(
    rows: tuple[Row, ...], key: str, value: Value, defaults: Any, environment_options: Iterable[str]
) -> tuple[Row, ...]:
    algorithm, _, name = key.rpartition(".")
    algorithms = {arm.algorithm for row in rows for arm in row.arms}
    concerned = {a for a in algorithms if (not algorithm or a == algorithm) and name in defaults(a)}
    if not concerned:
        known = sorted(
            {"steps", "bin_width", "env_id", "algorithm", *environment_options}
            | {option for a in algorithms for option in defaults(a)}
        )
        raise UserError(f"--set knows no key {key!r}{closest_names(key, known)}.")

    def changed(arm: Arm) -> Arm:
        if arm.algorithm not in concerned:
            return arm
        return dataclasses.replace(arm, hyperparameters={**arm.hyperparameters, name: value})

    return tuple(dataclasses.replace(row, arms=tuple(changed(arm) for arm in row.arms)) for row in rows)
