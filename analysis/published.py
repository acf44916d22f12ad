"""The published numbers in `analysis/paper`: curves, band widths at their end, reference lines, the bars of Stream-X Fig. 2.

Everything is asked for by our names and in our units. Arms may leave out the trace decay that the paper puts in its labels:
"Stream AC" is its "Stream AC(0.8)". Atari is published by the name of the game and in frames, four to an agent step; here
"Pong" is "PongNoFrameskip-v4" and steps are agent steps, as in our runs. Of AVG's Fig. 1 (`analysis.published_avg`) a value is
a curve of one point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pandas as pd

from analysis import published_avg

PAPER = Path(__file__).parent / "paper"
# Where figures overlap they agree to the reading error; the one with more of our algorithms comes first.
FIGURES = ("Fig7", "Fig8", "Fig3", "Fig14", "Fig5", "Fig4", "Fig13", "Fig12", "Fig11", "Fig6", published_avg.FIGURE)
ATARI_FIGURES = ("Fig6", "Fig11", "Fig12")
TRACE_DECAY = "(0.8)"
REFERENCE = " ref"
ATARI = "NoFrameskip-v4"
FRAMES_PER_STEP = 4


@dataclass(frozen=True)
class Published:
    """One published mean: the bin of `bin_width` steps that ends at `step`. `ci90` is known at the end of a curve only."""

    value: float
    figure: str
    step: int
    bin_width: int
    ci90: float | None = None


@dataclass(frozen=True)
class Curve:
    """A published learning curve."""

    figure: str
    bin_width: int
    steps: tuple[int, ...]
    values: tuple[float, ...]
    ci90_at_end: float | None

    @property
    def seeds(self) -> int:
        """Return over how many runs it is averaged (assumed for Fig. 7, where the paper does not say)."""
        return 10 if self.figure in ATARI_FIGURES else 30

    def at(self, step: int) -> Published | None:
        """Return the point at a step, if the curve has one exactly there."""
        if step not in self.steps:
            return None
        ci90 = self.ci90_at_end if step == self.steps[-1] else None
        return Published(self.values[self.steps.index(step)], self.figure, step, self.bin_width, ci90)


# Names and units


def is_atari(env_id: str) -> bool:
    """Return whether a task is an Atari game, which the paper counts in frames."""
    return env_id.endswith(ATARI)


def frames_per_step(env_id: str) -> int:
    """Return by how much to multiply agent steps for the paper's x axis."""
    return FRAMES_PER_STEP if is_atari(env_id) else 1


def paper_name(env_id: str) -> str:
    """Return what the paper calls a task: `Pong` for `PongNoFrameskip-v4`."""
    return env_id.removesuffix(ATARI) if is_atari(env_id) else env_id


def our_name(env: str) -> str:
    """Return our id of a task of the paper's; only Atari games stand there without a version."""
    return env if "-v" in env else f"{env}{ATARI}"


def _names(algorithm: str) -> tuple[str, ...]:
    return algorithm, f"{algorithm}{TRACE_DECAY}", f"{algorithm}@200M{REFERENCE}", f"{algorithm}@5M{REFERENCE}"


# Tables


@cache
def _ends() -> pd.DataFrame:
    return pd.read_csv(PAPER / "stream_x_final.csv")


