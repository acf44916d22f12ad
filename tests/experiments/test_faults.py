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
from experiments.cli import make_console, resolve_request
from experiments.spec import Run
from experiments.store import STALE_AFTER_SECONDS, Owner, Store, process_identity
from experiments.training import batch
from experiments.training.context import ClaimLost, Context
from experiments.worker import DONE, FAILED, HELD, STOPPED, STORE_UNWRITABLE, train_runs

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


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store to be copied, in which one run is finished."""
    store = Store(tmp_path_factory.mktemp("trained") / "runs")
    assert train_runs(KINDS["lanes"][:1], store, eager(), lambda: False) == DONE
    return store.root


@pytest.fixture
def store_of_one(trained: Path, tmp_path: Path) -> Store:
    return Store(shutil.copytree(trained, tmp_path / "runs"))


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


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return stores to be copied, by the kind of runs that were stopped there."""
    stores = {kind: Store(tmp_path_factory.mktemp("stopped") / "runs") for kind in KINDS}
    for kind, store in stores.items():
        stopped_with_two_checkpoints(store, KINDS[kind])
    return {kind: store.root for kind, store in stores.items()}


@pytest.fixture
def stopped_store(kind: str, stopped: dict[str, Path], tmp_path: Path) -> Store:
    return Store(shutil.copytree(stopped[kind], tmp_path / "runs"))


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
    worker.until(lambda: all(checkpoint.latest_step(store, run_.run_id) for run_ in runs))
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
def test_run_whose_checkpoints_are_all_damaged_begins_anew_and_says_so(stopped_store, kind, damage):
    store, runs = stopped_store, KINDS[kind]
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
def test_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_older(stopped_store, kind, damage):
    store, runs = stopped_store, KINDS[kind]
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
def test_only_a_damaged_result_is_given_up_when_its_run_is_to_be_tried_again(store_of_one, name):
    store, (run_,) = store_of_one, KINDS["lanes"][:1]
    if name:
        cut(store.finished_path / run_.run_id / name)
    assert store.damaged(run_.run_id) == ([name] if name else [])
    store.forgive(run_.run_id)
    assert store.finished() == (set() if name else {run_.run_id})


# What killed processes leave


def test_litter_of_the_dead_is_swept_and_what_belongs_to_the_living_is_not(store_of_one):
    store, living, (run_,) = store_of_one, Owner(), KINDS["lanes"][:1]
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
    runs = KINDS["lanes"]
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


# What a person meets


@pytest.mark.parametrize("name", ["._episodes.arrow", ".DS_Store", "._config.json"])
def test_litter_of_another_system_in_a_finished_folder_is_not_read(store_of_one, name):
    store, (run_,) = store_of_one, KINDS["lanes"][:1]
    (store.finished_path / run_.run_id / name).write_bytes(b"\0\5\26\7 Mac OS X")
    assert set(store.load(run_.run_id)[2]) == {"episodes"}
    assert store.damaged(run_.run_id) == []


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
    (run_,) = KINDS["stable-baselines3"]
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


def test_full_disk_of_results_is_named_and_not_the_store(command, store, tmpfs):
    runs = resolve_request("stream_barrier", "anchors", SMALL[4::2], 1).runs
    assert train_runs(runs, store, eager(), lambda: False) == DONE
    disk = tmpfs("8k")
    fill(disk)
    words = [
        sys.executable,
        "-m",
        "experiments.run",
        *SMALL,
        "--seeds",
        "1",
        "--store",
        str(store.root),
        "--results",
        str(disk),
    ]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2
    assert one_sentence(Answer(done.returncode, done.stdout, done.stderr), f"cannot write to {disk}", "another with --results")


def test_folder_of_any_name_is_shown_as_it_is(command, tmp_path):
    store = Store(tmp_path / "a [/z] [red]b[/red]")
    (run_,) = resolve_request("stream_barrier", "anchors", SMALL[4::2], 1).runs
    store.fail(run_.run_id, "RuntimeError: [/odd]\n")
    words = (*SMALL, "--seeds", "1", "--store", str(store.root))
    answer = command("run", *words)
    assert answer.code == 1
    assert f"--store '{store.root}'" in answer.out
    assert str(store.root) in command("status", *words).out
    console = make_console(width=200)
    with console.capture() as shown:
        console.print(f"in {store.root}")
    assert shown.get() == f"in {store.root}\n"


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("latin-1", marks=pytest.mark.slow)])
def test_terminal_without_the_letters_shows_others_instead(store, tmp_path, encoding):
    runs = resolve_request("stream_barrier", "anchors", SMALL[4::2], 2).runs
    assert train_runs(runs[:1], store, eager(), lambda: False) == DONE
    store.fail(runs[1].run_id, "ValueError: \N{GREEK SMALL LETTER LAMDA} \N{IDENTICAL TO} 1\n")
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    for module in ("experiments.status", "experiments.run", "analysis.report"):
        words = [sys.executable, "-m", module, *SMALL, "--seeds", "2", "--store", str(store.root)]
        done = subprocess.run(words, capture_output=True, env=environment)
        assert b"Traceback" not in done.stderr, done.stderr.decode(errors="replace")
        assert done.returncode == (1 if module == "experiments.run" else 0)
    done = subprocess.run(
        [sys.executable, "-m", "experiments.status", "stream_b\N{LATIN SMALL LETTER A WITH DIAERESIS}rrier"],
        capture_output=True,
        env=environment,
    )
    assert (done.returncode, done.stderr.count(b"\n")) == (2, 1), done.stderr
