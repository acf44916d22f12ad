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
from matplotlib.lines import Line2D

from analysis import metrics as bins
from analysis import panels, plot
from analysis.figures import FigureData
from analysis.metrics import MAXIMUM, mean_metrics
from experiments.spec import Row

# Names of metrics, what the legend calls them, and colours: the best strong, what is no utility muted.
LINES = {
    "second_order": ("second order", "#0b5cad"),
    "first_order": ("first order", "#c8601a"),
    "squared_gradient": ("squared gradient", "#2f9e6e"),
    "magnitude": ("magnitude", "#7d55b5"),
    "random": ("random", "#8d949e"),
}
SCOPES = {"": "whole network", "_layerwise": "layer by layer"}
NUMBERS = ["panel", "env_id", "algorithm", "metric", "step", "mean", "ci90", "ci95", "n"]


def metrics(table: Mapping[str, np.ndarray], row: Row, hyperparameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the bins of what is drawn; maxima over ten samples say nothing."""
    return bins.of_run({name: x for name, x in table.items() if not name.endswith(MAXIMUM)}, row, hyperparameters)


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw all panels; return the means drawn."""
    rows = data.preset.rows
    figure, grid = plot.panel_grid(len(rows), len(SCOPES), (3.1, 1.75), 6.4, len(rows) * len(SCOPES))
    means = mean_metrics(data.curves)
    for i, row in enumerate(rows):
        for axes, (suffix, scope) in zip(grid[i], SCOPES.items(), strict=True):
            for name, (_, colour) in LINES.items():
                own = means[(means["panel"] == row.panel_name) & (means["metric"] == f"{name}{suffix}")].sort_values("step")
                x, mean, half = (own[column].to_numpy(float) for column in ("step", "mean", "ci90"))
                plot.band(axes, x, mean, half, colour, name == "second_order")
            plot.set_title(axes, f"{row.panel_name}, {scope}", 3.0)
            axes.set_ylim(-0.3, 1.03)
            axes.set_xlim(0, row.steps)
            plot.step_axis(axes)
            if i == len(rows) - 1:
                axes.set_xlabel("samples", labelpad=2)
        grid[i, 0].set_ylabel("rank correlation")
    keys = [Line2D([], [], color=colour, linewidth=1.5, label=label) for label, colour in LINES.values()]
    widths = " or ".join(sorted({str(row.bin_width) for row in rows}))
    said = f"Means over bins of {widths} samples and over runs; bands: 90 % t intervals."
    plot.below(figure, [keys], [*panels.budget_lines(data), said])
    return figure, means.reindex(columns=NUMBERS)
