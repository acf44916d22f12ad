"""Configurations of a search rank by the area under their curves; what diverged has no rank; the published one's is told."""

import math

import pandas as pd
import pytest

from analysis.figures import hyperparameter_search
from analysis.figures.hyperparameter_search import areas, rank_lines, ranked
from experiments.spec import Arm, Row

ENV = "HalfCheetah-v4"
ROW = Row(ENV, tuple(Arm(f"#{n}", "avg", emphasised=n == 2) for n in range(5)), 300, seeds=2, bin_width=100)
# By configuration and seed, the means of three bins.
CURVES = {
    ("#0", 0): (0.0, 0.0, 90.0),  # a steep end, and the smallest area but one
    ("#0", 1): (0.0, 0.0, 30.0),
    ("#1", 0): (50.0, 50.0, 50.0),
    ("#1", 1): (50.0, 50.0, 50.0),
    ("#2", 0): (40.0, math.nan, 20.0),  # the bin without an episode counts as the one before it
    ("#2", 1): (math.nan, 10.0, 10.0),
    ("#3", 0): (900.0, 900.0, 900.0),  # its other run diverged
    ("#3", 1): (900.0, math.nan, math.nan),
}


def tables():
    key = {"panel": ENV, "env_id": ENV}
    curves = pd.DataFrame(
        [
            {**key, "algorithm": label, "seed": seed, "step": 100 * (i + 1), "mean_return": value}
            for (label, seed), values in CURVES.items()
            for i, value in enumerate(values)
        ]
    )
    ends = {("#3", 1): "diverged"}
    runs = [{**key, "algorithm": label, "seed": seed, "status": ends.get((label, seed), "finished")} for label, seed in CURVES]
    return curves, pd.DataFrame(runs)


def test_areas_are_means_over_bins_with_gaps_filled():
    found = areas(ROW, tables()[0]).set_index(["algorithm", "seed"])["area"]
    assert found["#2", 0] == pytest.approx((40 + 40 + 20) / 3)
    assert found["#2", 1] == pytest.approx(10)


def test_rank_is_by_the_mean_area_and_nothing_diverged_has_one():
    table = ranked(ROW, *tables()).set_index("algorithm")
    assert table["rank"].dropna().to_dict() == {"#1": 1, "#2": 2, "#0": 3}
    assert table.loc["#0", "area"] == pytest.approx((30 + 10) / 2)
    assert table.loc["#3", "diverged"] == 1
    assert math.isnan(table.loc["#3", "area"])
    assert math.isnan(table.loc["#4", "area"])  # no run yet


def test_the_rank_of_the_published_configuration_is_told():
    lines = rank_lines(ranked(ROW, *tables()))
    assert lines == [
        "HalfCheetah-v4: the published configuration, #2, is number 2 of 5.",
        "HalfCheetah-v4: 2 without a rank (diverged, or no run yet).",
    ]


def test_how_many_configurations_are_drawn_is_told_where_it_is_not_all(monkeypatch):
    monkeypatch.setattr(hyperparameter_search, "SHOWN", 2)
    assert "HalfCheetah-v4: the best 2 of 3 are drawn." in rank_lines(ranked(ROW, *tables()))
