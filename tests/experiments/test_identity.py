"""What must not change under existing results: the ids of the runs of every preset, and the bytes that runs leave."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from experiments.catalog import load_experiment
from experiments.executor import run_inline
from experiments.expand import resolve, runs_of
from experiments.plan import Group
from experiments.spec import Arm, Row
from experiments.store import Store
from experiments.worker import Options

IDENTITY = json.loads((Path(__file__).parent / "fixtures" / "identity.json").read_text())
DIGESTS: list[dict[str, Any]] = IDENTITY["digests"]
# The cheap cases, one of each training loop: others pad eager runs to 32 lanes of a large network, or compile for long.
CHEAP = ("stream_q", "classic_sarsa", "stream_td", "dqn1", "ppo")


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("preset", sorted(IDENTITY["ids"]))
def test_preset_asks_for_the_runs_that_it_always_asked_for(preset: str) -> None:
    """New presets need no entry; a preset that changes on purpose gets a new one, and its old runs are no longer its own."""
    name, _, preset_name = preset.partition("/")
    ids = sorted(run.run_id for run in runs_of(load_experiment(name), preset_name))
    assert {"runs": len(ids), "sha256": sha256("\n".join(ids).encode())} == IDENTITY["ids"][preset]


def processor_family() -> str:
    """Return vendor and number of the processor's family, or nothing where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    found = dict(line.replace("\t", "").split(": ", 1) for line in lines if ": " in line)
    return f"{found.get('vendor_id', '')} {found.get('cpu family', '')}"


@pytest.mark.parametrize(
    "case",
    [case for case in DIGESTS if case["algorithm"] in CHEAP and not case["compiled"]],
    ids=lambda case: f"{case['algorithm']}-{case['env_id']}",
)
def test_run_leaves_the_bytes_that_it_always_left(case: dict[str, Any], tmp_path: Path) -> None:
    here = {
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": processor_family(),
        "torch": torch.__version__.partition("+")[0],
    }
    made_with = IDENTITY["made_with"]
    if here != made_with:
        pytest.skip(f"the digests were made with {made_with}; other vector instructions round otherwise, and here is {here}")
    row = Row(case["env_id"], (), steps=case["steps"], seeds=1, bin_width=100)
    run = resolve(row, Arm("", case["algorithm"], case["hyperparameters"]), case["seed"])
    assert run.run_id == case["run_id"]
    store = Store(tmp_path)
    assert run_inline([Group((run,), 1.0, run.steps)], store, Options(compiled=case["compiled"])) == [0]
    left = {name: sha256((store.finished_path / run.run_id / name).read_bytes()) for name in case["sha256"]}
    assert left == case["sha256"]
