"""Stream-X Figure 2, the stream barrier: final return of every algorithm as bars, and beneath them how it got there.

Beside our bars stand hollow ones, the published value at the same step. Where the paper went on, its own bars, those of its
whole budget, have a line of panels of their own. On Atari the paper takes DQN from the literature without running it; so do we.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from analysis import lines, panels, plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.learner_style import STYLES, Style, styles
from analysis.panels import NUMBERS, SPREAD_ROOM
from analysis.plot import INK, MUTED
from analysis.published import Numbers, numbers_for
from analysis.published.names import paper_name
from analysis.statistics import mean_curves
from experiments.spec import Row

MOST_COLUMNS = 4
PANEL_WIDTH, BAR_HEIGHT, PUBLISHED_HEIGHT, CURVE_HEIGHT, LABEL_HEIGHT = 2.15, 1.6, 0.95, 1.4, 0.75
GAP = 0.08
NARROWEST = 4.6
# Share of a panel that a number above a bar takes; panels of less height have more of it.
NUMBER_ROOM = 0.13
# Inches that the name of an arm takes beside its neighbours before it must slant.
UPRIGHT_SLOT = 0.65
# So many inches take the numbers of two bars beside each other.
PAIR_SLOT = 0.72
LITERATURE = "DQN"
# Of a bar alone, and of two beside each other.
WIDTH, PAIR, APART = 0.72, 0.4, 0.21
OURS, MATCHED, WHOLE = "bar", "published bar", "published bar, whole budget"


@dataclass(frozen=True)
class Theirs:
    """The published bars of a panel, by label: at the step at which ours end, and after the paper's whole budget."""

    matched: Mapping[str, float]
    whole: Mapping[str, float]
    steps: int


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw one panel per environment: bars with 90 % t intervals above, learning curves with 90 % t bands below.

    In the numbers, `value` is what is drawn and `mean` what it would be if a diverged run did not make a bar 0. Environments
    without any run are left out.
    """
    numbers = numbers_for(data.experiment.source)
    there = set(data.summary.loc[data.summary["seeds"] > 0, "panel"])
    rows = [row for row in data.preset.rows if row.panel_name in there]
    theirs = [_theirs(row, numbers) for row in rows]
    goes_on = any(one.whole for one in theirs)
    columns = len(rows) if len(rows) <= MOST_COLUMNS else 3
    blocks = math.ceil(len(rows) / columns)
    # Every block is bars, published bars if there are any, curves and a gap to the next.
    parts = [BAR_HEIGHT, *([PUBLISHED_HEIGHT] if goes_on else []), CURVE_HEIGHT, GAP]
    size = (max(columns * PANEL_WIDTH + 0.2, NARROWEST), blocks * (sum(parts) + LABEL_HEIGHT))
    figure = Figure(figsize=size, layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.05, h_pad=0.04, wspace=0.03, hspace=0.02)
    heights = (parts * blocks)[:-1]
    grid = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    for axes in grid[len(parts) - 1 :: len(parts)].flat:
        axes.set_axis_off()

    looks = styles([[arm.label for arm in row.arms] for row in rows])
    looks |= {LITERATURE: STYLES[LITERATURE]}
    means = mean_curves(data.curves)
    tables = []
    for i in range(blocks * columns):
        block, column = divmod(i, columns)
        cells = [grid[len(parts) * block + part][column] for part in range(len(parts) - 1)]
        if i >= len(rows):
            for axes in cells:
                axes.set_axis_off()
            continue
        row, known = rows[i], theirs[i]
        here = data.summary[data.summary["panel"] == row.panel_name]
        runs = data.curves[(data.curves["panel"] == row.panel_name) & data.curves["mean_return"].notna()]
        labels = _labels(row, known)
        across = size[0] / columns - 0.5
        tables.append(_bars(cells[0], row, here, runs, known, looks, across))
        plot.set_title(cells[0], paper_name(row.panel_name))
        if known.whole:
            tables.append(_whole(cells[1], row, known, looks))
        elif goes_on:
            cells[1].set_axis_off()
        lowest = cells[1] if known.whole else cells[0]
        for axes in cells[:-1] if known.whole else cells[:1]:
            _bar_axis(axes, row, labels, across, named=axes is lowest)
        if known.whole and not any(one.whole for one in theirs[i - column : i]):
            cells[1].set_ylabel(f"published,\n{short_steps(known.steps)} steps")
        tables.append(panels.curves(cells[-1], row, data.curves, means, data.runs, looks, numbers))
        if column == 0:
            cells[0].set_ylabel("final return")
            cells[-1].set_ylabel("return")
    drawn = pd.concat([table for table in tables if len(table)], ignore_index=True)
    keys = [panels.arm_keys(rows, looks), _keys(drawn, data.curves)]
    plot.below(figure, keys, [*panels.budget_lines(data), *_lines(data, rows, theirs)])
    return figure, drawn


def _theirs(row: Row, numbers: Numbers) -> Theirs:
    """Return what the paper shows of a row's arms, and of a result of the literature that it shows beside them."""
    place, last = numbers.place(row.panel_name, row.env_id), row.steps // row.bin_width * row.bin_width
    matched, whole, steps = {}, {}, 0
    for label in dict.fromkeys([*(arm.label for arm in row.arms), LITERATURE]):
        end, same = numbers.end(place, label), numbers.lookup(place, label, last, row.last_window)
        if end is not None and end.steps <= last:
            matched[label] = end.value
        elif same is not None:
            matched[label] = same.value
        if end is not None and end.steps > last:
            whole[label], steps = end.value, max(steps, end.steps)
    return Theirs(matched, whole, steps)


