"""Streams of labelled samples: what they hold, that any part can be asked for, and that equal seeds share them."""

import numpy as np
import pytest

from experiments import families
from experiments.datasets.permuted import digits
from experiments.errors import UserError
from experiments.stream_options import PermutedOptions, RegressionOptions

STREAMS = ["permuted_digits", "toy_changing_inputs", "toy_changing_sign", "utility_quality"]


def stream(env_id, seed=3, **options):
    return families.make(env_id, options, seed)


@pytest.mark.parametrize("env_id", STREAMS)
def test_any_part_is_that_of_the_whole(env_id):
    x, y = stream(env_id).samples(0, 3000)
    spaces = stream(env_id).spaces
    assert (x.dtype, x.shape) == (np.float32, (3000, *spaces.x_shape))
    assert y.dtype == (np.int64 if spaces.classes else np.float32)
    again = stream(env_id)
    for first, count in ((2048, 100), (990, 1030), (5, 1)):  # out of order, over borders of blocks and tasks
        part_x, part_y = again.samples(first, count)
        np.testing.assert_array_equal(part_x, x[first : first + count])
        np.testing.assert_array_equal(part_y, y[first : first + count])


@pytest.mark.parametrize("env_id", STREAMS)
def test_other_seeds_see_other_streams(env_id):
    (x, y), (other_x, _) = stream(env_id).samples(0, 50), stream(env_id, seed=4).samples(0, 50)
    assert not np.array_equal(x, other_x)
    assert len(np.unique(y)) > 2


def test_changing_inputs_go_round_from_the_second_pair():
    x, y = stream("toy_changing_inputs", task_steps=10, inputs=6).samples(0, 50)
    for task, pair in enumerate(([2, 3], [4, 5], [0, 1], [2, 3], [4, 5])):
        rows = slice(10 * task, 10 * task + 10)
        np.testing.assert_allclose(y[rows, 0], x[rows][:, pair].mean(1), rtol=1e-5, atol=1e-6)


def test_changing_sign_begins_with_minus_and_keeps_its_inputs():
    x, y = stream("toy_changing_sign", task_steps=20, draw="distinct").samples(0, 60)
    weights = [np.linalg.lstsq(x[rows], y[rows, 0], rcond=None)[0] for rows in (slice(0, 20), slice(20, 40), slice(40, 60))]
    assert sorted(np.round(weights[0], 4))[:2] == [-0.5, -0.5]
    np.testing.assert_allclose(weights[0], -weights[1], atol=1e-4)
    np.testing.assert_allclose(weights[0], weights[2], atol=1e-4)


def test_drawn_with_replacement_the_same_input_may_count_twice():
    def weights(seed, draw):
        x, y = stream("utility_quality", seed, draw=draw).samples(0, 30)
        return np.round(np.linalg.lstsq(x, y[:, 0], rcond=None)[0], 3)

    twice = [weights(seed, "with_replacement").max() == 2 for seed in range(30)]
    assert any(twice)
    assert not all(twice)
    assert all(sorted(weights(seed, "distinct"))[-2:] == [1, 1] for seed in range(10))


def test_a_task_takes_distinct_samples_in_an_order_of_its_own():
    data, steps = digits(), 700
    x, y = stream("permuted_digits", task_steps=steps, permute="nothing").samples(0, 2 * steps)
    rows = {sample.tobytes(): label for sample, label in zip(data.x, data.y, strict=True)}
    assert len({sample.tobytes() for sample in x[:steps]}) == steps
    assert [rows[sample.tobytes()] for sample in x] == y.tolist()
    assert not np.array_equal(x[:steps], x[steps:])


def test_a_task_longer_than_the_data_goes_through_them_again():
    x, _ = stream("permuted_digits", task_steps=4000, permute="labels").samples(0, 4000)
    _, counts = np.unique(x, axis=0, return_counts=True)
    assert set(counts) <= {2, 3}
    assert len({sample.tobytes() for sample in x[:1797]}) == 1797


