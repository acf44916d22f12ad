"""List the experiments there are, with their presets.

python -m experiments.list
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import typer

from experiments.catalog import experiment_names, load_experiment
from experiments.cli import make_console
from experiments.errors import told_plainly
from experiments.expand import labelled_runs
from experiments.spec import Experiment
from experiments.terminal import count, run_app

# Of a terminal as it comes, and of a page.
WIDTH = 80

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """List the experiments there are, with their presets."""
    console = make_console()
    with told_plainly():
        for name in experiment_names():
            for line in told(load_experiment(name)):
                console.print(line, soft_wrap=True)


def told(experiment: Experiment) -> Iterator[str]:
    """Yield lines of at most 80 columns: the name to be copied, what it reproduces, and every preset with its size in full."""
    yield experiment.name
    yield from _lines(f"{experiment.title}: {experiment.source}", "  ")
    for preset_name, preset in experiment.presets.items():
        runs = {run.run_id: run for _, _, run in labelled_runs(preset)}
        steps = sum(run.steps for run in runs.values())
        size = f"{count(len(runs), 'run')}, {_short(steps)} steps"
        yield from _lines(f"{preset_name:12} {size}: {preset.description}", "    ", " " * 13)
    yield ""


def _short(steps: int) -> str:
    return f"{steps:,}" if steps < 50_000 else f"{steps / 1e6:,.{0 if steps >= 10**7 else 1}f}M"


def _lines(text: str, indent: str, further: str = "  ") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=indent + further, break_on_hyphens=False)


if __name__ == "__main__":
    run_app(app)
