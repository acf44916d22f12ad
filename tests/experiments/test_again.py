"""Measurements that are taken anew: the old ones stay until there is a new one, however the taking ends."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from experiment_support import Answer, ask, in_child, snapshot

from experiments import executor, run
from experiments import store as store_module
from experiments.cli import resolve_request
from experiments.executor import Job
from experiments.plan import Group
from experiments.spec import Run
from experiments.store import Owner, Store
from experiments.worker import DONE, FAILED, Options, train_runs

WORDS = ("resource_cost", "--preset", "quick", "--set", "env_id=CartPole-v1", "--set", "algorithm=arithmetic")
WORDS = (*WORDS, "--set", "seconds=0.001", "--set", "steps=1")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    monkeypatch.setattr(run, "_report", lambda *_: None)
    return lambda *words: ask(capfd, monkeypatch, "run", *words)


def measured(store: Store) -> Run:
    """Return the run of a measurement that has been taken once."""
    (run_,) = resolve_request(WORDS[0], "quick", WORDS[4::2], None).runs
    publish(store, run_, 1.0)
    return run_


def publish(store: Store, run_: Run, value: float, **options: bool) -> bool:
    return store.publish(run_, {"times": {"value": np.array([value])}}, {"status": "finished"}, {}, **options)


def value(store: Store, run_: Run) -> float:
    return float(store.load(run_.run_id)[2]["times"]["value"][0].as_py())


def test_measurement_that_cannot_be_taken_anew_leaves_the_old_one(store, command, monkeypatch):
    run_ = measured(store)
    before = snapshot(store.finished_path)

    def fails(groups: Sequence[Group], store: Store, *_: object) -> list[Job]:
        assert run_.run_id in store.finished(), "deleted before there is another"
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "run_local", fails)
    assert command(*WORDS, "--store", str(store.root), "--again").code == 130
    assert snapshot(store.finished_path) == before


def test_measurement_taken_anew_takes_the_place_of_the_old_one(store, command):
    run_ = measured(store)
    answer = command(*WORDS, "--store", str(store.root), "--again")
    assert answer.code == 0, answer
    assert set(store.load(run_.run_id)[2]) == {"arithmetic"}
    assert [path.name for path in store.finished_path.iterdir()] == [run_.run_id]
    assert list((store.root / "tmp").iterdir()) == []


def test_failure_to_measure_anew_is_told_and_shown(store, command, capfd, monkeypatch):
    run_ = measured(store)
    before = snapshot(store.finished_path)
    monkeypatch.setattr(executor, "run_local", None)

    def inline(groups: Sequence[Group], store: Store, options: Options, *_: object) -> list[Job]:
        monkeypatch.setattr("experiments.training.resources.measure", broken)
        code = train_runs(groups[0].runs, store, options, lambda: False)
        assert code == FAILED
        return [Job(groups[0], state="failed")]

    def broken(*_: object) -> None:
        raise RuntimeError("the clock stands still")

    monkeypatch.setattr(run, "run_local", inline)
    answer = command(*WORDS, "--store", str(store.root), "--again")
    assert answer.code == 1, answer
    assert snapshot(store.finished_path) == before
    assert "the clock stands still" in store.failure(run_.run_id)
    told = ask(capfd, monkeypatch, "status", *WORDS, "--store", str(store.root))
    assert "1 failed: RuntimeError: the clock stands still" in told.out


@pytest.mark.parametrize("dies_after", [0, 1, 2])
def test_process_killed_while_it_replaces_a_result_leaves_the_old_or_the_new_one(store, monkeypatch, dies_after):
    run_ = measured(store)
    real, renamed = os.replace, 0

    def replace(source: str, target: str) -> None:
        nonlocal renamed
        if renamed == dies_after:
            os.kill(os.getpid(), signal.SIGKILL)
        real(source, target)
        renamed += 1

    def publish_and_die() -> None:
        monkeypatch.setattr(store_module.os, "replace", replace)
        publish(store, run_, 2.0, replace=True)
        os.kill(os.getpid(), signal.SIGKILL)

    assert in_child(publish_and_die) == -signal.SIGKILL
    store.sweep()
    assert store.finished() == {run_.run_id}
    assert value(store, run_) == (2.0 if dies_after == 2 else 1.0)
    assert [path.name for path in store.finished_path.iterdir()] == [run_.run_id]
    assert publish(store, run_, 3.0, replace=True)
    assert value(store, run_) == 3.0


def test_sweep_lets_a_living_process_replace_a_result(store):
    run_, owner = measured(store), Owner()
    assert store.claim(run_.run_id, owner, again=True)
    (store.finished_path / run_.run_id).rename(store.finished_path / f".{run_.run_id}.replaced")
    store.sweep()
    assert [path.name for path in store.finished_path.iterdir()] == [f".{run_.run_id}.replaced"]


def test_finished_run_is_claimed_only_to_be_taken_again(store):
    run_ = measured(store)
    assert not store.claim(run_.run_id, Owner())
    assert store.claim(run_.run_id, Owner(), again=True)
    assert not publish(store, run_, 2.0)
    assert value(store, run_) == 1.0


def test_worker_measures_anew_only_when_asked(store):
    run_ = measured(store)
    assert train_runs([run_], store, Options(), lambda: False) == DONE
    assert value(store, run_) == 1.0
    assert train_runs([run_], store, Options(again=True), lambda: False) == DONE
    assert "times" not in store.load(run_.run_id)[2]
