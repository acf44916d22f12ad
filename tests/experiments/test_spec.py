"""Experiments as data: what decides a run's identity, how presets expand, and what the command line may change."""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any

import pytest
from experiment_support import make_run, python
from hypothesis import example, given
from hypothesis import strategies as st

from experiments import expand, registry
from experiments.catalog import experiment_names, load_experiment
from experiments.cli import resolve_request
from experiments.errors import UserError, closest_names
from experiments.expand import labelled_runs, override, parse_settings, resolve, runs_of, typed
from experiments.settings_text import Sweep
from experiments.spec import Arm, Preset, Row, Run

STREAM_AC, PPO = Arm("Stream AC", "stream_ac"), Arm("PPO", "ppo")
PRESET = Preset("for tests", (Row("Hopper-v4", (STREAM_AC, PPO), 1000, 3, 100), Row("Ant-v4", (STREAM_AC,), 2000, 3, 500)))


def other(value: Any) -> Any:
    """Return another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, 7)
    return value + 1 if isinstance(value, int | float) else f"{value} other"


# Run identity


def test_run_id_is_the_one_that_finished_runs_have_been_stored_under():
    # Pinned: runs that people have trained are found by this name. A change of meaning raises SCHEMA_VERSION instead.
    run = Run(
        "stream_ac", (("gamma", 0.99), ("hidden", (4, 4))), "dm_control/dog-run-v0", (("time_feature", True),), 20_000_000, 3
    )
    assert run.run_id == "stream_ac-dm_control.dog-run-v0-20M-s3-2a1c216be9e593e2"


def test_run_id_is_the_same_in_another_process_with_another_hash_seed():
    run = make_run(seed=5)
    code = f"from experiments.spec import Run; print({run!r}.run_id)"
    assert python("-c", code, env={**os.environ, "PYTHONHASHSEED": "1"}).out.strip() == run.run_id


@pytest.mark.parametrize("field", [f.name for f in dataclasses.fields(Run)])
def test_run_id_changes_with_every_field(field):
    run = make_run()
    value = getattr(run, field)
    changed = (*value, ("another", 1)) if field in ("hyperparameters", "environment") else other(value)
    assert dataclasses.replace(run, **{field: changed}).run_id != run.run_id


@pytest.mark.parametrize("algorithm", ["stream_ac", "classic_ac", "ppo", "sac", "td3", "ppo1", "sac1"])
def test_run_id_changes_with_every_hyperparameter(algorithm):
    defaults = registry.hyperparameter_defaults(algorithm)
    row = Row("Hopper-v4", (), 100, 1, 100)
    ids = [resolve(row, Arm("arm", algorithm, {name: other(value)}), 0).run_id for name, value in defaults.items()]
    ids.append(resolve(row, Arm("arm", algorithm), 0).run_id)
    assert len(set(ids)) == len(defaults) + 1


def test_run_id_changes_with_every_option_of_the_environment():
    defaults = registry.environment_defaults("Hopper-v4")
    ids = [make_run(environment={name: other(value)}).run_id for name, value in defaults.items()]
    assert len({make_run().run_id, *ids}) == len(defaults) + 1


@pytest.mark.parametrize(
    ("algorithm", "run_id"),
    [
        ("stream_ac", "stream_ac-Hopper-v4-200k-s0-21b723695b4c1872"),
        ("classic_ac", "classic_ac-Hopper-v4-200k-s0-cc7a65a27968f3f2"),
    ],
)
def test_options_added_later_leave_the_ids_of_earlier_runs_alone(algorithm, run_id):
    # Pinned: what these runs were called before environments had a `time_limit`.
    assert resolve(Row("Hopper-v4", (), 200_000, 1, 1), Arm("arm", algorithm), 0).run_id == run_id


@pytest.mark.parametrize(
    ("env_id", "algorithm", "option", "value"),
    [
        ("Ant-v4", "stream_ac", "contact_margin", "larger"),
        ("PongNoFrameskip-v4", "stream_q", "frame_cap", "unnoticed"),
        ("ETTm2", "stream_td", "trace_bias_correction", False),
        ("MinAtar/Breakout-v1", "classic_q", "torso", "paper"),
    ],
)
def test_deviation_that_became_an_option_makes_another_run_only_where_it_is_set(env_id, algorithm, option, value):
    def run(**settings):
        of_environment = option in registry.environment_defaults(env_id)
        row = Row(env_id, (), 1000, 1, 100, settings if of_environment else {})
        return resolve(row, Arm("arm", algorithm, {} if of_environment else settings), 0)

    default = (registry.environment_defaults(env_id) | registry.hyperparameter_defaults(algorithm))[option]
    plain, changed = run(), run(**{option: value})
    assert option not in dict(plain.environment) | dict(plain.hyperparameters)
    assert run(**{option: default}) == plain
    assert (dict(changed.environment) | dict(changed.hyperparameters))[option] == value
    assert changed.run_id != plain.run_id
    expand.check_hyperparameters(changed)
    with pytest.raises(UserError, match=f"{option} must be"):
        expand.check_hyperparameters(run(**{option: "neither" if isinstance(value, str) else "x"}))


def test_option_added_later_is_in_the_configuration_only_where_it_is_set():
    assert "time_limit" not in dict(make_run().environment)
    assert make_run(environment={"time_limit": 0}) == make_run()
    assert dict(make_run(environment={"time_limit": 500}).environment)["time_limit"] == 500


def test_hyperparameter_added_later_is_in_the_configuration_only_where_it_is_set(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Learner:
        gamma: float = 0.99
        cut: bool = dataclasses.field(default=True, metadata={"added_later": True})

    monkeypatch.setitem(
        registry.ALGORITHMS, "learner", registry.Algorithm("Learner", Learner, registry.REINFORCEMENT, ("vector",))
    )
    row = Row("Hopper-v4", (), 100, 1, 100)
    assert resolve(row, Arm("arm", "learner", {"cut": True}), 0).hyperparameters == (("gamma", 0.99),)
    assert resolve(row, Arm("arm", "learner", {"cut": False}), 0).hyperparameters == (("cut", False), ("gamma", 0.99))
    assert registry.make_learner(resolve(row, Arm("arm", "learner"), 0)) == Learner()


def test_changed_default_makes_another_run(monkeypatch):
    before = make_run()
    defaults = registry.hyperparameter_defaults("stream_ac")
    monkeypatch.setattr(expand, "hyperparameter_defaults", lambda _: {**defaults, "gamma": 0.9})
    assert make_run().run_id != before.run_id
    assert make_run(gamma=defaults["gamma"]).run_id == before.run_id


def test_new_hyperparameter_makes_another_run(monkeypatch):
    before = make_run()
    defaults = registry.hyperparameter_defaults("stream_ac")
    monkeypatch.setattr(expand, "hyperparameter_defaults", lambda _: {**defaults, "new": 1.0})
    assert make_run().run_id != before.run_id


def test_spelling_out_a_default_is_the_same_run():
    assert make_run(gamma=0.99, lamda=0.8).run_id == make_run().run_id


def test_whole_number_for_a_float_is_the_same_run():
    assert make_run(alpha_value=1).run_id == make_run(alpha_value=1.0).run_id


def test_label_of_an_arm_and_bins_of_a_row_are_not_part_of_the_run():
    run = resolve(Row("Hopper-v4", (), 100, 1, bin_width=100), Arm("one", "stream_ac"), 0)
    assert resolve(Row("Hopper-v4", (), 100, 9, bin_width=7), Arm("two", "stream_ac"), 0) == run


def test_configuration_holds_nothing_about_how_it_is_computed():
    assert set(make_run().config()) == {"schema", "algorithm", "hyperparameters", "env_id", "environment", "steps", "seed"}


def test_run_id_is_one_readable_path_component():
    run_id = make_run("dm_control/cheetah-run-v0", seed=12, steps=200_000).run_id
    assert run_id.startswith("stream_ac-dm_control.cheetah-run-v0-200k-s12-")
    assert "/" not in run_id
    assert make_run(steps=1_500).run_id.startswith("stream_ac-Hopper-v4-1500-s0-")


# Presets


def test_paper_preset_runs_the_learners_of_continuous_control_with_their_own_defaults():
    runs = [run for run in runs_of(load_experiment("stream_barrier"), "paper") if "NoFrameskip" not in run.env_id]
    assert runs
    for run in runs:
        defaults = registry.hyperparameter_defaults(run.algorithm)
        left_out = registry.added_later(run.algorithm)
        expected = {name: value for name, value in defaults.items() if name not in left_out}
        if registry.algorithm(run.algorithm).lanes:
            expected["implementation"] = "lanes"
        assert dict(run.hyperparameters) == expected
        # Hopper's contacts are those of the published simulator; the other tasks are the same on both.
        contacts = {"contact_margin": "larger"} if run.env_id == "Hopper-v4" else {}
        assert dict(run.environment) == {"action_clip": "bounds", "time_feature": True, **contacts}


@pytest.mark.parametrize("name", experiment_names())
def test_every_preset_expands_to_distinct_runs(name):
    experiment = load_experiment(name)
    assert {"paper", "laptop", "quick"} <= set(experiment.presets)
    for preset in experiment.presets.values():
        runs = runs_of(experiment, preset)
        assert runs
        assert len({run.run_id for run in runs}) == len(runs) == len(set(runs))
        assert all(row.bin_width <= row.steps for row in preset.rows)


def test_smaller_presets_cut_steps_and_seeds_only():
    experiment = load_experiment("stream_barrier")
    paper, laptop = experiment.preset("paper"), experiment.preset("laptop")
    assert [(row.env_id, row.arms) for row in laptop.rows] == [(row.env_id, row.arms) for row in paper.rows]


def test_fewer_seeds_caps_the_seeds_of_one_arm():
    row = Row("Hopper-v4", (STREAM_AC, PPO), 100, 5, 100, fewer_seeds={"PPO": 2})
    assert (row.seeds_of(STREAM_AC), row.seeds_of(PPO)) == (range(5), range(2))
    row = dataclasses.replace(row, seeds=1)
    assert (row.seeds_of(STREAM_AC), row.seeds_of(PPO)) == (range(1), range(1))


def test_arms_that_ask_for_the_same_run_share_it():
    twice = Preset("", (Row("Hopper-v4", (STREAM_AC, Arm("the same", "stream_ac", {"gamma": 0.99})), 100, 2, 100),))
    assert len(labelled_runs(twice)) == 4
    assert len(runs_of(load_experiment("stream_barrier"), twice)) == 2


def test_unknown_experiment_and_preset_name_what_there_is():
    with pytest.raises(UserError, match=r"'stream_barier'.*stream_barrier"):
        load_experiment("stream_barier")
    with pytest.raises(UserError, match=r"'full'.*paper, laptop, quick"):
        load_experiment("stream_barrier").preset("full")


def test_closest_names_lists_all_where_none_is_close():
    assert closest_names("qqqq", ["alpha", "beta"]) == "; there are alpha, beta"
    assert closest_names("alpa", ["alpha", "beta"]) == "; the closest are alpha"


# Overrides


def runs_in(preset: Preset) -> list[Run]:
    return [run for _, _, run in labelled_runs(preset)]


def test_steps_apply_to_every_row_and_bins_shrink_to_fit():
    preset = override(PRESET, {"steps": 300})
    assert [row.steps for row in preset.rows] == [300, 300]
    assert [row.bin_width for row in preset.rows] == [100, 300]


def test_bin_width_can_be_set():
    assert [row.bin_width for row in override(PRESET, {"bin_width": 250}).rows] == [250, 250]


def test_first_seed_moves_the_seeds_of_every_arm() -> None:
    assert {run.seed for run in runs_in(override(PRESET, {"first_seed": 40}, seeds=2))} == {40, 41}


def test_env_id_keeps_the_rows_of_that_environment_with_all_that_is_set_for_them():
    experiment = load_experiment("stream_barrier")
    changed = override(experiment.presets["million"], {"env_id": Sweep(("Hopper-v4", "Walker2d-v4"))})
    every = runs_of(experiment, "million")
    assert {row.env_id: dict(row.environment) for row in changed.rows} == {
        "Hopper-v4": {"contact_margin": "larger"},
        "Walker2d-v4": {},
    }
    assert set(runs_of(experiment, changed)) == {run for run in every if run.env_id in ("Hopper-v4", "Walker2d-v4")}


def test_environment_without_a_row_gets_the_arms_of_the_first():
    (row,) = override(PRESET, {"env_id": "Walker2d-v4"}).rows
    assert row.env_id == "Walker2d-v4"
    assert row.arms == PRESET.rows[0].arms


def test_algorithm_leaves_out_all_other_arms():
    preset = override(PRESET, {"algorithm": "ppo"})
    assert [(row.env_id, row.arms) for row in preset.rows] == [("Hopper-v4", (PPO,))]
    assert {run.algorithm for run in runs_in(override(PRESET, {"algorithm": "stream_ac"}))} == {"stream_ac"}


def test_seeds_are_those_of_every_arm():
    preset = Preset("", (dataclasses.replace(PRESET.rows[0], fewer_seeds={"PPO": 1}),))
    assert len(runs_in(preset)) == 3 + 1
    assert len(runs_in(override(preset, {}, seeds=5))) == 5 + 5


def test_hyperparameter_is_set_in_every_algorithm_that_has_it():
    for run in runs_in(override(PRESET, {"gamma": 0.5})):
        assert dict(run.hyperparameters)["gamma"] == 0.5
    for run in runs_in(override(PRESET, {"clip_range": 0.5})):
        assert dict(run.hyperparameters).get("clip_range") == (0.5 if run.algorithm == "ppo" else None)


def test_hyperparameter_of_one_algorithm_leaves_the_others_alone():
    for run in runs_in(override(PRESET, {"ppo.gamma": 0.5})):
        assert dict(run.hyperparameters)["gamma"] == (0.5 if run.algorithm == "ppo" else 0.99)


def test_option_of_the_environment_is_set_in_every_row():
    assert all(dict(run.environment)["time_feature"] is False for run in runs_in(override(PRESET, {"time_feature": False})))


@pytest.mark.parametrize(
    ("env_id", "options"),
    [
        ("MinAtar/Breakout-v1", {}),
        ("BreakoutNoFrameskip-v4", {}),
        ("ETTm2", {"memory_trace": 0.999}),
        ("CartPole-v1", {"action_clip": "bounds", "time_feature": True}),
    ],
)
def test_options_depend_on_the_kind_of_environment(env_id, options):
    assert dict(make_run(env_id).environment) == options


def test_option_is_set_in_the_rows_whose_environment_has_it():
    preset = Preset("", (PRESET.rows[0], dataclasses.replace(PRESET.rows[0], env_id="ETTm2")))
    preset = override(preset, {"memory_trace": 0.9, "time_limit": 77})
    assert [dict(row.environment) for row in preset.rows] == [{"time_limit": 77}, {"memory_trace": 0.9}]


@pytest.mark.parametrize("order", [1, -1])
def test_env_id_decides_which_options_there_are_wherever_it_stands(order):
    preset = Preset("", (dataclasses.replace(PRESET.rows[0], environment={"time_feature": False, "action_clip": "unit"}),))
    settings = dict([("memory_trace", 0.9), ("env_id", "ETTm2")][::order])
    (row,) = override(preset, settings).rows
    assert (row.env_id, dict(row.environment)) == ("ETTm2", {"memory_trace": 0.9})
    (row,) = override(preset, dict([("time_limit", 9), ("env_id", "CartPole-v1")][::order])).rows
    assert dict(row.environment) == {"time_feature": False, "action_clip": "unit", "time_limit": 9}


def test_option_of_another_kind_of_environment_is_refused():
    with pytest.raises(UserError, match="'memory_trace'"):
        override(PRESET, {"memory_trace": 0.9})
    with pytest.raises(UserError, match="MinAtar/Breakout-v1 has no option 'time_feature'"):
        make_run("MinAtar/Breakout-v1", environment={"time_feature": True})


def test_override_leaves_the_preset_as_it_was():
    before = repr(PRESET)
    override(PRESET, {"steps": 300, "gamma": 0.5, "time_feature": False, "env_id": "Ant-v4"}, seeds=1)
    assert repr(PRESET) == before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gama": 0.5}, "'gama'; the closest are gamma"),
        ({"stream_q.gamma": 0.5}, "'stream_q.gamma'"),
        ({"stream_ac.clip_range": 0.5}, "'stream_ac.clip_range'"),
        ({"steps": 0}, "steps must be a positive"),
        ({"steps": -5}, "steps must be a positive"),
        ({"bin_width": 0}, "bin_width must be a positive"),
        ({"steps": 1.5}, "steps must be of type int"),
        ({"steps": 10**23}, "steps must be at most 1,000,000,000,000"),
        ({"first_seed": -1}, "first_seed must be a whole number of at least 0"),
        ({"gamma": Sweep((0.9,)), "steps": Sweep((1, 2))}, "steps takes one value; 1,2 are 2"),
        ({"steps": "many"}, "steps must be of type int"),
        ({"steps": True}, "steps must be of type int"),
        ({"steps": None}, "steps must be of type int"),
        ({"env_id": 3}, "env_id must be of type str"),
        ({"algorithm": "q"}, "no arm uses the algorithm 'q'; there are stream_ac, ppo"),
        ({"algorithm": 3}, "no arm uses the algorithm 3"),
        ({"tme_feature": True}, "'tme_feature'; the closest are time_feature"),
    ],
)
def test_override_that_means_nothing_names_the_key(settings, message):
    with pytest.raises(UserError, match=message):
        override(PRESET, settings)


@pytest.mark.parametrize("seeds", [0, -1])
def test_number_of_seeds_must_be_positive(seeds):
    with pytest.raises(UserError, match=f"seeds must be positive; {seeds} is not"):
        override(PRESET, {}, seeds=seeds)


@pytest.mark.parametrize(
    ("value", "like"),
    [
        ("0.5", 0.5),
        (True, 0.5),
        (None, 0.5),
        (1, True),
        ("true", True),
        (1.5, 3),
        (True, 3),
        (3, (3,)),
        ("[3]", (3,)),
        (3, "word"),
        ((), "word"),
    ],
)
def test_value_of_another_type_is_refused(value, like):
    with pytest.raises(UserError, match=f"key must be of type {type(like).__name__}"):
        typed("key", value, like)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_hyperparameter_must_be_finite(value):
    with pytest.raises(UserError, match="gamma must be a finite number"):
        resolve_request("stream_barrier", "anchors", [f"gamma={json.dumps(value)}"], None)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("optimizer=rmsprop", "optimizer must be one of obgd, adaptive_obgd, adam.*; 'rmsprop' is not"),
        ("action_clip=hard", "action_clip must be one of bounds, unit, none; 'hard' is not"),
        ("time_limit=-5", "time_limit must be a number of steps, or 0 for the environment's own; -5 is not"),
        ("hidden=[0]", "hidden must be a list of positive widths"),
        ("hidden=[1.5]", "hidden must be a list of positive widths"),
        ('hidden=["8"]', "hidden must be a list of positive widths"),
    ],
)
def test_value_of_the_right_type_that_means_nothing_is_refused(setting, message):
    with pytest.raises(UserError, match=message):
        resolve_request("stream_barrier", "anchors", [setting], None)


@pytest.mark.parametrize(
    "setting",
    [
        pytest.param("hidden=[[1, 2], 3]", id="nested list"),
        pytest.param('hidden=[{"a": 1}]', id="dict in a list"),
        pytest.param('algorithm={"a": 1}', id="dict for an algorithm"),
        pytest.param("gamma=1" + "0" * 400, id="number too large for a float"),
        pytest.param("gamma=" + "1" * 5000, id="more digits than Python reads"),
        pytest.param("hidden=" + "[" * 100_000, id="brackets without end"),
    ],
)
def test_odd_value_is_refused_in_one_sentence(setting):
    with pytest.raises(UserError):
        resolve_request("stream_barrier", "anchors", [setting], None)


# key=value

KEYS = st.text(min_size=1).filter(lambda key: "=" not in key)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(st.dictionaries(KEYS, SCALARS | st.lists(SCALARS)))
def test_settings_written_as_json_are_read_back(settings):
    pairs = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    expected = {key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()}
    assert parse_settings(pairs) == expected
    kinds = {int: "number", float: "number"}  # 1e16 and 10000000000000000 are one setting, whose field makes it int or float
    assert [kinds.get(type(v), type(v)) for v in parse_settings(pairs).values()] == [
        kinds.get(type(v), type(v)) for v in expected.values()
    ]


@given(KEYS, st.text(alphabet=st.characters(categories=["L"]), min_size=1))
def test_words_that_are_not_json_are_strings(key, word):
    value = parse_settings([f"{key}={word}"])[key]
    assert value == {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}.get(
        word, word
    ) or word in ("NaN", "Infinity")


def keys_or_refusal(text):
    try:
        return list(parse_settings([text]))
    except UserError as refusal:
        return str(refusal)


@given(st.text())
@example("key=,")
@example("key=[,]")
@example("=1")
def test_any_text_is_read_or_refused(text):
    key, equals, value = text.partition("=")
    told = keys_or_refusal(text)
    if not key or not equals:
        assert "--set wants key=value" in told
    elif all(part.strip() for part in value.split(",")) or "," not in value:
        assert told == [key]
    else:  # nothing between two commas, which is only in brackets or quotes a value
        assert told == [key] or "has an empty value between its commas" in told


def test_value_may_hold_an_equals_sign():
    assert parse_settings(["key=a=b"]) == {"key": "a=b"}


def test_later_setting_of_a_key_wins():
    assert parse_settings(["gamma=0.5", "gamma=0.6"]) == {"gamma": 0.6}


@given(
    st.sampled_from(["gamma", "hidden", "layer_norm", "optimizer", "steps", "time_feature", "env_id", "algorithm"]),
    SCALARS | st.lists(SCALARS),
)
def test_any_json_value_of_a_key_makes_runs_or_is_refused_in_one_sentence(key, value):
    if isinstance(value, int) and abs(value) > 1e300:
        return  # see test_odd_value_is_refused_in_one_sentence
    message, ids = "", []
    try:
        ids = [run.run_id for run in resolve_request("stream_barrier", "anchors", [f"{key}={json.dumps(value)}"], 1).runs]
    except UserError as error:
        message = str(error)
    assert len(set(ids)) == len(ids)
    assert bool(ids) != bool(message)
    assert "\n" not in message
    assert key in message or not message
