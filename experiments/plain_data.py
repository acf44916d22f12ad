"""Plain data in a file: one line of JSON, and the arrays as they stand in memory. Reading it runs no code.

Plain are None, bool, int, float, str, lists, tuples and dicts of them (keys: str or int), and NumPy's numbers and arrays and
torch's tensors of numbers. Every one comes back as the type that it was, bit for bit: NaN with its payload, integers of any
size, 32 bits as 32 bits. Everything else is refused when it is written, and its place is named: an object of a class could
only be read back by code, and no longer once the class has another name.

Arrays are written from where they stand (one whose elements are not side by side is copied first), and read into new memory or
into arrays that are there already: a replay buffer of gigabytes needs no more memory than it has.

A value is put into JSON as itself, or as a list whose first element tells what the list stands for:

    ["list", ...]  ["tuple", ...]  ["dict", [key, value], ...]  ["float", bits]  ["number", type, bits]
    ["array", type, shape, offset]  ["tensor", type, shape, offset]     with its bytes at that offset behind the JSON
"""

from __future__ import annotations

import json
import math
import struct
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

# Of NumPy's kinds of types: bool, int, unsigned, float, complex. Never "O", which holds pointers to objects.
KINDS = "biufc"
TENSOR_TYPES = frozenset(
    ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128")
)


class NotPlainError(TypeError):
    """Something to be written is not plain data."""


class DamagedError(ValueError):
    """What is read is not what was written."""


def to_bytes(value: Any) -> list[memoryview]:
    """Return the parts of a file that holds a value, in order: the line of JSON, and the arrays as they stand in memory."""
    tree, arrays = flatten(value)
    return [memoryview(json.dumps(tree).encode() + b"\n"), *(memoryview(array.data) for array in arrays)]


def from_bytes(content: bytes) -> Any:
    """Return the value that a file holds; raise `DamagedError` where `to_bytes` cannot have made it."""
    line, _, rest = content.partition(b"\n")
    try:
        tree = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise DamagedError(str(error)) from None

    def read(offset: int, array: np.ndarray) -> None:
        part = rest[offset : offset + array.nbytes]
        if len(part) != array.nbytes:
            raise DamagedError("it is too short")
        array[:] = np.frombuffer(part, np.uint8)

    return restore(tree, read)


def flatten(value: Any) -> tuple[Any, list[np.ndarray]]:
    """Return what JSON can hold of a value, and the bytes of its arrays in order, each uint8 [n] and its own memory.

    Raise `NotPlainError` where there is something else in it.
    """
    parts: list[np.ndarray] = []
    return _flatten(value, parts, 0, "")[0], parts


def _flatten(value: Any, parts: list[np.ndarray], offset: int, place: str) -> tuple[Any, int]:
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value, offset
    if kind is float:
        return (value if math.isfinite(value) else ["float", struct.pack("<d", value).hex()]), offset
    if kind in (list, tuple):
        told: list[Any] = [kind.__name__]
        for number, item in enumerate(value):
            tree, offset = _flatten(item, parts, offset, f"{place}[{number}]")
            told.append(tree)
        return told, offset
    if kind is dict:
        told = ["dict"]
        for key, item in value.items():
            if type(key) not in (str, int):
                raise NotPlainError(f"a key of {place or 'it'} is {key!r}; only str and int are plain")
            tree, offset = _flatten(item, parts, offset, f"{place}.{key}".lstrip("."))
            told.append([key, tree])
        return told, offset
    if isinstance(value, np.generic) and value.dtype.kind in KINDS:
        return ["number", value.dtype.str, value.tobytes().hex()], offset
    if kind is np.ndarray and value.dtype.kind in KINDS:
        parts.append(_bytes_of(np.ascontiguousarray(value)))
        return ["array", value.dtype.str, list(value.shape), offset], offset + value.nbytes
    torch: Any = sys.modules.get("torch")  # where it is not imported there is no tensor
    if torch is not None and isinstance(value, torch.Tensor):
        name = str(value.dtype).removeprefix("torch.")
        if name in TENSOR_TYPES and value.layout is torch.strided:
            flat = value.detach().cpu().contiguous().reshape(-1)
            flat = flat if flat.numel() > 1 else torch.empty(flat.shape, dtype=flat.dtype).copy_(flat)  # its stride may be any
            parts.append(flat.view(torch.uint8).numpy())
            return ["tensor", name, list(value.shape), offset], offset + parts[-1].nbytes
    raise NotPlainError(f"{place or 'it'} is a {kind.__module__}.{kind.__qualname__}, which is not plain data")


