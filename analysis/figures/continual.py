"""Learners of labelled streams whose tasks change. UPGD (arXiv:2404.00781), section 3.3 and Figs. 3 to 6, 10, 11, 13 to 16.

A row of panels for each stream: what runs recorded, as means over bins and runs with 90 % t bands, or single runs where there
are few, online accuracy first (the squared error where there are no classes). Where plasticity was recorded, a last panel sets
its mean over the run's second half against that of accuracy, one point for each learner (Fig. 4, without its fitted line).

The numbers hold all curves, and of each run's ends: `forgetting`, the accuracy of the first bin minus that of the last, and
`loss_of_plasticity`, the plasticity in the middle of the run minus that at its end (Fig. 7); negative is good. Bins of two
tasks make them the paper's.

A preset in which learners have many settings is a search: one dot for each setting, at its mean over the whole run.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis import lines, panels, plot
from analysis.figures import FigureData
from analysis.learner_style import Style, method, styles
from analysis.metrics import MAXIMUM, mean_metrics, names
from analysis.panels import arm_keys
from analysis.plot import INK, MUTED
from analysis.statistics import mean_over_runs
from experiments.spec import Row

# In the order of the panels. What else runs recorded is not drawn, but is in the numbers.
TITLES = {
    "accuracy": "online accuracy",
    "held_out_accuracy": "held-out accuracy",
    "loss": "online loss",
    "plasticity": "plasticity",
    "zero_activations": "share of zero activations",
    "gradient_l0": "gradient, share not zero",
    "gradient_l1": "gradient, L1 norm",
    "gradient_l2": "gradient, L2 norm",
    "weight_l1": "weights, L1 norm",
    "weight_l2": "weights, L2 norm",
}
PANEL_WIDTH, PANEL_HEIGHT, NARROWEST, MOST_COLUMNS = 2.2, 1.75, 4.6, 4
NUMBERS = ["panel", "env_id", "algorithm", "metric", "step", "mean", "ci90", "ci95", "n", "diverged"]
# From this ratio of largest to smallest on, an axis is logarithmic.
ORDERS = 20.0
# More settings of one method than this are a search.
MOST_SETTINGS = 6


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw curves, or the dots of a search; return the numbers drawn."""
    settings = Counter(method(arm.label) for row in data.preset.rows for arm in row.arms)
    return _search(data) if max(settings.values()) > MOST_SETTINGS * len(data.preset.rows) else _curves(data)


# Curves


