"""One panel of learning curves per row, an environment or one form of it: Stream-X Figures 3 to 8 and 11 to 14.

Panels and arms stand in the order of the preset's rows. Where the paper draws a result of the literature as a dashed line
(DQN on MinAtar and Atari), so do we; Atari's x axis is in frames, four to an agent step, as in the paper.
"""

from __future__ import annotations

import math

import pandas as pd
from matplotlib.figure import Figure

from analysis import panels, plot
from analysis.figures import FigureData
from analysis.learner_style import styles
from analysis.published import numbers_for
from analysis.published.names import paper_name
from analysis.statistics import mean_curves

PANEL_WIDTH, PANEL_HEIGHT = 2.15, 1.85
NARROWEST = 4.6
MOST_COLUMNS = 4
# Numbers of panels that fill rows of three better than rows of four.
THREE_COLUMNS = (5, 6, 9)


def columns_for(panels_there: int) -> int:
    """Return how many panels stand side by side: four as in the paper, fewer where there are fewer."""
    return 3 if panels_there in THREE_COLUMNS else min(panels_there, MOST_COLUMNS)


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw mean returns with 90 % t bands, or single runs, and the published curves behind them; return the numbers drawn."""
    rows = data.preset.rows
    columns = columns_for(len(rows))
    lines = math.ceil(len(rows) / columns)
    figure, grid = plot.panel_grid(lines, columns, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, len(rows))

    looks = styles([[arm.label for arm in row.arms] for row in rows])
    means, theirs = mean_curves(data.curves), numbers_for(data.experiment.source)
    numbers = []
    for i, (axes, row) in enumerate(zip(grid.flat, rows, strict=False)):
        numbers.append(panels.curves(axes, row, data.curves, means, data.runs, looks, theirs, reference=True))
        plot.set_title(axes, paper_name(row.panel_name))
        if i + columns < len(rows):
            axes.set_xlabel("")  # said once, below the lowest panel of each column
        if row.continuing:
            axes.set_ylabel("reward per step")
        elif i % columns == 0:
            axes.set_ylabel("return")
    drawn = pd.concat([table for table in numbers if len(table)] or numbers[:1], ignore_index=True)
    keys = [panels.arm_keys(rows, looks), panels.line_keys(drawn, data.curves)]
    plot.below(figure, keys, [*panels.budget_lines(data), *panels.divergence_lines(data.summary)])
    return figure, drawn
