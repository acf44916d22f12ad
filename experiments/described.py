"""What specs and learners say of themselves: their docstrings, read from their files, so that no learner is imported."""

from __future__ import annotations

import ast
import importlib.util
from functools import cache
from pathlib import Path

from experiments.catalog import spec_module
from experiments.registry import ALGORITHMS


def spec_text(name: str) -> str:
    """Return the docstring of the module of an experiment; empty if it has none."""
    return _docstring(spec_module(name))


def learner_text(algorithm: str) -> str:
    """Return the docstring of the module of a learner; empty where the registry has none, as for a measurement."""
    record = ALGORITHMS.get(algorithm)
    if record is None:
        return ""
    place = record.learner or record.lanes
    return _docstring(place.partition(":")[0] or record.settings.__module__) if record.gives else ""


def learner_label(algorithm: str) -> str:
    """Return the name of a learner in tables and figures; its own where the registry has none."""
    return ALGORITHMS[algorithm].label if algorithm in ALGORITHMS else algorithm


@cache
def _docstring(module: str) -> str:
    # The parent package is imported, the module itself is not.
    found = importlib.util.find_spec(module)
    if found is None or found.origin is None:
        return ""
    return ast.get_docstring(ast.parse(Path(found.origin).read_text())) or ""
