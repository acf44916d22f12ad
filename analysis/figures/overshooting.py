"""How far updates go: effective step size, overshooting, and what the bound holds back. Stream-X section 3.2, our figure.

One panel per metric that runs recorded, rows of panels for environments: means over runs of the mean over a bin, with 90 % t
bands, or single runs where there are few. A metric that is one number everywhere is told in words. The axis is logarithmic
where values span orders of magnitude. The paper publishes no such numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from analysis import panels, plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.learner_style import Style, styles
from analysis.metrics import MAXIMUM, mean_metrics, names
from analysis.plot import MUTED
from analysis.published.names import paper_name
from experiments.spec import Row

# In the order of the panels; metrics that are not named here follow under their own names.
TITLES = {
    "effective_step_size": "effective step size",
    "overshoot": "share that overshoots",
    "trace_norm": "L1 norm of the trace",
    "bound_active": "share that is bounded",
    "actor_trace_norm": "actor: L1 norm of trace",
    "actor_bound_active": "actor: share bounded",
}
SHARES = ("overshoot", "bound_active", "actor_bound_active")
PANEL_WIDTH, NARROW_PANEL, PANEL_HEIGHT, NARROWEST = 2.25, 1.8, 1.75, 4.6
# With one environment its metrics wrap; with several each environment is a row.
MOST_COLUMNS, WIDE_COLUMNS = 3, 4
# From this ratio of largest to smallest on, an axis is logarithmic.
ORDERS = 30.0
SMALLEST = 1e-6
SMALL_SHARE = 0.3
NUMBERS = ["panel", "env_id", "algorithm", "metric", "step", "mean", "ci90", "ci95", "n", "diverged"]


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw every metric of every environment; return the means drawn."""
    recorded = [name for name in names(data.curves) if not name.endswith(MAXIMUM)]
    return draw_metrics(data, [name for name in TITLES if name in recorded] + [name for name in recorded if name not in TITLES])


def draw_metrics(
    data: FigureData, shown: Sequence[str], titles: Mapping[str, str] = TITLES, most_columns: int = MOST_COLUMNS
) -> tuple[Figure, pd.DataFrame]:
    """Draw some metrics of every environment, a panel each in their order; return the means drawn.

    The metrics of one environment stand in at most so many columns; with several environments each is a row.
    """
    rows = data.preset.rows
    constant = _constant(data.curves, shown)
    shown = [name for name in shown if name not in constant]
    columns = max(len(shown), 1) if len(rows) > 1 else max(min(len(shown), most_columns), 1)
    blocks = len(rows) if len(rows) > 1 else max(math.ceil(len(shown) / columns), 1)
    panel = PANEL_WIDTH if len(rows) == 1 or columns <= WIDE_COLUMNS else NARROW_PANEL
    figure, grid = plot.panel_grid(blocks, columns, (panel, PANEL_HEIGHT), NARROWEST, 0)  # those that are drawn are turned on

    looks = styles([[arm.label for arm in row.arms] for row in rows])
    means = mean_metrics(data.curves)
    numbers = [pd.DataFrame(columns=NUMBERS)]
    for i, row in enumerate(rows):
        here = means[means["panel"] == row.panel_name]
        tidy = data.curves[data.curves["panel"] == row.panel_name]
        runs = data.runs[data.runs["panel"] == row.panel_name]
        for j, name in enumerate(shown):
            axes = grid[i, j] if len(rows) > 1 else grid.flat[j]
            axes.set_axis_on()
            numbers.append(_panel(axes, name, row, tidy[tidy["metric"] == name], here[here["metric"] == name], runs, looks))
            if i == 0:
                plot.set_title(axes, titles.get(name, name), panel - 0.5)
            below = len(shown) - columns <= j if len(rows) == 1 else i == len(rows) - 1
            axes.set_xlabel("environment steps" if below else "", labelpad=2)
            if len(rows) > 1 and j == 0:
                axes.set_ylabel(paper_name(row.panel_name), fontweight="bold")
    if len(rows) == 1:
        figure.suptitle(paper_name(rows[0].panel_name), fontweight="bold", fontsize=9)
    told = means[means["metric"].isin(list(constant))]
    lost = data.runs[data.runs["status"] == "diverged"].groupby(["panel", "algorithm"]).size().to_dict()
    numbers.append(told.assign(diverged=[lost.get(key, 0) for key in zip(told["panel"], told["algorithm"], strict=True)]))
    drawn = pd.concat([table for table in numbers if len(table)] or numbers[:1], ignore_index=True)
    keys = [panels.arm_keys(rows, looks), _keys(drawn, data.curves)]
    widths = " or ".join(short_steps(width) for width in sorted({row.bin_width for row in rows}))
    said = [f"Means over bins of {widths} steps and over runs.", *_constant_lines(constant, data.curves, titles)]
    plot.below(figure, keys, [*panels.budget_lines(data), *said, *panels.divergence_lines(data.summary)])
    return figure, drawn


