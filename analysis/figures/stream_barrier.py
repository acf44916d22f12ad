"""Stream-X Figure 2, the stream barrier: final return of every algorithm as bars, and beneath them how it got there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import plot, published
from analysis.figures import FigureData
from analysis.plot import MUTED, short_number, short_steps
from analysis.statistics import mean_curves
from experiments.spec import Row

MOST_COLUMNS = 4
PANEL_WIDTH, BAR_HEIGHT, CURVE_HEIGHT = 2.1, 1.55, 1.35
# With two or three seeds a t interval is many times the mean; it may leave the panel, the bars must stay readable.
WHISKER_ROOM = 1.5
# A published curve in much wider bins than ours would lag behind it: such are compared in the table, not drawn.
WIDEST_PUBLISHED = 2

NUMBERS = ["part", "env_id", "algorithm", "step", "mean", "ci90", "ci95", "n", "seeds", "diverged", "source"]


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw one panel per environment: bars with 95 % t intervals above, learning curves with 90 % t bands below."""
    rows = data.preset.rows
    columns = len(rows) if len(rows) <= MOST_COLUMNS else 3
    blocks = math.ceil(len(rows) / columns)
    # A single panel is made wide enough for its footer.
    width = max(columns * PANEL_WIDTH, 4.4) + 0.3
    height = blocks * (BAR_HEIGHT + CURVE_HEIGHT + 0.75) + 0.75
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.06, h_pad=0.04, wspace=0.02, hspace=0.02, rect=(0, 0.6 / height, 1, 1 - 0.6 / height))  # type: ignore[union-attr,call-arg]
    grid = figure.subplots(2 * blocks, columns, squeeze=False, height_ratios=[BAR_HEIGHT, CURVE_HEIGHT] * blocks)

    labels = list(dict.fromkeys(arm.label for row in rows for arm in row.arms))
    colours = plot.colours(labels)
    means = mean_curves(data.curves)
    numbers: list[pd.DataFrame] = []
    for i in range(blocks * columns):
        block, column = divmod(i, columns)
        bars, curves = grid[2 * block][column], grid[2 * block + 1][column]
        if i >= len(rows):
            bars.set_axis_off()
            curves.set_axis_off()
            continue
        row = rows[i]
        summary = data.summary[data.summary["env_id"] == row.env_id]
        here = means[means["env_id"] == row.env_id]
        runs = data.runs[data.runs["env_id"] == row.env_id]
        numbers.append(_bars(bars, row, summary, colours))
        numbers.append(_curves(curves, row, here, runs, colours))
        if column == 0:
            bars.set_ylabel("final return")
            curves.set_ylabel("return")
    drawn = pd.concat(numbers, ignore_index=True)
    _footer(figure, height, data, (drawn["part"] == "published curve").any())
    return figure, drawn


def _bars(axes: Axes, row: Row, summary: pd.DataFrame, colours: Mapping[str, str]) -> pd.DataFrame:
    arms = [_arm(summary, arm.label) for arm in row.arms]
    heights = [0.0 if math.isnan(arm["bar"]) else float(arm["bar"]) for arm in arms]
    low, high = _limits(arms, heights)
    axes.set_ylim(low, high)
    unit = (high - low) / 100
    for x, (arm, height) in enumerate(zip(arms, heights, strict=True)):
        label = arm["algorithm"]
        strong = plot.is_streaming(label)
        axes.bar(x, height, width=0.72, color=colours[label], edgecolor=plot.INK if strong else "none", linewidth=0.8)
        if math.isnan(arm["bar"]) or arm["diverged"]:
            missing = f"diverged {arm['diverged']}/{arm['seeds']}" if arm["diverged"] else "no run" if not arm["seeds"] else "no episode"
            axes.text(x, max(0.0, low) + 3 * unit, missing, rotation=90, ha="center", va="bottom", fontsize=6.5, color=MUTED)
            continue
        error = 0.0 if math.isnan(arm["ci95"]) else float(arm["ci95"])
        if error:
            axes.errorbar(x, height, yerr=error, color=plot.INK, elinewidth=0.8, capsize=1.8, capthick=0.8)
        up = height >= 0
        end = min(height + error, high - 9 * unit) if up else max(height - error, low + 9 * unit)
        axes.text(
            x,
            end + (2 * unit if up else -2 * unit),
            short_number(height),
            ha="center",
            va="bottom" if up else "top",
            fontsize=6.8,
            fontweight="bold" if strong else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85},
            zorder=5,
        )
    axes.axhline(0, color=MUTED, linewidth=0.7)
    axes.set_xlim(-0.6, len(arms) - 0.4)
    axes.set_xticks(range(len(arms)), [arm["algorithm"].replace(" ", "\n", 1) for arm in arms], fontsize=6.5, linespacing=0.95)
    for tick, arm in zip(axes.get_xticklabels(), arms, strict=True):
        tick.set_fontweight("bold" if plot.is_streaming(arm["algorithm"]) else "normal")
    axes.tick_params(axis="x", length=0, pad=2)
    plot.return_axis(axes)
    axes.set_title(row.env_id, pad=4)
    table = pd.DataFrame(arms).rename(columns={"final_step": "step", "final_mean": "mean"})
    shown = table.assign(part="bar", mean=heights, source="ours")
    return pd.concat([shown, table.assign(part="bar, not zeroed", source="ours")])[NUMBERS]


def _arm(summary: pd.DataFrame, label: str) -> dict[str, object]:
    return {str(key): value for key, value in summary[summary["algorithm"] == label].iloc[0].items()}
