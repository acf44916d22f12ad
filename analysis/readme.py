"""Write what is generated from the files under `results/`: python -m analysis.readme

That is the table of README.md, those of results/README.md, and every `compare.csv` of returns, so that all of them show what is
published by now. Each table stands between `<!-- NAME -->` and `<!-- end -->`; a test checks that everything is up to date.

What a result shows, and where it differs from the published one, is a sentence or two that a person writes into
`results/NAME/PRESET/finding.txt`; why an arm is outside the published range goes into `different.toml` beside it.
No command changes these files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.aggregates import Aggregates, paper_budgets, read_aggregates
from analysis.budget import sentences, short_steps
from analysis.differences import differences
from analysis.kinds import KINDS
from analysis.metrics import MAXIMUM
from analysis.plot import plain_number
from analysis.published import PAPERS, figures_of
from analysis.published.names import paper_name
from analysis.report import write_csv
from experiments.catalog import experiment_names, load_experiment

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
# Longer tables are folded away.
MOST_ROWS = 12
# With more arms than this a table of returns has its arms down and its tasks across.
MOST_ARMS = 8
# Tables of their own show these.
LEARNING, THROUGHPUT = ("stream_barrier", "anchors"), ("throughput", "paper")


def status_table(results: Path) -> str:
    """Every experiment on one line: the figure it shows, and what of it has been trained and is checked in."""
    reports: dict[str, list[Aggregates]] = {}
    for folder in _reports(results):
        reports.setdefault(folder.parent.name, []).append(read_aggregates(folder))
    experiments = sorted(map(load_experiment, experiment_names()), key=lambda one: _place(one.source, one.name))
    lines = [_line(["figure", "experiment", "what it shows", "checked in"]), _line(["---"] * 4)]
    for one in experiments:
        found = [_checked_in(report, results) for report in reports.get(one.name, [])]
        lines.append(_line([_shows(one.source), f"`{one.name}`", one.title, "; ".join(found) or "nothing yet"]))
    return "\n".join(lines)


def _checked_in(report: Aggregates, results: Path) -> str:
    text = f"[{report.manifest['preset']}]({_figure(report, results.parent)})"
    if report.summary.empty:
        return text
    longest = report.summary.loc[report.summary["steps"].idxmax()]
    paper = paper_budgets(report.manifest).get(longest["panel"])
    of = f" of {short_steps(paper.steps)}" if paper else ""
    up_to = "up to " if report.summary["steps"].nunique() > 1 else ""
    return f"{text}, {up_to}{short_steps(int(longest['steps']))}{of} steps"


def _figure(report: Aggregates, start: Path) -> str:
    return (report.folder / "figures" / f"{report.manifest['experiment']}.png").relative_to(start).as_posix()


def _finding(report: Aggregates) -> str:
    return " ".join(report.finding.split())


def learning_table(results: Path) -> str:
    """Stream AC at the last checkpoint of preset `anchors`, beside the published value."""
    report = read_aggregates(results / "/".join(LEARNING))
    frame = KINDS[report.kind].comparison_of(report)
    frame = frame[frame["step"] == frame.groupby("panel")["step"].transform("max")]
    lines = ["| task | steps | ours (90 % interval) | seeds | published | ours / published |", "|---|---|---|---|---|---|"]
    for row in frame.itertuples():
        lines.append(
            f"| {paper_name(row.panel)} | {short_steps(row.step)} | {_interval(row.ours, row.ci90)} "
            f"| {row.n} | {plain_number(row.published)} ({row.published_figure}) | {row.ratio:.2f} |"
        )
    return "\n".join([*lines, "", _finding(report)]).rstrip()


def throughput_table(results: Path) -> str:
    """Steps/s of each learner with its environment, beside the bare environment, measured in turn on one core."""
    folder = results / "/".join(THROUGHPUT)
    frame = pd.read_csv(folder / "figures" / "throughput.csv")
    lines = ["| task | learner | steps/s | environment alone | share |", "|---|---|---|---|---|"]
    for row in frame.itertuples():
        scaling = f"{row.scaling:.0%} of as many single workers" if row.scaling == row.scaling else ""
        share = f"{row.share:.0%}" if row.share == row.share else scaling
        lines.append(
            f"| {row.env_id} | {row.learner} | {plain_number(row.together)} | {plain_number(row.environment)} | {share} |"
        )
    return "\n".join([_finding(read_aggregates(folder)), "", *lines]).lstrip()


def experiments_section(results: Path) -> str:
    """Every checked-in report of an experiment on one line with its figure and budget, what it shows, and its end as a table.

    Reports of presets `quick` and of customised ones are not checked in, and left out here as well.
    """
    listed = [folder for folder in _reports(results) if (folder.parent.name, folder.name) not in (LEARNING, THROUGHPUT)]
    reports = [read_aggregates(folder) for folder in listed]
    parts = []
    for report in _in_order(reports):
        manifest = report.manifest
        said = [f"**{manifest['title']}** ({_shows(manifest['source'])}), preset `{manifest['preset']}`."]
        said += [] if report.summary.empty else sentences(report.summary, paper_budgets(manifest))
        said += [f"[Figure]({_figure(report, results)})"]
        parts.append("\n\n".join(part for part in (" ".join(said), _finding(report), _end_table(report)) if part))
    return "\n\n".join(parts)


def differences_section(results: Path) -> str:
    """Every arm of every checked-in report that is outside the published range: by how much, and why."""
    reports = _in_order(map(read_aggregates, _reports(results)))
    return "\n".join(
        f"- **{one.place}**, `{report.folder.parent.name}`, preset [{report.folder.name}]({_figure(report, results)}), "
        f"{one.verdict}: {one.words} {one.why}"
        for report in reports
        for one in differences(report)
    )


def _reports(results: Path) -> list[Path]:
    found = [path.parent for path in results.glob("*/*/manifest.json")]
    return sorted(path for path in found if not path.name.startswith(("quick", ".")) and "+" not in path.name)


def _in_order(reports: Iterable[Aggregates]) -> list[Aggregates]:
    return sorted(reports, key=lambda found: (*_place(found.manifest["source"], found.folder.parent.name), found.folder))


def _place(source: str, name: str) -> tuple[int, int, str]:
    """Return where an experiment stands: by paper and its first figure there, ours behind."""
    paper, figures = _paper(source), figures_of(source)
    return [*PAPERS, ""].index(paper), int(figures[0].removeprefix("Fig")) if paper and figures else 0, name


def _paper(source: str) -> str:
    """Return the paper that an experiment is of, by the first word of its source; empty if it is ours."""
    first = source.split(maxsplit=1)[0].rstrip(",")
    return first if first in PAPERS else ""


def _shows(source: str) -> str:
    """Return which published figure an experiment shows; that a figure is Stream-X's goes without saying."""
    paper, found = _paper(source), re.search(r"Figs?\. .*", source)
    figures = found[0] if paper and found else ""
    return (figures if paper == next(iter(PAPERS)) else f"{paper}, {figures}") if figures else paper or "ours"


