"""Learning on board of a robot: returns against the robot's time, cycles missed, and what a device could hold. AVG, Fig. 21.

Runs on robots tell when each episode ended, in seconds of the robot's own time, and how many cycles went by while the learner
computed. A curve is the mean over runs of the mean return of the episodes that ended in a stretch of time, with a 90 % t band;
learners that ended earlier or later than the emphasised one are drawn over its time, once it has one. Memory is arithmetic: a
stored sample is 80 bytes where the robot shows what it does here (the sheet's formula: two observations of 8 numbers, an action
of 2, reward and end, 4 bytes each), and 43,200 bytes where it shows one picture of 160 x 90 x 3 bytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis import lines, panels, plot
from analysis.curves import KEYS
from analysis.figures import FigureData
from analysis.learner_style import Style, styles
from analysis.metrics import bin_values
from analysis.plot import BEHIND_WORDS, INK, MUTED
from analysis.published.records import FOLDER
from analysis.statistics import mean_over_runs
from experiments.errors import UserError
from experiments.expand import resolve
from experiments.spec import Arm, Row

# What the bins are made of: the episodes of a run, which name their seconds and cycles.
TABLE = "episodes"
RETURN, SECONDS, EPISODES, CYCLES, MISSED = "episodic_return", "seconds", "episodes", "cycles", "missed_cycles"
STRETCHES = 30
PANEL_WIDTH, PANEL_HEIGHT, NARROWEST = 3.1, 2.05, 6.4
STATE_BYTES, IMAGE_BYTES = 4 * (2 * 8 + 2 + 2), 160 * 90 * 3
LIMIT = "memory of a Jetson Nano"
IMAGES = "images and proprioception at 1M samples"
NUMBERS = ["part", "panel", "env_id", "algorithm", "seconds", "value", "ci90", "n"]


def metrics(table: Mapping[str, np.ndarray], row: Row, hyperparameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return by bins of the learner's steps: mean return and time of the episodes, their number, cycles and missed ones."""
    if SECONDS not in table:
        raise UserError(f"a run on {row.env_id} did not count its time; give the row a device, such as jetson_nano.")
    step, width = table["step"], row.bin_width
    bins = row.steps // width
    index = (np.asarray(step, np.int64) - 1) // width
    kept = index < bins
    counts = {EPISODES: np.ones(len(step)), CYCLES: table[CYCLES], MISSED: table[MISSED]}
    return {
        **{name: bin_values(step, table[name], width, row.steps) for name in (RETURN, SECONDS)},
        **{name: np.bincount(index[kept], values[kept], bins).astype(np.float64) for name, values in counts.items()},
    }


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw returns against time for every robot, missed cycles and memory; return the numbers drawn."""
    rows = data.preset.rows
    blocks = math.ceil(len(rows) / 2) + 1
    figure, grid = plot.panel_grid(blocks, 2, (PANEL_WIDTH, PANEL_HEIGHT), NARROWEST, 2 * blocks)
    looks = styles([[arm.label for arm in row.arms] for row in rows])
    wide = _by_bin(data.curves)
    if len(rows) % 2:
        grid.flat[len(rows)].set_axis_off()
    numbers = [
        _returns(axes, row, wide[wide["panel"] == row.panel_name], looks) for axes, row in zip(grid.flat, rows, strict=False)
    ]
    numbers += [_missed(grid[-1, 0], rows, wide, looks), _memory(grid[-1, 1], rows, looks)]
    kinds = [*panels.spread_keys(data.curves), *_memory_keys()]
    said = (
        "Time is the robot's: its cycles, resets, and what it waits for between episodes. Robots are simulated; how long a"
        f" learner computes is {_sources(rows)}. Memory is that of stored samples alone, by arithmetic."
    )
    plot.below(
        figure,
        [panels.arm_keys(rows, looks), kinds],
        [*panels.budget_lines(data), said, *panels.divergence_lines(data.summary)],
    )
    return figure, pd.concat(numbers, ignore_index=True).reindex(columns=NUMBERS)


def comparison(data: FigureData) -> pd.DataFrame:
    """Return for each arm what it earned in the end, what it missed, and whether the device could hold its samples.

    Columns beside panel, env_id and algorithm: `return` with ci90 over n runs, of the last tenth of its own steps; `hours` of
    the robot's time; `missed`, the share of cycles in the second half of its steps; samples stored; MB of them as states and
    as images; `fits`, which of the two the device holds; `published`, MB of images where the talk tells.
    """
    limit, known = _published(LIMIT), _published(IMAGES)
    wide = _by_bin(data.curves)
    rows = []
    for row in data.preset.rows:
        for arm in row.arms:
            own = wide[(wide["panel"] == row.panel_name) & (wide["algorithm"] == arm.label)]
            if own.empty:
                continue
            last = own["step"].max()
            end = own[own["step"] > 0.9 * last]
            per_run = end.groupby("seed")[[RETURN, EPISODES]].apply(_weighted)
            earned, samples = mean_over_runs(per_run.to_numpy(float)), samples_of(row, arm)
            states, images = STATE_BYTES * samples, IMAGE_BYTES * samples
            fits = "states and images" if images <= limit else "states" if states <= limit else "neither"
            rows.append(
                {
                    **{"panel": row.panel_name, "env_id": row.env_id, "algorithm": arm.label},
                    **{"return": earned.mean, "ci90": earned.ci90, "n": earned.n},
                    "hours": own.groupby("seed")[SECONDS].max().mean() / 3600,
                    "missed": _share(own[own["step"] > last / 2]),
                    "samples": samples,
                    **{"states MB": states / 1e6, "images MB": images / 1e6, "fits": fits},
                    "published": known / 1e6 if samples == 1_000_000 else math.nan,
                }
            )
    return pd.DataFrame(rows)


def samples_of(row: Row, arm: Arm) -> int:
    """Return how many samples a learner stores: its buffer, its rollout, or the newest one."""
    known = dict(resolve(row, arm, 0).hyperparameters)
    found = known.get("buffer_size", known.get("rollout_steps", 1))
    assert isinstance(found, int)
    return found


def _sources(rows: tuple[Row, ...]) -> str:
    """Return where the time of computing is from, as words."""
    measured = [row.panel_name for row in rows if row.environment.get("device") == "measured"]
    told = "taken from a device's profile" if len(measured) < len(rows) else ""
    clock = f"measured on the wall clock, which cannot be repeated ({'; '.join(measured)})" if measured else ""
    return " or ".join(part for part in (told, clock) if part)


def _by_bin(curves: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each run and bin, its metrics beside each other."""
    keys = [*KEYS, "seed", "step"]
    if curves.empty:
        return pd.DataFrame(columns=[*keys, RETURN, SECONDS, EPISODES, CYCLES, MISSED])
    return curves.pivot_table(index=keys, columns="metric", values="value", observed=True).reset_index()


