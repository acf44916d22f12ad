"""AVG Figure 12: configurations of a random search, ranked by the area under their learning curves.

One panel per row: the area divided by the number of steps, which is the mean over the curve's bins, over runs with 90 % t
intervals; the best configurations from left to right, and every run as a dot. The emphasised configuration is the published
one. It is drawn beside the best where it is not among them, and its rank is told. A configuration has no rank where one of its
runs diverged, or where there is none.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import lines, panels, plot
from analysis.figures import FigureData
from analysis.learner_style import STYLES
from analysis.plot import INK, MUTED
from analysis.published.names import paper_name
from analysis.statistics import mean_over_runs
from experiments.spec import Row

PANEL_WIDTH, PANEL_HEIGHT, NARROWEST = 4.4, 2.1, 4.6
MOST_COLUMNS = 2
SHOWN = 25
# Beyond so many configurations every other name is left out.
ROOM_FOR_NAMES = 13
NUMBERS = ["panel", "env_id", "algorithm", "rank", "of", "area", "ci90", "n", "diverged", "published"]


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw the best configurations of every panel; return all of them with their ranks."""
    rows = data.preset.rows
    columns = min(len(rows), MOST_COLUMNS)
    figure, grid = plot.panel_grid(math.ceil(len(rows) / columns), columns, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, len(rows))
    tables = [ranked(row, data.curves, data.runs) for row in rows]
    for i, (axes, row, table) in enumerate(zip(grid.flat, rows, tables, strict=False)):
        _panel(axes, table, areas(row, data.curves))
        plot.set_title(axes, paper_name(row.panel_name), PANEL_WIDTH - 0.5)
        if i % columns == 0:
            axes.set_ylabel("mean return of the curve")
    drawn = pd.concat(tables, ignore_index=True)
    plot.below(figure, [_keys(drawn)], [*panels.budget_lines(data), *rank_lines(drawn)])
    return figure, drawn


def areas(row: Row, curves: pd.DataFrame) -> pd.DataFrame:
    """Return the area under the curve of every run of a row, divided by its steps: algorithm, seed, area.

    A bin in which no episode ended counts as the one before it, or after it at the beginning.
    """
    own = curves[curves["panel"] == row.panel_name].sort_values("step")
    filled = own.groupby(["algorithm", "seed"], sort=False)["mean_return"].transform(lambda values: values.ffill().bfill())
    return own.assign(area=filled).groupby(["algorithm", "seed"], sort=False, as_index=False)["area"].mean()


def ranked(row: Row, curves: pd.DataFrame, runs: pd.DataFrame) -> pd.DataFrame:
    """Return the configurations of a row in the order of their areas, with `NUMBERS` as columns."""
    found, here = areas(row, curves), runs[runs["panel"] == row.panel_name]
    published = {arm.label for arm in row.arms if arm.emphasised}
    table = []
    for arm in row.arms:
        values = found.loc[found["algorithm"] == arm.label, "area"].to_numpy(np.float64)
        mean = mean_over_runs(values)
        diverged = int(((here["algorithm"] == arm.label) & (here["status"] == "diverged")).sum())
        whole = len(values) > 0 and not diverged and np.isfinite(values).all()
        table.append(
            {
                **{"panel": row.panel_name, "env_id": row.env_id, "algorithm": arm.label, "of": len(row.arms)},
                **{"area": mean.mean if whole else math.nan, "ci90": mean.ci90, "n": mean.n, "diverged": diverged},
                "published": arm.label in published,
            }
        )
    frame = pd.DataFrame(table).sort_values("area", ascending=False, kind="stable", na_position="last", ignore_index=True)
    there = frame["area"].notna()
    return frame.assign(rank=pd.Series(np.arange(1, len(frame) + 1)).where(there).astype("Int64"))[NUMBERS]


def rank_lines(drawn: pd.DataFrame) -> list[str]:
    """Return sentences that tell the rank of the published configurations, and how many are without one."""
    lines = []
    for arm in drawn[drawn["published"]].itertuples():
        told = "has no rank" if pd.isna(arm.rank) else f"is number {arm.rank} of {arm.of}"
        lines.append(f"{paper_name(arm.panel)}: the published configuration, {arm.algorithm}, {told}.")
    ranked_there = drawn["rank"].groupby(drawn["panel"], sort=False).count()
    lines += [f"{paper_name(panel)}: the best {SHOWN} of {n} are drawn." for panel, n in ranked_there.items() if n > SHOWN]
    unranked = drawn[drawn["rank"].isna()].groupby("panel", sort=False).size()
    lines += [f"{paper_name(panel)}: {count} without a rank (diverged, or no run yet)." for panel, count in unranked.items()]
    return lines


def _panel(axes: Axes, table: pd.DataFrame, runs: pd.DataFrame) -> None:
    ranks = table[table["rank"].notna()]
    shown = ranks[(ranks["rank"] <= SHOWN) | ranks["published"]]
    for x, arm in enumerate(shown.itertuples()):
        colour = STYLES["AVG"].colour if arm.published else INK
        own = runs.loc[runs["algorithm"] == arm.algorithm, "area"].to_numpy(np.float64)
        axes.plot(np.full(len(own), x), own, "o", color=colour, alpha=0.3, markersize=2.5, markeredgewidth=0, zorder=2)
        error = None if math.isnan(arm.ci90) or arm.n <= lines.FEW else [arm.ci90]
        style: dict[str, Any] = {"color": colour, "elinewidth": 0.8, "zorder": 3 + arm.published}
        axes.errorbar([x], [arm.area], error, fmt="*" if arm.published else "o", markersize=7 if arm.published else 4, **style)
    labels = [
        f"{arm.algorithm}" if len(shown) <= ROOM_FOR_NAMES or x % 2 == 0 or arm.published else ""
        for x, arm in enumerate(shown.itertuples())
    ]
    axes.set_xticks(range(len(shown)), labels, rotation=90, fontsize=6)
    axes.set_xlim(-0.8, max(len(shown), 3) - 0.2)
    axes.tick_params(axis="x", length=0)
    # The means must stay readable, whatever the intervals of two runs are.
    values = shown["area"].to_numpy(np.float64)
    if len(values):
        size = (values.max() - values.min()) or 1.0
        axes.set_ylim(values.min() - 0.3 * size, values.max() + 0.3 * size)
    axes.locator_params(axis="y", nbins=5)
    plot.return_axis(axes)


def _keys(drawn: pd.DataFrame) -> list[Any]:
    keys = [
        Line2D([], [], color=INK, marker="o", markersize=4, linewidth=0.8, label="configuration, mean"),
        Line2D([], [], color=MUTED, marker="o", markersize=2.5, linestyle="none", label="its runs"),
    ]
    if (drawn["n"] > lines.FEW).any():
        keys.append(Line2D([], [], color=INK, marker="|", linestyle="none", label="90 % t interval"))
    if drawn["published"].any():
        keys.insert(1, Line2D([], [], color=STYLES["AVG"].colour, marker="*", markersize=7, linewidth=0.8, label="published"))
    return keys
