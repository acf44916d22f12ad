"""Exit 0 means: all that was asked for is finished, or another living process holds it, which is said. Nothing else does."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from experiment_support import ALWAYS, Answer, ask, bytes_alone, eager, make_run, result_bytes

from experiments import checkpoint, run
from experiments.cli import resolve_request
from experiments.executor import Job, run_local
from experiments.plan import Group
from experiments.spec import Run
from experiments.store import Owner, Store, process_identity
from experiments.training.context import Interrupted
from experiments.worker import DONE, FAILED, HELD, STOPPED, STORE_UNWRITABLE, train_runs

SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=300", "--set", "hidden=[]")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, store: Store) -> Callable[..., Answer]:
    monkeypatch.setattr(run, "_report", lambda *_: None)
    return lambda module, *words: ask(capfd, monkeypatch, module, *SMALL, "--store", str(store.root), *words)


def small_runs(seeds: int) -> list[Run]:
    return resolve_request("stream_barrier", "anchors", SMALL[4::2], seeds).runs


def publish(store: Store, run_: Run) -> None:
    episodes = {"step": np.array([50]), "episodic_return": np.array([1.0]), "length": np.array([50])}
    store.publish(run_, {"episodes": episodes}, {"status": "finished", "steps": run_.steps}, {})


@pytest.fixture(autouse=True)
def ctrl_c_is_heard() -> Iterator[None]:
    """Whoever starts the tests in the background may have had them ignore Ctrl-C, which they send to themselves."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def ctrl_c(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(10)


# Commands


@pytest.mark.parametrize("place", ["plan", "_train", "_report", "missing_runs"])
def test_command_ended_by_ctrl_c_exits_with_130(command, store, monkeypatch, place):
    runs = small_runs(2)
    publish(store, runs[0])
    if place == "_report":
        publish(store, runs[1])
    with monkeypatch.context() as patch:
        patch.setattr(run, place, ctrl_c)
        patch.setattr(run, "_report", ctrl_c)
        assert command("run", "--seeds", "2").code == 130


def test_status_ended_by_ctrl_c_exits_with_130(command, monkeypatch):
    monkeypatch.setattr("experiments.status.queued", ctrl_c)
    assert command("status").code == 130


Begin = Callable[[Store, Run], None]


def finish(store: Store, run_: Run) -> None:
    publish(store, run_)


def hold(store: Store, run_: Run) -> None:
    assert store.claim(run_.run_id, Owner())


def fail(store: Store, run_: Run) -> None:
    store.fail(run_.run_id, "RuntimeError: before\n")


def leave(store: Store, run_: Run) -> None: ...


def trained(groups: Sequence[Group], store: Store, *_: object) -> list[Job]:
    for group in groups:
        for run_ in group.runs:
            publish(store, run_)
    return [Job(group, "done") for group in groups]


def stopped(groups: Sequence[Group], *_: object) -> list[Job]:
    return [Job(group, "stopped") for group in groups]


def broken(groups: Sequence[Group], *_: object) -> list[Job]:
    return [Job(group, "failed") for group in groups]


def one_failed_and_its_group_went_on(groups: Sequence[Group], store: Store, *_: object) -> list[Job]:
    fail(store, groups[0].runs[0])
    return [Job(groups[0], "done")]


def taken_by_another(groups: Sequence[Group], store: Store, *_: object) -> list[Job]:
    for group in groups:
        for run_ in group.runs:
            hold(store, run_)
    return [Job(group, "held") for group in groups]


# What two runs are when the command is started, how training ends, and what the command has to answer.
ANSWERS = [
    ((finish, finish), None, 0, "0 to train"),
    ((finish, hold), None, 0, "1 run is being trained by process"),
    ((hold, hold), None, 0, "nothing to do here"),
    ((finish, fail), None, 1, "1 run failed"),
    ((hold, fail), None, 1, "1 run failed"),
    ((finish, leave), trained, 0, "1 to train"),
    ((hold, leave), trained, 0, "being trained by process"),
    ((fail, leave), trained, 1, "1 run failed"),
    ((finish, leave), stopped, 130, "asked to stop"),
    ((finish, leave), broken, 1, "1 run failed"),
    ((leave, finish), one_failed_and_its_group_went_on, 1, "1 run failed"),
    ((finish, leave), taken_by_another, 0, "being trained by process"),
]


@pytest.mark.parametrize(("begun", "training", "code", "said"), ANSWERS)
def test_command_exits_with_0_only_when_all_is_finished_or_held(command, store, monkeypatch, begun, training, code, said):
    for begin, run_ in zip(begun, small_runs(2), strict=True):
        begin(store, run_)
    monkeypatch.setattr(run, "run_local", training)
    answer = command("run", "--seeds", "2")
    assert answer.code == code, answer
    assert said in answer.out


