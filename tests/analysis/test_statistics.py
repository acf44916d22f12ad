"""Means and intervals over runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import STREAM, barrier, publish_episodes
from scipy import stats

from analysis import load, report, statistics
from analysis.comparison import compare
from analysis.published import Numbers
from experiments.expand import labelled_runs
from experiments.spec import Row
from experiments.store import Store


def test_t_intervals_agree_with_scipy_and_with_hand_computed_values() -> None:
    values = np.array([1.0, 2.0, 4.0, 7.0])
    mean = statistics.mean_over_runs(values)
    for level, half in ((0.90, mean.ci90), (0.95, mean.ci95)):
        low, high = stats.t.interval(level, 3, loc=values.mean(), scale=stats.sem(values))
        assert half == pytest.approx((high - low) / 2)
    # s = sqrt(7), n = 4, t(0.95, 3) = 2.3534
    assert mean.mean == 3.5
    assert mean.n == 4
    assert mean.ci90 == pytest.approx(2.3534 * math.sqrt(7) / 2, rel=1e-4)


def test_thirty_runs_have_the_half_width_of_the_sheet() -> None:
    values = np.arange(30.0)
    assert statistics.mean_over_runs(values).ci90 == pytest.approx(1.699 * values.std(ddof=1) / math.sqrt(30), rel=1e-3)


def test_runs_without_the_bin_do_not_count_and_one_run_has_no_interval() -> None:
    mean = statistics.mean_over_runs(np.array([math.nan, 5.0]))
    assert (mean.mean, mean.n) == (5.0, 1)
    assert math.isnan(mean.ci90)
    assert math.isnan(mean.ci95)
    assert math.isnan(statistics.mean_over_runs(np.array([math.nan])).mean)


def test_mean_curves_agree_with_means_of_their_bins() -> None:
    frame = pd.DataFrame(
        {
            "panel": "p",
            "env_id": "e",
            "algorithm": "a",
            "seed": [0, 1, 2, 0, 1, 2],
            "step": [10, 10, 10, 20, 20, 20],
            "mean_return": [1.0, 2.0, 4.0, math.nan, 3.0, math.nan],
            "episodes": 1,
        }
    )
    first, second = statistics.mean_curves(frame).itertuples(index=False)
    expected = statistics.mean_over_runs(np.array([1.0, 2.0, 4.0]))
    assert (first.mean, first.ci90, first.ci95, first.n) == pytest.approx((expected.mean, expected.ci90, expected.ci95, 3))
    assert (second.mean, second.n) == (3.0, 1)
    assert math.isnan(second.ci90)


def test_one_diverged_run_makes_the_bar_zero_but_not_the_mean(tmp_path: Path) -> None:
    experiment = barrier(arms=(STREAM,), steps=20, width=10)
    store = Store(tmp_path)
    for _, _, run in labelled_runs(experiment.preset("quick")):
        diverged_at = 12 if run.seed == 2 else None
        publish_episodes(store, run, [5, 12 if diverged_at else 15], [1.0, 100.0 + run.seed], diverged_at)
    loaded = load.load(experiment.preset("quick"), store)
    assert set(loaded.episodes["status"]) == {"finished", "diverged"}
    built = report.build(experiment, "quick", store, tmp_path / "results")
    (bar,) = built.summary.itertuples()
    assert (bar.bar, bar.diverged, bar.seeds, bar.n) == (0.0, 1, 3, 3)
    assert bar.final_mean == pytest.approx(101.0)
    assert built.manifest["diverged"] == [built.runs["run_id"].iloc[2]]


def test_a_number_over_a_window_is_the_mean_over_its_episodes_in_summary_and_comparison() -> None:
    """Of two bins with one and three episodes, after two that no bar may show."""
    known = {"panel": "p", "env_id": "e", "algorithm": "a"}
    steps, returns, episodes = [100, 200, 300, 400], [-9.0, -9.0, 10.0, 20.0], [5, 5, 1, 3]
    curves = pd.concat(
        [
            pd.DataFrame({**known, "seed": seed, "step": steps, "mean_return": np.array(returns) + seed, "episodes": episodes})
            for seed in range(2)
        ],
        ignore_index=True,
    )
    runs = pd.DataFrame({**known, "seed": [0, 1], "steps": 400, "bin_width": 100, "status": "finished"})
    summary = statistics.summarise(runs.assign(window=200), curves)
    (wide,) = summary.itertuples()
    assert (wide.final_step, wide.final_mean, wide.n, wide.bin_width) == (400, 18.0, 2, 200)  # (10 + 3 * 20) / 4 + 0.5
    assert compare(curves, summary, {}, Numbers(()))["ours"].tolist() == [18.0]
    (last,) = statistics.summarise(runs.assign(window=100), curves).itertuples()
    assert (last.final_step, last.final_mean, last.bin_width) == (400, 20.5, 100)


def test_a_window_that_does_not_fit_is_a_bin() -> None:
    row = Row("e", (), steps=40_000, seeds=1, bin_width=4_000, window=20_000)
    assert row.last_window == 20_000
    for steps, width in ((50_000, 4_000), (40_000, 3_000)):
        assert replace(row, steps=steps, bin_width=width).last_window == width
    assert replace(row, window=0).last_window == 4_000
