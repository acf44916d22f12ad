"""What learning costs: times of actions and updates against an action cycle, and memory against stored samples.

Medians over repeats are dots with their range, on logarithmic axes, which have no origin for bars. Times on a slower device are
those of this machine times the `slowdown` of the arithmetic arm; nothing else is scaled. Bytes of learners that were not
measured, and those of the buffer of images and proprioception, are computed from shapes, drawn dotted and named so.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from analysis import lines, plot
from analysis.figures import FigureData
from analysis.learner_style import Style, method, styles
from analysis.panels import DOTS, arm_key
from analysis.plot import INK, MUTED
from analysis.published import FOLDER
from experiments.expand import labelled_runs

KEYS = ["env_id", "learner", "samples", "quantity"]
COLUMNS = [*KEYS, "value", "lowest", "highest", "unit", "device", "cycles", "core_share", "note"]
ACTION, UPDATE, PER_STEP = "action", "update", "learning per step"
PEAK, HELD, COMPUTED, PROCESS = "peak", "held", "computed", "whole process"
# Where there is no arithmetic arm: the cycle of ReLoD's Create-Reacher, and this machine.
CYCLE_MS, SLOWDOWN = 45.0, 1.0

# The buffer of the talk: RGB images of 160 x 90, one frame per sample. Our choice, since it was not published: proprioception
# of a UR5 arm, 5 joints with angle, velocity and previous action, before and after the step; an action of 5 velocities; reward
# and end; all float32.
IMAGES, BUFFER = "robot images", "buffer"
IMAGE_BYTES = 160 * 90 * 3
PROPRIOCEPTION = 5 * 3
IMAGE_SAMPLE_BYTES = IMAGE_BYTES + 4 * (2 * PROPRIOCEPTION + 5 + 2)
IMAGE_SAMPLES = (1, 100, 1_000, 10_000, 100_000, 1_000_000)

WIDTH_INCHES, ROW_INCHES, HEAD_INCHES, MEMORY_INCHES = 7.0, 0.21, 0.42, 2.3
# Learners without stored samples stand left of the first power of ten.
NOTHING_STORED = 0.12
TIMES_TITLE = "Times in ms: median, lowest and highest update; cycles: action + update in action cycles; core: share got of it"
MEMORY_TITLE = "Memory in MB: peak, held and computed of the learner, peak of its whole process"
# With less of the core than this, times are those of a busy machine.
LEAST_SHARE = 0.9
ON_WHITE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
VARIANTS = {"eager": ("x", "PyTorch operation by operation"), "lanes": ("+", "one-sample form in lanes")}


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw times by task and memory by task, and return all medians with their ranges."""
    numbers = summarise(data)
    return redraw(numbers, data), numbers


def redraw(numbers: pd.DataFrame, data: FigureData) -> Figure:
    """Draw the figure again from the numbers."""
    cycle, slowdown = _device(data)
    numbers = numbers.fillna({"note": ""})
    times, memory = numbers[numbers["unit"] == "ms"], numbers[numbers["unit"] == "bytes"]
    measured = numbers[numbers["learner"] != BUFFER]
    looks = styles([_learners(rows) for _, rows in measured.groupby("env_id", sort=False)])
    groups = list(dict.fromkeys(times["env_id"]))
    published = _published("time") if groups else pd.DataFrame()
    heights = [ROW_INCHES * len(_learners(times[times["env_id"] == env_id])) + HEAD_INCHES for env_id in groups]
    heights += [ROW_INCHES * len(published) + HEAD_INCHES] if groups else []
    panels = list(dict.fromkeys(memory["env_id"]))
    total = sum(heights) + (MEMORY_INCHES if panels else 0) + 0.3
    figure = Figure(figsize=(WIDTH_INCHES, max(total, 1.5)), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[max(sum(heights), 0.01), MEMORY_INCHES if panels else 0.01])
    if groups:
        scales = [1.0] if slowdown == 1.0 else [1.0, slowdown]
        grid = parts[0].subplots(len(groups) + 1, len(scales), squeeze=False, sharex=True, height_ratios=heights)
        for column, scale in enumerate(scales):
            for axes, env_id in zip(grid[:, column], groups, strict=False):
                _times(axes, times[times["env_id"] == env_id], scale, looks)
                axes.set_title(env_id, loc="left", pad=3)
            _published_times(grid[-1, column], published)
            for axes in grid[:, column]:
                _cycle(axes, cycle, first=axes is grid[0, column])
                if column:
                    axes.set_yticklabels([])
            grid[-1, column].set_xlabel("ms, this machine" if column == 0 else f"ms, a device {slowdown:g} times slower")
    if panels:
        for axes, env_id in zip(parts[1].subplots(1, len(panels), squeeze=False, sharey=True)[0], panels, strict=True):
            _memory(axes, memory[memory["env_id"] == env_id], looks)
            plot.set_title(axes, env_id, WIDTH_INCHES / len(panels) - 0.3)
    plot.below(figure, _keys(numbers, looks), _small_print(numbers, slowdown, bool(panels)))
    return figure


