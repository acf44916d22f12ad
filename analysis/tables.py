"""Comparisons as a person reads them in a terminal: one table per environment, under a line that states its budget."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from analysis.budget import Budget, short_steps, stated
from analysis.metrics import MAXIMUM
from analysis.plot import plain_number

# Wide enough for every table when the output is a file or a pipe.
PIPED_WIDTH = 100
PRINTED = ("", "steps", "bins", "ours", "\u00b1", "n", "paper", "from", "ratio", "verdict", "Fig2", "Fig1")


def console() -> Console:
    """Return a console that does not squeeze tables into 80 columns when nobody is looking."""
    out = Console(highlight=False)
    return out if out.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def render(comparison: pd.DataFrame, summary: pd.DataFrame, manifest: Mapping[str, Any], width: int) -> Group:
    """Return the tables of one preset: one per environment, under a line that states the budget."""
    head = (f"{manifest['experiment']} / {manifest['folder']}", "bold")
    parts: list[RenderableType] = [Text.assemble(head, f"  {manifest['title']}")]
    columns = _columns(comparison, summary)
    for env_id, rows in comparison.groupby("env_id", sort=False):
        arms = summary[summary["env_id"] == env_id]
        title = Text.assemble((str(env_id), "bold"), f"  {_budget(arms, rows)}")
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
    if comparison["verdict"].str.endswith("in CI").any():
        yield "in CI  the published mean lies inside our interval"
    if comparison["verdict"].eq("both near zero").any():
        yield "both near zero: under 5 % of the task's highest published return at that step"
    if comparison["verdict"].str.startswith("begins at").any():
        yield "begins at: the first published bin ends there"
    if comparison["verdict"].str.startswith("ends at").any():
        yield "ends at: the published curve stops there, as some runs diverged"
    if _ends(comparison) == "Fig2":
        yield "Fig2: the published bar, after 20M steps or 200M frames; 0 where some run diverged"
    if _ends(comparison) == "Fig1":
        yield "Fig1: published by AVG, last 10k of 10M steps, whatever our budget"


def _ends(comparison: pd.DataFrame) -> str:
    """Return which figure's values of the whole published run stand beside ours, where one has any; AVG's come first."""
    return "Fig1" if comparison["avg_fig1"].notna().any() else "Fig2" if comparison["fig2_bar"].notna().any() else ""


def _mixed_bins(rows: pd.DataFrame) -> bool:
    theirs = rows["published_bin_width"].dropna()
    return bool(rows["bin_width"].nunique() > 1 or (theirs.astype(int) != rows.loc[theirs.index, "bin_width"]).any())


def _columns(comparison: pd.DataFrame, summary: pd.DataFrame) -> dict[str, pd.Series]:
    """Return the printed cells by column, for all environments, so that their tables line up."""
    seeds = {(arm.env_id, arm.algorithm): arm.seeds for arm in summary.itertuples()}
    columns: dict[str, list[str]] = {name: [] for name in PRINTED}
    before = None
    for row in comparison.itertuples():
        arm = (row.env_id, row.algorithm)
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
            "Fig2": "" if math.isnan(row.fig2_bar) else f"{row.fig2_bar:.0f}",
            "Fig1": "" if math.isnan(row.avg_fig1) else f"{row.avg_fig1:.0f}",
        }
        for name, cell in cells.items():
            columns[name].append(cell)
        before = arm
    shown = {name: pd.Series(cells, index=comparison.index, dtype=object) for name, cells in columns.items()}
    if not _mixed_bins(comparison):
        del shown["bins"]
    for name in {"Fig2", "Fig1"} - {_ends(comparison)}:
        del shown[name]
    return shown


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
    rows = {row["env_id"]: row["paper"] for row in manifest["rows"]}
    for env_id, arms in summary.groupby("env_id", sort=False):
        paper = Budget(**rows[str(env_id)]) if rows[str(env_id)] else None
        parts += [Text(), Text.assemble((str(env_id), "bold"), f"  {stated(arms, paper)}")]
        here = comparison[comparison["env_id"] == env_id] if len(comparison) else summary.iloc[:0]
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
    """Return the comparison of one environment as it is printed: no empty columns, and a window of steps in one."""
    if "after_step" not in comparison:
        return comparison.drop(columns="env_id").dropna(axis="columns", how="all")
    spans = [f"{start}-{end}" for start, end in zip(comparison["after_step"], comparison["to_step"], strict=True)]
    shown = comparison.drop(columns=["env_id", "after_step", "to_step"]).dropna(axis="columns", how="all")
    shown.insert(1, "steps", spans)
    return shown.rename(columns={"ci90": "\u00b1"})


def _recorded(arms: pd.DataFrame) -> pd.DataFrame:
    """Return the last means of what the arms of one environment recorded: metrics down, arms across."""
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
    return {"within": "green", "below": "red", "above": "cyan"}.get(text.split(" ")[0].rstrip(","), "dim")


def number(value: float, like: float | None = None) -> str:
    """Return a number with as many decimals as its size (or that of `like`) deserves; `-` for none."""
    if math.isnan(value):
        return "-"
    size = abs(value if like is None or math.isnan(like) else like)
    return f"{value:.{0 if size >= 100 else 1 if size >= 10 else 2}f}"
