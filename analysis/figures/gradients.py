"""AVG Figure 5: how long the gradients of actor and critic are, on average and at most.

Panels as in `analysis.figures.overshooting`: means over runs of a bin's mean and of its largest value, with 90 % t bands. Where
the largest is far above the mean, gradients are noisy. The paper draws the return beside them, which is in the figures of
learning curves here.
"""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis.figures import FigureData
from analysis.figures.overshooting import draw_metrics

TITLES = {
    "actor_gradient_norm": "actor, mean",
    "actor_gradient_norm_max": "actor, largest",
    "critic_gradient_norm": "critic, mean",
    "critic_gradient_norm_max": "critic, largest",
}


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw both gradients of every environment; return the means drawn."""
    return draw_metrics(data, tuple(TITLES), TITLES, most_columns=2)
