"""Check values against what their fields declare: type, choices and range. Pydantic checks; the sentences are the suite's own.

A field declares what it takes by its annotation: `Literal[...]`, or one of `algorithms.ranges`. Nothing here imports torch
or NumPy.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from annotated_types import Ge, Gt, Interval, Le, Lt
from pydantic import ConfigDict, TypeAdapter, ValidationError

from algorithms.ranges import MOST_UNITS
from experiments.errors import UserError

_STRICT = ConfigDict(strict=True, allow_inf_nan=False)
_TOO_LARGE = ("less_than", "less_than_equal")


def check_values(settings: type, values: Mapping[str, Any]) -> None:
    """Raise `UserError` where a value is none that the field of its name declares in a dataclass of settings."""
    declared = declarations(settings)
    for name, value in values.items():
        if name in declared:
            check_value(name, value, declared[name])


def check_fields(settings: Any) -> None:
    """Raise `UserError` where a field of a dataclass holds a value that it does not declare."""
    check_values(type(settings), {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)})


def check_value(name: str, value: Any, declared: Any) -> None:
    """Raise `UserError` unless a value is one that an annotation declares; `name` is what the sentence calls it."""
    try:
        _adapter(declared).validate_python(value)
    except ValidationError as error:
        raise UserError(f"{name} must be {_allowed(declared, error)}; {_shown(value)} is not.") from None


@cache
def declarations(settings: type) -> dict[str, Any]:
    """Return by name what each field of a dataclass declares: its own annotation, or the next in its bases that has a range."""
    own = get_type_hints(settings, include_extras=True)
    bases = [get_type_hints(base, include_extras=True) for base in settings.__mro__ if dataclasses.is_dataclass(base)]

    def ranged(name: str) -> Any:
        return next((hints[name] for hints in bases if get_origin(hints.get(name)) is Annotated), own[name])

    return {field.name: ranged(field.name) for field in dataclasses.fields(settings)}


@cache
def _adapter(declared: Any) -> TypeAdapter[Any]:
    return TypeAdapter(declared, config=_STRICT)


def _allowed(declared: Any, error: ValidationError) -> str:
    """Return what an annotation allows, as the middle of a sentence about the first thing that is wrong."""
    found = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if found["type"] == "finite_number":
        return "a finite number"
    words = next((item for item in _parts(declared) if isinstance(item, str)), "")
    limits: Mapping[str, float] = _limits(declared) or _limits(next(iter(get_args(_plain(declared))), None))
    if found["type"] in _TOO_LARGE and (words or found["loc"]):
        most = f"{limits.get('le', limits.get('lt')):,}"
        return f"a list of numbers of at most {most}" if found["loc"] else f"at most {most}"
    if words:
        return words
    if limits.get("le", 0) >= MOST_UNITS:  # nobody cares who was at the other end
        limits = {key: limit for key, limit in limits.items() if key != "le" or found["type"] in _TOO_LARGE}
    if get_origin(_plain(declared)) is Literal:
        return f"one of {', '.join(map(str, get_args(_plain(declared))))}"
    if found["loc"]:
        return f"a list, each {_bounds(limits) or _type(get_args(_plain(declared))[0])}"
    return _bounds(limits) or _type(declared)


def _type(declared: Any) -> str:
    plain = _plain(declared)
    return f"of type {getattr(plain, '__name__', plain)}"


def _parts(declared: Any) -> tuple[Any, ...]:
    return get_args(declared)[1:] if get_origin(declared) is Annotated else ()


def _plain(declared: Any) -> Any:
    return get_args(declared)[0] if get_origin(declared) is Annotated else declared


def _limits(declared: Any) -> dict[str, float]:
    limits: dict[str, float] = {}
    for part in _parts(declared):
        for kind, key in ((Ge, "ge"), (Gt, "gt"), (Le, "le"), (Lt, "lt")):
            if isinstance(part, kind | Interval) and getattr(part, key, None) is not None:
                limits[key] = getattr(part, key)
    return limits


def _bounds(limits: Mapping[str, float]) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    told = [f"{word} {limits[key]:,}" for key, word in words.items() if key in limits]
    if limits.get("gt") == 0:
        told[0] = "positive"
    return " and ".join(told)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
