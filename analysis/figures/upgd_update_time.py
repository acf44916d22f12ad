"""How long an update of each learner takes. UPGD (arXiv:2404.00781), Fig. 17: means over repeats with 90 % t intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import plot
from analysis.figures import FigureData
from analysis.learner_style import styles
from analysis.plot import INK
from analysis.statistics import mean_over_runs
from experiments.expand import labelled_runs

UPDATE = "update"
FASTEST = "SGDW"


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw a bar for each learner; return milliseconds, and how many times those of SGDW they are."""
    numbers = summarise(data)
    return redraw(numbers, data), numbers


def redraw(numbers: pd.DataFrame, data: FigureData) -> Figure:
    """Draw the bars again from the numbers."""
    looks = styles([list(numbers["learner"])])
    figure, grid = plot.panel_grid(1, 1, (5.4, 0.45 + 0.2 * max(len(numbers), 1)), 5.4, 1)
    axes = grid[0, 0]
    axes.barh(
        range(len(numbers)),
        numbers["milliseconds"],
        xerr=numbers["ci90"].fillna(0),
        color=[looks[label].colour for label in numbers["learner"]],
        height=0.65,
        error_kw={"ecolor": INK, "elinewidth": 0.8},
    )
    axes.set_yticks(range(len(numbers)), numbers["learner"])
    axes.invert_yaxis()
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.set_xlabel("ms per update")
    busy = numbers["core_share"].min() if len(numbers) else 1.0
    lines = ["One sample an update, one core, compiled lanes. Means over repeats with 90 % t intervals."]
    if busy < 0.9:
        lines.append(f"The machine had other work: a measurement had as little as {busy:.0%} of its core.")
    plot.below(figure, [], lines)
    return figure


def summarise(data: FigureData) -> pd.DataFrame:
    """Return one row per learner."""
    finished = data.store.finished()
    rows = []
    for row, arm, run in labelled_runs(data.preset):
        if run.run_id not in finished:
            continue
        _, _, tables = data.store.load(run.run_id)
        (table,) = tables.values()
        frame = table.to_pandas()
        times = frame.loc[frame["quantity"] == UPDATE, "milliseconds"].to_numpy(np.float64)
        mean = mean_over_runs(times)
        told = {"milliseconds": mean.mean, "ci90": mean.ci90, "n": mean.n, "core_share": frame["core_share"].min()}
        rows.append({"env_id": row.env_id, "learner": arm.label, **told})
    columns = ["env_id", "learner", "milliseconds", "ci90", "n", "core_share", "of_sgd"]
    numbers = pd.DataFrame(rows, columns=columns)
    fastest = numbers.loc[numbers["learner"] == FASTEST, "milliseconds"]
    return numbers.assign(of_sgd=numbers["milliseconds"] / fastest.iloc[0] if len(fastest) else np.nan)
