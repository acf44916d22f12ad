"""Runs are made without the registry, and figures are laid out but not written."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from analysis_support import Draw
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis import plot, report
from experiments import expand
from experiments.spec import Arm, Experiment, Row, Run
from experiments.store import Store


@pytest.fixture(autouse=True)
def plain_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make runs without the registry, which would import the learners."""

    def resolve(row: Row, arm: Arm, seed: int) -> Run:
        hyperparameters = tuple(sorted(arm.hyperparameters.items()))
        return Run(arm.algorithm, hyperparameters, row.env_id, tuple(sorted(row.environment.items())), row.steps_of(arm), seed)

    monkeypatch.setattr(expand, "resolve", resolve)


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Report an experiment and return its figure, laid out as it is saved, and the numbers drawn."""
    figures: list[Figure] = []

    def save(figure: Figure, stem: Path) -> list[Path]:
        FigureCanvasAgg(figure).draw()
        figures.append(figure)
        return []

    def draw(experiment: Experiment, store: Store) -> tuple[Figure, pd.DataFrame]:
        built = report.build(experiment, "quick", store, tmp_path / "results")
        return figures[-1], built.numbers

    monkeypatch.setattr(plot, "save", save)
    return draw
