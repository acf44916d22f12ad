"""Stream-X Figure 2, the stream barrier: final return of every algorithm as bars, and beneath them how it got there.

On Atari the paper takes DQN from the literature instead of running it; so do we, as a hollow bar.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import panels, plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.panels import NUMBERS, REFERENCE_ROOM, SPREAD_ROOM
from analysis.plot import INK, MUTED
from analysis.published import Numbers, numbers_for
from analysis.published.names import paper_name
from analysis.statistics import mean_curves
from experiments.spec import Row

MOST_COLUMNS = 4
PANEL_WIDTH, BAR_HEIGHT, CURVE_HEIGHT = 2.15, 1.75, 1.4
GAP = 0.08
NARROWEST = 4.6
# Share of a panel that a number above a bar takes.
NUMBER_ROOM = 0.13
# Inches that the name of an arm takes beside its neighbours before it must slant.
UPRIGHT_SLOT = 0.65
LITERATURE = "DQN"


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw one panel per environment: bars with 95 % t intervals above, learning curves with 90 % t bands below.

    In the numbers, `value` is what is drawn and `mean` what it would be if a diverged run did not make a bar 0.
    """
    rows = data.preset.rows
    columns = len(rows) if len(rows) <= MOST_COLUMNS else 3
    blocks = math.ceil(len(rows) / columns)
    size = (max(columns * PANEL_WIDTH + 0.2, NARROWEST), blocks * (BAR_HEIGHT + CURVE_HEIGHT + 0.75))
    figure = Figure(figsize=size, layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.05, h_pad=0.04, wspace=0.03, hspace=0.02)
    # Every block is bars, curves and a gap to the next.
    heights = ([BAR_HEIGHT, CURVE_HEIGHT, GAP] * blocks)[:-1]
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for axes in grid[2::3].flat:
        axes.set_axis_off()

    colours = plot.colours([[arm.label for arm in row.arms] for row in rows])
    means, theirs = mean_curves(data.curves), numbers_for(data.experiment.source)
    numbers = []
    for i in range(blocks * columns):
        block, column = divmod(i, columns)
        bars, curves = grid[3 * block][column], grid[3 * block + 1][column]
        if i >= len(rows):
            bars.set_axis_off()
            curves.set_axis_off()
            continue
        row = rows[i]
        cited = _cited(row, theirs)
        bars_there, across = len(row.arms) + (cited is not None), size[0] / columns - 0.5
        widest = max(plot.text_inches(arm.label, plot.STYLE["xtick.labelsize"], "bold") for arm in row.arms)
        # A panel has room for three bars at least, so that one bar is not as wide as the panel (`_bars`).
        slanted = across / bars_there < UPRIGHT_SLOT or across / max(bars_there, 3) < widest
        here = data.summary[data.summary["panel"] == row.panel_name]
        numbers.append(_bars(bars, row, here, cited, colours, slanted))
        numbers.append(panels.curves(curves, row, means, data.runs, colours, theirs))
        if column == 0:
            bars.set_ylabel("final return")
            curves.set_ylabel("return")
    drawn = pd.concat([table for table in numbers if len(table)], ignore_index=True)
    plot.below(figure, [panels.line_keys(drawn)], [*panels.budget_lines(data), *_bar_lines(data)])
    return figure, drawn


def _cited(row: Row, theirs: Numbers) -> float | None:
    """Return the bar of a result of the literature that the paper shows beside the arms it ran."""
    if LITERATURE in [arm.label for arm in row.arms]:
        return None
    end = theirs.end(theirs.place(row.panel_name, row.env_id), LITERATURE)
    return end.value if end else None


def _bar_lines(data: FigureData) -> list[str]:
    theirs = numbers_for(data.experiment.source)
    last = " or ".join(short_steps(width) for width in sorted({row.bin_width for row in data.preset.rows}))
    lines = [
        f"Bars: mean return over the last {last} steps, 95 % t interval (arrow: beyond the panel); 0 where a run diverged."
    ]
    if any(_cited(row, theirs) is not None for row in data.preset.rows):
        lines.append(f"Hollow bars: {LITERATURE} after 200M frames, taken from the literature by the paper and not run here.")
    return lines


