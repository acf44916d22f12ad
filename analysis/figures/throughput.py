"""Steps/s of each learner with its environment, of its update alone, and of the bare environment, on one core."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from analysis import plot
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.learner_style import STYLES
from analysis.plot import BEHIND_WORDS, MUTED
from experiments.expand import labelled_runs

# What stands in a row, in columns of the numbers: markers differ, so that grey is enough.
QUANTITIES: dict[str, tuple[str, dict[str, Any]]] = {
    "environment alone": ("environment", {"marker": "|", "color": MUTED, "markersize": 7, "markeredgewidth": 1.6}),
    "update alone": (
        "update",
        {"marker": "D", "color": STYLES["PPO"].colour, "markerfacecolor": "white", "markersize": 3.6, "markeredgewidth": 1.0},
    ),
    "learner and environment": ("together", {"marker": "o", "color": STYLES["Stream AC"].colour, "markersize": 4.6}),
}
NONE = float("nan")
# All rows are on one page.
WIDTH_INCHES, ROW_INCHES, HEAD_ROWS, FOOT_INCHES, TALLEST = 6.6, 0.165, 1.25, 0.75, 9.0


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw a row per learner under its environment, and return medians over the repeats with their ranges and ratios."""
    numbers = summarise(data)
    return redraw(numbers, data), numbers


def redraw(numbers: pd.DataFrame, data: FigureData) -> Figure:
    """Draw the rows again from the numbers. Rates are dots on a logarithmic axis, which has no origin for bars."""
    places, heads, groups, place = [], [], [], 0.0
    for env_id, rows in numbers.groupby("env_id", sort=False):
        heads.append((place, str(env_id)))
        groups.append(rows)
        places += [place + HEAD_ROWS + i for i in range(len(rows))]
        place += HEAD_ROWS + len(rows)
    ordered = pd.concat(groups or [numbers], ignore_index=True)
    figure = Figure(figsize=(WIDTH_INCHES, min(place * ROW_INCHES + FOOT_INCHES, TALLEST)), layout="constrained")
    axes = figure.subplots()
    axes.set_xscale("log")
    keys = []
    for name, (column, look) in QUANTITIES.items():
        axes.plot(ordered[column], places, linestyle="none", **look, zorder=4)
        keys.append(Line2D([], [], linestyle="none", **look, label=name))
    axes.hlines(places, ordered["lowest"], ordered["highest"], color=STYLES["Stream AC"].colour, linewidth=1.0, zorder=3)
    edge = axes.get_yaxis_transform()
    small: dict[str, Any] = {"transform": edge, "va": "center", "fontsize": 6.5}
    axes.text(1.02, -0.5, "steps/s", ha="left", **small)
    axes.text(1.2, -0.5, "share", ha="right", color=MUTED, **small)
    for where, row in zip(places, ordered.itertuples(), strict=True):
        axes.text(1.02, where, f"{row.together:,.0f}", ha="left", **small)
        axes.text(1.2, where, f"{row.share:.0%}" if row.share > 0 else "", ha="right", color=MUTED, **small)
    for where, env_id in heads:
        axes.text(0.0, where + 0.35, env_id, ha="left", **{**small, "fontsize": 7}, fontweight="bold", bbox=BEHIND_WORDS)
    axes.set_yticks(places, ordered["learner"], fontsize=6.5)
    axes.set_ylim(max(place, 1.0), -0.9)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="both")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda rate, _: short_steps(rate)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("steps/s over all lanes and workers", labelpad=2)
    said = (
        "Medians over repeats, the range of learner and environment as a line. Share: of the rate of the bare environment, "
        "measured beside it."
    )
    plot.below(figure, [keys], [said])
    return figure


def summarise(data: FigureData) -> pd.DataFrame:
    """Return one row per environment and learner, medians over repeats in steps/s.

    `share` is the median over repeats of together / environment, which were measured one after the other. `scaling` is the
    rate of several workers over that of as many times one worker with as many lanes.
    """
    finished = data.store.finished()
    rows: list[dict[str, Any]] = []
    for row, arm, run in labelled_runs(data.preset):
        if run.run_id not in finished:
            continue
        _, _, tables = data.store.load(run.run_id)
        table = tables["throughput"].to_pandas().pivot(index="repeat", columns="quantity", values="steps_per_second")
        together = table["learner and environment"]
        medians = {column: table[name].median() if name in table else NONE for name, (column, _) in QUANTITIES.items()}
        rows.append(
            {
                "env_id": row.env_id,
                "learner": arm.label,
                **{column: round(rate) if rate == rate else NONE for column, rate in medians.items()},
                "lowest": round(together.min()),
                "highest": round(together.max()),
                "share": round((together / table["environment alone"]).median(), 3) if "environment alone" in table else NONE,
                "scaling": NONE,
                "settings": dict(run.hyperparameters),
            }
        )
    alone = {_kind(found): found["together"] for found in rows if found["settings"]["workers"] == 1}
    for found in rows:
        workers = found["settings"]["workers"]
        if workers > 1 and _kind(found) in alone:
            found["scaling"] = round(found["together"] / (workers * alone[_kind(found)]), 3)
    return pd.DataFrame(rows).drop(columns="settings")


def _kind(found: dict[str, Any]) -> tuple[str, str, int]:
    return found["env_id"], found["settings"]["learner"], found["settings"]["lanes"]
