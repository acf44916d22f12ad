"""Write the tables in README.md from the files under `results/`: python -m analysis.readme

Each table stands between `<!-- NAME -->` and `<!-- end -->`; a test checks that they are up to date.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis import published, published_avg
from analysis.budget import Budget, sentences, short_steps
from analysis.compare import budgets, by_returns, compare, read_aggregates, read_comparison
from analysis.metrics import MAXIMUM
from analysis.plot import plain_number

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parents[1] / "results"
# Longer tables are folded away.
MOST_ROWS = 12
# With more arms than this a table of returns has its arms down and its tasks across.
MOST_ARMS = 8
PAPERS = ("Stream-X", "AVG", "RTU", "UPGD")


def learning_table(results: Path) -> str:
    """Stream AC at the last checkpoint of preset `anchors`, beside the published value."""
    frame = pd.read_csv(results / "stream_barrier" / "anchors" / "compare.csv")
    frame = frame[frame["step"] == frame.groupby("env_id")["step"].transform("max")]
    lines = ["| task | steps | ours (90 % interval) | seeds | published | ours / published |", "|---|---|---|---|---|---|"]
    for row in frame.itertuples():
        lines.append(
            f"| {row.env_id} | {short_steps(row.step)} | {plain_number(row.ours)} \N{PLUS-MINUS SIGN} {plain_number(row.ci90)} "
            f"| {row.n} | {plain_number(row.published)} ({row.published_figure}) | {row.ratio:.2f} |"
        )
    return "\n".join(lines)


def throughput_table(results: Path) -> str:
    """Steps/s of each learner with its environment, beside the bare environment, measured in turn on one core."""
    frame = pd.read_csv(results / "throughput" / "paper" / "figures" / "throughput.csv")
    lines = ["| task | learner | steps/s | environment alone | share |", "|---|---|---|---|---|"]
    for row in frame.itertuples():
        scaling = f"{row.scaling:.0%} of as many single workers" if row.scaling == row.scaling else ""
        share = f"{row.share:.0%}" if row.share == row.share else scaling
        lines.append(
            f"| {row.env_id} | {row.learner} | {plain_number(row.together)} | {plain_number(row.environment)} | {share} |"
        )
    return "\n".join(lines)


def experiments_section(results: Path) -> str:
    """Every checked-in report of an experiment on one line with its figure and budget, and a short table of its end.

    Reports of presets `quick` and of customised ones are not checked in, and left out here as well.
    """
    reports = [(folder, read_aggregates(folder)) for folder in _reports(results)]
    parts = []
    for folder, report in sorted(reports, key=lambda found: (*_place(found[1].manifest), found[0].name)):
        manifest = report.manifest
        papers = {env_id: Budget(**budget) for env_id, budget in budgets(manifest).items()}
        figure = folder.relative_to(results.parent) / "figures" / f"{manifest['experiment']}.png"
        head = f"**{manifest['title']}** ({_shows(manifest['source'])}), preset `{manifest['preset']}`."
        budget = " ".join(sentences(report.summary, papers))
        if not by_returns(manifest):
            comparison = read_comparison(folder)
            table = _errors_table(comparison) if len(comparison) else _metrics_table(report.summary)
        else:
            table = _returns_table(compare(report.curves, report.summary, budgets(manifest)))
        parts.append(f"{head} {budget} [Figure]({figure.as_posix()})\n\n{_folded(table)}")
    return "\n\n".join(parts)


def _reports(results: Path) -> list[Path]:
    found = [path.parent for path in results.glob("*/*/manifest.json")]
    there = [path for path in found if not path.name.startswith(("quick", ".")) and "+" not in path.name]
    return [path for path in there if _is_listed(path)]


def _is_listed(folder: Path) -> bool:
    # Tables of their own show these.
    shown = (folder.parent.name, folder.name) == ("stream_barrier", "anchors")
    return not shown and not json.loads((folder / "manifest.json").read_text())["measurement"]


def _place(manifest: Mapping[str, Any]) -> tuple[int, int, str]:
    """Return where an experiment stands: by paper and its first figure there, ours behind."""
    found = _figures(manifest["source"])
    number = re.search(r"\d+", found[1])
    paper = PAPERS.index(found[0]) if found[0] in PAPERS else len(PAPERS)
    return paper, int(number[0]) if number else 0, manifest["experiment"]


def _figures(source: str) -> tuple[str, str]:
    """Return paper and figures that a source names, `AVG` and `Fig. 1`; two empty words if the figure is ours."""
    found = re.fullmatch(r"([\w-]+) .*?(Figs?\. .*)", source)
    return (found[1], found[2]) if found else ("", "")


def _shows(source: str) -> str:
    """Return which published figure an experiment shows; that a figure is Stream-X's goes without saying."""
    paper, figures = _figures(source)
    return (figures if paper == PAPERS[0] else f"{paper}, {figures}") if figures else "ours"


