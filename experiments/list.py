"""List the experiments there are, with their presets.

python -m experiments.list
"""

from __future__ import annotations

import typer
from rich.table import Table

from experiments.catalog import experiment_names, load_experiment
from experiments.cli import make_console, run_app
from experiments.errors import told_plainly
from experiments.expand import labelled_runs

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main() -> None:
    """List the experiments there are, with their presets."""
    console = make_console()
    table = Table(box=None)
    for column in ("experiment", "reproduces", "preset", "runs", "steps"):
        # Names are there to be copied, so they are never cut; what they reproduce may take several lines.
        whole = column != "reproduces"
        table.add_column(column, justify="right" if column in ("runs", "steps") else "left", no_wrap=whole)
    with told_plainly():
        for name in experiment_names():
            experiment = load_experiment(name)
            for number, (preset_name, preset) in enumerate(experiment.presets.items()):
                first = (name, experiment.source) if number == 0 else ("", "")
                runs = {run.run_id: run for _, _, run in labelled_runs(preset)}
                steps = sum(run.steps for run in runs.values())
                table.add_row(*first, preset_name, str(len(runs)), f"{steps / 1e6:,.1f}M")
    console.print(table)


if __name__ == "__main__":
    run_app(app)
