"""Figures of labelled streams on synthetic stores: curves, ends of runs, searches, rank correlations and update times."""

from __future__ import annotations

import numpy as np
import pytest
from analysis_support import an_experiment, assert_legible, panels_of, publish, titled

from analysis.plot import MINUS
from analysis.published import upgd
from experiments.catalog import load_experiment
from experiments.expand import labelled_runs, runs_of
from experiments.spec import Arm, Row
from experiments.store import Store

UPGD, ADAM = Arm("UPGD-W", "upgd", emphasised=True), Arm("AdamW", "adam")
TASK = 500


def stream_row(arms, steps=8 * TASK, seeds=3):
    environment = {"task_steps": TASK}
    return Row("permuted_digits", arms, steps=steps, seeds=seeds, bin_width=2 * TASK, environment=environment, panel="digits")


def fill(store, experiment, level, diverged_at=None):
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        step = np.arange(TASK, run.steps + 1, TASK)
        accuracy = level(arm, step) + 0.01 * run.seed
        table = {
            "step": step,
            "loss": 1 - accuracy,
            "accuracy": accuracy,
            "plasticity": 0.5 - step / 1e5,
            "weight_l1": step * 1.0,
        }
        table |= {f"{name}_max": 2 * values for name, values in table.items() if name != "step"}
        publish(store, run, {"metrics": table})


def test_curves_have_a_panel_for_each_metric_and_numbers_of_both_ends(drawn, tmp_path):
    experiment, store = an_experiment((stream_row((UPGD, ADAM)),), "continual", kind="metrics"), Store(tmp_path / "runs")
    fill(store, experiment, lambda arm, step: 0.5 + (1 if arm is UPGD else -1) * step / 2e4)
    figure, numbers = drawn(experiment, store)
    titles = [axes.get_title() for axes in panels_of(figure)]
    assert titles == ["online accuracy", "online loss", "plasticity", "weights, L1 norm", "second half of the run"]
    assert_legible(figure)
    found = numbers.set_index(["algorithm", "metric", "step"])["mean"]
    first, last = 0.5 + 750 / 2e4, 0.5 + 3750 / 2e4  # means of two tasks each
    assert found["UPGD-W", "accuracy", 4000] == pytest.approx(last + 0.01)
    assert found["UPGD-W", "forgetting", 4000] == pytest.approx(first - last)
    assert found["AdamW", "forgetting", 4000] == pytest.approx(last - first)
    assert found["UPGD-W", "loss_of_plasticity", 4000] == pytest.approx(1000 / 1e5)  # of bins three and four
    assert found["UPGD-W", "mean_accuracy", 4000] == pytest.approx(0.5 + 2250 / 2e4 + 0.01)
    assert "accuracy_max" not in set(numbers["metric"])


def test_heat_map_has_a_cell_for_each_stream_and_learner_with_the_authors_number_in_brackets(drawn, tmp_path):
    environment = {"task_steps": TASK, "permute": "labels"}
    files = Row("permuted_emnist", (UPGD, ADAM), steps=8 * TASK, seeds=2, bin_width=2 * TASK, environment=environment)
    experiment = an_experiment((stream_row((UPGD,)), files), "plasticity_heat_map", kind="metrics")
    store = Store(tmp_path / "runs")
    fill(store, experiment, lambda arm, step: 0.5 + (1 if arm is UPGD else -1) * step / 2e4)
    figure, numbers = drawn(experiment, store)
    assert [axes.get_title() for axes in panels_of(figure)] == ["overall forgetting", "overall loss of plasticity"]
    assert_legible(figure)
    found = numbers.set_index(["env_id", "algorithm", "metric"])
    assert len(found) == 3 * 2
    assert found.loc[("permuted_emnist", "AdamW", "forgetting"), "mean"] == pytest.approx(3000 / 2e4)
    assert found.loc[("permuted_emnist", "AdamW", "forgetting"), "published"] == -0.06862
    assert found.loc[("permuted_emnist", "UPGD-W", "loss_of_plasticity"), "published"] == 0.02205
    assert np.isnan(found.loc[("permuted_digits", "UPGD-W", "forgetting"), "published"])
    texts = [text.get_text() for text in titled(figure, "overall forgetting").texts]
    assert [text.replace(MINUS, "-") for text in texts] == ["-15.0", "-15.0\n(-66.4)", "15.0\n(-6.9)"]


def test_heat_map_of_other_files_has_no_number_of_the_authors(drawn, tmp_path):
    environment = {"task_steps": TASK, "permute": "labels", "data_sha256": ("0" * 64,)}
    row = Row("permuted_emnist", (UPGD,), steps=8 * TASK, seeds=2, bin_width=2 * TASK, environment=environment, panel="made up")
    experiment, store = an_experiment((row,), "plasticity_heat_map", kind="metrics"), Store(tmp_path / "runs")
    fill(store, experiment, lambda arm, step: 0.5 + step / 2e4)
    figure, numbers = drawn(experiment, store)
    assert len(numbers) == 2
    assert numbers["published"].isna().all()
    assert not any("authors" in text.get_text() for text in figure.texts)