def test_run_that_its_holder_gives_up_while_others_are_trained_is_trained_as_well(command, store, monkeypatch):
    runs = small_runs(2)
    owner = Owner()
    store.claim(runs[0].run_id, owner)

    def train(groups: Sequence[Group], store: Store, *_: object) -> list[Job]:
        store.release(runs[0].run_id, owner)
        return trained(groups, store)

    monkeypatch.setattr(run, "run_local", train)
    answer = command("run", "--seeds", "2")
    assert answer.code == 0
    assert store.finished() == {run_.run_id for run_ in runs}
    assert "1 run is trained here now that others have given up" in answer.out


def test_command_that_meets_a_dying_orphan_waits_for_it_and_goes_on_from_its_checkpoint(command, store, worker_factory):
    runs = tuple(small_runs(2))
    worker = worker_factory.start(store, runs, eager(ALWAYS))
    worker.until(lambda: all(checkpoint.latest_step(store, run_.run_id) for run_ in runs))
    worker.signal(signal.SIGSTOP)
    assert store.claimant(runs[0].run_id)["dying"] is False
    worker_factory.kill()
    assert store.claimant(runs[0].run_id)["dying"] is True
    thread = threading.Timer(1.0, worker.signal, [signal.SIGCONT])
    thread.start()
    answer = command("run", "--seeds", "2", "--workers", "1", "--lanes", "2")
    thread.join()
    assert answer.code == 0, answer
    assert "left behind by an earlier command, to stop" in answer.out
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert store.provenance(runs[0].run_id)["resumed_at"]


# Workers


def interrupt(*_: object) -> None:
    raise Interrupted


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


def error(*_: object) -> None:
    raise RuntimeError("for a reason")


def exit_(*_: object) -> None:
    sys.exit(0)


@pytest.mark.parametrize(
    ("begun", "loop", "code"),
    [
        ((finish, finish), None, DONE),
        ((finish, hold), None, HELD),
        ((hold, hold), None, HELD),
        ((leave, hold), lambda runs, context: [publish(context.store, run_) for run_ in runs], HELD),
        ((leave, finish), lambda runs, context: [publish(context.store, run_) for run_ in runs], DONE),
        ((leave, leave), lambda runs, context: context.fail(runs[0], RuntimeError("one of two")), FAILED),
        ((leave, leave), interrupt, STOPPED),
        ((leave, leave), no_space, STORE_UNWRITABLE),
        ((leave, leave), error, FAILED),
        ((leave, leave), exit_, FAILED),
    ],
)
def test_worker_exits_with_0_only_when_all_its_runs_are_finished(store, monkeypatch, begun, loop, code):
    runs = [make_run(seed=seed) for seed in range(2)]
    for begin, run_ in zip(begun, runs, strict=True):
        begin(store, run_)
    monkeypatch.setattr("experiments.training.reinforcement.train", loop)
    assert train_runs(runs, store, eager(), lambda: False) == code
    assert bool(store.failures()) == (code == FAILED)


def start_worker(store: Store, parent: int, given: bytes) -> int:
    words = [sys.executable, "-W", "ignore", "-m", "experiments.worker", str(store.root), str(parent)]
    return subprocess.run(words, input=given, capture_output=True, timeout=120).returncode


def test_worker_whose_parent_died_while_it_started_trains_nothing(store):
    gone = subprocess.Popen(["true"])
    gone.wait()
    run_ = make_run()
    assert start_worker(store, gone.pid, pickle.dumps(((run_,), eager()))) == STOPPED
    assert start_worker(store, os.getpid(), pickle.dumps(((run_,), eager()))[:50]) == STOPPED
    assert start_worker(store, os.getpid(), b"") == STOPPED
    assert store.finished() == store.claimed() == store.failures() == set()
    assert start_worker(store, os.getpid(), pickle.dumps(((run_,), eager()))) == DONE
    assert store.finished() == {run_.run_id}


# The executor


def test_group_held_by_another_worker_is_left_to_it_and_taken_up_where_it_gives_it_up(store):
    runs = tuple(make_run(seed=seed) for seed in range(2))
    gone = subprocess.Popen(["true"])
    gone.wait()
    owner, starts = Owner(parent=gone.pid), 0  # about to stop

    def watch(jobs: Sequence[Job]) -> None:
        nonlocal starts
        (job,) = jobs
        if job.starts == 1 and job.process is not None and job.process.poll() == HELD:
            store.release(runs[0].run_id, owner)
        starts = job.starts

    store.claim(runs[0].run_id, owner)
    (job,) = run_local([Group(runs, 1000.0, 400)], store, eager(), workers=1, watch=watch)
    assert (job.state, starts) == ("done", 2)
    assert store.finished() == {run_.run_id for run_ in runs}

    other = make_run(seed=7)
    store.claim(other.run_id, Owner())
    (job,) = run_local([Group((other,), 1000.0, 200)], store, eager(), workers=1)
    assert job.state == "held"
    assert f"1 of 1 run is being trained by process {os.getpid()} on" in job.message
    assert process_identity(os.getpid())
