"""A run killed at any moment and started again ends in the same bytes as one left alone."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from collections.abc import Sequence
from contextlib import suppress

import pytest
from experiment_support import (
    ALWAYS,
    NEVER,
    Worker,
    WorkerFactory,
    bytes_alone,
    eager,
    make_run,
    result_bytes,
    wait_until,
)

from experiments import checkpoint
from experiments.spec import Run
from experiments.store import Store
from experiments.training import reinforcement
from experiments.worker import DONE, STOPPED, Options, train_runs

ENV_IDS = ("Hopper-v4", "dm_control/cheetah-run-v0")


def runs_of(env_id: str, seeds: Sequence[int], steps: int) -> tuple[Run, ...]:
    return tuple(make_run(env_id, seed, steps) for seed in seeds)


def train(store: Store, runs: Sequence[Run], options: Options, until_step: int | None = None) -> int:
    """Train in this process; with `until_step`, be asked to stop at the first boundary from that step on."""
    asked = 0

    def stop_requested() -> bool:
        nonlocal asked
        asked += 1  # asked after the first step that is taken, and at every 64th
        return until_step is not None and asked > until_step // 64

    return train_runs(runs, store, options, stop_requested)


def newest(store: Store, runs: Sequence[Run]) -> list[int]:
    return [checkpoint.latest_step(store, run.run_id) for run in runs]


def names(store: Store) -> set[str]:
    """Return the names of all files in the folders of checkpoints, half-written ones included."""
    found = set()
    for folder, _, files in os.walk(store.checkpoints_path):
        found |= {os.path.join(folder, name) for name in files}
    return found


# SIGKILL


def kill_at_any_moment(worker: Worker, store: Store, runs: Sequence[Run], seconds: float) -> None:
    """Kill while it starts, restores, traces or trains; at the latest when it has gained a checkpoint of 64 steps."""
    until, begun_at = time.monotonic() + seconds, max(newest(store, runs))
    while time.monotonic() < until and max(newest(store, runs)) < begun_at + 2:
        time.sleep(0.005)
    worker.signal(signal.SIGKILL)


def kill_while_saving(worker: Worker, store: Store, runs: Sequence[Run], dice: random.Random) -> None:
    """Kill at the moment when the n-th new file appears among the checkpoints, half-written ones included."""
    wanted, known, until = dice.randint(1, len(runs) + 2), names(store), time.monotonic() + 60
    new: set[str] = set()
    while len(new) < wanted:
        time.sleep(0.0005)
        new |= names(store) - known
        assert time.monotonic() < until, "no checkpoint is written"
    worker.signal(signal.SIGKILL)


def torn(store: Store, runs: Sequence[Run]) -> bool:
    """Return whether some lanes are one checkpoint ahead of others, or a checkpoint is half written."""
    return len(set(newest(store, runs))) > 1 or any(not name.endswith(".ckpt") for name in names(store))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env_id", "hidden", "seeds", "steps", "kills"),
    [("Hopper-v4", (), 5, 1300, 20), ("dm_control/cheetah-run-v0", (4,), 2, 1050, 6)],
)
def test_run_killed_at_random_moments_ends_in_the_same_bytes(
    worker_factory: WorkerFactory, store, env_id, hidden, seeds, steps, kills
):
    # Enough steps for a second block of noise, and for the end of an episode of 1000 steps.
    runs = tuple(make_run(env_id, seed, steps, hidden=hidden) for seed in range(seeds))
    dice = random.Random(0)
    torn_states, begun_at = 0, set()
    for number in range(kills):
        worker, started = worker_factory.start(store, runs, eager(ALWAYS)), time.monotonic()
        if number % 2 == 0:
            kill_while_saving(worker, store, runs, dice)
            first_checkpoint = time.monotonic() - started
        else:
            kill_at_any_moment(worker, store, runs, dice.uniform(0.0, 2.0) * first_checkpoint)
        assert worker.wait() == -signal.SIGKILL, "it ended before it was killed"
        torn_states += torn(store, runs)
        begun_at |= set(newest(store, runs))
    if len(runs) > 2:  # two checkpoints are written so quickly that a few kills may all miss them
        assert torn_states > 0, "no kill came while checkpoints were being written"
    assert len(begun_at) > kills / 4, "nothing was gained between kills"
    assert worker_factory.train(store, runs, eager()) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert store.failures() == set()
    assert not any((store.claimant(run.run_id) or {}).get("alive") for run in runs)
    assert store.provenance(runs[0].run_id)["resumed_at"], "it was not resumed from a checkpoint"


def test_group_killed_while_it_publishes_ends_in_the_same_bytes(worker_factory: WorkerFactory, tmp_path):
    runs = runs_of("Hopper-v4", range(9), 70)
    for attempt in range(5):  # on a busy machine all may be published before the signal is sent
        store = Store(tmp_path / str(attempt))
        worker = worker_factory.start(store, runs, eager(ALWAYS))
        wait_until(store.finished, pause=0.0005)
        with suppress(ProcessLookupError):
            worker.signal(signal.SIGKILL)
        worker.wait()
        if len(store.finished()) < len(runs):
            break
    published = store.finished()
    assert 0 < len(published) < len(runs)
    before = {run_id: store.provenance(run_id) for run_id in published}
    assert worker_factory.train(store, runs, eager()) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert {run_id: store.provenance(run_id) for run_id in published} == before, "a published run was trained again"


def test_checkpoints_of_a_run_killed_right_after_it_was_published_are_removed(store, tmp_path):
    (run,) = runs_of("Hopper-v4", [0], 70)
    assert train(store, [run], eager(), until_step=0) == STOPPED
    shutil.copytree(store.checkpoints_path, tmp_path / "kept")
    assert train(store, [run], eager()) == DONE
    shutil.copytree(tmp_path / "kept", store.checkpoints_path, dirs_exist_ok=True)  # the kill came before their removal
    assert train(store, [run], eager()) == DONE
    assert not (store.checkpoints_path / run.run_id).exists()


# Signals that ask to stop


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGUSR1])
def test_run_asked_to_stop_leaves_a_checkpoint_and_no_claim(worker_factory: WorkerFactory, store, number):
    runs = runs_of("Hopper-v4", range(3), 900)
    worker = worker_factory.start(store, runs, eager(ALWAYS))
    worker.until(lambda: min(newest(store, runs)) > 0)
    assert store.claimant(runs[0].run_id)["alive"]
    worker.signal(number)
    assert worker.wait() == STOPPED
    assert store.finished() == set()
    assert len(set(newest(store, runs))) == 1
    assert [path.name for path in store.claims_path.iterdir()] == [".lock"]
    if number == signal.SIGTERM:
        assert worker_factory.train(store, runs, eager()) == DONE
        assert result_bytes(store, runs) == bytes_alone(runs)
        assert not store.checkpoints_path.exists() or not any(store.checkpoints_path.iterdir())


# Groups put together in another way


@pytest.mark.parametrize("env_id", [ENV_IDS[0], pytest.param(ENV_IDS[1], marks=pytest.mark.slow)])
def test_lanes_at_different_steps_and_in_other_groups_than_before_end_in_the_same_bytes(store, env_id):
    runs = runs_of(env_id, range(4), 200)
    assert train(store, runs[:1], eager(), until_step=128) == STOPPED
    assert train(store, runs[1:3], eager(), until_step=64) == STOPPED
    assert newest(store, runs) == [128, 64, 64, 0]
    assert train(store, [runs[2], runs[3]], eager()) == DONE  # one of a group of two, with one that has not begun
    assert train(store, [runs[1], runs[0]], eager()) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert [store.provenance(run.run_id)["resumed_at"] for run in runs] == [[128], [64], [64], []]


def test_full_group_divided_after_a_stop_ends_in_the_same_bytes(store):
    runs = runs_of("Hopper-v4", range(16), 130)
    assert train(store, runs, eager(), until_step=64) == STOPPED
    assert train(store, runs[:8], eager()) == DONE
    assert train(store, runs[8:], eager()) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)


def test_lanes_one_checkpoint_ahead_go_back_to_the_step_that_all_have(store):
    runs = runs_of("Hopper-v4", range(2), 200)
    assert train(store, runs, eager(ALWAYS), until_step=128) == STOPPED
    ahead = store.checkpoints_path / runs[1].run_id
    assert [path.name for path in sorted(ahead.iterdir())] == ["000000000064.ckpt", "000000000128.ckpt"]
    (ahead / "000000000128.ckpt").unlink()
    assert train(store, runs, eager()) == DONE
    assert [store.provenance(run.run_id)["lanes"] for run in runs] == [2, 2]
    assert result_bytes(store, runs) == bytes_alone(runs)


def test_damaged_checkpoint_ends_in_the_same_bytes(store):
    runs = runs_of("Hopper-v4", range(2), 200)
    assert train(store, runs, eager(ALWAYS), until_step=128) == STOPPED
    for run in runs:
        path = store.checkpoints_path / run.run_id / "000000000128.ckpt"
        path.write_bytes(path.read_bytes()[:-10])
    assert train(store, runs, eager()) == DONE
    assert store.provenance(runs[0].run_id)["resumed_at"][-1] == 64
    assert result_bytes(store, runs) == bytes_alone(runs)


def test_diverged_lane_is_a_result_and_survives_a_stop(store):
    sound, diverging = make_run(steps=200), make_run(steps=200, seed=1, gamma=1e308, optimizer="adam", alpha_value=1e30)
    runs = (sound, diverging)
    expected = bytes_alone(runs)
    assert b'"diverged"' in expected[diverging.run_id]["result.json"]
    assert b'"finished"' in expected[sound.run_id]["result.json"]
    assert train(store, runs, eager(), until_step=128) == STOPPED
    assert train(store, runs, eager()) == DONE
    assert result_bytes(store, runs) == expected


# Compiled


@pytest.mark.parametrize("left", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_compiled_run_killed_ends_in_the_same_bytes(worker_factory: WorkerFactory, store, tmp_path, left):
    # Another number of lanes is another kernel, which takes long to compile.
    runs = tuple(make_run("InvertedPendulum-v4", seed, 2000) for seed in range(3))
    worker = worker_factory.start(store, runs, Options(ALWAYS, compiled=True))
    worker.until(lambda: min(newest(store, runs)) >= 64)
    worker.signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    assert worker_factory.train(store, runs[:left], Options(NEVER, compiled=True)) == DONE
    provenance = store.provenance(runs[0].run_id)
    assert (provenance["engine"], provenance["lanes"]) == ("compiled", left)
    assert 64 <= provenance["resumed_at"][-1] < 2000
    alone = Store(tmp_path / "alone")
    assert train(alone, runs, Options(NEVER, compiled=True)) == DONE
    assert result_bytes(store, runs[:left]) == result_bytes(alone, runs[:left])


def test_result_does_not_depend_on_how_many_lanes_there_were(store, tmp_path, monkeypatch):
    # A group of many short runs is compiled; what a kill leaves of it is not. Smaller numbers here, to be quick.
    monkeypatch.setattr(reinforcement, "EAGER_BELOW_STEPS", 1000)
    runs = tuple(make_run("Hopper-v4", seed, 600) for seed in range(2))
    alone = Store(tmp_path / "alone")
    assert train(store, runs, Options()) == DONE
    assert train(alone, runs[:1], Options()) == DONE
    assert result_bytes(alone, runs[:1]) == result_bytes(store, runs[:1])


# A starter that is gone


def test_worker_whose_starter_was_killed_stops_with_a_checkpoint_and_gives_up_its_claims(worker_factory: WorkerFactory, store):
    runs = runs_of("Hopper-v4", range(2), 100_000)
    worker = worker_factory.start(store, runs, eager(ALWAYS))
    worker.until(lambda: min(newest(store, runs)) > 0)
    worker_factory.kill()
    try:
        wait_until(lambda: store.claimant(runs[0].run_id) is None)
    except AssertionError:
        worker.signal(signal.SIGKILL)
        raise
    assert len(set(newest(store, runs))) == 1
    assert store.finished() == store.failures() == set()
