"""RTU Figure 1b: return against the length of a chain that has to be remembered.

A row of the preset is a length, and a bin of its learning curve an epoch. Two panels: the return in the last epoch, and the
best epoch of each run, which is biased upwards by the best of so many means of chance (about the root of the length over that
of the steps in an epoch). What the paper plots is not said; its failing curves grow as best epochs do. Interquartile means
over runs with 95 % bootstrap intervals; the published ones behind, paler and dashed, in both panels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis import panels, plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.panels import DASHES
from analysis.plot import INK, MUTED
from analysis.published import rtu
from analysis.robust import interquartile_mean, interval
from experiments.spec import Row

FINAL, BEST = "last epoch", "best epoch of each run"
PUBLISHED = "published"
NUMBERS = ["statistic", "panel", "length", "algorithm", "value", "low", "high", "n", "seeds", "diverged"]
PANEL_WIDTH, PANEL_HEIGHT = 3.1, 2.3
NARROWEST = 5.0
LIMITS = (-0.32, 1.06)
# Arms of a length stand beside each other by this factor, so that those that lie on each other are seen.
DODGE = 1.035


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw both statistics; return them and the published values."""
    rows = data.preset.rows
    figure, grid = plot.panel_grid(1, 2, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, 2)
    numbers = pd.concat([_ours(row, data) for row in rows] + [_theirs(rows)], ignore_index=True)
    labels = list(dict.fromkeys(arm.label for row in rows for arm in row.arms))
    emphasised = {arm.label for row in rows for arm in row.arms if arm.emphasised}
    colours = plot.colours([labels])
    for axes, statistic in zip(grid.flat, (FINAL, BEST), strict=True):
        for place, label in enumerate(labels):
            own = numbers[numbers["algorithm"] == label]
            _published(axes, own[own["statistic"] == PUBLISHED], colours[label])
            shift = DODGE ** (place - (len(labels) - 1) / 2)
            _curve(axes, own[own["statistic"] == statistic], colours[label], shift, label in emphasised)
        _axes(axes, sorted(set(numbers["length"])))
        plot.set_title(axes, statistic, PANEL_WIDTH)
    grid[0, 0].set_ylabel("interquartile mean return")
    epochs = " or ".join(short_steps(width) for width in sorted({row.bin_width for row in rows}))
    said = [
        f"Ours: epochs of {epochs} steps; chance is 0 and the most that a policy with 1 % of random actions can expect 0.99.",
        "Published (RTU, Fig. 1b): 5 seeds; which of the two statistics is not stated.",
    ]
    plot.below(
        figure,
        [panels.arm_keys(rows, colours), _keys()],
        [*panels.budget_lines(data), *said, *panels.divergence_lines(data.summary)],
    )
    return figure, numbers


def _length(row: Row) -> int:
    length = row.environment["length"]
    assert isinstance(length, int)
    return length


def _ours(row: Row, data: FigureData) -> pd.DataFrame:
    """Return both statistics of every arm of a length. Runs that diverged count with what they had until then."""
    found: list[dict[str, Any]] = []
    curves, summary = (table[table["panel"] == row.panel_name] for table in (data.curves, data.summary))
    counts: Mapping[Any, Any] = summary.set_index("algorithm")[["seeds", "diverged"]].to_dict("index")
    for arm in row.arms:
        own = curves[curves["algorithm"] == arm.label]
        last = own[own["step"] == row.steps // row.bin_width * row.bin_width]["mean_return"].to_numpy()
        best = own.groupby("seed")["mean_return"].max().to_numpy()
        for statistic, values in ((FINAL, last), (BEST, best)):
            low, high = interval(values)
            known = {"panel": row.panel_name, "length": _length(row), "algorithm": arm.label, **counts[arm.label]}
            number = {"value": interquartile_mean(values), "low": low, "high": high, "n": int(np.isfinite(values).sum())}
            found.append({"statistic": statistic, **known, **number})
    return pd.DataFrame(found, columns=NUMBERS)


def _theirs(rows: tuple[Row, ...]) -> pd.DataFrame:
    shown, labels = {_length(row): row.panel_name for row in rows}, {arm.label for row in rows for arm in row.arms}
    table = rtu.chains()
    table = table[table["chain_length"].isin(list(shown)) & table["agent"].isin(list(labels))]
    names = {"chain_length": "length", "agent": "algorithm", "iqm_return": "value", "band_low": "low", "band_high": "high"}
    renamed = table.rename(columns=names)
    renamed = renamed.assign(statistic=PUBLISHED, panel=renamed["length"].map(shown), n=rtu.SEEDS, seeds=rtu.SEEDS, diverged=0)
    return renamed.reindex(columns=NUMBERS)


def _published(axes: Axes, points: pd.DataFrame, colour: str) -> None:
    axes.plot(points["length"], points["value"], color=plot.lighter(colour, 0.45), linestyle=DASHES, linewidth=1.0, zorder=2.5)


def _curve(axes: Axes, points: pd.DataFrame, colour: str, shift: float, strong: bool) -> None:
    points = points.sort_values("length")
    x, y = points["length"].to_numpy(float) * shift, points["value"].to_numpy(float)
    spread = np.nan_to_num(np.abs(points[["low", "high"]].to_numpy(float).T - y))
    order = 5 if strong else 4
    axes.errorbar(x, y, yerr=spread, color=colour, linestyle="none", elinewidth=0.9, capsize=1.6, capthick=0.9, zorder=order)
    axes.plot(x, y, color=colour, marker="o", markersize=3.2, linewidth=1.8 if strong else 1.2, zorder=order)
    lost = points["diverged"].to_numpy(float) > 0
    axes.plot(x[lost], y[lost], color=INK, marker="x", markersize=5, markeredgewidth=1.2, linestyle="none", zorder=6)


def _axes(axes: Axes, lengths: list[int]) -> None:
    axes.set_xscale("log")
    axes.set_xlim(min(lengths) / 1.25, max(lengths) * 1.25)
    axes.xaxis.set_major_locator(FixedLocator(lengths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_ylim(*LIMITS)
    axes.axhline(0, color=MUTED, linewidth=0.7, zorder=1)
    plot.return_axis(axes)
    axes.set_xlabel("length of the chain", labelpad=2)


def _keys() -> list[Any]:
    return [
        Line2D([], [], color=INK, linewidth=1.3, marker="o", markersize=3.2, label="ours"),
        Line2D([], [], color=INK, marker="|", linestyle="none", label="95 % bootstrap interval"),
        Line2D([], [], color=MUTED, linewidth=1.0, linestyle=DASHES, label="published"),
    ]
