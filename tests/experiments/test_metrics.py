"""Metrics of a run: means and maxima over windows, and every step as it is where that is wanted."""

import copy
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.training.metrics import METRICS_EVERY, MetricsLog


def told(lanes=1, **values):
    """Return what learners in lanes told: the TD error, and more."""
    return {"td_error": np.zeros(lanes, np.float32), **{name: np.asarray(x, np.float32) for name, x in values.items()}}


def recorded(every, numbers, names=("norm",), first=1):
    log = MetricsLog(every)
    for step, row in enumerate(numbers, first):
        log.record(step, told(**{name: [x] for name, x in zip(names, np.atleast_1d(row), strict=True)}), 0)
    return log


def test_means_and_maxima_of_windows():
    table = recorded(4, [1, 2, 3, 6, -5, -1, -3, -1, 100, 100]).table()
    assert set(table) == {"step", "norm", "norm_max"}
    assert table["step"].tolist() == [4, 8]
    assert table["norm"].tolist() == [3.0, -2.5]
    assert table["norm_max"].tolist() == [6.0, -1.0]
    assert table["step"].dtype == np.int64
    assert table["norm"].dtype == table["norm_max"].dtype == np.float64


@given(
    st.integers(2, 7),
    st.lists(st.tuples(st.floats(-1e6, 1e6, width=32), st.floats(0, 1, width=32)), min_size=1, max_size=40),
)
def test_windows_equal_numpy(every, rows):
    table = recorded(every, rows, ("a", "b")).table()
    whole = len(rows) // every
    windows = np.array(rows, np.float64)[: whole * every].reshape(whole, every, 2)
    assert table["step"].tolist() == [every * (i + 1) for i in range(whole)]
    for i, name in enumerate(("a", "b")):
        np.testing.assert_allclose(table[name], windows[:, :, i].mean(1), rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(table[f"{name}_max"], windows[:, :, i].max(1) if whole else [])


@given(
    st.integers(1, 7),
    st.integers(0, 9),
    st.booleans(),
    st.integers(1, 20),
    st.lists(st.tuples(st.floats(width=32), st.floats(0, 1, width=32)), min_size=1, max_size=60),
    st.lists(st.integers(1, 20), min_size=1, max_size=10),
)
def test_many_steps_at_once_leave_the_bits_of_one_by_one(every, task_steps, late, first, rows, sizes):
    log, reference = (MetricsLog(every, task_steps, late=int(late)) for _ in range(2))
    values, step = np.array(rows, np.float64), first
    for each in (log, reference):
        each.begin(["a", "b"])
    for row in values:  # as sums and maxima are defined
        if every == 1:
            reference._rows.append((step, *row))
        else:
            reference._count += 1
            reference._sum = reference._sum + row
            reference._max = np.maximum(reference._max, row)
            within = (step - late) % task_steps if task_steps else step - late
            if within % every == 0:
                reference._rows.append((step, *(reference._sum / reference._count), *reference._max))
                reference._clear()
        step += 1
    done = 0
    for size in itertools.cycle(sizes):
        log.record_many(first + done, values[done : done + size])
        done += size
        if done >= len(values):
            break
    assert [column.tobytes() for column in log.table().values()] == [column.tobytes() for column in reference.table().values()]
    assert (log._count, log._sum.tobytes(), log._max.tobytes()) == (
        reference._count,
        reference._sum.tobytes(),
        reference._max.tobytes(),
    )


def test_windows_end_at_multiples_of_their_length_wherever_a_log_begins():
    table = recorded(4, [1, 3, 5, 5, 5, 9], first=3).table()
    assert table["step"].tolist() == [4, 8]
    assert table["norm"].tolist() == [2.0, 6.0]


def test_windows_are_of_a_thousand_steps_unless_told_otherwise():
    log = MetricsLog()
    for step in range(1, 2500):
        log.record(step, told(norm=[step]), 0)
    assert METRICS_EVERY == log.every == 1000
    assert log.table()["step"].tolist() == [1000, 2000]
    assert log.table()["norm"].tolist() == [500.5, 1500.5]


def test_every_step_is_kept_as_it_is_where_a_window_is_one_step():
    table = recorded(1, [(0.1, -2.0), (0.3, 5.0)], ("prediction", "cumulant")).table()
    assert set(table) == {"step", "prediction", "cumulant"}
    assert table["step"].tolist() == [1, 2]
    assert table["prediction"].tolist() == [np.float32(0.1), np.float32(0.3)]
    assert table["cumulant"].tolist() == [-2.0, 5.0]
    assert table["prediction"].dtype == np.float64


def test_double_precision_is_kept():
    log = MetricsLog(1)
    log.record(1, {"td_error": np.zeros(1), "cumulant": np.array([0.1])}, 0)
    assert log.table()["cumulant"].tolist() == [0.1]


@pytest.mark.parametrize("every", [1, 3])
def test_nothing_is_kept_of_a_learner_that_tells_nothing_but_its_td_error(every):
    log = MetricsLog(every)
    assert log.table() == {}
    for step in range(1, 10):
        log.record(step, told(), 0)
    assert log.table() == {}


def test_only_the_lane_itself_is_looked_at():
    log = MetricsLog(2)
    for step in (1, 2):
        log.record(step, told(2, norm=[1000.0, step]), 1)
    assert log.table()["norm"].tolist() == [1.5]
    assert log.table()["norm_max"].tolist() == [2.0]


def test_what_was_told_may_be_overwritten_afterwards():
    # The engine hands out its own memory.
    log = MetricsLog(1)
    memory = told(norm=[1.0])
    log.record(1, memory, 0)
    memory["norm"][:] = 7.0
    assert log.table()["norm"].tolist() == [1.0]


def test_run_that_ends_before_its_first_window_has_columns_and_no_rows():
    table = recorded(5, [1, 2]).table()
    assert {name: x.shape for name, x in table.items()} == {"step": (0,), "norm": (0,), "norm_max": (0,)}


@pytest.mark.parametrize("every", [1, 4])
@pytest.mark.parametrize("stop", [0, 1, 4, 6])
def test_restored_log_goes_on_to_the_same_bits(every, stop):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(11, 2)) * 1e3
    whole = recorded(every, numbers, ("a", "b")).table()
    before = recorded(every, numbers[:stop], ("a", "b"))
    saved = copy.deepcopy(before.get_state())
    for step in range(stop + 1, 12):  # the old log goes its own way
        before.record(step, told(a=[-1.0], b=[1e9]), 0)
    log = MetricsLog(every)
    log.set_state(saved)
    for step, row in enumerate(numbers[stop:], stop + 1):
        log.record(step, told(a=row[:1], b=row[1:]), 0)
    restored = log.table()
    assert list(restored) == list(whole)
    for name, column in whole.items():
        assert restored[name].tobytes() == column.tobytes()


def test_saved_state_stays_what_it_was_while_the_log_goes_on():
    log = recorded(3, [1.0, 5.0])
    saved = log.get_state()
    kept = copy.deepcopy(saved)
    for step in (3, 4, 5):
        log.record(step, told(norm=[9.0]), 0)
    for name, value in kept.items():
        np.testing.assert_array_equal(saved[name], value)
