"""What the site is made of: experiments with their reports, the lines of the front page, and how they are read from results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from analysis.budget import short_steps
from analysis.differences import Difference
from analysis.published import PAPERS
from analysis.published.names import paper_name
from analysis.site import inventory, shown, text
from analysis.site.live import Going
from analysis.site.shown import Shown
from experiments import catalog, described
from experiments.spec import Experiment

ORDER = (shown.FULL, shown.PART, shown.OTHER, shown.NONE, shown.ABSENT, shown.NOTHING)
OURS = "ours"
# What the front page shows of all figures, where it is there.
FEATURED = ("stream_ac_ablation", "anchors")


def in_order(counts: Counter[str]) -> list[tuple[str, int]]:
    """Return counted verdicts in the order in which they are explained."""
    return [(verdict, counts[verdict]) for verdict in shown.VERDICTS if counts[verdict]]


@dataclass(frozen=True)
class Subject:
    """An experiment with all that was found of it."""

    experiment: Experiment
    reports: tuple[Shown, ...]
    broken: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Return its name."""
        return self.experiment.name

    @property
    def page(self) -> str:
        """Return its page."""
        return f"{self.name}.html"

    @property
    def paper(self) -> inventory.ListedPaper | None:
        """Return the paper it is of."""
        return inventory.paper_of(self.experiment.source)

    @property
    def where(self) -> str:
        """Return which figure it shows, as a person says it."""
        labels = inventory.labels_of(self.experiment.source)
        return f"{self.paper.name}, {_figures(labels)}" if self.paper else "Ours"

    @cached_property
    def figures(self) -> list[inventory.PaperFigure]:
        """Return the figures of the paper that it shows."""
        return list(inventory.figures_of(self.experiment))

    @property
    def question(self) -> str:
        """Return what an experiment of ours asks."""
        return inventory.question(self.name)

    @property
    def state(self) -> str:
        """Return the best state of its reports."""
        return min((one.state for one in self.reports), key=ORDER.index, default=shown.NONE)

    @property
    def best(self) -> Shown | None:
        """Return its largest report."""
        return self.reports[0] if self.reports else None

    @property
    def budget(self) -> str:
        """Return the budget of its largest report."""
        return self.best.short_budget if self.best else ""

    @cached_property
    def verdicts(self) -> Counter[str]:
        """Count the last verdicts of its reports, as far as they were not customised."""
        return sum((one.verdicts for one in self.reports if not one.customised), start=Counter())

    @property
    def outcome(self) -> list[tuple[str, int]]:
        """Return the same in the order in which verdicts are explained."""
        return in_order(self.verdicts)

    @property
    def untrained_panels(self) -> list[str]:
        """Return the panels of the published protocol of which no report has a run."""
        paper = self.experiment.presets.get("paper")
        if paper is None or not self.reports or self.experiment.kind == "measurement":
            return []
        there = {
            panel
            for one in self.reports
            for panel in one.report.summary.loc[one.report.summary["seeds"] > 0, "panel"].astype(str)
        }
        names = (row.panel_name for row in paper.rows if row.panel_name not in there)
        return [paper_name(name) for name in names]

    @property
    def presets(self) -> list[dict[str, str]]:
        """Return its presets: name, description, size, and the command that trains it."""
        found = []
        for name, preset in self.experiment.presets.items():
            runs = sum(len(row.seeds_of(arm)) for row in preset.rows for arm in row.arms)
            steps = max((row.steps for row in preset.rows), default=0)
            sized = self.experiment.kind != "measurement"
            size = f"{runs} runs of up to {short_steps(steps)} steps" if sized else f"{runs} measurements"
            command = f"python -m experiments.run {self.name} --preset {name}"
            found.append({"name": name, "description": preset.description, "size": size, "command": command})
        return found

    @cached_property
    def notes(self) -> Any:
        """Return what the spec says of itself, without its first sentence's figure number."""
        return text.markdown(described.spec_text(self.name), text.nowhere, deeper=2)

    @cached_property
    def learners(self) -> list[tuple[str, Any]]:
        """Return what the learners say of themselves and their deviations, those of one text together."""
        used: dict[str, list[str]] = {}
        for preset in self.experiment.presets.values():
            for row in preset.rows:
                for arm in row.arms:
                    said, label = described.learner_text(arm.algorithm), described.learner_label(arm.algorithm)
                    if said and label not in used.setdefault(said, []):
                        used[said].append(label)
        return [(", ".join(labels), text.markdown(said, text.nowhere, deeper=2)) for said, labels in used.items()]


