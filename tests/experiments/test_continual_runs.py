"""Every learner of labelled streams in its lane: alone, beside others, interrupted, compiled."""

import pkgutil

import numpy as np
import pytest
import torch

from algorithms.agent import leaves
from algorithms.toolchain import compiler_available
from experiments import registry
from experiments.expand import check_hyperparameters, resolve
from experiments.spec import Arm, Row
from experiments.training.context import Unwatched
from experiments.training.metrics import MetricsLog
from experiments.training.supervised import LabelledLearners

DIGITS = Row("permuted_digits", (), steps=45, seeds=1, bin_width=15, environment={"task_steps": 15})
TOY = Row("toy_changing_sign", (), steps=45, seeds=1, bin_width=15, environment={"task_steps": 15})
SMALL = {"hidden": (8, 6), "diagnostics": True}
LABELLED = [name for name, record in registry.learners().items() if record.gives == ("label",)]
UPGD_FORMS = [{"order": "second"}, {"level": "feature", "scaling": "local"}, {"protecting": False, "scaling": "local"}]
OWN = {"generate_and_test": {"hidden": (8,), "maturity": 5.0}, "adam_restarts": {"restart_every": 15}}
OWN["continual_backprop"] = {"maturity": 5.0, "replacement_rate": 0.05}
ARMS = [Arm(name, name, {**SMALL, **OWN.get(name, {})}) for name in LABELLED if name != "utility_quality"] + [
    Arm(str(form), "upgd", {**SMALL, **form}) for form in UPGD_FORMS
]


def run_of(arm, seed=0, row=DIGITS):
    run = resolve(row, arm, seed)
    check_hyperparameters(run)
    return run


def trained(runs, stops=(45,), compiled=False):
    group, begun = LabelledLearners.begin(runs, compiled), 0
    for end in stops:
        group.advance(begun, end, Unwatched(), lambda step: None)
        if end != stops[-1]:
            payloads = [
                {"state": group.lanes.state(lane), "diverged_at": None, **group.payload(lane)} for lane in range(len(runs))
            ]
            group, begun = LabelledLearners.restore(runs, payloads, compiled, end), end
    return group


def told(group, lane):
    return {name: column.tobytes() for name, column in group.tables(lane)["metrics"].items()}


def state(group, lane):
    return [leaf.numpy().tobytes() for leaf in leaves(group.lanes.state(lane))]


def test_there_are_learners():
    assert {"upgd", "adaupgd", "sgd", "pgd", "shrink_and_perturb", "adam", "s_ewc", "s_rwalk", "continual_backprop"} <= set(
        LABELLED
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["upgd", "adam", "s_rwalk"])
def test_compiled_lane_holds_the_same_bits_beside_any_number_of_others(name):
    (arm,) = (arm for arm in ARMS if arm.label == name)
    few, many = (trained([run_of(arm, seed) for seed in range(lanes)], (300,), True) for lanes in (2, 5))
    for lane in range(2):
        assert (state(few, lane), told(few, lane)) == (state(many, lane), told(many, lane))


# One of each way to remember; the others take as long again.
TRIED_ALWAYS = ("upgd", "adaupgd", "s_rwalk", "continual_backprop")


def sparing(arm):
    return pytest.param(arm, DIGITS, marks=[] if arm.label in TRIED_ALWAYS else pytest.mark.slow)


@pytest.mark.parametrize(
    ("arm", "row"), [*map(sparing, ARMS), (ARMS[0], TOY)], ids=lambda x: getattr(x, "label", "") or x.env_id
)
def test_lane_is_the_run_alone_and_goes_on_exactly(arm, row):
    runs = [run_of(arm, seed, row) for seed in (0, 1)]
    together, alone, interrupted = trained(runs, (30,)), trained(runs[1:], (30,)), trained(runs[1:], (20, 30))
    assert told(together, 1) == told(alone, 0) == told(interrupted, 0)
    assert state(together, 1) == state(alone, 0) == state(interrupted, 0)
    assert told(together, 0) != told(together, 1)
    table = together.tables(0)["metrics"]
    assert table["step"].tolist() == [15, 30]
    assert np.isfinite(np.array(list(table.values()), np.float64)).all()
    assert ("accuracy" in table) == (row is DIGITS)


def test_learners_of_equal_seed_begin_alike_and_see_the_same_samples():
    arms = [arm for arm in ARMS if arm.algorithm != "generate_and_test"]  # it has another network
    groups = [LabelledLearners.begin([run_of(arm)], False) for arm in arms]
    first = [group.lanes.state(0)["parameters"]["0.weight"].numpy().tobytes() for group in groups]
    seen = [group.streams[0].samples.samples(0, 50)[0].tobytes() for group in groups]
    assert len(set(first)) == len(set(seen)) == 1


