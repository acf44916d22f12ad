"""Stream-X Figure 2, the stream barrier: final return of every algorithm as bars, and beneath them how it got there."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import plot, published
from analysis.budget import paper_budget, short_steps, stated
from analysis.figures import FigureData
from analysis.plot import INK, MUTED
from analysis.statistics import mean_curves
from experiments.spec import Row

MOST_COLUMNS = 4
PANEL_WIDTH, BAR_HEIGHT, CURVE_HEIGHT = 2.15, 1.75, 1.4
GAP = 0.08
NARROWEST = 4.6
# With two or three seeds a t interval is many times the mean; it may leave the panel, the bars must stay readable.
WHISKER_ROOM = 1.5
# Share of a panel that a number above a bar takes.
NUMBER_ROOM = 0.13
# Inches that the name of an arm takes beside its neighbours before it must slant.
UPRIGHT_SLOT = 0.65
LETTERS_PER_INCH = 19
# A published curve in much wider bins than ours would lag behind it: such are compared in the table, not drawn.
WIDEST_PUBLISHED = 2
DASHES = (0, (3.2, 1.6))

NUMBERS = ["part", "env_id", "algorithm", "step", "value", "mean", "ci90", "ci95", "n", "diverged"]


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw one panel per environment: bars with 95 % t intervals above, learning curves with 90 % t bands below.

    In the numbers, `value` is what is drawn and `mean` what it would be if a diverged run did not make a bar 0.
    """
    rows = data.preset.rows
    columns = len(rows) if len(rows) <= MOST_COLUMNS else 3
    blocks = math.ceil(len(rows) / columns)
    width = max(columns * PANEL_WIDTH + 0.2, NARROWEST)
    footer = [part for line in _footer_lines(data) for part in textwrap.wrap(line, int(width * LETTERS_PER_INCH))]
    foot = 0.16 * len(footer) + 0.32
    size = (width, blocks * (BAR_HEIGHT + CURVE_HEIGHT + 0.75) + foot)
    figure = Figure(figsize=size, layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.05, h_pad=0.04, wspace=0.03, hspace=0.02, rect=(0, foot / size[1], 1, 1 - foot / size[1]))
    # Every block is bars, curves and a gap to the next.
    heights = ([BAR_HEIGHT, CURVE_HEIGHT, GAP] * blocks)[:-1]
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for axes in grid[2::3].flat:
        axes.set_axis_off()

    colours = plot.colours([arm.label for row in rows for arm in row.arms])
    means = mean_curves(data.curves)
    numbers = []
    for i in range(blocks * columns):
        block, column = divmod(i, columns)
        bars, curves = grid[3 * block][column], grid[3 * block + 1][column]
        if i >= len(rows):
            bars.set_axis_off()
            curves.set_axis_off()
            continue
        row = rows[i]
        slot = (size[0] / columns - 0.5) / len(row.arms)
        numbers.append(_bars(bars, row, data.summary[data.summary["env_id"] == row.env_id], colours, slot < UPRIGHT_SLOT))
        here = means[means["env_id"] == row.env_id]
        numbers.append(_curves(curves, row, here, data.runs[data.runs["env_id"] == row.env_id], colours))
        if column == 0:
            bars.set_ylabel("final return")
            curves.set_ylabel("return")
    drawn = pd.concat(numbers, ignore_index=True)
    parts = set(drawn["part"])
    figure.legend(
        handles=_keys("published curve" in parts, bool(data.summary["diverged"].any())),
        loc="lower left",
        bbox_to_anchor=(0.008, (foot - 0.26) / size[1]),
        ncols=4,
        handlelength=1.8,
        columnspacing=1.4,
        borderpad=0,
        borderaxespad=0,
    )
    for line, text in enumerate(footer):
        y = (foot - 0.36 - 0.15 * line) / size[1]
        figure.text(0.008, y, text, fontsize=6.5, color=MUTED, ha="left", va="top")
    return figure, drawn


# Bars


