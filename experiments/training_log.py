"""Tell what training has cost beside what was planned, by experiment, learner and task.

python -m experiments.training_log --store runs --write results/training_log.csv
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from experiments.catalog import experiment_names, load_experiment
from experiments.cli import DEFAULT_STORE, make_console
from experiments.errors import UserError, told_plainly, writing_to
from experiments.expand import labelled_runs
from experiments.plan import estimated_speed
from experiments.registry import loop_of
from experiments.spec import Run
from experiments.store import Store
from experiments.terminal import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@dataclass(frozen=True)
class Entry:
    """Finished runs of one learner on one task in a preset.

    Attributes:
        planned_core_hours: by the estimates of `experiments.plan` for groups of the size that trained, as where nothing
            of the kind has been trained yet.
        used_core_hours: processor time, waiting for a busy core left out. Stretches before a resumption are counted at the
            speed of the last one.
    """

    experiment: str
    preset: str
    algorithm: str
    env_id: str
    runs: int
    million_steps: float
    planned_core_hours: float
    used_core_hours: float

    @property
    def ratio(self) -> float:
        """Return how many times longer it took than was planned."""
        return self.used_core_hours / self.planned_core_hours


def used_core_seconds(store: Store, run: Run) -> float | None:
    """Return what a finished run took on one core; None where its provenance does not tell."""
    told = store.provenance(run.run_id)
    pace, share = told.get("steps_per_second"), told.get("core_share")
    return run.steps * share / pace if pace and share else None


def entries(store: Store) -> Iterator[Entry]:
    """Yield what was trained for each preset. Runs that several presets share are counted in each of them."""
    finished = store.finished()
    for name in experiment_names():
        experiment = load_experiment(name)
        for preset_name, preset in experiment.presets.items():
            kinds: dict[tuple[str, str], dict[str, Run]] = {}
            for _, _, run in labelled_runs(preset):
                if run.run_id in finished and not loop_of(run).measures:
                    kinds.setdefault((run.algorithm, run.env_id), {})[run.run_id] = run
            for (algorithm, env_id), runs in kinds.items():
                used = {run: seconds for run in runs.values() if (seconds := used_core_seconds(store, run)) is not None}
                if used:
                    steps = sum(run.steps for run in used)
                    planned = sum(run.steps / estimated_speed(run, store.provenance(run.run_id).get("lanes")) for run in used)
                    yield Entry(
                        name, preset_name, algorithm, env_id, len(used), steps / 1e6, planned / 3600, sum(used.values()) / 3600
                    )


@app.command()
def main(
    store: Annotated[Path, typer.Option(help="Folder of finished runs and checkpoints.")] = Path(DEFAULT_STORE),
    write: Annotated[Path | None, typer.Option(help="CSV file whose lines of the same kinds are replaced.")] = None,
) -> None:
    """Tell what training has cost beside what was planned, by experiment, learner and task."""
    with told_plainly():
        if not store.is_dir():
            raise UserError(f"there is no store {store}; name one with --store.")
        found = list(entries(Store(store)))
        if write is not None:
            with writing_to(write, "--write"):
                _merge(write, found)
    table = Table(box=None)
    for column in ("experiment", "preset", "learner", "task", "runs", "steps", "planned", "used", "ratio"):
        table.add_column(column, justify="left" if column in ("experiment", "preset", "learner", "task") else "right")
    for entry in found:
        hours = (f"{entry.planned_core_hours:.2f} h", f"{entry.used_core_hours:.2f} h", f"{entry.ratio:.2f}")
        names = (entry.experiment, entry.preset, entry.algorithm, entry.env_id)
        table.add_row(*names, str(entry.runs), f"{entry.million_steps:.1f}M", *hours)
    make_console().print(table)


def _merge(path: Path, found: list[Entry]) -> None:
    """Replace the lines of these kinds of runs where more of them are known now, and keep the others."""
    keys = ("experiment", "preset", "algorithm", "env_id")
    lines: dict[tuple[str, ...], dict[str, str]] = {}
    if path.exists():
        with path.open(newline="") as file:
            lines = {tuple(line[key] for key in keys): line for line in csv.DictReader(file)}
    for entry in found:
        line = {name: f"{value:.4g}" if isinstance(value, float) else str(value) for name, value in asdict(entry).items()}
        key = tuple(line[name] for name in keys)
        if key not in lines or int(lines[key]["runs"]) <= entry.runs:
            lines[key] = line
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(asdict(found[0]) if found else keys), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines[key] for key in sorted(lines))


if __name__ == "__main__":
    run_app(app)