def test_settings_that_are_numbers_share_the_lanes_of_one_kernel():
    arms = [
        Arm(str(sigma), "upgd", {**SMALL, "sigma": sigma, "beta_utility": beta}) for sigma, beta in ((0.1, 0.9), (0.0, 0.0))
    ]
    runs = [run_of(arm) for arm in arms]
    together = trained(runs)
    for lane, run in enumerate(runs):
        assert told(together, lane) == told(trained([run]), 0)


@pytest.mark.skipif(not compiler_available(), reason="no C++ compiler to compile lanes with")
def test_compiled_form_learns_what_the_eager_one_does():
    run = run_of(Arm("upgd", "upgd", {**SMALL, "order": "second", "activation": "tanh"}))
    eager, compiled = (trained([run], compiled=flag).tables(0)["metrics"] for flag in (False, True))
    for name in ("loss", "weight_l2"):
        np.testing.assert_allclose(compiled[name], eager[name], rtol=2e-3)


def test_windows_of_the_official_code_end_one_sample_late():
    late = run_of(Arm("late", "sgd", {**SMALL, "first_window": "code"}))
    table = trained([late]).tables(0)["metrics"]
    assert table["step"].tolist() == [1, 16, 31]
    every = MetricsLog.of(registry.make_learner(run_of(Arm("sgd", "sgd", SMALL))), task_steps=15)
    assert every.late == 0


def judged(at="before_update", held_out=20, first_window="paper"):
    environment = {"task_steps": 15, "permute": "labels", "held_out": held_out, "held_out_at": at}
    row = Row("permuted_generated", (), steps=45, seeds=1, bin_width=15, environment=environment)
    return run_of(Arm("sgd", "sgd", {**SMALL, "step_size": 0.1, "first_window": first_window}), 0, row)


def test_network_is_judged_at_the_end_of_each_task_and_learns_nothing_from_it():
    before, after, never = trained([judged()]), trained([judged("after_update")]), trained([judged(held_out=0)])
    columns = [group.tables(0)["metrics"] for group in (before, after, never)]
    known = [table.pop("held_out_accuracy", None) for table in columns]
    assert [{name: x.tobytes() for name, x in table.items()} for table in columns[:2]] == [told(never, 0)] * 2
    assert state(before, 0) == state(after, 0) == state(never, 0)
    assert known[2] is None
    assert np.isfinite(known[0]).all()
    assert np.isfinite(known[1]).tolist() == [True, True, False], "the last task has no next update"
    assert ((known[0] * 20) % 1 == 0).all()


def test_judgement_is_that_of_the_network_at_that_time():
    run = judged(held_out=200)
    group = LabelledLearners.begin([run], False)
    group.advance(0, 15, Unwatched(), lambda step: None)
    parameters = group.lanes.state(0)["parameters"]
    x, y = group.streams[0].samples.held_out(0)
    h = torch.from_numpy(x)
    for number in range(3):
        h = h @ parameters[f"{number}.weight"].T + parameters[f"{number}.bias"]
        h = h.relu() if number < 2 else h
    expected = (h.argmax(1).numpy() == y).mean()
    assert group.tables(0)["metrics"]["held_out_accuracy"].tolist() == [pytest.approx(expected)]
    assert 0 < expected < 1


def test_what_was_learnt_of_a_task_shows_on_samples_that_were_held_out():
    environment = {"task_steps": 300, "permute": "labels", "held_out": 100}
    row = Row("permuted_generated", (), steps=300, seeds=1, bin_width=300, environment=environment)
    run = run_of(Arm("sgd", "sgd", {"hidden": (32,), "step_size": 0.01, "weight_decay": 0.0}), 0, row)
    (known,) = trained([run], (300,)).tables(0)["metrics"]["held_out_accuracy"]
    assert known > 0.4, "ten classes"


@pytest.mark.parametrize("stop", [15, 16])
@pytest.mark.parametrize("at", ["before_update", "after_update"])
def test_judgements_go_on_exactly(at, stop):
    assert told(trained([judged(at)]), 0) == told(trained([judged(at)], (stop, 45)), 0)


def test_judgement_stands_in_the_late_window_of_its_task():
    table = trained([judged(first_window="code")]).tables(0)["metrics"]
    assert table["step"].tolist() == [1, 16, 31]
    assert np.isfinite(table["held_out_accuracy"]).tolist() == [False, True, True]


@pytest.mark.parametrize("name", LABELLED)
def test_learner_made_by_hand_has_the_defaults_of_its_record(name):
    learner = pkgutil.resolve_name(registry.algorithm(name).learner)()
    assert {key: getattr(learner, key) for key in registry.hyperparameter_defaults(name)} == registry.hyperparameter_defaults(
        name
    )
