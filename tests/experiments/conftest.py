"""Every test here runs in a folder of its own, so that none can reach the repository's `runs` or `results`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from experiment_support import WorkerFactory, in_a_folder_of_its_own, mounted_tmpfs  # noqa: F401, a fixture of all tests here
from hypothesis import HealthCheck, settings

# Properties are checked however busy the machine is.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

MountTmpfs = Callable[[str], Path]


@pytest.fixture(scope="session")
def worker_factory() -> Iterator[WorkerFactory]:
    factory = WorkerFactory()
    yield factory
    factory.kill()


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[MountTmpfs]:
    """Return a function that mounts an empty file system of a size such as `24k` and returns where it is."""
    with mounted_tmpfs(tmp_path / "disk") as mount:
        yield mount
