"""Every test here runs in a folder of its own, and can write a profile and make a submission."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from experiment_support import Answer, ask, in_a_folder_of_its_own  # noqa: F401, a fixture of all tests here
from slurm_support import Submit

PROFILE = {
    "time_minutes": 10,
    "memory_gb_per_core": 0.5,
    "signal_delay_seconds": 60,
    "max_array_size": 3,
}


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a profile and returns its path; a value of None leaves the key out."""

    def write(**changes: object) -> str:
        path = tmp_path / "profile.toml"
        values = {key: value for key, value in {**PROFILE, **changes}.items() if value is not None}
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        return str(path)

    return write


@pytest.fixture
def submit(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Submit:
    """Return a function that runs `python -m slurm.submit WORDS` in this process."""

    def run(*words: str) -> Answer:
        return ask(capfd, monkeypatch, "slurm.submit", *words)

    return run
