"""Aggregates over tasks and seeds, each with its interval: what a reader of several panels asks.

Source: Agarwal et al. 2021 (arXiv:2108.13264) for the interquartile mean, optimality gap, performance profiles, probability of
improvement and the stratified bootstrap. The arithmetic is SciPy's.

The unit is the seed: a score is one number of one run. `scores` makes them from curves and refuses frames in which a run has
two. A run that diverged has learnt nothing and counts as chance does on its task, from the bin in which it diverged; a bin in
which no episode happened to end has the value of the one before.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from analysis.published import Numbers
from analysis.scales import scale_of
from experiments.errors import UserError

UNIT = ["panel", "algorithm", "seed"]
RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """An estimate with the ends of its interval (NaN where there is one run, or none)."""

    value: float
    low: float
    high: float


def check_units(curves: pd.DataFrame) -> None:
    """Raise `UserError` where a run has two values for one bin: seeds would be counted twice, and intervals be too narrow."""
    keys = [key for key in (*UNIT, "step") if key in curves]
    twice = curves[curves.duplicated(keys)]
    if len(twice):
        row = ", ".join(str(twice.iloc[0][key]) for key in keys)
        raise UserError(f"the frame has more than one row for {', '.join(keys)} {row}; a seed is one run, and counts once.")


def scores(
    curves: pd.DataFrame,
    numbers: Numbers | None = None,
    measure: Literal["end", "area"] = "end",
    absent: Literal["chance", "drop"] = "chance",
) -> pd.DataFrame:
    """Return one score per run: panel, algorithm, seed, score.

    Args:
        curves: tidy curves, as `analysis.load.frame` gives them: panel, env_id, algorithm, seed, step, mean_return.
        numbers: published numbers, by whose scale scores are normalised: 0 is chance, 1 the best published return, a human
            player on Atari. None leaves returns as they are.
        measure: the last bin, or the mean over all bins, which is the area under the curve by its length.
        absent: how runs count that diverged: as chance, or not at all, which a warning tells.
    """
    check_units(curves)
    panels = curves[["panel", "env_id"]].drop_duplicates().itertuples(index=False, name=None)
    scales = {panel: scale_of(env_id, numbers.place(panel, env_id), numbers) if numbers else None for panel, env_id in panels}
    rows = []
    for (panel, algorithm, seed), run in curves.sort_values("step").groupby(UNIT, sort=False, observed=True):
        scale = scales[panel]
        values = _without_gaps(run["mean_return"], bool(run["diverged"].any()) if "diverged" in run else False)
        if np.isnan(values).any():
            if absent == "drop":
                warnings.warn(f"{algorithm} on {panel}, seed {seed}: diverged, and left out", stacklevel=2)
                continue
            if scale is None:
                raise UserError(
                    f"{algorithm} on {panel}, seed {seed}, diverged, and what chance earns there is not known; "
                    "leave such runs out with absent='drop'."
                )
            values = np.where(np.isnan(values), scale.random, values)
        if numbers is not None:
            if scale is None:
                raise UserError(f"scores on {panel} cannot be normalised: chance was not measured or nothing is published.")
            values = (values - scale.random) / (scale.best - scale.random)
        rows.append((panel, algorithm, seed, float(values[-1] if measure == "end" else values.mean())))
    return pd.DataFrame(rows, columns=[*UNIT, "score"])


def _without_gaps(values: pd.Series, diverged: bool) -> np.ndarray:
    filled = values.ffill().bfill().to_numpy(np.float64).copy()
    if diverged and (last := values.last_valid_index()) is not None:
        filled[values.index.get_loc(last) + 1 :] = np.nan
    return filled


def by_task(frame: pd.DataFrame, algorithm: str) -> dict[str, np.ndarray]:
    """Return the scores of a learner by task."""
    check_units(frame)
    own = frame[frame["algorithm"] == algorithm]
    if own.empty:
        raise UserError(f"there are no scores of {algorithm!r}; there are {', '.join(frame['algorithm'].unique())}.")
    return {str(panel): rows["score"].to_numpy() for panel, rows in own.groupby("panel", sort=False)}


def mean(samples: Sequence[np.ndarray], axis: int = -1) -> np.ndarray:
    """Return the mean over tasks of the mean over runs."""
    return np.mean([np.mean(sample, axis=axis) for sample in samples], axis=0)


def interquartile_mean(samples: Sequence[np.ndarray], axis: int = -1) -> np.ndarray:
    """Return the mean of the middle half of all runs of all tasks."""
    return np.asarray(stats.trim_mean(np.concatenate(samples, axis=axis), 0.25, axis=axis))


def optimality_gap(samples: Sequence[np.ndarray], axis: int = -1, target: float = 1.0) -> np.ndarray:
    """Return by how much runs stay under a target on average, those above it counting as reaching it."""
    return mean([np.maximum(target - sample, 0.0) for sample in samples], axis)


def estimate(
    samples: Mapping[Any, np.ndarray],
    statistic: Callable[..., np.ndarray] = interquartile_mean,
    level: float = 0.90,
    seed: int = 0,
) -> Estimate:
    """Return a statistic over tasks with its stratified bootstrap interval: runs are drawn anew within each task."""
    groups = list(samples.values())
    value = float(statistic(groups))
    if min(map(len, groups)) < 2:
        return Estimate(value, np.nan, np.nan)
    interval = stats.bootstrap(
        groups,
        lambda *drawn, axis=-1: statistic(drawn, axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=level,
        method="percentile",
        vectorized=True,
        axis=-1,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Estimate(value, float(interval.low), float(interval.high))


def performance_profile(samples: Mapping[str, np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    """Return by threshold the share of runs above it, tasks counting alike."""
    return np.mean([(sample[:, None] > thresholds).mean(axis=0) for sample in samples.values()], axis=0)


def probability_of_improvement(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], level: float = 0.90, seed: int = 0
) -> Estimate:
    """Return how probable it is that a run of the first learner beats one of the second on a task, ties counting half."""
    tasks = [task for task in first if task in second]
    if not tasks:
        raise UserError("the two learners have no task in common.")

    def statistic(drawn: Sequence[np.ndarray], axis: int = -1) -> np.ndarray:
        pairs = zip(drawn[: len(tasks)], drawn[len(tasks) :], strict=True)
        better = [
            (np.greater(x[..., :, None], y[..., None, :]) + 0.5 * np.equal(x[..., :, None], y[..., None, :])).mean(
                axis=(-2, -1)
            )
            for x, y in pairs
        ]
        return np.mean(better, axis=0)

    samples = {("first", task): first[task] for task in tasks} | {("second", task): second[task] for task in tasks}
    return estimate(samples, statistic, level, seed)


def paired_difference(frame: pd.DataFrame, first: str, second: str, level: float = 0.90) -> pd.DataFrame:
    """Return by task the mean difference of two learners over the seeds that both have: panel, difference, low, high, n.

    Runs of equal seed share initial states and streams, so that differences vary less than returns do. Intervals are
    Student's t.
    """
    check_units(frame)
    wide = frame.pivot(index=["panel", "seed"], columns="algorithm", values="score")
    for name in (first, second):
        if name not in wide:
            raise UserError(f"there are no scores of {name!r}; there are {', '.join(wide.columns)}.")
    differences = (wide[first] - wide[second]).dropna()
    rows = []
    for panel, values in differences.groupby("panel", sort=False):
        low = high = np.nan
        if len(values) > 1:
            interval = stats.ttest_1samp(values, 0.0).confidence_interval(level)
            low, high = float(interval.low), float(interval.high)
        rows.append((panel, float(values.mean()), low, high, len(values)))
    return pd.DataFrame(rows, columns=["panel", "difference", "low", "high", "n"])


def bootstrap_of_mean(values: np.ndarray, level: float = 0.90, seed: int = 0) -> Estimate:
    """Return the mean of one value per run with its bootstrap interval, bias-corrected and accelerated."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return Estimate(float(values.mean()) if len(values) else np.nan, np.nan, np.nan)
    found = stats.bootstrap(
        (values,), np.mean, n_resamples=RESAMPLES, confidence_level=level, rng=np.random.default_rng(seed), method="BCa"
    ).confidence_interval
    return Estimate(float(values.mean()), float(found.low), float(found.high))