# Bars


def _bars(
    axes: Axes, row: Row, summary: pd.DataFrame, cited: float | None, colours: Mapping[str, str], slanted: bool
) -> pd.DataFrame:
    by_label = {arm.algorithm: arm for arm in summary.itertuples()}
    arms: list[Any] = [by_label[arm.label] for arm in row.arms]
    emphasised = {arm.label for arm in row.arms if arm.emphasised}
    low, high = _limits(arms, cited)
    axes.set_ylim(low, high)
    for x, arm in enumerate(arms):
        strong = arm.algorithm in emphasised
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
    labels = [arm.algorithm for arm in arms]
    if cited is not None:
        _hollow(axes, len(labels), cited)
        labels.append(LITERATURE)
    middle, reach = (len(labels) - 1) / 2, max(len(labels), 3) / 2 + 0.1
    axes.set_xlim(middle - reach, middle + reach)
    axes.locator_params(axis="y", nbins=6)
    axes.set_xticks(range(len(labels)), labels)
    if slanted:
        for tick in axes.get_xticklabels():
            tick.set(rotation=38, ha="right", rotation_mode="anchor")
    for tick, label in zip(axes.get_xticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if label in emphasised else "normal")
    axes.tick_params(axis="x", length=0, pad=1.5 if slanted else 3)
    plot.return_axis(axes)
    plot.set_title(axes, paper_name(row.panel_name))
    drawn = summary.rename(columns={"final_step": "step", "final_mean": "mean", "bar": "value"}).assign(part="bar")[NUMBERS]
    if cited is None:
        return drawn
    ref = pd.DataFrame({"part": ["published bar"], "algorithm": LITERATURE, "value": cited})
    ref = ref.assign(panel=row.panel_name, env_id=row.env_id)
    return pd.concat([drawn, ref.reindex(columns=NUMBERS)], ignore_index=True)


def _hollow(axes: Axes, x: float, height: float) -> None:
    """Draw a bar that is not ours, cut off below the panel's edge where it is far above the others."""
    low, high = axes.get_ylim()
    edge = high - 0.99 * NUMBER_ROOM * (high - low)
    text = plot.short_number(height) + (" \N{UPWARDS ARROW}" if height > edge else "")
    style: dict[str, Any] = {"edgecolor": plot.COLOURS[LITERATURE], "linewidth": 0.9, "linestyle": (0, (3, 1.5))}
    axes.bar(x, min(height, edge), width=0.72, facecolor="none", zorder=2, **style)
    _above(axes, x, min(height, edge), text, strong=False, color=MUTED)


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


def _limits(arms: list[Any], cited: float | None = None) -> tuple[float, float]:
    """Return limits that hold all bars and their whiskers, unless one of those is out of all proportion."""
    drawn = [(0.0, 0.0)]
    highest = max((arm.bar for arm in arms if arm.bar > 0), default=None)
    if cited is not None:
        drawn.append((cited if highest is None else min(cited, REFERENCE_ROOM * highest), 0.0))
    drawn += [(arm.bar, 0.0 if arm.diverged else np.nan_to_num(arm.ci95)) for arm in arms if not math.isnan(arm.bar)]
    top, bottom = max(height for height, _ in drawn), min(height for height, _ in drawn)
    reach = (SPREAD_ROOM - 1) * ((top - bottom) or 1.0)
    high = min(max(height + spread for height, spread in drawn), top + reach) or (0.0 if bottom else 1.0)
    low = max(min(height - spread if height < 0 else 0.0 for height, spread in drawn), bottom - reach)
    # Room for the numbers, above and, where bars hang down, below.
    room = (high - low) * NUMBER_ROOM / (1 - NUMBER_ROOM * (2 if low < 0 else 1))
    return low - (room if low < 0 else 0.0), high + room