@dataclass(frozen=True)
class Line:
    """One line of the front page: a figure of a paper, or an experiment of ours."""

    paper: str
    label: str
    shows: str
    uncertain: bool
    state: str
    subjects: tuple[Subject, ...]
    why: str = ""

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        """Return the last verdicts of its experiments, counted."""
        return in_order(sum((one.verdicts for one in self.subjects), start=Counter()))

    @property
    def budget(self) -> str:
        """Return the budget of the experiment that is furthest."""
        return next((one.budget for one in sorted(self.subjects, key=lambda s: ORDER.index(s.state)) if one.budget), "")


@dataclass
class Site:
    """All that is written, before it is written."""

    results: Path
    subjects: tuple[Subject, ...]
    going: tuple[Going, ...] = ()
    watched: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    copies: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def lines(self) -> list[Line]:
        """Return every figure of every paper, and what is ours."""
        found = []
        for paper in inventory.papers():
            for figure in paper.figures:
                subjects = tuple(one for one in self.subjects if figure in one.figures and one.paper == paper)
                state = min((one.state for one in subjects), key=ORDER.index, default=shown.ABSENT)
                state = shown.NOTHING if not subjects and "nothing to run" in figure.absent else state
                why = "" if subjects else figure.absent
                words = figure.shows
                found.append(Line(paper.name, f"Fig. {figure.label}", words, figure.uncertain, state, subjects, why))
        for one in self.subjects:
            if one.paper is None:
                found.append(Line(OURS, "ours", one.experiment.title, False, one.state, (one,)))
        return found

    @property
    def counts(self) -> list[tuple[str, list[tuple[str, int]]]]:
        """Return by paper how many figures are in which state."""
        names = dict.fromkeys(line.paper for line in self.lines)
        states = {name: Counter(line.state for line in self.lines if line.paper == name) for name in names}
        return [(name, [(state, states[name][state]) for state in ORDER]) for name in names]

    @property
    def different(self) -> list[tuple[Subject, Shown, list[Difference]]]:
        """Return the reports in which an arm came out differently."""
        found = ((one, report, report.differences) for one in self.subjects for report in one.reports)
        return [(one, report, differences) for one, report, differences in found if differences and not report.customised]

    @property
    def verdicts(self) -> list[tuple[str, int]]:
        """Count the last verdicts of all reports."""
        return in_order(sum((one.verdicts for one in self.subjects), start=Counter()))

    @property
    def featured(self) -> tuple[Subject, Shown] | None:
        """Return the report whose figure the front page shows; None where it is not there."""
        name, preset = FEATURED
        found = ((one, report) for one in self.subjects if one.name == name for report in one.reports)
        return next(((one, report) for one, report in found if report.preset == preset and report.image.exists()), None)

    @property
    def evidence(self) -> list[tuple[str, str, str]]:
        """Return investigations of another kind: folder, page and the question that heads them."""
        found = []
        for path in sorted(self.results.glob("*/README.md")):
            title = path.read_text().lstrip("# ").partition("\n")[0]
            found.append((path.parent.name, f"evidence-{path.parent.name}.html", title))
        return found


def collect(results: Path, going: Sequence[Going] = (), live: Path | None = None, watched: bool = False) -> Site:
    """Read all results.

    Args:
        results: folder of the reports.
        going: presets that are trained now.
        live: folder of reports of those.
        watched: the pages are written again and again.
    """
    subjects = []
    for name in catalog.experiment_names():
        experiment = catalog.load_experiment(name)
        found, broken = shown.read_all(experiment, results)
        now, broken_now = shown.read_all(experiment, live) if live is not None else ([], [])
        fresh = {one.preset for one in now} & {one.preset for one in going if one.experiment.name == name}
        # A report of what goes on stands in place of the one that it was begun with.
        both = [one for one in found if one.preset not in fresh] + [one for one in now if one.preset in fresh]
        reports = tuple(sorted(both, key=lambda one: one.size, reverse=True))
        subjects.append(Subject(experiment, reports, tuple(broken + broken_now)))
    return Site(results, tuple(sorted(subjects, key=_place)), tuple(going), watched)


def _place(subject: Subject) -> tuple[int, int, str]:
    labels = inventory.labels_of(subject.experiment.source)
    if subject.paper is None or not labels:
        return len(PAPERS), 0, subject.name
    return list(PAPERS).index(subject.paper.name), int("".join(filter(str.isdigit, labels[0]))), subject.name


def _figures(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return f"Fig. {labels[0]}"
    return f"Figs. {', '.join(labels[:-1])} and {labels[-1]}"