def _labels(row: Row, known: Theirs) -> list[str]:
    """Return what stands below the bars."""
    return list(dict.fromkeys([*(arm.label for arm in row.arms), *known.matched, *known.whole]))


def _slot(labels: list[str], across: float) -> float:
    """Return the inches that an arm has."""
    return across / (_slots(labels) + 0.2)


def _slots(labels: list[str]) -> int:
    """Return for how many arms a panel has room: for one more than one or two, so that a bar is not as wide as the panel."""
    return max(len(labels), min(len(labels) + 1, 3))


def _slant(labels: list[str], across: float) -> bool:
    """Return whether names must slant."""
    widest = max(plot.text_inches(label, plot.STYLE["xtick.labelsize"], "bold") for label in labels)
    return _slot(labels, across) < max(UPRIGHT_SLOT, widest) and len(labels) > 1


def _keys(drawn: pd.DataFrame, tidy: pd.DataFrame) -> list[Any]:
    keys: list[Any] = panels.line_keys(drawn, tidy)
    if drawn["part"].isin([MATCHED, WHOLE]).any():
        keys.append(Patch(facecolor="none", edgecolor=MUTED, linewidth=0.9, label="published bar"))
    return keys


def _lines(data: FigureData, rows: list[Row], theirs: list[Theirs]) -> list[str]:
    last = " or ".join(short_steps(width) for width in sorted({row.last_window for row in rows}))
    found = [
        f"Bars: mean return over the last {last} steps, 90 % t interval (arrow: beyond the panel), or a dot for each of up to "
        f"{lines.FEW} runs; 0 where a run diverged."
    ]
    if any(one.matched for one in theirs):
        found.append("Hollow bars beside ours: published, at the same step.")
    steps = sorted({one.steps for one in theirs if one.whole})
    if steps:
        found.append(f"Hollow bars of their own: published, after {' or '.join(map(short_steps, steps))} steps.")
    if any(
        LITERATURE in {*one.matched, *one.whole} - {arm.label for arm in row.arms}
        for row, one in zip(rows, theirs, strict=True)
    ):
        found.append(f"{LITERATURE}: after 200M frames, taken from the literature by the paper and not run here.")
    left = [paper_name(row.panel_name) for row in data.preset.rows if row not in rows]
    return [*found, f"Not run yet: {', '.join(left)}."] if left else found


# Bars


def _bars(
    axes: Axes,
    row: Row,
    summary: pd.DataFrame,
    runs: pd.DataFrame,
    known: Theirs,
    looks: Mapping[str, Style],
    across: float,
) -> pd.DataFrame:
    by_label = {arm.algorithm: arm for arm in summary.itertuples()}
    arms: list[Any] = [by_label[arm.label] for arm in row.arms]
    emphasised = {arm.label for arm in row.arms if arm.emphasised}
    last = row.steps // row.bin_width * row.bin_width
    runs = runs[runs["step"] > last - row.last_window]
    single = {str(label): _ends(own) for label, own in runs.groupby("algorithm", observed=True)}
    low, high = _limits(arms, single, list(known.matched.values()))
    axes.set_ylim(low, high)
    paired = bool(known.matched)
    for x, arm in enumerate(arms):
        strong = arm.algorithm in emphasised
        place, width = (x - APART, PAIR) if paired else (float(x), WIDTH)
        if arm.diverged or math.isnan(arm.bar):
            text = f"diverged {arm.diverged}/{arm.seeds}" if arm.diverged else "no episode" if arm.seeds else "no run yet"
            # Beneath the line where all bars hang down.
            _above(axes, place, 0.0, text, strong=False, below=high < -low / 2, rotation=90, color=MUTED)
            continue
        axes.bar(
            place,
            arm.bar,
            width=width,
            color=looks[arm.algorithm].colour,
            edgecolor=INK if strong else "none",
            linewidth=0.7,
            zorder=2,
        )
        values = single.get(arm.algorithm, np.empty(0))
        if 1 < len(values) <= lines.FEW:
            dots: dict[str, Any] = {"color": "white", "markeredgecolor": INK, "markersize": 2.6, "markeredgewidth": 0.6}
            axes.plot(np.full(len(values), place), values, "o", **dots, zorder=4)
            tip = max(arm.bar, values.max()) if arm.bar >= 0 else min(arm.bar, values.min())
            tip += 0.02 * (high - low) * (1 if arm.bar >= 0 else -1)
        else:
            tip = _whisker(axes, place, arm.bar, arm.ci90) if arm.ci90 > 0 else arm.bar
        _above(axes, place, float(np.clip(tip, low, high)), plot.short_number(arm.bar), strong, below=arm.bar < 0)
    for label, value in known.matched.items():
        place, width = (_place(row, label, known) + APART, PAIR)
        _hollow(axes, place, value, width, looks[label], named=_slot(_labels(row, known), across) >= PAIR_SLOT)
    drawn = summary.rename(columns={"final_step": "step", "final_mean": "mean", "bar": "value"}).assign(part=OURS)[NUMBERS]
    return pd.concat([table for table in (drawn, _table(row, MATCHED, known.matched, last)) if len(table)], ignore_index=True)


