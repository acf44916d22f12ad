"""Steps/s of each learner with its environment, of its update alone, and of the bare environment, on one core."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from analysis import plot
from analysis.figures import FigureData
from experiments.expand import labelled_runs

QUANTITIES = {
    "environment alone": ("environment", "#d5d9df"),
    "update alone": ("update", "#9db7d3"),
    "learner and environment": ("together", plot.COLOURS["Stream AC"]),
}
NONE = float("nan")
ROW_INCHES, PANEL_INCHES, WIDTH_INCHES = 0.3, 0.55, 6.6


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw one panel per environment, and return medians over the repeats with their ranges and ratios."""
    numbers = summarise(data)
    env_ids = list(dict.fromkeys(numbers["env_id"]))
    sizes = [len(numbers[numbers["env_id"] == env_id]) for env_id in env_ids]
    figure = Figure(figsize=(WIDTH_INCHES, sum(sizes) * ROW_INCHES + len(sizes) * PANEL_INCHES + 0.5), layout="constrained")
    panels = figure.subplots(len(env_ids), 1, squeeze=False, height_ratios=[size + 1 for size in sizes])[:, 0]
    for axes, env_id in zip(panels, env_ids, strict=True):
        rows = numbers[numbers["env_id"] == env_id].reset_index(drop=True)
        for offset, (name, (column, colour)) in zip((-0.27, 0.0, 0.27), QUANTITIES.items(), strict=True):
            axes.barh(rows.index + offset, rows[column], height=0.25, color=colour, label=name)
        for index, row in rows.iterrows():
            share = f", {row['share']:.0%} of the environment's" if row["share"] > 0 else ""
            axes.annotate(
                f"{row['together']:,.0f}{share}",
                (row["together"], index + 0.27),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
            )
        axes.set_yticks(rows.index, rows["learner"])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_title(env_id, loc="left")
        axes.margins(x=0.25)
    panels[-1].set_xlabel("steps/s over all lanes and workers, median")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=3)
    return figure, numbers


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
