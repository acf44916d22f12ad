"""AVG Figure 1: final return against the size of the replay buffer, on a logarithmic axis.

One panel per environment and one line per method: means over seeds with 90 % t intervals, or with each of few runs as a dot. A
learner that stores nothing is a marker at size 1, where the paper puts AVG and IAC. Published values are hollow and dotted,
and those of 10M steps: where ours are far below them, they have panels of their own, below.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter

from analysis import lines, panels, plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.learner_style import Style, lighter, method, styles
from analysis.panels import DOTS, REFERENCE_ROOM
from analysis.plot import INK, MUTED
from analysis.published import avg
from analysis.published.names import paper_name
from experiments.spec import Row

PANEL_WIDTH, PANEL_HEIGHT = 2.3, 1.9
NARROWEST = 4.6
MOST_COLUMNS = 4
NAMED_SIZES, OTHER_SIZES = (1, 100, 10_000, 1_000_000), (10, 1_000, 100_000)
LIMITS = (0.45, 2.2e6)
# Of the methods that stand at one size, the first to the left and the last to the right of it, by this factor of the size.
DODGE = 1.12
NUMBERS = ["part", "panel", "env_id", "algorithm", "buffer_size", "value", "ci90", "n", "seeds", "diverged"]
OURS, PUBLISHED = "ours", "published"


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw a panel per environment, or two where published values are far above ours; return both."""
    rows = data.preset.rows
    columns = min(len(rows), MOST_COLUMNS)
    blocks = math.ceil(len(rows) / columns)
    tables = [_numbers(row, data.summary[data.summary["panel"] == row.panel_name]) for row in rows]
    drawn = pd.concat(tables, ignore_index=True)
    apart = any(_far_above(table) for table in tables)
    figure, grid = plot.panel_grid(blocks * (1 + apart), columns, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, 0)

    looks = styles([list(dict.fromkeys(map(method, drawn["algorithm"])))])
    emphasised = {method(arm.label) for row in rows for arm in row.arms if arm.emphasised}
    for i, (row, table) in enumerate(zip(rows, tables, strict=True)):
        block, column = divmod(i, columns)
        axes = grid[block * (1 + apart), column]
        theirs = grid[block * 2 + 1, column] if apart else axes
        _panel(axes, row, table, data.curves, looks, emphasised, together=not apart)
        plot.set_title(axes, paper_name(row.panel_name))
        if apart:
            _their_panel(theirs, table, looks)
        if i + columns >= len(rows):
            theirs.set_xlabel("size of the buffer", labelpad=2)
        if column == 0:
            axes.set_ylabel("return")
            if apart:
                theirs.set_ylabel(f"published,\n{short_steps(avg.STEPS)} steps")
    plot.below(figure, _keys(data, drawn, looks, emphasised), [*panels.budget_lines(data), *_lines(data, drawn)])
    return figure, drawn


def _numbers(row: Row, summary: pd.DataFrame) -> pd.DataFrame:
    labels = list(summary["algorithm"])
    ours = summary.rename(columns={"final_mean": "value"}).assign(part=OURS)
    ours["buffer_size"] = [avg.size_of(label) for label in labels]
    theirs = pd.DataFrame(
        [
            {"part": PUBLISHED, "algorithm": label, "buffer_size": avg.size_of(label), "value": value}
            for (env_id, label), value in avg.values().items()
            if env_id == row.env_id
        ],
        columns=["part", "algorithm", "buffer_size", "value"],
    )
    tables = [
        table.assign(panel=row.panel_name, env_id=row.env_id).reindex(columns=NUMBERS) for table in (ours, theirs) if len(table)
    ]
    return pd.concat(tables, ignore_index=True)


# Panels


def _far_above(table: pd.DataFrame) -> bool:
    """Return whether published values would press ours together. Of ours the means count and not their intervals."""
    ours, theirs = (table.loc[table["part"] == part, "value"] for part in (OURS, PUBLISHED))
    return bool(theirs.max() > REFERENCE_ROOM * max(ours.max(), 0.0))


def _panel(
    axes: Axes,
    row: Row,
    table: pd.DataFrame,
    tidy: pd.DataFrame,
    looks: Mapping[str, Style],
    emphasised: Collection[str],
    together: bool,
) -> None:
    """Draw ours of one environment, and the published values behind them where there is room for both."""
    ours, theirs = table[table["part"] == OURS], table[table["part"] == PUBLISHED]
    last = row.steps // row.bin_width * row.bin_width
    runs = tidy[(tidy["panel"] == row.panel_name) & (tidy["step"] == last) & tidy["mean_return"].notna()]
    limits = [_limits(ours, runs["mean_return"].to_numpy(float))]
    if together and len(theirs):
        limits.append(_limits(theirs))
    _axis(axes, min(low for low, _ in limits), max(high for _, high in limits))
    if together:
        _published(axes, theirs, looks)
    groups = list(dict.fromkeys(map(method, ours["algorithm"])))
    for place, name in enumerate(groups):
        shift = DODGE ** (place - (len(groups) - 1) / 2)
        own = runs[[method(label) == name for label in runs["algorithm"]]]
        points = own.assign(x=[avg.size_of(str(label)) * shift for label in own["algorithm"]])
        lines.line(axes, points, "mean_return", looks[name], name in emphasised, sizes=True)
        lost = ours[(ours["algorithm"].map(method) == name) & ours["diverged"].gt(0)]
        style: dict[str, Any] = {"color": INK, "marker": "x", "markersize": 5, "markeredgewidth": 1.2, "linestyle": "none"}
        axes.plot(lost["buffer_size"] * shift, lost["value"], **style, zorder=6)


