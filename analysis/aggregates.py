"""Read what reports left in `results/NAME/PRESET/`, older ones too; none of this needs the run store."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.budget import Budget
from analysis.load import with_panels
from experiments import catalog
from experiments.errors import UserError
from experiments.spec import Kind
from experiments.specs.simulator import PUBLISHED

# Written by hand; no command changes them.
FINDING = "finding.txt"
REASONS = "different.toml"
REASON_LINE = 'a line is "ARM on PANEL" = "why"'


@dataclass(frozen=True)
class Aggregates:
    """What `results/NAME/PRESET` holds of a report. The frames of a measurement are empty."""

    folder: Path
    curves: pd.DataFrame
    summary: pd.DataFrame
    manifest: dict[str, Any]

    @property
    def kind(self) -> Kind:
        """Return what kind of experiment it is of."""
        return kind_of(self.manifest)

    @property
    def comparison(self) -> pd.DataFrame:
        """Read the comparison that was written; empty if nothing was published."""
        path = self.folder / "compare.csv"
        return with_panels(pd.read_csv(path)) if path.exists() else pd.DataFrame()

    @property
    def finding(self) -> str:
        """Return what somebody wrote about the result; empty if nobody did."""
        path = self.folder / FINDING
        return path.read_text().strip() if path.exists() else ""

    @property
    def reasons(self) -> dict[str, str]:
        """Return by "ARM on PANEL" what somebody wrote about why it came out differently."""
        path = self.folder / REASONS
        try:
            found = tomllib.loads(path.read_text()) if path.exists() else {}
        except tomllib.TOMLDecodeError as error:
            raise UserError(f"{path} is not TOML ({error}); {REASON_LINE}.") from None
        if wrong := [name for name, why in found.items() if not isinstance(why, str)]:
            raise UserError(f"{path} has no words for {wrong[0]!r}; {REASON_LINE}.")
        return found


def read_aggregates(folder: Path) -> Aggregates:
    """Read what a report wrote."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if kind_of(manifest) == "measurement":
            return Aggregates(folder, pd.DataFrame(), pd.DataFrame(), manifest)
        curves, summary = pd.read_parquet(folder / "curves.parquet"), pd.read_csv(folder / "summary.csv")
        return Aggregates(folder, with_panels(curves), with_panels(summary), manifest)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing; draw {folder} again with `python -m analysis.report`.") from None
    except (ValueError, KeyError) as error:  # also of pyarrow, pandas and json; of a manifest that is another's
        raise UserError(f"{folder} cannot be read ({error}); draw it again with `python -m analysis.report`.") from None


def frame(name: str, preset: str, results: Path = Path("results")) -> pd.DataFrame:
    """Return the learning curves of a result as one tidy frame, a row per run and bin, as seaborn likes it.

    Columns: panel, env_id, algorithm (the label of the arm), seed, step (right edge of the bin), mean_return, episodes, and
    `diverged`, true for every row of a run that left the finite numbers. Raise `UserError` where there is no such result.
    """
    (folder,) = folders(name, results, preset)
    found = read_aggregates(folder)
    if found.kind != "returns":
        raise UserError(f"{name} has no returns; what it holds is in {folder}.")
    lost = {(run["panel"], run["algorithm"], run["seed"]) for run in found.manifest.get("diverged_runs", [])}
    keys = found.curves[["panel", "algorithm", "seed"]].itertuples(index=False, name=None)
    return found.curves.assign(diverged=[key in lost for key in keys])


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """Return what kind of experiment a report is of; older manifests say it in two words of yes and no."""
    if "kind" in manifest:
        kind: Kind = manifest["kind"]
        return kind
    return "measurement" if manifest["measurement"] else "returns" if manifest.get("returns", True) else "metrics"


def panel_of(row: Mapping[str, Any]) -> str:
    """Return the panel of a row of a manifest."""
    return str(row.get("panel") or row["env_id"])


def budgets(manifest: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    """Return by panel the steps and seeds of the published protocol, as the manifest has them."""
    return {panel_of(row): row["paper"] for row in manifest["rows"] if row["paper"]}


def paper_budgets(manifest: Mapping[str, Any]) -> dict[str, Budget | None]:
    """Return the same as records."""
    return {panel: Budget(**budget) for panel, budget in budgets(manifest).items()}


def folders(name: str, results: Path, preset: str | None) -> list[Path]:
    """Return the report folders of an experiment: the one asked for, or all that were not customised."""
    base = results / name
    there = (
        sorted(p.name for p in base.iterdir() if p.name[0] != "." and (p / "manifest.json").exists()) if base.is_dir() else []
    )
    if not there:
        catalog.load_experiment(name)  # says so if the name is wrong
        raise UserError(
            f"there are no results of {name} in {results}; make some with `python -m experiments.run {name}` "
            f"and `python -m analysis.report {name} --preset PRESET`."
        )
    chosen = [preset] if preset is not None else [folder for folder in there if "+" not in folder] or there
    if chosen[0] not in there:
        raise UserError(f"there are no results of {name} for {preset!r} in {results}; there are {', '.join(there)}.")
    return [base / folder for folder in chosen]


def departures(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return by panel in which way it was not run as published, where numbers cannot be set side by side for it."""
    found = {}
    for row in manifest["rows"]:
        published = PUBLISHED.get(row["env_id"], {})
        if any(row["environment"].get(key) != value for key, value in published.items()):
            found[panel_of(row)] = "simulator"
        if row.get("differs") or row["environment"].get("continuing"):
            found[panel_of(row)] = "protocol"
    return found
