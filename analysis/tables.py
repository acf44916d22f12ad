"""Comparisons as a person reads them in a terminal: one table per panel, under a line that states its budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.aggregates import panel_of, paper_budgets
from analysis.budget import Budget, short_steps, stated
from analysis.metrics import MAXIMUM
from analysis.plot import plain_number
from analysis.published import PAPERS
from analysis.verdicts import INSIDE, NOT_COMPARABLE, OF_LEARNT, OF_RANGE, UNDECIDED, WITHIN

# Wide enough for every table when the output is a file or a pipe.
PIPED_WIDTH = 100
# The last column is what the paper shows at the end of its own budget; its header names that budget.
END = "end"
# Why a row has no verdict.
DEPARTURES = {
    "budget": "the paper shows nothing at this step",
    "simulator": "contacts were calculated by another rule than in the simulator of the paper",
    "protocol": "it was not run as published; the experiment says how",
}
PRINTED = ("", "steps", "bins", "ours", "\u00b1", "n", "paper", "from", "ratio", "verdict", END)


def console() -> Console:
    """Return a console that does not squeeze tables into 80 columns when nobody is looking."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def render(comparison: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any], width: int) -> Group:
    """Return the tables of one preset: one per panel, under a line that states the budget."""
    head = (f"{manifest['experiment']} / {manifest['folder']}", "bold")
    parts: list[RenderableType] = [Text.assemble(head, f"  {manifest['title']}")]
    columns = _columns(comparison, summary)
    continuing = {panel_of(row) for row in manifest["rows"] if row["environment"].get("continuing")}
    for panel, rows in comparison.groupby("panel", sort=False):
        arms = summary[summary["panel"] == panel]
        title = Text.assemble(
            (str(panel), "bold"), f"  {_budget(arms, rows)}{', reward per step' if panel in continuing else ''}"
        )
        parts += [Text(), title, _table({name: cells.loc[rows.index] for name, cells in columns.items()}, columns, width)]
        parts += [Text(f"  {note}", style="yellow") for note in _notes(arms)]
    parts += [Text(), *(Text(line, style="dim") for line in _legend(comparison))]
    return Group(*parts)


def _budget(arms: pd.DataFrame, rows: pd.DataFrame) -> str:
    first = rows.iloc[0]
    paper = None if pd.isna(first["paper_steps"]) else Budget(int(first["paper_steps"]), int(first["paper_seeds"]))
    return f"{stated(arms, paper)}, bins of {short_steps(int(arms['bin_width'].max()))}"


def _notes(arms: pd.DataFrame) -> Iterator[str]:
    for arm in arms.itertuples():
        if arm.diverged:
            rest = "means are over those that got so far" if arm.diverged < arm.seeds else "its means end there"
            yield f"{arm.algorithm}: {arm.diverged} of {arm.seeds} runs diverged; {rest}"
    gone = [f"{a.algorithm} {a.planned - a.seeds} of {a.planned}" for a in arms.itertuples() if a.seeds < a.planned]
    if gone:
        yield f"not finished: {', '.join(gone)}"


def _legend(comparison: pd.DataFrame) -> Iterator[str]:
    yield "ours   mean over n seeds \u00b1 half-width of the 90 % t interval"
    if _mixed_bins(comparison):
        yield "bins   steps averaged over; the paper's, to which ours are pooled, or ours/paper's"
    said = set(comparison["verdict"])
    if INSIDE in said:
        yield "inside  ours minus the paper's lies within the joint 90 % interval, narrower than what was learnt"
    if WITHIN in said:
        yield (
            f"within tolerance: it is less than {OF_LEARNT:.0%} of what the paper's agent learnt, or {OF_RANGE:.0%} of the "
            "task's range"
        )
    if UNDECIDED in said:
        yield "undecided: with so few seeds the interval would also hold an agent that learnt nothing"
    for reason, words in DEPARTURES.items():
        if f"{NOT_COMPARABLE} ({reason})" in said:
            yield f"not comparable ({reason}): {words}"
    if comparison["verdict"].str.startswith("begins at").any():
        yield "begins at: the first published bin ends there"
    if comparison["verdict"].str.startswith("ends at").any():
        yield "ends at: the published curve stops there, as some runs diverged"
    shown = comparison[comparison["published_end"].notna()]
    for (paper, figure), rows in shown.groupby(["published_end_paper", "published_end_figure"], sort=False):
        budgets = " or ".join(short_steps(steps) for steps in sorted(rows["published_end_steps"].unique()))
        yield f"at {budgets}: {paper}, {figure}, whatever our budget: {PAPERS[paper].window}"


