"""What is done with each kind of experiment: how runs are binned, summarised, compared, printed, and kept from older reports.

`returns` compares episodic returns, `metrics` what learners recorded about themselves, `measurement` times and sizes, whose
figure reads the store itself. The rest of the analysis asks the object of a kind and has no branches of its own.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group, RenderableType

from analysis import curves, metrics, statistics
from analysis.aggregates import Aggregates, budgets, departures
from analysis.comparison import compare
from analysis.curves import bin_returns, edges
from analysis.figures import FigureData, comparison_of, metrics_of, reads_every_step, table_for_bins, tables_of
from analysis.load import StoredRun
from analysis.published import numbers_for
from analysis.tables import render, render_metrics, table_of
from experiments.errors import UserError
from experiments.spec import Experiment, Kind, Row, Run
from experiments.store import Store


class OfKind(ABC):
    """One kind of experiment.

    Attributes:
        curves: its runs have curves and a summary, by panel and arm.
    """

    curves = True

    @abstractmethod
    def bins(self, experiment: Experiment, row: Row, run: Run, stored: StoredRun, store: Store) -> Any:
        """Return the bins of a finished run, or raise `UserError` where it recorded nothing to bin."""

    @abstractmethod
    def tabulate(self, runs: pd.DataFrame, binned: Mapping[str, Any]) -> pd.DataFrame:
        """Join the bins of runs, by run id, into a tidy frame."""

    @abstractmethod
    def bins_of(self, rows: pd.DataFrame, width: int, steps: int) -> Any | None:
        """Return the bins of a run from its rows in a tidy frame; None where they are not bins of that width."""

    @abstractmethod
    def summarise(self, runs: pd.DataFrame, tidy: pd.DataFrame) -> pd.DataFrame:
        """Summarise each arm of each panel by its last bin."""

    @abstractmethod
    def compare(self, data: FigureData, manifest: Mapping[str, Any]) -> pd.DataFrame:
        """Set our numbers beside the published ones; empty if nothing is published."""

    @abstractmethod
    def comparison_of(self, aggregates: Aggregates) -> pd.DataFrame:
        """Return the same from what a report left."""

    @abstractmethod
    def printed(
        self, comparison: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any], width: int
    ) -> RenderableType:
        """Return the comparison as it is printed."""

    def report(
        self,
        experiment: Experiment,
        comparison: pd.DataFrame,
        summary: pd.DataFrame,
        numbers: pd.DataFrame,
        manifest: Mapping[str, Any],
        width: int,
    ) -> Sequence[RenderableType]:
        """Return what a report prints."""
        return [self.printed(comparison, summary, manifest, width)]

    def can_keep(self, experiment: Experiment) -> bool:
        """Return whether the figure can show runs of which only the bins are left."""
        return self.curves


class Returns(OfKind):
    """Episodic returns, compared with published learning curves."""

    def bins(self, experiment: Experiment, row: Row, run: Run, stored: StoredRun, store: Store) -> Any:
        """Return mean return and number of episodes of each bin; of continuing environments mean reward rate and windows."""
        if row.continuing and stored.rewards:
            return bin_returns(stored.rewards["step"], stored.rewards["reward_rate"], row.bin_width, run.steps)
        if not stored.episodes:
            raise _holds_no("episodes", run, store)
        return bin_returns(stored.episodes["step"], stored.episodes["episodic_return"], row.bin_width, run.steps)

    def tabulate(self, runs: pd.DataFrame, binned: Mapping[str, Any]) -> pd.DataFrame:
        """Join bins; see `analysis.curves`."""
        return curves.tabulate(runs, binned)

    def bins_of(self, rows: pd.DataFrame, width: int, steps: int) -> Any | None:
        """Return the bins of a run from its rows."""
        there = np.array_equal(rows["step"].to_numpy(), edges(width, steps))
        return (rows["mean_return"].to_numpy(np.float64), rows["episodes"].to_numpy(np.int64)) if there else None

    def summarise(self, runs: pd.DataFrame, tidy: pd.DataFrame) -> pd.DataFrame:
        """Summarise arms; see `analysis.statistics`."""
        return statistics.summarise(runs, tidy)

    def compare(self, data: FigureData, manifest: Mapping[str, Any]) -> pd.DataFrame:
        """Compare arms at the checkpoints of their curves."""
        return _compared(data.curves, data.summary, manifest)

    def comparison_of(self, aggregates: Aggregates) -> pd.DataFrame:
        """Compare anew, with what is published by now."""
        return _compared(aggregates.curves, aggregates.summary, aggregates.manifest)

    def printed(
        self, comparison: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any], width: int
    ) -> RenderableType:
        """Return a table per panel."""
        return render(comparison, summary, manifest, width)


class Metrics(OfKind):
    """What learners recorded; the figure's module knows the published numbers."""

    def bins(self, experiment: Experiment, row: Row, run: Run, stored: StoredRun, store: Store) -> Any:
        """Return the bins of every metric."""
        table = {"metrics": stored.metrics, "episodes": stored.episodes}[table_for_bins(experiment)]
        if not table:
            # A learner that diverged at once has told nothing about itself.
            if stored.result["status"] == "diverged":
                return {}
            raise _holds_no("metrics", run, store)
        return metrics_of(experiment)(table, replace(row, steps=run.steps), dict(run.hyperparameters))

    def tabulate(self, runs: pd.DataFrame, binned: Mapping[str, Any]) -> pd.DataFrame:
        """Join bins; see `analysis.metrics`."""
        return metrics.tabulate(runs, binned)

    def bins_of(self, rows: pd.DataFrame, width: int, steps: int) -> Any | None:
        """Return the bins of a run from its rows."""
        found = {}
        for name, own in rows.groupby("metric", sort=False):
            if not np.array_equal(own["step"].to_numpy(), edges(width, steps)):
                return None
            found[str(name)] = own["value"].to_numpy(np.float64)
        return found

    def summarise(self, runs: pd.DataFrame, tidy: pd.DataFrame) -> pd.DataFrame:
        """Summarise metrics of arms; see `analysis.metrics`."""
        return metrics.summarise(runs, tidy)

    def compare(self, data: FigureData, manifest: Mapping[str, Any]) -> pd.DataFrame:
        """Compare as the figure's module does."""
        return comparison_of(data.experiment)(data)

    def comparison_of(self, aggregates: Aggregates) -> pd.DataFrame:
        """Read what the report wrote."""
        return aggregates.comparison

    def printed(
        self, comparison: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any], width: int
    ) -> RenderableType:
        """Return a table per panel."""
        return render_metrics(comparison, summary, manifest)

    def can_keep(self, experiment: Experiment) -> bool:
        """Return whether the figure is drawn from bins alone."""
        return not reads_every_step(experiment)


