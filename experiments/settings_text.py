"""The words of a command line that change a preset: `--set key=value`, one or several values, and `--seeds`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from experiments.errors import UserError
from experiments.spec import MOST_SEEDS, Value

# What `--seeds` says: how many, or which.
Seeds = int | tuple[int, ...]

# As Python writes them, beside JSON's own.
_PYTHON: Mapping[str, Value] = {"True": True, "False": False, "None": None}
_NUMBER = re.compile(r"[+-]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)([eE][+-]?\d+)?")
_RANGE = re.compile(r"\s*(\d{1,18})\s*-\s*(\d{1,18})\s*")
_SEED = re.compile(r"\s*(\d{1,18})\s*")


@dataclass(frozen=True)
class Sweep:
    """Several values of one key, each of which makes an arm (or a row) of its own."""

    values: tuple[Value, ...]


def parse_settings(pairs: Sequence[str]) -> dict[str, Value | Sweep]:
    """Read `key=value` pairs. A value is JSON (0.5, true, [64, 64]), Python's True, False, None or 100_000, or else a string.

    Values between commas are a `Sweep`: `kappa=1,2,3`, `hidden=[64],[64,64]`.
    """
    settings: dict[str, Value | Sweep] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise UserError(f"--set wants key=value; {pair!r} has no key or no '='.")
        parts = list(_between_commas(text))
        if len(parts) > 1 and not all(part.strip() for part in parts):
            raise UserError(f"--set {key} has an empty value between its commas; {text!r} should be like 1,2,3.")
        values = tuple(dict.fromkeys(map(_value, parts)))
        settings[key] = Sweep(values) if len(parts) > 1 else values[0]
    return settings


def single(settings: Mapping[str, Value | Sweep]) -> dict[str, Value]:
    """Return settings that hold one value each; raise `UserError` where one holds several."""
    for key, value in settings.items():
        if isinstance(value, Sweep):
            raise UserError(f"{key} takes one value here; {written(value)} are {len(value.values)}.")
    return dict(settings)  # type: ignore[arg-type]


def written(value: Value | Sweep) -> str:
    """Return a value as `parse_settings` reads it."""
    if isinstance(value, Sweep):
        return ",".join(map(written, value.values))
    return value if isinstance(value, str) else json.dumps(value)


def _value(text: str) -> Value:
    bare = text.strip()
    if bare.startswith("(") and bare.endswith(")"):  # a tuple, as messages show them
        bare = f"[{bare[1:-1].rstrip(', ')}]"
    try:
        value = json.loads(bare)
    except (ValueError, RecursionError):
        value = _python(bare) if bare in _PYTHON or _NUMBER.fullmatch(bare) else text
    if isinstance(value, float) and value.is_integer() and "e" in bare.lower():
        return int(value)  # 1e5 and 100000 are the same setting, and name the same folder
    return tuple(map(_frozen, value)) if isinstance(value, list) else _frozen(value)


def _frozen(value: object) -> Value:
    """Return a value that can be told apart from others; what no setting takes is left as the text that it was."""
    return value if isinstance(value, bool | int | float | str | None) else json.dumps(value)


def _python(text: str) -> Value:
    if text in _PYTHON:
        return _PYTHON[text]
    for read in (int, float):
        try:
            return read(text)  # with underscores between digits
        except ValueError:
            continue
    return text


def _between_commas(text: str) -> Iterator[str]:
    """Yield the parts of a text between commas that stand in no brackets and no quotes."""
    depth, quoted, begin, escaped = 0, False, 0, False
    for place, letter in enumerate(text):
        if quoted:
            quoted = escaped or letter != '"'
            escaped = letter == "\\" and not escaped
        elif letter == '"':
            quoted = True
        elif letter in "[{(":
            depth += 1
        elif letter in "]})":
            depth -= 1
        elif letter == "," and depth == 0:
            yield text[begin:place]
            begin = place + 1
    yield text[begin:]


def parse_seeds(text: str | None) -> Seeds | None:
    """Read `--seeds`: `5` is how many, `3,7`, `10-19` and `3,10-19` are which; `7-7` is one of them."""
    if text is None:
        return None
    if re.fullmatch(r"\s*[+-]?\d+\s*", text):
        return int(text) if len(text) < 30 else 10**30  # the rest is told by its range
    chosen: dict[int, None] = {}
    for part in text.split(","):
        if found := _RANGE.fullmatch(part):
            first, last = map(int, found.groups())
            if last < first:
                raise UserError(f"--seeds {part.strip()} ends before it begins; turn it round.")
            if last - first >= MOST_SEEDS:
                raise UserError(f"--seeds names at most {MOST_SEEDS:,} seeds; {part.strip()} are {last - first + 1:,}.")
            chosen |= dict.fromkeys(range(first, last + 1))
        elif found := _SEED.fullmatch(part):
            chosen[int(found[1])] = None
        else:
            raise UserError(f"--seeds wants how many, like 5, or which, like 3,7 or 10-19; {text!r} is neither.")
    return tuple(sorted(chosen))


def seeds_text(seeds: Seeds) -> str:
    """Return seeds as `parse_seeds` reads them, those that follow one another as a range."""
    if isinstance(seeds, int):
        return str(seeds)
    ranges: list[list[int]] = []
    for seed in seeds:
        if ranges and seed == ranges[-1][1] + 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    alone = len(ranges) == 1  # a single number would be how many
    return ",".join(f"{first}-{last}" if last > first or alone else str(first) for first, last in ranges)
