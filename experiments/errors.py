"""Errors that a person can mend, told in one sentence."""

from __future__ import annotations

import difflib
import io
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# How a line on a worker's standard error begins that whoever started it shall read, though nothing has failed.
NOTE = "note: "


class UserError(Exception):
    """Something asked for cannot be done: the message names the thing and the remedy. Commands exit with code 2."""


@contextmanager
def told_plainly() -> Iterator[None]:
    """Print a `UserError`, or a store that cannot be written, as one line on stderr and exit with code 2."""
    print_whatever_the_terminal()
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        place = error.filename or "the store"
        print(f"error: cannot use {place}: {error.strerror or error}; free space or choose another --store.", file=sys.stderr)
        raise SystemExit(2) from None


@contextmanager
def writing_to(folder: object, option: str) -> Iterator[None]:
    """Raise `UserError` with the option that names another folder where this one cannot be written."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(
            f"cannot write to {error.filename or folder}: {reason}; free space or choose another {option}."
        ) from None


def print_whatever_the_terminal() -> None:
    """Let a letter that the terminal has not be printed as another one: it is no reason to stop."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def failure_text(error: BaseException) -> str:
    """Return what is kept of a failure: the traceback, or the sentence where a person can mend it."""
    return f"error: {error}\n" if isinstance(error, UserError) else "".join(traceback.format_exception(error))


def last_line(message: str) -> str:
    """Return the last line of a message, where an error says what it is."""
    return (message.strip().splitlines() or ["it left no message"])[-1]


def closest_names(word: str, known: Iterable[str]) -> str:
    """Return `; the closest are ...` with the closest known names, or the list of all of them."""
    known = list(known)
    close = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f"; the closest are {', '.join(close)}" if close else f"; there are {', '.join(known)}" if known else ""
