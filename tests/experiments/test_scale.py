"""A store of many finished runs is planned, shown and read quickly: what that rests on. `results/large_store` has the times."""

from __future__ import annotations

import dataclasses
import pkgutil
import threading
import time

import numpy as np
import pytest
from experiment_support import make_run, python

from experiments import registry
from experiments.cli import resolve_request
from experiments.errors import UserError
from experiments.store import AHEAD, SAMPLE, Store, read_each

HEAVY = ("torch", "stable_baselines3", "gymnasium", "mujoco", "pandas", "pyarrow", "numpy")
# All kinds of learners: lanes, one-sample forms in lanes, stable-baselines3.
REQUEST = ("stream_barrier", "--preset", "laptop", "--seeds", "1")


def publish_all() -> int:
    runs = resolve_request(REQUEST[0], REQUEST[2], (), 1).runs
    for run in runs:
        episodes = {"step": np.array([50]), "episodic_return": np.array([1.0]), "length": np.array([50])}
        Store("runs").publish(run, {"episodes": episodes}, {"status": "finished", "steps": run.steps, "diverged_at": None}, {})
    return len(runs)


def said(module: str, *words: str) -> str:
    """Return what a command says in a process of its own, with a last line that tells which heavy packages it imported."""
    code = (
        f"import sys; sys.argv = {['module', *REQUEST, *words]!r}\n"
        f"from experiments.{module} import app\n"
        "try: app()\n"
        f"finally: print('imported', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    answer = python("-c", code)
    assert answer.code == 0, answer
    return answer.out


def test_finished_experiment_is_planned_without_a_learner_or_a_table():
    number = publish_all()
    out = said("run", "--dry-run")
    assert f"{number} finished or taken, 0 to train" in out
    assert "imported []" in out


def test_experiment_is_shown_without_a_learner_or_a_table():
    assert "imported []" in said("status")
    number = publish_all()
    out = said("status")
    assert ["all", str(number), "0", "0", "0"] in [line.split() for line in out.splitlines()]
    assert "imported []" in out


@pytest.mark.parametrize("wait", [0.0, 0.002], ids=["cached", "slow disk"])
@pytest.mark.parametrize("number", [0, 1, SAMPLE, SAMPLE + 1, SAMPLE + AHEAD + 3])
def test_many_runs_are_read_in_the_order_asked_for_by_threads_where_they_wait(wait, number):
    wanted, threads = [f"run {n}" for n in reversed(range(number))], set()

    def read(run_id: str) -> str:
        threads.add(threading.get_ident())
        time.sleep(wait)
        return run_id.upper()

    assert list(read_each(read, wanted)) == [run_id.upper() for run_id in wanted]
    if wait and number > SAMPLE + 1:
        assert len(threads) > 2


def test_run_that_cannot_be_read_is_told_by_whoever_asks_for_many():
    def read(run_id: str) -> str:
        time.sleep(0.001)
        if run_id == "150":
            raise UserError("150 is damaged")
        return run_id

    reading = read_each(read, [str(n) for n in range(300)])
    assert [next(reading) for _ in range(150)] == [str(n) for n in range(150)]
    with pytest.raises(UserError, match="150 is damaged"):
        next(reading)


def test_provenances_of_many_runs_are_those_of_each():
    store, runs = Store("runs"), [make_run(seed=seed) for seed in range(3)]
    for run in runs:
        store.publish(run, {}, {"status": "finished", "steps": run.steps, "diverged_at": None}, {"lanes": run.seed})
    wanted = [*(run.run_id for run in reversed(runs)), "nowhere"]
    assert [told.get("lanes") for told in store.provenances(wanted)] == [2, 1, 0, None]


LEARNERS = {name: path for name, record in registry.learners().items() if (path := record.learner or record.lanes)}


@pytest.mark.parametrize("algorithm", LEARNERS)
def test_learner_inherits_the_hyperparameters_that_runs_are_resolved_with(algorithm):
    learner, known = pkgutil.resolve_name(LEARNERS[algorithm]), registry.algorithm(algorithm).settings
    assert issubclass(learner, known)
    theirs = {field.name: (field.default, field.metadata) for field in dataclasses.fields(learner)}
    ours = {field.name: (field.default, field.metadata) for field in dataclasses.fields(known)}
    assert {name: theirs[name] for name in ours} == ours
    # The length of a run is told by the run itself.
    assert theirs.keys() - ours.keys() <= {"run_steps"}


def test_streaming_learner_that_is_its_own_hyperparameters_needs_one_record(monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Mine:
        gamma: float = 0.9

    monkeypatch.setitem(registry.ALGORITHMS, "mine", registry.Algorithm("Mine", Mine, registry.REINFORCEMENT, ("vector",)))
    run = dataclasses.replace(make_run(), algorithm="mine", hyperparameters=(("gamma", 0.5),))
    assert registry.loop_of(run).lanes
    assert registry.make_learner(run) == Mine(0.5)


@pytest.mark.parametrize("name", registry.learners())
def test_every_record_says_what_its_learner_gives_and_names_a_loop_there_is(name):
    record = registry.algorithm(name)
    assert record.gives
    assert callable(record.loop.function())
