"""The soak in short: real commands and workers are killed, and nothing is lost, duplicated or different. And it can tell."""

from __future__ import annotations

import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
from experiment_support import ask, make_run, one_sentence

from experiments.spec import Arm, Row
from experiments.store import Store
from experiments.testing import soak
from experiments.testing.fault_injection import MOMENTS, FaultInjector

ROWS = (
    Row("Hopper-v4", (Arm("", "stream_ac", {"hidden": ()}),), steps=500, seeds=2, bin_width=1),
    Row("ETTm2-generated", (Arm("", "stream_td", {"hidden": ()}),), steps=500, seeds=1, bin_width=1),
    Row("CartPole-v1", (Arm("", "dqn", soak.REPLAY),), steps=3000, seeds=1, bin_width=1),
)


@pytest.mark.slow
def test_runs_that_are_killed_and_started_again_end_in_the_same_bytes(tmp_path: Path):
    said: list[str] = []
    assert soak.soak(ROWS, kills=6, seed=1, folder=tmp_path, say=said.append) == []
    kills = [line.split() for line in said if re.match(r" *\d+ +\d+ s  SIG", line)]
    assert [int(words[0]) for words in kills] == [1, 2, 3, 4, 5, 6]
    assert {words[5] for words in kills} <= set(MOMENTS)
    assert said[-1].startswith("PASSED")
    killed, alone = Store(tmp_path / "killed"), Store(tmp_path / "alone")
    assert len(alone.finished()) >= 4
    assert alone.finished() < killed.finished()  # and the run of the later start
    assert any(killed.provenance(run_id)["resumed_at"] for run_id in killed.finished())


# What it can tell


@pytest.fixture
def stores(tmp_path: Path) -> tuple[Store, Store]:
    """Return two stores with the same three runs."""
    pair = Store(tmp_path / "killed"), Store(tmp_path / "alone")
    for store in pair:
        for run in RUNS:
            store.publish(run, {"episodes": {"step": np.arange(5)}}, {"status": "finished"}, {})
    return pair


RUNS = [make_run(seed=seed) for seed in range(3)]


def test_equal_stores_have_no_faults(stores):
    assert soak.compare(*stores, RUNS) == []


def test_missing_different_and_damaged_results_are_told_apart(stores):
    killed, alone = stores
    killed.discard(RUNS[0].run_id)
    killed.discard(RUNS[1].run_id)
    killed.publish(RUNS[1], {"episodes": {"step": np.arange(6)}}, {"status": "finished"}, {})
    os.truncate(killed.finished_path / RUNS[2].run_id / "config.json", 10)
    assert soak.compare(killed, alone, RUNS) == [
        f"{RUNS[0].run_id} is missing",
        f"{RUNS[1].run_id}: episodes.arrow is different",
        f"{RUNS[2].run_id}: config.json is damaged",
        f"{RUNS[2].run_id}: config.json is different",
    ]


def test_what_is_left_behind_is_a_fault(stores):
    killed, _ = stores
    injector = FaultInjector(killed, 0, random.Random(0), lambda line: None)
    for name in ("tmp/half", "checkpoints/half", "failures/half", "claims/half", "claims/.heartbeat.of the dead"):
        (killed.root / name).mkdir(parents=True)
    injector.start_later(RUNS)  # all finished: it has nothing to train and so sweeps nothing
    assert sorted(injector.faults) == [f"left behind: {name}/half" for name in ("checkpoints", "claims", "failures", "tmp")]


# The command


def test_soak_refuses_a_folder_with_something_in_it(capfd, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    assert one_sentence(
        ask(capfd, monkeypatch, "experiments.testing.soak", "--store", str(tmp_path)), "is not an empty folder", "--store"
    )
    assert one_sentence(ask(capfd, monkeypatch, "experiments.testing.soak", "--kills", "0"), "--kills must be positive")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(("faults", "code"), [([], 0), (["a run is missing"], 1)])
def test_faults_decide_the_exit_code_and_what_is_said_is_logged(capfd, monkeypatch, tmp_path, faults, code):
    def pretend(rows, kills, seed, folder, say):
        say(f"{kills} kills, seed {seed}")
        return faults

    monkeypatch.setattr(soak, "soak", pretend)
    log = tmp_path / "new" / "soak.log"
    answer = ask(capfd, monkeypatch, "experiments.testing.soak", "--kills", "7", "--seed", "3", "--log", str(log))
    assert answer.code == code
    assert answer.out == log.read_text() == "7 kills, seed 3\n"


def test_soak_of_compiling_is_another_one(capfd, monkeypatch, tmp_path):
    monkeypatch.setattr(soak, "soak_kernels", lambda kills, seed, folder, say: say("compiling") or ["a fault"])
    answer = ask(
        capfd,
        monkeypatch,
        "experiments.testing.soak",
        "--compiling",
        "--log",
        str(tmp_path / "log"),
        "--store",
        str(tmp_path / "new"),
    )
    assert (answer.code, answer.out) == (1, "compiling\n")
