"""What the commands have in common: resolving what was asked for, before anything is touched."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.console import Console
from typer.exceptions import TyperException

from experiments.catalog import load_experiment
from experiments.errors import UserError, print_whatever_the_terminal
from experiments.expand import check_hyperparameters, override, parse_settings, runs_of
from experiments.spec import Experiment, Preset, Run

DEFAULT_PRESET = "quick"
DEFAULT_STORE = "runs"
LEARNER_HELP = "A learner of your own beside the others: FILE.py:CLASS or MODULE:CLASS."
SPEC_HELP = "A spec of your own: a Python file with an EXPERIMENT, instead of a name."


@dataclass(frozen=True)
class Request:
    """An experiment with one of its presets, overrides applied, and the runs they expand to."""

    experiment: Experiment
    preset_name: str
    preset: Preset
    runs: list[Run]


def experiment_word(name: str | None, spec: Path | None) -> str:
    """Return what names an experiment: its own name, or the file of `--spec`."""
    if (name is None) == (spec is None):
        raise UserError("name one experiment, or one file with --spec; `python -m experiments.list` shows the suite's own.")
    if spec is not None and spec.suffix != ".py":
        raise UserError(f"--spec wants a Python file; {spec} is none.")
    return name or str(spec)


def resolve_request(
    name: str, preset_name: str, settings: Sequence[str], seeds: int | None, learners: Sequence[str] = ()
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


def make_console(width: int | None = None) -> Console:
    """Return a console that prints what it is given: no highlights, and brackets are brackets, as in the name of a folder."""
    return Console(highlight=False, markup=False, emoji=False, width=width)


def positive(name: str, number: float | None) -> None:
    """Raise `UserError` unless a number is positive (or absent)."""
    if number is not None and not (number > 0 and math.isfinite(number)):
        raise UserError(f"{name} must be positive; {number:g} is not.")


def run_app(app: typer.Typer) -> None:
    """Run a command; words it cannot read become one sentence and exit code 2, as every other bad input."""
    print_whatever_the_terminal()
    command = typer.main.get_command(app)
    try:
        code = command.main(standalone_mode=False)
    except TyperException as error:
        message = error.format_message().rstrip(".")
        print(f"error: {message}; `{command_name()} --help` shows the options.", file=sys.stderr)
        raise SystemExit(2) from None
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    if isinstance(code, int) and code:  # that of Ctrl-C, which typer returns here
        raise SystemExit(code)


def command_name() -> str:
    """Return how the running module was called."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name}" if spec else Path(sys.argv[0]).name
