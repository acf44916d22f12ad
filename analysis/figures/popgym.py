"""RTU Figure 2: learning curves on POPGym's tasks, between what a perfect memory and random choice can expect.

The two lines are our own numbers: an oracle that plays as well as the task allows, or for HigherLower and Concentration as
well as we know how, and the mean of random choice. The published curves are points at 0.2M, 2.6M and 5M frames, drawn where
our budget reaches two of them; the paper's line without memory, FFN, stands where it is published.
"""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import panels, plot
from analysis.figures import FigureData
from analysis.figures.learning_curves import NARROWEST, PANEL_HEIGHT, PANEL_WIDTH, columns_for
from analysis.learner_style import STYLES, styles
from analysis.plot import INK, MUTED
from analysis.published import numbers_for, rtu
from analysis.statistics import mean_curves

# Of what a task allows: what is drawn, and what it is called.
LINES = {"oracle": (INK, (0, (6, 1.5, 1, 1.5))), "random": (MUTED, (0, (6, 1.5, 1, 1.5)))}
WORDS = {"oracle": "perfect memory", "random": "random choice"}
FFN = "without memory (FFN), published"


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw mean returns with 90 % t bands between the lines; return the numbers drawn."""
    rows = data.preset.rows
    columns = columns_for(len(rows))
    lines = -(-len(rows) // columns)
    figure, grid = plot.panel_grid(lines, columns, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, len(rows))
    looks = styles([[arm.label for arm in row.arms] for row in rows])
    means, theirs = mean_curves(data.curves), numbers_for(data.experiment.source)
    numbers = []
    for i, (axes, row) in enumerate(zip(grid.flat, rows, strict=False)):
        numbers.append(panels.curves(axes, row, data.curves, means, data.runs, looks, theirs))
        numbers.append(_lines(axes, row.env_id, row.panel_name, theirs.reference(row.env_id)))
        plot.set_title(axes, row.panel_name.removeprefix("popgym-").removesuffix("Easy-v0"))
        if i + columns < len(rows):
            axes.set_xlabel("")
        if i % columns == 0:
            axes.set_ylabel("return")
    drawn = pd.concat([table for table in numbers if len(table)], ignore_index=True)
    keys: list[Any] = [
        Line2D([], [], color=colour, linestyle=dashes, label=WORDS[name]) for name, (colour, dashes) in LINES.items()
    ]
    if FFN in set(drawn["algorithm"]):
        keys.append(Line2D([], [], color=STYLES["FFN"].colour, linewidth=0.9, linestyle=panels.LONG_DASHES, label=FFN))
    said = "Memory and chance: our numbers. Published (RTU, Fig. 2): interquartile means, partly of other environments."
    below = [*panels.budget_lines(data), said, *panels.divergence_lines(data.summary)]
    plot.below(figure, [panels.arm_keys(rows, looks), [*panels.line_keys(drawn, data.curves), *keys]], below)
    return figure, drawn


def _lines(axes: Axes, env_id: str, panel: str, published: tuple[str, float] | None) -> pd.DataFrame:
    """Draw what is known of a task beside curves, and make room for it."""
    values = dict(zip(LINES, rtu.LIMITS.get(env_id, ()), strict=False))
    for name, value in values.items():
        colour, dashes = LINES[name]
        axes.axhline(value, color=colour, linestyle=dashes, linewidth=1.0, zorder=2.5)
    if published is not None:
        values[FFN] = published[1]
        axes.axhline(published[1], color=STYLES["FFN"].colour, linestyle=panels.LONG_DASHES, linewidth=0.9, zorder=2.5)
    if values:
        low, high = axes.get_ylim()
        low, high = min(low, *values.values()), max(high, *values.values())
        room = 0.04 * (high - low)
        axes.set_ylim(low - room, high + room)
    drawn = pd.DataFrame({"part": "line", "algorithm": list(values), "value": list(values.values())})
    return drawn.assign(panel=panel, env_id=env_id).reindex(columns=panels.NUMBERS)
