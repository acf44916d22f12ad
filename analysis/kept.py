"""Runs of an earlier report that the store does not hold: a store stays on its machine, checked-in aggregates do not.

A run is kept where the new preset asks for the very same run, by its id, in the same bins. Which rows of the aggregates are
its own, the earlier manifest tells: its rows and arms are expanded into runs again.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.aggregates import panel_of, read_aggregates
from analysis.kinds import OfKind
from experiments.errors import UserError
from experiments.expand import labelled_runs
from experiments.spec import Arm, Experiment, Preset, Row


@dataclass(frozen=True)
class Kept:
    """What is taken over from an earlier report.

    Attributes:
        results: by run id how the run ended, as the store would say it.
        bins: by run id its bins.
        origins: what made the runs, as in a manifest.
        left_out: ids of earlier runs, not in the store, that the preset does not ask for, or in other bins.
    """

    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    bins: dict[str, Any] = field(default_factory=dict)
    origins: list[dict[str, Any]] = field(default_factory=list)
    left_out: tuple[str, ...] = ()


def keep(folder: Path, kind: OfKind, experiment: Experiment, planned: pd.DataFrame, stored: Collection[str]) -> Kept:
    """Take over the runs of the report in a folder that the store does not hold.

    Args:
        folder: of the report; there may be none yet.
        kind: that of the experiment.
        experiment: what is reported.
        planned: the runs that the new report asks for.
        stored: ids of those that the store holds.

    Raises:
        UserError: the earlier report cannot be read, or the figure cannot be drawn from aggregates.
    """
    path = folder / "manifest.json"
    if not kind.curves or not path.exists():
        return Kept()
    try:
        manifest = json.loads(path.read_text())
        absent = [run_id for run_id in manifest["runs"] if run_id not in stored]
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} cannot be read ({error}), so its runs would be lost; restore or remove the folder.") from None
    if not absent:
        return Kept()
    wanted = planned.drop_duplicates("run_id").set_index("run_id")
    places = _places(manifest)
    same = [run_id for run_id in absent if run_id in wanted.index and run_id in places]
    if same and not kind.can_keep(experiment):
        raise UserError(
            f"{folder} holds {len(same)} runs that the store does not, and the figure of {experiment.name} needs every step of "
            "them; train them in this store too, or write to another folder with --results."
        )
    rows = dict(iter(_curves(folder).groupby(["panel", "algorithm", "seed"], sort=False))) if same else {}
    lost = manifest.get("diverged_at", {})
    kept = Kept()
    for run_id in same:
        run = wanted.loc[run_id]
        own, diverged = rows.get(places[run_id]), run_id in manifest["diverged"]
        if own is None and not diverged:
            raise UserError(f"{folder} has no curve of {run_id}, which its manifest lists; restore or remove {folder}.")
        bins = {} if own is None else kind.bins_of(own, int(run["bin_width"]), int(run["steps"]))
        if bins is None:
            continue
        at = lost.get(run_id, int(own["step"].max()) if own is not None else 0) if diverged else None
        kept.bins[run_id] = bins
        kept.results[run_id] = {
            "status": "diverged" if diverged else "finished",
            "steps": int(run["steps"]) if at is None else at,
            "diverged_at": at,
        }
    left_out = tuple(run_id for run_id in absent if run_id not in kept.results)
    return Kept(kept.results, kept.bins, _origins(manifest, kept.results), left_out)


def _curves(folder: Path) -> pd.DataFrame:
    try:
        return read_aggregates(folder).curves
    except UserError:
        raise UserError(
            f"{folder} cannot be read, so runs that only it holds would be lost; restore or remove the folder."
        ) from None


def _places(manifest: Mapping[str, Any]) -> dict[str, tuple[str, str, int]]:
    """Return by run id panel, arm and seed under which a report has the rows of a run."""
    found: dict[str, tuple[str, str, int]] = {}
    for row in manifest["rows"]:
        for known in row["arms"]:
            arm = Arm(known["label"], known["algorithm"], known["hyperparameters"])
            alone = Row(
                row["env_id"],
                (arm,),
                steps=known.get("steps", row["steps"]),
                seeds=known["seeds"],
                bin_width=row["bin_width"],
                environment=row["environment"],
                first_seed=row.get("first_seed", 0),
                chosen_seeds=tuple(row.get("chosen_seeds", ())),
            )
            try:
                runs = labelled_runs(Preset("", (alone,)))
            except UserError:  # an option that is no more: whatever the run was, it is none of today's
                continue
            found |= {run.run_id: (panel_of(row), arm.label, run.seed) for _, _, run in runs}
    return found


def _origins(manifest: Mapping[str, Any], kept: Collection[str]) -> list[dict[str, Any]]:
    """Return what made the kept runs; older manifests tell it of all their runs together."""
    whole = {"runs": manifest["runs"], **{name: manifest.get(name) or [] for name in ("code", "machines", "packages")}}
    origins = manifest.get("origins") or [{**whole, "date": manifest.get("date")}]
    found = [{**origin, "runs": [run_id for run_id in origin["runs"] if run_id in kept]} for origin in origins]
    return [origin for origin in found if origin["runs"]]
