"""Learning curves in a panel, as all figures of returns draw them, and what stands below the panels.

Our mean curve over its 90 % t band, or every run where there are few (`analysis.lines`), with the learner's marker; the
published curve behind it, thin and dotted, with the same marker hollow; a cross where a run of an arm diverged, and a thin line
after it; the paper's reference line of the literature where it has one. A bin stands at its centre.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import lines, plot
from analysis.budget import paper_budget, sentences, short_steps
from analysis.figures import FigureData
from analysis.learner_style import STYLES, Style, lighter, words
from analysis.load import is_finished
from analysis.plot import BEHIND_WORDS, INK, MUTED
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
# Of what is published: no learner of ours is drawn so.
DOTS = (0, (1.0, 1.1))
LONG_DASHES = (0, (7, 2.5))
LITERATURE = STYLES["DQN"].colour
PUBLISHED, REFERENCE = "published curve", "reference"
# One value at a step that our curves do not reach, within the panel or far off.
LATER, FAR = "published later", "published later, far off"


def curves(
    axes: Axes,
    row: Row,
    tidy: pd.DataFrame,
    means: pd.DataFrame,
    runs: pd.DataFrame,
    styles: Mapping[str, Style],
    numbers: Numbers,
    reference: bool = False,
) -> pd.DataFrame:
    """Draw the learning curves of one panel and return the numbers drawn, with steps in agent steps at the ends of bins.

    Args:
        axes: an empty panel.
        row: the environment, its arms and budget.
        tidy: curves of every run (`analysis.curves`), those of this panel or of all.
        means: the same averaged over runs (`analysis.statistics.mean_curves`).
        runs: the runs with their status, those of this panel or of all.
        styles: by label of an arm.
        numbers: what is published.
        reference: draw the paper's line of the literature too.
    """
    if row.continuing:  # what is published are returns of episodes
        numbers, reference = Numbers(()), False
    last = row.steps // row.bin_width * row.bin_width
    unit = frames_per_step(row.env_id)
    tidy, means, runs = (table[table["panel"] == row.panel_name] for table in (tidy, means, runs))
    place = numbers.place(row.panel_name, row.env_id)
    tables, extremes = [], []
    for arm in sorted(row.arms, key=lambda arm: arm.emphasised):
        position = (row.arms.index(arm), len(row.arms))
        own, mean = tidy[tidy["algorithm"] == arm.label], means[means["algorithm"] == arm.label]
        diverged = runs.loc[(runs["algorithm"] == arm.label) & (runs["status"] == "diverged"), "diverged_at"]
        if len(own):
            at = None if diverged.empty else int(diverged.min()) * unit
            points = own.assign(x=(own["step"] - row.bin_width / 2) * unit)
            lines.line(axes, points, "mean_return", styles[arm.label], arm.emphasised, position, at)
            tables.append(mean.assign(part="curve", value=mean["mean"], diverged=len(diverged)))
            extremes.append(_reach(own, mean))
        theirs = numbers.curve(place, arm.label, row.bin_width)
        if theirs is not None:
            order = 4.5 if arm.emphasised else 3.5
            tables.append(_published(axes, row, arm.label, theirs, last, styles[arm.label], order, position))
    table = _joined(tables)
    low, high = _limits(table, extremes)
    later = _later(row, numbers, place, last, low - (high - low), low + LATER_ROOM * (high - low))
    if len(later):
        high = _draw_later(axes, later, styles, low, high)
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
    if not is_finished(runs).any():
        style: Any = {"ha": "center", "color": MUTED, "bbox": BEHIND_WORDS, "zorder": 6}
        axes.text(0.5, 0.06, "no run yet", transform=axes.transAxes, **style)
    if (table["part"] == FAR).all():  # nothing is drawn whose height could be read
        axes.set_yticks([])
    axes.set_xlabel("frames" if unit > 1 else "environment steps", labelpad=2)
    return table


def _reach(own: pd.DataFrame, mean: pd.DataFrame) -> tuple[float, float]:
    """Return the lowest and highest value that is drawn of an arm's runs."""
    if own["seed"].nunique() <= lines.FEW:
        return float(own["mean_return"].min()), float(own["mean_return"].max())
    spread = mean["ci90"].fillna(0)
    return float((mean["mean"] - spread).min()), float((mean["mean"] + spread).max())