def restore(tree: Any, read: Callable[[int, np.ndarray], None], into: Any = None) -> Any:
    """Return the value that was flattened.

    Args:
        tree: what JSON held of it.
        read: fills an array, uint8 [n], with the bytes from an offset on.
        into: arrays that are there already, in dicts as they are nested in the value. The bytes of an array are read into the
            first rows of the one in its place, if that has its type and rows of its shape, and these rows are returned.

    Raise `DamagedError` where it cannot have been written by `flatten`.
    """
    if tree is None or type(tree) in (bool, int, float, str):
        return tree
    try:
        tag, *rest = tree
        if tag in ("list", "tuple"):
            items = [restore(item, read) for item in rest]
            return items if tag == "list" else tuple(items)
        if tag == "dict":
            inside = into if isinstance(into, Mapping) else {}
            return {_key(key): restore(item, read, inside.get(key)) for key, item in rest}
        if tag == "float":
            return float(struct.unpack("<d", bytes.fromhex(rest[0]))[0])
        if tag == "number":
            return np.frombuffer(bytes.fromhex(rest[1]), _type(rest[0]), 1)[0]
        if tag == "array":
            array = _room(_type(rest[0]), tuple(map(_size, rest[1])), into)
            read(_size(rest[2]), _bytes_of(array))
            return array
        if tag == "tensor" and rest[0] in TENSOR_TYPES:
            import torch

            tensor = torch.empty(tuple(map(_size, rest[1])), dtype=getattr(torch, rest[0]))
            read(_size(rest[2]), tensor.reshape(-1).view(torch.uint8).numpy())
            return tensor
    except (TypeError, IndexError, struct.error, RuntimeError, MemoryError) as error:
        raise DamagedError(str(error)) from None
    raise DamagedError(f"nothing is written as {tag!r}")


def outline(tree: Any) -> Any:
    """Return what does not change while a learner learns: the names in dicts, and types and shapes of tensors.

    Lists, arrays, and dicts whose keys are numbers, may hold more or less as time goes on: tensors are for what is fixed.
    """
    if not isinstance(tree, list):
        return None
    if tree[0] == "tensor":
        return tree[1], tuple(tree[2])
    if tree[0] == "dict":
        return {key: outline(item) for key, item in tree[1:] if isinstance(key, str)} or None
    return None


def _bytes_of(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1).view(np.uint8)


def _room(kind: np.dtype[Any], shape: tuple[int, ...], there: Any) -> np.ndarray:
    fits = isinstance(there, np.ndarray) and there.ndim > 0 and (there.dtype, there.shape[1:]) == (kind, shape[1:])
    if fits and shape and len(there) >= shape[0] and there.flags.c_contiguous:
        rows: np.ndarray = there[: shape[0]]
        return rows
    return np.empty(shape, kind)


def _type(name: Any) -> np.dtype[Any]:
    kind = np.dtype(name) if isinstance(name, str) else None
    if kind is None or kind.kind not in KINDS:
        raise DamagedError(f"no array of numbers has the type {name!r}")
    return kind


def _size(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise DamagedError(f"{number!r} is no size")
    return number


def _key(key: Any) -> str | int:
    if type(key) not in (str, int):
        raise DamagedError(f"{key!r} is no key")
    return key
