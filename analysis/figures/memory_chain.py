"""RTU Figure 1b: return against the length of a chain that has to be remembered.

A row of the preset is a length, and a bin of its learning curve an epoch. Two panels: the return in the last epoch, and the
best epoch of each run, which is biased upwards by the best of so many means of chance (about the root of the length over that
of the steps in an epoch). What the paper plots is not said; its failing curves grow as best epochs do. Interquartile means
over runs with 90 % bootstrap intervals, or single runs where there are few; the published ones hollow and dotted, in both.
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

from analysis import lines, panels, plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.learner_style import Style, lighter, styles
from analysis.panels import DOTS
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
    looks = styles([labels])
    for axes, statistic in zip(grid.flat, (FINAL, BEST), strict=True):
        for place, label in enumerate(labels):
            own = numbers[numbers["algorithm"] == label]
            _published(axes, own[own["statistic"] == PUBLISHED], looks[label])
            shift = DODGE ** (place - (len(labels) - 1) / 2)
            _curve(axes, own[own["statistic"] == statistic], looks[label], shift, label in emphasised)
            _single(axes, _runs(rows, data, label, statistic), looks[label], shift)
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
        [panels.arm_keys(rows, looks), _keys(numbers)],
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
        for statistic in (FINAL, BEST):
            values = _values(own, row, statistic)
            low, high = interval(values)
            known = {"panel": row.panel_name, "length": _length(row), "algorithm": arm.label, **counts[arm.label]}
            number = {"value": interquartile_mean(values), "low": low, "high": high, "n": int(np.isfinite(values).sum())}
            found.append({"statistic": statistic, **known, **number})
    return pd.DataFrame(found, columns=NUMBERS)


def _values(own: pd.DataFrame, row: Row, statistic: str) -> np.ndarray:
    """Return a statistic of every run of an arm."""
    if statistic == FINAL:
        return own[own["step"] == row.steps // row.bin_width * row.bin_width]["mean_return"].to_numpy(np.float64)
    return own.groupby("seed")["mean_return"].max().to_numpy(np.float64)


def _runs(rows: tuple[Row, ...], data: FigureData, label: str, statistic: str) -> list[tuple[int, np.ndarray]]:
    """Return the values of single runs by length, where there are few."""
    found = []
    for row in rows:
        own = data.curves[(data.curves["panel"] == row.panel_name) & (data.curves["algorithm"] == label)]
        values = _values(own, row, statistic)
        if 1 < len(values) <= lines.FEW:
            found.append((_length(row), values))
    return found


def _theirs(rows: tuple[Row, ...]) -> pd.DataFrame:
    shown, labels = {_length(row): row.panel_name for row in rows}, {arm.label for row in rows for arm in row.arms}
    table = rtu.chains()
    table = table[table["chain_length"].isin(list(shown)) & table["agent"].isin(list(labels))]
    names = {"chain_length": "length", "agent": "algorithm", "iqm_return": "value", "band_low": "low", "band_high": "high"}
    renamed = table.rename(columns=names)
    renamed = renamed.assign(statistic=PUBLISHED, panel=renamed["length"].map(shown), n=rtu.SEEDS, seeds=rtu.SEEDS, diverged=0)
    return renamed.reindex(columns=NUMBERS)


def _published(axes: Axes, points: pd.DataFrame, look: Style) -> None:
    style = {**lines.hollow(look), "color": lighter(look.colour, 0.25), "linestyle": DOTS, "linewidth": 1.1}
    axes.plot(points["length"], points["value"], **style, zorder=2.5)


def _single(axes: Axes, runs: list[tuple[int, np.ndarray]], look: Style, shift: float) -> None:
    for length, values in runs:
        axes.plot(np.full(len(values), length * shift), values, "o", color=look.colour, markersize=2.4, alpha=0.5, zorder=3)


def _curve(axes: Axes, points: pd.DataFrame, look: Style, shift: float, strong: bool) -> None:
    points = points.sort_values("length")
    x, y = points["length"].to_numpy(float) * shift, points["value"].to_numpy(float)
    spread = np.nan_to_num(np.abs(points[["low", "high"]].to_numpy(float).T - y)) * (points["n"].to_numpy() > lines.FEW)
    order = 5 if strong else 4
    axes.errorbar(
        x, y, yerr=spread, color=look.colour, linestyle="none", elinewidth=0.9, capsize=1.6, capthick=0.9, zorder=order
    )
    style: dict[str, Any] = {"color": look.colour, "linestyle": look.linestyle, "linewidth": 1.9 if strong else 1.25}
    axes.plot(x, y, **style, **lines.marker(look, strong), zorder=order)
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


def _keys(numbers: pd.DataFrame) -> list[Any]:
    counts = numbers.loc[numbers["statistic"] != PUBLISHED, "n"]
    keys = [Line2D([], [], color=INK, linewidth=1.3, label="ours")]
    if (counts > lines.FEW).any():
        keys.append(Line2D([], [], color=INK, marker="|", linestyle="none", label="90 % bootstrap interval"))
    if counts.between(2, lines.FEW).any():
        keys.append(Line2D([], [], color=INK, marker="o", markersize=2.4, alpha=0.5, linestyle="none", label="single runs"))
    ring: dict[str, Any] = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
    return [*keys, Line2D([], [], color=MUTED, linewidth=1.1, linestyle=DOTS, **ring, label="published")]
