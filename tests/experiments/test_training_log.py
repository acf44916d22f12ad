"""What training has cost, beside what was planned."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from experiment_support import eager, make_run
from typer.testing import CliRunner

from experiments import training_log
from experiments.plan import estimated_speed
from experiments.spec import Arm, Experiment, Preset, Row
from experiments.store import Store
from experiments.worker import DONE, train_runs

ROW = Row("Hopper-v4", (Arm("Stream AC", "stream_ac", {"hidden": ()}),), steps=70, seeds=3, bin_width=70)
EXPERIMENT = Experiment("toy", "toy", "ours", {"quick": Preset("", (ROW,))}, "learning_curves")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(training_log, "experiment_names", lambda: ["toy"])
    monkeypatch.setattr(training_log, "load_experiment", lambda name: EXPERIMENT)
    store = Store(tmp_path / "runs")
    runs = [make_run(seed=seed, steps=70) for seed in range(2)]
    assert train_runs(runs, store, eager(), lambda: False) == DONE
    return store


def test_log_counts_processor_time_of_finished_runs_beside_the_estimate(store: Store) -> None:
    (entry,) = training_log.entries(store)
    run = make_run(steps=70)
    told = store.provenance(run.run_id)
    assert (entry.experiment, entry.preset, entry.algorithm, entry.env_id, entry.runs) == (
        *("toy", "quick", "stream_ac", "Hopper-v4"),
        2,
    )
    assert entry.planned_core_hours == pytest.approx(2 * 70 / estimated_speed(run, told["lanes"]) / 3600)
    assert entry.used_core_hours == pytest.approx(2 * 70 / told["steps_per_second"] * told["core_share"] / 3600)


def test_written_log_keeps_lines_of_other_machines_and_those_that_tell_of_more_runs(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "results" / "log.csv"
    words = ["--store", str(store.root), "--write", str(path)]
    assert CliRunner().invoke(training_log.app, words).exit_code == 0
    (line,) = csv.DictReader(path.open())
    assert line["runs"] == "2"
    more, other = {**line, "runs": "30"}, {**line, "env_id": "Ant-v4"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(line))
        writer.writeheader()
        writer.writerows([more, other])
    assert CliRunner().invoke(training_log.app, words).exit_code == 0
    assert [(kept["env_id"], kept["runs"]) for kept in csv.DictReader(path.open())] == [("Ant-v4", "2"), ("Hopper-v4", "30")]


def test_a_store_that_is_not_there_is_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert CliRunner().invoke(training_log.app, ["--store", str(tmp_path / "none")]).exit_code == 2
    assert not (tmp_path / "none").exists()
