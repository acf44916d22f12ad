"""What the commands have in common: resolving what was asked for, before anything is touched."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from experiments.catalog import load_experiment
from experiments.errors import UserError
from experiments.expand import check_hyperparameters, override, runs_of
from experiments.settings_text import Seeds, parse_settings
from experiments.spec import Experiment, Preset, Run

DEFAULT_PRESET = "quick"
DEFAULT_STORE = "runs"
LEARNER_HELP = "A learner of your own beside the others: FILE.py:CLASS or MODULE:CLASS."
SPEC_HELP = "A spec of your own: a Python file with an EXPERIMENT, instead of a name."
SEEDS_HELP = "How many seeds every arm has, like 5, or which, like 3,7 or 10-19; default: the preset's."
SET_HELP = "key=value: steps, first_seed, env_id, a hyperparameter; several values, like 1,2,3, make arms of their own."
# More processes, or streams in one of them, than any machine here has a use for.
MOST_WORKERS = MOST_LANES = 4096
MOST_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True)
class Request:
    """An experiment with one of its presets, overrides applied, and the runs they expand to."""

    experiment: Experiment
    preset_name: str
    preset: Preset
    runs: list[Run]

    @property
    def algorithms(self) -> list[str]:
        """Return the algorithms of all arms, each once."""
        return list(dict.fromkeys(arm.algorithm for row in self.preset.rows for arm in row.arms))


def experiment_word(name: str | None, spec: Path | None) -> str:
    """Return what names an experiment: its own name, or the file of `--spec`."""
    if (name is None) == (spec is None):
        raise UserError("name one experiment, or one file with --spec; `python -m experiments.list` shows the suite's own.")
    if spec is not None and spec.suffix != ".py":
        raise UserError(f"--spec wants a Python file; {spec} is none.")
    return name or str(spec)


def resolve_request(
    name: str, preset_name: str, settings: Sequence[str], seeds: Seeds | None, learners: Sequence[str] = ()
) -> Request:
    """Turn the words of a command line into runs; raise `UserError` where they mean nothing."""
    experiment = load_experiment(name)
    if learners and experiment.kind == "measurement":
        raise UserError(f"{name} measures and trains nothing; --learner is for experiments that train.")
    preset = override(experiment.preset(preset_name), parse_settings(settings), seeds, learners)
    runs = runs_of(experiment, preset)
    for run in {(run.algorithm, run.hyperparameters, run.env_id, run.environment): run for run in runs}.values():
        check_hyperparameters(run)  # once for all seeds
    return Request(experiment, preset_name, preset, runs)


def check_results(results: Path, request: Request, write: bool) -> None:
    """Raise `UserError` where the report of a request cannot be written into a folder; leave nothing there.

    Without `write` it is enough that no file stands in the place of a folder.
    """
    try:
        there = check_folder(results / request.experiment.name / request.preset_name, "--results")
        if write:
            with tempfile.TemporaryFile(dir=there) as probe:
                probe.write(bytes(2**16))
                probe.flush()
                os.fsync(probe.fileno())
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write to {results}: {reason}; free space or choose another with --results.") from None


def check_folder(folder: Path, option: str) -> Path:
    """Return the part of a path that is there; raise `UserError` where that is no folder."""
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise UserError(f"{there} is not a folder; choose another with {option}.")
    return there


def make_console(width: int | None = None) -> Console:
    """Return a console that prints what it is given: no highlights, and brackets are brackets, as in the name of a folder."""
    return Console(highlight=False, markup=False, emoji=False, width=width)


def positive(name: str, number: float | None, most: float = math.inf) -> None:
    """Raise `UserError` unless a number is positive and at most so large (or absent)."""
    if number is None:
        return
    if not (number > 0 and (isinstance(number, int) or math.isfinite(number))):
        raise UserError(f"{name} must be positive; {number:g} is not.")
    if number > most:
        raise UserError(f"{name} must be at most {most:,.0f}; {number:,} is not.")
