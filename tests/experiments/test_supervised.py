"""A learner of labelled samples goes the whole way, from spec to figure, with its own file and one record each."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pandas as pd
import pytest
import toy_labelled
from experiment_support import ALWAYS, NEVER, ask, in_child, one_sentence, wait_until
from toy_labelled import ENV_ID, ToyOptions, ToyStream

from algorithms.toolchain import compiler_available
from analysis.report import build
from experiments import catalog, checkpoint, families, registry
from experiments.expand import check_spaces, resolve, runs_of
from experiments.plan import plan, spaces_of
from experiments.spec import Arm, Experiment, Preset, Row
from experiments.store import Store
from experiments.testing.comparing import result_bytes
from experiments.worker import DONE, Options, train_runs

STEPS = 1500
# More than a block of samples (1024), tasks of 150 samples.
ARMS = (Arm("slow", "toy", {"step_size": 0.01}), Arm("fast", "toy"), Arm("without noise", "toy", {"jitter": 0.0}))
ROW = Row(ENV_ID, ARMS, steps=STEPS, seeds=2, bin_width=150)
EXPERIMENT = Experiment("toy", "A toy", "ours", {"quick": Preset("small", (ROW,))}, figure="overshooting", kind="metrics")


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setitem(families.FAMILIES, "toy", toy_labelled.FAMILY)
    monkeypatch.setitem(registry.ALGORITHMS, "toy", toy_labelled.LEARNER)


def options(compiled=False, checkpoint_seconds=NEVER):
    return Options(checkpoint_seconds=checkpoint_seconds, compiled=compiled)


def train(store, runs, **how):
    assert train_runs(runs, store, options(**how), lambda: False) == DONE
    return result_bytes(store, runs)


def test_arms_that_differ_in_numbers_share_the_lanes_of_one_group(store):
    runs = runs_of(EXPERIMENT, "quick")
    groups = plan(store, runs, workers=1)
    assert [len(group.runs) for group in groups] == [6]
    assert groups[0].loop is registry.SUPERVISED


def test_killed_run_resumes_to_the_same_bytes(store, tmp_path):
    runs = runs_of(EXPERIMENT, "quick")[:3]
    whole = train(Store(tmp_path / "whole"), runs)

    def reached(step):
        return lambda: min(checkpoint.latest_step(store, run.run_id) for run in runs) >= step

    for step in (1, 600, 1100):  # within the first block of samples and in the second
        pid = os.fork()
        if pid == 0:
            try:
                train_runs(runs, store, options(checkpoint_seconds=ALWAYS), lambda: bool(time.sleep(0.005)))
            finally:
                os._exit(0)
        wait_until(reached(step))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        assert not store.finished()
    assert in_child(lambda: train(store, runs)) == 0
    assert result_bytes(store, runs) == whole
    assert all(store.provenance(run.run_id)["resumed_at"][-1] >= 1100 for run in runs)


def test_lane_holds_the_bytes_of_the_same_run_alone(store, tmp_path):
    runs = runs_of(EXPERIMENT, "quick")
    together = train(store, runs)
    for run in runs[::2]:
        alone = train(Store(tmp_path / run.run_id), [run])
        assert alone[run.run_id] == together[run.run_id]
    assert len({files["metrics.arrow"] for files in together.values()}) == len(runs)


@pytest.mark.skipif(not compiler_available(), reason="no C++ compiler to compile lanes with")
def test_compiled_form_learns_what_the_eager_one_does(store, tmp_path):
    runs = runs_of(EXPERIMENT, "quick")[:2]
    tables = []
    for place, compiled in ((store, False), (Store(tmp_path / "compiled"), True)):
        train(place, runs, compiled=compiled)
        tables.append(place.load(runs[0].run_id)[2]["metrics"].to_pandas())
    np.testing.assert_allclose(tables[0], tables[1], rtol=1e-4)


def test_windows_end_with_their_task(store):
    (run,) = [resolve(Row(ENV_ID, (), STEPS, 1, 150, environment={"task_steps": 400}), ARMS[1], 0)]
    train(store, [run])
    table = store.load(run.run_id)[2]["metrics"].to_pandas()
    assert list(table["step"]) == [400, 800, 1200]  # the last task is not over
    assert (table["loss_max"] >= table["loss"]).all()


def test_equal_seeds_see_equal_streams_whatever_part_is_asked_for():
    whole, part = (ToyStream(ENV_ID, ToyOptions(), 3).samples(first, count) for first, count in ((0, 400), (140, 30)))
    for all_, some in zip(whole, part, strict=True):
        np.testing.assert_array_equal(all_[140:170], some)


def test_figure_shows_what_learners_told(store, tmp_path):
    runs = runs_of(EXPERIMENT, "quick")
    fast = resolve(ROW, ARMS[1], 0)
    train(store, runs)
    report = build(EXPERIMENT, "quick", store, tmp_path / "results")
    assert {"toy.png", "curves.parquet", "manifest.json"} <= {path.name for path in report.files}
    drawn = report.numbers.set_index(["algorithm", "metric", "step"])["mean"]
    recorded = [store.load(run.run_id)[2]["metrics"].to_pandas() for run in runs if run.hyperparameters == fast.hyperparameters]
    assert len(recorded) == 2
    for row, step in ((0, 150), (-1, STEPS)):
        assert drawn["fast", "loss", step] == pytest.approx(np.mean([table["loss"].iloc[row] for table in recorded]))
    assert drawn["fast", "loss", STEPS] < drawn["slow", "loss", STEPS]  # a task is over before the slow one has learnt it
    curves = pd.read_parquet(tmp_path / "results" / "toy" / "quick" / "curves.parquet")
    assert set(curves["metric"]) == {"loss", "loss_max"}


def test_diverged_learner_stops_and_its_neighbours_go_on(store):
    arms = (Arm("wild", "toy", {"step_size": 30.0}), ARMS[1])
    runs = [resolve(ROW, arm, 0) for arm in arms]
    together = train(store, runs)
    results = [store.load(run.run_id)[0] for run in runs]
    assert [result["status"] for result in results] == ["diverged", "finished"]
    assert results[0]["diverged_at"] < 200
    assert together[runs[1].run_id]


def test_command_trains_and_draws_it(store, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(catalog, "_modules", lambda: {"toy": "test_supervised"})
    answer = ask(capfd, monkeypatch, "run", "toy", "--dry-run", "--store", str(store.root))
    assert answer.code == 0, answer
    assert "6 to train" in answer.out
    answer = ask(capfd, monkeypatch, "run", "toy", "--set", "law=signs", "--store", str(store.root))
    assert one_sentence(answer, "law", "normal, sign")


def test_agent_on_labelled_samples_is_refused_in_words():
    run = resolve(ROW, Arm("", "stream_ac"), 0)
    with pytest.raises(Exception, match=r"stream_ac gives a vector as action or a choice.*toy-regression wants .*labels"):
        check_spaces(run, spaces_of(run.env_id, run.environment))
