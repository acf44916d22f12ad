"""`--set` and `--seeds` as they are written, and the arms, rows and seeds that they make."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.kept import _places
from analysis.report import _row, folder_name
from experiments.cli import resolve_request
from experiments.errors import UserError
from experiments.expand import labelled_runs, override
from experiments.settings_text import Sweep, parse_seeds, parse_settings, seeds_text, single, written
from experiments.spec import Arm, Preset, Row

AC, PPO = Arm("Stream AC", "stream_ac", emphasised=True), Arm("PPO", "ppo")
PRESET = Preset("for tests", (Row("Hopper-v4", (AC, PPO), 1000, 3, 100, fewer_seeds={"Stream AC": 2}, first_seed=50),))


def labels(preset: Preset) -> list[str]:
    return [arm.label for row in preset.rows for arm in row.arms]


# --set


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("True", True),
        ("false", False),
        ("None", None),
        ("1e5", 100_000),
        ("1.5e3", 1500),
        ("1e-3", 0.001),
        ("2.0", 2.0),
        ("100_000", 100_000),
        ("1_000.5", 1000.5),
        (".5", 0.5),
        ("-3", -3),
        ("[64, 64]", (64, 64)),
        ("(64, 64)", (64, 64)),
        ("(64,)", (64,)),
        ("[]", ()),
        ("obgd", "obgd"),
        ("", ""),
        ('"a,b"', "a,b"),
        ("1,2,3", Sweep((1, 2, 3))),
        ("True,False", Sweep((True, False))),
        ("[64],[64,64]", Sweep(((64,), (64, 64)))),
        ("obgd,adam", Sweep(("obgd", "adam"))),
        ("0.1, 0.2", Sweep((0.1, 0.2))),
        ("1,1", Sweep((1,))),
        ("1-2", "1-2"),
    ],
)
def test_value_is_read_as_python_and_json_write_it(text, value):
    (read,) = parse_settings([f"key={text}"]).values()
    assert read == value
    assert type(read) is type(value)


@given(st.lists(st.booleans() | st.integers() | st.floats(allow_nan=False) | st.lists(st.integers()).map(tuple), min_size=1))
def test_value_that_is_written_is_read_again(values):
    for value in (values[0], Sweep(tuple(dict.fromkeys(values)))):
        read = parse_settings([f"key={written(value)}"])["key"]
        assert read == (value if not isinstance(value, Sweep) or len(value.values) > 1 else value.values[0])


@pytest.mark.parametrize("text", ["1,,2", ",1", "1,", ","])
def test_empty_value_between_commas_is_refused(text):
    with pytest.raises(UserError, match="empty value between its commas"):
        parse_settings([f"key={text}"])


def test_whole_number_written_as_a_float_counts_steps():
    assert {run.steps for run in resolve_request("stream_barrier", "quick", ["steps=1e5"], 1).runs} == {100_000}
    assert {run.steps for run in resolve_request("stream_barrier", "quick", ["steps=100_000"], 1).runs} == {100_000}


# Sweeps


def test_values_of_a_hyperparameter_make_arms_with_labels_that_tell_them_apart():
    preset = override(PRESET, parse_settings(["kappa_policy=1,2,3"]))
    assert labels(preset) == [*(f"Stream AC, kappa_policy={kappa}" for kappa in (1, 2, 3)), "PPO"]
    runs = [(arm.label, dict(run.hyperparameters).get("kappa_policy"), run.seed) for _, arm, run in labelled_runs(preset)]
    assert runs[:6] == [(f"Stream AC, kappa_policy={kappa}", float(kappa), seed) for kappa in (1, 2, 3) for seed in (50, 51)]
    assert all(arm.emphasised for arm in preset.rows[0].arms if arm.algorithm == "stream_ac")


def test_sweeps_of_two_keys_make_all_pairs():
    preset = override(PRESET, parse_settings(["algorithm=stream_ac", "kappa_policy=1,2", "gamma=0.9,0.99"]))
    assert len(set(labels(preset))) == 4
    assert "Stream AC, kappa_policy=2, gamma=0.9" in labels(preset) or "Stream AC, gamma=0.9, kappa_policy=2" in labels(preset)


def test_sweep_of_one_algorithm_leaves_the_others_alone():
    assert labels(override(PRESET, parse_settings(["ppo.gamma=0.9,0.99"]))) == [
        "Stream AC",
        "PPO, gamma=0.9",
        "PPO, gamma=0.99",
    ]


def test_arm_of_a_sweep_is_the_run_that_one_value_makes():
    swept = {run.run_id for _, _, run in labelled_runs(override(PRESET, parse_settings(["kappa_policy=2,3"])))}
    assert swept > {run.run_id for _, _, run in labelled_runs(override(PRESET, {"kappa_policy": 2, "algorithm": "stream_ac"}))}
    assert swept > {run.run_id for _, _, run in labelled_runs(PRESET)}, "3 is the default"


def test_values_of_an_option_make_rows_with_panels_that_tell_them_apart():
    preset = override(PRESET, parse_settings(["time_limit=100,200"]))
    assert [row.panel_name for row in preset.rows] == ["Hopper-v4, time_limit=100", "Hopper-v4, time_limit=200"]
    assert [row.environment["time_limit"] for row in preset.rows] == [100, 200]


def test_several_environments_make_rows_and_several_algorithms_keep_their_arms():
    preset = override(PRESET, parse_settings(["env_id=Ant-v4,Walker2d-v4", "algorithm=stream_ac,ppo"]))
    assert [row.env_id for row in preset.rows] == ["Ant-v4", "Walker2d-v4"]
    assert labels(preset) == ["Stream AC", "PPO"] * 2


def test_sweep_where_one_value_is_wanted_is_refused():
    with pytest.raises(UserError, match="steps takes one value; 1,2 are 2"):
        override(PRESET, parse_settings(["steps=1,2"]))
    with pytest.raises(UserError, match=r"gamma takes one value here; 0\.1,0\.2 are 2"):
        single(parse_settings(["gamma=0.1,0.2"]))


def test_more_runs_than_anybody_means_are_refused_before_they_are_listed():
    with pytest.raises(UserError, match=r"at most 100,000 runs; these are 200,000\."):
        override(PRESET, {}, 100_000)


# --seeds


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("5", 5),
        ("3,7", (3, 7)),
        ("7,3,7", (3, 7)),
        ("10-12", (10, 11, 12)),
        ("3,10-12", (3, 10, 11, 12)),
        ("7-7", (7,)),
        (" 3 , 7 ", (3, 7)),
    ],
)
def test_seeds_are_how_many_or_which(text, seeds):
    assert parse_seeds(text) == seeds


@given(st.integers(1, 10**6) | st.sets(st.integers(0, 300), min_size=1).map(lambda seeds: tuple(sorted(seeds))))
def test_seeds_that_are_written_are_read_again(seeds):
    assert parse_seeds(seeds_text(seeds)) == seeds


@pytest.mark.parametrize("text", ["", "x", "1.5", "3,,7", "3-", "-3-7", "3 7", "7-3"])
def test_seeds_that_are_neither_are_refused(text):
    with pytest.raises(UserError, match="--seeds"):
        parse_seeds(text)


def test_chosen_seeds_are_those_of_every_arm():
    preset = override(PRESET, {}, (3, 7))
    assert [(arm.label, run.seed) for _, arm, run in labelled_runs(preset)] == [
        *(("Stream AC", seed) for seed in (3, 7)),
        *(("PPO", seed) for seed in (3, 7)),
    ]
    assert preset.rows[0].seeds == 2
    with pytest.raises(UserError, match="leave one of them out"):
        override(PRESET, {"first_seed": 5}, (3, 7))


def test_chosen_seed_is_the_run_that_counting_reaches():
    counted = {run.run_id for _, _, run in labelled_runs(override(PRESET, {"first_seed": 0}, 8))}
    assert {run.run_id for _, _, run in labelled_runs(override(PRESET, {}, (3, 7)))} < counted


# Reports


def test_reports_of_different_sweeps_and_seeds_have_folders_of_their_own():
    asked = [
        ({}, None),
        ({}, 2),
        ({}, (3, 7)),
        ({}, (3, 4, 5, 6, 7)),
        ({"gamma": Sweep((0.9, 0.99))}, None),
        ({"gamma": "0.9,0.99"}, None),
        ({"gamma": 0.9}, None),
    ]
    names = [folder_name("quick", settings, seeds) for settings, seeds in asked]
    assert len(set(names)) == len(names)
    assert names[:2] == ["quick", "quick+seeds=2"]
    assert names[3] == "quick+seeds=3-7"
    assert all("/" not in name and "," not in name for name in names)


def test_report_that_is_kept_knows_which_seeds_it_was_of():
    from experiments.catalog import load_experiment

    preset = override(PRESET, {}, (3, 7))
    told = _row(load_experiment("stream_barrier"), preset.rows[0])
    assert {place[2] for place in _places({"rows": [told]}).values()} == {3, 7}
    assert set(_places({"rows": [told]})) == {run.run_id for _, _, run in labelled_runs(preset)}