def summarise(data: FigureData) -> pd.DataFrame:
    """Return one row per learner, number of samples and quantity: median and range over repeats.

    `device` is the value on a device so many times slower, and `cycles` that over the length of the action cycle.
    """
    cycle, slowdown = _device(data)
    finished = data.store.finished()
    found: list[dict[str, Any]] = []
    for row, arm, run in labelled_runs(data.preset):
        if run.run_id not in finished:
            continue
        table = data.store.load(run.run_id)[2][run.algorithm].to_pandas()
        for part in _peaks(table) if run.algorithm == "peak_memory" else _medians(table):
            found.append({"env_id": row.env_id, "learner": arm.label, **part})
    numbers = pd.DataFrame(found, columns=COLUMNS)
    if (numbers["unit"] == "bytes").any():
        numbers = pd.concat([numbers, _images()], ignore_index=True)
    timed = numbers["unit"] == "ms"
    numbers["device"] = (numbers["value"] * slowdown).where(timed)
    numbers["cycles"] = (numbers["device"] / cycle).where(timed)
    columns = ("samples", "value", "lowest", "highest", "device", "cycles", "core_share")
    return numbers.astype(dict.fromkeys(columns, float)).fillna({"note": ""})


def _medians(table: pd.DataFrame) -> list[dict[str, Any]]:
    unit = next(name for name in ("milliseconds", "gflops") if name in table)
    short = {"milliseconds": "ms", "gflops": "GFLOP/s"}[unit]
    share = {"core_share": table["core_share"].min()} if "core_share" in table else {}
    groups = table.groupby("quantity", sort=False)[unit]
    return [{"quantity": quantity, **_range(values), "unit": short, **share} for quantity, values in groups]


def _peaks(table: pd.DataFrame) -> list[dict[str, Any]]:
    found = []
    for samples, rows in table.groupby("samples"):
        for quantity, column in ((PEAK, "peak_bytes"), (HELD, "held_bytes"), (COMPUTED, "computed_bytes")):
            why = "; ".join(dict.fromkeys(reason for reason in rows["reason"] if reason)) if quantity == PEAK else ""
            found.append({"samples": samples, "quantity": quantity, **_range(rows[column]), "unit": "bytes", "note": why})
        found.append({"samples": samples, "quantity": PROCESS, **_range(rows["process_bytes"]), "unit": "bytes"})
    return found


def _range(values: pd.Series) -> dict[str, float]:
    return {"value": values.median(), "lowest": values.min(), "highest": values.max()}


