"""AVG Figure 1: final return against the size of the replay buffer, on a logarithmic axis.

One panel per environment and one line per method: means over seeds with 90 % t intervals. A learner that stores nothing is a
marker at size 1, where the paper puts AVG and IAC. The published values stand behind ours, paler and dashed. They are those of
10M steps: where ours are far below them, they have an axis of their own at the right with the same zero.
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

from analysis import panels, plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.panels import DASHES, REFERENCE_ROOM
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
MARKERS = {"SAC": "o", "TD3": "s", "PPO": "^", "AVG": "*", "IAC": "D"}
NUMBERS = ["part", "panel", "env_id", "algorithm", "buffer_size", "value", "ci90", "n", "seeds", "diverged"]
OURS, PUBLISHED = "ours", "published"


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw one panel per environment; return our means and the published ones."""
    rows = data.preset.rows
    columns = min(len(rows), MOST_COLUMNS)
    lines = math.ceil(len(rows) / columns)
    figure, grid = plot.panel_grid(lines, columns, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, len(rows))

    tables = [_numbers(row, data.summary[data.summary["panel"] == row.panel_name]) for row in rows]
    drawn = pd.concat(tables, ignore_index=True)
    methods = list(dict.fromkeys(plot.method(label) for label in drawn["algorithm"]))
    colours = plot.colours([methods])
    emphasised = {plot.method(arm.label) for row in rows for arm in row.arms if arm.emphasised}
    apart = False
    for i, (axes, row, table) in enumerate(zip(grid.flat, rows, tables, strict=False)):
        apart |= _panel(axes, table, colours, emphasised)
        plot.set_title(axes, paper_name(row.panel_name))
        if i + columns >= len(rows):
            axes.set_xlabel("size of the buffer", labelpad=2)
        if i % columns == 0:
            axes.set_ylabel("return")
    plot.below(figure, _keys(drawn, colours, emphasised), [*panels.budget_lines(data), *_lines(data, drawn, apart)])
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


def _panel(axes: Axes, table: pd.DataFrame, colours: Mapping[str, str], emphasised: Collection[str]) -> bool:
    """Draw one environment; return whether the published values got an axis of their own."""
    ours, theirs = table[table["part"] == OURS], table[table["part"] == PUBLISHED]
    axes.set_xscale("log")
    axes.set_xlim(*LIMITS)
    axes.xaxis.set_major_locator(FixedLocator(NAMED_SIZES))
    axes.xaxis.set_minor_locator(FixedLocator(OTHER_SIZES))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: avg.name_of(round(size))))
    low, high = _limits(ours)
    low_published, high_published = _limits(theirs)
    # Of ours the means count and not their intervals, which with few seeds are wider than all that there is to see.
    apart = bool(theirs["value"].max() > REFERENCE_ROOM * max(ours["value"].max(), 0.0))
    behind: Any = axes
    if apart:
        behind = axes.twinx()
        # Ours in front, on a page that lets the others through.
        axes.set_zorder(behind.get_zorder() + 1)
        axes.patch.set_visible(False)
        # The same zero: both axes have the larger share below it, yet half of the panel at most is left to what is above.
        high, high_published = max(high, -low), max(high_published, -low_published)
        below = max(-low / (high - low), -low_published / (high_published - low_published))
        low, low_published = -high * below / (1 - below), -high_published * below / (1 - below)
        behind.set_ylim(low_published, high_published)
        behind.grid(visible=False)
        behind.tick_params(axis="y", labelcolor=MUTED)
        behind.locator_params(axis="y", nbins=4)
        plot.return_axis(behind)
    elif len(theirs):
        low, high = min(low, low_published), max(high, high_published)
    axes.set_ylim(low, high)
    axes.locator_params(axis="y", nbins=4)
    plot.return_axis(axes)
    axes.axhline(0, color=MUTED, linewidth=0.7, zorder=1)
    for method, points in theirs.groupby(theirs["algorithm"].map(plot.method), sort=False):
        _published(behind, str(method), points.sort_values("buffer_size"), colours[str(method)])
    groups = list(ours.groupby(ours["algorithm"].map(plot.method), sort=False))
    for place, (method, points) in enumerate(groups):
        shift = DODGE ** (place - (len(groups) - 1) / 2)
        _ours(axes, str(method), points.sort_values("buffer_size"), colours[str(method)], shift, str(method) in emphasised)
    return apart


