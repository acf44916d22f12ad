"""Print our numbers beside the published ones: python -m analysis.compare NAME

Reads the checked-in aggregates in `results/NAME/*/`, so it needs no run store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from analysis.aggregates import Aggregates, folders, read_aggregates
from analysis.kinds import KINDS
from analysis.tables import console
from analysis.verdicts import INSIDE, OUTSIDE, UNDECIDED, WITHIN
from experiments.errors import UserError, told_plainly
from experiments.terminal import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    name: Annotated[str, typer.Argument(help="Experiment, as `python -m experiments.list` names it.")],
    preset: Annotated[str | None, typer.Option(help="Only this preset (or customised folder).")] = None,
    results: Annotated[Path, typer.Option(help="Folder of the checked-in aggregates.")] = Path("results"),
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 1 where the last mean of an arm is outside.")] = False,
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
    outside = [told for one, table in compared for told in _outside(one, table)]
    if strict and outside:
        out.print(f"\nOutside: {'; '.join(outside)}.", soft_wrap=True)
        raise SystemExit(1)


def _outside(one: Aggregates, table: pd.DataFrame) -> Iterator[str]:
    """Yield the arms whose last judged mean differs from the published one, as words."""
    if "verdict" not in table:
        return
    judged = table[table["verdict"].isin([INSIDE, WITHIN, UNDECIDED, *OUTSIDE])]
    for row in judged.groupby(["panel", "algorithm"], sort=False).tail(1).itertuples():
        if row.verdict in OUTSIDE:
            yield f"{row.algorithm} on {row.panel} in {one.folder.name}, {row.verdict} by {abs(row.difference):.4g}"


if __name__ == "__main__":
    run_app(app)
