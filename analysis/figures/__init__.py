"""One module per published figure, found by the name in `Experiment.figure`.

A figure module defines

    draw(data: FigureData) -> tuple[Figure, pandas.DataFrame]

which returns the figure and the numbers it shows, and touches no file: `analysis.report` saves both. Figures of learning
draw `data.curves` and `data.summary`. Those of a `measurement` find both empty and read the tables of the runs listed in
`data.runs` from `data.store` themselves; their numbers are what the report prints, unless they define

    tables(numbers: pandas.DataFrame) -> list[tuple[str, pandas.DataFrame]]    what to print instead, under titles

Figures of `metrics`, what learners recorded about themselves, find the bins of `analysis.metrics` there. Their modules may
define as well

    metrics(table, row, hyperparameters) -> dict[str, numpy.ndarray]    other bins than `analysis.metrics.of_run`
    comparison(data: FigureData) -> pandas.DataFrame                    our numbers beside those in its column `published`
    TABLE = "episodes"                                                  the bins are made of another table than `metrics`
    EVERY_STEP = True                                                   it reads the tables `metrics` themselves from the store

A module whose figure needs more than the curves can offer to draw it again from the numbers that it returned

    redraw(numbers: pandas.DataFrame, data: FigureData) -> Figure    `data` without a store

Runs that an earlier report left (`analysis.kept`) have bins and a status, and are in no store.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis import metrics
from experiments.errors import UserError
from experiments.spec import Experiment, Preset, Row
from experiments.store import Store


@dataclass(frozen=True)
class FigureData:
    """All that a figure may be drawn from.

    Attributes:
        preset: as it was run, overrides included; `experiment.presets` holds the originals.
        runs: every run asked for, with its status (`analysis.load`).
        curves: per-run binned returns (`analysis.curves`), or binned metrics (`analysis.metrics`).
        summary: one row per arm and panel (`analysis.statistics.summarise`), or one per metric of these.
    """

    experiment: Experiment
    preset: Preset
    store: Store
    runs: pd.DataFrame
    curves: pd.DataFrame
    summary: pd.DataFrame


Draw = Callable[[FigureData], tuple[Figure, pd.DataFrame]]
Metrics = Callable[[Mapping[str, np.ndarray], Row, Mapping[str, Any]], dict[str, np.ndarray]]


def drawer(experiment: Experiment) -> Draw:
    """Return the function that draws an experiment's figure."""
    draw: Draw = _module(experiment).draw
    return draw


def metrics_of(experiment: Experiment) -> Metrics:
    """Return the function that makes bins of what a run recorded."""
    bins: Metrics = getattr(_module(experiment), "metrics", metrics.of_run)
    return bins


def comparison_of(experiment: Experiment) -> Callable[[FigureData], pd.DataFrame]:
    """Return the function that sets what runs recorded beside what was published; its table is empty if nothing was."""
    compare: Callable[[FigureData], pd.DataFrame] = getattr(_module(experiment), "comparison", lambda data: pd.DataFrame())
    return compare


def tables_of(experiment: Experiment) -> Callable[[pd.DataFrame], list[tuple[str, pd.DataFrame]]]:
    """Return the function that makes of a measurement's numbers the tables that are printed, each with a title."""
    tables: Callable[[pd.DataFrame], list[tuple[str, pd.DataFrame]]] = getattr(
        _module(experiment), "tables", lambda numbers: [(experiment.title, numbers)]
    )
    return tables


def table_for_bins(experiment: Experiment) -> str:
    """Return the table of a run that a figure of metrics makes its bins of."""
    return str(getattr(_module(experiment), "TABLE", "metrics"))


def from_numbers(experiment: Experiment) -> Callable[[pd.DataFrame, FigureData], Figure] | None:
    """Return the function that draws a figure again from its numbers, or None where it is drawn from curves."""
    again: Callable[[pd.DataFrame, FigureData], Figure] | None = getattr(_module(experiment), "redraw", None)
    return again


def reads_every_step(experiment: Experiment) -> bool:
    """Return whether a figure of metrics needs the runs themselves, which only the store holds."""
    return bool(getattr(_module(experiment), "EVERY_STEP", False))


def _module(experiment: Experiment) -> ModuleType:
    known = sorted(module.name for module in pkgutil.iter_modules(__path__))
    if experiment.figure not in known:
        raise UserError(
            f"{experiment.name} names the figure {experiment.figure!r}, but analysis/figures has no such module; "
            f"it has {', '.join(known)}."
        )
    return importlib.import_module(f"analysis.figures.{experiment.figure}")
