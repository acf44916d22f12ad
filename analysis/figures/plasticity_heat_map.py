"""Forgetting and loss of plasticity as heat maps: a row for each stream, a column for each learner. UPGD, Fig. 7.

`forgetting` is the accuracy of the first bin minus that of the last, `loss_of_plasticity` the plasticity in the middle of the
run minus that at its end (`analysis.figures.continual`); bins of the paper are two tasks. Cells show 100 times the mean over
runs, negative is good, and in brackets what the authors' script has. Its forgetting is counted from a first bin of which one
half is the very first sample: it is more negative than ours, by half of what the first two tasks' accuracy is above that of
the first sample, but where `first_window=code`.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import panels, plot
from analysis.figures import FigureData
from analysis.figures.continual import ends_of_runs
from analysis.plot import INK, MINUS
from analysis.published import upgd

MAPS = {"forgetting": "overall forgetting", "loss_of_plasticity": "overall loss of plasticity"}
NUMBERS = ["panel", "env_id", "algorithm", "metric", "step", "mean", "ci90", "ci95", "n", "published"]
CELL_WIDTH, CELL_HEIGHT, NAME_WIDTH = 0.62, 0.4, 1.75
# From this share of the largest magnitude on, a cell is so dark that its letters are white.
DARK = 0.6


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw both maps; return their cells."""
    rows = data.preset.rows
    learners = list(dict.fromkeys(arm.label for row in rows for arm in row.arms))
    numbers = cells(data)
    size = (len(learners) * CELL_WIDTH + NAME_WIDTH, len(rows) * CELL_HEIGHT + 0.75)
    figure, grid = plot.panel_grid(len(MAPS), 1, size, 6.4, len(MAPS))
    for axes, (metric, title) in zip(grid[:, 0], MAPS.items(), strict=True):
        _map(axes, numbers[numbers["metric"] == metric], [row.panel_name for row in rows], learners)
        plot.set_title(axes, title, 4.0)
    widths = " or ".join(sorted({f"{row.bin_width:,}" for row in rows}))
    said = [f"100 times the mean over runs, from bins of {widths} samples; negative is good."]
    if numbers["published"].notna().any():
        said.append(
            "In brackets: the authors' script for 1M samples, with another first bin, not verified against the printed figure."
        )
    plot.below(figure, [], [*panels.budget_lines(data), *said])
    return figure, numbers


def cells(data: FigureData) -> pd.DataFrame:
    """Return a row for each cell: ours with its intervals, and what the authors' script has."""
    found = [pd.DataFrame(columns=NUMBERS[:-1])]
    for row in data.preset.rows:
        ends = ends_of_runs(data.curves[data.curves["panel"] == row.panel_name], row)
        found.append(ends[ends["metric"].isin(list(MAPS))][NUMBERS[:-1]])
    table = pd.concat([part for part in found if len(part)] or found[:1], ignore_index=True)
    theirs = upgd.heat_map().rename(columns={"learner": "algorithm", "value": "published"})
    others = {row.panel_name for row in data.preset.rows if row.environment.get("data_sha256")}  # other data than the paper's
    table = table.merge(theirs, how="left", on=["env_id", "algorithm", "metric"])[NUMBERS]
    return table.assign(published=table["published"].mask(table["panel"].isin(others)))


def _map(axes: Axes, numbers: pd.DataFrame, streams: list[str], learners: list[str]) -> None:
    ours, theirs = (
        numbers.pivot(index="panel", columns="algorithm", values=name).reindex(index=streams, columns=learners).to_numpy(float)
        for name in ("mean", "published")
    )
    known = np.abs(ours[np.isfinite(ours)])
    most = float(known.max()) if len(known) and known.max() > 0 else 1.0
    axes.imshow(ours, cmap="RdBu_r", vmin=-most, vmax=most, aspect="auto")
    for (i, j), value in np.ndenumerate(ours):
        if math.isfinite(value):
            told = _percent(value) + (f"\n({_percent(theirs[i, j])})" if math.isfinite(theirs[i, j]) else "")
            axes.text(j, i, told, ha="center", va="center", fontsize=6, color="white" if abs(value) > DARK * most else INK)
    axes.set_xticks(range(len(learners)), learners, fontsize=7)
    axes.set_yticks(range(len(streams)), [name.replace("_", " ") for name in streams], fontsize=7)
    axes.tick_params(length=0)
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _percent(value: float) -> str:
    # Zero is added so that what is rounded to zero has no sign.
    return f"{round(100 * value, 1) + 0.0:.1f}".replace("-", MINUS)