def _constant(curves: pd.DataFrame, shown: Sequence[str]) -> dict[str, float]:
    """Return the metrics that are one number in all bins of all runs, where there are several bins, with that number."""
    found = {}
    for name in shown:
        values = curves.loc[curves["metric"] == name, "value"].dropna()
        if len(values) > 1 and values.nunique() == 1:
            found[name] = float(values.iloc[0])
    return found


def _constant_lines(constant: Mapping[str, float], curves: pd.DataFrame, titles: Mapping[str, str]) -> list[str]:
    said = []
    for name, value in constant.items():
        arms = dict.fromkeys(curves.loc[curves["metric"] == name, "algorithm"])
        said.append(f"{titles.get(name, name)}: {value:g} in every bin of every run ({', '.join(arms)}).")
    return said


def _panel(
    axes: Axes,
    name: str,
    row: Row,
    tidy: pd.DataFrame,
    means: pd.DataFrame,
    runs: pd.DataFrame,
    looks: Mapping[str, Style],
) -> pd.DataFrame:
    drawn = panels.metric_lines(axes, row, tidy, means, runs, looks)
    beyond = drawn[np.isinf(drawn["mean"].to_numpy(float))]
    for label, own in beyond.groupby("algorithm", sort=False):
        x = own["step"] - row.bin_width / 2
        style: dict[str, Any] = {"color": looks[str(label)].colour, "markersize": 3.5, "transform": axes.get_xaxis_transform()}
        axes.plot(x, np.full(len(x), 0.97), "^", **style, zorder=6)
    _scale(axes, name, means["mean"].to_numpy(float))
    plot.step_axis(axes)
    return drawn.reindex(columns=NUMBERS)


def _scale(axes: Axes, name: str, values: np.ndarray) -> None:
    """Choose scale and limits of an axis: a share has 0 to 1 unless it is small, the rest what its means need."""
    finite = values[np.isfinite(values)]
    if name in SHARES and (finite > 0).any():
        top = 1.0 if finite.max() > SMALL_SHARE else 1.2 * finite.max()
        axes.set_ylim(-0.03 * top, 1.03 * top)
        axes.locator_params(axis="y", nbins=4)
        plot.return_axis(axes)
        return
    if not len(finite):
        axes.set_ylim(0, 1)
        return
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high / low >= ORDERS:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.6, high * 1.6)
        axes.yaxis.set_major_locator(LogLocator(numticks=5))
        axes.yaxis.set_minor_formatter(NullFormatter())
        return
    sizes = np.abs(finite[finite != 0])
    if len(sizes) and sizes.max() / np.quantile(sizes, 0.1) >= ORDERS:
        # Linear around zero, up to what is small here: a value that happens to be near zero does not stretch the axis.
        smallest = max(float(np.quantile(sizes, 0.1)), float(sizes.max()) * SMALLEST)
        least, most = math.floor(math.log10(smallest)), math.floor(math.log10(sizes.max()))
        axes.set_yscale("symlog", linthresh=10.0**least)
        axes.set_ylim(low - 0.6 * abs(low), high + 0.6 * abs(high))
        # Zero, the largest decade and one half-way to it, of either sign: more would stand over each other.
        decades = {most, (most + least) // 2} if most - least >= 4 else {most}
        ticks = [0.0, *(sign * 10.0**decade for decade in decades for sign in (1, -1))]
        axes.set_yticks([tick for tick in sorted(ticks) if axes.get_ylim()[0] <= tick <= axes.get_ylim()[1]])
        axes.set_yticks([], minor=True)
        return
    size = (high - min(low, 0.0)) or 1.0
    axes.set_ylim(min(low, 0.0) - 0.06 * size, high + 0.15 * size)
    axes.locator_params(axis="y", nbins=4)
    plot.return_axis(axes)


def _keys(drawn: pd.DataFrame, tidy: pd.DataFrame) -> list[Any]:
    keys: list[Any] = panels.spread_keys(tidy)
    if drawn["diverged"].gt(0).any():
        keys.append(panels.diverged_key())
    if np.isinf(drawn["mean"].to_numpy(float)).any():
        keys.append(Line2D([], [], color=MUTED, linestyle="none", marker="^", markersize=4, label="infinite"))
    return keys