def _curves(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    rows = data.preset.rows
    recorded = [name for name in names(data.curves) if not name.endswith(MAXIMUM)]
    shown = [name for name in TITLES if name in recorded and not (name == "loss" and "accuracy" in recorded and len(rows) > 1)]
    scatter = "plasticity" in recorded and "accuracy" in recorded
    wanted = max(len(shown) + scatter, 1)
    columns = min(wanted, MOST_COLUMNS) if len(rows) == 1 else wanted
    blocks = -(-wanted // columns) * len(rows)
    width = PANEL_WIDTH if wanted > 1 else 4.4
    figure, grid = plot.panel_grid(blocks, columns, (width, PANEL_HEIGHT if wanted > 1 else 2.6), NARROWEST, 0)
    looks = styles([[arm.label for arm in row.arms] for row in rows])
    means = mean_metrics(data.curves)
    numbers = [pd.DataFrame(columns=NUMBERS)]
    for i, row in enumerate(rows):
        own = means[means["panel"] == row.panel_name]
        runs = data.runs[data.runs["panel"] == row.panel_name]
        tidy = data.curves[data.curves["panel"] == row.panel_name]
        places = list(grid[i]) if len(rows) > 1 else list(grid.flat)
        for name, axes in zip(shown, places, strict=False):
            axes.set_axis_on()
            numbers.append(_panel(axes, name, row, tidy[tidy["metric"] == name], own[own["metric"] == name], runs, looks))
            if i == 0:
                plot.set_title(axes, TITLES[name], width - 0.15)
            if i == len(rows) - 1:
                axes.set_xlabel("samples", labelpad=2)
        ends = ends_of_runs(data.curves[data.curves["panel"] == row.panel_name], row)
        numbers.append(ends)
        if scatter:
            axes = places[len(shown)]
            axes.set_axis_on()
            _scatter(axes, row, ends, looks)
            if i == 0:
                plot.set_title(axes, "second half of the run", width - 0.15)
        if len(rows) > 1:
            places[0].set_ylabel(textwrap.fill(row.panel_name, 16), fontweight="bold")
    if len(rows) == 1:
        figure.suptitle(rows[0].panel_name.replace("_", " "), fontweight="bold", fontsize=9)
    drawn = pd.concat([table for table in numbers if len(table)] or numbers[:1], ignore_index=True)
    keys = panels.spread_keys(data.curves)
    if drawn["diverged"].gt(0).any():
        keys.append(panels.diverged_key())
    said = [*panels.budget_lines(data), *_tasks(data), *panels.divergence_lines(data.summary)]
    plot.below(figure, [arm_keys(rows, looks), keys], said)
    return figure, drawn


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
    _scale(axes, name, means["mean"].to_numpy(float))
    plot.step_axis(axes)
    return drawn.reindex(columns=NUMBERS)


def _scale(axes: Axes, name: str, values: np.ndarray) -> None:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return
    low, high = float(finite.min()), float(finite.max())
    if low > 0 and high / low > ORDERS:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.5, high * 1.5)
        return
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    axes.set_ylim(low - room, high + room)
    axes.locator_params(axis="y", nbins=4)


def _scatter(axes: Axes, row: Row, ends: pd.DataFrame, looks: Mapping[str, Style]) -> None:
    for arm in row.arms:
        own = ends[ends["algorithm"] == arm.label].set_index("metric")
        if {"late_accuracy", "late_plasticity"} <= set(own.index):
            x, y = own.loc["late_accuracy"], own.loc["late_plasticity"]
            look = looks[arm.label]
            few = x["n"] <= lines.FEW  # a mean of few runs has no interval here
            axes.errorbar(
                [x["mean"]],
                [y["mean"]],
                xerr=None if few else [x["ci90"]],
                yerr=None if few else [y["ci90"]],
                linestyle="none",
                color=look.colour,
                **lines.marker(look, arm.emphasised, 5.2),
                elinewidth=0.8,
            )
    axes.set_xlabel("online accuracy", labelpad=2)
    axes.set_ylabel("plasticity", labelpad=2)
    axes.locator_params(nbins=4)


def ends_of_runs(curves: pd.DataFrame, row: Row) -> pd.DataFrame:
    """Return forgetting, loss of plasticity and means over the second half, each over the runs that have them."""
    last = row.steps // row.bin_width * row.bin_width
    middle = (row.steps // row.bin_width // 2) * row.bin_width
    rows = []
    for label, own in curves.groupby("algorithm", sort=False, observed=True):
        found: dict[str, pd.Series] = {}
        for metric in ("accuracy", "plasticity", "loss"):
            table = own[own["metric"] == metric].pivot_table(index="seed", columns="step", values="value")
            if last not in table or not len(table):
                continue
            found[f"late_{metric}"] = table.loc[:, table.columns > middle].mean(axis=1)
            found[f"mean_{metric}"] = table.mean(axis=1)
            if metric == "accuracy":
                found["forgetting"] = table[table.columns[0]] - table[last]
            after = table.columns[table.columns > middle]
            if metric == "plasticity" and len(after) > 1:
                found["loss_of_plasticity"] = table[after[0]] - table[last]
        for name, values in found.items():
            mean = mean_over_runs(values.dropna().to_numpy(np.float64))
            told = {"metric": name, "step": last, "mean": mean.mean, "ci90": mean.ci90, "ci95": mean.ci95, "n": mean.n}
            rows.append({"panel": row.panel_name, "env_id": row.env_id, "algorithm": label, **told})
    return pd.DataFrame(rows, columns=NUMBERS)


def _tasks(data: FigureData) -> list[str]:
    found = {str(row.environment["task_steps"]) for row in data.preset.rows if row.environment.get("task_steps")}
    bins = {f"{row.bin_width:,}" for row in data.preset.rows}
    told = f"Means over bins of {' or '.join(sorted(bins))} samples"
    return [f"{told}; the task changes every {' or '.join(sorted(found))}." if found else f"{told}."]


# Searches


def _search(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    rows = data.preset.rows
    figure, grid = plot.panel_grid(1, len(rows), (6.4, 2.8), 6.4, len(rows))
    numbers, said = [], list(panels.budget_lines(data))
    for axes, row in zip(grid.flat, rows, strict=False):
        ends = ends_of_runs(data.curves[data.curves["panel"] == row.panel_name], row)
        numbers.append(ends)
        there = "mean_accuracy" if "mean_accuracy" in set(ends["metric"]) else "mean_loss"
        scores = ends[ends["metric"] == there]
        methods = list(dict.fromkeys(method(arm.label) for arm in row.arms))
        looks = styles([methods])
        for place, name in enumerate(methods):
            own = scores[[method(str(label)) == name for label in scores["algorithm"]]]
            if not len(own):
                continue
            spread = place + np.linspace(-0.25, 0.25, len(own))
            look = looks[name]
            axes.plot(spread, own["mean"], look.marker, color=look.colour, markersize=2.6, alpha=0.5, markeredgewidth=0)
            chosen = own.loc[own["mean"].idxmax() if there == "mean_accuracy" else own["mean"].idxmin()]
            axes.plot([place - 0.35, place + 0.35], [chosen["mean"]] * 2, color=INK, linewidth=1.2)
            said.append(f"{chosen['algorithm']}: {chosen['mean']:.4f}.")
        axes.set_xticks(range(len(methods)), methods, fontsize=7)
        axes.set_ylabel("mean online accuracy" if there == "mean_accuracy" else "mean online loss")
        plot.set_title(axes, row.panel_name.replace("_", " "), 6.0)
        axes.tick_params(axis="x", color=MUTED)
    plot.below(figure, [], [*said, "A dot for each setting, a line at the best of each learner."])
    return figure, pd.concat(numbers, ignore_index=True)
