"""The store: results appear whole and once, claims are exclusive between processes, and bad disks leave nothing half done."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from experiment_support import (
    ALWAYS,
    NEVER,
    bytes_alone,
    eager,
    in_child,
    make_run,
    remount,
    result_bytes,
    snapshot,
    wait_until,
)

from experiments import store as store_module
from experiments.errors import UserError
from experiments.spec import Run, run_id_of
from experiments.store import STALE_AFTER_SECONDS, Owner, Store, process_identity
from experiments.worker import DONE, STORE_UNWRITABLE, train_runs

RUN = make_run()
RESULT = {"status": "finished", "steps": 200}
FORK = multiprocessing.get_context("fork")


def episodes(count: int = 5) -> dict[str, np.ndarray]:
    return {"step": np.arange(count), "episodic_return": np.linspace(-1, 1, count)}


def publish(store: Store, run: Run = RUN, **provenance: Any) -> bool:
    return store.publish(run, {"episodes": episodes()}, RESULT, provenance)


# Finished runs


def test_published_run_is_read_back(store):
    assert publish(store, engine="eager")
    result, provenance, tables = store.load(RUN.run_id)
    assert result == RESULT
    assert provenance["engine"] == "eager"
    assert tables["episodes"]["episodic_return"].to_pylist() == episodes()["episodic_return"].tolist()
    assert json.loads((store.finished_path / RUN.run_id / "config.json").read_text()) == json.loads(json.dumps(RUN.config()))
    assert store.finished() == {RUN.run_id}


def test_first_result_stays(store):
    assert publish(store, attempt=1)
    before = snapshot(store.finished_path)
    assert not publish(store, attempt=2)
    assert snapshot(store.finished_path) == before
    assert list((store.root / "tmp").iterdir()) == []


def test_bytes_of_a_result_depend_on_the_configuration_alone(tmp_path):
    stores = [Store(tmp_path / name) for name in ("one", "two")]
    for number, store in enumerate(stores):
        publish(store, attempt=number)
    assert result_bytes(stores[0], [RUN]) == result_bytes(stores[1], [RUN])
    assert set(result_bytes(stores[0], [RUN])[RUN.run_id]) == {"config.json", "result.json", "episodes.arrow"}


def test_of_many_processes_that_publish_one_run_exactly_one_does(store):
    barrier, results = FORK.Barrier(6), FORK.Queue()

    def work(number: int) -> None:
        barrier.wait()
        results.put((number, publish(store, winner=number)))

    processes = [FORK.Process(target=work, args=(number,)) for number in range(6)]
    for process in processes:
        process.start()
    outcomes = dict(results.get(timeout=60) for _ in processes)
    for process in processes:
        process.join()
    winners = [number for number, won in outcomes.items() if won]
    assert len(winners) == 1
    assert store.load(RUN.run_id)[1]["winner"] == winners[0]
    assert list((store.root / "tmp").iterdir()) == []


def test_run_appears_with_all_its_files_or_not_at_all(store):
    many = [make_run(seed=seed) for seed in range(40)]

    def work() -> None:
        for run in many:
            publish(store, run)

    process = FORK.Process(target=work)
    process.start()
    seen: set[str] = set()
    while process.is_alive():
        for run_id in store.finished() - seen:
            store.load(run_id)  # raises where a file is missing or cut
            seen.add(run_id)
    process.join()
    assert len(store.finished()) == 40


def test_process_killed_while_publishing_leaves_no_run_behind(store):
    publish(store, make_run(seed=1))

    def publish_and_be_killed() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the kernel kills whoever writes more
        store.publish(RUN, {"episodes": {"noise": np.random.default_rng(0).random(5000)}}, RESULT, {})

    assert in_child(publish_and_be_killed) == -signal.SIGXFSZ
    assert store.finished() == {make_run(seed=1).run_id}
    assert publish(store)
    assert store.load(RUN.run_id)[0] == RESULT


@pytest.mark.parametrize("name", ["config.json", "result.json", "episodes.arrow"])
@pytest.mark.parametrize("damage", ["one bit", "cut", "gone"])
def test_damage_is_noticed_and_the_remedy_named(store, name, damage):
    publish(store)
    path = store.finished_path / RUN.run_id / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(content if damage == "one bit" else content[:-1])
    with pytest.raises(UserError, match=rf"{RUN.run_id}/{name} is damaged; .* --retry"):
        store.load(RUN.run_id)


@pytest.mark.parametrize("content", ["", "{}", "\udc80"])
def test_damaged_provenance_is_noticed_and_the_remedy_named(store, content):
    publish(store)
    (store.finished_path / RUN.run_id / "provenance.json").write_text(content, errors="surrogateescape")
    with pytest.raises(UserError, match=r"provenance.json is damaged"):
        store.load(RUN.run_id)


def test_folders_that_were_swapped_or_renamed_are_noticed(store):
    runs = [make_run(seed=seed) for seed in range(3)]
    for run in runs[:2]:
        publish(store, run)
    one, other, third = (store.finished_path / run.run_id for run in runs)
    one.rename(third)
    other.rename(one)
    for run in (runs[0], runs[2]):
        assert store.damaged(run.run_id) == ["config.json"]
        with pytest.raises(UserError, match=rf"{run.run_id}/config.json is damaged; .* --retry"):
            store.load(run.run_id)
    third.rename(other)
    one.rename(third)
    other.rename(one)
    third.rename(other)
    assert store.damaged(runs[0].run_id) == store.damaged(runs[1].run_id) == []


@pytest.mark.parametrize("environment", [{}, {"time_limit": 7}])
@pytest.mark.parametrize("changes", [{}, {"hidden": (3, 4)}, {"alpha_value": 1e30, "optimizer": "adam"}])
def test_configuration_as_it_is_stored_names_its_run(store, environment, changes):
    run = make_run("dm_control/cheetah-run-v0", 5, 3000, environment=environment, **changes)
    publish(store, run)
    assert run_id_of(json.loads((store.finished_path / run.run_id / "config.json").read_text())) == run.run_id
    assert store.damaged(run.run_id) == []


def test_refusal_is_told_apart_from_a_failure(store):
    store.fail("failed", "Traceback\nValueError: no\n")
    store.refuse("refused", "install it.")
    assert store.failures() == {"failed", "refused"}
    assert store.refusals() == {"refused": "install it."}
    store.forgive("refused")
    assert store.refusals() == {}


def test_discarded_measurement_is_gone(store):
    publish(store)
    store.discard(RUN.run_id)
    assert store.finished() == set()
    assert publish(store)


def test_reading_never_writes(store):
    assert store.finished() == store.failures() == set()
    assert store.claimant(RUN.run_id) is None
    assert store.provenance(RUN.run_id) == {}
    assert not store.root.exists()


def test_store_that_is_a_file_or_lies_below_one_is_refused(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for path in (file, file / "runs", file / "a" / "b"):
        with pytest.raises(UserError, match="is not a folder; choose another with --store"):
            Store(path)
    assert file.read_text() == "mine"


def test_writable_store_is_left_empty_by_the_check(store):
    store.check_writable()
    assert list(store.root.iterdir()) == []


# Claims


def test_claimed_run_is_not_given_to_another_living_owner(store):
    first, second = Owner(), Owner()
    assert first.name != second.name
    assert store.claim(RUN.run_id, first)
    assert not store.claim(RUN.run_id, second)
    assert store.claim(RUN.run_id, first)
    assert store.claimant(RUN.run_id)["owner"] == first.name


def test_claim_tells_who_holds_it(store):
    owner = Owner()
    store.claim(RUN.run_id, owner)
    holder = store.claimant(RUN.run_id)
    assert (holder["pid"], holder["host"], holder["alive"]) == (os.getpid(), owner.host, True)


def test_finished_run_cannot_be_claimed(store):
    publish(store)
    assert not store.claim(RUN.run_id, Owner())


def test_released_run_is_free(store):
    first, second = Owner(), Owner()
    store.claim(RUN.run_id, first)
    store.release(RUN.run_id, second)  # not its to give up
    assert not store.claim(RUN.run_id, second)
    store.release(RUN.run_id, first)
    assert store.claimant(RUN.run_id) is None
    assert store.claim(RUN.run_id, second)


def race(store: Store, run_ids: list[str], processes: int = 6) -> dict[str, int]:
    """Let processes claim the same runs at once and stay alive; return how many of them got each."""
    start, end, claimed = FORK.Barrier(processes), FORK.Barrier(processes), FORK.Queue()

    def work() -> None:
        owner = Owner()
        start.wait()
        mine = [run_id for run_id in run_ids if store.claim(run_id, owner)]
        claimed.put(mine)
        end.wait()

    workers = [FORK.Process(target=work) for _ in range(processes)]
    for worker in workers:
        worker.start()
    got = [run_id for _ in workers for run_id in claimed.get(timeout=60)]
    for worker in workers:
        worker.join()
    return {run_id: got.count(run_id) for run_id in run_ids}


def test_of_many_processes_that_claim_a_run_exactly_one_gets_it(store):
    run_ids = [f"run-{number}" for number in range(30)]
    assert race(store, run_ids) == dict.fromkeys(run_ids, 1)


def test_of_many_processes_that_take_over_from_a_dead_one_exactly_one_does(store):
    run_ids = [f"run-{number}" for number in range(30)]
    assert race(store, run_ids, processes=1) == dict.fromkeys(run_ids, 1)
    assert not any(store.claimant(run_id)["alive"] for run_id in run_ids)
    assert race(store, run_ids) == dict.fromkeys(run_ids, 1)


def claim_in_another_process(store: Store) -> int:
    """Return the id of a process that has claimed the run and lives on."""
    pid = os.fork()
    if pid == 0:
        try:
            store.claim(RUN.run_id, Owner())
            time.sleep(120)
        finally:
            os._exit(0)
    wait_until(lambda: store.claimant(RUN.run_id))
    return pid


def test_claim_of_a_living_process_is_respected_and_of_a_killed_one_taken_over(store):
    pid = claim_in_another_process(store)
    try:
        assert store.claimant(RUN.run_id)["alive"]
        assert not store.claim(RUN.run_id, Owner())
    finally:
        os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it has ended, but remains a zombie
    assert not store.claimant(RUN.run_id)["alive"]
    os.waitpid(pid, 0)
    assert not store.claimant(RUN.run_id)["alive"]
    owner = Owner()
    assert store.claim(RUN.run_id, owner)
    assert store.claimant(RUN.run_id)["owner"] == owner.name


def test_stopped_process_is_not_taken_for_dead(store):
    pid = claim_in_another_process(store)
    try:
        os.kill(pid, signal.SIGSTOP)
        assert not store.claim(RUN.run_id, Owner())
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def rewrite_claim(store: Store, **changes: Any) -> None:
    path = store.claims_path / RUN.run_id
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_claim_of_an_earlier_process_with_a_pid_that_is_in_use_again_is_taken_over(store):
    store.claim(RUN.run_id, Owner())
    rewrite_claim(store, process=f"{os.getpid()}@1")  # same pid, started at another time
    assert not store.claimant(RUN.run_id)["alive"]
    assert store.claim(RUN.run_id, Owner())


def test_process_identity_tells_processes_apart():
    assert process_identity(os.getpid()) == process_identity(os.getpid())
    assert process_identity(os.getpid()) != process_identity(os.getppid())
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    assert process_identity(pid) is None


def test_owner_on_another_machine_lives_as_long_as_its_heart_beats(store):
    owner = Owner()
    store.claim(RUN.run_id, owner)
    store.beat(owner, {"step": 64})
    rewrite_claim(store, host="another machine", pid=1)
    assert not store.claim(RUN.run_id, Owner())
    (beat,) = store.claims_path.glob(".heartbeat.*")
    for age, alive in ((STALE_AFTER_SECONDS - 60, True), (STALE_AFTER_SECONDS + 1, False)):
        os.utime(beat, (time.time() - age,) * 2)
        assert store.claimant(RUN.run_id)["alive"] is alive
    assert store.claim(RUN.run_id, Owner())


def test_owner_on_another_machine_that_never_beat_is_given_time_from_its_claim_on(store):
    store.claim(RUN.run_id, Owner())
    rewrite_claim(store, host="another machine", since=time.time() - 60)
    assert not store.claim(RUN.run_id, Owner())
    rewrite_claim(store, since=time.time() - STALE_AFTER_SECONDS - 1)
    assert store.claim(RUN.run_id, Owner())


def test_heartbeat_tells_how_far_the_owner_is(store):
    owner = Owner()
    store.claim(RUN.run_id, owner)
    store.beat(owner, {"step": 64, "steps_per_second": 100.0, "recent_return": None})
    store.beat(owner, {"step": 128, "steps_per_second": 90.0, "recent_return": 7.5})
    holder = store.claimant(RUN.run_id)
    assert (holder["step"], holder["steps_per_second"], holder["recent_return"]) == (128, 90.0, 7.5)
    assert holder["heartbeat_age"] < 60
    store.release(RUN.run_id, owner)
    store.forget(owner)
    assert [path.name for path in store.claims_path.iterdir()] == [".lock"]


def test_torn_claim_is_no_claim(store):
    store.claim(RUN.run_id, Owner())
    (store.claims_path / RUN.run_id).write_text('{"owner": "x')
    assert store.claimant(RUN.run_id) is None
    assert store.claim(RUN.run_id, Owner())


# Failures


def test_failure_keeps_its_traceback_until_forgiven(store):
    store.fail(RUN.run_id, "Traceback\nValueError: first")
    store.fail(RUN.run_id, "Traceback\nValueError: second")
    assert store.failures() == {RUN.run_id}
    assert store.failure(RUN.run_id) == "Traceback\nValueError: second"
    store.forgive(RUN.run_id)
    store.forgive(RUN.run_id)
    assert store.failures() == set()


# Bad disks


def test_read_only_store_is_found_out_before_training_and_can_still_be_read(tmpfs: Callable[[str], Path]):
    store = Store(tmpfs("1m") / "runs")
    publish(store)
    remount(store.root.parent, "ro")
    with pytest.raises(OSError, match="Read-only file system"):
        store.check_writable()
    assert store.load(RUN.run_id)[0] == RESULT
    assert store.failures() == set()
    with pytest.raises(OSError, match="Read-only"):
        store.claim("another run", Owner())


def test_full_disk_is_found_out_before_training(tmpfs: Callable[[str], Path]):
    store = Store(tmpfs("128k") / "runs")
    store.check_writable()
    store.root.parent.joinpath("other").write_bytes(bytes(100_000))
    with pytest.raises(OSError, match="No space left"):
        store.check_writable()
    assert list(store.root.iterdir()) == []


@pytest.mark.parametrize("kilobytes", [4, 8, 12, 16])
def test_publishing_to_a_full_disk_leaves_no_half_result(tmpfs: Callable[[str], Path], kilobytes):
    store = Store(tmpfs("64k") / "runs")
    store.root.mkdir()
    filler = store.root.parent / "filler"
    filler.write_bytes(bytes((64 - kilobytes) * 1024))
    if kilobytes < 16:  # four files of one page each
        with pytest.raises(OSError, match="No space left"):
            publish(store)
        assert store.finished() == set()
        assert list((store.root / "tmp").iterdir()) == []
        filler.unlink()
    assert publish(store)
    store.load(RUN.run_id)


@pytest.mark.parametrize(
    ("kilobytes", "checkpoint_seconds"),
    [
        pytest.param(4, NEVER, id="while claiming"),
        pytest.param(12, NEVER, id="at the first heartbeat"),
        pytest.param(16, NEVER, id="while publishing JSON"),
        pytest.param(20, NEVER, id="while publishing a table"),
        pytest.param(28, NEVER, id="while publishing the second of two runs"),
        pytest.param(44, ALWAYS, id="at a checkpoint"),
    ],
)
def test_disk_that_fills_up_stops_the_worker_and_the_same_command_goes_on(
    tmpfs: Callable[[str], Path], kilobytes, checkpoint_seconds
):
    runs = tuple(make_run(seed=seed, steps=130) for seed in range(2))
    store = Store(tmpfs(f"{kilobytes}k"))
    code = train_runs(runs, store, eager(checkpoint_seconds), lambda: False)
    assert code == STORE_UNWRITABLE
    for run_id in store.finished():
        store.load(run_id)
    assert len(store.finished()) < 2
    assert store.failures() == set()
    remount(store.root, "size=10m")
    assert train_runs(runs, store, eager(checkpoint_seconds), lambda: False) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)


def test_names_of_temporary_files_are_unique_across_forks():
    assert store_module._unique() != store_module._unique()
    assert str(os.getpid()) in store_module._unique()