@cache
def _tables() -> dict[tuple[str, str], tuple[Curve, ...]]:
    points = pd.read_csv(PAPER / "stream_x_curves.csv")
    ends = _ends().set_index(["figure", "env", "algorithm"])["ci90_half_width_at_end"]
    tables: dict[tuple[str, str], list[Curve]] = {}
    for key, group in points.groupby(["figure", "env", "algorithm"], sort=False):
        figure, env, algorithm = (str(part) for part in key)
        env_id = our_name(env)
        steps = tuple(int(x) // frames_per_step(env_id) for x in group["x_steps_or_frames"])
        ci90 = ends.get((figure, env, algorithm))
        known = None if ci90 is None or pd.isna(ci90) else float(ci90)
        values = tuple(float(value) for value in group["mean_return_digitised"])
        tables.setdefault((env_id, algorithm), []).append(Curve(figure, steps[1] - steps[0], steps, values, known))
    for (env_id, label), value in published_avg.values().items():
        end = Curve(published_avg.FIGURE, published_avg.WINDOW, (published_avg.STEPS,), (value,), None)
        tables.setdefault((env_id, label), []).append(end)
    return {key: tuple(sorted(curves, key=lambda curve: FIGURES.index(curve.figure))) for key, curves in tables.items()}


@cache
def _bars() -> dict[tuple[str, str], float]:
    bars = pd.read_csv(PAPER / "stream_x_fig2_bars.csv")
    return {(our_name(row.env), row.algorithm): float(row.value) for row in bars.itertuples()}


@cache
def _references() -> dict[str, tuple[str, float]]:
    lines = _ends()[_ends()["algorithm"].str.endswith(REFERENCE)].drop_duplicates("env")
    return {our_name(row.env): (row.algorithm.removesuffix(REFERENCE), float(row.final_bin)) for row in lines.itertuples()}


# Look-ups


def curves_of(env_id: str, algorithm: str) -> tuple[Curve, ...]:
    """Return all published curves of an algorithm, by our label or the paper's; none if there is none."""
    return next((_tables()[env_id, name] for name in _names(algorithm) if (env_id, name) in _tables()), ())


def curve(env_id: str, algorithm: str, bin_width: int) -> Curve | None:
    """Return the curve to draw beside ours: with bins as wide as ours if there is one, else with the finest."""
    curves = curves_of(env_id, algorithm)
    return min(curves, key=lambda c: (c.bin_width != bin_width, c.bin_width), default=None)


def lookup(env_id: str, algorithm: str, step: int, bin_width: int) -> Published | None:
    """Return the published value at a step: from bins as wide as ours if there are such, else from the finest."""
    values = [value for c in curves_of(env_id, algorithm) if (value := c.at(step)) is not None]
    return min(values, key=lambda v: (v.bin_width != bin_width, v.bin_width), default=None)


def begins_at(env_id: str, algorithm: str) -> int | None:
    """Return the step at which the first published bin of an algorithm ends."""
    return min((c.steps[0] for c in curves_of(env_id, algorithm)), default=None)


def ends_at(env_id: str, algorithm: str) -> int | None:
    """Return the last step of the longest published curve of an algorithm."""
    return max((c.steps[-1] for c in curves_of(env_id, algorithm)), default=None)


def scale(env_id: str, step: int) -> float | None:
    """Return how large returns are on a task at a step: the largest published magnitude of any algorithm there."""
    values = [
        abs(value.value) for (env, _), curves in _tables().items() if env == env_id for c in curves if (value := c.at(step))
    ]
    return max(values, default=None)


def bar(env_id: str, algorithm: str) -> float | None:
    """Return the number printed above a bar of Figure 2, after 20M steps or 200M frames of Atari."""
    return next((_bars()[env_id, name] for name in _names(algorithm) if (env_id, name) in _bars()), None)


def reference(env_id: str) -> tuple[str, float] | None:
    """Return name and height of the dashed line that the paper draws for a task, a result of the literature; or None."""
    return _references().get(env_id)


@cache
def prediction_errors() -> pd.DataFrame:
    """Return the errors of the predictions of Fig. 10: figure, env, algorithm, after_step, to_step, mae, rmse.

    They are errors of the drawn curve, the mean prediction over runs, against the drawn return, in units of the cumulant.
    """
    return pd.read_csv(PAPER / "stream_x_prediction.csv")


def prediction_error(env_id: str, algorithm: str, after_step: int, to_step: int) -> tuple[float, float] | None:
    """Return mean absolute and root mean square error of a published prediction after one step up to another, or None."""
    table = prediction_errors()
    here = (table["env"] == env_id) & table["algorithm"].isin(_names(algorithm))
    found = table[here & (table["after_step"] == after_step) & (table["to_step"] == to_step)]
    return (float(found["mae"].iloc[0]), float(found["rmse"].iloc[0])) if len(found) else None
