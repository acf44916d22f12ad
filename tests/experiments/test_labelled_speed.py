"""What is measured of labelled learners: that each quantity goes on with learning, counts its samples, and refuses in words."""

import numpy as np
import pytest
import torch

from experiments.errors import UserError
from experiments.expand import resolve
from experiments.measurements import Throughput
from experiments.randomness import BLOCK
from experiments.spec import Arm, Row
from experiments.training import labelled_speed, throughput
from experiments.training.context import Context

ROW = Row("permuted_digits", (), steps=1, seeds=1, bin_width=1)


def run_of(learner, row=ROW, **settings):
    return resolve(row, Arm("", learner, {"hidden": (6,), **settings}), 0)


@pytest.mark.parametrize("learner", ["upgd", "adaupgd", "sgd", "adam"])
def test_ordinary_loop_learns_sample_by_sample(learner, monkeypatch):
    kept = []
    made = labelled_speed._optimizer
    monkeypatch.setattr(labelled_speed, "_optimizer", lambda run, network: kept.append(network) or made(run, network))
    take = labelled_speed.loop(run_of(learner, step_size=0.01))
    before = [p.clone() for p in kept[0].parameters()]
    assert take(5) == 5
    assert all(not torch.equal(p, old) for p, old in zip(kept[0].parameters(), before, strict=True))


def test_lanes_count_the_samples_of_all(tmp_path):
    together, update = labelled_speed.in_lanes(run_of("upgd"), Throughput(learner="upgd", lanes=3), False)
    assert (together(2), update(2)) == (3 * BLOCK, 6), "samples are taken by the block"
    assert labelled_speed.stream_alone(run_of("upgd"))(10) >= 10


def test_throughput_of_labelled_samples_is_measured(monkeypatch):
    monkeypatch.setattr(throughput, "WARM_UP_STEPS", 2)
    settings = {"learner": "upgd", "implementation": "library", "lanes": 1, "seconds": 0.01}
    run = resolve(ROW, Arm("", "throughput", settings), 0)
    published = []
    monkeypatch.setattr(Context, "publish", lambda self, run, tables, *_: published.append(tables))
    throughput.measure(run, Context(None, None))
    (tables,) = published
    assert set(tables["throughput"]["quantity"]) == {"environment alone", "learner and environment"}
    assert (np.array(tables["throughput"]["steps_per_second"]) > 0).all()


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (run_of("s_ewc"), "s_ewc has no optimizer of PyTorch"),
        (run_of("upgd", level="feature"), "first order only"),
        (run_of("sgd", row=Row("toy_changing_sign", (), 1, 1, 1)), "vectors, classes and ReLU"),
    ],
)
def test_what_cannot_be_measured_is_told(run, said):
    with pytest.raises(UserError, match=said):
        labelled_speed.loop(run)
