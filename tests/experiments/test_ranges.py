"""Every setting declares its range, and whatever the papers and the presets set lies within."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Literal, get_args, get_origin

import pytest
from experiment_support import python
from hypothesis import given
from hypothesis import strategies as st

from algorithms.agent import hyperparameters, structure
from algorithms.ranges import Decay, Fraction, Positive, Widths
from algorithms.stream_ac import StreamAC
from experiments import registry
from experiments.catalog import experiment_names, load_experiment
from experiments.checks import check_value, check_values, declarations
from experiments.errors import UserError
from experiments.expand import resolve
from experiments.families import FAMILIES, options_class

# Names of others, whose own settings are checked where they are looked up, and text.
NAMES = ("learner", "settings", "changes", "device", "data_sha256")
SETTINGS = {record.settings for record in registry.ALGORITHMS.values()} | {family.options for family in FAMILIES.values()}


@pytest.mark.parametrize("settings", sorted(SETTINGS, key=lambda settings: settings.__name__))
def test_every_setting_declares_a_range_or_choices(settings):
    without = [
        name
        for name, declared in declarations(settings).items()
        if declared is not bool and get_origin(declared) not in (Annotated, Literal) and name not in NAMES
    ]
    assert without == []
    check_values(settings, {field.name: field.default for field in dataclasses.fields(settings)})


@pytest.mark.parametrize("name", experiment_names())
def test_all_presets_lie_within_the_ranges(name):
    seen = set()
    for preset in load_experiment(name).presets.values():
        for row in preset.rows:
            for field in ("steps", "bin_width", "first_seed"):
                check_value(field, getattr(row, field), declarations(type(row))[field])
            for run in (resolve(row, arm, row.first_seed) for arm in row.arms):
                key = (run.algorithm, run.hyperparameters, run.env_id, run.environment)
                if key not in seen:
                    seen.add(key)
                    check_values(registry.algorithm(run.algorithm).settings, dict(run.hyperparameters))
                    check_values(options_class(run.env_id), dict(run.environment))
    assert seen


@pytest.mark.parametrize(
    ("declared", "value", "sentence"),
    [
        (Fraction, 1.5, "it must be at least 0 and at most 1; 1.5 is not."),
        (Decay, 1.0, "it must be at least 0 and less than 1; 1.0 is not."),
        (Positive, 0.0, "it must be positive; 0.0 is not."),
        (Positive, float("nan"), "it must be a finite number; nan is not."),
        (Widths, (64, 0), r"it must be a list of positive widths, like \[128, 128\]; \(64, 0\) is not."),
        (Widths, (10**9,), "it must be a list of numbers of at most 1,000,000; "),
        (Literal["a", "b"], "c", "it must be one of a, b; 'c' is not."),
        (bool, 1, "it must be of type bool; 1 is not."),
    ],
)
def test_sentence_says_what_is_allowed(declared, value, sentence):
    with pytest.raises(UserError, match=sentence):
        check_value("it", value, declared)


@given(st.from_type(Fraction) | st.integers(0, 1))  # type: ignore[arg-type]
def test_what_lies_within_a_range_is_taken(value):
    check_value("gamma", value, declarations(StreamAC)["gamma"])


def test_field_that_a_subclass_declares_anew_keeps_its_range():
    @dataclasses.dataclass(frozen=True)
    class Mine(registry.algorithm("stream_ac").settings):  # type: ignore[misc]
        gamma: float = 0.5
        kappa_value: Annotated[float, "anything"] = -1.0

    assert declarations(Mine)["gamma"] == Fraction
    assert get_args(declarations(Mine)["kappa_value"]) == (float, "anything")


def test_ranges_leave_alone_what_lanes_may_differ_in():
    floats = set(hyperparameters(StreamAC()))
    assert {"gamma", "lamda", "sparsity", "kappa_policy", "alpha_value", "entropy"} <= floats
    assert not floats & {"hidden", "units", "layer_norm", "optimizer"}
    assert structure(StreamAC()) == structure(StreamAC(gamma=0.5, kappa_value=7.0))
    assert structure(StreamAC()) != structure(StreamAC(hidden=(4,)))


def test_checks_import_neither_torch_nor_numpy():
    code = (
        "import sys; from experiments.expand import resolve, check_hyperparameters; from experiments.spec import Arm, Row; "
        "check_hyperparameters(resolve(Row('Hopper-v4', (), 10, 1, 1), Arm('', 'stream_ac', {'gamma': 0.5}), 0)); "
        "print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert python("-c", code).out == "[]\n"
