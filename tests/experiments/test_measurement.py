"""Measuring speed: a short measurement on a real environment, from command to figure."""

import sys

import pandas as pd
import pytest

from experiments import run
from experiments.expand import resolve, runs_of
from experiments.registry import ALGORITHMS
from experiments.spec import Arm, Row
from experiments.store import Owner, Store
from experiments.terminal import run_app
from experiments.training import throughput
from experiments.training.context import Context
from experiments.training.throughput import measure


def make_run(**settings):
    row = Row("Hopper-v4", (), steps=2, seeds=1, bin_width=1)
    return resolve(row, Arm("", "throughput", {"seconds": 0.05, **settings}), 0)


@pytest.mark.parametrize(
    ("settings", "quantities"),
    [
        ({"lanes": 2}, {"environment alone", "update alone", "learner and environment"}),
        ({"learner": "ppo1", "lanes": 1}, {"environment alone", "learner and environment"}),
        pytest.param(
            {"learner": "sac1", "lanes": 1, "implementation": "library"},
            {"environment alone", "learner and environment"},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"learner": "ppo1", "lanes": 2, "implementation": "lanes"},
            {"environment alone", "update alone", "learner and environment"},
            marks=pytest.mark.slow,
        ),
    ],
)
def test_every_quantity_is_measured_in_turn_as_often_as_asked(tmp_path, settings, quantities, monkeypatch):
    monkeypatch.setattr("algorithms.toolchain.compiler_version", lambda: None)  # compiling is not what is tested here
    monkeypatch.setattr(throughput, "WARM_UP_STEPS", 3)
    measured = make_run(**settings)
    store = Store(tmp_path)
    measure(measured, Context(store, Owner()))
    table = store.load(measured.run_id)[2]["throughput"].to_pandas()
    assert set(table["quantity"]) == quantities
    assert (table.groupby("quantity").size() == 2).all()
    assert (table["steps_per_second"] > 0).all()
    assert list(table["repeat"]) == sorted(table["repeat"])


def test_only_measurements_can_be_taken_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["run", "stream_barrier", "--again", "--store", str(tmp_path / "store")])
    with pytest.raises(SystemExit) as exit_:
        run_app(run.app)
    assert exit_.value.code == 2
    assert "finished runs of stream_barrier do not change" in capsys.readouterr().err
    assert not (tmp_path / "store").exists()


def test_throughput_figure_tells_shares_and_scaling(tmp_path):
    from analysis.figures import FigureData
    from analysis.figures.throughput import draw
    from experiments.expand import labelled_runs
    from experiments.spec import Experiment, Preset

    arms = (Arm("one", "throughput", {"lanes": 8}), Arm("two", "throughput", {"lanes": 8, "workers": 2}))
    preset = Preset("", (Row("Hopper-v4", arms, steps=1, seeds=1, bin_width=1),))
    store = Store(tmp_path)
    rates = {
        1: {"environment alone": 1000.0, "update alone": 2000.0, "learner and environment": 600.0},
        2: {"learner and environment": 1080.0},
    }
    for _, _, planned in labelled_runs(preset):
        found = rates[dict(planned.hyperparameters)["workers"]]
        table = pd.DataFrame({"repeat": 0, "quantity": list(found), "steps_per_second": list(found.values())})
        store.publish(planned, {"throughput": {name: table[name].to_numpy() for name in table}}, {"status": "finished"}, {})
    experiment = Experiment("throughput", "", "", {"quick": preset}, "throughput", kind="measurement")
    figure, numbers = draw(FigureData(experiment, preset, store, pd.DataFrame(), pd.DataFrame(), pd.DataFrame()))
    assert figure.axes
    assert list(numbers["share"].dropna()) == [0.6]
    assert list(numbers["scaling"].dropna()) == [0.9]


def test_throughput_names_only_learners_that_exist():
    from experiments.specs.ours.throughput import EXPERIMENT

    learners = {dict(planned.hyperparameters)["learner"] for planned in runs_of(EXPERIMENT, "paper")}
    assert learners <= set(ALGORITHMS)
