"""Means over runs, with intervals. The unit of replication is the seed: one value per run goes in.

Intervals are Student-t: half-width = t(1 - (1 - level) / 2, n - 1) * s / sqrt(n), s with ddof 1. With one run there is none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit  # what `scipy.stats.t.ppf` calls; importing that takes half a second more

from analysis.curves import KEYS, pool
from analysis.load import is_finished


@dataclass(frozen=True)
class Mean:
    """A mean over `n` runs with the half-widths of its 90 % and 95 % intervals (NaN where n < 2)."""

    mean: float
    ci90: float
    ci95: float
    n: int


def mean_over_runs(values: np.ndarray) -> Mean:
    """Average one value per run; a run without the value (NaN) does not count."""
    values = np.asarray(values, np.float64)
    values = values[~np.isnan(values)]
    n = len(values)
    mean = float(values.mean()) if n else math.nan
    deviation = float(values.std(ddof=1)) if n > 1 else math.nan
    return Mean(mean, float(half_width(deviation, n, 0.90)), float(half_width(deviation, n, 0.95)), n)


def half_width(deviation: np.ndarray | float, n: np.ndarray | int, level: float) -> np.ndarray:
    """Return the half-width of a t interval of a mean, from the standard deviation (ddof 1) and the number of runs."""
    n = np.asarray(n, np.float64)
    several = n > 1
    safe = np.where(several, n, 2.0)
    width = stdtrit(safe - 1, 0.5 + level / 2) * np.asarray(deviation, np.float64) / np.sqrt(safe)
    return np.where(several, width, np.nan)


def mean_curves(curves: pd.DataFrame) -> pd.DataFrame:
    """Average per-run curves over the runs that have the bin: panel, env_id, algorithm, step, mean, ci90, ci95, n."""
    grouped = curves.groupby([*KEYS, "step"], sort=False, observed=True)["mean_return"]
    out = grouped.agg(["mean", "std", "count"]).reset_index()
    n = out["count"].to_numpy()
    deviation = out["std"].to_numpy(np.float64)
    out["ci90"] = half_width(deviation, n, 0.90)
    out["ci95"] = half_width(deviation, n, 0.95)
    return out.rename(columns={"count": "n"})[[*KEYS, "step", "mean", "ci90", "ci95", "n"]]


def summarise(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Summarise each arm of each panel by its last bin, one row each, in the order of the preset.

    Columns: panel, env_id, algorithm, final_step (right edge of the last bin), final_mean, ci90, ci95, n (runs with an
    episode in that bin), seeds (runs with a result), planned, diverged, bar, steps, bin_width. A window, where a
    row has one, is the last bin.

    `bar` follows the published bar chart: 0 if some run of the arm diverged, else the mean. `final_mean` is not zeroed: it
    is the mean over the runs that got so far, a selection if others diverged.
    """
    wide = mean_curves(in_windows(runs, curves))
    means = {(panel, arm, step): values for panel, _, arm, step, *values in wide.itertuples(index=False)}
    rows = []
    for (panel, env_id, algorithm), group in runs.groupby(KEYS, sort=False):
        width, steps = int(group["window" if "window" in group else "bin_width"].iloc[0]), int(group["steps"].iloc[0])
        final_step = steps // width * width
        mean, ci90, ci95, n = means.get((panel, algorithm, final_step), (math.nan, math.nan, math.nan, 0))
        diverged = int((group["status"] == "diverged").sum())
        rows.append(
            {
                "panel": panel,
                "env_id": env_id,
                "algorithm": algorithm,
                "final_step": final_step,
                "final_mean": mean,
                "ci90": ci90,
                "ci95": ci95,
                "n": n,
                "seeds": int(is_finished(group).sum()),
                "planned": len(group),
                "diverged": diverged,
                "bar": bar_height(mean, diverged),
                "steps": steps,
                "bin_width": width,
            }
        )
    return pd.DataFrame(rows)


def in_windows(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return curves in bins as wide as what a bar is made of, where rows have a window wider than their bins."""
    if "window" not in runs or (runs["window"] == runs["bin_width"]).all():
        return curves
    windows = runs.drop_duplicates("panel").set_index("panel")
    tables = [
        pool(own, int(windows["window"][panel])) if windows["window"][panel] > windows["bin_width"][panel] else own
        for panel, own in curves.groupby("panel", sort=False)
    ]
    return pd.concat(tables, ignore_index=True) if tables else curves


def bar_height(mean: float, diverged: int) -> float:
    """Return what the published bar chart would show: 0 if some run diverged, else the mean."""
    return 0.0 if diverged else mean
