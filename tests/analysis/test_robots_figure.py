"""The figure of robots on synthetic stores: time on the axis, missed cycles, and memory by arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from analysis_support import Draw, an_experiment, assert_legible, publish, titled

from analysis import report
from analysis.figures import robots
from experiments.errors import UserError
from experiments.expand import labelled_runs
from experiments.spec import Arm, Experiment, Row
from experiments.store import Store

ARMS = (
    Arm("AVG", "avg", emphasised=True),
    Arm("SAC", "sac"),
    Arm("SAC-100", "sac1", {"buffer_size": 100}),
    Arm("SAC-100, batch 100", "sac", {"buffer_size": 100, "sizes": "derived"}),
    Arm("PPO", "ppo"),
)
# Cycles that one step of a learner takes.
LATE = {"AVG": 2, "SAC": 51, "SAC-100": 2, "SAC-100, batch 100": 21, "PPO": 1}
ENV_IDS = ("UR-Reacher-2-v0", "Create-Mover-v0")


def experiment_of(env_ids: tuple[str, ...] = ENV_IDS) -> Experiment:
    steps = {label: 20_000 // late for label, late in LATE.items()}
    fewer = {label: number for label, number in steps.items() if number < 20_000}
    rows = tuple(Row(env_id, ARMS, 20_000, 2, 250, {"device": "jetson_nano"}, fewer_steps=fewer) for env_id in env_ids)
    return an_experiment(rows, "robots", kind="metrics")


def fill(store: Store, experiment: Experiment, without: str = "") -> None:
    """Publish runs whose episodes take 100 cycles and 10 seconds, with returns that are the time in hours."""
    for _, arm, run in labelled_runs(experiment.preset("quick")):
        if arm.label == without:
            continue
        late = LATE[arm.label]
        step = np.arange(1, run.steps * late // 100 + 1) * 100 // late
        seconds = 10.0 * np.arange(1, len(step) + 1)
        episodes = {
            "step": np.maximum(step, 1),
            "episodic_return": seconds / 3600 + 0.01 * run.seed,
            "length": np.full(len(step), 100 // late, np.int32),
            "seconds": seconds,
            "cycles": np.full(len(step), 100.0),
            "missed_cycles": np.full(len(step), 100.0 - 100 / late),
        }
        publish(store, run, {"episodes": episodes})


def test_returns_are_drawn_against_the_robots_time(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = experiment_of(), Store(tmp_path / "runs")
    fill(store, experiment)
    figure, numbers = drawn(experiment, store)
    assert_legible(figure)
    curves = numbers[numbers["part"] == "return"]
    assert set(curves["algorithm"]) == set(LATE)
    # Whatever a learner misses, at one time they have the same return here, within the width of a bin.
    for label, late in LATE.items():
        own = curves[curves["algorithm"] == label]
        room = (250 * late / 100 * 10 + 2000 / 30) / 3600
        assert own["value"].to_numpy() == pytest.approx(own["seconds"].to_numpy() / 3600 + 0.005, abs=room), label
        assert own["seconds"].max() > 1200 or label == "SAC"
    assert titled(figure, "Create-Mover").get_xlim()[1] == pytest.approx(1.987 / 3.6, abs=0.01)


def test_others_are_drawn_before_the_emphasised_one_has_run(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = experiment_of(), Store(tmp_path / "runs")
    fill(store, experiment, without="AVG")
    figure, numbers = drawn(experiment, store)
    assert set(numbers[numbers["part"] == "return"]["algorithm"]) == set(LATE) - {"AVG"}
    assert titled(figure, "Create-Mover").get_xlim()[1] > 0.5


def test_missed_cycles_are_those_of_the_episodes(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = experiment_of(), Store(tmp_path / "runs")
    fill(store, experiment)
    _, numbers = drawn(experiment, store)
    shares = numbers[numbers["part"] == "missed cycles"].set_index(["panel", "algorithm"])["value"]
    for env_id in ENV_IDS:
        for label, late in LATE.items():
            assert shares[(env_id, label)] == pytest.approx(1 - 1 / late), label


def test_only_a_million_images_do_not_fit_the_device(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = experiment_of(), Store(tmp_path / "runs")
    fill(store, experiment)
    _, numbers = drawn(experiment, store)
    sizes = numbers[numbers["part"] == "bytes as images"].set_index("algorithm")["value"]
    assert sizes["SAC"] == 43.2e9
    assert sizes["PPO"] == 2048 * 43_200
    assert {label for label, size in sizes.items() if size > 4e9} == {"SAC"}
    built = report.build(experiment, "quick", store, tmp_path / "results")
    table = built.comparison.set_index(["panel", "algorithm"])
    assert table.loc[("Create-Mover-v0", "SAC"), "fits"] == "states"
    assert table.loc[("Create-Mover-v0", "SAC"), "states MB"] == 80
    assert table.loc[("Create-Mover-v0", "SAC"), "published"] == 40_000
    assert table.loc[("Create-Mover-v0", "AVG"), ["fits", "samples"]].tolist() == ["states and images", 1]


def test_report_can_be_drawn_again_without_the_store(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = experiment_of(), Store(tmp_path / "runs")
    fill(store, experiment)
    _, before = drawn(experiment, store)
    _, after = drawn(experiment, Store(tmp_path / "empty"))
    assert after.equals(before)


def test_measured_time_is_named_as_such(drawn: Draw, tmp_path: Path) -> None:
    experiment, store = experiment_of(), Store(tmp_path / "runs")
    rows = experiment.preset("quick").rows
    measured = replace(rows[1], environment={"device": "measured"})
    for shown, named in ((rows, "taken from a device's profile."), ((rows[0], measured), "repeated (Create-Mover-v0).")):
        experiment = an_experiment(shown, "robots", kind="metrics")
        fill(store, experiment) if shown is rows else fill(store, an_experiment((measured,), "robots", kind="metrics"))
        figure, _ = drawn(experiment, store)
        assert named in " ".join(text.get_text() for text in figure.texts)


def test_run_that_did_not_count_its_time_is_refused(tmp_path: Path) -> None:
    experiment, store = experiment_of(ENV_IDS[:1]), Store(tmp_path / "runs")
    for _, _, run in labelled_runs(experiment.preset("quick")):
        ends = np.arange(1, 3) * 100
        episodes = {"step": ends, "episodic_return": ends * 1.0, "length": np.ones(2, np.int32)}
        publish(store, run, {"episodes": episodes})
    with pytest.raises(UserError, match="did not count its time; give the row a device"):
        report.build(experiment, "quick", store, tmp_path / "results")


def test_memory_formula_gives_the_sizes_that_are_known() -> None:
    """By the sheet's formula, a million states of Hopper (11 numbers, 3 actions) are 103 MiB, of HalfCheetah (17, 6) 160."""
    for observed, action, known in ((11, 3, 103), (17, 6, 160)):
        assert 1e6 * 4 * (2 * observed + action + 2) / 2**20 == pytest.approx(known, abs=0.5)
    assert robots.STATE_BYTES == 4 * (2 * 8 + 2 + 2)
