"""Print our numbers beside the published ones: python -m analysis.compare NAME, or of all experiments without NAME

Reads the checked-in aggregates in `results/NAME/*/`, so it needs no run store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.aggregates import Aggregates, folders, read_aggregates
from analysis.differences import Difference, differences
from analysis.kinds import KINDS
from analysis.tables import console
from experiments.catalog import experiment_names
from experiments.errors import UserError, told_plainly
from experiments.terminal import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[
        str | None, typer.Argument(help="Experiment, as `python -m experiments.list` names it; all of them without one.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="Only this preset (or customised folder).")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the checked-in aggregates.")] = Path("results"),
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where the last mean of an arm is outside.")] = False,
) -> None:
    """Print our numbers beside the published ones, with intervals, budgets and verdicts."""
    with told_plainly():
        out = console()
        if name is None and preset is not None:
            raise UserError("--preset goes with an experiment: `python -m analysis.compare NAME --preset PRESET`.")
        there = {one: folders(one, results, preset) for one in ([name] if name is not None else _names(results))}
        compared, without = [], []
        for one, found in there.items():
            reports = [read_aggregates(folder) for folder in found]
            tables = [(report, table) for report in reports if len(table := KINDS[report.kind].comparison_of(report))]
            compared += sorted(tables, key=lambda pair: int(pair[0].summary["steps"].max()))
            without += [] if tables else [one]
        if name is not None and without:
            raise UserError(f"{name} has no published numbers to compare with; see the figures in {results / name}.")
        for i, (report, table) in enumerate(compared):
            if i:
                out.rule(style="dim")
            out.print(KINDS[report.kind].printed(table, report.summary, report.manifest, out.width))
        if without:
            out.print(f"\nWithout published numbers to compare with: {', '.join(without)}.", soft_wrap=True)
    outside = [_outside(report, one, name) for report, table in compared for one in differences(report, table)]
    if strict and outside:
        out.print(f"\nOutside: {'; '.join(outside)}.", soft_wrap=True)
        raise SystemExit(1)


def _names(results: Path) -> list[str]:
    """Return the experiments of which there are results."""
    found = [name for name in experiment_names() if any((results / name).glob("*/manifest.json"))]
    if not found:
        raise UserError(f"there are no results in {results}; make some with `python -m experiments.run NAME`.")
    return found


def _outside(report: Aggregates, one: Difference, name: str | None) -> str:
    """Return in a few words what is outside, and by how much; the experiment only where several were asked for."""
    of = "" if name is not None else f"{report.manifest['experiment']}, "
    return f"{of}{one.algorithm} on {one.panel} in {report.folder.name}, {one.verdict} by {abs(one.difference):.4g}"


if __name__ == "__main__":
    run_app(app)