def test_numbers_of_the_authors_heat_map_that_are_not_ours_to_compare_are_left_out():
    table = upgd.heat_map().set_index(["env_id", "learner", "metric"])["value"]
    assert len(table) == 3 * 2 * 10 - 1
    assert ("permuted_cifar10", "S-RWalk", "loss_of_plasticity") not in table, "the outlier"
    assert "permuted_mnist" not in table.index.get_level_values("env_id")


def test_heat_map_trains_nothing_of_its_own():
    streams = ("input_permuted_mnist", "label_permuted_cifar10", "label_permuted_emnist", "label_permuted_mini_imagenet")
    for preset, shared in (("paper", 4), ("laptop", 3), ("made_up", 3)):
        own = {run.run_id for run in runs_of(load_experiment("plasticity_heat_map"), preset)}
        theirs = {run.run_id for name in streams[:shared] for run in runs_of(load_experiment(name), preset)}
        assert own == theirs
    digits = {preset: runs_of(load_experiment("permuted_digits"), preset) for preset in ("paper", "quick")}
    for preset, theirs in (("digits", digits["paper"]), ("quick", digits["quick"])):
        assert runs_of(load_experiment("plasticity_heat_map"), preset) == theirs


def test_search_shows_a_dot_for_each_setting_and_names_the_best(drawn, tmp_path):
    arms = tuple(Arm(f"UPGD-W, alpha {rate:g}", "upgd", {"step_size": rate}) for rate in np.linspace(0.1, 0.8, 8))
    experiment, store = an_experiment((stream_row((*arms, ADAM)),), "continual", kind="metrics"), Store(tmp_path / "runs")
    fill(store, experiment, lambda arm, step: np.full(len(step), 0.5 - abs(arm.hyperparameters.get("step_size", 1) - 0.4)))
    figure, numbers = drawn(experiment, store)
    (axes,) = panels_of(figure)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["UPGD-W", "AdamW"]
    assert any("UPGD-W, alpha 0.4: 0.5100" in text.get_text() for text in figure.texts)
    assert set(numbers["metric"]) >= {"mean_accuracy", "forgetting"}


def test_utilities_are_lines_in_a_panel_for_each_scope(drawn, tmp_path):
    row = Row("utility_quality", (Arm("SGD", "utility_quality"),), steps=100, seeds=2, bin_width=10, panel="ReLU, weights")
    experiment, store = an_experiment((row,), "utility_quality", kind="metrics"), Store(tmp_path / "runs")
    levels = {"second_order": 0.9, "first_order": 0.6, "squared_gradient": 0.2, "magnitude": 0.1, "random": 0.0}
    for _, _, run in labelled_runs(experiment.preset("quick")):
        table = {"step": np.arange(10, 101, 10)}
        for name, level in levels.items():
            for suffix in ("", "_layerwise"):
                table[f"{name}{suffix}"] = np.full(10, level)
                table[f"{name}{suffix}_max"] = np.full(10, 1.0)
        publish(store, run, {"metrics": table})
    figure, numbers = drawn(experiment, store)
    assert len(panels_of(figure)) == 2
    assert_legible(figure)
    lines = titled(figure, "whole network").lines
    # Each of the two runs and their mean.
    assert sorted(round(line.get_ydata()[0], 3) for line in lines) == sorted(3 * list(levels.values()))
    assert set(numbers["metric"]) == {f"{name}{suffix}" for name in levels for suffix in ("", "_layerwise")}


def test_update_times_are_means_of_updates_beside_sgd(drawn, tmp_path):
    arms = tuple(Arm(label, "update_time", {"learner": name}) for label, name in (("SGDW", "sgd"), ("UPGD-W", "upgd")))
    row = Row("permuted_generated", arms, steps=3, seeds=1, bin_width=1)
    experiment, store = an_experiment((row,), "upgd_update_time", kind="measurement"), Store(tmp_path / "runs")
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        size = 1.0 if arm.label == "SGDW" else 4.0
        table = {"repeat": np.arange(3), "quantity": np.array(["update"] * 3), "milliseconds": size * np.array([0.9, 1.0, 1.1])}
        publish(store, run, {"update_time": {**table, "core_share": np.array([0.99, 0.5, 0.99])}})
    figure, numbers = drawn(experiment, store)
    assert numbers["milliseconds"].tolist() == pytest.approx([1.0, 4.0])
    assert numbers["of_sgd"].tolist() == pytest.approx([1.0, 4.0])
    assert numbers["ci90"][0] == pytest.approx(2.92 * 0.1 / 3**0.5, rel=1e-3)
    assert any("as little as 50%" in text.get_text() for text in figure.texts)
