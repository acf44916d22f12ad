"""Steps/s of each learner with its environment, of its update alone, and of the bare environment, on one core."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from analysis import plot
from analysis.figures import FigureData
from experiments.spec import labelled_runs

QUANTITIES = {
    "environment alone": ("environment_alone", "#d5d9df"),
    "update alone": ("update_alone", "#9db7d3"),
    "learner and environment": ("together", plot.COLOURS["Stream AC"]),
}
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
            share = f", {row['share_of_environment']:.0%} of the environment's" if row["share_of_environment"] > 0 else ""
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
    """Return one row per environment and learner.

    `share_of_environment` is the median over repeats of together / environment_alone, which were measured one after the
    other; `workers` above 1 have no share, and `scaling` is their rate over workers times that of one worker of as many lanes.
    """
    finished = data.store.finished()
    rows = []
    for row, arm, run in labelled_runs(data.preset):
        if run.run_id not in finished:
            continue
        _, _, tables = data.store.load(run.run_id)
        table = tables["throughput"].to_pandas().pivot(index="repeat", columns="quantity", values="steps_per_second")
        settings = dict(run.hyperparameters)
        found = {column: table[name].median() for name, (column, _) in QUANTITIES.items() if name in table}
        share = float("nan")
        if "environment alone" in table:
            share = (table["learner and environment"] / table["environment alone"]).median()
        rows.append(
            {
                "env_id": row.env_id,
                "learner": arm.label,
                "lanes": settings["lanes"],
                "workers": settings["workers"],
                "environment_alone": found.get("environment_alone", float("nan")),
                "update_alone": found.get("update_alone", float("nan")),
                "together": found["together"],
                "lowest": table["learner and environment"].min(),
                "highest": table["learner and environment"].max(),
                "share_of_environment": share,
                "algorithm": settings["learner"],
                "repeats": len(table),
            }
        )
    frame = pd.DataFrame(rows)
    alone = frame[frame["workers"] == 1].set_index(["env_id", "algorithm", "lanes"])["together"]
    keys = list(zip(frame["env_id"], frame["algorithm"], frame["lanes"], strict=True))
    frame["scaling"] = [
        rate / (workers * alone[key]) if workers > 1 and key in alone.index else float("nan")
        for key, rate, workers in zip(keys, frame["together"], frame["workers"], strict=True)
    ]
    return frame.drop(columns="algorithm").round({"share_of_environment": 3, "scaling": 3} | dict.fromkeys(found_columns(), 0))


def found_columns() -> list[str]:
    """Return the columns that hold rates, shown without decimals."""
    return [column for column, _ in QUANTITIES.values()] + ["lowest", "highest"]
