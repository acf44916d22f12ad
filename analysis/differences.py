"""What came out differently from what is published: the arms whose last judged mean is outside, in words, and why.

Why is written by a person into `results/NAME/PRESET/different.toml`, under "ARM on PANEL": what experiments have shown or
excluded. Where nobody wrote anything it is not explained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.aggregates import Aggregates
from analysis.budget import short_steps
from analysis.kinds import KINDS
from analysis.published.names import paper_name
from analysis.verdicts import INSIDE, OUTSIDE, UNDECIDED, WITHIN
from analysis.wording import PLUS_MINUS, figure_words, number

NOT_EXPLAINED = "Not explained."


@dataclass(frozen=True)
class Difference:
    """One arm that came out differently: its verdict, ours minus published, and both in words."""

    panel: str
    algorithm: str
    verdict: str
    difference: float
    words: str
    why: str

    @property
    def place(self) -> str:
        """Return which arm it is of which task, as papers call the task."""
        return f"{self.algorithm} on {paper_name(self.panel)}"


def judged(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return of every arm the last checkpoint at which there is a verdict."""
    if "verdict" not in comparison:
        return pd.DataFrame(columns=["verdict"])
    rows = comparison[comparison["verdict"].isin([INSIDE, WITHIN, UNDECIDED, *OUTSIDE])]
    return rows.groupby(["panel", "algorithm"], sort=False).tail(1)


def differences(report: Aggregates, comparison: pd.DataFrame | None = None) -> list[Difference]:
    """Return the arms of a report that are outside; its comparison is made unless it is handed in."""
    last = judged(KINDS[report.kind].comparison_of(report) if comparison is None else comparison)
    reasons = report.reasons
    return [_difference(row, reasons) for row in last[last["verdict"].isin(OUTSIDE)].itertuples()]


def _difference(row: Any, reasons: Mapping[str, str]) -> Difference:
    half = f" {PLUS_MINUS} {_known(row.ci90, like=row.ours)}" if row.ci90 == row.ci90 else ""
    higher = "higher" if row.difference > 0 else "lower"
    words = (
        f"after {short_steps(row.step)} steps ours is {_known(row.ours)}{half}, the paper's {_known(row.published)} "
        f"({figure_words(row.published_figure)}): {higher} by {_known(abs(row.difference))}, where chance and "
        f"reading explain {_known(row.joint_ci90, like=row.difference)} and the tolerance is {_known(row.tolerance)}."
    )
    why = reasons.get(f"{row.algorithm} on {row.panel}", NOT_EXPLAINED)
    return Difference(row.panel, row.algorithm, row.verdict, row.difference, words, why)


def _known(value: float, like: float | None = None) -> str:
    return number(value, like) if value == value else "not known"