def _returns_table(comparison: pd.DataFrame) -> str:
    """Tasks down, arms across, or turned if there are many arms: our last mean, its interval, and the published value."""
    last = comparison[comparison["step"] == comparison.groupby(["env_id", "algorithm"])["step"].transform("max")]
    arms = list(dict.fromkeys(last["algorithm"]))
    cells = {(row.env_id, row.algorithm): _return_cell(row) for row in last.itertuples()}
    tasks = list(dict.fromkeys(last["env_id"]))
    rows = {published.paper_name(task): [cells.get((task, arm), "") for arm in arms] for task in tasks}
    across = arms
    if len(arms) > MOST_ARMS:
        rows = {arm: [cells.get((task, arm), "") for task in tasks] for arm in arms}
        across = [published.paper_name(task) for task in tasks]
    lines = [_line(["return, 90 % interval (published)", *across]), _line(["---"] * (len(across) + 1))]
    return "\n".join([*lines, *(_line([name, *row]) for name, row in rows.items())])


def _return_cell(row: Any) -> str:
    ours = _interval(row.ours, row.ci90) if row.n else row.verdict
    lost = f", {row.diverged} of {row.seeds} diverged" if row.n and row.diverged else ""
    if row.published == row.published:
        return f"{ours}{lost} ({plain_number(row.published)})"
    # What AVG's Fig. 1 shows belongs to its budget.
    known = row.avg_fig1 == row.avg_fig1
    return ours + lost + (f" ({plain_number(row.avg_fig1)} at {short_steps(published_avg.STEPS)})" if known else "")


def _errors_table(comparison: pd.DataFrame) -> str:
    """Windows down, arms across: mean absolute error of our mean prediction, and of the published one."""
    errors = comparison[comparison["error"] == "MAE"]
    arms = list(dict.fromkeys(errors["algorithm"]))
    lines = [_line(["mean absolute error (published)", *arms]), _line(["---"] * (len(arms) + 1))]
    for (env_id, start, end), rows in errors.groupby(["env_id", "after_step", "to_step"], sort=False):
        cells = {
            row.algorithm: plain_number(row.ours)
            + (f" ({plain_number(row.published)})" if row.published == row.published else "")
            for row in rows.itertuples()
        }
        lines.append(_line([f"{env_id}, steps {start:,} to {end:,}", *(cells.get(arm, "") for arm in arms)]))
    return "\n".join(lines)


def _metrics_table(summary: pd.DataFrame) -> str:
    """Arms of each task down, what they recorded across: means of the last bin."""
    shown = summary[~summary["metric"].fillna("").str.endswith(MAXIMUM) & summary["metric"].notna()]
    names = list(dict.fromkeys(shown["metric"]))
    lines = [_line(["last bin", *(name.replace("_", " ") for name in names)]), _line(["---"] * (len(names) + 1))]
    for (env_id, algorithm), rows in shown.groupby(["env_id", "algorithm"], sort=False):
        cells = {row.metric: _interval(row.final_mean, row.ci90) if row.n else "diverged" for row in rows.itertuples()}
        lines.append(_line([f"{env_id}, {algorithm}", *(cells.get(name, "") for name in names)]))
    return "\n".join(lines)


def _interval(mean: float, half: float) -> str:
    return plain_number(mean) + (f" \N{PLUS-MINUS SIGN} {plain_number(half)}" if half == half else "")


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _folded(table: str) -> str:
    rows = table.count("\n") - 1
    return table if rows <= MOST_ROWS else f"<details><summary>{rows} rows</summary>\n\n{table}\n\n</details>"


TABLES: dict[str, Callable[[Path], str]] = {
    "learning": learning_table,
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


if __name__ == "__main__":
    README.write_text(filled(README.read_text(), RESULTS))
