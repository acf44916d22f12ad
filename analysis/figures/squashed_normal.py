"""AVG Figures 2 and 11: entropy of a normal distribution before and after tanh, and densities of the squashed one.

Left: entropy against the deviation before squashing, with the largest one that actions between -1 and 1 can have, that of the
uniform distribution. Right: densities, darker with a wider deviation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis import plot
from analysis.figures import FigureData
from analysis.learner_style import STYLES, lighter
from analysis.plot import INK, MUTED
from experiments.expand import labelled_runs

PANEL_WIDTH, PANEL_HEIGHT = 2.9, 2.2
NUMBERS = ["quantity", "deviation", "action", "normal", "squashed", "density"]
UNIFORM = math.log(2)
# Densities go to infinity at the bounds.
TOP = 4.0
SQUASHED = STYLES["AVG"].colour


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw both panels; return the numbers drawn."""
    numbers = numbers_of(data)
    return redraw(numbers, data), numbers


def redraw(numbers: pd.DataFrame, data: FigureData) -> Figure:
    """Draw both panels again from the numbers."""
    figure, grid = plot.panel_grid(1, 2, (PANEL_WIDTH, PANEL_HEIGHT), 2 * PANEL_WIDTH, 2)
    left, right = grid.flat
    _entropies(left, numbers[numbers["quantity"] == "entropy"])
    _densities(right, numbers[numbers["quantity"] == "density"])
    plot.below(figure, [], ["Computed, not trained. Mean 0 before squashing. The axis of densities is cut."])
    return figure


def tables(numbers: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return where the squashed entropy is largest, and the entropies at some deviations."""
    entropy = numbers[numbers["quantity"] == "entropy"]
    if entropy.empty:
        return []
    nearest = sorted({int((entropy["deviation"] - wanted).abs().idxmin()) for wanted in (0.1, 0.3, 1.0, 3.0, 10.0)})
    shown = {*nearest, int(entropy["squashed"].idxmax())}
    rows = entropy.loc[sorted(shown), ["deviation", "normal", "squashed"]].round(4)
    best = entropy.loc[entropy["squashed"].idxmax()]
    title = f"Entropy in nats; squashed it is largest at a deviation of {best['deviation']:.3g}: {best['squashed']:.3g}"
    return [(title, rows)]


def numbers_of(data: FigureData) -> pd.DataFrame:
    """Return what was computed, with `NUMBERS` as columns."""
    finished, found = data.store.finished(), [pd.DataFrame(columns=NUMBERS)]
    for _, arm, run in labelled_runs(data.preset):
        if run.run_id in finished:
            table = data.store.load(run.run_id)[2]["squashed_normal"].to_pandas()
            found.append(table.assign(quantity=arm.label).reindex(columns=NUMBERS))
    return pd.concat(found[1:] or found, ignore_index=True)


def _entropies(axes: Axes, table: pd.DataFrame) -> None:
    axes.set_xscale("log")
    axes.axhline(UNIFORM, color=MUTED, linewidth=0.9, linestyle=(0, (3, 2)), zorder=2)
    axes.plot(table["deviation"], table["normal"], color=INK)
    axes.plot(table["deviation"], table["squashed"], color=SQUASHED, linewidth=1.8)
    plot.set_title(axes, "entropy", PANEL_WIDTH)
    axes.set_xlabel("standard deviation before squashing", labelpad=2)
    axes.set_ylabel("nats")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    small: dict[str, Any] = {"fontsize": 7}
    if len(table):
        axes.set_xlim(table["deviation"].min(), table["deviation"].max())
        axes.set_ylim(min(table["squashed"].min(), table["normal"].min()) - 0.2, table["normal"].max() + 0.2)
        at = table.iloc[len(table) * 3 // 4]
        axes.annotate("normal", (at["deviation"], at["normal"]), (-5, 3), textcoords="offset points", ha="right", **small)
        where = (at["deviation"], at["squashed"])
        axes.annotate("squashed", where, (-8, -9), textcoords="offset points", ha="right", color=SQUASHED, **small)
        place = (table["deviation"].min() * 1.2, UNIFORM)
        axes.annotate("uniform", place, (0, 3), textcoords="offset points", color=MUTED, **small)


def _densities(axes: Axes, table: pd.DataFrame) -> None:
    deviations = list(dict.fromkeys(table["deviation"]))
    shares = np.linspace(0.7, 0.0, max(len(deviations), 1))
    for deviation, share in zip(deviations, shares, strict=False):
        own = table[table["deviation"] == deviation]
        axes.plot(own["action"], own["density"], color=lighter(SQUASHED, float(share)), label=f"{deviation:g}")
    axes.set_ylim(0, min(TOP, table["density"].max() * 1.05 if len(table) else 1.0))
    axes.set_xlim(-1, 1)
    axes.set_xticks((-1, 0, 1))
    plot.set_title(axes, "density when squashed", PANEL_WIDTH)
    axes.set_xlabel("action", labelpad=2)
    if deviations:
        axes.legend(title="deviation", title_fontsize=7, fontsize=7, loc="upper center", handlelength=1.2, ncols=2)
