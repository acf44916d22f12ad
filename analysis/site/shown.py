"""What the site says of a report and of an experiment: state, budget, verdicts, what is missing and what differs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.aggregates import Aggregates, budgets, departures, paper_budgets, read_aggregates
from analysis.budget import sentences, stated
from analysis.commands import command
from analysis.differences import Difference, differences, judged
from analysis.figures import tables_of
from analysis.kinds import KINDS
from analysis.published.names import STAND_INS, paper_name
from analysis.site import inventory, tables, text
from analysis.site.tables import Table
from analysis.verdicts import INSIDE, UNDECIDED, WITHIN
from experiments.errors import UserError
from experiments.spec import Experiment

FULL, PART, OTHER, NONE = "in full", "in part", "other data", "not run"
ABSENT, NOTHING = "no experiment", "nothing to run"
STATES = {
    FULL: "steps, seeds and panels of the paper, or of our own full protocol",
    PART: "fewer steps, seeds or panels than the paper",
    OTHER: "run from end to end on data that take the place of the paper's, and say nothing about its results",
    NONE: "an experiment, of which nothing has been trained",
    ABSENT: "no experiment yet, or none possible here",
    NOTHING: "a drawing",
}
VERDICTS = {
    INSIDE: "ours minus the paper's lies within the joint 90 % interval, reading error included, and that interval is narrower "
    "than what was learnt",
    WITHIN: "small on the task's own scale: under 10 % of what the paper's agent learnt, or under 2 % of the task's range",
    "below": "ours is lower, by more than both",
    "above": "ours is higher, by more than both",
    UNDECIDED: "with so few seeds the interval would also hold an agent that learnt nothing",
    "not comparable": "the paper shows nothing at this step (budget), or it was run by another simulator or protocol",
}


@dataclass(frozen=True)
class Shown:
    """One folder of results, and what the site says of it."""

    experiment: Experiment
    report: Aggregates

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Return the manifest."""
        return self.report.manifest

    @property
    def folder(self) -> Path:
        """Return the folder."""
        return self.report.folder

    @property
    def preset(self) -> str:
        """Return the name of the folder: the preset, and what was changed in it."""
        return self.report.folder.name

    @property
    def customised(self) -> bool:
        """Return whether something of the preset was changed."""
        return any(self.manifest.get(key) for key in ("settings", "seeds", "learners"))

    @cached_property
    def finding(self) -> str:
        """Return what somebody wrote about it; empty if nobody did."""
        return self.report.finding

    @cached_property
    def comparison(self) -> pd.DataFrame:
        """Return ours beside the published numbers, as they are published by now."""
        return KINDS[self.report.kind].comparison_of(self.report)

    @property
    def image(self) -> Path:
        """Return the figure."""
        return self.folder / "figures" / f"{self.experiment.name}.png"

    @property
    def alternative(self) -> str:
        """Return what the figure shows, for who cannot see it."""
        said = text.first_sentence(self.finding) if self.finding else f"Panels: {', '.join(self.panels)}."
        return f"{self.manifest['title']}, preset {self.preset}. {said}"

    @property
    def panels(self) -> list[str]:
        """Return the panels."""
        return [paper_name(str(row.get("panel") or row["env_id"])) for row in self.manifest["rows"]]

    # State

    @cached_property
    def missing(self) -> list[str]:
        """Return in words which runs are not there: missing, failed, diverged."""
        told = []
        if len(self.report.summary):
            arms = self.report.summary.drop_duplicates(["panel", "algorithm"])
            for panel, rows in arms.groupby("panel", sort=False):
                gone = [f"{a.algorithm} {a.planned - a.seeds} of {a.planned}" for a in rows.itertuples() if a.seeds < a.planned]
                lost = [f"{a.algorithm} {a.diverged} of {a.seeds}" for a in rows.itertuples() if a.diverged]
                told += [f"{paper_name(str(panel))}, runs not finished: {', '.join(gone)}."] if gone else []
                told += [f"{paper_name(str(panel))}, runs that diverged: {', '.join(lost)}."] if lost else []
        elif self.manifest["missing"]:
            told.append(f"{len(self.manifest['missing'])} measurements are not taken.")
        if self.manifest["failed"]:
            told.append(
                f"{len(self.manifest['failed'])} runs failed: {'; '.join(sorted(set(self.manifest['failed'].values())))}."
            )
        return told

    @cached_property
    def state(self) -> str:
        """Return whether it is all that the paper has, or a part."""
        paper = self.experiment.presets.get("paper")
        stand_ins = set(STAND_INS) - {row.env_id for row in (paper.rows if paper else ())}
        if any(row["environment"].get("data_sha256") or row["env_id"] in stand_ins for row in self.manifest["rows"]):
            return OTHER
        if self.customised or self.manifest["missing"] or self.manifest["failed"]:
            return PART
        wanted = {row.panel_name for row in paper.rows} if paper else set()
        ours = {str(row.get("panel") or row["env_id"]) for row in self.manifest["rows"]}
        if not wanted <= ours:
            return PART
        if self.report.summary.empty:
            return FULL if self.preset == "paper" else PART
        known = budgets(self.manifest)
        arms = self.report.summary
        enough = all(
            (budget := known.get(arm.panel)) is not None and arm.steps >= budget["steps"] and arm.seeds >= budget["seeds"]
            for arm in arms.itertuples()
        )
        return FULL if enough else PART

    @property
    def size(self) -> tuple[bool, int, int]:
        """Return by what the largest of several reports is found: not customised, longest, most runs."""
        steps = int(self.report.summary["steps"].max()) if len(self.report.summary) else 0
        return not self.customised, steps, len(self.manifest["runs"])

    @property
    def budget(self) -> list[str]:
        """Return the budget in sentences."""
        if self.report.summary.empty:
            return []
        return sentences(self.report.summary, paper_budgets(self.manifest))

    @property
    def short_budget(self) -> str:
        """Return the budget of the longest panel that has runs."""
        summary = self.report.summary
        there = summary[summary["seeds"] > 0] if len(summary) else summary
        if there.empty:
            return ""
        panel = there.loc[there["steps"].idxmax(), "panel"]
        return stated(there[there["panel"] == panel], paper_budgets(self.manifest).get(panel))

    # Beside the paper

    @cached_property
    def last(self) -> pd.DataFrame:
        """Return the last checkpoint of every arm that is compared by returns."""
        return tables.last_rows(self.comparison) if "verdict" in self.comparison else pd.DataFrame()

    @property
    def verdicts(self) -> Counter[str]:
        """Count the last verdicts of its arms."""
        return Counter(judged(self.comparison)["verdict"])

    @property
    def differences(self) -> list[Difference]:
        """Return the arms that came out differently."""
        return differences(self.report, self.comparison)

    @cached_property
    def tables(self) -> list[Table]:
        """Return the tables that stand first: the end of every arm."""
        if self.report.kind == "measurement":
            return [tables.of_frame(frame, title) for title, frame in self._measured()]
        if self.report.kind == "returns":
            caption = "Mean return at the last checkpoint of each learner, beside the paper's"
            return [tables.of_returns(self.last, caption)]
        if len(self.comparison):
            return [tables.of_frame(self.comparison, "Ours beside the published numbers", ["panel", "env_id", "algorithm"])]
        return [tables.of_metrics(self.report)]

    @cached_property
    def all_checkpoints(self) -> Table | None:
        """Return returns at every checkpoint, where there are more than the last."""
        if self.report.kind != "returns" or len(self.comparison) == len(self.last):
            return None
        return tables.of_returns(self.comparison, "Mean return at every checkpoint, beside the paper's")

    def _measured(self) -> list[tuple[str, pd.DataFrame]]:
        numbers = pd.read_csv(self.image.with_suffix(".csv"))
        words = numbers.select_dtypes(exclude="number").columns
        numbers[words] = numbers[words].fillna("")  # as the figure's module left them
        try:
            return tables_of(self.experiment)(numbers)
        except (KeyError, ValueError):  # an older report, which the module of today cannot read
            return [(self.experiment.title, numbers)]

    # Deviations and origin

    @property
    def deviations(self) -> list[str]:
        """Return in which ways it was not run as published, as the manifest and the spec know it."""
        found = []
        by_reason: dict[str, list[str]] = {}
        told = {str(row.get("panel") or row["env_id"]): row.get("differs", "") for row in self.manifest["rows"]}
        for panel, reason in departures(self.manifest).items():
            words = (
                f"not run as published: {told[panel]}"
                if reason == "protocol"
                else "simulated with another rule for contacts than in the simulator of the paper (`contact_margin`)"
            )
            by_reason.setdefault(words, []).append(paper_name(panel))
        found += [f"{', '.join(panels)}: {words}." for words, panels in by_reason.items()]
        paper = self.experiment.presets.get("paper")
        known = {name for row in paper.rows for name in (row.panel_name, row.env_id)} if paper else set()
        new = [
            paper_name(str(row.get("panel") or row["env_id"]))
            for row in self.manifest["rows"]
            if known and inventory.paper_of(self.experiment.source) and known.isdisjoint((row.get("panel"), row["env_id"]))
        ]
        found += [f"Not a panel of the published figure: {', '.join(new)}."] if new else []
        changed = {
            **self.manifest.get("settings", {}),
            **({"seeds": self.manifest["seeds"]} if self.manifest.get("seeds") else {}),
            **({"more learners": ", ".join(self.manifest["learners"])} if self.manifest.get("learners") else {}),
        }
        found += (
            [f"Changed in the preset: {', '.join(f'{key} = {value}' for key, value in changed.items())}."] if changed else []
        )
        return found

    @property
    def arms(self) -> list[tuple[str, str, str]]:
        """Return label, learner and what it sets differently, of every arm, once."""
        found: dict[tuple[str, str, str], None] = {}
        for row in self.manifest["rows"]:
            for arm in row["arms"]:
                settings = ", ".join(f"{key} = {_value(value)}" for key, value in arm["hyperparameters"].items())
                found[arm["label"], arm["algorithm"], settings] = None
        return list(found)

    @property
    def origins(self) -> list[tuple[str, str]]:
        """Return where its runs come from: date, versions of the code, machines, packages."""
        manifest = self.manifest
        code = [
            f"{str(version.get('commit') or 'unknown')[:12]}{' with changes' if version.get('dirty') else ''}"
            + (f" ({version['runs']} runs)" if "runs" in version else "")
            for version in manifest["code"]
        ]
        machines = [
            f"{m.get('processor', '?')}, {m.get('cores', '?')} cores, {m.get('system', '')}".rstrip(", ")
            for m in manifest["machines"]
        ]
        packages = ["; ".join(f"{name} {version}" for name, version in one.items()) for one in manifest["packages"]]
        kept = [f"{len(manifest['kept'])} of an earlier report"] if manifest.get("kept") else []
        told = [
            ("Runs", [f"{len(manifest['runs'])} finished, {len(manifest['missing'])} missing", *kept]),
            ("Last run finished", [str(manifest["date"] or "unknown")]),
            ("Code", code),
            ("Machine", machines),
            ("Packages", packages),
        ]
        return [(name, value) for name, values in told for value in values]

    @property
    def command(self) -> str:
        """Return the command that trains what is missing, and draws the figure."""
        learners = [f"FILE.py:{name}" for name in self.manifest.get("learners", ())]
        preset, settings = str(self.manifest["preset"]), self.manifest.get("settings", {})
        return command("run", self.experiment.name, preset, settings, self.manifest.get("seeds"), learners)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else json.dumps(value) if isinstance(value, list | bool) else str(value)


def read(experiment: Experiment, folder: Path) -> Shown:
    """Read one folder of results."""
    return Shown(experiment, read_aggregates(folder))


def folders_of(name: str, results: Path) -> list[Path]:
    """Return the folders of results of an experiment that hold a report."""
    found = (path.parent for path in (results / name).glob("*/manifest.json"))
    return sorted(folder for folder in found if not folder.name.startswith("."))


def read_all(experiment: Experiment, results: Path) -> tuple[list[Shown], list[str]]:
    """Return the reports of an experiment, the largest first, and in words which could not be read."""
    found, broken = [], []
    for folder in folders_of(experiment.name, results):
        try:
            found.append(read(experiment, folder))
        except (UserError, KeyError) as error:
            broken.append(str(error))
    return sorted(found, key=lambda one: one.size, reverse=True), broken
