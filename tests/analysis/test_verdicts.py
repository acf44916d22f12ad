"""How a mean return is judged beside a published one."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.published import PAPERS, Published, numbers_for
from analysis.scales import Scale, scale_of
from analysis.statistics import Mean, mean_over_runs
from analysis.verdicts import ABOVE, BELOW, INSIDE, OUTSIDE, UNDECIDED, WITHIN, joint_interval, judge

RANGE = Scale(random=0.0, best=1000.0)


def published(value: float, ci90: float | None = 0.0, reading_error: float = 0.0) -> Published:
    return Published(value, "Stream-X", "Fig7", 500_000, 50_000, 30, ci90, reading_error)


def mean(value: float, ci90: float, n: int = 8) -> Mean:
    return Mean(value, ci90, math.nan, n)


@pytest.mark.parametrize(
    ("ours", "ci90", "paper", "scale", "word"),
    [
        (480.0, 50.0, 500.0, RANGE, INSIDE),
        (460.0, 10.0, 500.0, RANGE, WITHIN),  # a tenth of what was learnt is 50
        (440.0, 10.0, 500.0, RANGE, BELOW),
        (560.0, 10.0, 500.0, RANGE, ABOVE),
        (100.0, 900.0, 500.0, RANGE, UNDECIDED),
        (500.0, math.nan, 500.0, RANGE, WITHIN),  # one seed has no interval
        (300.0, math.nan, 500.0, RANGE, UNDECIDED),
        (12.0, 1.0, 2.0, RANGE, WITHIN),  # both have learnt nothing: 2 % of the range is 20
        (40.0, 1.0, 2.0, RANGE, ABOVE),
        # Pong: 3.9 apart is nothing like a quarter of 17.
        (-13.1, 0.63, -17.0, Scale(-20.7, 14.6), ABOVE),
        (-20.7, 0.1, -17.0, Scale(-20.7, 14.6), BELOW),
        (460.0, 10.0, 500.0, None, WITHIN),
        (-190.0, 5.0, -182.0, None, WITHIN),
    ],
)
def test_verdict(ours: float, ci90: float, paper: float, scale: Scale | None, word: str) -> None:
    assert judge(mean(ours, ci90), published(paper), scale).word == word


def test_joint_interval_adds_both_and_the_reading_error() -> None:
    assert joint_interval(mean(0.0, 3.0), published(0.0, ci90=4.0, reading_error=0.5)) == pytest.approx(5.5)
    # An interval that was not read is as ours with 30 seeds.
    assert joint_interval(mean(0.0, 3.0, n=8), published(0.0, ci90=None)) == pytest.approx(3.0 * math.sqrt(1 + 8 / 30))


LEARNT = [
    (env_id, label, curve)
    for paper in PAPERS.values()
    for (env_id, label), curves in paper.read().curves.items()
    for curve in curves
]


def test_an_agent_that_learnt_nothing_is_outside_wherever_the_published_one_learnt() -> None:
    """Random actions are no reproduction of any curve, with as many seeds as anybody runs, spread as chance is or wider."""
    rng, judged = np.random.default_rng(0), 0
    for env_id, label, curve in LEARNT:
        numbers = numbers_for(f"{curve.paper}, {curve.figure}")
        scale = scale_of(env_id, env_id, numbers)
        if scale is None:
            continue
        for step, value in zip(curve.steps, curve.values, strict=True):
            if abs(value - scale.random) < 0.06 * scale.range:
                continue
            paper = curve.at(step)
            assert paper is not None
            seeds = scale.random + 0.01 * scale.range * rng.standard_normal(5)
            found = judge(mean_over_runs(seeds), paper, scale).word
            assert found in OUTSIDE or found == UNDECIDED, (env_id, label, step, value)
            judged += found in OUTSIDE
    assert judged > 5000


@given(
    st.floats(-1e4, 1e4), st.floats(0, 1e3), st.floats(-1e4, 1e4), st.floats(0, 1e3), st.floats(-1e3, 1e3), st.floats(1, 1e4)
)
def test_what_equals_the_published_value_is_never_outside(
    value: float, ci90: float, other: float, width: float, random: float, reach: float
) -> None:
    scale = Scale(random, random + reach)
    assert judge(mean(value, ci90), published(value, width), scale).word not in OUTSIDE
    # The verdict does not depend on where zero is.
    moved = Scale(random + other, random + other + reach)
    first, second = (
        judge(mean(value, ci90), published(value + 1.0, width), scale),
        judge(mean(value + other, ci90), published(value + 1.0 + other, width), moved),
    )
    assert first.tolerance == pytest.approx(second.tolerance, abs=1e-6)


def test_every_task_with_published_returns_has_a_scale() -> None:
    for env_id, _, curve in LEARNT:
        assert scale_of(env_id, env_id, numbers_for(f"{curve.paper}, {curve.figure}")) is not None, env_id
