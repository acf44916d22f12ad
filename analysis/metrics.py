"""What runs recorded about their own learning, in bins of steps: for experiments that are not compared by returns.

A run's table `metrics` has a column `step`, at which each row's window ends, and one column per metric: the mean over the
window under NAME, its maximum under NAME_max. A bin (i * width, (i + 1) * width] holds the rows that end in it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.curves import KEYS, edges
from analysis.load import is_finished
from analysis.statistics import mean_over_runs
from experiments.spec import Row

COLUMNS = (*KEYS, "seed", "step", "metric", "value")
MAXIMUM = "_max"


def bin_values(step: np.ndarray, values: np.ndarray, width: int, steps: int, highest: bool = False) -> np.ndarray:
    """Return the mean (or the highest) of a run's values in each bin, NaN where there is none.

    A value that is NaN does not count; one that is infinite makes its bin infinite.

    Args:
        step: step at which each row ends, counted from 1.
        values: one per row.
        width: width of a bin in steps.
        steps: step budget of the run.
        highest: take the highest instead of the mean.
    """
    bins = steps // width
    index = (np.asarray(step, np.int64) - 1) // width
    values = np.asarray(values, np.float64)
    kept = (index >= 0) & (index < bins) & ~np.isnan(values)
    out = np.full(bins, np.nan)
    if highest:
        top = np.full(bins, -np.inf)
        np.maximum.at(top, index[kept], values[kept])
        there = np.bincount(index[kept], minlength=bins) > 0
        out[there] = top[there]
        return out
    counts = np.bincount(index[kept], minlength=bins)
    with np.errstate(invalid="ignore"):  # both infinities in one bin
        totals = np.bincount(index[kept], weights=values[kept], minlength=bins)
    np.divide(totals, counts, out=out, where=counts > 0)
    return out


def of_run(table: Mapping[str, np.ndarray], row: Row, hyperparameters: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the bins of every metric that a run recorded: what a figure gets unless it defines `metrics` itself."""
    step = table["step"]
    return {
        name: bin_values(step, values, row.bin_width, row.steps, highest=name.endswith(MAXIMUM))
        for name, values in table.items()
        if name != "step"
    }


def tabulate(runs: pd.DataFrame, binned: Mapping[str, Mapping[str, np.ndarray]]) -> pd.DataFrame:
    """Join the bins of many runs into one tidy frame with one row per run, metric and bin.

    Args:
        runs: planned runs, as from `analysis.load.planned`.
        binned: by run id, by metric; runs that are not in it are left out.
    """
    tables = []
    for run in runs.itertuples():
        for metric, values in binned.get(run.run_id, {}).items():
            frame = pd.DataFrame({"step": edges(run.bin_width, run.steps), "metric": metric, "value": values})
            tables.append(frame.assign(panel=run.panel, env_id=run.env_id, algorithm=run.algorithm, seed=run.seed))
    if not tables:
        return pd.DataFrame({name: pd.Series(dtype=object) for name in COLUMNS})
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]


def names(curves: pd.DataFrame) -> list[str]:
    """Return the metrics there are, in the order in which runs recorded them."""
    return list(dict.fromkeys(curves["metric"]))


def mean_metrics(curves: pd.DataFrame) -> pd.DataFrame:
    """Average over the runs that have the bin: panel, env_id, algorithm, metric, step, mean, ci90, ci95, n."""
    rows = []
    for key, group in curves.groupby([*KEYS, "metric", "step"], sort=False, observed=True):
        rows.append((*key, *_averaged(group["value"])))
    return pd.DataFrame(rows, columns=[*KEYS, "metric", "step", "mean", "ci90", "ci95", "n"])


def _averaged(values: pd.Series) -> tuple[float, float, float, int]:
    with np.errstate(invalid="ignore", over="ignore"):  # infinities have no deviation
        mean = mean_over_runs(values.to_numpy(np.float64))
    return mean.mean, mean.ci90, mean.ci95, mean.n


def summarise(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Summarise every metric of each arm of each panel by its last bin, one row each.

    Columns: panel, env_id, algorithm, metric, final_step, final_mean, ci90, ci95, n (runs that have it), seeds (runs with a
    result), planned, diverged, steps, bin_width. An arm without a result has one row without a metric.
    """
    by_arm = dict(iter(curves.groupby(["panel", "algorithm"], sort=False, observed=True)))
    rows = []
    for (panel, env_id, algorithm), group in runs.groupby(KEYS, sort=False):
        own = by_arm.get((panel, algorithm), curves.iloc[:0])
        width, steps = int(group["bin_width"].iloc[0]), int(group["steps"].iloc[0])
        last = steps // width * width
        for metric in names(own) or [""]:
            values = own.loc[(own["metric"] == metric) & (own["step"] == last), "value"]
            mean, ci90, ci95, n = _averaged(values) if len(values) else (math.nan, math.nan, math.nan, 0)
            rows.append(
                {
                    **{"panel": panel, "env_id": env_id, "algorithm": algorithm, "metric": metric, "final_step": last},
                    **{"final_mean": mean, "ci90": ci90, "ci95": ci95, "n": n},
                    **{"seeds": int(is_finished(group).sum()), "planned": len(group)},
                    **{"diverged": int((group["status"] == "diverged").sum()), "steps": steps, "bin_width": width},
                }
            )
    return pd.DataFrame(rows)