def _end_table(report: Aggregates) -> str:
    """Return the last bins of a report as a table, folded if it is long; nothing for a measurement."""
    if report.summary.empty:
        return ""
    comparison = KINDS[report.kind].comparison_of(report)
    if report.kind == "returns":
        return _folded(_returns_table(comparison))
    return _folded(_errors_table(comparison) if "error" in comparison else _metrics_table(report.summary))


def _returns_table(comparison: pd.DataFrame) -> str:
    """Tasks down, arms across, or turned if there are many arms: our last mean, its interval, and the published value."""
    last = comparison[comparison["step"] == comparison.groupby(["panel", "algorithm"])["step"].transform("max")]
    arms = list(dict.fromkeys(last["algorithm"]))
    cells = {(row.panel, row.algorithm): _return_cell(row) for row in last.itertuples()}
    tasks = list(dict.fromkeys(last["panel"]))
    rows = {paper_name(task): [cells.get((task, arm), "") for arm in arms] for task in tasks}
    across = arms
    if len(arms) > MOST_ARMS:
        rows = {arm: [cells.get((task, arm), "") for task in tasks] for arm in arms}
        across = [paper_name(task) for task in tasks]
    lines = [_line(["return, 90 % interval (published)", *across]), _line(["---"] * (len(across) + 1))]
    return "\n".join([*lines, *(_line([name, *row]) for name, row in rows.items())])