def _weighted(bins: pd.DataFrame) -> float:
    bins = bins[bins[EPISODES] > 0]
    return float(np.average(bins[RETURN], weights=bins[EPISODES])) if len(bins) else math.nan


def _share(bins: pd.DataFrame) -> float:
    return float(bins[MISSED].sum() / bins[CYCLES].sum()) if bins[CYCLES].sum() else math.nan


def _returns(axes: Axes, row: Row, wide: pd.DataFrame, looks: Mapping[str, Style]) -> pd.DataFrame:
    named = [arm.label for arm in row.arms if arm.emphasised]
    of_named = wide[wide["algorithm"].isin(named)]
    ends = (wide if of_named.empty else of_named).groupby(["algorithm", "seed"], observed=True)[SECONDS].max()
    end = float(ends.groupby("algorithm", observed=True).mean().max()) if len(ends) else 1.0
    tables = []
    for arm in sorted(row.arms, key=lambda arm: arm.emphasised):
        own = wide[(wide["algorithm"] == arm.label) & (wide[EPISODES] > 0) & (wide[SECONDS] <= end)]
        if own.empty:
            continue
        stretch = np.minimum((own[SECONDS] / end * STRETCHES).astype(int), STRETCHES - 1)
        runs = own.groupby([stretch.rename("stretch"), "seed"])[[RETURN, EPISODES]].apply(_weighted)
        means = {number: mean_over_runs(values.to_numpy(float)) for number, values in runs.groupby("stretch")}
        table = pd.DataFrame(
            [((number + 0.5) / STRETCHES * end, m.mean, m.ci90, m.n) for number, m in sorted(means.items())],
            columns=["seconds", "value", "ci90", "n"],
        )
        points = runs.rename("value").reset_index()
        points["x"] = (points["stretch"] + 0.5) / STRETCHES * end / 3600
        position = (row.arms.index(arm), len(row.arms))
        lines.line(axes, points, "value", looks[arm.label], arm.emphasised, position)
        tables.append(table.assign(part="return", panel=row.panel_name, env_id=row.env_id, algorithm=arm.label))
    axes.set_xlim(0, end / 3600)
    axes.set_xlabel("hours of the robot's time", labelpad=2)
    axes.set_ylabel("return")
    axes.locator_params(axis="both", nbins=5)
    plot.return_axis(axes)
    plot.set_title(axes, row.panel_name.replace("-v0", ""), PANEL_WIDTH - 0.3)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=NUMBERS)


