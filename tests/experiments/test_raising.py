"""Environments that raise: their own run fails with its traceback, and its neighbours end as they would alone."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from experiment_support import ALWAYS, bytes_alone, eager, make_run, result_bytes, stop_after

from algorithms.agent import Info, LabelledSpaces, NoiseSpec, Sample, State
from experiments import checkpoint
from experiments.environments import Environment
from experiments.executor import run_local
from experiments.plan import Group
from experiments.spec import Run
from experiments.store import Owner, Store
from experiments.training import supervised
from experiments.training.context import Context
from experiments.worker import DONE, FAILED, STOPPED, train_runs

RUNS = tuple(make_run(seed=seed, steps=300) for seed in range(3))
BAD = RUNS[1]
SOUND = (RUNS[0], RUNS[2])
BATCH = make_run(steps=300, algorithm="ppo", hidden=(4,), rollout_steps=64, minibatch_size=32, epochs=1)


def raise_error() -> None:
    raise RuntimeError("the robot fell off the table")


def leave() -> None:
    sys.exit(0)


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that breaks a method of the environment of one seed, from so many calls on."""

    def break_(method: str, how: Callable[[], None], seed: int = BAD.seed, after: int = 0) -> None:
        real, calls = getattr(Environment, method), 0

        def broken_method(self: Environment, *arguments: Any, **keywords: Any) -> Any:
            nonlocal calls
            if (arguments[1] if method == "__init__" else self._seed) == seed:
                calls += 1
                if calls > after:
                    how()
            return real(self, *arguments, **keywords)

        monkeypatch.setattr(Environment, method, broken_method)

    return break_


def only_the_bad_one_failed(store: Store, runs: Sequence[Run] = SOUND) -> None:
    assert result_bytes(store, runs) == {run.run_id: bytes_alone((run,))[run.run_id] for run in runs}
    assert store.failures() == {BAD.run_id}
    assert store.claimed() == set()


@pytest.mark.parametrize(
    ("method", "after", "how"),
    [
        ("__init__", 0, raise_error),
        ("reset", 0, leave),
        ("reset", 3, raise_error),
        ("step", 0, raise_error),
        ("step", 200, leave),
    ],
)
def test_raising_environment_fails_its_own_run_and_no_other(store, broken, capfd, how, method, after):
    for run in SOUND:
        bytes_alone((run,))  # before anything is broken
    broken(method, how, after=after)
    assert train_runs(RUNS, store, eager(), lambda: False) == FAILED
    only_the_bad_one_failed(store)
    said = "RuntimeError: the robot fell off the table" if how is raise_error else "SystemExit: 0"
    assert store.failure(BAD.run_id).startswith("Traceback")
    assert store.failure(BAD.run_id).endswith(f"{said}\n")
    assert capfd.readouterr().err.strip().splitlines()[-1] == f"1 of 3 runs failed, the first with {said}"


def test_run_that_failed_keeps_its_checkpoint_and_goes_on_from_it_when_the_environment_is_mended(store, broken, monkeypatch):
    bytes_alone(RUNS)
    with monkeypatch.context() as patch:
        real = Environment.step
        broken("step", raise_error, after=250)
        assert train_runs(RUNS, store, eager(ALWAYS), lambda: False) == FAILED
        patch.setattr(Environment, "step", real)
    monkeypatch.setattr(Environment, "step", real)
    assert 0 < checkpoint.latest_step(store, BAD.run_id) < 250
    store.forgive(BAD.run_id)
    assert train_runs(RUNS, store, eager(), lambda: False) == DONE
    assert result_bytes(store, RUNS) == bytes_alone(RUNS)
    assert store.provenance(BAD.run_id)["resumed_at"]


@pytest.mark.parametrize("method", ["set_state", "get_state"])
def test_environment_that_can_be_neither_saved_nor_restored_costs_its_neighbours_nothing(store, broken, method):
    for run in SOUND:
        bytes_alone((run,))
    if method == "get_state":
        broken(method, raise_error)
    assert train_runs(RUNS, store, eager(ALWAYS), stop_after(3)) == STOPPED
    if method == "set_state":
        broken(method, raise_error)
    code = train_runs(RUNS if method == "set_state" else SOUND, store, eager(), lambda: False)
    assert code == (FAILED if method == "set_state" else DONE)
    only_the_bad_one_failed(store)
    assert all(store.provenance(run.run_id)["resumed_at"] for run in SOUND)


def test_all_environments_may_raise(store, broken):
    for run in RUNS:
        broken("step", raise_error, seed=run.seed, after=10 + run.seed)
    assert train_runs(RUNS, store, eager(), lambda: False) == FAILED
    assert store.failures() == {run.run_id for run in RUNS}
    assert store.finished() == store.claimed() == set()


@pytest.mark.parametrize("how", [raise_error, leave])
def test_environment_of_a_batch_learner_that_raises_fails_its_run(store, broken, how):
    broken("step", how, seed=BATCH.seed, after=100)
    assert train_runs([BATCH], store, eager(), lambda: False) == FAILED
    assert store.failures() == {BATCH.run_id}
    assert store.finished() == store.claimed() == set()


# Streams of labelled samples


class Samples:
    """Random samples; those of seed 1 end in the third block."""

    spaces = LabelledSpaces((2,), classes=2)

    def __init__(self, seed: int):
        self._seed = seed

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        if self._seed == 1 and first >= 2048:
            raise RuntimeError("the label is unreadable")
        x = np.random.default_rng((self._seed, first)).normal(size=(count, 2)).astype(np.float32)
        return x, (x[:, 0] > 0).astype(np.int64)


class Perceptron:
    """A learner of two weights."""

    def noise(self, spaces: LabelledSpaces) -> NoiseSpec:
        return NoiseSpec("normal", ())

    def init(self, generator: torch.Generator, spaces: LabelledSpaces) -> State:
        return {"w": torch.zeros(2)}

    def step(self, state: State, sample: Sample) -> tuple[State, Info]:
        error = sample.y - torch.sigmoid((state["w"] * sample.x).sum())
        return {"w": state["w"] + 0.1 * error * sample.x}, {"loss": error.square()}


def test_raising_stream_of_samples_fails_its_own_run_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(supervised, "make_learner", lambda run: Perceptron())
    monkeypatch.setattr(supervised.families, "make", lambda env_id, options, seed: Samples(seed))
    runs = [make_run(seed=seed, steps=2100) for seed in range(3)]
    found = []
    for number, members in enumerate((runs, [runs[0], runs[2]])):
        store, owner = Store(tmp_path / str(number)), Owner()
        context = Context(store, owner, compiled=False, claimed=[run.run_id for run in members])
        for run in members:
            store.claim(run.run_id, owner)
        supervised.train(members, context)
        assert store.finished() == {runs[0].run_id, runs[2].run_id}
        found.append(result_bytes(store, [runs[0], runs[2]]))
        assert list(context.failed) == ([runs[1].run_id] if len(members) == 3 else [])
        assert store.failures() == set(context.failed)
    assert found[0] == found[1]


# Whole commands


def test_environment_that_ends_the_process_does_not_pass_for_done(store, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "import os\nfrom experiments.environments import Environment\nEnvironment.step = lambda *_: os._exit(0)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ['PYTHONPATH']}")
    (job,) = run_local([Group((BAD,), 1000.0, BAD.steps)], store, eager(), workers=1)
    assert job.state == "failed"
    assert "died twice, the second time by exit code 0" in store.failure(BAD.run_id)
