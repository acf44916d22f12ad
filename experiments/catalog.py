"""The experiments there are: one module each under `experiments/specs/`, by paper, each exporting one `EXPERIMENT`."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

import experiments.specs
from experiments import external
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
    """Return an experiment by name, or that of a spec's file, `my_figure.py`."""
    if name.endswith(".py"):
        found = getattr(external.import_file(Path(name).absolute()), "EXPERIMENT", None)
        if not isinstance(found, Experiment):
            raise UserError(f"{name} has no EXPERIMENT; let it make one, as the files in experiments/specs/ do.")
        if found.name in _modules():
            raise UserError(f"{name} is called {found.name!r}, as an experiment of the suite is; give it another name.")
        return found
    experiment = getattr(importlib.import_module(_modules()[name]), "EXPERIMENT", None) if name in _modules() else None
    if experiment is None:
        hint = closest_names(name, experiment_names())
        raise UserError(f"there is no experiment {name!r}{hint}. `python -m experiments.list` shows them all.")
    assert isinstance(experiment, Experiment)
    return experiment