def _limits(points: pd.DataFrame) -> tuple[float, float]:
    values = points["value"].to_numpy(float)
    there = np.isfinite(values)
    if not there.any():
        return 0.0, 1.0
    low, high = min(values[there].min(), 0.0), max(values[there].max(), 0.0)
    size = (high - low) or 1.0
    spread = np.nan_to_num(points["ci90"].to_numpy(float))[there]
    # An interval of two or three seeds may leave the panel; the means must stay readable.
    top = min((values[there] + spread).max(), high + 0.35 * size)
    bottom = max((values[there] - spread).min(), low - 0.35 * size)
    return min(bottom, low) - 0.06 * size, max(top, high) + 0.08 * size


def _published(axes: Axes, method: str, points: pd.DataFrame, colour: str) -> None:
    single = method in avg.MARKERS
    style: dict[str, Any] = {
        "color": plot.lighter(colour, 0.45),
        "marker": MARKERS.get(method, "o"),
        "markersize": 6.5 if method == "AVG" else 4 if single else 2.6,
        "markerfacecolor": "white",
        "markeredgewidth": 0.9,
        "linestyle": "none" if single else DASHES,
        "linewidth": 0.9,
        "clip_on": False,
    }
    axes.plot(points["buffer_size"], points["value"], zorder=2.5, **style)


def _ours(axes: Axes, method: str, points: pd.DataFrame, colour: str, shift: float, strong: bool) -> None:
    points = points[points["value"].notna()]
    x, y = points["buffer_size"].to_numpy(float) * shift, points["value"].to_numpy(float)
    # Without a number there is no bar: one run has no interval.
    spread = np.nan_to_num(points["ci90"].to_numpy(float))
    axes.errorbar(
        x, y, yerr=spread, color=colour, linestyle="none", elinewidth=0.9, capsize=1.6, capthick=0.9, zorder=5 if strong else 4
    )
    axes.plot(x, y, color=colour, linewidth=1.3, zorder=5 if strong else 4, **_marker(method, strong))
    lost = points["diverged"].to_numpy(float) > 0
    axes.plot(x[lost], y[lost], color=INK, marker="x", markersize=5, markeredgewidth=1.2, linestyle="none", zorder=6)


def _marker(method: str, strong: bool) -> dict[str, Any]:
    if strong and method not in MARKERS:
        return {"marker": "P", "markersize": 6.0}
    return {"marker": MARKERS.get(method, "o"), "markersize": 3.4}


# Below the panels


def _keys(drawn: pd.DataFrame, colours: Mapping[str, str], emphasised: Collection[str]) -> list[list[Any]]:
    ours, theirs = (
        drawn.loc[drawn["part"] == part, "algorithm"].drop_duplicates().map(plot.method) for part in (OURS, PUBLISHED)
    )
    arms: list[Any] = []
    for method in dict.fromkeys(ours):
        line: Any = {"color": colours[method], "linewidth": 1.3, "linestyle": "-" if (ours == method).sum() > 1 else "none"}
        arms.append(Line2D([], [], **line, **_marker(method, method in emphasised), label=method))
    keys: list[Any] = [Line2D([], [], color=INK, linewidth=1.3, label="ours, 90 % t interval")]
    if len(theirs):
        keys.append(Line2D([], [], color=MUTED, linewidth=0.9, linestyle=DASHES, label="published"))
    for method in (name for name in avg.MARKERS if name in set(theirs)):
        style: dict[str, Any] = {"color": plot.lighter(colours[method], 0.45), "marker": MARKERS[method], "linestyle": "none"}
        keys.append(Line2D([], [], **style, markerfacecolor="white", markersize=5, label=f"{method}, published"))
    if drawn["diverged"].gt(0).any():
        keys.append(Line2D([], [], color=INK, marker="x", markersize=5, linestyle="none", label="a run diverged"))
    return [arms, keys]


def _lines(data: FigureData, drawn: pd.DataFrame, apart: bool) -> list[str]:
    rows = data.preset.rows
    windows = " or ".join(short_steps(width) for width in sorted({row.bin_width for row in rows}))
    said = [f"Ours: mean return over the last {windows} steps. The buffer of PPO is its rollout."]
    if (drawn["part"] == PUBLISHED).any():
        said.append(
            f"Published (AVG, Fig. 1): the last {short_steps(avg.WINDOW)} of {short_steps(avg.STEPS)} "
            f"steps, {avg.SEEDS} seeds, no interval."
        )
    if apart:
        said.append("An axis at the right is that of the published values.")
    ours = drawn[drawn["part"] == OURS]
    if (ours["buffer_size"] > ours["panel"].map({row.panel_name: row.steps for row in rows})).any():
        said.append("A buffer larger than the number of steps holds the whole run.")
    return [*said, *panels.divergence_lines(data.summary)]