def _published(
    axes: Axes, row: Row, label: str, theirs: Curve, last: int, look: Style, order: float, position: tuple[int, int]
) -> pd.DataFrame:
    points = [(x, y) for x, y in zip(theirs.steps, theirs.values, strict=True) if x <= last]
    wide = theirs.bin_width > WIDEST_LINE * row.bin_width
    if len(points) + wide < 2:
        return pd.DataFrame(columns=NUMBERS)
    x, y = np.array(points, float).reshape(-1, 2).T
    unit = frames_per_step(row.env_id)
    style: dict[str, Any] = {"color": lighter(look.colour, 0.25), "linewidth": 1.1, "linestyle": DOTS, "zorder": order}
    centres = (x - theirs.bin_width / 2) * unit
    if wide:
        ends, levels = np.concatenate([[x[0] - theirs.bin_width], x]), np.concatenate([y[:1], y])
        axes.plot(ends * unit, levels, drawstyle="steps-pre", **style)
        axes.plot(centres, y, linestyle="none", **lines.hollow(look), zorder=order)
    else:
        every = max(round(len(x) / lines.MARKERS), 1)
        first = round((position[0] / position[1] + 0.5) * every) % every
        axes.plot(centres, y, **{**lines.hollow(look), **style}, markevery=(first, every))
    frame = pd.DataFrame({"algorithm": label, "step": x.astype(int), "value": y, "mean": y})
    return frame.assign(part=PUBLISHED, panel=row.panel_name, env_id=row.env_id)


def _reference(axes: Axes, line: tuple[str, float], low: float, high: float) -> float:
    """Draw a reference line, or name it where it is far above the curves; return the upper limit of the panel."""
    name, value = line
    if value <= low + REFERENCE_ROOM * (high - low):
        axes.axhline(value, color=LITERATURE, linewidth=0.9, linestyle=LONG_DASHES, zorder=2.5)
        return max(high, value + 0.06 * (max(high, value) - low))
    text = f"{cited(name)}: {plot.short_number(value)} \N{UPWARDS ARROW}"
    axes.text(0.97, 0.98, text, transform=axes.transAxes, ha="right", va="top", fontsize=6.5, color=LITERATURE)
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


def cited(name: str) -> str:
    """Return what a line of the literature is called: `DQN after 200M frames` for DQN@200M."""
    method, _, frames = name.partition("@")
    return f"{method} after {frames} frames" if frames else method


def _draw_later(axes: Axes, later: pd.DataFrame, styles: Mapping[str, Style], low: float, high: float) -> float:
    """Draw values of later steps as marks at the right edge, or name them where they are far off; return the upper limit."""
    near = later["part"] == LATER
    edge = axes.get_yaxis_transform()
    for one in later[near].itertuples():
        axes.plot(1.0, one.value, **lines.hollow(styles[one.algorithm]), transform=edge, clip_on=False, zorder=6)
    tops = later.loc[near, "value"]
    top = max([high, *(value + 0.06 * (max(high, value) - low) for value in tops)])
    far = later[~near]
    for line, one in enumerate(far.itertuples()):
        arrow = "\N{UPWARDS ARROW}" if one.value > high else "\N{DOWNWARDS ARROW}"
        text = f"{words(one.algorithm)}, published at {short_steps(one.step)}: {plot.short_number(one.value)} {arrow}"
        style: dict[str, Any] = {"ha": "left", "va": "top", "fontsize": 6.5, "color": styles[one.algorithm].colour}
        axes.text(0.03, 0.98 - 0.09 * line, text, transform=axes.transAxes, **style)
    return top + 0.12 * len(far) * (top - low)


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    filled = [table.reindex(columns=NUMBERS) for table in tables if len(table)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=NUMBERS)


def _limits(table: pd.DataFrame, extremes: Sequence[tuple[float, float]]) -> tuple[float, float]:
    values = table["value"].to_numpy(float)
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = min(values.min(), 0.0), values.max()
    size = (high - low) or 1.0
    top = min(max([high, *(most for _, most in extremes if np.isfinite(most))]), high + (SPREAD_ROOM - 1) * size)
    least = min([low, *(least for least, _ in extremes if np.isfinite(least))])
    bottom = max(least, low - (0.12 if low == 0 else SPREAD_ROOM - 1) * size)
    return min(bottom, low) - 0.04 * size, top + 0.04 * size


# Below the panels


def metric_lines(
    axes: Axes, row: Row, tidy: pd.DataFrame, means: pd.DataFrame, runs: pd.DataFrame, looks: Mapping[str, Style]
) -> pd.DataFrame:
    """Draw what the runs of a row recorded of one metric; return the numbers drawn, with `diverged`, a block for each arm.

    Args:
        axes: the panel.
        row: gives the arms and their bins.
        tidy: the metric of every run: algorithm, seed, step, value.
        means: its means over runs: algorithm, step, mean.
        runs: those of the row, with `status` and `diverged_at`.
        looks: how each arm is drawn.
    """
    last = row.steps // row.bin_width * row.bin_width
    axes.set_xlim(0, last)
    axes.set_xticks([0, last / 2, last])
    tables = []
    for arm in sorted(row.arms, key=lambda arm: arm.emphasised):
        own = means[means["algorithm"] == arm.label].sort_values("step")
        diverged = runs.loc[(runs["algorithm"] == arm.label) & (runs["status"] == "diverged"), "diverged_at"]
        at = None if diverged.empty else int(diverged.min())
        finite = own.loc[np.isfinite(own["mean"].to_numpy(float)), "step"]
        points = tidy[(tidy["algorithm"] == arm.label) & tidy["step"].isin(finite)]
        points = points.assign(x=points["step"] - row.bin_width / 2)
        position = (row.arms.index(arm), len(row.arms))
        lines.line(axes, points, "value", looks[arm.label], arm.emphasised, position, at)
        tables.append(own.assign(diverged=len(diverged)))
    return pd.concat(tables, ignore_index=True)


