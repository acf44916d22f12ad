"""Draw what the runs of one learner did as a line: seaborn's mean and interval, or each run where there are few.

An interval of two to four seeds is many times what it is about and covers the other learners; such runs are thin lines instead,
with their mean. All intervals of means are 90 % t intervals over seeds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import seaborn
from matplotlib.axes import Axes

from analysis.learner_style import Style, lighter
from analysis.statistics import mean_over_runs

# Up to so many runs are shown one by one.
FEW = 4
# So many markers stand on a line, where it has as many points.
MARKERS = 6
MARKER_SIZE = 4.2
# Markers of equal size look unequal; these are drawn so much larger or smaller.
SIZES = {"*": 1.65, "P": 1.15, "X": 1.15, "D": 0.85, "s": 0.9, "d": 1.1, "o": 1.0}


def t_interval(values: Any) -> tuple[float, float]:
    """Return the ends of the 90 % t interval of a mean over runs, as seaborn asks for them; NaN for one run."""
    mean = mean_over_runs(np.asarray(values, np.float64))
    return mean.mean - mean.ci90, mean.mean + mean.ci90


def line(
    axes: Axes,
    own: pd.DataFrame,
    y: str,
    style: Style,
    strong: bool = False,
    place: tuple[int, int] = (0, 1),
    diverged_at: float | None = None,
    sizes: bool = False,
) -> None:
    """Draw the mean over runs of one learner in a panel, and how sure it is.

    Args:
        axes: the panel. Its y axis must be linear still: on a logarithmic one seaborn averages logarithms.
        own: a row per run and point: `x`, `seed` and the value.
        y: the column of the value.
        style: of the learner.
        strong: draw it in front and thicker.
        place: number of this learner among so many of the panel, so that markers do not stand on each other.
        diverged_at: x at which the first run diverged: from there on the mean is over those that are left, thin after a cross.
        sizes: x is a size and no time: every point has a marker, intervals are bars, and few runs are dots.
    """
    assert axes.get_yscale() == "linear", "seaborn would average transformed values"
    own = own[own[y].notna()]
    if own.empty:
        return
    whole = own if diverged_at is None else own[own["x"] < diverged_at]
    width, order = (1.9, 4.0) if strong else (1.25, 3.0)
    if len(whole):
        few, colour = whole["seed"].nunique() <= FEW, style.colour
        if few and whole["seed"].nunique() > 1:
            common: dict[str, Any] = {"x": "x", "y": y, "color": colour, "alpha": 0.5, "ax": axes, "zorder": order - 1}
            if sizes:
                seaborn.scatterplot(whole, **common, s=7, linewidth=0, legend=False)
            else:
                seaborn.lineplot(whole, **common, units="seed", estimator=None, linewidth=0.5, legend=False)
        every = 1 if sizes else max(round(whole["x"].nunique() / MARKERS), 1)
        bars = {"elinewidth": 0.9, "capsize": 1.6, "capthick": 0.9, "zorder": order}
        seaborn.lineplot(
            whole,
            x="x",
            y=y,
            errorbar=None if few else t_interval,
            err_style="bars" if sizes else "band",
            err_kws=bars if sizes else {"alpha": 0.16, "linewidth": 0, "zorder": order - 2},
            color=colour,
            linewidth=width,
            linestyle=style.linestyle,
            markevery=(round(place[0] * every / place[1]) % every, every),
            **marker(style, strong),
            ax=axes,
            zorder=order,
            legend=False,
        )
    if diverged_at is not None:
        _after_divergence(axes, own, whole, y, style)
    axes.set(xlabel="", ylabel="")  # seaborn writes names of columns there


def marker(style: Style, strong: bool = False, size: float = MARKER_SIZE) -> dict[str, Any]:
    """Return how the filled marker of a learner is drawn."""
    size *= SIZES.get(style.marker, 1.0) * (1.15 if strong else 1.0)
    return {"marker": style.marker, "markersize": size, "markeredgecolor": "white", "markeredgewidth": 0.5}


def hollow(style: Style, size: float = MARKER_SIZE) -> dict[str, Any]:
    """Return how a published value of a learner is drawn: its marker, not filled, in a paler colour."""
    colour = lighter(style.colour, 0.25)
    size *= 0.85 * SIZES.get(style.marker, 1.0)
    return {
        **{"marker": style.marker, "markersize": size, "color": colour, "markeredgecolor": colour},
        **{"markerfacecolor": "white", "markeredgewidth": 0.8},
    }


def _after_divergence(axes: Axes, own: pd.DataFrame, whole: pd.DataFrame, y: str, style: Style) -> None:
    means = own.groupby("x")[y].mean()
    last = whole["x"].max() if len(whole) else means.index[0]
    rest = means[means.index >= last]
    axes.plot(rest.index, rest, color=style.colour, linewidth=0.7, zorder=3)
    if len(whole):
        cross: dict[str, Any] = {"marker": "x", "markersize": 5.5, "markeredgewidth": 1.5}
        axes.plot(last, means[last], color=style.colour, **cross, zorder=6, clip_on=False)
