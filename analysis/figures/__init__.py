"""One module per published figure, found by the name in `Experiment.figure`.

A figure module defines

    draw(data: FigureData) -> tuple[Figure, pandas.DataFrame]

which returns the figure and the numbers it shows, and touches no file: `analysis.report` saves both. Figures of learning
draw `data.curves` and `data.summary`. Those of a measurement (`Experiment.measurement`) find both empty and read the tables
of the runs listed in `data.runs` from `data.store` themselves; their numbers are what the report prints.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

from experiments.errors import UserError
from experiments.spec import Experiment, Preset
from experiments.store import Store


@dataclass(frozen=True)
class FigureData:
    """All that a figure may be drawn from.

    Attributes:
        preset: as it was run, overrides included; `experiment.presets` holds the originals.
        runs: every run asked for, with its status (`analysis.load`).
        curves: per-run binned returns (`analysis.curves`).
        summary: one row per arm and environment (`analysis.statistics.summarise`).
    """

    experiment: Experiment
    preset: Preset
    store: Store
    runs: pd.DataFrame
    curves: pd.DataFrame
    summary: pd.DataFrame


Draw = Callable[[FigureData], tuple[Figure, pd.DataFrame]]


def drawer(experiment: Experiment) -> Draw:
    """Return the function that draws an experiment's figure."""
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if experiment.figure not in known:
        raise UserError(
            f"{experiment.name} names the figure {experiment.figure!r}, but analysis/figures has no such module; "
            f"it has {', '.join(known)}."
        )
    draw: Draw = importlib.import_module(f"analysis.figures.{experiment.figure}").draw
    return draw
