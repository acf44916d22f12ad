"""RTU Figure 1a: time of a learning step by exact gradients against the number of units, on logarithmic axes.

Medians over repeats with their range, the published times behind them, paler and dashed. The growth exponent from n to m units
is log(time of m / time of n) / log(m / n): 1 where time grows as the number of units does.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis import plot
from analysis.figures import FigureData
from analysis.panels import DASHES
from analysis.plot import MUTED
from analysis.published import rtu
from experiments.expand import labelled_runs

OURS, PUBLISHED, GROWTH = "ours", "published", "growth exponent"
COLUMNS = ["part", "cell", "units", "quantity", "value", "lowest", "highest", "updates", "core_share"]
TIME = "milliseconds"
MARKERS = {"FFN": "D", "GRU": "s", "LSTM": "^", "RTU": "o"}
# The published growth is given between these sizes; where ours ends earlier, ours is taken between the two largest it has.
SPAN = (128, 512)
WIDTH_INCHES, HEIGHT_INCHES = 4.8, 2.9


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw the times; return them and their growth exponents."""
    numbers = summarise(data)
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    axes = figure.subplots()
    times = numbers[numbers["quantity"] == TIME]
    cells = list(dict.fromkeys(times["cell"]))
    colours = plot.colours([cells])
    for cell in cells:
        theirs = times[(times["cell"] == cell) & (times["part"] == PUBLISHED)]
        style: dict[str, Any] = {"color": plot.lighter(colours[cell], 0.45), "linestyle": DASHES, "linewidth": 1.0}
        axes.plot(theirs["units"], theirs["value"], zorder=2.5, **style)
        ours = times[(times["cell"] == cell) & (times["part"] == OURS)]
        spread = [ours["value"] - ours["lowest"], ours["highest"] - ours["value"]]
        axes.errorbar(ours["units"], ours["value"], yerr=spread, color=colours[cell], linestyle="none", elinewidth=0.9)
        axes.plot(ours["units"], ours["value"], color=colours[cell], marker=MARKERS.get(cell, "o"), markersize=3.4, zorder=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted(set(times["units"]))
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("units")
    axes.set_ylabel("ms for a learning step")
    keys: list[Any] = [
        Line2D([], [], color=colours[cell], marker=MARKERS.get(cell, "o"), markersize=3.4, label=cell) for cell in cells
    ]
    keys.append(Line2D([], [], color=MUTED, linewidth=1.0, linestyle=DASHES, label="published"))
    plot.below(figure, [keys], ["One stream on one core, float32; published: hardware not stated.", *_sentences(numbers)])
    return figure, numbers


def summarise(data: FigureData) -> pd.DataFrame:
    """Return a row for every time, ours and published, and for every growth exponent."""
    finished = data.store.finished()
    found: list[dict[str, Any]] = []
    for _, arm, run in labelled_runs(data.preset):
        if run.run_id not in finished:
            continue
        table = data.store.load(run.run_id)[2][run.algorithm].to_pandas()
        times = table["milliseconds"]
        given: dict[str, Any] = dict(run.hyperparameters)
        known = {"cell": plot.method(arm.label), "units": given["units"]}
        spread = {"value": times.median(), "lowest": times.min(), "highest": times.max()}
        counts = {"updates": int(table["updates"].sum()), "core_share": table["core_share"].min()}
        found.append({"part": OURS, **known, "quantity": TIME, **spread, **counts})
    shown = {row["cell"] for row in found}
    for row in rtu.cost().itertuples():
        if row.cell in shown:
            theirs = {"cell": row.cell, "units": row.hidden_size, "quantity": TIME, "value": row.ms_per_step}
            found.append({"part": PUBLISHED, **theirs})
    times = pd.DataFrame(found, columns=COLUMNS)
    growth = pd.DataFrame(_growth(times), columns=COLUMNS)
    tables = [table for table in (times, growth) if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else times


def _growth(times: pd.DataFrame) -> list[dict[str, Any]]:
    """Return growth exponents, each at its larger size."""
    found = []
    for (part, cell), own in times.groupby(["part", "cell"], sort=False):
        at = dict(zip(own["units"], own["value"], strict=True))
        first, last = SPAN if set(SPAN) <= set(at) else (sorted(at)[-2:] if len(at) > 1 else (0, 0))
        if first:
            exponent = math.log(at[last] / at[first]) / math.log(last / first)
            found.append({"part": part, "cell": cell, "units": last, "quantity": f"{GROWTH} from {first}", "value": exponent})
    return found


def _sentences(numbers: pd.DataFrame) -> list[str]:
    """Say how the times grow, ours beside the published, where both are known between the same sizes."""
    growth = numbers[numbers["quantity"].str.startswith(GROWTH)]
    wanted = f"{GROWTH} from {SPAN[0]}"
    values = {(row.part, row.cell): row.value for row in growth.itertuples() if (row.quantity, row.units) == (wanted, SPAN[1])}
    both = [
        f"{cell} {value:.2f} ({values[PUBLISHED, cell]:.2f})"
        for (part, cell), value in values.items()
        if part == OURS and (PUBLISHED, cell) in values
    ]
    return [f"Growth exponent from {SPAN[0]} to {SPAN[1]} units (published): {', '.join(both)}."] if both else []


def tables(numbers: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return what the report prints: times by size, and growth exponents beside the published ones."""
    times = numbers[numbers["quantity"] == TIME]
    cells = times.pivot(index=["cell", "part"], columns="units", values="value").reset_index()
    cells.columns = [str(name) for name in cells.columns]
    growth = numbers[numbers["quantity"].str.startswith(GROWTH)]
    growth = growth.assign(span=growth["quantity"].str.removeprefix(f"{GROWTH} ") + " to " + growth["units"].astype(str))
    exponents = growth.pivot(index=["cell", "span"], columns="part", values="value").reset_index()
    exponents.columns = [str(name) for name in exponents.columns]
    return [("Milliseconds of a learning step, by units", cells), ("Growth exponents", exponents)]
