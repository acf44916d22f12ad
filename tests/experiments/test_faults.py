"""Full and read-only disks, damaged files, litter of other systems: no run is lost, and every result is the same."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from experiment_support import (
    ALWAYS,
    Answer,
    ask,
    bytes_alone,
    eager,
    make_run,
    one_sentence,
    remount,
    result_bytes,
    stop_after,
)

from experiments import checkpoint, run
from experiments.cli import make_console, resolve_request
from experiments.spec import Run
from experiments.store import Owner, Store, process_identity
from experiments.worker import DONE, STOPPED, STORE_UNWRITABLE, train_runs

FORK = multiprocessing.get_context("fork")
PPO = {"hidden": (8, 8), "rollout_steps": 64, "minibatch_size": 32, "epochs": 1}
KINDS = {
    "lanes": tuple(make_run(seed=seed, steps=400) for seed in range(2)),
    "stable-baselines3": (make_run(steps=2000, algorithm="ppo", **PPO),),
}
SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=130", "--set", "hidden=[]")


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


# What a person meets


@pytest.mark.parametrize("name", ["._episodes.arrow", ".DS_Store", "._config.json"])
def test_litter_of_another_system_in_a_finished_folder_is_not_read(store_of_one, name):
    store, (run_,) = store_of_one, KINDS["lanes"][:1]
    (store.finished_path / run_.run_id / name).write_bytes(b"\0\5\26\7 Mac OS X")
    assert set(store.load(run_.run_id)[2]) == {"episodes"}
    assert store.damaged(run_.run_id) == []


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
