"""Environments that are not there: which package to install, or which name was meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from experiments.errors import UserError


def missing_package(env_id: str, error: object, pip_names: str) -> UserError:
    """Return the error of an environment whose package is not installed."""
    return UserError(
        f"environment {env_id} needs a package that is not installed ({error}); install it: pip install {pip_names}."
    )


def unknown_environment(env_id: str, known: Iterable[str], otherwise: str = "") -> UserError:
    """Return the error of an environment that does not exist, with the closest that do or else what is said `otherwise`."""
    known = list(known)
    close = difflib.get_close_matches(env_id, known, n=3, cutoff=0.6)
    hint = f"the closest are {', '.join(close)}" if close else otherwise or f"there are {', '.join(known)}"
    return UserError(f"there is no environment {env_id!r}; {hint}.")
