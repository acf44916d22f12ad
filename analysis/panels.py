"""Learning curves in a panel, as all figures of returns draw them, and what stands below the panels.

Our mean curve over its 90 % t band; the published curve behind it, dashed, in a muted shade of the same hue; a cross where a
run of an arm diverged, and dots after it; the paper's reference line of the literature where it has one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import plot
from analysis.budget import paper_budget, sentences, short_steps
from analysis.figures import FigureData
from analysis.plot import INK, MUTED
from analysis.published import Curve, Numbers
from analysis.published.names import frames_per_step, paper_name
from experiments.spec import Row

NUMBERS = ["part", "panel", "env_id", "algorithm", "step", "value", "mean", "ci90", "ci95", "n", "diverged"]
# A band or whisker of two or three seeds is many times the mean; it may leave the panel, the means must stay readable.
SPREAD_ROOM = 1.5
# A published curve in much wider bins than ours would lag behind it: it is drawn as the steps that its bins are.
WIDEST_LINE = 2
# A reference line that would press our curves into the lower third of a panel is named above them instead.
REFERENCE_ROOM = 3.0
# So for a published value of a later step.
LATER_ROOM = 1.5
DASHES = (0, (3.2, 1.6))
LONG_DASHES = (0, (7, 2.5))
PUBLISHED, REFERENCE = "published curve", "reference"
# One value at a step that our curves do not reach, within the panel or far off.
LATER, FAR = "published later", "published later, far off"


def curves(
    axes: Axes,
    row: Row,
    means: pd.DataFrame,
    runs: pd.DataFrame,
    colours: Mapping[str, str],
    numbers: Numbers,
    reference: bool = False,
) -> pd.DataFrame:
    """Draw the learning curves of one panel and return the numbers drawn, with steps in agent steps.

    Args:
        axes: an empty panel.
        row: the environment, its arms and budget.
        means: curves averaged over runs (`analysis.statistics.mean_curves`), those of this panel or of all.
        runs: the runs with their status, those of this panel or of all.
        colours: by label of an arm.
        numbers: what is published.
        reference: draw the paper's line of the literature too.
    """
    last = row.steps // row.bin_width * row.bin_width
    unit = frames_per_step(row.env_id)
    means, runs = means[means["panel"] == row.panel_name], runs[runs["panel"] == row.panel_name]
    place = numbers.place(row.panel_name, row.env_id)
    tables = []
    for arm in sorted(row.arms, key=lambda arm: arm.emphasised):
        strong, colour = arm.emphasised, colours[arm.label]
        own = means[means["algorithm"] == arm.label]
        diverged = runs.loc[(runs["algorithm"] == arm.label) & (runs["status"] == "diverged"), "diverged_at"]
        if len(own):
            at = None if diverged.empty else int(diverged.min())
            x, mean, half = (own[name].to_numpy(float) for name in ("step", "mean", "ci90"))
            curve(axes, x * unit, mean, half, None if at is None else at * unit, colour, strong)
            tables.append(own.assign(part="curve", value=own["mean"], diverged=len(diverged)))
        theirs = numbers.curve(place, arm.label, row.bin_width)
        if theirs is not None:
            tables.append(_published(axes, row, arm.label, theirs, last, colour, 4.5 if strong else 3.5))
    table = _joined(tables)
    low, high = _limits(table)
    later = _later(row, numbers, place, last, low - (high - low), low + LATER_ROOM * (high - low))
    if len(later):
        high = _draw_later(axes, later, colours, low, high)
        table = _joined([table, later])
    line = numbers.reference(place) if reference else None
    if line is not None:
        high = _reference(axes, line, low, high)
        drawn = pd.DataFrame({"part": [REFERENCE], "algorithm": line[0], "value": line[1]})
        table = _joined([table, drawn.assign(panel=row.panel_name, env_id=row.env_id)])
    axes.set_xlim(0, last * unit)
    axes.set_xticks([0, last * unit / 2, last * unit])
    axes.set_ylim(low, high)
    axes.locator_params(axis="y", nbins=4)
    plot.step_axis(axes)
    plot.return_axis(axes)
    axes.set_xlabel("frames" if unit > 1 else "environment steps", labelpad=2)
    return table


def curve(
    axes: Axes, x: np.ndarray, mean: np.ndarray, half: np.ndarray, diverged_at: float | None, colour: str, strong: bool
) -> None:
    """Draw a mean curve over its band; from the step on at which the first run diverged, dotted after a cross."""
    whole = np.ones(len(x), bool) if diverged_at is None else x < diverged_at
    plot.band(axes, x[whole], mean[whole], half[whole], colour, strong)
    if diverged_at is None:
        return
    # From here on the mean is over the runs that are left, a selection: dotted, after a cross.
    until = max(int(whole.sum()) - 1, 0)
    axes.plot(x[until:], mean[until:], color=colour, linewidth=0.9, linestyle=":", zorder=3)
    before = np.flatnonzero(np.isfinite(mean[: until + 1]))
    if len(before):
        at = before[-1]
        axes.plot(x[at], mean[at], color=colour, marker="x", markersize=4.5, markeredgewidth=1.3, zorder=6, clip_on=False)


def _published(axes: Axes, row: Row, label: str, theirs: Curve, last: int, colour: str, order: float) -> pd.DataFrame:
    points = [(x, y) for x, y in zip(theirs.steps, theirs.values, strict=True) if x <= last]
    wide = theirs.bin_width > WIDEST_LINE * row.bin_width
    if len(points) + wide < 2:
        return pd.DataFrame(columns=NUMBERS)
    x, y = np.array(points, float).reshape(-1, 2).T
    style: dict[str, Any] = {"color": plot.lighter(colour, 0.45), "linewidth": 1.0, "linestyle": DASHES, "zorder": order}
    unit = frames_per_step(row.env_id)
    if wide:
        ends, levels = np.concatenate([[x[0] - theirs.bin_width], x]), np.concatenate([y[:1], y])
        axes.plot(ends * unit, levels, drawstyle="steps-pre", **style)
    else:
        axes.plot(x * unit, y, **style)
    frame = pd.DataFrame({"algorithm": label, "step": x.astype(int), "value": y, "mean": y})
    return frame.assign(part=PUBLISHED, panel=row.panel_name, env_id=row.env_id)


def _reference(axes: Axes, line: tuple[str, float], low: float, high: float) -> float:
    """Draw a reference line, or name it where it is far above the curves; return the upper limit of the panel."""
    name, value = line
    if value <= low + REFERENCE_ROOM * (high - low):
        axes.axhline(value, color=plot.COLOURS["DQN"], linewidth=0.9, linestyle=LONG_DASHES, zorder=2.5)
        return max(high, value + 0.06 * (max(high, value) - low))
    text = f"{name}: {plot.short_number(value)} \N{UPWARDS ARROW}"
    axes.text(0.97, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=6.5, color=plot.COLOURS["DQN"])
    return high + 0.16 * (high - low)


def _later(row: Row, numbers: Numbers, place: str, last: int, lowest: float, highest: float) -> pd.DataFrame:
    """Return what is published of the arms as one value each, at a step that our curves do not reach.

    Values beyond `lowest` and `highest` are `FAR`.
    """
    found = []
    for arm in row.arms:
        curve = numbers.curve(place, arm.label, row.bin_width)
        if curve is not None and len(curve.steps) == 1 and curve.steps[0] > last:
            found.append({"algorithm": arm.label, "step": curve.steps[0], "value": curve.values[0]})
    if not found:
        return pd.DataFrame(columns=NUMBERS)
    table = pd.DataFrame(found).assign(panel=row.panel_name, env_id=row.env_id)
    return table.assign(part=np.where(table["value"].between(lowest, highest), LATER, FAR))


def _draw_later(axes: Axes, later: pd.DataFrame, colours: Mapping[str, str], low: float, high: float) -> float:
    """Draw values of later steps as marks at the right edge, or name them where they are far off; return the upper limit."""
    near = later["part"] == LATER
    edge = axes.get_yaxis_transform()
    for one in later[near].itertuples():
        colour = plot.lighter(colours[one.algorithm], 0.2)
        axes.plot(1.0, one.value, marker="<", markersize=5, color=colour, transform=edge, clip_on=False, zorder=6)
    tops = later.loc[near, "value"]
    top = max([high, *(value + 0.06 * (max(high, value) - low) for value in tops)])
    far = later[~near]
    for line, one in enumerate(far.itertuples()):
        arrow = "\N{UPWARDS ARROW}" if one.value > high else "\N{DOWNWARDS ARROW}"
        text = f"{one.algorithm}, published at {short_steps(one.step)}: {plot.short_number(one.value)} {arrow}"
        style: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": 6.5, "color": colours[one.algorithm]}
        axes.text(0.03, 0.98 - 0.09 * line, text, transform=axes.transAxes, **style)
    return top + 0.12 * len(far) * (top - low)


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table.reindex(columns=NUMBERS) for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=NUMBERS)


def _limits(table: pd.DataFrame) -> tuple[float, float]:
    values = table["value"].to_numpy(float)
    spread = np.nan_to_num(table["ci90"].to_numpy(float))
    there = np.isfinite(values)
    if not there.any():
        return 0.0, 1.0
    values, spread = values[there], spread[there]
    low, high = min(values.min(), 0.0), values.max()
    size = (high - low) or 1.0
    top = min((values + spread).max(), high + (SPREAD_ROOM - 1) * size)
    bottom = max((values - spread).min(), low - (0.12 if low == 0 else SPREAD_ROOM - 1) * size)
    return min(bottom, low) - 0.04 * size, top + 0.04 * size


# Below the panels


def arm_keys(rows: Sequence[Row], colours: Mapping[str, str]) -> list[Any]:
    """Return one legend handle per arm, in the order in which the rows name them."""
    arms = {arm.label: arm for row in rows for arm in row.arms}
    return [
        Line2D([], [], color=colours[label], linewidth=1.8 if arm.emphasised else 1.3, label=label)
        for label, arm in arms.items()
    ]


def line_keys(drawn: pd.DataFrame) -> list[Any]:
    """Return legend handles of what the lines of the drawn numbers mean."""
    parts = set(drawn["part"])
    keys: list[Any] = [
        Line2D([], [], color=INK, linewidth=1.3, label="ours"),
        Patch(facecolor=INK, alpha=0.18, linewidth=0, label="90 % t interval"),
    ]
    if PUBLISHED in parts:
        keys.append(Line2D([], [], color=MUTED, linewidth=1.0, linestyle=DASHES, label="published"))
    if LATER in parts:
        at = " or ".join(short_steps(step) for step in sorted(drawn.loc[drawn["part"] == LATER, "step"].unique()))
        keys.append(Line2D([], [], color=MUTED, linestyle="none", marker="<", markersize=5, label=f"published, at {at} steps"))
    for name in drawn.loc[drawn["part"] == REFERENCE, "algorithm"].unique():
        style: dict[str, Any] = {"color": plot.COLOURS["DQN"], "linewidth": 0.9, "linestyle": LONG_DASHES}
        keys.append(Line2D([], [], **style, label=f"{name}, from the literature"))
    if drawn.loc[drawn["part"] == "curve", "diverged"].gt(0).any():
        cross: dict[str, Any] = {"linewidth": 0.9, "linestyle": ":", "marker": "x", "markersize": 4}
        keys.append(Line2D([], [], color=INK, **cross, label="a run diverged"))
    return keys


def budget_lines(data: FigureData) -> list[str]:
    """Return sentences that state the budget of every panel, those of the same budget together."""
    return sentences(data.summary, {row.panel_name: paper_budget(data.experiment, row) for row in data.preset.rows})


def divergence_lines(summary: pd.DataFrame) -> list[str]:
    """Return a sentence that names the arms of which runs diverged, or nothing."""
    arms = summary[summary["diverged"] > 0].drop_duplicates(["panel", "algorithm"])
    named = [f"{arm.algorithm} on {paper_name(arm.panel)} {arm.diverged} of {arm.seeds}" for arm in arms.itertuples()]
    return [f"Runs diverged: {', '.join(named)}."] if named else []