def test_one_task_without_end_is_shuffled_anew_in_each_epoch():
    x, _ = stream("permuted_digits", task_steps=0, permute="nothing").samples(0, 3594)
    epochs = [[sample.tobytes() for sample in x[rows]] for rows in (slice(0, 1797), slice(1797, 3594))]
    assert sorted(epochs[0]) == sorted(epochs[1])
    assert epochs[0] != epochs[1]
    assert stream("permuted_digits", task_steps=0, permute="nothing").spaces.task_steps == 0


def test_permuted_inputs_are_the_original_ones_in_one_order_for_a_task():
    plain, permuted = (stream("permuted_digits", task_steps=100, permute=p).samples(0, 200) for p in ("nothing", "inputs"))
    np.testing.assert_array_equal(plain[1], permuted[1])
    for rows in (slice(0, 100), slice(100, 200)):
        np.testing.assert_array_equal(np.sort(plain[0][rows], 1), np.sort(permuted[0][rows], 1))
        # Columns are the same ones in another order.
        columns = [sorted(c.tobytes() for c in x[rows].T) for x in (plain[0], permuted[0])]
        assert columns[0] == columns[1]
        assert not np.array_equal(plain[0][rows], permuted[0][rows])


def test_permuted_labels_are_other_names_for_the_classes():
    plain, permuted = (stream("permuted_digits", task_steps=500, permute=p).samples(0, 1000) for p in ("nothing", "labels"))
    np.testing.assert_array_equal(plain[0], permuted[0])
    names = []
    for rows in (slice(0, 500), slice(500, 1000)):
        pairs = set(zip(plain[1][rows], permuted[1][rows], strict=True))
        assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs}) == 10
        names.append(pairs)
    assert names[0] != names[1]


def test_pixels_lie_between_minus_one_and_one():
    data = digits()
    assert (data.x.shape, data.classes) == ((1797, 64), 10)
    assert (data.x.min(), data.x.max()) == (-1, 1)
    assert not data.x.flags.writeable


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PermutedOptions(task_steps=-1), "task_steps must be"),
        (lambda: PermutedOptions(task_steps=0), "choose permute=nothing"),
        (lambda: RegressionOptions(inputs=5), "inputs must be an even number"),
        (lambda: RegressionOptions(task_steps=0), "at least 1"),
    ],
)
def test_options_that_mean_nothing_are_refused_in_a_sentence(make, said):
    with pytest.raises(UserError, match=said):
        make()


def test_samples_held_out_are_permuted_as_those_of_their_task():
    options = {"task_steps": 50, "permute": "labels", "held_out": 30}
    own = stream("permuted_generated", **options)
    assert own.held_out_delay == 0
    (first_x, first_y), (x, y) = own.held_out(0), own.held_out(1)
    np.testing.assert_array_equal(x, first_x)
    plain = stream("permuted_generated", permute="nothing", task_steps=50, held_out=30).held_out(1)
    np.testing.assert_array_equal(x, plain[0])
    assert np.abs(x).max() <= 1
    # The permutation of the task's own samples, found from the stream whose labels stay.
    _, task_y = own.samples(50, 50)
    _, true_y = stream("permuted_generated", permute="nothing", task_steps=50).samples(50, 50)
    named = dict(zip(true_y.tolist(), task_y.tolist(), strict=True))
    assert len(named) == 10
    assert [named[label] for label in plain[1].tolist()] == y.tolist()
    assert y.tolist() != first_y.tolist()


def test_samples_held_out_change_nothing_of_the_stream():
    options = {"task_steps": 50, "permute": "inputs"}
    with_x, with_y = stream("permuted_generated", **options, held_out=20, held_out_at="after_update").samples(30, 60)
    x, y = stream("permuted_generated", **options).samples(30, 60)
    np.testing.assert_array_equal(with_x, x)
    np.testing.assert_array_equal(with_y, y)


def test_what_cannot_be_held_out_is_told():
    with pytest.raises(UserError, match="permuted_digits has no test part"):
        stream("permuted_digits", held_out=10)
    with pytest.raises(UserError, match="held_out must be at most 10,000"):
        stream("permuted_generated", held_out=10_001)
    with pytest.raises(UserError, match="held_out must be 0 where there is one task"):
        PermutedOptions(permute="nothing", task_steps=0, held_out=5)