def _return_cell(row: Any) -> str:
    ours = _interval(row.ours, row.ci90) if row.n else row.verdict
    lost = f", {row.diverged} of {row.seeds} diverged" if row.n and row.diverged else ""
    if row.published == row.published:
        return f"{ours}{lost} ({plain_number(row.published)})"
    # Nothing at this budget: what the paper shows at the end of its own, with that budget.
    known = row.published_end == row.published_end
    end = f" ({plain_number(row.published_end)} at {short_steps(row.published_end_steps)})" if known else ""
    return ours + lost + end


def _errors_table(comparison: pd.DataFrame) -> str:
    """Windows down, arms across: mean absolute error of our mean prediction, and of the published one."""
    errors = comparison[comparison["error"] == "MAE"]
    arms = list(dict.fromkeys(errors["algorithm"]))
    lines = [_line(["mean absolute error (published)", *arms]), _line(["---"] * (len(arms) + 1))]
    for (panel, start, end), rows in errors.groupby(["panel", "after_step", "to_step"], sort=False):
        cells = {
            row.algorithm: plain_number(row.ours)
            + (f" ({plain_number(row.published)})" if row.published == row.published else "")
            for row in rows.itertuples()
        }
        lines.append(_line([f"{panel}, steps {start:,} to {end:,}", *(cells.get(arm, "") for arm in arms)]))
    return "\n".join(lines)


def _metrics_table(summary: pd.DataFrame) -> str:
    """Arms of each task down, what they recorded across: means of the last bin."""
    shown = summary[~summary["metric"].fillna("").str.endswith(MAXIMUM) & summary["metric"].notna()]
    names = list(dict.fromkeys(shown["metric"]))
    lines = [_line(["last bin", *(name.replace("_", " ") for name in names)]), _line(["---"] * (len(names) + 1))]
    for (panel, algorithm), rows in shown.groupby(["panel", "algorithm"], sort=False):
        cells = {row.metric: _interval(row.final_mean, row.ci90) if row.n else "diverged" for row in rows.itertuples()}
        lines.append(_line([f"{panel}, {algorithm}", *(cells.get(name, "") for name in names)]))
    return "\n".join(lines)


def _interval(mean: float, half: float) -> str:
    return plain_number(mean) + (f" \N{PLUS-MINUS SIGN} {plain_number(half)}" if half == half else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _folded(table: str) -> str:
    rows = table.count("\n") - 1
    return table if rows <= MOST_ROWS else f"<details><summary>{rows} rows</summary>\n\n{table}\n\n</details>"


TABLES: dict[str, Callable[[Path], str]] = {
    "status": status_table,
    "learning": learning_table,
    "different": differences_section,
    "experiments": experiments_section,
    "throughput": throughput_table,
}


def filled(text: str, results: Path) -> str:
    """Return a text with the tables between its markers made anew; a table without a marker is left out."""
    for name, table in TABLES.items():
        start, stop = f"<!-- {name} -->\n", "<!-- end -->"
        if start not in text:
            continue
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(stop)
        made = table(results)
        made += "\n" if made else ""
        text = f"{before}{start}{made}{stop}{after}"
    return text


def comparisons(results: Path) -> dict[Path, pd.DataFrame]:
    """Return by file what every checked-in comparison of returns is with what is published by now."""
    reports = [read_aggregates(folder) for folder in _reports(results)]
    return {
        report.folder / "compare.csv": KINDS[report.kind].comparison_of(report)
        for report in reports
        if report.kind == "returns"
    }


if __name__ == "__main__":
    for path, comparison in comparisons(RESULTS).items():
        write_csv(comparison, path)
    for readme in (ROOT / "README.md", RESULTS / "README.md"):
        readme.write_text(filled(readme.read_text(), RESULTS))
