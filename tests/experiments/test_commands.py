"""The commands: bad input ends in one sentence and leaves no trace, and a whole experiment trains once."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from experiment_support import Answer, ask, one_sentence, python, remount, snapshot

from experiments import run
from experiments.catalog import experiment_names, load_experiment
from experiments.cli import resolve_request
from experiments.expand import runs_of
from experiments.plan import spaces_of
from experiments.spec import Run
from experiments.store import Owner, Store

Command = Callable[..., Answer]

SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=130", "--set", "hidden=[]")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    return lambda module, *words: ask(capfd, monkeypatch, module, *words)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "_report", lambda *_: None)


def small_runs(seeds: int) -> list[Run]:
    return resolve_request("stream_barrier", "anchors", SMALL[4::2], seeds).runs


def publish(store: Store, run: Run) -> None:
    episodes = {"step": np.array([50]), "episodic_return": np.array([1.0]), "length": np.array([50])}
    store.publish(run, {"episodes": episodes}, {"status": "finished", "steps": run.steps}, {})


# Bad input

MEANINGLESS = [
    (("stream_barier",), ("'stream_barier'", "stream_barrier", "python -m experiments.list")),
    (("Stream Barrier",), ("'Stream Barrier'",)),
    (("../stream_barrier",), ("'../stream_barrier'",)),
    ((), ("name one experiment",)),
    (("stream_barrier", "throughput"), ("unexpected extra argument",)),
    (("stream_barrier", "--bogus"), ("--bogus",)),
    (("stream_barrier", "--preset", "full"), ("'full'", "paper, laptop, quick")),
    (("stream_barrier", "--preset"), ("--preset",)),
    (("stream_barrier", "--seeds", "0"), ("seeds must be positive; 0 is not",)),
    (("stream_barrier", "--seeds", "-2"), ("seeds must be positive; -2 is not",)),
    (("stream_barrier", "--seeds", "two"), ("--seeds",)),
    (("stream_barrier", "--seeds", "1.5"), ("--seeds",)),
    (("stream_barrier", "--set", "gama=0.9"), ("'gama'", "the closest are gamma")),
    (("stream_barrier", "--set", "sac1.lamda=0.9"), ("'sac1.lamda'",)),
    (("stream_barrier", "--set", "gamma"), ("key=value", "'gamma'")),
    (("stream_barrier", "--set", "=0.9"), ("key=value", "'=0.9'")),
    (("stream_barrier", "--set", "gamma=high"), ("gamma must be of type float", "'high'")),
    (("stream_barrier", "--set", "gamma="), ("gamma must be of type float",)),
    (("stream_barrier", "--set", "gamma=NaN"), ("gamma must be a finite number",)),
    (("stream_barrier", "--set", "gamma=1e999"), ("gamma must be a finite number",)),
    (("stream_barrier", "--set", "hidden=64"), ("hidden must be of type tuple",)),
    (("stream_barrier", "--set", "hidden=[-1]"), ("hidden must be a list of positive widths",)),
    (("stream_barrier", "--set", "layer_norm=1"), ("layer_norm must be of type bool",)),
    (("stream_barrier", "--set", "optimizer=lbfgs"), ("optimizer must be one of obgd",)),
    (("stream_barrier", "--set", "time_feature=maybe"), ("time_feature must be of type bool",)),
    (("stream_barrier", "--set", "action_clip=hard"), ("action_clip must be one of bounds",)),
    (("stream_barrier", "--set", "steps=0"), ("steps must be a positive whole number",)),
    (("stream_barrier", "--set", "steps=-5"), ("steps must be a positive whole number",)),
    (("stream_barrier", "--set", "steps=2.5"), ("steps must be of type int",)),
    (("stream_barrier", "--set", "first_seed=-1"), ("first_seed must be a whole number of at least 0",)),
    (("stream_barrier", "--set", "bin_width=0"), ("bin_width must be a positive whole number",)),
    (("stream_barrier", "--set", "env_id=5"), ("env_id must be of type str",)),
    (("stream_barrier", "--set", "algorithm=stream_acc"), ("'stream_acc'", "stream_ac")),
]


@pytest.mark.parametrize("module", ["run", "status"])
@pytest.mark.parametrize(("words", "fragments"), MEANINGLESS, ids=lambda value: " ".join(value) or "nothing")
def test_request_that_means_nothing_is_refused_in_one_sentence(command, tmp_path, module, words, fragments):
    assert one_sentence(command(module, *words), *fragments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (("--workers", "0"), ("--workers must be positive; 0 is not",)),
        (("--workers", "-3"), ("--workers must be positive; -3 is not",)),
        (("--workers", "all"), ("--workers",)),
        (("--lanes", "0"), ("--lanes must be positive; 0 is not",)),
        (("--lanes", "-1"), ("--lanes must be positive",)),
        (("--checkpoint-seconds", "0"), ("--checkpoint-seconds must be positive",)),
        (("--checkpoint-seconds", "nan"), ("--checkpoint-seconds must be positive",)),
        (("--checkpoint-seconds", "often"), ("--checkpoint-seconds",)),
        (("--again",), ("--again is for measurements",)),
        (("--set", "env_id=Hoper-v4"), ("no environment 'Hoper-v4'", "the closest are Hopper-v")),
        (("--set", "env_id=dm_control/cheeta-run-v0"), ("no environment", "the closest are dm_control/cheetah-run-v0")),
        (("--set", "env_id="), ("no environment ''",)),
        (("--set", "env_id=CartPole-v1"), ("ppo1 gives a vector", "CartPole-v1 wants a choice of one", "--set algorithm=")),
        (("--dry-run", "--set", "env_id=Hoper-v4"), ("no environment 'Hoper-v4'",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_run_that_cannot_be_done_is_refused_in_one_sentence(command, tmp_path, words, fragments):
    assert one_sentence(command("run", "stream_barrier", *words), *fragments)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["run", "status"])
def test_store_that_is_a_file_is_refused_and_left_as_it_is(command, tmp_path, module):
    file = tmp_path / "notes"
    file.write_text("mine")
    for path in (file, file / "runs"):
        assert one_sentence(command(module, *SMALL, "--store", str(path)), "is not a folder", "--store")
    assert file.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [file]


def test_missing_package_of_an_environment_is_refused_with_the_command_that_installs_it(command, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "shimmy", None)  # type: ignore[arg-type]
    spaces_of.cache_clear()
    answer = command("run", "stream_barrier", "--set", "env_id=dm_control/cheetah-run-v0")
    assert one_sentence(answer, "dm_control/cheetah-run-v0", "pip install shimmy dm-control")
    assert list(tmp_path.iterdir()) == []


def test_missing_simulator_behind_a_package_is_refused_with_the_command_that_installs_it(tmp_path):
    code = (
        "import runpy, sys; sys.modules['dm_control'] = None; "
        "sys.argv = ['run', 'stream_barrier', '--set', 'env_id=dm_control/cheetah-run-v0']; "
        "runpy.run_module('experiments.run', run_name='__main__')"
    )
    assert one_sentence(python("-c", code), "dm_control/cheetah-run-v0", "pip install shimmy dm-control")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (("run", "stream_barier"), ("'stream_barier'", "stream_barrier")),
        (("status",), ("name one experiment", "`python -m experiments.list` shows")),
    ],
)
def test_process_of_a_bad_command_says_one_sentence_and_exits_with_2(tmp_path, words, fragments):
    assert one_sentence(python("-m", f"experiments.{words[0]}", *words[1:]), *fragments)
    assert list(tmp_path.iterdir()) == []


# Bad disks


def test_store_below_a_folder_that_cannot_be_written_is_refused_in_one_sentence(command, tmpfs, no_report):
    disk = tmpfs("1m")
    remount(disk, "ro")
    assert one_sentence(command("run", *SMALL, "--store", str(disk / "runs")), str(disk), "Read-only", "--store")


def test_read_only_store_can_be_shown_and_drawn_but_not_trained_into(command, tmpfs, no_report):
    disk = tmpfs("1m")
    store = Store(disk / "runs")
    publish(store, small_runs(1)[0])
    remount(disk, "ro")
    words = (*SMALL, "--store", str(store.root))
    assert command("status", *words, "--seeds", "2").code == 0
    answer = command("run", *words, "--seeds", "1")
    assert (answer.code, answer.err) == (0, "")
    assert "0 to train" in answer.out
    assert one_sentence(command("run", *words, "--seeds", "2"), "Read-only", "--store")


def test_full_disk_is_refused_in_one_sentence_before_training(command, tmpfs, no_report):
    disk = tmpfs("64k")
    (disk / "other").write_bytes(bytes(50_000))
    assert one_sentence(command("run", *SMALL, "--store", str(disk / "runs")), "No space left on device", "free space")
    assert [path.name for path in (disk / "runs").iterdir()] == []


def test_disk_that_fills_up_while_training_ends_in_one_sentence_and_no_half_result(command, tmpfs, no_report):
    store = Store(tmpfs("96k") / "runs")
    words = (*SMALL, "--seeds", "8", "--store", str(store.root), "--workers", "1", "--checkpoint-seconds", "0.001")
    assert one_sentence(command("run", *words), "the store cannot be written", "No space left on device", "free space")
    assert store.finished() == store.failures() == set()
    assert not (store.root / "tmp").exists() or list((store.root / "tmp").iterdir()) == []
    assert all((store.claimant(run.run_id) or {"alive": False})["alive"] is False for run in small_runs(8))


# Looking without touching


def test_dry_run_shows_groups_and_cost_and_creates_nothing(command, tmp_path):
    answer = command("run", *SMALL, "--seeds", "3", "--workers", "2", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert "3 runs, 0 finished or taken, 3 to train" in answer.out
    assert "stream_ac Hopper-v4" in answer.out
    assert "2 groups on 2 workers" in answer.out
    assert "core-hours" in answer.out
    assert "MB of disk" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_dry_run_of_the_paper_counts_its_runs(command, tmp_path):
    answer = command("run", "stream_barrier", "--preset", "paper", "--dry-run")
    assert answer.code == 0
    assert "780 runs, 0 finished or taken, 780 to train" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_looking_at_a_store_changes_nothing_in_it(command, tmp_path, no_report):
    store = Store(tmp_path / "runs")
    runs = small_runs(3)
    publish(store, runs[0])
    store.fail(runs[1].run_id, "Traceback\nValueError: no\n")
    before = snapshot(store.root)
    for words in (("run", "--dry-run"), ("run", "--dry-run", "--retry"), ("status",)):
        answer = command(words[0], *SMALL, "--seeds", "3", *words[1:])
        assert (answer.code, answer.err) == (0, "")
    assert command("run", *SMALL, "--seeds", "2").code == 1
    assert snapshot(store.root) == before


def test_how_runs_are_computed_does_not_make_them_anew(command, tmp_path, no_report):
    for run_ in small_runs(3):
        publish(Store("runs"), run_)
    for words in ((), ("--workers", "3"), ("--lanes", "1"), ("--checkpoint-seconds", "5"), ("--retry",)):
        assert "3 runs, 3 finished or taken, 0 to train" in command("run", *SMALL, "--seeds", "3", *words).out
    assert "1 to train" in command("run", *SMALL, "--seeds", "4", "--dry-run").out
    assert "3 to train" in command("run", *SMALL, "--seeds", "3", "--set", "gamma=0.9", "--dry-run").out


def test_status_counts_finished_running_failed_and_missing_runs(command, tmp_path):
    store, owner = Store("runs"), Owner()
    runs = small_runs(7)
    for run_ in runs[:3]:
        publish(store, run_)
    store.claim(runs[3].run_id, owner)
    store.claim(runs[4].run_id, owner)
    store.beat(owner, {"step": 12_345, "steps_per_second": 678.0, "recent_return": 1.0})
    store.fail(runs[5].run_id, "Traceback\nValueError: [/odd] reason\n")
    answer = command("status", *SMALL, "--seeds", "7")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["Hopper-v4", "Stream", "AC", "3", "2", "1", "1"] in rows
    assert "1 failed: ValueError: [/odd] reason" in answer.out
    assert runs[5].run_id in answer.out
    assert "running Stream AC Hopper-v4 seed 3 and 1 more: step 12,345, 678 steps/s" in answer.out
    assert f"process {os.getpid()} on" in answer.out


def pretend_squeue(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    (folder / "squeue").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


def test_status_counts_runs_of_pending_tasks_as_queued(command, tmp_path, monkeypatch):
    store, runs = Store("runs"), small_runs(5)
    publish(store, runs[0])
    store.claim(runs[1].run_id, Owner())
    # As slurm.submit records it: one task trains seeds 0 to 3, of which two have got somewhere; those of seed 4 are over.
    records = tmp_path / "runs" / "slurm" / "queued"
    records.mkdir(parents=True)
    (records / "stream_barrier-0.json").write_text(json.dumps([[runs[4].run_id]]))
    (records / "stream_barrier-1.json").write_text(json.dumps([[run_.run_id for run_ in runs[:4]], [runs[4].run_id]]))
    pretend_squeue(tmp_path, monkeypatch, "echo '17 0 stream_barrier-1'; echo '3 N/A of_somebody_else'")
    answer = command("status", *SMALL, "--seeds", "5")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["environment", "algorithm", "finished", "running", "queued", "failed", "missing"] in rows
    assert ["all", "1", "1", "2", "0", "1"] in rows


@pytest.mark.parametrize("script", [None, "echo 'slurm_load_jobs error: Unable to contact controller' >&2; exit 1"])
def test_status_says_so_where_slurm_does_not_answer(command, tmp_path, monkeypatch, script):
    (run_,) = small_runs(1)
    record = tmp_path / "runs" / "slurm" / "queued" / "stream_barrier-1.json"
    record.parent.mkdir(parents=True)
    record.write_text(json.dumps([[run_.run_id]]))
    if script:
        pretend_squeue(tmp_path, monkeypatch, script)
    else:
        monkeypatch.setenv("PATH", str(tmp_path))
    answer = command("status", *SMALL, "--seeds", "1")
    assert (answer.code, answer.err) == (0, "")
    assert ["all", "0", "0", "0", "1"] in [line.split() for line in answer.out.splitlines()]
    assert f"count as missing: squeue {'says' if script else 'was not found'}" in answer.out


def test_status_of_a_store_that_is_not_there_counts_everything_as_missing(command, tmp_path):
    answer = command("status", *SMALL, "--seeds", "2", "--store", "nowhere")
    assert answer.code == 0
    assert ["all", "0", "0", "0", "2"] in [line.split() for line in answer.out.splitlines()]
    assert list(tmp_path.iterdir()) == []


def test_list_names_every_experiment_and_preset_with_its_size(command):
    answer = command("list")
    assert (answer.code, answer.err) == (0, "")
    blocks = {block.splitlines()[0]: block for block in answer.out.strip().split("\n\n")}
    assert list(blocks) == experiment_names()
    for name, block in blocks.items():
        for preset in load_experiment(name).presets:
            runs = runs_of(load_experiment(name), preset)
            steps = sum(run_.steps for run_ in runs)
            size = rf"{len(runs)} runs?, ([\d,]+|[\d,.]+M) steps:"
            found = re.search(rf"^    {preset} +{size}", block, re.MULTILINE)
            assert found, (name, preset)
            told = float(found[1].replace(",", "").removesuffix("M")) * (1e6 if found[1].endswith("M") else 1)
            assert told == pytest.approx(steps, rel=0.05, abs=50_000)


def test_words_that_list_does_not_know_are_refused(command):
    assert one_sentence(command("list", "--bogus"), "--bogus")


@pytest.mark.parametrize("module", ["run", "status"])
def test_help_names_the_options(command, module):
    answer = command(module, "--help")
    assert answer.code == 0
    for option in ("--preset", "--store", "--seeds", "--set"):
        assert option in answer.out


# A whole experiment


def test_experiment_is_trained_and_drawn_and_trained_only_once(command, tmp_path, monkeypatch):
    small = ["steps=200", "hidden=[16,16]"]
    words = ("stream_barrier", "--preset", "quick", "--set", small[0], "--set", small[1], "--seeds", "1")
    runs = resolve_request("stream_barrier", "quick", small, 1).runs
    assert {"classic_ac", "ppo1", "sac1", "stream_ac"} <= {run_.algorithm for run_ in runs}
    first = python("-m", "experiments.run", *words, "--workers", "2")
    assert first.code == 0, first
    assert f"{len(runs)} runs, 0 finished or taken, {len(runs)} to train" in first.out
    for label in ("Classic AC", "PPO1", "SAC1", "Stream AC"):
        assert label in first.out
    store = Store(tmp_path / "runs")
    assert store.finished() == {run_.run_id for run_ in runs}
    for run_id in store.finished():
        result, provenance, tables = store.load(run_id)
        assert (result["status"], result["steps"]) == ("finished", 200)
        assert tables["episodes"].num_rows > 0
        assert provenance["git"].keys() >= {"commit", "dirty"}
        assert provenance["packages"]["torch"]
        assert math.isfinite(provenance["steps_per_second"])
    left = {path.name for folder in ("checkpoints", "claims", "failures", "tmp") for path in store.root.glob(f"{folder}/*")}
    assert left == {".lock"}
    assert list((tmp_path / "results").rglob("*.svg"))

    before = snapshot(store.root)
    monkeypatch.setattr(run, "_report", lambda *_: None)
    second = command("run", *words, "--workers", "1", "--lanes", "1")
    assert (second.code, second.err) == (0, "")
    assert f"{len(runs)} finished or taken, 0 to train" in second.out
    assert snapshot(store.root) == before