def _their_panel(axes: Axes, table: pd.DataFrame, looks: Mapping[str, Style]) -> None:
    theirs = table[table["part"] == PUBLISHED]
    if len(theirs):
        _axis(axes, *_limits(theirs))
        _published(axes, theirs, looks)


def _axis(axes: Axes, low: float, high: float) -> None:
    axes.set_axis_on()
    axes.set_xscale("log")
    axes.set_xlim(*LIMITS)
    axes.xaxis.set_major_locator(FixedLocator(NAMED_SIZES))
    axes.xaxis.set_minor_locator(FixedLocator(OTHER_SIZES))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: avg.name_of(round(size))))
    axes.set_ylim(low, high)
    axes.locator_params(axis="y", nbins=4)
    plot.return_axis(axes)
    axes.axhline(0, color=MUTED, linewidth=0.7, zorder=1)


def _limits(points: pd.DataFrame, runs: np.ndarray | None = None) -> tuple[float, float]:
    """Return limits for means with their intervals, or with single runs where there are few."""
    values = points["value"].to_numpy(float)
    there = np.isfinite(values)
    if not there.any():
        return 0.0, 1.0
    low, high = min(values[there].min(), 0.0), max(values[there].max(), 0.0)
    size = (high - low) or 1.0
    spread = np.where(points["n"] > lines.FEW, np.nan_to_num(points["ci90"].to_numpy(float)), 0.0)[there]
    # An interval of two or three seeds may leave the panel; the means must stay readable.
    top = min((values[there] + spread).max(), high + 0.35 * size)
    bottom = max((values[there] - spread).min(), low - 0.35 * size)
    if runs is not None and len(runs) and not spread.any():
        top, bottom = min(runs.max(), high + 0.35 * size), max(runs.min(), low - 0.35 * size)
    return min(bottom, low) - 0.06 * size, max(top, high) + 0.08 * size


def _published(axes: Axes, theirs: pd.DataFrame, looks: Mapping[str, Style]) -> None:
    for name, points in theirs.groupby(theirs["algorithm"].map(method), sort=False):
        look, points = looks[str(name)], points.sort_values("buffer_size")
        dots = {"linestyle": "none" if name in avg.MARKERS else DOTS, "linewidth": 1.1, "color": lighter(look.colour, 0.25)}
        axes.plot(points["buffer_size"], points["value"], **{**lines.hollow(look), **dots}, zorder=2.5, clip_on=False)


# Below the panels


def _keys(data: FigureData, drawn: pd.DataFrame, looks: Mapping[str, Style], emphasised: Collection[str]) -> list[list[Any]]:
    ours, theirs = (drawn.loc[drawn["part"] == part, "algorithm"].map(method) for part in (OURS, PUBLISHED))
    arms: list[Any] = [panels.arm_key(name, looks[name], name in emphasised) for name in dict.fromkeys(ours)]
    keys: list[Any] = [Line2D([], [], color=INK, linewidth=1.3, label="ours"), *panels.point_keys(data.curves)]
    if len(theirs):
        ring: dict[str, Any] = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
        keys.append(Line2D([], [], color=MUTED, linewidth=1.1, linestyle=DOTS, **ring, label="published"))
    for name in (name for name in avg.MARKERS if name in set(theirs)):
        keys.append(Line2D([], [], **{**lines.hollow(looks[name]), "linestyle": "none"}, label=f"{name}, published"))
    if drawn["diverged"].gt(0).any():
        keys.append(Line2D([], [], color=INK, marker="x", markersize=5, linestyle="none", label="a run diverged"))
    return [arms, keys]


def _lines(data: FigureData, drawn: pd.DataFrame) -> list[str]:
    rows = data.preset.rows
    windows = " or ".join(short_steps(width) for width in sorted({row.bin_width for row in rows}))
    said = [f"Ours: mean return over the last {windows} steps. The buffer of PPO is its rollout."]
    if (drawn["part"] == PUBLISHED).any():
        said.append(
            f"Published (AVG, Fig. 1): the last {short_steps(avg.WINDOW)} of {short_steps(avg.STEPS)} "
            f"steps, {avg.SEEDS} seeds, no interval."
        )
    ours = drawn[drawn["part"] == OURS]
    if (ours["buffer_size"] > ours["panel"].map({row.panel_name: row.steps for row in rows})).any():
        said.append("A buffer larger than the number of steps holds the whole run.")
    return [*said, *panels.divergence_lines(data.summary)]