def _bars(axes: Axes, row: Row, summary: pd.DataFrame, colours: Mapping[str, str], slanted: bool) -> pd.DataFrame:
    by_label = {arm.algorithm: arm for arm in summary.itertuples()}
    arms: list[Any] = [by_label[arm.label] for arm in row.arms]
    low, high = _limits(arms)
    axes.set_ylim(low, high)
    for x, arm in enumerate(arms):
        strong = plot.is_streaming(arm.algorithm)
        if arm.diverged or math.isnan(arm.bar):
            text = f"diverged {arm.diverged}/{arm.seeds}" if arm.diverged else "no episode" if arm.seeds else "no run yet"
            # Beneath the line where all bars hang down.
            _above(axes, x, 0.0, text, strong=False, below=high < -low / 2, rotation=90, color=MUTED)
            continue
        edge = INK if strong else "none"
        axes.bar(x, arm.bar, width=0.72, color=colours[arm.algorithm], edgecolor=edge, linewidth=0.7, zorder=2)
        spread = 0.0 if math.isnan(arm.ci95) else arm.ci95
        tip = _whisker(axes, x, arm.bar, spread) if spread else arm.bar
        _above(axes, x, tip, plot.short_number(arm.bar), strong, below=arm.bar < 0)
    axes.axhline(0, color=MUTED, linewidth=0.7, zorder=2.5)
    middle, reach = (len(arms) - 1) / 2, max(len(arms), 3) / 2 + 0.1
    axes.set_xlim(middle - reach, middle + reach)
    axes.locator_params(axis="y", nbins=6)
    axes.set_xticks(range(len(arms)), [arm.algorithm for arm in arms])
    if slanted:
        for tick in axes.get_xticklabels():
            tick.set(rotation=38, ha="right", rotation_mode="anchor")
    for tick, arm in zip(axes.get_xticklabels(), arms, strict=True):
        tick.set_fontweight("bold" if plot.is_streaming(arm.algorithm) else "normal")
    axes.tick_params(axis="x", length=0, pad=1.5 if slanted else 3)
    plot.return_axis(axes)
    plot.set_title(axes, row.env_id)
    drawn = summary.rename(columns={"final_step": "step", "final_mean": "mean", "bar": "value"})
    return drawn.assign(part="bar")[NUMBERS]


def _whisker(axes: Axes, x: float, height: float, spread: float) -> float:
    """Draw an interval and return where its outer end is, below the panel's edge by the height of a number."""
    low, high = axes.get_ylim()
    room, sign = 0.99 * NUMBER_ROOM * (high - low), -1 if height < 0 else 1
    edge = high - room if sign > 0 else low + room
    outer, inner = height + sign * spread, height - sign * spread
    leaves = (outer - edge) * sign > 0
    end = edge if leaves else outer
    axes.plot([x, x], [inner, end], color=INK, linewidth=0.8, solid_capstyle="butt", zorder=3)
    axes.plot(x, inner, color=INK, marker="_", markersize=4.5, markeredgewidth=0.8, zorder=3)
    outer_marker = ("^" if sign > 0 else "v") if leaves else "_"
    axes.plot(x, end, color=INK, marker=outer_marker, markersize=3.5 if leaves else 4.5, markeredgewidth=0.8, zorder=3)
    return end


def _above(
    axes: Axes, x: float, y: float, text: str, strong: bool, below: bool = False, rotation: float = 0, color: str = INK
) -> None:
    note = axes.annotate(
        text,
        (x, y),
        xytext=(0, -2 if below else 2),
        textcoords="offset points",
        ha="center",
        va="top" if below else "bottom",
        rotation=rotation,
        color=color,
        fontsize=7,
        fontweight="bold" if strong else "normal",
        zorder=5,
    )
    note.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})


def _limits(arms: list[Any]) -> tuple[float, float]:
    """Return limits that hold all bars and their whiskers, unless a whisker is out of all proportion."""
    drawn = [(0.0, 0.0)]
    drawn += [(arm.bar, 0.0 if arm.diverged else np.nan_to_num(arm.ci95)) for arm in arms if not math.isnan(arm.bar)]
    top, bottom = max(height for height, _ in drawn), min(height for height, _ in drawn)
    reach = (WHISKER_ROOM - 1) * ((top - bottom) or 1.0)
    high = min(max(height + spread for height, spread in drawn), top + reach) or (0.0 if bottom else 1.0)
    low = max(min(height - spread if height < 0 else 0.0 for height, spread in drawn), bottom - reach)
    # Room for the numbers, above and, where bars hang down, below.
    room = (high - low) * NUMBER_ROOM / (1 - NUMBER_ROOM * (2 if low < 0 else 1))
    return low - (room if low < 0 else 0.0), high + room


# Curves