def arm_keys(rows: Sequence[Row], styles: Mapping[str, Style]) -> list[Any]:
    """Return one legend handle per arm, in the order in which the rows name them."""
    arms = {arm.label: arm for row in rows for arm in row.arms}
    return [arm_key(label, styles[label], arm.emphasised) for label, arm in arms.items()]


def arm_key(label: str, style: Style, strong: bool = False) -> Line2D:
    """Return the legend handle of an arm."""
    width = 1.9 if strong else 1.25
    return Line2D(
        [], [], color=style.colour, linewidth=width, linestyle=style.linestyle, **lines.marker(style), label=words(label)
    )


def spread_keys(tidy: pd.DataFrame) -> list[Any]:
    """Return legend handles of bands and of single runs, those there are of them in these runs."""
    counts = tidy.groupby(["panel", "algorithm"], observed=True)["seed"].nunique() if len(tidy) else pd.Series([0])
    keys: list[Any] = []
    if (counts > lines.FEW).any():
        keys.append(Patch(facecolor=INK, alpha=0.16, linewidth=0, label="90 % t interval"))
    if counts.between(2, lines.FEW).any():
        keys.append(Line2D([], [], color=INK, linewidth=0.5, alpha=0.5, label="single runs"))
    return keys


def point_keys(tidy: pd.DataFrame) -> list[Any]:
    """Return legend handles of the bars of intervals, and of the dots of single runs."""
    counts = tidy.groupby(["panel", "algorithm"], observed=True)["seed"].nunique() if len(tidy) else pd.Series([0])
    keys: list[Any] = []
    if (counts > lines.FEW).any():
        keys.append(Line2D([], [], color=INK, marker="|", linestyle="none", label="90 % t interval"))
    if counts.between(2, lines.FEW).any():
        keys.append(Line2D([], [], color=INK, marker="o", markersize=2.4, alpha=0.5, linestyle="none", label="single runs"))
    return keys


def line_keys(drawn: pd.DataFrame, tidy: pd.DataFrame) -> list[Any]:
    """Return legend handles of what the lines of the drawn numbers mean; `tidy` has the runs that were drawn."""
    parts = set(drawn["part"])
    keys: list[Any] = [Line2D([], [], color=INK, linewidth=1.3, label="ours"), *spread_keys(tidy)]
    ring: dict[str, Any] = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
    if PUBLISHED in parts:
        keys.append(Line2D([], [], color=MUTED, linewidth=1.1, linestyle=DOTS, **ring, label="published"))
    if LATER in parts:
        at = " or ".join(short_steps(step) for step in sorted(drawn.loc[drawn["part"] == LATER, "step"].unique()))
        keys.append(Line2D([], [], color=MUTED, linestyle="none", **ring, label=f"at the edge: published, at {at} steps"))
    for name in drawn.loc[drawn["part"] == REFERENCE, "algorithm"].unique():
        style: dict[str, Any] = {"color": LITERATURE, "linewidth": 0.9, "linestyle": LONG_DASHES}
        keys.append(Line2D([], [], **style, label=f"{cited(name)}, from the literature"))
    if drawn.loc[drawn["part"] == "curve", "diverged"].gt(0).any():
        keys.append(diverged_key())
    return keys


def diverged_key() -> Line2D:
    """Return the legend handle of a cross."""
    cross: dict[str, Any] = {"linewidth": 0.7, "marker": "x", "markersize": 5, "markeredgewidth": 1.5}
    return Line2D([], [], color=INK, **cross, label="a run diverged")


def budget_lines(data: FigureData) -> list[str]:
    """Return sentences that state the budget of every panel, those of the same budget together."""
    summary = data.summary.assign(algorithm=data.summary["algorithm"].map(words))
    return sentences(summary, {row.panel_name: paper_budget(data.experiment, row) for row in data.preset.rows})


def divergence_lines(summary: pd.DataFrame) -> list[str]:
    """Return a sentence that names the arms of which runs diverged, or nothing."""
    arms = summary[summary["diverged"] > 0].drop_duplicates(["panel", "algorithm"])
    named = [f"{arm.algorithm} on {paper_name(arm.panel)} {arm.diverged} of {arm.seeds}" for arm in arms.itertuples()]
    return [f"Runs diverged: {', '.join(named)}."] if named else []
