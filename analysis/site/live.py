"""Runs that go on: what a store holds of the experiments, and reports of what is finished so far.

Nothing is written to `results/`. A report of a preset that is being trained goes to a folder of the site's own, begun with what
`results/` has of it, so that runs which the store does not hold stay in the figure.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from experiments.errors import UserError
from experiments.expand import labelled_runs
from experiments.spec import Experiment
from experiments.store import Store

Build = Callable[[Experiment, str, Store, Path], object]


@dataclass(frozen=True)
class Going:
    """How far a preset is that somebody trains now.

    Attributes:
        running: runs that a living process holds.
        finished: runs that the store holds.
        failed: runs whose last attempt raised.
        asked: all runs of the preset.
        told: why there is no figure of it yet; empty where there is one.
    """

    experiment: Experiment
    preset: str
    running: int
    finished: int
    failed: int
    asked: int
    told: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Return experiment and preset."""
        return self.experiment.name, self.preset


class Watcher:
    """Follows a store: which presets are being trained, and reports of them that are made anew when runs finish."""

    def __init__(self, experiments: Iterable[Experiment], store: Store, results: Path, folder: Path, build: Build) -> None:
        """Follow a store.

        Args:
            experiments: those to follow.
            store: where they are trained.
            results: the checked-in reports, which are only read.
            folder: where reports of what goes on are written.
            build: makes a report of what is finished of a preset: `analysis.report.build`.
        """
        self._store, self._results, self._folder, self._build = store, results, folder, build
        self._presets = [(one, name) for one in experiments for name in one.presets]
        self._followed: list[tuple[Experiment, str]] = []
        self._runs: dict[tuple[str, str], frozenset[str]] = {}
        self._drawn: dict[tuple[str, str], frozenset[str]] = {}

    def look(self) -> list[Going]:
        """Return the presets of which a run goes on, or went on at an earlier look, each with a report of what is finished."""
        claimed = {run_id for run_id in self._store.claimed() if (self._store.claimant(run_id) or {}).get("alive")}
        if claimed:
            # Between two groups nothing runs for a while, and a preset that is finished stays to be seen.
            self._followed += [one for one in self._presets if one not in self._followed and self._asked(*one) & claimed]
        finished, failed = self._store.finished(), self._store.failures()
        found = []
        for experiment, name in self._followed:
            asked = self._asked(experiment, name)
            told = self._draw(experiment, name, asked & finished)
            counts = (len((asked & claimed) - finished), len(asked & finished), len((asked & failed) - finished), len(asked))
            found.append(Going(experiment, name, *counts, told))
        return found

    def _asked(self, experiment: Experiment, name: str) -> frozenset[str]:
        key = (experiment.name, name)
        if key not in self._runs:
            try:
                self._runs[key] = frozenset(run.run_id for _, _, run in labelled_runs(experiment.preset(name)))
            except UserError:  # a preset that cannot be planned here, for want of its data
                self._runs[key] = frozenset()
        return self._runs[key]

    def _draw(self, experiment: Experiment, name: str, finished: frozenset[str]) -> str:
        key = (experiment.name, name)
        if not finished:
            return "no run is finished yet"
        if self._drawn.get(key) == finished:
            return ""
        begun, kept = self._results / experiment.name / name, self._folder / experiment.name / name
        try:
            if begun.is_dir() and not kept.exists():
                shutil.copytree(begun, kept)
            self._build(experiment, name, self._store, self._folder)
        except UserError as error:
            if begun.is_dir():
                return "its figure is that of an earlier report, to which the runs of this store cannot be added"
            return str(error).rstrip(".")
        self._drawn[key] = finished
        return ""
