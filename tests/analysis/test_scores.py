"""Aggregates over tasks and seeds: SciPy and closed forms say the same, intervals cover, and the seed is the unit."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from analysis_support import CLASSIC, STREAM, barrier, fill_as_published, publish_episodes
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from analysis import report, scores
from analysis.aggregates import frame
from analysis.published import numbers_for
from analysis.scales import scale_of
from analysis.statistics import half_width
from experiments.errors import UserError
from experiments.expand import labelled_runs
from experiments.store import Store

SAMPLES = st.lists(st.floats(-100, 100), min_size=4, max_size=12).map(np.array)


def curves_of(
    values: dict[tuple[str, int], list[float]], task: str = "Hopper-v4", diverged: tuple[int, ...] = ()
) -> pd.DataFrame:
    return pd.DataFrame(
        [
            (task, task, algorithm, seed, 1000 * (number + 1), value, seed in diverged)
            for (algorithm, seed), means in values.items()
            for number, value in enumerate(means)
        ],
        columns=["panel", "env_id", "algorithm", "seed", "step", "mean_return", "diverged"],
    )


@given(SAMPLES, SAMPLES)
def test_statistics_agree_with_scipy_and_closed_forms(first: np.ndarray, second: np.ndarray) -> None:
    both = np.concatenate([first, second])
    assert scores.interquartile_mean([first, second]) == pytest.approx(stats.trim_mean(both, 0.25))
    assert scores.mean([first, second]) == pytest.approx((first.mean() + second.mean()) / 2)
    assert scores.optimality_gap([first]) == pytest.approx(np.clip(1 - first, 0, None).mean())
    better = scores.probability_of_improvement({"a": first}, {"a": second}).value
    assert better == pytest.approx(stats.mannwhitneyu(first, second).statistic / (len(first) * len(second)))
    profile = scores.performance_profile({"a": first, "b": second}, np.array([-np.inf, 0.0, np.inf]))
    assert profile == pytest.approx([1.0, ((first > 0).mean() + (second > 0).mean()) / 2, 0.0])


def test_bootstrap_draws_runs_anew_within_each_task_and_not_across() -> None:
    """Two tasks far apart, each without spread: resampling across tasks would spread the mean, within them it cannot."""
    tasks = {"low": np.zeros(5), "high": np.full(5, 100.0)}
    found = scores.estimate(tasks, scores.mean)
    assert (found.value, found.low, found.high) == (50.0, 50.0, 50.0)
    assert math.isnan(scores.estimate({"one": np.array([3.0])}, scores.mean).low)


def test_scores_take_the_end_or_the_area_and_put_chance_at_zero() -> None:
    numbers = numbers_for("Stream-X, Fig. 7")
    scale = scale_of("Hopper-v4", "Hopper-v4", numbers)
    assert scale is not None
    table = curves_of({("A", 0): [scale.random, scale.best], ("A", 1): [scale.best, scale.random]})
    assert scores.scores(table)["score"].tolist() == [scale.best, scale.random]
    assert scores.scores(table, numbers)["score"].tolist() == pytest.approx([1.0, 0.0], abs=1e-12)
    assert scores.scores(table, numbers, "area")["score"].tolist() == pytest.approx([0.5, 0.5])


def test_a_diverged_run_counts_as_chance_and_a_gap_as_the_value_before() -> None:
    numbers = numbers_for("Stream-X, Fig. 7")
    scale = scale_of("Hopper-v4", "Hopper-v4", numbers)
    assert scale is not None
    table = curves_of({("A", 0): [500.0, math.nan], ("A", 1): [600.0, math.nan]}, diverged=(0,))
    assert scores.scores(table, numbers, "end")["score"].tolist() == pytest.approx(
        [0.0, (600 - scale.random) / (scale.best - scale.random)]
    )
    with pytest.warns(UserWarning, match="A on Hopper-v4, seed 0: diverged, and left out"):
        assert scores.scores(table, absent="drop")["seed"].tolist() == [1]
    with pytest.raises(UserError, match="absent='drop'"):
        scores.scores(table)


def test_a_frame_in_which_the_seed_is_not_the_unit_is_refused() -> None:
    table = curves_of({("A", 0): [1.0, 2.0]})
    with pytest.raises(UserError, match="a seed is one run"):
        scores.scores(pd.concat([table, table]))
    with pytest.raises(UserError, match="there are no scores of 'B'; there are A"):
        scores.by_task(scores.scores(table), "B")


def test_paired_differences_use_the_seeds_that_both_have() -> None:
    rng = np.random.default_rng(0)
    common = 100 * rng.standard_normal(6)  # what a seed does to both
    table = curves_of(
        {
            **{("A", seed): [common[seed] + 5 + 0.1 * rng.standard_normal()] for seed in range(6)},
            **{("B", seed): [common[seed]] for seed in range(5)},
        }
    )
    (row,) = scores.paired_difference(scores.scores(table), "A", "B").itertuples()
    assert row.n == 5
    assert row.difference == pytest.approx(5, abs=0.3)
    assert row.low < 5 < row.high < 6


@pytest.mark.parametrize("n", [5, 10, 30])
def test_intervals_cover_what_they_say(n: int) -> None:
    """Student's interval covers 90 % for normal returns. The bootstrap of a mean is too narrow with few runs, as is known."""
    trials = 4000
    drawn = np.random.default_rng(n).standard_normal((trials, n))
    width = half_width(drawn.std(axis=1, ddof=1), np.full(trials, n), 0.90)
    assert (np.abs(drawn.mean(axis=1)) <= width).mean() == pytest.approx(0.90, abs=0.015)
    resampled = stats.bootstrap(
        (drawn,), np.mean, axis=1, n_resamples=300, confidence_level=0.9, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    covered = ((resampled.low <= 0) & (resampled.high >= 0)).mean()
    assert covered == pytest.approx({5: 0.81, 10: 0.86, 30: 0.89}[n], abs=0.025)


def test_bootstrap_of_a_mean_is_scipys_and_wants_two_runs() -> None:
    values = np.random.default_rng(3).standard_exponential(30)
    found = scores.bootstrap_of_mean(np.append(values, np.nan))
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=scores.RESAMPLES, confidence_level=0.9, rng=np.random.default_rng(0), method="BCa"
    ).confidence_interval
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), theirs.low, theirs.high))
    # Skewed as the values are, and about as wide as Student's.
    student = float(half_width(values.std(ddof=1), 30, 0.90))
    assert found.high - found.value > found.value - found.low
    assert found.high - found.low == pytest.approx(2 * student, rel=0.2)
    lone = scores.bootstrap_of_mean(np.array([4.0]))
    assert lone.value == 4.0
    assert math.isnan(lone.low)


def test_frame_is_tidy_and_marks_diverged_runs(tmp_path: Path) -> None:
    experiment, store = barrier(arms=(CLASSIC, STREAM)), Store(tmp_path / "runs")
    runs = [run for _, arm, run in labelled_runs(experiment.preset("quick")) if arm.label == STREAM.label]
    publish_episodes(store, runs[0], [30_000, 60_000], [10.0, 20.0], diverged_at=70_000)
    fill_as_published(store, experiment)
    report.build(experiment, "quick", store, tmp_path / "results")
    found = frame("barrier", "quick", tmp_path / "results")
    lost = found[found["diverged"]]
    assert set(zip(lost["algorithm"], lost["seed"], strict=True)) == {(STREAM.label, runs[0].seed)}
    assert {"panel", "env_id", "algorithm", "seed", "step", "mean_return", "episodes"} <= set(found)
    numbers = numbers_for("Stream-X, Fig. 7")
    table = scores.scores(found, numbers)
    assert table.query(f"algorithm == '{STREAM.label}' and seed == {runs[0].seed}")["score"].tolist() == pytest.approx([0.0])
