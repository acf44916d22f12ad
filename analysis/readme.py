"""Write the tables in README.md from the files under `results/`: python -m analysis.readme

Each table stands between `<!-- NAME -->` and `<!-- end -->`; a test checks that they are up to date.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from analysis.budget import short_steps
from analysis.plot import plain_number

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parents[1] / "results"


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


TABLES: dict[str, Callable[[Path], str]] = {"learning": learning_table, "throughput": throughput_table}


def filled(text: str, results: Path) -> str:
    """Return a text with the tables between its markers made anew."""
    for name, table in TABLES.items():
        start, stop = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        _, _, after = rest.partition(stop)
        text = f"{before}{start}{table(results)}\n{stop}{after}"
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text(), RESULTS))
