"""Who owns a run: clocks that jump, hosts and containers that share a store, and owners that were taken for dead and wake."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment_support import (
    ALWAYS,
    NEVER,
    bytes_alone,
    eager,
    make_run,
    result_bytes,
    snapshot,
    stop_after,
    wait_until,
)

from experiments import checkpoint
from experiments import store as store_module
from experiments.spec import Run
from experiments.store import STALE_AFTER_SECONDS, Owner, Store, process_identity
from experiments.training import batch
from experiments.training.context import ClaimLost, Context
from experiments.worker import DONE, FAILED, HELD, train_runs

FORK = multiprocessing.get_context("fork")
RUNS = tuple(make_run(seed=seed, steps=400) for seed in range(2))


# Clocks


def beat_on_another_host(store: Store, run_id: str) -> None:
    socket.gethostname = lambda: "another"  # type: ignore[assignment]
    owner = Owner()
    store.claim(run_id, owner)
    while True:
        store.beat(owner, {"step": 64})
        time.sleep(0.02)


@pytest.fixture
def owner_elsewhere(store: Store) -> Iterator[multiprocessing.context.ForkProcess]:
    process = FORK.Process(target=beat_on_another_host, args=(store, "run"))
    process.start()
    wait_until(lambda: store.claimant("run") and list(store.claims_path.glob(".heartbeat.*")))
    yield process
    process.kill()
    process.join()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that sets the clock of this process forward by so many seconds, or back."""
    real = time.time

    def turn(seconds: float) -> None:
        monkeypatch.setattr(store_module.time, "time", lambda: real() + seconds)

    return turn


@pytest.mark.parametrize("back", [60.0, 86_400.0])
def test_clock_set_back_neither_takes_a_run_from_the_living_nor_keeps_it_for_the_dead(store, owner_elsewhere, clock, back):
    clock(-back)
    (beat,) = store.claims_path.glob(".heartbeat.*")
    for _ in range(3):  # looked at between two beats and after the next one
        before = beat.stat().st_mtime_ns
        assert not store.claim("run", Owner())
        wait_until(lambda before=before: beat.stat().st_mtime_ns != before)
    owner_elsewhere.kill()
    owner_elsewhere.join()
    assert not store.claim("run", Owner()), "it cannot be known yet"
    clock(-back + 2 * STALE_AFTER_SECONDS + 1)
    assert store.claim("run", Owner())


def test_claim_without_a_heartbeat_from_a_time_to_come_is_given_up_after_a_while(store, clock):
    store.claim("run", Owner())
    path = store.claims_path / "run"
    path.write_text(json.dumps({**json.loads(path.read_text()), "host": "another", "since": time.time() + 86_400}))
    assert not store.claimant("run")["alive"], "nobody would try to claim it"
    assert not store.claim("run", Owner())
    clock(STALE_AFTER_SECONDS + 1)
    assert store.claim("run", Owner())


# Two hosts


