"""RTU Figure 4a: relative distance of sensitivities from those that the present parameters would make, against the lag K.

A row of the preset is a lag. A run's number is the mean over the second half of its steps, of its two networks each by itself:
the one whose value is learnt from (critic, q) left, the other (actor, h) right. Means over runs with 90 % t intervals. Numbers
are not published.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis import lines, panels, plot
from analysis.figures import FigureData
from analysis.learner_style import styles
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
    looks = styles([labels])
    emphasised = {arm.label for row in rows for arm in row.arms if arm.emphasised}
    lags = sorted({_lag(row) for row in rows})
    for axes, network in zip(grid.flat, PANELS, strict=True):
        for place, label in enumerate(labels):
            own = numbers[(numbers["network"] == network) & (numbers["algorithm"] == label)].sort_values("lag")
            x = {lag: lags.index(lag) + DODGE * (place - (len(labels) - 1) / 2) for lag in own["lag"]}
            runs = [_late(network, row, data, label).assign(x=x.get(_lag(row))) for row in rows]
            lines.line(axes, pd.concat(runs), "value", looks[label], label in emphasised, sizes=True)
        axes.set_xticks(range(len(lags)), [str(lag) for lag in lags])
        axes.set_xlim(-0.4, len(lags) - 0.6)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("lag K", labelpad=2)
        plot.set_title(axes, network, PANEL_WIDTH)
    grid[0, 0].set_ylabel("relative distance")
    keys = [panels.arm_keys(rows, looks), panels.point_keys(data.curves)]
    said = "Mean over the second half of a run. The paper publishes no numbers."
    plot.below(figure, keys, [*panels.budget_lines(data), said, *panels.divergence_lines(data.summary)])
    return figure, numbers


def _lag(row: Row) -> int:
    lag = row.environment["lag"]
    assert isinstance(lag, int)
    return lag


def _of_lag(network: str, row: Row, data: FigureData) -> list[dict[str, Any]]:
    found = []
    for arm in row.arms:
        mean = mean_over_runs(_late(network, row, data, arm.label)["value"].to_numpy())
        known = {"network": network, "panel": row.panel_name, "lag": _lag(row), "algorithm": arm.label}
        found.append({**known, "mean": mean.mean, "ci90": mean.ci90, "n": mean.n})
    return found


def _late(network: str, row: Row, data: FigureData, label: str) -> pd.DataFrame:
    """Return the mean over the second half of every run of an arm: seed, value."""
    curves = data.curves[(data.curves["panel"] == row.panel_name) & data.curves["metric"].isin(PANELS[network])]
    late = curves[(curves["step"] > row.steps / 2) & (curves["algorithm"] == label)]
    return late.groupby("seed", as_index=False)["value"].mean()
