"""RTU Figure 4a: relative distance of sensitivities from those that the present parameters would make, against the lag K.

A row of the preset is a lag. A run's number is the mean over the second half of its steps, of its two networks each by itself:
the one whose value is learnt from (critic, q) left, the other (actor, h) right. Means over runs with 90 % t intervals. Numbers
are not published.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import panels, plot
from analysis.figures import FigureData
from analysis.plot import INK
from analysis.statistics import mean_over_runs
from experiments.spec import Row

PANELS = {"critic and q": ("critic_staleness", "q_staleness"), "actor and h": ("actor_staleness", "h_staleness")}
NUMBERS = ["network", "panel", "lag", "algorithm", "mean", "ci90", "n"]
PANEL_WIDTH, PANEL_HEIGHT, NARROWEST = 2.6, 2.1, 5.0
DODGE = 0.06


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw the distances of both kinds of network; return them."""
    rows = data.preset.rows
    figure, grid = plot.panel_grid(1, 2, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, 2)
    numbers = pd.DataFrame(
        [number for network in PANELS for row in rows for number in _of_lag(network, row, data)], columns=NUMBERS
    )
    labels = list(dict.fromkeys(arm.label for row in rows for arm in row.arms))
    colours = plot.colours([labels])
    lags = sorted({_lag(row) for row in rows})
    for axes, network in zip(grid.flat, PANELS, strict=True):
        for place, label in enumerate(labels):
            own = numbers[(numbers["network"] == network) & (numbers["algorithm"] == label)].sort_values("lag")
            x = np.array([lags.index(lag) for lag in own["lag"]]) + DODGE * (place - (len(labels) - 1) / 2)
            spread = np.nan_to_num(own["ci90"].to_numpy(float))
            style: dict[str, Any] = {"color": colours[label], "marker": "o", "markersize": 3.2, "capsize": 1.6}
            axes.errorbar(x, own["mean"], yerr=spread, linewidth=1.2, elinewidth=0.9, **style)
        axes.set_xticks(range(len(lags)), [str(lag) for lag in lags])
        axes.set_xlim(-0.4, len(lags) - 0.6)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("lag K", labelpad=2)
        plot.set_title(axes, network, PANEL_WIDTH)
    grid[0, 0].set_ylabel("relative distance")
    keys = [panels.arm_keys(rows, colours), [Line2D([], [], color=INK, marker="|", linestyle="none", label="90 % t interval")]]
    said = "Mean over the second half of a run. The paper publishes no numbers."
    plot.below(figure, keys, [*panels.budget_lines(data), said, *panels.divergence_lines(data.summary)])
    return figure, numbers


def _lag(row: Row) -> int:
    lag = row.environment["lag"]
    assert isinstance(lag, int)
    return lag


def _of_lag(network: str, row: Row, data: FigureData) -> list[dict[str, Any]]:
    curves = data.curves[(data.curves["panel"] == row.panel_name) & data.curves["metric"].isin(PANELS[network])]
    late = curves[curves["step"] > row.steps / 2]
    found = []
    for arm in row.arms:
        mean = mean_over_runs(late[late["algorithm"] == arm.label].groupby("seed")["value"].mean().to_numpy())
        known = {"network": network, "panel": row.panel_name, "lag": _lag(row), "algorithm": arm.label}
        found.append({**known, "mean": mean.mean, "ci90": mean.ci90, "n": mean.n})
    return found
