"""Stream-X Figures 9 and 10: the stream that is predicted, and predictions beside the return.

Top: the stream in its last steps, all observed channels where a run recorded them (`obs_0`, ...), else its cumulant. Below:
mean predictions over runs with 90 % t bands and the true return, (a) in the first steps and (b) in the last. Predictions are
drawn as the paper draws them, v(S_k+1) at step k (`analysis.prediction`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis import panels, plot
from analysis import prediction as predicting
from analysis.budget import short_steps
from analysis.figures import FigureData
from analysis.learner_style import Style, styles
from analysis.load import with_panels
from analysis.plot import INK
from analysis.prediction import MISSING_SHARE, PUBLISHED, Predictions, Window
from analysis.statistics import half_width
from experiments.spec import Row

metrics = predicting.of_run
EVERY_STEP = True

STREAM_WINDOW = (66_000, 68_000)  # Fig. 9
CHANNELS = ("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT")
CHANNEL_COLOURS = ("#8fb3d9", "#c6d5e6", "#e3a56b", "#f1d2b0", "#7fbfa8", "#c4e2d7", INK)
TRUE_RETURN, CUMULANT = "True return", "cumulant"
WIDTH, STREAM_HEIGHT, PREDICTION_HEIGHT = 8.8, 1.6, 2.3
MOST_POINTS = 500
# Predictions may take so many times the range of the return above and below it.
PREDICTION_ROOM = 3.0
NUMBERS = ["part", "panel", "env_id", "algorithm", "step", "value", "ci90", "n"]


def comparison(data: FigureData) -> pd.DataFrame:
    """Return errors by window beside those of the published curves."""
    return predicting.compare(data.preset, data.runs, data.store)


def draw(data: FigureData) -> tuple[Figure, pd.DataFrame]:
    """Draw the stream and the predictions of every environment, one below the other; return the points drawn."""
    arms = predicting.gather(data.preset, data.runs, data.store)
    numbers = [pd.DataFrame(columns=NUMBERS)]
    for row in data.preset.rows:
        here = {arm.label: arms[key] for arm in row.arms if (key := (row.panel_name, arm.label)) in arms}
        numbers.append(_stream(row, list(here.values())))
        numbers += [_window(row, here, window) for window in predicting.drawn_windows(row.steps)]
    drawn = pd.concat([table for table in numbers if len(table)] or numbers[:1], ignore_index=True)
    return redraw(drawn, data), drawn


def redraw(numbers: pd.DataFrame, data: FigureData) -> Figure:
    """Draw the figure again from its points."""
    rows = data.preset.rows
    looks = styles([[arm.label for arm in row.arms] for row in rows])
    figure = Figure(figsize=(WIDTH, len(rows) * (STREAM_HEIGHT + PREDICTION_HEIGHT)), layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(w_pad=0.06, h_pad=0.05, wspace=0.03, hspace=0.03)
    blocks = figure.subfigures(len(rows), 1, squeeze=False)[:, 0]
    numbers = with_panels(numbers)
    for block, row in zip(blocks, rows, strict=True):
        own = numbers[numbers["panel"] == row.panel_name]
        grid = block.add_gridspec(2, 2, height_ratios=(STREAM_HEIGHT, PREDICTION_HEIGHT))
        _draw_stream(block.add_subplot(grid[0, :]), row, own[own["part"] == "stream"])
        windows = predicting.drawn_windows(row.steps)
        spans = [grid[1, :]] if len(windows) == 1 else [grid[1, 0], grid[1, 1]]
        for letter, window, span in zip("ab", windows, spans, strict=False):
            axes = block.add_subplot(span)
            _draw_window(axes, row, own[own["step"].between(window[0], window[1], inclusive="right")], window, looks)
            plot.set_title(axes, f"({letter}) steps {short_steps(window[0])} to {short_steps(window[1])}", width=3.5)
            if letter == "a":
                axes.set_ylabel("discounted return")
    keys: list[Any] = [Line2D([], [], color=INK, linewidth=0.8, label=TRUE_RETURN)]
    keys += [
        Line2D([], [], color=looks[arm.label].colour, linewidth=1.2, label=arm.label)
        for arm in {arm.label: arm for row in rows for arm in row.arms}.values()
    ]
    keys.append(Patch(facecolor=INK, alpha=0.18, linewidth=0, label="90 % t interval"))
    plot.below(figure, [keys], [*panels.budget_lines(data), *_lines(data)])
    return figure


def _lines(data: FigureData) -> list[str]:
    lost = f"where the end of the run hides more than {100 * MISSING_SHARE:g} % of it"
    lines = [f"Mean prediction over runs, v of the next state as in the paper; no return is drawn {lost}."]
    made = [row.env_id for row in data.preset.rows if row.env_id.endswith("-generated")]
    if made:
        lines.append(
            f"{', '.join(made)}: a made-up series of the published one's kind; its errors say nothing about the paper."
        )
    return [*lines, *panels.divergence_lines(data.summary)]


# The stream


def _stream(row: Row, arms: list[Predictions]) -> pd.DataFrame:
    """Return what a run recorded of the stream in its last steps, as points to draw."""
    recorded = [arm.stream for arm in arms if len(arm.stream.get("step", ()))]
    if not recorded:
        return pd.DataFrame(columns=NUMBERS)
    stream = next((one for one in recorded if "obs_0" in one), max(recorded, key=lambda one: len(one["step"])))
    channels = {CHANNELS[i]: stream[f"obs_{i}"] for i in range(len(CHANNELS)) if f"obs_{i}" in stream}
    channels = channels or {CUMULANT: stream["cumulant"]}
    steps = len(stream["step"])
    start, end = STREAM_WINDOW if steps >= STREAM_WINDOW[1] else (max(steps - 2_000, 0), steps)
    x = _thinned(start, end)
    tables = []
    for name, values in channels.items():
        frame = pd.DataFrame({"algorithm": name, "step": x, "value": values[x - 1]})
        tables.append(frame.assign(part="stream", panel=row.panel_name, env_id=row.env_id))
    return pd.concat(tables, ignore_index=True).reindex(columns=NUMBERS)


def _draw_stream(axes: Axes, row: Row, points: pd.DataFrame) -> None:
    plot.set_title(axes, row.panel_name, width=4.0)
    if points.empty:
        return
    colours = dict(zip(CHANNELS, CHANNEL_COLOURS, strict=True))
    channels = list(dict.fromkeys(points["algorithm"]))
    for name in channels:
        own = points[points["algorithm"] == name]
        width = 1.3 if name == CHANNELS[-1] else 0.9
        axes.plot(own["step"], own["value"], color=colours.get(name, INK), linewidth=width, label=name)
    axes.set_ylabel("cumulant" if channels == [CUMULANT] else "observation")
    if len(channels) > 1:
        axes.legend(loc="center left", bbox_to_anchor=(1.005, 0.5), handlelength=1.2, labelspacing=0.25, borderpad=0)
    end = int(points["step"].max())
    _step_axis(axes, STREAM_WINDOW if end == STREAM_WINDOW[1] else (max(end - 2_000, 0), end))


# Predictions


def _window(row: Row, arms: Mapping[str, Predictions], window: Window) -> pd.DataFrame:
    """Return the return and the predictions in a window, as points to draw."""
    start, end = window
    x = _thinned(start, end)
    target = next((arm.returns for arm in arms.values() if np.isfinite(arm.returns).any()), np.full(row.steps, np.nan))
    tables = [pd.DataFrame({"algorithm": TRUE_RETURN, "step": x, "value": target[x - 1]}).assign(part="return")]
    emphasised = {arm.label for arm in row.arms if arm.emphasised}
    for label in sorted(arms, key=lambda label: label in emphasised):
        mean, half, n = _band(np.array(arms[label].windows[window])[:, x - 1 - start])
        frame = pd.DataFrame({"algorithm": label, "step": x, "value": mean, "ci90": half, "n": n})
        tables.append(frame.assign(part=PUBLISHED))
    return pd.concat(tables, ignore_index=True).assign(panel=row.panel_name, env_id=row.env_id).reindex(columns=NUMBERS)


def _draw_window(axes: Axes, row: Row, points: pd.DataFrame, window: Window, looks: Mapping[str, Style]) -> None:
    target, predictions = points[points["part"] == "return"], points[points["part"] == PUBLISHED]
    axes.plot(target["step"], target["value"], color=INK, linewidth=0.8, zorder=5)
    for label, own in predictions.groupby("algorithm", sort=False):
        x, mean, half = (own[name].to_numpy(float) for name in ("step", "value", "ci90"))
        plot.band(axes, x, mean, half, looks[str(label)])
    axes.set_ylim(*_limits(target["value"].to_numpy(float), predictions["value"].to_numpy(float)))
    axes.locator_params(axis="y", nbins=5)
    _step_axis(axes, window)


def _band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, half-width of the 90 % interval and number of runs at every step, of one row per run."""
    there = np.isfinite(values)
    n = there.sum(axis=0)
    filled = np.where(there, values, 0.0)
    mean = np.divide(filled.sum(axis=0), n, out=np.full(values.shape[1], np.nan), where=n > 0)
    squares = (np.where(there, values - mean, 0.0) ** 2).sum(axis=0)
    return mean, half_width(np.sqrt(squares / np.maximum(n - 1, 1)), n, 0.90), n


def _limits(target: np.ndarray, predictions: np.ndarray) -> tuple[float, float]:
    """Return limits that hold the return, and the predictions unless they are out of all proportion."""
    target, predictions = target[np.isfinite(target)], predictions[np.isfinite(predictions)]
    known = target if len(target) else predictions
    if not len(known):
        return 0.0, 1.0
    low, high = known.min(), known.max()
    size = (high - low) or 1.0
    if len(predictions):
        least, most = np.quantile(predictions, (0.005, 0.995))
        low, high = max(min(low, least), low - PREDICTION_ROOM * size), min(max(high, most), high + PREDICTION_ROOM * size)
    return low - 0.05 * (high - low), high + 0.05 * (high - low)


def _thinned(start: int, end: int) -> np.ndarray:
    """Return steps after `start` up to `end`, at most so many that a printed line shows them all."""
    stride = max(-(-(end - start) // MOST_POINTS), 1)
    return np.arange(end, start, -stride, dtype=np.int64)[::-1]


def _step_axis(axes: Axes, window: Window) -> None:
    start, end = window
    axes.set_xlim(start, end)
    axes.set_xticks(np.linspace(start, end, 5))
    plot.step_axis(axes)
    axes.set_xlabel("steps", labelpad=2)
