"""The prediction stream: which row is seen when, the memory trace, and restoring at any row."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.datasets import generated
from experiments.environments import Environment, describe
from experiments.errors import UserError

NAME = "ETTm2-generated"
ACTION = np.zeros(1, np.float32)
ROWS = generated.load()
TARGET = (ROWS[:, 6] - ROWS[:, 6].min()) / (ROWS[:, 6].max() - ROWS[:, 6].min())


def walk(environment: Environment, steps: int) -> list[tuple[bytes, float, bool, bool]]:
    seen = []
    for _ in range(steps):
        obs, *rest, _ = environment.step(ACTION)
        seen.append((obs.tobytes(), *rest))
    return seen


def at_row(row: int, **options: float) -> Environment:
    environment = Environment(NAME, 0, **options)
    environment.reset()
    walk(environment, row)
    return environment


def test_step_k_shows_row_k_and_gives_the_rescaled_oil_temperature_of_the_row_after():
    environment = Environment(NAME, 0, memory_trace=0.0)
    obs, _ = environment.reset()
    assert (obs == ROWS[0]).all()
    for k in range(1, 200):
        obs, reward, terminated, truncated, _ = environment.step(ACTION)
        assert (obs == ROWS[k]).all()
        assert reward == TARGET[k + 1]
        assert (terminated, truncated, environment.needs_reset) == (False, False, False)
    assert environment.last_episode is None


@pytest.mark.parametrize("decay", [0.999, 0.5])
def test_observation_is_the_average_of_all_rows_so_far_with_weights_that_decay(decay):
    environment = Environment(NAME, 0, memory_trace=decay)
    seen = [environment.reset()[0]] + [environment.step(ACTION)[0] for _ in range(300)]
    assert seen[0] == pytest.approx(ROWS[0], rel=1e-12)  # not drawn towards zero
    for k in (1, 2, 10, 300):
        weights = decay ** np.arange(k, -1, -1.0)
        assert seen[k] == pytest.approx(np.average(ROWS[: k + 1], axis=0, weights=weights), rel=1e-9)


def test_average_without_bias_correction_begins_near_zero(monkeypatch):
    # By hand, with a decay of 1/2: 8/2 = 4, 4/2 + 4/2 = 4, 4/2 + 10/2 = 7, 7/2 + 1/2 = 4. With correction: 8, 4 / (3/4), ...
    rows = np.array([8.0, 4.0, 10.0, 1.0, 0.0, 0.0])[:, None] * np.ones(7)
    monkeypatch.setattr("experiments.environments.series.load_series", lambda name, sha256="": rows)
    plain, corrected = (Environment("ETTm2", 0, memory_trace=0.5, trace_bias_correction=on) for on in (False, True))
    seen = [[e.reset()[0], *(e.step(ACTION)[0] for _ in range(3))] for e in (plain, corrected)]
    assert [obs.tolist() for obs in seen[0]] == [[x] * 7 for x in (4.0, 4.0, 7.0, 4.0)]
    assert [obs[0] for obs in seen[1]] == pytest.approx([8.0, 4.0 / 0.75, 7.0 / 0.875, 4.0 / 0.9375])


def test_average_without_bias_correction_is_restored_and_not_the_callers_to_change():
    original, restored = (Environment(NAME, 0, trace_bias_correction=False) for _ in range(2))
    original.reset()[0][:] = 0.0
    walk(original, 5)
    restored.set_state(original.get_state())
    again = Environment(NAME, 0, trace_bias_correction=False)
    again.reset()
    walk(again, 5)
    assert walk(original, 20) == walk(restored, 20) == walk(again, 20)


def test_memory_trace_is_that_of_the_code_by_default():
    assert walk(at_row(0), 20) == walk(at_row(0, trace_bias_correction=True), 20)
    assert walk(at_row(0), 20) == walk(at_row(0, memory_trace=0.999), 20)


def test_stream_is_cut_where_the_rows_are_used_up_and_can_begin_again():
    environment = Environment(NAME, 0)
    first = environment.reset()[0].tobytes()
    steps = walk(environment, 69_678)
    assert [number for number, (_, _, terminated, truncated) in enumerate(steps, 1) if terminated or truncated] == [69_678]
    assert steps[-1][1:] == (TARGET[-1], False, True)
    assert environment.needs_reset
    assert environment.last_episode == (pytest.approx(TARGET[2:].sum()), 69_678)
    assert min(reward for _, reward, _, _ in steps) == 0.0
    assert max(reward for _, reward, _, _ in steps) == 1.0
    assert environment.reset()[0].tobytes() == first
    assert not environment.needs_reset
    assert walk(environment, 50) == steps[:50]


def test_prediction_changes_nothing_and_neither_does_the_seed():
    one, other = Environment(NAME, 0), Environment(NAME, 123)
    assert one.reset()[0].tobytes() == other.reset()[0].tobytes()
    for prediction in np.random.default_rng(0).normal(0, 100, (50, 1)).astype(np.float32):
        assert one.step(prediction)[0].tobytes() == other.step(-prediction)[0].tobytes()


def test_learner_sees_seven_channels_and_gives_one_number():
    spaces = describe(NAME)
    assert (spaces.obs_shape, spaces.action_size, spaces.discrete) == ((7,), 1, False)
    assert (spaces.time_feature, spaces.frames, spaces.obs_dtype) == (False, 1, "float64")


@given(st.integers(0, 500), st.sampled_from([0.0, 0.5, 0.999]))
def test_restored_at_any_row_goes_on_the_same(row, decay):
    original, restored = at_row(row, memory_trace=decay), Environment(NAME, 5, memory_trace=decay)
    state = original.get_state()
    expected = walk(original, 30)  # the state must not change when the original goes on
    restored.set_state(state)
    assert walk(restored, 30) == expected
    assert restored.get_state()["length"] == row + 30


def test_published_series_is_read_from_the_data_folder(monkeypatch):
    rows = np.arange(70.0).reshape(10, 7)
    monkeypatch.setattr("experiments.environments.series.load_series", lambda name, accepted: {"ETTm2": rows}[name])
    environment = Environment("ETTm2", 0, memory_trace=0.0)
    assert environment.reset()[0].tolist() == rows[0].tolist()
    assert [environment.step(ACTION)[1] for _ in range(8)] == pytest.approx([k / 9 for k in range(2, 10)])
    assert environment.needs_reset


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory_trace": 1.0}, "memory_trace must be at least 0 and less than 1; 1.0 is not"),
        ({"memory_trace": -0.1}, "memory_trace must be at least 0 and less than 1; -0.1 is not"),
        ({"time_feature": True}, "ETTm2-generated has no option 'time_feature'; it has memory_trace"),
    ],
)
def test_option_that_means_nothing_is_refused(options, message):
    with pytest.raises(UserError, match=message):
        describe(NAME, **options)
