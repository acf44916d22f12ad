"""Errors that a person can mend, told in one sentence."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# How a line on a worker's standard error begins that whoever started it shall read, though nothing has failed.
NOTE = "note: "


class UserError(Exception):
    """Something asked for cannot be done: the message names the thing and the remedy. Commands exit with code 2."""


@contextmanager
def told_plainly() -> Iterator[None]:
    """Print a `UserError`, or a store that cannot be written, as one line on stderr and exit with code 2."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        place = error.filename or "the store"
        print(f"error: cannot use {place}: {error.strerror or error}; free space or choose another --store.", file=sys.stderr)
        raise SystemExit(2) from None


def closest_names(word: str, known: Iterable[str]) -> str:
    """Return `; the closest are ...` with the closest known names, or the list of all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; the closest are {', '.join(close)}" if close else f"; there are {', '.join(known)}" if known else ""
