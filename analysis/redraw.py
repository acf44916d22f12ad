"""Draw figures anew from what is checked in, without the runs: python -m analysis.redraw [NAME ...]

What a report left under `results/NAME/PRESET/` is enough: its curves, or of measurements the numbers of its figure. Only the
files in `figures/` are written, and of them the numbers only where they are made from curves. Nothing else changes.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from analysis import plot
from analysis.aggregates import panel_of, read_aggregates
from analysis.figures import FigureData, drawer, from_numbers
from analysis.report import write_csv
from experiments import catalog
from experiments.errors import UserError, told_plainly
from experiments.spec import Arm, Experiment, Preset, Row
from experiments.store import Store


def redraw(folder: Path) -> list[Path]:
    """Draw the figure of a report's folder again; return the files written.

    Raises:
        UserError: the folder holds no report, or its figure cannot be drawn from it.
    """
    found = read_aggregates(folder)
    experiment = catalog.load_experiment(found.manifest["experiment"])
    stem = folder / "figures" / experiment.name
    data = figure_data(found.manifest, experiment, found.curves, found.summary)
    again = from_numbers(experiment)
    numbers_file = stem.with_name(f"{stem.name}.csv")
    with plot.style():
        if again is not None:
            return plot.save(again(pd.read_csv(numbers_file), data), stem)
        if found.kind == "measurement":
            raise UserError(f"{folder} cannot be drawn again: the figure of {experiment.name} needs the runs themselves.")
        figure, numbers = drawer(experiment)(data)
        files = plot.save(figure, stem)
    write_csv(numbers, numbers_file)
    return [*files, numbers_file]


def figure_data(manifest: dict[str, Any], experiment: Experiment, curves: pd.DataFrame, summary: pd.DataFrame) -> FigureData:
    """Return what a figure is drawn from, made of what a report left; its store is empty."""
    rows = tuple(_row(known, _emphasised(experiment, known["env_id"])) for known in manifest["rows"])
    preset = Preset(manifest.get("description", ""), rows)
    # An environment is compared with what the paper gave it under the name that the report used.
    own = replace(experiment, presets={**experiment.presets, manifest["preset"]: preset})
    return FigureData(own, preset, Store(Path("runs")), _runs(manifest, rows, curves), curves, summary)


def _emphasised(experiment: Experiment, env_id: str) -> set[str]:
    """Return the labels of the arms that are emphasised on a task, or anywhere if the experiment does not know the task."""
    rows = [row for preset in experiment.presets.values() for row in preset.rows]
    same = [row for row in rows if row.env_id == env_id]
    return {arm.label for row in same or rows for arm in row.arms if arm.emphasised}


def _row(known: dict[str, Any], emphasised: set[str]) -> Row:
    arms = tuple(
        Arm(arm["label"], arm["algorithm"], _exact(arm["hyperparameters"]), arm["label"] in emphasised) for arm in known["arms"]
    )
    return Row(
        known["env_id"],
        arms,
        steps=known["steps"],
        seeds=max(arm["seeds"] for arm in known["arms"]),
        bin_width=known["bin_width"],
        environment=_exact(known["environment"]),
        fewer_seeds={arm["label"]: arm["seeds"] for arm in known["arms"]},
        fewer_steps={arm["label"]: arm.get("steps", known["steps"]) for arm in known["arms"]},
        first_seed=known.get("first_seed", 0),
        panel="" if panel_of(known) == known["env_id"] else panel_of(known),
        differs=known.get("differs", ""),
        window=known.get("window", 0),
    )


def _exact(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}


def _runs(manifest: dict[str, Any], rows: tuple[Row, ...], curves: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that a report was made of, with what it tells of how they ended."""
    lost = {(run["panel"], run["algorithm"], run["seed"]) for run in manifest.get("diverged_runs", [])}
    keys = ["panel", "algorithm", "seed"]
    ends = curves.groupby(keys)["step"].max().to_dict() if len(curves) else {}
    found = []
    for row in rows:
        for arm in row.arms:
            for seed in row.seeds_of(arm):
                key = (row.panel_name, arm.label, seed)
                status = "diverged" if key in lost else "finished" if key in ends else "missing"
                at = ends.get(key) if status == "diverged" else None
                known = {"panel": row.panel_name, "env_id": row.env_id, "algorithm": arm.label, "seed": seed}
                found.append(
                    {
                        **known,
                        "steps": row.steps_of(arm),
                        "bin_width": row.bin_width,
                        "window": row.last_window,
                        "status": status,
                        "diverged_at": at,
                    }
                )
    return pd.DataFrame(found)


app = typer.Typer(add_completion=False)


@app.command()
def main(
    names: Annotated[list[str] | None, typer.Argument(help="Experiments; all that are checked in if none is named.")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the results.")] = Path("results"),
) -> None:
    """Draw the figures of results anew from what they hold; numbers stay as they are."""
    with told_plainly():
        for path in sorted(results.glob("*/*/manifest.json")):
            if names and json.loads(path.read_text())["experiment"] not in names:
                continue
            for file in redraw(path.parent):
                typer.echo(file)


if __name__ == "__main__":
    app()
