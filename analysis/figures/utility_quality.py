"""How well utilities rank weights and features. UPGD (arXiv:2404.00781), Figs. 2 and 12.

A panel for each network, level and scope: Spearman's correlation with the true utility over the samples, means over bins and
runs with 90 % t bands. Layer-wise is the mean of the correlations within each layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import lines, panels, plot
from analysis import metrics as bins
from analysis.figures import FigureData
from analysis.learner_style import STYLES
from analysis.metrics import MAXIMUM, mean_metrics
from experiments.spec import Row

# Names of metrics, and what they are called; the first is what the figure is about.
LINES = {
    "second_order": "second order",
    "first_order": "first order",
    "squared_gradient": "squared gradient",
    "magnitude": "magnitude",
    "random": "random",
}
SCOPES = {"": "whole network", "_layerwise": "layer by layer"}
NUMBERS = ["panel", "env_id", "algorithm", "metric", "step", "mean", "ci90", "ci95", "n"]


def metrics(table: Mapping[str, np.ndarray], row: Row, hyperparameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the bins of what is drawn; maxima over ten samples say nothing."""
    return bins.of_run({name: x for name, x in table.items() if not name.endswith(MAXIMUM)}, row, hyperparameters)


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw a line of panels for each network and level that has runs; return the means drawn."""
    rows = [row for row in data.preset.rows if (data.curves["panel"] == row.panel_name).any()]
    left = [row.panel_name for row in data.preset.rows if row not in rows]
    figure, grid = plot.panel_grid(len(rows), len(SCOPES), (3.1, 1.3), 6.4, len(rows) * len(SCOPES))
    means = mean_metrics(data.curves)
    for i, row in enumerate(rows):
        for axes, (suffix, scope) in zip(grid[i], SCOPES.items(), strict=True):
            for place, (name, label) in enumerate(LINES.items()):
                own = data.curves[(data.curves["panel"] == row.panel_name) & (data.curves["metric"] == f"{name}{suffix}")]
                points = own.assign(x=own["step"] - row.bin_width / 2)
                lines.line(axes, points, "value", STYLES[label], place == 0, (place, len(LINES)))
            if i == 0:
                plot.set_title(axes, scope, 3.0)
            axes.set_ylim(-0.1, 1.05)
            axes.set_yticks([0, 0.5, 1])
            axes.set_xlim(0, row.steps)
            axes.set_xticks([0, row.steps / 2, row.steps])
            plot.step_axis(axes)
            plot.return_axis(axes)
            if i == len(rows) - 1:
                axes.set_xlabel("samples", labelpad=2)
        grid[i, 0].set_ylabel(row.panel_name.replace(", ", "\n"), fontweight="bold")
    keys = [panels.arm_key(label, STYLES[label], place == 0) for place, label in enumerate(LINES.values())]
    widths = " or ".join(sorted({str(row.bin_width) for row in rows}))
    said = [f"Rank correlation with the true utility; means over bins of {widths} samples and over runs."]
    said += [f"Not run yet: {'; '.join(left)}."] if left else []
    plot.below(figure, [keys, panels.spread_keys(data.curves)], [*panels.budget_lines(data), *said])
    return figure, means.reindex(columns=NUMBERS)
