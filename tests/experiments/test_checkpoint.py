"""Checkpoints: written whole or not at all, two kept, and a damaged or foreign one passed over."""

from __future__ import annotations

import resource
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from experiment_support import in_child

from experiments import checkpoint
from experiments.store import Store

HERE = {"engine": "eager", "torch": "2"}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


def save(store: Store, *steps: int, requires: dict[str, str] = HERE, size: int = 1000) -> None:
    for step in steps:
        checkpoint.save(store, "run", step, requires, {"step": step, "weights": np.full(size, step)})


def files(store: Store) -> list[Path]:
    return sorted(store.checkpoints_path.glob("run/*.ckpt"))


def steps_available(store: Store, requires: dict[str, str] = HERE) -> list[int]:
    return [c.step for c in checkpoint.available(store, "run", requires)]


def test_state_comes_back_bit_for_bit(store):
    payload = {
        "state": {"weights": torch.randn(3, 4), "hyper": {"gamma": torch.tensor(0.99, dtype=torch.float64)}},
        "nan": np.array([np.nan, -0.0, np.inf]),
        "rows": [(10, -3.5, 7)],
    }
    checkpoint.save(store, "run", 64, HERE, payload)
    restored = checkpoint.latest(store, "run", HERE)
    assert restored is not None
    assert restored.step == 64
    assert restored.payload["rows"] == payload["rows"]
    assert restored.payload["nan"].tobytes() == payload["nan"].tobytes()
    assert torch.equal(restored.payload["state"]["weights"], payload["state"]["weights"])
    assert restored.payload["state"]["hyper"]["gamma"].dtype == torch.float64


def test_nothing_is_available_where_nothing_was_saved(store):
    assert checkpoint.latest(store, "run", HERE) is None
    assert checkpoint.latest_step(store, "run") == 0
    checkpoint.discard(store, "run")
    assert not store.root.exists()


def test_the_newest_two_are_kept_newest_first(store):
    save(store, 64, 128, 999, 1000, 1_000_000)
    assert steps_available(store) == [1_000_000, 1000]
    assert checkpoint.latest_step(store, "run") == 1_000_000
    assert len(files(store)) == 2


def test_saving_a_step_again_replaces_it(store):
    save(store, 64, 128)
    checkpoint.save(store, "run", 128, HERE, {"step": "again"})
    assert [c.payload["step"] for c in checkpoint.available(store, "run", HERE)] == ["again", 64]


def test_runs_do_not_see_each_other(store):
    save(store, 64)
    assert checkpoint.latest(store, "another run", HERE) is None


def halved(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes, at: int) -> bytes:
    return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]


DAMAGES = {
    "cut in half": halved,
    "last byte lost": lambda content: content[:-1],
    "empty": lambda content: b"",
    "only zeros, as after a power cut": lambda content: bytes(len(content)),
    "a bit of the body turned": lambda content: flipped(content, len(content) - 100),
    "a bit of the checksum turned": lambda content: flipped(content, content.index(b'"sha256": "') + 15),
    "no header": lambda content: content.partition(b"\n")[2],
    "header only": lambda content: content.partition(b"\n")[0],
    "something appended": lambda content: content + b"x",
    "not a header": lambda content: b"[]\n" + content,
}


@pytest.mark.parametrize(
    "damage",
    DAMAGES,
)
def test_damaged_newest_falls_back_to_the_older(store, damage):
    save(store, 64, 128)
    newest = files(store)[-1]
    newest.write_bytes(DAMAGES[damage](newest.read_bytes()))
    restored = checkpoint.latest(store, "run", HERE)
    assert restored is not None
    assert restored.step == 64
    assert restored.payload["step"] == 64


def test_no_bit_of_the_body_can_turn_unnoticed(store):
    save(store, 64, size=20)
    (path,) = files(store)
    sound = path.read_bytes()
    for at in range(sound.index(b"\n") + 1, len(sound)):
        path.write_bytes(flipped(sound, at))
        assert checkpoint.latest(store, "run", HERE) is None, at
    path.write_bytes(sound)
    assert checkpoint.latest(store, "run", HERE) is not None


def test_both_damaged_means_a_start_from_the_beginning(store):
    save(store, 64, 128)
    for path in files(store):
        path.write_bytes(halved(path.read_bytes()))
    assert checkpoint.latest(store, "run", HERE) is None


def test_damaged_one_does_not_push_the_sound_one_out(store):
    save(store, 64, 128)
    files(store)[-1].write_bytes(b"")
    save(store, 65)  # training goes on from 64, which is behind the damaged file
    assert steps_available(store)[0] == 65


def test_one_of_a_later_step_is_dropped_when_the_run_has_gone_back(store):
    save(store, 64, 128, 192)
    save(store, 129)  # from 128, the step that all lanes had
    assert steps_available(store) == [129, 128]


@pytest.mark.parametrize("reason", ["damaged", "of another engine"])
def test_unusable_ones_do_not_push_out_those_of_a_run_that_had_to_start_over(store, reason):
    save(store, 5000, 6000, requires=HERE if reason == "damaged" else {"engine": "compiled"})
    if reason == "damaged":
        for path in files(store):
            path.write_bytes(b"")
    save(store, 64, 128)
    assert steps_available(store) == [128, 64]


@pytest.mark.parametrize(
    "elsewhere", [{"engine": "compiled", "torch": "2"}, {"engine": "eager", "torch": "3"}, {"engine": "eager"}]
)
def test_checkpoint_of_another_engine_or_version_is_passed_over(store, elsewhere):
    save(store, 64)
    save(store, 128, requires=elsewhere)
    assert steps_available(store, HERE) == [64]
    assert steps_available(store, elsewhere) == [128]


def test_process_killed_while_writing_leaves_the_older_checkpoint(store):
    save(store, 64)

    def write_and_be_killed() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the kernel kills whoever writes more
        save(store, 128)

    assert in_child(write_and_be_killed) == -signal.SIGXFSZ
    torn = [path for path in (store.checkpoints_path / "run").iterdir() if path.suffix != ".ckpt"]
    assert [path.stat().st_size for path in torn] == [4096], "the write was not interrupted half way"
    assert steps_available(store) == [64]
    assert checkpoint.latest_step(store, "run") == 64
    save(store, 128)
    assert steps_available(store) == [128, 64]
    checkpoint.discard(store, "run")
    assert not (store.checkpoints_path / "run").exists()


def test_write_that_fails_leaves_the_older_checkpoint_and_no_litter(store):
    save(store, 64)

    def write_too_much() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
        with pytest.raises(OSError, match="File too large"):
            save(store, 128)

    assert in_child(write_too_much) == 0
    assert [path.name for path in (store.checkpoints_path / "run").iterdir()] == ["000000000064.ckpt"]
    assert steps_available(store) == [64]
