"""Print our numbers beside the published ones: python -m analysis.compare NAME

Reads the checked-in aggregates in `results/NAME/*/`, so it needs no run store.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.aggregates import folders, read_aggregates
from analysis.kinds import KINDS
from analysis.tables import console
from experiments.errors import UserError, told_plainly

app = typer.Typer(add_completion=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="Experiment, as `python -m experiments.list` names it.")],
    preset: Annotated[str | None, typer.Option(help="Only this preset (or customised folder).")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the checked-in aggregates.")] = Path("results"),
) -> None:
    """Print our numbers beside the published ones, with intervals, budgets and verdicts."""
    with told_plainly():
        out = console()
        there = [read_aggregates(folder) for folder in folders(name, results, preset)]
        compared = [(one, table) for one in there if len(table := KINDS[one.kind].comparison_of(one))]
        if not compared:
            raise UserError(f"{name} has no published numbers to compare with; see the figures in {results / name}.")
        for i, (one, table) in enumerate(sorted(compared, key=lambda found: int(found[0].summary["steps"].max()))):
            if i:
                out.rule(style="dim")
            out.print(KINDS[one.kind].printed(table, one.summary, one.manifest, out.width))


if __name__ == "__main__":
    app()