def _images() -> pd.DataFrame:
    rows = [
        {
            "env_id": IMAGES,
            "learner": BUFFER,
            "samples": samples,
            "quantity": COMPUTED,
            **dict.fromkeys(("value", "lowest", "highest"), float(samples * IMAGE_SAMPLE_BYTES)),
            "unit": "bytes",
        }
        for samples in IMAGE_SAMPLES
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def _device(data: FigureData) -> tuple[float, float]:
    """Return the length of the action cycle in ms, and how many times slower than this machine the device is."""
    for _, _, run in labelled_runs(data.preset):
        if run.algorithm == "arithmetic":
            given: dict[str, Any] = dict(run.hyperparameters)
            return given["cycle_ms"], given["slowdown"]
    return CYCLE_MS, SLOWDOWN


def _learners(numbers: pd.DataFrame) -> list[str]:
    """List the learners of times and memory once each, variants such as `Stream AC, eager` left out."""
    kinds = numbers[numbers["unit"].isin(["ms", "bytes"])]["learner"]
    return list(dict.fromkeys(method(label) for label in kinds))


def _published(kind: str) -> pd.DataFrame:
    rows = pd.read_csv(FOLDER / "avg_resources.csv")
    return rows[rows["kind"] == kind].reset_index(drop=True)


def tables(numbers: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Return what the report prints: arithmetic in GFLOP/s, times in ms, memory in MB of 10^6 bytes."""
    found = []
    speeds = numbers[numbers["unit"] == "GFLOP/s"]
    if len(speeds):
        found.append(("Arithmetic of this machine, GFLOP/s", speeds[["quantity", "value", "lowest", "highest"]]))
    times = numbers[numbers["unit"] == "ms"]
    if len(times):
        cells = _across(times, "value")
        update = times[times["quantity"] == UPDATE].set_index(["env_id", "learner"])
        cells["lowest"], cells["highest"] = update["lowest"], update["highest"]
        if (times["device"] != times["value"]).any():
            cells["there"] = update["device"]
        cells["cycles"] = _across(times, "cycles")[[ACTION, UPDATE]].sum(axis=1)
        cells["core"] = update["core_share"]
        found.append((TIMES_TITLE, cells.rename(columns={PER_STEP: "per step"}).reset_index()))
    memory = numbers[numbers["unit"] == "bytes"]
    if len(memory):
        cells = _across(memory, "value", "samples").rename(columns={PROCESS: "process"}) / 1e6
        noted = memory[memory["note"] != ""].set_index(["env_id", "learner", "samples"])["note"]
        if len(noted):
            cells["note"] = noted
            cells = cells.fillna({"note": ""})
        found.append((MEMORY_TITLE, cells.reset_index()))
    return found


def _across(numbers: pd.DataFrame, values: str, *more: str) -> pd.DataFrame:
    """Return quantities as columns, in the order in which they and their rows first appear."""
    index = ["env_id", "learner", *more]
    cells = numbers.pivot(index=index, columns="quantity", values=values)
    rows = pd.MultiIndex.from_frame(numbers[index].drop_duplicates())
    return cells.reindex(index=rows, columns=list(dict.fromkeys(numbers["quantity"])))


# Times


def _times(axes: Axes, times: pd.DataFrame, scale: float, looks: dict[str, Style]) -> None:
    labels = _learners(times)
    values = {(row.learner, row.quantity): row for row in times.itertuples()}
    for place, label in enumerate(labels):
        look, update, action = looks[label], values.get((label, UPDATE)), values.get((label, ACTION))
        known = [scale * row.value for row in (action, update) if row is not None]
        axes.plot(known, [place] * len(known), color=look.colour, linewidth=0.9, alpha=0.5, zorder=2)
        for row, drawn in ((update, lines.marker(look, size=5.4)), (action, lines.hollow(look, size=5.4))):
            if row is None:
                continue
            axes.plot([scale * row.lowest, scale * row.highest], [place] * 2, color=INK, linewidth=0.8, zorder=3)
            axes.plot(scale * row.value, place, **{**drawn, "color": look.colour}, zorder=4)
        spread = values.get((label, PER_STEP))
        if update is not None:
            above: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom", "fontsize": 6, "zorder": 4}
            axes.annotate(_milliseconds(scale * update.value), (scale * update.value, place), (0, 2.5), **above)
            if spread is not None and spread.value < 0.9 * update.value:
                tick: dict[str, Any] = {"marker": "|", "markersize": 7, "markeredgewidth": 1.6}
                axes.plot(scale * spread.value, place, color=look.colour, **tick, zorder=4)
        for variant, (shape, _) in VARIANTS.items():
            if (other := values.get((f"{label}, {variant}", UPDATE))) is not None:
                style: dict[str, Any] = {"color": INK, "markersize": 4.2, "markeredgewidth": 0.9}
                axes.plot(scale * other.value, place, shape, **style, zorder=5)
    _time_axis(axes, labels)


def _number(axes: Axes, text: str, x: float, place: float, color: str = INK) -> None:
    """Write a number beside a mark in the middle of its row."""
    common: dict[str, Any] = {"textcoords": "offset points", "va": "center", "fontsize": 6, "zorder": 4}
    axes.annotate(text, (x, place), (5, 0), color=color, bbox=ON_WHITE, **common)


def _published_times(axes: Axes, published: pd.DataFrame) -> None:
    for place, row in enumerate(published.itertuples()):
        open_end = pd.isna(row.high)
        text = f"over {row.low:g}" if open_end else f"{row.low:g}" + (f" to {row.high:g}" if row.high > row.low else "")
        end = row.low if open_end else row.high
        axes.plot([row.low, end], [place] * 2, color=MUTED, linewidth=1.4)
        axes.plot(row.low, place, marker=">" if open_end else "o", color=MUTED, markersize=4, markerfacecolor="white")
        _number(axes, text, end, place, MUTED)
    _time_axis(axes, [f"{row.label}, {row.device}" for row in published.itertuples()])
    axes.tick_params(axis="y", labelcolor=MUTED, labelsize=6.5)
    axes.set_title("published for other tasks", loc="left", pad=3, color=MUTED)


def _time_axis(axes: Axes, labels: list[str]) -> None:
    axes.set_xscale("log")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelsize=7)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"))


def _cycle(axes: Axes, cycle: float, first: bool) -> None:
    axes.axvline(cycle, color="#b3261e", linewidth=1.0, linestyle=(0, (4, 2)), zorder=3)
    if first:
        axes.annotate(
            f"action cycle, {cycle:g} ms",
            (cycle, 1.0),
            (-2, 2),
            xycoords=axes.get_xaxis_transform(),
            textcoords="offset points",
            ha="left",
            va="bottom",
            fontsize=6.5,
            color="#b3261e",
        )


def _milliseconds(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


# Memory


def _memory(axes: Axes, memory: pd.DataFrame, looks: dict[str, Style]) -> None:
    for label, rows in memory.groupby("learner", sort=False):
        cells = rows.pivot(index="samples", columns="quantity", values="value").reindex(columns=[PEAK, COMPUTED])
        x = np.where(cells.index == 0, NOTHING_STORED, cells.index.to_numpy(float))
        peak, computed = cells[PEAK].to_numpy(float), cells[COMPUTED].to_numpy(float)
        look = looks.get(str(label), Style(MUTED, "o"))
        measured = np.isfinite(peak)
        style: dict[str, Any] = {"color": look.colour, "linestyle": look.linestyle, "linewidth": 1.1}
        axes.plot(x[measured], peak[measured], **style, **lines.marker(look))
        if not measured.all():
            known = int(measured.sum())
            joined = np.where(measured, peak, computed)[max(known - 1, 0) :]
            axes.plot(x[max(known - 1, 0) :], joined, color=look.colour, linestyle=DOTS, linewidth=1.1)
            axes.plot(x[~measured], computed[~measured], linestyle="none", **lines.hollow(look))
    marks = _published("memory").set_index("label")
    limit = marks.loc["memory of a Jetson Nano"]
    axes.axhline(limit["low"], color=MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    axes.annotate(
        "Jetson Nano, 4 GB", (NOTHING_STORED, limit["low"]), (0, 2), textcoords="offset points", fontsize=6, color=MUTED
    )
    if (memory["learner"] == BUFFER).any():
        told = marks.loc["images and proprioception at 1M samples"]["low"]
        axes.plot(1_000_000, told, marker="x", color=INK, markersize=5, zorder=4)
        axes.annotate(
            "published:\nabout 40 GB",
            (1_000_000, told),
            (-5, 1),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=6,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(NOTHING_STORED / 2.5, 3e6)
    axes.set_xticks([NOTHING_STORED, 1, 100, 10_000, 1_000_000], ["0", "1", "100", "10k", "1M"])
    axes.xaxis.minorticks_off()
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _bytes(value)))
    axes.grid(visible=True, axis="both")
    axes.set_xlabel("stored samples")
    if axes.get_subplotspec() is not None and axes.get_subplotspec().is_first_col():  # type: ignore[union-attr]
        axes.set_ylabel("peak memory of the learner")


def _bytes(value: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g} B"


# Below the panels


def _keys(numbers: pd.DataFrame, looks: dict[str, Style]) -> list[list[Any]]:
    times, memory = (numbers["unit"] == "ms").any(), (numbers["unit"] == "bytes").any()
    keys: list[Any] = []
    if times:
        common: dict[str, Any] = {"color": MUTED, "linestyle": "none"}
        keys = [
            Line2D([], [], **common, marker="o", markersize=4.6, label="update"),
            Line2D([], [], **common, marker="o", markersize=4.0, markerfacecolor="white", label="action"),
            Line2D([], [], **common, marker="|", markersize=7, markeredgewidth=1.6, label="learning, spread over all steps"),
        ]
        variants = numbers["learner"].str.partition(", ")[2]
        keys += [
            Line2D([], [], color=INK, marker=shape, linestyle="", markersize=4.2, label=f"update, {text}")
            for variant, (shape, text) in VARIANTS.items()
            if (variants == variant).any()
        ]
    rows = [keys] if keys else []
    if memory:
        stored = _learners(numbers[numbers["unit"] == "bytes"])
        rows.append([arm_key(label, looks[label]) for label in stored if label != BUFFER])
        rows[-1].append(Line2D([], [], color=MUTED, linestyle=DOTS, label="computed from shapes"))
    return rows


def _small_print(numbers: pd.DataFrame, slowdown: float, memory: bool) -> list[str]:
    lines = []
    if (numbers["unit"] == "ms").any():
        lines.append(
            "Times: one thread; medians, range over repeats as a thin line. An update is what holds up the loop: for PPO all "
            "epochs over a rollout of 2048 steps."
        )
        if (least := numbers["core_share"].min()) < LEAST_SHARE:
            lines.append(f"The machine was busy: a learner got as little as {least:.0%} of its core, and times are too long.")
    speeds = numbers[numbers["unit"] == "GFLOP/s"]
    if len(speeds):
        told = ", ".join(f"{row.value:.3g} GFLOP/s ({row.quantity})" for row in speeds.itertuples())
        lines.append(f"Arithmetic of this machine: {told}." + ("" if slowdown != 1 else " `slowdown` scales to another."))
    if memory:
        lines.append(
            "Memory: growth of a fresh process, without Python, PyTorch and the environment; streaming learners store nothing. "
            f"Images: {IMAGE_SAMPLE_BYTES:,} bytes a sample, 160 x 90 x 3 bytes and {PROPRIOCEPTION} numbers of proprioception."
        )
    return lines
