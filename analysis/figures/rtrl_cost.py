"""RTU Figure 1a: time of a learning step by exact gradients against the number of units, on logarithmic axes.

Medians over repeats with their range, the published times hollow and dotted. The growth exponent from n to m units
is log(time of m / time of n) / log(m / n): 1 where time grows as the number of units does.
"""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from analysis import lines, plot
from analysis.figures import FigureData
from analysis.learner_style import lighter, method, styles
from analysis.panels import DOTS, arm_key
from analysis.plot import MUTED
from analysis.published import rtu
from experiments.expand import labelled_runs

OURS, PUBLISHED, GROWTH = "ours", "published", "growth exponent"
COLUMNS = ["part", "cell", "units", "quantity", "value", "lowest", "highest", "updates", "core_share"]
TIME = "milliseconds"
# The published growth is given between these sizes; where ours ends earlier, ours is taken between the two largest it has.
SPAN = (128, 512)
WIDTH_INCHES, HEIGHT_INCHES = 4.8, 2.9


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw the times; return them and their growth exponents."""
    numbers = summarise(data)
    return redraw(numbers, data), numbers


def redraw(numbers: pd.DataFrame, data: FigureData) -> Figure:
    """Draw the times again from the numbers."""
    figure = Figure(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    axes = figure.subplots()
    times = numbers[numbers["quantity"] == TIME]
    cells = list(dict.fromkeys(times["cell"]))
    looks = styles([cells])
    for cell in cells:
        theirs = times[(times["cell"] == cell) & (times["part"] == PUBLISHED)]
        look = looks[cell]
        style: dict[str, Any] = {"color": lighter(look.colour, 0.25), "linestyle": DOTS, "linewidth": 1.1}
        axes.plot(theirs["units"], theirs["value"], zorder=2.5, **{**lines.hollow(look), **style})
        ours = times[(times["cell"] == cell) & (times["part"] == OURS)]
        spread = [ours["value"] - ours["lowest"], ours["highest"] - ours["value"]]
        axes.errorbar(ours["units"], ours["value"], yerr=spread, color=look.colour, linestyle="none", elinewidth=0.9)
        line: dict[str, Any] = {"color": look.colour, "linestyle": look.linestyle, "linewidth": 1.3}
        axes.plot(ours["units"], ours["value"], **line, **lines.marker(look), zorder=4)
    axes.set_xscale("log")
    axes.set_yscale("log")
    sizes = sorted(set(times["units"]))
    axes.xaxis.set_major_locator(FixedLocator(sizes))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("units")
    axes.set_ylabel("ms for a learning step")
    keys: list[Any] = [arm_key(cell, looks[cell]) for cell in cells]
    ring: dict[str, Any] = {"marker": "o", "markersize": 3.6, "markerfacecolor": "white", "markeredgewidth": 0.8}
    keys.append(Line2D([], [], color=MUTED, linewidth=1.1, linestyle=DOTS, **ring, label="published"))
    plot.below(figure, [keys], ["One stream on one core, float32; published: hardware not stated.", *_sentences(numbers)])
    return figure


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
        known = {"cell": method(arm.label), "units": given["units"]}
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
