"""Tables of the site: cells with what they are sorted by, made of frames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.aggregates import Aggregates
from analysis.budget import short_steps
from analysis.metrics import MAXIMUM
from analysis.plot import plain_number
from analysis.published.names import paper_name
from analysis.wording import PLUS_MINUS, figure_words, number, signed


@dataclass(frozen=True)
class Cell:
    """One cell: its text, and the number it is sorted by, where it is one. `kind` becomes a class."""

    text: str
    value: float | None = None
    kind: str = ""


@dataclass(frozen=True)
class Column:
    """One column; a `head` names its rows."""

    name: str
    numeric: bool = False
    head: bool = False


@dataclass(frozen=True)
class Table:
    """A table under its caption."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def lines(self) -> list[list[tuple[Column, Cell]]]:
        """Return the rows, each cell with its column."""
        return [list(zip(self.columns, row, strict=True)) for row in self.rows]


def word(verdict: str) -> str:
    """Return the kind of a verdict, which is a class of the style sheet: inside, within, below, above, undecided, or none."""
    first = verdict.partition(" ")[0].rstrip(",")
    return first if first in ("inside", "within", "below", "above", "undecided") else "none"


def last_rows(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return the last checkpoint of every arm of every panel."""
    return comparison[comparison["step"] == comparison.groupby(["panel", "algorithm"])["step"].transform("max")]


def of_returns(comparison: pd.DataFrame, caption: str) -> Table:
    """Return returns beside the published ones, a row per task, learner and checkpoint."""
    known = comparison["published"].notna().any()
    ends = comparison["published_end"].notna().any()
    columns = [
        *(Column("Task", head=True), Column("Learner", head=True), Column("Steps", True), Column("Ours", True)),
        *(Column(f"{PLUS_MINUS}", True), Column("Seeds", True)),
        *((Column("Paper", True), Column("From"), Column("Difference", True)) if known else ()),
        Column("Verdict"),
        *((Column("Paper, at its end", True),) if ends else ()),
    ]
    rows = []
    for row in comparison.itertuples():
        cells = [
            *(Cell(paper_name(row.panel)), Cell(row.algorithm), Cell(short_steps(row.step), row.step)),
            *(_number(row.ours), _number(row.ci90, like=row.ours), _count(row.n, row.seeds)),
        ]
        if known:
            shown = row.published_figure if _is(row.published) else ""
            cells += [_number(row.published), Cell(figure_words(shown)), _difference(row)]
        cells.append(Cell(row.verdict, kind=f"verdict {word(row.verdict)}"))
        if ends:
            at = (
                f"{plain_number(row.published_end)} at {short_steps(row.published_end_steps)}" if _is(row.published_end) else ""
            )
            cells.append(Cell(at, row.published_end if at else None))
        rows.append(tuple(cells))
    return Table(caption, tuple(columns), tuple(rows))


def _difference(row: Any) -> Cell:
    if not (_is(row.difference) and row.n):
        return Cell("")
    joint = f" {PLUS_MINUS} {number(row.joint_ci90, like=row.difference)}" if _is(row.joint_ci90) else ""
    return Cell(f"{signed(row.difference)}{joint}", row.difference)


def _count(n: int, seeds: int) -> Cell:
    return Cell(f"{n} of {seeds}" if n < seeds else f"{n}", n)


def _number(value: float, like: float | None = None) -> Cell:
    return Cell(number(value, like), value) if _is(value) else Cell("")


def _is(value: Any) -> bool:
    return not pd.isna(value)


def of_metrics(report: Aggregates) -> Table:
    """Return what learners recorded in their last bin: arms of each panel down, metrics across."""
    shown = report.summary[report.summary["metric"].notna() & ~report.summary["metric"].astype(str).str.endswith(MAXIMUM)]
    names = list(dict.fromkeys(shown["metric"]))
    columns = (Column("Panel", head=True), Column("Learner", head=True), *(Column(_words(name), True) for name in names))
    rows = []
    for (panel, algorithm), found in shown.groupby(["panel", "algorithm"], sort=False):
        cells = {row.metric: _mean(row) for row in found.itertuples()}
        rows.append((Cell(paper_name(panel)), Cell(algorithm), *(cells.get(name, Cell("")) for name in names)))
    width = short_steps(int(shown["bin_width"].max())) if len(shown) else "0"
    return Table(f"Means of the last {width} steps, with 90 % intervals over seeds", columns, tuple(rows))


def _mean(row: Any) -> Cell:
    half = f" {PLUS_MINUS} {plain_number(row.ci90)}" if _is(row.ci90) else ""
    return Cell(plain_number(row.final_mean) + half, row.final_mean) if row.n else Cell("diverged")


def of_frame(frame: pd.DataFrame, caption: str, heads: Iterable[str] = ()) -> Table:
    """Return any frame as a table; columns without a value are left out.

    Args:
        frame: the frame.
        caption: of the table.
        heads: columns that name their rows; else the first column does, if it holds words.
    """
    shown = frame.dropna(axis="columns", how="all")
    names: Sequence[str] = [str(name) for name in shown.columns]
    numeric = {name: pd.api.types.is_numeric_dtype(kind) for name, kind in zip(names, shown.dtypes, strict=True)}
    leading = set(heads) or {name for name in names[:1] if not numeric[name]}
    columns = tuple(Column(_words(name), numeric[name], name in leading) for name in names)
    rows = tuple(
        tuple(_any(value, numeric[name]) for name, value in zip(names, row, strict=True))
        for row in shown.itertuples(index=False, name=None)
    )
    return Table(caption, columns, rows)


def _any(value: Any, numeric: bool) -> Cell:
    if pd.isna(value) if not isinstance(value, str) else False:
        return Cell("")
    if numeric and math.isfinite(float(value)):
        return Cell(plain_number(float(value)), float(value))
    return Cell(str(value))


def _words(name: str) -> str:
    return {"env_id": "task", "algorithm": "learner", "ci90": f"{PLUS_MINUS} (90 %)"}.get(name, name.replace("_", " "))
