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

from analysis import published
from analysis.budget import Budget, sentences, short_steps
from analysis.compare import budgets, by_returns, compare, read_aggregates, read_comparison
from analysis.metrics import MAXIMUM
from analysis.plot import plain_number

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parents[1] / "results"
# Longer tables are folded away.
MOST_ROWS = 12


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
    """Steps/s of each learner with its environment, beside the bare environment, measured in one run on one core."""
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
        shows = re.search(r"Figs?\. .*", manifest["source"])
        head = f"**{manifest['title']}** ({shows[0] if shows else 'ours'}), preset `{manifest['preset']}`."
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


def _place(manifest: Mapping[str, Any]) -> tuple[int, str]:
    """Return where an experiment stands: by its first figure in the paper, ours behind."""
    number = re.search(r"Figs?\. (\d+)", manifest["source"])
    return (int(number[1]) if number else 1000), manifest["experiment"]


def _returns_table(comparison: pd.DataFrame) -> str:
    """Tasks down, arms across: our last mean, its interval, and the published value at the same step."""
    last = comparison[comparison["step"] == comparison.groupby(["env_id", "algorithm"])["step"].transform("max")]
    arms = list(dict.fromkeys(last["algorithm"]))
    cells = {(row.env_id, row.algorithm): _return_cell(row) for row in last.itertuples()}
    lines = [_line(["return, 90 % interval (published)", *arms]), _line(["---"] * (len(arms) + 1))]
    for env_id in dict.fromkeys(last["env_id"]):
        lines.append(_line([published.paper_name(env_id), *(cells.get((env_id, arm), "") for arm in arms)]))
    return "\n".join(lines)


def _return_cell(row: Any) -> str:
    ours = _interval(row.ours, row.ci90) if row.n else row.verdict
    lost = f", {row.diverged} of {row.seeds} diverged" if row.n and row.diverged else ""
    return ours + lost + (f" ({plain_number(row.published)})" if row.published == row.published else "")


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