def _missed(axes: Axes, rows: tuple[Row, ...], wide: pd.DataFrame, looks: Mapping[str, Style]) -> pd.DataFrame:
    numbers, place, ticks = [], 0.0, []
    for row in rows:
        begin = place
        for arm in row.arms:
            own = wide[(wide["panel"] == row.panel_name) & (wide["algorithm"] == arm.label)]
            share = _share(own[own["step"] > own["step"].max() / 2]) if len(own) else math.nan
            axes.bar(place, share, 0.8, color=looks[arm.label].colour)
            if math.isfinite(share):
                axes.text(place, share + 0.02, f"{100 * share:.0f}", ha="center", fontsize=6.5)
            numbers.append(("missed cycles", row.panel_name, row.env_id, arm.label, share))
            place += 1
        ticks.append(((begin + place - 1) / 2, row.panel_name.replace("-v0", "").replace(", ", ",\n")))
        place += 0.8
    axes.set_xticks([x for x, _ in ticks], [name for _, name in ticks])
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 1.12)
    axes.set_yticks([0, 0.5, 1], ["0", "50 %", "100 %"])
    plot.set_title(axes, "cycles missed while learning", PANEL_WIDTH - 0.3)
    return pd.DataFrame(numbers, columns=["part", "panel", "env_id", "algorithm", "value"])


def _memory(axes: Axes, rows: tuple[Row, ...], looks: Mapping[str, Style]) -> pd.DataFrame:
    stored = {arm.label: samples_of(row, arm) for row in rows for arm in row.arms}
    limit = _published(LIMIT)
    numbers = []
    for place, (label, samples) in enumerate(stored.items()):
        look = looks[label]
        axes.plot([samples * STATE_BYTES, samples * IMAGE_BYTES], [place, place], color=look.colour, linewidth=0.9)
        for size, kind in ((STATE_BYTES, "states"), (IMAGE_BYTES, "images")):
            drawn = lines.marker(look, size=6) if kind == "images" else lines.hollow(look, size=6)
            axes.plot(samples * size, place, **{**drawn, "color": look.colour}, zorder=4)
            text: dict[str, Any] = {"xytext": (0, 4.5), "textcoords": "offset points", "ha": "center", "va": "bottom"}
            axes.annotate(_bytes(samples * size), (samples * size, place), **text, fontsize=6)
            numbers.append((f"bytes as {kind}", label, float(samples * size)))
    axes.axvline(limit, color=MUTED, linewidth=1.0, linestyle=panels.LONG_DASHES)
    axes.text(
        limit, len(stored) - 0.3, f"Jetson Nano, {_bytes(limit)}", ha="center", fontsize=6, color=MUTED, bbox=BEHIND_WORDS
    )
    axes.set_xscale("log")
    axes.set_xlim(10, 1e12)
    axes.set_xticks([1e3, 1e6, 1e9], ["1 kB", "1 MB", "1 GB"])
    axes.set_xticks([], minor=True)
    axes.set_ylim(len(stored) - 0.1, -0.75)
    axes.set_yticks(range(len(stored)), list(stored))
    axes.grid(visible=False)
    plot.set_title(axes, "memory of stored samples", PANEL_WIDTH - 0.3)
    return pd.DataFrame(numbers, columns=["part", "algorithm", "value"])


def _memory_keys() -> list[Any]:
    common: dict[str, Any] = {"color": INK, "marker": "o", "markersize": 4.5, "linestyle": "none"}
    return [
        Line2D([], [], **common, markerfacecolor="white", label="samples of states"),
        Line2D([], [], **common, label="samples of images"),
    ]


def _published(label: str) -> float:
    rows = pd.read_csv(FOLDER / "avg_resources.csv").set_index("label")
    return float(rows.loc[label, "low"])


def _bytes(number: float) -> str:
    for size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.0f} bytes"
