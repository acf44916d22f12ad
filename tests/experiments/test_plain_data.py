"""Plain data: what comes back is what was put in, bit for bit and type for type, and nothing else ever does."""

from __future__ import annotations

import io
import json
import math
import pickle
import struct
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from experiments import plain_data


def there_and_back(value: Any, into: Any = None) -> Any:
    tree, arrays = plain_data.flatten(value)
    content = b"".join(array.tobytes() for array in arrays)

    def read(offset: int, array: np.ndarray) -> None:
        array[:] = np.frombuffer(content, np.uint8)[offset : offset + len(array)]

    return plain_data.restore(json.loads(json.dumps(tree)), read, into)


def bits(value: Any) -> Any:
    """Return a value in a form in which equal means equal bits and equal types."""
    if isinstance(value, torch.Tensor):
        return ("tensor", value.dtype, tuple(value.shape), value.numpy().tobytes())
    if isinstance(value, np.ndarray | np.generic):
        return (type(value), value.dtype, value.shape, value.tobytes())
    if isinstance(value, float):
        return (float, struct.pack("<d", value))
    if isinstance(value, list | tuple):
        return (type(value), [bits(item) for item in value])
    if isinstance(value, dict):
        return (dict, [(type(key), key, bits(item)) for key, item in value.items()])
    return (type(value), value)


numbers = st_numpy.boolean_dtypes() | st_numpy.integer_dtypes() | st_numpy.floating_dtypes() | st_numpy.complex_number_dtypes()
arrays = st_numpy.arrays(numbers, st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
tensors = st_numpy.arrays(st.sampled_from(["?", "u1", "<i8", "<f4", "<f8"]), st_numpy.array_shapes(min_dims=0, min_side=0)).map(
    torch.from_numpy
)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | arrays | tensors | arrays.map(lambda x: x.sum())
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=8,
)


@given(values)
def test_value_comes_back_bit_for_bit_and_as_the_type_that_it_was(value):
    assert bits(there_and_back(value)) == bits(value)


def test_nan_keeps_its_payload_and_large_integers_their_digits():
    odd = struct.unpack("<d", bytes.fromhex("0100000000fff87f"))[0]
    assert math.isnan(odd)
    value = {"float": odd, "array": np.array([odd, -0.0]), "tensor": torch.tensor(odd, dtype=torch.float64), "big": 2**128 + 1}
    assert bits(there_and_back(value)) == bits(value)


def test_generators_go_on_with_the_same_numbers():
    generator, legacy = np.random.default_rng(3), np.random.RandomState(3)
    legacy.standard_normal()  # leaves half a pair behind
    state = there_and_back({"pcg": generator.bit_generator.state, "mt": legacy.get_state(), "torch": torch.get_rng_state()})
    expected = generator.random(3).tolist(), legacy.standard_normal(3).tolist(), torch.rand(3).tolist()
    generator.bit_generator.state = state["pcg"]
    legacy.set_state(state["mt"])
    torch.set_rng_state(state["torch"])
    assert (generator.random(3).tolist(), legacy.standard_normal(3).tolist(), torch.rand(3).tolist()) == expected


class Point(NamedTuple):
    x: int


class Kept(np.ndarray):
    pass


@pytest.mark.parametrize(
    "thing",
    [
        Point(1),
        {1},
        b"bytes",
        object(),
        np.array([object()]),
        np.array(["word"]),
        np.zeros(2).view(Kept),
        torch.float32,
        math.sin,
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_is_not_plain_is_refused_and_its_place_named(thing):
    with pytest.raises(plain_data.NotPlainError, match=r"learner\.parts\[1\] is a "):
        plain_data.flatten({"learner": {"parts": [0, thing]}})


def test_key_that_is_not_plain_is_refused():
    with pytest.raises(plain_data.NotPlainError, match=r"a key of inner is \(1, 2\)"):
        plain_data.flatten({"inner": {(1, 2): 3}})


@pytest.mark.parametrize(
    "tree",
    [
        [],
        ["object", "os.system"],
        ["array", "|O", [1], 0],
        ["array", ["<f8"], [1], 0],
        ["array", "<f8", [-1], 0],
        ["array", "<f8", [10**30], 0],
        ["number", "O", "00"],
        ["tensor", "load", [1], 0],
        ["float", "zz"],
        ["dict", [["list"], 1]],
        ["dict", 3],
        {"a": 1},
    ],
    ids=str,
)
def test_what_nobody_has_written_is_refused(tree):
    with pytest.raises(ValueError, match=r"."):
        plain_data.restore(tree, lambda offset, array: None)


def test_array_is_read_into_the_first_rows_of_one_that_is_there_and_fits():
    room = {
        "buffer": {"fits": np.zeros((5, 2)), "of another type": np.zeros((5, 2), np.float32), "too small": np.zeros((1, 2))}
    }
    value = {"buffer": {name: np.arange(6.0).reshape(3, 2) for name in (*room["buffer"], "new")}, "step": 3}
    found = there_and_back(value, room)
    assert bits(found) == bits(value)
    assert np.shares_memory(found["buffer"]["fits"], room["buffer"]["fits"])
    assert room["buffer"]["fits"].tolist() == [[0, 1], [2, 3], [4, 5], [0, 0], [0, 0]]
    assert not room["buffer"]["of another type"].any()
    assert not room["buffer"]["too small"].any()


def test_arrays_are_written_from_where_they_stand():
    array, tensor = np.zeros((4, 3)), torch.zeros(4, 3)
    _, parts = plain_data.flatten({"array": array[:2], "tensor": tensor, "transposed": array.T})
    assert [np.shares_memory(part, array) for part in parts] == [True, False, False]
    assert np.shares_memory(parts[1], tensor.numpy())


def test_outline_holds_what_stays_and_leaves_out_what_grows():
    def state(rows: int, **more: Any) -> Any:
        changing = {"array": np.zeros(rows), "list": [0] * rows, "slots": {n: np.zeros(1) for n in range(rows)}}
        return plain_data.outline(plain_data.flatten({"weights": torch.zeros(2, 3), **changing, **more})[0])

    assert state(0) == state(3)
    assert state(0) != state(0, more=None)
    assert state(0) != state(0, weights=torch.zeros(3, 2))
    assert state(0) != state(0, weights=torch.zeros(2, 3, dtype=torch.float64))


def test_a_pickle_is_nothing_that_can_be_read():
    for content in (pickle.dumps({"a": 1}), io.BytesIO(pickle.dumps([1])).getvalue()):
        with pytest.raises(ValueError, match=r"."):
            json.loads(content)
