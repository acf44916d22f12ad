"""The experiments of AVG: configurations derived from their numbers."""

import csv

import pytest

from analysis.published import FOLDER
from experiments.specs.avg.arms import CONFIGURATIONS
from experiments.specs.avg.search import drawn

# By the documentation of the official code, its examples for IAC+ and SAC-1: no published configurations.
EXAMPLES = {
    294: {"actor_lr": 2.2e-5, "critic_lr": 3.9e-4, "beta1": 0.9, "entropy": 0.8, "gamma": 0.97},
    146: {"actor_lr": 8.2e-5, "critic_lr": 2.9e-5, "beta1": 0.0, "entropy": 0.02, "gamma": 1.0},
}


def published():
    with open(FOLDER / "avg_hyperparameters.csv") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", published(), ids=lambda row: row["env"])
def test_the_published_configurations_come_out_of_their_numbers(row):
    name = row["env"] if row["env"].endswith("-v4") else f"dm_control/{row['env'].replace('_', '-')}-v0"
    assert CONFIGURATIONS[name] == int(row["hyp_seed"])
    found = drawn(int(row["hyp_seed"]))
    # Exactly: a configuration of the search is the very run that the learning curves show.
    assert found == {
        "actor_lr": float(row["actor_lr"]),
        "critic_lr": float(row["critic_lr"]),
        "beta1": float(row["beta1"]),
        "entropy": float(row["entropy_coefficient"]),
        "gamma": float(row["gamma"]),
    }


@pytest.mark.parametrize("number", EXAMPLES)
def test_so_do_the_examples_of_the_official_code(number):
    assert drawn(number) == EXAMPLES[number]
