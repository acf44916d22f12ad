"""Which version of the code a result was made by: told at the start, recorded with every run, counted in the manifest."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from experiment_support import ALWAYS, Answer, ask, make_run, result_bytes, stop_after

from analysis import report
from experiments import checkpoint, provenance, run
from experiments.catalog import load_experiment
from experiments.cli import resolve_request
from experiments.provenance import git_state, other_versions, this_version, version_name
from experiments.spec import Run
from experiments.store import Store, code_versions, same_version
from experiments.worker import DONE, STOPPED, Options, train_runs

OLD, NEW = {"commit": "1" * 40, "dirty": False}, {"commit": "2" * 40, "dirty": True, "source": "abcdef123456"}
SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=130", "--set", "hidden=[]")
# One learner of each kind: lanes and stable-baselines3.
KINDS = {
    "stream_ac": {"hidden": ()},
    "sac1": {"hidden": (4,)},
}


def by(version: dict[str, object] | None) -> Options:
    return Options(checkpoint_seconds=ALWAYS, compiled=False, provenance={"git": version} if version else None)


def train(store: Store, run_: Run, version: dict[str, object] | None, stop: bool = False) -> None:
    """Train by a version of the code; with `stop`, no further than a checkpoint beyond the last one."""
    assert train_runs([run_], store, by(version), stop_after(2 if stop else 0)) == (STOPPED if stop else DONE)


def publish(store: Store, run_: Run, told: dict[str, object]) -> None:
    episodes = {"step": np.array([50]), "episodic_return": np.array([1.0]), "length": np.array([50])}
    store.publish(run_, {"episodes": episodes}, {"status": "finished", "steps": run_.steps, "diverged_at": None}, told)


# What a version is


def git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True)


def sources(folder: Path) -> None:
    for name in provenance.CODE:
        (folder / name).mkdir(parents=True)
        (folder / name / "module.py").write_text("x = 1\n")


def test_version_is_the_commit_and_changes_of_code_make_another(tmp_path):
    sources(tmp_path)
    (tmp_path / "README.md").write_text("one\n")
    alone = git_state(tmp_path)
    assert (alone["commit"], alone["dirty"]) == (None, None)

    git(tmp_path, "init")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    clean = git_state(tmp_path)
    assert len(clean["commit"]) == 40
    assert clean == {"commit": clean["commit"], "dirty": False, "source": alone["source"]}
    assert same_version(alone, clean), "its sources are the same"
    (tmp_path / "README.md").write_text("two\n")
    assert git_state(tmp_path) == clean, "results do not depend on it"

    found = [alone, clean]
    for path, text in (("module.py", "x = 2\n"), ("module.py", "x = 3\n"), ("not_added.py", "x = 1\n")):
        (tmp_path / "algorithms" / path).write_text(text)
        found.append(git_state(tmp_path))
        assert (found[-1]["commit"], found[-1]["dirty"]) == (clean["commit"], True)
    assert git_state(tmp_path) == found[-1]
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "second")
    found.append(git_state(tmp_path))
    assert len({version_name(version) for version in found}) == len(found)


@pytest.mark.parametrize("tracked", [False, True])
def test_commit_of_the_repository_that_a_wheel_was_installed_into_is_not_ours(tmp_path, tracked):
    packages = tmp_path / ".venv" / "site-packages"
    sources(packages)
    (tmp_path / "theirs.py").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", *(["."] if tracked else ["theirs.py"]))
    git(tmp_path, "commit", "-m", "theirs")
    installed = git_state(packages)
    assert (installed["commit"], installed["dirty"]) == (None, None)
    (packages / "algorithms" / "module.py").write_text("x = 2\n")
    edited = git_state(packages)
    assert not same_version(installed, edited), "an edited learner goes unnoticed"
    assert version_name(installed) != version_name(edited) == f"sources {edited['source']}"


def test_repository_in_our_own_folder_that_does_not_hold_our_files_is_not_ours(tmp_path):
    sources(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    git(tmp_path, "init")
    git(tmp_path, "add", "notes.txt")
    git(tmp_path, "commit", "-m", "notes")
    assert git_state(tmp_path)["commit"] is None


def test_versions_of_before_sources_were_always_recorded_keep_their_names():
    commit = "1234567" + "0" * 33
    assert version_name({"commit": commit, "dirty": False}) == "1234567"
    assert version_name({"commit": commit, "dirty": False, "source": "abc"}) == "1234567"
    assert version_name({"commit": commit, "dirty": True, "source": "abc"}) == "1234567 with changes abc"
    assert version_name(None) == version_name({"commit": None, "dirty": None}) == "unknown"
    assert same_version({"commit": commit, "dirty": False}, {"commit": commit, "dirty": False, "source": "abc"})
    assert not same_version({"commit": commit, "dirty": False}, {"commit": commit, "dirty": True, "source": "abc"})
    assert not same_version(None, None), "nobody knows"


def test_every_run_records_a_digest_of_our_sources_taken_once(store, monkeypatch):
    first = this_version()
    monkeypatch.setattr(provenance, "git_state", lambda root: pytest.fail("taken again"))
    told = provenance.provenance()["git"]
    assert told is first
    assert len(told["source"]) == 12


# What is recorded


@pytest.mark.parametrize("algorithm", KINDS)
def test_run_that_goes_on_under_another_version_lists_both(store, tmp_path, algorithm):
    run_ = make_run(algorithm=algorithm, **KINDS[algorithm])
    train(store, run_, OLD, stop=True)
    assert checkpoint.code_versions(store, run_.run_id) == [OLD]
    train(store, run_, NEW, stop=True)
    assert checkpoint.code_versions(store, run_.run_id) == [OLD, NEW]
    train(store, run_, NEW)
    told = store.provenance(run_.run_id)
    assert told["code"] == code_versions(told) == [OLD, NEW]
    assert told["git"] == NEW
    assert len(told["resumed_at"]) == 2

    alone = Store(tmp_path / "alone")
    train(alone, run_, NEW)
    assert "code" not in alone.provenance(run_.run_id)
    assert code_versions(alone.provenance(run_.run_id)) == [NEW]
    assert result_bytes(store, [run_]) == result_bytes(alone, [run_])


def test_versions_that_a_checkpoint_cannot_tell_count_as_unknown(store):
    run_ = make_run()
    train(store, run_, OLD, stop=True)
    for path in (store.checkpoints_path / run_.run_id).iterdir():
        path.write_bytes(bytes(path.stat().st_size))
    assert checkpoint.code_versions(store, run_.run_id) == [None]


def test_worker_records_the_code_that_it_runs_and_not_the_one_its_starter_saw(worker_factory, store):
    run_ = make_run(steps=64)
    assert worker_factory.train(store, [run_], Options(compiled=False, provenance={"git": OLD, "python": "3"})) == DONE
    told = store.provenance(run_.run_id)
    assert (told["git"], told["python"]) == (this_version(), "3")


# What is told


def test_other_versions_of_finished_runs_and_checkpoints_are_told_in_one_sentence(store, monkeypatch):
    runs = [make_run(seed=seed) for seed in range(6)]
    monkeypatch.setattr(provenance, "this_version", lambda: NEW)
    assert other_versions(store, runs) is None
    publish(store, runs[0], {"git": NEW})
    train(store, runs[1], NEW, stop=True)
    assert other_versions(store, runs) is None
    publish(store, runs[2], {"git": OLD})
    publish(store, runs[3], {"git": NEW, "code": [OLD, NEW]})
    publish(store, runs[4], {})
    train(store, runs[5], OLD, stop=True)
    assert other_versions(store, runs) == (
        "Made by other code than this, 2222222 with changes abcdef123456: 3 of 4 finished runs (1111111: 2, unknown: 1) and "
        "1 of 2 checkpoints to go on from (1111111: 1)."
    )
    assert other_versions(store, runs[:2]) is None


@pytest.mark.parametrize("words", [(), ("--dry-run",)])
def test_run_says_at_the_start_that_the_code_has_changed(store, capfd, monkeypatch, words):
    monkeypatch.setattr(run, "_report", lambda *_: None)
    runs = resolve_request("stream_barrier", "anchors", SMALL[4::2], 2).runs
    for run_ in runs:
        publish(store, run_, {"git": OLD})
    answer = ask(capfd, monkeypatch, "run", *SMALL, "--seeds", "2", "--store", str(store.root), *words)
    assert answer.code == 0
    assert f"Made by other code than this, {version_name(this_version())}: 2 of 2 finished runs (1111111: 2)." in answer.out


def test_manifest_counts_the_runs_of_every_version(store, tmp_path):
    runs = resolve_request("stream_barrier", "anchors", SMALL[4::2], 4).runs
    for run_, told in zip(runs, ({"git": OLD}, {"git": OLD}, {"git": NEW, "code": [OLD, NEW, OLD, NEW]}, {}), strict=True):
        publish(store, run_, told)
    settings = {"env_id": "Hopper-v4", "steps": 130, "hidden": ()}
    built = report.build(load_experiment("stream_barrier"), "anchors", store, tmp_path / "results", settings, 4)
    assert built.manifest["mixed_code"] is True
    assert built.manifest["code"] == [{**OLD, "runs": 3}, {**NEW, "runs": 1}, {"commit": None, "runs": 1}]
    assert json.loads((built.folder / "manifest.json").read_text())["code"] == built.manifest["code"]


# Trained again


def fresh(store: Store, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> Answer:
    monkeypatch.setattr(run, "_report", lambda *_: None)
    small = (*SMALL, "--seeds", "2", "--workers", "1", "--store", str(store.root))
    return ask(capfd, monkeypatch, "run", *small, "--fresh", *words)


def small_runs() -> list[Run]:
    return resolve_request("stream_barrier", "anchors", SMALL[4::2], 2).runs


def test_fresh_trains_again_what_other_code_made_and_nothing_else(store, capfd, monkeypatch):
    old, own = small_runs()
    publish(store, old, {"git": OLD})
    publish(store, own, {"git": this_version()})
    before = result_bytes(store, [old, own])
    planned = fresh(store, capfd, monkeypatch, "--dry-run")
    assert "1 finished or taken, 1 to train" in planned.out
    assert "1 finished run made by other code (1111111: 1) will be trained again; each stays until" in planned.out
    assert result_bytes(store, [old, own]) == before
    answer = fresh(store, capfd, monkeypatch)
    assert answer.code == 0, answer
    after = result_bytes(store, [old, own])
    assert after[own.run_id] == before[own.run_id]
    assert after[old.run_id] != before[old.run_id]
    assert same_version(code_versions(store.provenance(old.run_id))[-1], this_version())
    again = fresh(store, capfd, monkeypatch)
    assert again.code == 0
    assert "there is nothing to replace" in again.out
    assert result_bytes(store, [old, own]) == after


def test_fresh_training_that_is_stopped_leaves_the_old_result_and_goes_on(store):
    (old, _) = small_runs()
    publish(store, old, {"git": OLD})
    before = result_bytes(store, [old])
    asked = iter((False, True))
    options = replace(by(this_version()), again=True)
    assert train_runs([old], store, options, lambda: next(asked, True)) == STOPPED
    assert result_bytes(store, [old]) == before
    step = checkpoint.latest_step(store, old.run_id)
    assert step
    checkpoint.sweep(store)  # as every worker that starts
    assert checkpoint.latest_step(store, old.run_id) == step
    assert train_runs([old], store, options, lambda: False) == DONE
    assert store.provenance(old.run_id)["resumed_at"] == [step]


def test_fresh_training_does_not_go_on_from_where_other_code_came_to(store, capfd, monkeypatch):
    begun, _ = small_runs()
    train(store, begun, OLD, stop=True)
    assert fresh(store, capfd, monkeypatch).code == 0
    assert not store.provenance(begun.run_id).get("resumed_at")
