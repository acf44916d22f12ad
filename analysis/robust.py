"""Interquartile means over runs, with bootstrap intervals: statistics of papers that expect a few runs to fail altogether.

The interquartile mean leaves out a quarter of the runs, rounded down, at either end (Agarwal et al., arXiv:2108.13264): of
five runs the best and the worst. Intervals are percentiles of the mean over resampled runs, made by a generator of their own,
so that the same runs give the same interval.
"""

from __future__ import annotations

import math

import numpy as np

CUT = 0.25
LEVEL = 0.90
RESAMPLES = 2000


def interquartile_mean(values: np.ndarray) -> float:
    """Average one value per run without the lowest and the highest quarter; a run without the value (NaN) does not count."""
    from scipy.stats import trim_mean  # half a second, which other figures need not wait for

    values = _there(values)
    return float(trim_mean(values, CUT)) if len(values) else math.nan


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return the 90 % bootstrap interval of the interquartile mean; NaN for fewer than two runs."""
    from scipy.stats import bootstrap, trim_mean

    values = _there(values)
    if len(values) < 2:
        return math.nan, math.nan
    if np.ptp(values) == 0:  # of which SciPy would warn
        return float(values[0]), float(values[0])
    found = bootstrap(
        (values,),
        lambda sample, axis: trim_mean(sample, CUT, axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def _there(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    return values[~np.isnan(values)]