def _curves(axes: Axes, row: Row, means: pd.DataFrame, runs: pd.DataFrame, colours: Mapping[str, str]) -> pd.DataFrame:
    numbers = []
    last = row.steps // row.bin_width * row.bin_width
    for arm in sorted(row.arms, key=lambda arm: plot.is_streaming(arm.label)):
        strong, colour = plot.is_streaming(arm.label), colours[arm.label]
        own = means[means["algorithm"] == arm.label]
        diverged = runs.loc[(runs["algorithm"] == arm.label) & (runs["status"] == "diverged"), "diverged_at"]
        if len(own):
            _one_curve(axes, own, None if diverged.empty else int(diverged.min()), colour, strong)
            numbers.append(own.assign(part="curve", value=own["mean"], diverged=len(diverged)))
        theirs = published.curve(row.env_id, arm.label, row.bin_width)
        if theirs is None or theirs.bin_width > WIDEST_PUBLISHED * row.bin_width:
            continue
        points = [(x, y) for x, y in zip(theirs.steps, theirs.values, strict=True) if x <= last]
        if len(points) < 2:
            continue
        x, y = np.array(points, float).T
        shade = plot.lighter(colour, 0.45)
        axes.plot(x, y, color=shade, linewidth=1.0, linestyle=DASHES, zorder=4.5 if strong else 3.5)
        frame = pd.DataFrame({"env_id": row.env_id, "algorithm": arm.label, "step": x.astype(int), "value": y, "mean": y})
        numbers.append(frame.assign(part="published curve"))
    table = pd.concat(numbers, ignore_index=True).reindex(columns=NUMBERS) if numbers else pd.DataFrame(columns=NUMBERS)
    axes.set_xlim(0, last)
    axes.set_xticks([0, last / 2, last])
    axes.set_ylim(*_curve_limits(table))
    axes.locator_params(axis="y", nbins=4)
    plot.step_axis(axes)
    plot.return_axis(axes)
    axes.set_xlabel("environment steps", labelpad=2)
    return table


def _curve_limits(table: pd.DataFrame) -> tuple[float, float]:
    values = table["value"].to_numpy(float)
    spread = np.nan_to_num(table["ci90"].to_numpy(float))
    there = np.isfinite(values)
    if not there.any():
        return 0.0, 1.0
    values, spread = values[there], spread[there]
    low, high = min(values.min(), 0.0), values.max()
    size = (high - low) or 1.0
    # As with the whiskers of the bars: a band of two or three seeds may leave the panel.
    top = min((values + spread).max(), high + (WHISKER_ROOM - 1) * size)
    bottom = max((values - spread).min(), low - (0.12 if low == 0 else WHISKER_ROOM - 1) * size)
    return min(bottom, low) - 0.04 * size, top + 0.04 * size


def _one_curve(axes: Axes, own: pd.DataFrame, diverged_at: int | None, colour: str, strong: bool) -> None:
    x, mean, half = (own[name].to_numpy(float) for name in ("step", "mean", "ci90"))
    whole = np.ones(len(x), bool) if diverged_at is None else x < diverged_at
    plot.band(axes, x[whole], mean[whole], half[whole], colour, strong)
    if not whole.all():
        # From here on the mean is over the runs that are left, a selection: dotted, after a cross.
        tail = np.arange(len(x)) >= max(int(whole.sum()) - 1, 0)
        axes.plot(x[tail], mean[tail], color=colour, linewidth=0.9, linestyle=":", zorder=3)
        start = np.flatnonzero(np.isfinite(mean) & (whole | tail))
        at = start[start <= max(int(whole.sum()) - 1, 0)]
        if len(at):
            axes.plot(x[at[-1]], mean[at[-1]], color=colour, marker="x", markersize=4.5, markeredgewidth=1.3, zorder=6)


# Below the panels


def _keys(with_published: bool, with_diverged: bool) -> list[Any]:
    keys: list[Any] = [
        (Line2D([], [], color=INK, linewidth=1.3), "ours"),
        (Patch(facecolor=INK, alpha=0.18, linewidth=0), "90 % t interval"),
    ]
    if with_published:
        keys.append((Line2D([], [], color=MUTED, linewidth=1.0, linestyle=DASHES), "published"))
    if with_diverged:
        keys.append((Line2D([], [], color=INK, linewidth=0.9, linestyle=":", marker="x", markersize=4), "a run diverged"))
    for handle, label in keys:
        handle.set_label(label)
    return [handle for handle, _ in keys]


def _footer_lines(data: FigureData) -> list[str]:
    budgets: dict[str, list[str]] = {}
    for row in data.preset.rows:
        arms = data.summary[data.summary["env_id"] == row.env_id]
        text = stated(arms, paper_budget(data.experiment, row), by_arm=True)
        budgets.setdefault(text, []).append(row.env_id)
    lines = [f"{text}." if len(budgets) == 1 else f"{', '.join(envs)}: {text}." for text, envs in budgets.items()]
    last = " or ".join(short_steps(width) for width in sorted({row.bin_width for row in data.preset.rows}))
    arrows = " (arrow: beyond the panel)"
    return [*lines, f"Bars: mean return over the last {last} steps, 95 % t interval{arrows}; 0 where a run diverged."]
