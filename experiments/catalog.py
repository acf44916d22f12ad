"""The experiments there are: one module each under `experiments/specs/`, by paper, each exporting one `EXPERIMENT`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import experiments.specs
from experiments.errors import UserError, closest_names
from experiments.spec import Experiment


@cache
def _modules() -> dict[str, str]:
    """Return the full name of every spec's module by the name of its experiment: that of the file."""
    found = pkgutil.walk_packages(experiments.specs.__path__, "experiments.specs.")
    return {module.name.rpartition(".")[2]: module.name for module in found if not module.ispkg}


def experiment_names() -> list[str]:
    """List the experiments there are; a module that only shares arms among specs has no `EXPERIMENT`."""
    return sorted(name for name, module in _modules().items() if hasattr(importlib.import_module(module), "EXPERIMENT"))


def spec_module(name: str) -> str:
    """Return the full name of the module that an experiment's spec is."""
    return _modules()[load_experiment(name).name]


def load_experiment(name: str) -> Experiment:
    """Return an experiment by name."""
    experiment = getattr(importlib.import_module(_modules()[name]), "EXPERIMENT", None) if name in _modules() else None
    if experiment is None:
        hint = closest_names(name, experiment_names())
        raise UserError(f"there is no experiment {name!r}{hint}. `python -m experiments.list` shows them all.")
    assert isinstance(experiment, Experiment)
    return experiment
