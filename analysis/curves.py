"""Learning curves: returns of episodes in bins of steps, per run, by the rule of the published figures.

A bin (i * width, (i + 1) * width] holds the episodes that END in it and is labelled by its right edge. Its value for a run
is the mean of their returns, and NaN if no episode of the run ended in it. Means over runs come after, in
`analysis.statistics`. Bins are whole: steps beyond the last whole bin are in no bin.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

KEYS = ["panel", "env_id", "algorithm"]
COLUMNS = (*KEYS, "seed", "step", "mean_return", "episodes")


def bin_returns(step: np.ndarray, returns: np.ndarray, width: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Return mean return and number of episodes of each bin of one run.

    Args:
        step: environment step, counted from 1, at which each episode ended.
        returns: episodic return of each. One that is not finite (the run diverged in it) has no mean and is left out.
        width: width of a bin in steps.
        steps: step budget of the run.
    """
    bins = steps // width
    index = (np.asarray(step, np.int64) - 1) // width
    returns = np.asarray(returns, np.float64)
    kept = (index >= 0) & (index < bins) & np.isfinite(returns)
    episodes = np.bincount(index[kept], minlength=bins)
    totals = np.bincount(index[kept], weights=returns[kept], minlength=bins)
    means = np.full(bins, np.nan)
    np.divide(totals, episodes, out=means, where=episodes > 0)
    return means, episodes


def edges(width: int, steps: int) -> np.ndarray:
    """Return the right edges of the bins."""
    return np.arange(1, steps // width + 1, dtype=np.int64) * width


def tabulate(runs: pd.DataFrame, binned: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> pd.DataFrame:
    """Join the bins of many runs into one tidy frame, one row per run and bin, empty bins included.

    Args:
        runs: planned runs, as from `analysis.load.planned`.
        binned: by run id what `bin_returns` gave; runs that are not in it are left out.
    """
    there = runs[[run_id in binned for run_id in runs["run_id"]]]
    tables = [binned[run_id] for run_id in there["run_id"]]
    counts = [len(means) for means, _ in tables]
    ends = [edges(width, steps) for width, steps in zip(there["bin_width"], there["steps"], strict=True)]
    repeated = there.loc[there.index.repeat(counts), [*KEYS, "seed"]].reset_index(drop=True)
    return repeated.assign(
        step=np.concatenate([np.empty(0, np.int64), *ends]),
        mean_return=np.concatenate([np.empty(0), *(means for means, _ in tables)]),
        episodes=np.concatenate([np.empty(0, np.int64), *(episodes for _, episodes in tables)]),
    )


def pool(curves: pd.DataFrame, width: int) -> pd.DataFrame:
    """Merge the bins of each run into wider ones, exactly as if its episodes had been binned so in the first place.

    `width` must be a multiple of the present width; bins beyond the last whole one are dropped.
    """
    totals = curves.assign(
        total=(curves["mean_return"] * curves["episodes"]).fillna(0.0), bin=(curves["step"] - 1) // width * width + width
    )
    last = curves.groupby([*KEYS, "seed"], observed=True)["step"].transform("max")
    totals = totals[totals["bin"] <= last]
    keys = [*KEYS, "seed", "bin"]
    merged = totals.groupby(keys, sort=False, observed=True)[["total", "episodes"]].sum().reset_index()
    merged["mean_return"] = (merged["total"] / merged["episodes"]).where(merged["episodes"] > 0)
    return merged.rename(columns={"bin": "step"})[list(COLUMNS)]
