"""The published numbers of Stream-X in `analysis/paper`: curves, band widths at their end, and the bars of Figure 2.

Our arms are labelled without the trace decay that the paper puts in its labels: "Stream AC" is its "Stream AC(0.8)".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

PAPER = Path(__file__).parent / "paper"
# Where figures overlap they agree to the reading error; the one with more of our algorithms comes first.
FIGURES = ("Fig7", "Fig8", "Fig3", "Fig14", "Fig5", "Fig4", "Fig13", "Fig12", "Fig11", "Fig6")
TEN_SEEDS = ("Fig6", "Fig11", "Fig12")
TRACE_DECAY = "(0.8)"


@dataclass(frozen=True)
class Published:
    """One published mean: the bin of `bin_width` steps that ends at `step`. `ci90` is known at the end of a curve only."""

    value: float
    figure: str
    step: int
    bin_width: int
    ci90: float | None = None


@dataclass(frozen=True)
class Curve:
    """A published learning curve."""

    figure: str
    bin_width: int
    steps: tuple[int, ...]
    values: tuple[float, ...]
    ci90_at_end: float | None

    @property
    def seeds(self) -> int:
        """Return over how many runs it is averaged (assumed for Fig. 7, where the paper does not say)."""
        return 10 if self.figure in TEN_SEEDS else 30

    def at(self, step: int) -> Published | None:
        """Return the point at a step, if the curve has one exactly there."""
        if step not in self.steps:
            return None
        ci90 = self.ci90_at_end if step == self.steps[-1] else None
        return Published(self.values[self.steps.index(step)], self.figure, step, self.bin_width, ci90)


@cache
def _tables() -> dict[tuple[str, str], tuple[Curve, ...]]:
    points = pd.read_csv(PAPER / "stream_x_curves.csv")
    ends = pd.read_csv(PAPER / "stream_x_final.csv").set_index(["figure", "env", "algorithm"])["ci90_half_width_at_end"]
    tables: dict[tuple[str, str], list[Curve]] = {}
    for key, group in points.groupby(["figure", "env", "algorithm"], sort=False):
        figure, env_id, algorithm = (str(part) for part in key)
        steps = tuple(int(x) for x in group["x_steps_or_frames"])
        ci90 = ends.get((figure, env_id, algorithm))
        known = None if ci90 is None or pd.isna(ci90) else float(ci90)
        values = tuple(float(value) for value in group["mean_return_digitised"])
        tables.setdefault((env_id, algorithm), []).append(Curve(figure, steps[1] - steps[0], steps, values, known))
    return {key: tuple(sorted(curves, key=lambda curve: FIGURES.index(curve.figure))) for key, curves in tables.items()}


@cache
def _bars() -> dict[tuple[str, str], float]:
    bars = pd.read_csv(PAPER / "stream_x_fig2_bars.csv")
    return {(row.env, row.algorithm): float(row.value) for row in bars.itertuples()}


def _names(algorithm: str) -> tuple[str, str, str]:
    return algorithm, f"{algorithm}{TRACE_DECAY}", f"{algorithm}@200M ref"


def curves_of(env_id: str, algorithm: str) -> tuple[Curve, ...]:
    """Return all published curves of an algorithm, by our label or the paper's; none if there is none."""
    return next((_tables()[env_id, name] for name in _names(algorithm) if (env_id, name) in _tables()), ())


def curve(env_id: str, algorithm: str, bin_width: int) -> Curve | None:
    """Return the curve to draw beside ours: with bins as wide as ours if there is one, else with the finest."""
    curves = curves_of(env_id, algorithm)
    return min(curves, key=lambda c: (c.bin_width != bin_width, c.bin_width), default=None)


def lookup(env_id: str, algorithm: str, step: int, bin_width: int) -> Published | None:
    """Return the published value at a step: from bins as wide as ours if there are such, else from the finest."""
    values = [value for c in curves_of(env_id, algorithm) if (value := c.at(step)) is not None]
    return min(values, key=lambda v: (v.bin_width != bin_width, v.bin_width), default=None)


def ends_at(env_id: str, algorithm: str) -> int | None:
    """Return the last step of the longest published curve of an algorithm."""
    return max((c.steps[-1] for c in curves_of(env_id, algorithm)), default=None)


def scale(env_id: str, step: int) -> float | None:
    """Return how large returns are on a task at a step: the largest published magnitude of any algorithm there."""
    values = [
        abs(value.value) for (env, _), curves in _tables().items() if env == env_id for c in curves if (value := c.at(step))
    ]
    return max(values, default=None)


def bar(env_id: str, algorithm: str) -> float | None:
    """Return the number printed above a bar of Figure 2 (20M steps)."""
    return next((_bars()[env_id, name] for name in _names(algorithm) if (env_id, name) in _bars()), None)
