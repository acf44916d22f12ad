"""Binning of episodes."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import curves as binning


def test_episode_that_ends_on_the_edge_belongs_to_the_bin_it_closes() -> None:
    means, episodes = binning.bin_returns(np.array([1, 10, 11, 20]), np.array([1.0, 3.0, 5.0, 9.0]), width=10, steps=20)
    assert means.tolist() == [2.0, 7.0]
    assert episodes.tolist() == [2, 2]


def test_bin_without_an_episode_is_nan_and_so_is_a_run_without_any() -> None:
    means, episodes = binning.bin_returns(np.array([5, 25]), np.array([1.0, 2.0]), width=10, steps=30)
    assert means[0] == 1.0
    assert math.isnan(means[1])
    assert means[2] == 2.0
    assert episodes.tolist() == [1, 0, 1]
    empty, _ = binning.bin_returns(np.array([], np.int64), np.array([]), width=10, steps=30)
    assert np.isnan(empty).all()
    assert len(empty) == 3


def test_steps_beyond_the_last_whole_bin_are_in_no_bin() -> None:
    means, episodes = binning.bin_returns(np.array([10, 25]), np.array([1.0, 2.0]), width=10, steps=25)
    assert len(means) == 2
    assert episodes.tolist() == [1, 0]


@given(
    st.lists(st.tuples(st.integers(1, 400), st.floats(-1e6, 1e6)), max_size=60),
    st.integers(1, 60),
    st.integers(1, 400),
)
def test_bins_agree_with_the_rule_written_out(episodes: list[tuple[int, float]], width: int, steps: int) -> None:
    step, returns = np.array([s for s, _ in episodes], np.int64), np.array([r for _, r in episodes], np.float64)
    means, counts = binning.bin_returns(step, returns, width, steps)
    assert len(means) == steps // width
    for i, (mean, count) in enumerate(zip(means, counts, strict=True)):
        inside = [r for s, r in episodes if i * width < s <= (i + 1) * width]
        assert count == len(inside)
        assert math.isnan(mean) if not inside else mean == pytest.approx(np.mean(inside), abs=1e-6)


@given(st.lists(st.tuples(st.integers(1, 300), st.floats(-1e3, 1e3)), max_size=60), st.integers(2, 5))
def test_pooled_bins_are_those_of_wider_binning(episodes: list[tuple[int, float]], factor: int) -> None:
    step, returns = np.array([s for s, _ in episodes], np.int64), np.array([r for _, r in episodes], np.float64)
    runs = pd.DataFrame(
        {"panel": ["p"], "env_id": ["e"], "algorithm": ["a"], "seed": [0], "run_id": ["r"], "steps": [300], "bin_width": [10]}
    )
    narrow = binning.tabulate(runs, {"r": binning.bin_returns(step, returns, 10, 300)})
    wide, counts = binning.bin_returns(step, returns, 10 * factor, 300)
    pooled = binning.pool(narrow, 10 * factor)
    assert pooled["step"].tolist() == binning.edges(10 * factor, 300).tolist()
    assert pooled["episodes"].tolist() == counts.tolist()
    np.testing.assert_allclose(pooled["mean_return"], wide, atol=1e-9)


def test_return_that_is_not_finite_does_not_poison_its_bin() -> None:
    means, episodes = binning.bin_returns(np.array([3, 6, 9]), np.array([1.0, math.nan, math.inf]), width=10, steps=10)
    assert means.tolist() == [1.0]
    assert episodes.tolist() == [1]