class Host:
    """A worker under another host name, on the same file system."""

    def __init__(self, name: str, store: Store, runs: Sequence[Run]):
        train = (sys.executable, "-W", "ignore", "-m", "experiments.worker")
        self._process = subprocess.Popen(
            [*["unshare", "--uts", "sh", "-c"], 'hostname "$0" && exec "$@"', name, *train, str(store.root)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(pickle.dumps((tuple(runs), eager(ALWAYS))))
        self._process.stdin.close()
        self._process.stdin = None  # communicate would flush it
        self.pid = self._process.pid
        self.signal = self._process.send_signal
        self.poll = self._process.poll
        self.kill = self._process.kill

    def wait(self) -> tuple[int, str]:
        """Return exit code and what it said."""
        said = self._process.communicate(timeout=300)[1].decode()
        return self._process.returncode, said


@pytest.fixture
def host(store: Store) -> Iterator[Callable[[str, Sequence[Run]], Host]]:
    if subprocess.run(["unshare", "--uts", "true"], capture_output=True).returncode:
        pytest.skip("this user may not give a process another host name")
    hosts: list[Host] = []

    def start(name: str, runs: Sequence[Run]) -> Host:
        hosts.append(Host(name, store, runs))
        return hosts[-1]

    yield start
    for started in hosts:
        started.kill()


def beating_host(store: Store, run_id: str) -> str | None:
    """Return which host trains a run, once its first heartbeat was heard."""
    holder = store.claimant(run_id) or {}
    return holder["host"] if "step" in holder else None


@pytest.mark.parametrize(
    "comes_back", ["while the other trains", pytest.param("after the other has published", marks=pytest.mark.slow)]
)
def test_of_two_hosts_one_trains_and_when_taken_for_dead_it_stops(store, host, comes_back):
    runs = RUNS
    racing = {name: host(name, runs) for name in ("one", "two")}
    wait_until(lambda: all(checkpoint.latest_step(store, run_.run_id) for run_ in runs), pause=0.001)
    owner = store.claimant(runs[0].run_id)
    first, loser = racing.pop(owner["host"]), *racing.values()
    first.signal(signal.SIGSTOP)
    assert loser.wait() == (HELD, "")
    assert [store.claimant(run_.run_id)["owner"] for run_ in runs] == [owner["owner"]] * 2

    beat = store.claims_path / f".heartbeat.{owner['owner']}"
    os.utime(beat, (time.time() - STALE_AFTER_SECONDS - 1,) * 2)
    second = host("three", runs)
    # Its first heartbeat follows its last claim: stopped while it claims, it would hold the lock that the first needs to go.
    for run_ in runs:
        wait_until(lambda id_=run_.run_id: beating_host(store, id_) == "three", pause=0.001)
    if comes_back == "while the other trains":
        second.signal(signal.SIGSTOP)
        kept = sorted(path.name for path in store.checkpoints_path.rglob("*.ckpt"))
    else:
        assert second.wait() == (DONE, "")
        published = store.provenance(runs[0].run_id)
    first.signal(signal.SIGCONT)
    code, said = first.wait()
    assert (code, said.count("\n")) == (HELD, 1)
    assert "was taken over" in said
    if comes_back == "while the other trains":
        assert sorted(path.name for path in store.checkpoints_path.rglob("*.ckpt")) == kept
        assert store.claimant(runs[0].run_id)["host"] == "three"
        second.signal(signal.SIGCONT)
        assert second.wait() == (DONE, "")
    else:
        assert store.provenance(runs[0].run_id) == published
    assert store.failures() == set()
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert [path.name for path in store.claims_path.iterdir()] == [".lock"]


# Containers: one host name, other processes


CLAIM_AND_BEAT = """
import sys, time
from experiments.store import Owner, Store
store, owner = Store(sys.argv[1]), Owner()
store.claim("run", owner)
while True:
    store.beat(owner, {"step": 64})
    time.sleep(0.02)
"""


@pytest.fixture
def owner_in_a_container(store: Store) -> Iterator[subprocess.Popen[bytes]]:
    """Start an owner that has other numbers of processes, under the same host name, and beats."""
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    if subprocess.run([*unshare, "true"], capture_output=True).returncode:
        pytest.skip("this user may not give a process other numbers of processes (unshare --pid)")
    process = subprocess.Popen([*unshare, sys.executable, "-c", CLAIM_AND_BEAT, str(store.root)])
    wait_until(lambda: (store.claimant("run") or {}).get("step"))
    yield process
    process.kill()
    process.wait()


def test_living_owner_in_another_container_of_the_same_name_is_not_robbed(store, owner_in_a_container):
    holder = store.claimant("run")
    assert holder["host"] == socket.gethostname()
    assert holder["process"] != process_identity(holder["pid"]), "its number of process means something here"
    assert not store.claim("run", Owner())
    owner_in_a_container.kill()  # and unshare its child
    owner_in_a_container.wait()
    (beat,) = store.claims_path.glob(".heartbeat.*")
    assert not store.claim("run", Owner()), "it cannot be known yet"
    os.utime(beat, (time.time() - STALE_AFTER_SECONDS - 1,) * 2)
    assert store.claim("run", Owner())


def rewrite(store: Store, run_id: str, **changes: Any) -> None:
    path = store.claims_path / run_id
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_owner_that_went_down_with_its_host_is_dead_once_it_has_been_silent_since(store, monkeypatch):
    owner = Owner()
    store.claim("run", owner)
    store.beat(owner, {"step": 64})
    rewrite(store, "run", boot="before")
    (beat,) = store.claims_path.glob(".heartbeat.*")
    os.utime(beat, (time.time() - 200,) * 2)
    real = Path.read_text
    for up, alive in ((1000.0, True), (100.0, False)):  # started after it was heard of, or long before: then it is another host
        text = f"{up} 1.0\n"
        monkeypatch.setattr(Path, "read_text", lambda self, t=text: t if str(self) == "/proc/uptime" else real(self))
        assert store.claimant("run")["alive"] is alive
    os.utime(beat)
    assert store.claimant("run")["alive"], "a fresh heartbeat is believed"


def test_claim_of_before_places_were_recorded_is_judged_by_its_process(store):
    store.claim("run", Owner())
    path = store.claims_path / "run"
    claim = {
        key: value for key, value in json.loads(path.read_text()).items() if key not in ("boot", "pid_namespace", "parent")
    }
    path.write_text(json.dumps(claim))
    assert store.claimant("run")["alive"]
    path.write_text(json.dumps({**claim, "process": f"{os.getpid()}@1"}))
    assert not store.claimant("run")["alive"]


# Owners that were taken for dead


def test_owner_that_was_taken_for_dead_neither_beats_nor_saves(store):
    owner, other = Owner(), Owner()
    context = Context(store, owner, claimed=["kept", "lost"])
    for run_id in context.claimed:
        store.claim(run_id, owner)
    context.beat(64, 1.0, None, force=True)
    context.save("lost", 64, {}, {})
    store.release("lost", owner)
    store.claim("lost", other)
    before = snapshot(store.root)
    with pytest.raises(ClaimLost, match=r"lost was taken over"):
        context.beat(128, 1.0, None, force=True)
    with pytest.raises(ClaimLost, match=r"lost was taken over"):
        context.save("lost", 128, {}, {})
    assert snapshot(store.root) == before


def test_worker_that_raises_after_it_was_taken_for_dead_does_not_fail_the_run_of_the_other(store):
    runs = RUNS[:1]

    def lose_and_raise() -> None:
        path = store.claims_path / runs[0].run_id
        path.write_text(json.dumps({**json.loads(path.read_text()), "owner": "another"}))
        raise RuntimeError("for a reason")

    assert train_runs(runs, store, eager(NEVER), stop_after(1, lose_and_raise)) == FAILED
    assert store.failures() == set()


def test_owner_that_wakes_from_a_hung_disk_leaves_its_successors_checkpoints_alone(store):
    owner, successor = Owner(), Owner()
    context = Context(store, owner, claimed=["run"])
    store.claim("run", owner)
    store.release("run", owner)
    store.claim("run", successor)  # that took it for dead
    checkpoint.save(store, "run", 64, {}, {"of": "the successor"})
    context.discard_checkpoints("run")
    assert checkpoint.latest_step(store, "run") == 64
    Context(store, successor, claimed=["run"]).discard_checkpoints("run")
    assert checkpoint.latest_step(store, "run") == 0


def test_batch_learner_that_was_taken_over_before_it_began_leaves_its_successors_checkpoints_alone(store, monkeypatch):
    run_ = make_run(steps=2000, algorithm="ppo", hidden=(8, 8), rollout_steps=64, minibatch_size=32, epochs=1)
    owner, successor = Owner(), Owner()
    store.claim(run_.run_id, owner)
    real = batch.Stream

    def hang_and_wake(run: Run) -> batch.Stream:
        store.release(run.run_id, owner)
        store.claim(run.run_id, successor)
        checkpoint.save(store, run.run_id, 64, {"packages": "of the successor"}, {})
        return real(run)

    monkeypatch.setattr(batch, "Stream", hang_and_wake)
    with pytest.raises(ClaimLost):
        batch.train([run_], Context(store, owner, claimed=[run_.run_id], checkpoint_seconds=ALWAYS))
    assert checkpoint.latest_step(store, run_.run_id) == 64