def _end_header(comparison: pd.DataFrame) -> str:
    """Return the header of the values at the end of the published runs: their budget, where it is one; empty without any."""
    budgets = comparison["published_end_steps"].dropna().unique()
    return f"at {short_steps(budgets[0])}" if len(budgets) == 1 else "at the end" if len(budgets) else ""


def _end(row: Any, named: bool) -> str:
    """Return a value at the end of the published runs, with its budget where the header has none."""
    if math.isnan(row.published_end):
        return ""
    return f"{row.published_end:.0f}" + (f" at {short_steps(row.published_end_steps)}" if named else "")


def _mixed_bins(rows: pd.DataFrame) -> bool:
    theirs = rows["published_bin_width"].dropna()
    return bool(rows["bin_width"].nunique() > 1 or (theirs.astype(int) != rows.loc[theirs.index, "bin_width"]).any())


def _columns(comparison: pd.DataFrame, summary: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the printed cells by column, for all panels, so that their tables line up."""
    seeds = {(arm.panel, arm.algorithm): arm.seeds for arm in summary.itertuples()}
    columns: dict[str, list[str]] = {name: [] for name in PRINTED}
    before, header = None, _end_header(comparison)
    for row in comparison.itertuples():
        arm = (row.panel, row.algorithm)
        known = not math.isnan(row.published)
        widths = short_steps(row.bin_width)
        if known and row.published_bin_width != row.bin_width:
            widths += f"/{short_steps(row.published_bin_width)}"
        cells = {
            "": row.algorithm if arm != before else "",
            "steps": short_steps(row.step),
            "bins": widths,
            "ours": number(row.ours),
            "\u00b1": "" if math.isnan(row.ci90) else number(row.ci90, like=row.ours),
            "n": f"{row.n}/{seeds[arm]}" if row.n < seeds[arm] else f"{row.n}",
            "paper": number(row.published),
            "from": row.published_figure if known else "",
            "ratio": "-" if math.isnan(row.ratio) else f"{row.ratio:.2f}",
            "verdict": row.verdict,
            END: _end(row, named=header == "at the end"),
        }
        for name, cell in cells.items():
            columns[name].append(cell)
        before = arm
    shown = {name: pd.Series(cells, index=comparison.index, dtype=object) for name, cells in columns.items()}
    if not _mixed_bins(comparison):
        del shown["bins"]
    ends = shown.pop(END)
    return {**shown, header: ends} if header else shown


def _table(cells: Mapping[str, pd.Series], all_cells: Mapping[str, pd.Series], width: int) -> Table:
    table = Table(box=None, padding=(0, 2 if width >= PIPED_WIDTH else 1, 0, 0), header_style="dim", pad_edge=False)
    for name, column in all_cells.items():
        widest = max([len(name), *(len(cell) for cell in column)])
        style = "bold" if name == "" else None
        left = name in ("", "from", "verdict")
        table.add_column(name, justify="left" if left else "right", min_width=widest, no_wrap=name != "", style=style)
    for row in zip(*cells.values(), strict=True):
        named = zip(cells, row, strict=True)
        table.add_row(*(Text(cell, style=_colour(cell) if name == "verdict" else "") for name, cell in named))
    return table


def render_metrics(comparison: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any]) -> Group:
    """Return the table of an experiment that is not compared by returns: its comparison, or else what was recorded last."""
    head = (f"{manifest['experiment']} / {manifest['folder']}", "bold")
    parts: list[RenderableType] = [Text.assemble(head, f"  {manifest['title']}")]
    papers = paper_budgets(manifest)
    for panel, arms in summary.groupby("panel", sort=False):
        parts += [Text(), Text.assemble((str(panel), "bold"), f"  {stated(arms, papers.get(str(panel)))}")]
        here = comparison[comparison["panel"] == panel] if len(comparison) else summary.iloc[:0]
        parts.append(table_of(_windows(here) if len(here) else _recorded(arms)))
        parts += [Text(f"  {note}", style="yellow") for note in _notes(arms.drop_duplicates("algorithm"))]
    parts += [Text(), *(Text(line, style="dim") for line in _metrics_legend(comparison))]
    return Group(*parts)


def _metrics_legend(comparison: pd.DataFrame) -> Iterator[str]:
    if comparison.empty or comparison["published"].isna().all():
        yield "There are no published numbers to compare with."
    if "per_run" in comparison:
        yield "ours     error of the mean prediction over n runs, paired with the return as in the published figure"
        yield "exact    the same with the return from the very state that was predicted from"
        yield "per_run  mean error of single runs \u00b1 half-width of the 90 % t interval"


def _windows(comparison: pd.DataFrame) -> pd.DataFrame:
    """Return the comparison of one panel as it is printed: no empty columns, and a window of steps in one."""
    if "after_step" not in comparison:
        return comparison.drop(columns=["panel", "env_id"]).dropna(axis="columns", how="all")
    spans = [f"{start}-{end}" for start, end in zip(comparison["after_step"], comparison["to_step"], strict=True)]
    shown = comparison.drop(columns=["panel", "env_id", "after_step", "to_step"]).dropna(axis="columns", how="all")
    shown.insert(1, "steps", spans)
    return shown.rename(columns={"ci90": "\u00b1"})


def _recorded(arms: pd.DataFrame) -> pd.DataFrame:
    """Return the last means of what the arms of one panel recorded: metrics down, arms across."""
    means = arms[arms["metric"].notna() & (arms["metric"] != "") & ~arms["metric"].astype(str).str.endswith(MAXIMUM)]
    cells: dict[str, dict[str, str]] = {}
    for row in means.itertuples():
        half = "" if math.isnan(row.ci90) else f" \u00b1 {plain_number(row.ci90)}"
        cells.setdefault(row.metric, {})[row.algorithm] = plain_number(row.final_mean) + half if row.n else "diverged"
    labels = list(dict.fromkeys(arms["algorithm"]))
    rows = [(metric, *(found.get(label, "") for label in labels)) for metric, found in cells.items()]
    return pd.DataFrame(rows, columns=[f"last {short_steps(arms['bin_width'].max())} steps", *labels])


def table_of(frame: pd.DataFrame, title: str | None = None) -> Table:
    """Return a table of all rows and columns of a frame."""
    table = Table(title=title, box=None, title_justify="left", header_style="dim", pad_edge=False)
    for name, kind in frame.dtypes.items():
        table.add_column(str(name), justify="right" if pd.api.types.is_numeric_dtype(kind) else "left", no_wrap=True)
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(plain_number(value) if isinstance(value, float) else str(value)) for value in row))
    return table


def _colour(text: str) -> str:
    return {"inside": "green", "within": "green", "below": "red", "above": "cyan", "undecided": "yellow"}.get(
        text.split(" ")[0].rstrip(","), "dim"
    )


def number(value: float, like: float | None = None) -> str:
    """Return a number with as many decimals as its size (or that of `like`) deserves; `-` for none."""
    if math.isnan(value):
        return "-"
    size = abs(value if like is None or math.isnan(like) else like)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"