class Measurement(OfKind):
    """Times and sizes. Nothing is binned, and nothing kept from older reports: a measurement can be taken anew."""

    curves = False

    def bins(self, experiment: Experiment, row: Row, run: Run, stored: StoredRun, store: Store) -> Any:
        """Return nothing."""
        return None

    def tabulate(self, runs: pd.DataFrame, binned: Mapping[str, Any]) -> pd.DataFrame:
        """Return an empty frame."""
        return pd.DataFrame()

    def bins_of(self, rows: pd.DataFrame, width: int, steps: int) -> Any | None:
        """Return nothing."""
        return None

    def summarise(self, runs: pd.DataFrame, tidy: pd.DataFrame) -> pd.DataFrame:
        """Return an empty frame."""
        return pd.DataFrame()

    def compare(self, data: FigureData, manifest: Mapping[str, Any]) -> pd.DataFrame:
        """Return an empty frame."""
        return pd.DataFrame()

    def comparison_of(self, aggregates: Aggregates) -> pd.DataFrame:
        """Return an empty frame."""
        return pd.DataFrame()

    def printed(
        self, comparison: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any], width: int
    ) -> RenderableType:
        """Return nothing to print."""
        return Group()

    def report(
        self,
        experiment: Experiment,
        comparison: pd.DataFrame,
        summary: pd.DataFrame,
        numbers: pd.DataFrame,
        manifest: Mapping[str, Any],
        width: int,
    ) -> Sequence[RenderableType]:
        """Return the tables that the figure's module makes of its numbers."""
        return [table_of(frame, title) for title, frame in tables_of(experiment)(numbers)]


def _compared(tidy: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    return compare(tidy, summary, budgets(manifest), numbers_for(manifest["source"]), departures(manifest))


def _holds_no(what: str, run: Run, store: Store) -> UserError:
    folder = store.finished_path / run.run_id
    return UserError(f"{run.run_id} holds no {what}; remove the folder {folder} and run the experiment again.")


KINDS: dict[Kind, OfKind] = {"returns": Returns(), "metrics": Metrics(), "measurement": Measurement()}
