"""Full and read-only disks, damaged files, clocks that jump, hosts that meet: no run is lost, and every result is the same."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from experiment_support import (
    ALWAYS,
    NEVER,
    Answer,
    ask,
    bytes_alone,
    eager,
    make_run,
    one_sentence,
    remount,
    result_bytes,
    snapshot,
    wait_until,
)

from experiments import checkpoint, run
from experiments import store as store_module
from experiments.cli import resolve_request
from experiments.spec import Run
from experiments.store import STALE_AFTER_SECONDS, Owner, Store, process_identity
from experiments.training.context import ClaimLost, Context
from experiments.worker import DONE, FAILED, STOPPED, STORE_UNWRITABLE, train_runs

FORK = multiprocessing.get_context("fork")
PPO = {"hidden": (8, 8), "rollout_steps": 64, "minibatch_size": 32, "epochs": 1}
KINDS = {
    "lanes": tuple(make_run(seed=seed, steps=400) for seed in range(2)),
    "stable-baselines3": (make_run(steps=2000, algorithm="ppo", **PPO),),
}
SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=130", "--set", "hidden=[]")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    return lambda module, *words: ask(capfd, monkeypatch, module, *words)


def stop_after(asked: int, then: Callable[[], Any] = lambda: True) -> Callable[[], bool]:
    """Return a `stop_requested` that does something when it is asked for the n-th time, counted from 1."""
    count = 0

    def stop_requested() -> bool:
        nonlocal count
        count += 1
        return bool(count == asked and then())

    return stop_requested


def stopped_with_two_checkpoints(store: Store, runs: Sequence[Run]) -> None:
    assert train_runs(runs, store, eager(ALWAYS), stop_after(3)) == STOPPED
    for run_ in runs:
        assert len(list((store.checkpoints_path / run_.run_id).glob("*.ckpt"))) == 2


# Disks


def fill(disk: Path) -> None:
    """Take all room that is left."""
    with suppress(OSError), open(disk / "filler", "ab", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def make_read_only(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], capture_output=True)  # refused while a file is being written


def make_writable(disk: Path) -> None:
    remount(disk, "rw")
    (disk / "filler").unlink(missing_ok=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("break_disk", [fill, make_read_only])
def test_disk_that_fails_between_checkpoints_costs_no_more_than_was_trained_since(worker_factory, tmpfs, kind, break_disk):
    runs, disk = KINDS[kind], tmpfs("4m")
    store = Store(disk / "runs")
    worker = worker_factory.start(store, runs, eager(ALWAYS))
    wait_until(lambda: all(checkpoint.latest_step(store, run_.run_id) for run_ in runs), pause=0.001)
    while process_identity(worker.pid) is not None:
        break_disk(disk)  # again and again: every checkpoint that is dropped makes room for another
    assert worker.wait() == STORE_UNWRITABLE
    assert store.finished() == store.failures() == set()
    make_writable(disk)
    assert worker_factory.train(store, runs, eager()) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert all(store.provenance(run_.run_id)["resumed_at"] for run_ in runs), "it did not go on from a checkpoint"


@pytest.mark.parametrize("kind", KINDS)
def test_disk_that_is_full_when_a_run_is_published_does_not_lose_it(tmpfs, capfd, kind):
    runs, disk = KINDS[kind], tmpfs("4m")
    store = Store(disk / "runs")
    stopped_with_two_checkpoints(store, runs)
    # The last time that it asks: lanes do so after their first step, 129, and every 64th of 400, the other before every step.
    last = 5 if kind == "lanes" else 1998
    assert train_runs(runs, store, eager(), stop_after(last, lambda: fill(disk))) == STORE_UNWRITABLE
    assert "No space left on device" in capfd.readouterr().err
    assert store.finished() == store.failures() == set()
    assert list((store.root / "tmp").iterdir()) == []
    make_writable(disk)
    assert train_runs(runs, store, eager(), lambda: False) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert store.provenance(runs[0].run_id)["resumed_at"], "the checkpoint was lost"


def test_read_only_store_is_planned_shown_and_drawn(command, tmpfs, tmp_path):
    disk = tmpfs("1m")
    store = Store(disk / "runs")
    assert train_runs(resolve_request("stream_barrier", "anchors", SMALL[4::2], 2).runs, store, eager(), lambda: False) == DONE
    make_read_only(disk)
    words = (*SMALL, "--store", str(store.root))
    assert "1 to train" in command("run", *words, "--seeds", "3", "--dry-run").out
    assert ["all", "2", "0", "0", "1"] in [line.split() for line in command("status", *words, "--seeds", "3").out.splitlines()]
    assert command("run", *words, "--seeds", "2").code == 0
    assert list((tmp_path / "results").rglob("*.svg"))
    assert one_sentence(command("run", *words, "--seeds", "3"), "Read-only file system", "--store")


# Damaged checkpoints


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def scramble(path: Path) -> None:
    path.write_bytes(os.urandom(path.stat().st_size))


def make_folder(path: Path) -> None:
    path.unlink()
    (path / "inside").mkdir(parents=True)


DAMAGES = (cut, scramble, make_folder)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_run_whose_checkpoints_are_all_damaged_begins_anew_and_says_so(store, kind, damage):
    runs = KINDS[kind]
    stopped_with_two_checkpoints(store, runs)
    for path in store.checkpoints_path.glob(f"{runs[0].run_id}/*.ckpt"):  # in lanes the other one goes on
        damage(path)
    assert train_runs(runs, store, eager(ALWAYS), stop_after(5)) == STOPPED  # so that it is remembered
    assert train_runs(runs, store, eager(ALWAYS), lambda: False) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    told = [store.provenance(run_.run_id).get("resume") for run_ in runs]
    assert told == [checkpoint.RESTARTED, None][: len(runs)]
    assert list(store.checkpoints_path.iterdir()) == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_older(store, kind, damage):
    runs = KINDS[kind]
    stopped_with_two_checkpoints(store, runs)
    older = [int(min(store.checkpoints_path.glob(f"{run_.run_id}/*.ckpt")).stem) for run_ in runs]
    for run_ in runs:
        damage(max(store.checkpoints_path.glob(f"{run_.run_id}/*.ckpt")))
    assert train_runs(runs, store, eager(ALWAYS), lambda: False) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    provenance = [store.provenance(run_.run_id) for run_ in runs]
    assert [told["resumed_at"][-1] for told in provenance] == older
    assert not any("resume" in told for told in provenance)


def test_checkpoint_that_a_killed_process_had_half_written_makes_room_for_the_next(store):
    folder = store.checkpoints_path / "run"
    checkpoint.save(store, "run", 64, {}, {})
    (folder / ".4321.abc").write_bytes(bytes(1000))
    checkpoint.save(store, "run", 128, {}, {})
    assert [path.name for path in sorted(folder.iterdir())] == ["000000000064.ckpt", "000000000128.ckpt"]


def test_folder_in_place_of_a_checkpoint_is_replaced_by_the_next_of_that_step(store):
    checkpoint.save(store, "run", 64, {}, {})
    make_folder(store.checkpoints_path / "run" / "000000000064.ckpt")
    checkpoint.save(store, "run", 64, {}, {"saved": "again"})
    assert checkpoint.latest(store, "run", {}).load() == {"saved": "again"}


# Damaged results


def test_result_cut_after_it_was_published_is_named_when_loaded_and_trained_again_when_asked(command, store, monkeypatch):
    runs = tuple(resolve_request("stream_barrier", "anchors", SMALL[4::2], 2).runs)
    assert train_runs(runs, store, eager(), lambda: False) == DONE
    cut(store.finished_path / runs[0].run_id / "episodes.arrow")
    sound = store.provenance(runs[1].run_id)
    words = (*SMALL, "--seeds", "2", "--store", str(store.root))

    answer = command("run", *words)
    assert "0 to train" in answer.out
    assert one_sentence(answer, f"{runs[0].run_id}/episodes.arrow is damaged", "--retry")

    monkeypatch.setattr(run, "_report", lambda *_: None)
    answer = command("run", *words, "--retry")
    assert answer.code == 0, answer
    assert "2 runs, 1 finished or taken, 1 to train" in answer.out
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert store.provenance(runs[1].run_id) == sound
    store.load(runs[0].run_id)
    assert "0 to train" in command("run", *words, "--retry").out


@pytest.mark.parametrize("name", ["config.json", "result.json", "episodes.arrow", "provenance.json", None])
def test_only_a_damaged_result_is_given_up_when_its_run_is_to_be_tried_again(store, name):
    (run_,) = KINDS["lanes"][:1]
    assert train_runs([run_], store, eager(), lambda: False) == DONE
    if name:
        cut(store.finished_path / run_.run_id / name)
    assert store.damaged(run_.run_id) == ([name] if name else [])
    store.forgive(run_.run_id)
    assert store.finished() == (set() if name else {run_.run_id})


# What killed processes leave


def test_litter_of_the_dead_is_swept_and_what_belongs_to_the_living_is_not(store):
    living, (run_,) = Owner(), KINDS["lanes"][:1]
    assert train_runs([run_], store, eager(), lambda: False) == DONE
    killed = FORK.Process(target=lambda: store.claim("killed", Owner()))
    killed.start()
    killed.join()
    shutil.copytree(store.finished_path / run_.run_id, store.finished_path / "killed")  # right after it had published
    assert store.claim("living", living)
    store.beat(living, {})
    for name in ("living.77.abc", "killed.77.abc", "nobody.77.abc"):
        (store.root / "tmp" / name).mkdir()
    (store.claims_path / ".heartbeat.old").touch()
    os.utime(store.claims_path / ".heartbeat.old", (0, 0))
    assert train_runs([run_], store, eager(), lambda: False) == DONE  # there is nothing to train
    assert [path.name for path in (store.root / "tmp").iterdir()] == ["living.77.abc"]
    assert {path.name for path in store.claims_path.iterdir()} == {".lock", "living", f".heartbeat.{living.name}"}


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
        self.pid = self._process.pid
        self.signal = self._process.send_signal
        self.poll = self._process.poll
        self.kill = self._process.kill

    def wait(self) -> tuple[int, str]:
        """Return exit code and what it said."""
        assert self._process.stderr is not None
        said = self._process.stderr.read().decode()
        return self._process.wait(timeout=60), said


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


@pytest.mark.parametrize("comes_back", ["while the other trains", "after the other has published"])
def test_of_two_hosts_one_trains_and_when_taken_for_dead_it_stops(store, host, comes_back):
    runs = KINDS["lanes"]
    racing = {name: host(name, runs) for name in ("one", "two")}
    wait_until(lambda: all(checkpoint.latest_step(store, run_.run_id) for run_ in runs), pause=0.001)
    owner = store.claimant(runs[0].run_id)
    first, loser = racing.pop(owner["host"]), *racing.values()
    first.signal(signal.SIGSTOP)
    assert loser.wait() == (DONE, "")
    assert [store.claimant(run_.run_id)["owner"] for run_ in runs] == [owner["owner"]] * 2

    beat = store.claims_path / f".heartbeat.{owner['owner']}"
    os.utime(beat, (time.time() - STALE_AFTER_SECONDS - 1,) * 2)
    second = host("three", runs)
    wait_until(lambda: all((store.claimant(run_.run_id) or {}).get("host") == "three" for run_ in runs), pause=0.001)
    if comes_back == "while the other trains":
        second.signal(signal.SIGSTOP)
        kept = sorted(path.name for path in store.checkpoints_path.rglob("*.ckpt"))
    else:
        assert second.wait() == (DONE, "")
        published = store.provenance(runs[0].run_id)
    first.signal(signal.SIGCONT)
    code, said = first.wait()
    assert (code, said.count("\n")) == (STOPPED, 1)
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
    runs = KINDS["lanes"][:1]

    def lose_and_raise() -> None:
        path = store.claims_path / runs[0].run_id
        path.write_text(json.dumps({**json.loads(path.read_text()), "owner": "another"}))
        raise RuntimeError("for a reason")

    assert train_runs(runs, store, eager(NEVER), stop_after(1, lose_and_raise)) == FAILED
    assert store.failures() == set()
