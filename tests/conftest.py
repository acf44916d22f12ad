"""What a test run compiles is kept until it ends, in a folder of its own: every run compiles each kernel anew, and once.

Every process of a run calculates on one thread, as workers do: threads that wait for each other keep the cores busy.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest

from experiments.executor import ONE_THREAD
from experiments.store import Store


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests on a real cluster first: they wait much, and others run meanwhile."""
    items.sort(key=lambda item: "slurm" not in item.path.parts)


def pytest_configure(config: pytest.Config) -> None:
    """Give the run a cache folder of its own, before xdist starts its workers: they inherit it, as all other processes do."""
    if hasattr(config, "workerinput"):
        return
    folder = tempfile.mkdtemp(prefix="streaming-rl-tests-")
    environment = pytest.MonkeyPatch()
    environment.setenv("XDG_CACHE_HOME", folder)
    for name, number in ONE_THREAD.items():
        environment.setenv(name, number)
    config.add_cleanup(environment.undo)
    config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store that is not there yet; the first run makes its folder."""
    return Store(tmp_path / "runs")