def _ends(own: pd.DataFrame) -> np.ndarray:
    """Return the mean return of each run over the episodes of its last bins."""
    totals = (own["mean_return"] * own["episodes"]).groupby(own["seed"]).sum()
    return np.asarray(totals / own["episodes"].groupby(own["seed"]).sum(), np.float64)


def _whole(axes: Axes, row: Row, known: Theirs, looks: Mapping[str, Style]) -> pd.DataFrame:
    """Draw what the paper shows after its whole budget."""
    low, high = min([0.0, *known.whole.values()]), max([0.0, *known.whole.values()])
    size = (high - low) or 1.0
    axes.set_ylim(low - (0.3 * size if low < 0 else 0), high + 0.3 * size)
    for label, value in known.whole.items():
        _hollow(axes, _place(row, label, known), value, WIDTH, looks[label])
    axes.locator_params(axis="y", nbins=3)
    return _table(row, WHOLE, known.whole, known.steps)


def _place(row: Row, label: str, known: Theirs) -> int:
    return _labels(row, known).index(label)


def _table(row: Row, part: str, values: Mapping[str, float], step: int) -> pd.DataFrame:
    table = pd.DataFrame({"algorithm": list(values), "value": list(values.values())})
    return table.assign(part=part, panel=row.panel_name, env_id=row.env_id, step=step).reindex(columns=NUMBERS)


def _bar_axis(axes: Axes, row: Row, labels: list[str], across: float, named: bool) -> None:
    axes.axhline(0, color=MUTED, linewidth=0.7, zorder=2.5)
    middle, reach = (len(labels) - 1) / 2, _slots(labels) / 2 + 0.1
    slanted = _slant(labels, across)
    axes.set_xlim(middle - reach, middle + reach)
    axes.set_xticks(range(len(labels)), labels if named else [""] * len(labels))
    emphasised = {arm.label for arm in row.arms if arm.emphasised}
    for tick, label in zip(axes.get_xticklabels(), labels, strict=True):
        tick.set_fontweight("bold" if label in emphasised else "normal")
        if slanted:
            tick.set(rotation=38, ha="right", rotation_mode="anchor")
    axes.tick_params(axis="x", length=0, pad=5 if slanted else 3)
    axes.locator_params(axis="y", nbins=5)
    plot.return_axis(axes)


def _hollow(axes: Axes, x: float, height: float, width: float, look: Style, named: bool = True) -> None:
    """Draw a bar that is not ours, with its number where there is room."""
    axes.bar(x, height, width=width, facecolor="none", edgecolor=look.colour, linewidth=0.9, zorder=2)
    if named:
        _above(axes, x, height, plot.short_number(height), strong=False, below=height < 0, color=MUTED)


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
    if rotation:
        note.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 0.5})


def _limits(arms: list[Any], single: Mapping[str, np.ndarray], matched: list[float]) -> tuple[float, float]:
    """Return limits that hold all bars and their whiskers or dots, unless one of those is out of all proportion."""
    heights = [0.0, *matched, *(arm.bar for arm in arms if not math.isnan(arm.bar))]
    top, bottom = max(heights), min(heights)
    reach = (SPREAD_ROOM - 1) * ((top - bottom) or 1.0)
    ends = [(0.0, 0.0)]
    for arm in arms:
        values = single.get(arm.algorithm, np.empty(0))
        if arm.diverged or math.isnan(arm.bar):
            continue
        if 1 < len(values) <= lines.FEW:
            ends.append((float(values.min()), float(values.max())))
        elif arm.ci90 > 0:
            ends.append((arm.bar - arm.ci90, arm.bar + arm.ci90))
    high = min(max(top, *(most for _, most in ends)), top + reach) or (0.0 if bottom else 1.0)
    # A whisker of a bar that stands may reach below zero; it is cut there.
    low = max(min(bottom, *(least for least, _ in ends)), bottom - reach) if bottom < 0 else bottom
    # Room for the numbers, above and, where bars hang down, below.
    room = (high - low) * NUMBER_ROOM / (1 - NUMBER_ROOM * (2 if low < 0 else 1))
    return low - (room if low < 0 else 0.0), high + room
