"""Checkpoints: written whole or not at all, two kept, damaged ones passed over, and those that do not fit kept and named."""

from __future__ import annotations

import hashlib
import json
import pickle
import resource
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from experiment_support import in_child, snapshot

from experiments import checkpoint
from experiments.store import Store

HERE = {"engine": "eager", "torch": "2"}


def save(store: Store, *steps: int, requires: dict[str, str] = HERE, size: int = 1000) -> None:
    for step in steps:
        checkpoint.save(store, "run", step, requires, {"step": step, "weights": np.full(size, step)})


def files(store: Store) -> list[Path]:
    return sorted(store.checkpoints_path.glob("run/*.ckpt"))


def steps_usable(store: Store, requires: dict[str, str] = HERE, **options: Any) -> list[int]:
    return [c.step for c in checkpoint.usable(store, "run", requires, **options)]


def test_state_comes_back_bit_for_bit(store):
    payload = {
        "state": {"weights": torch.randn(3, 4), "hyper": {"gamma": torch.tensor(0.99, dtype=torch.float64)}},
        "nan": np.array([np.nan, -0.0, np.inf]),
        "rows": [(10, -3.5, 7)],
    }
    checkpoint.save(store, "run", 64, HERE, payload)
    found = checkpoint.latest(store, "run", HERE)
    assert found is not None
    assert found.step == 64
    restored = found.load()
    assert restored["rows"] == payload["rows"]
    assert restored["nan"].tobytes() == payload["nan"].tobytes()
    assert torch.equal(restored["state"]["weights"], payload["state"]["weights"])
    assert restored["state"]["hyper"]["gamma"].dtype == torch.float64


def test_nothing_is_available_where_nothing_was_saved(store):
    assert checkpoint.latest(store, "run", HERE) is None
    assert checkpoint.latest_step(store, "run") == 0
    checkpoint.discard(store, "run")
    assert not store.root.exists()


def test_the_newest_two_are_kept_newest_first(store):
    save(store, 64, 128, 999, 1000, 1_000_000)
    assert steps_usable(store) == [1_000_000, 1000]
    assert checkpoint.latest_step(store, "run") == 1_000_000
    assert len(files(store)) == 2


def test_saving_a_step_again_replaces_it(store):
    save(store, 64, 128)
    checkpoint.save(store, "run", 128, HERE, {"step": "again"})
    assert [c.load()["step"] for c in checkpoint.usable(store, "run", HERE)] == ["again", 64]


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
    "a bit of the step turned": lambda content: flipped(content, content.index(b'"step": 1') + 8),
    "a bit of the checksum turned": lambda content: flipped(content, len(content) - 10),
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
    assert restored.load()["step"] == 64


def test_no_bit_can_turn_unnoticed(store):
    save(store, 64, size=20)
    (path,) = files(store)
    sound = path.read_bytes()
    for at in range(len(sound)):
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
    assert steps_usable(store)[0] == 65


def test_one_of_a_later_step_is_dropped_when_the_run_has_gone_back(store):
    save(store, 64, 128, 192)
    save(store, 129)  # from 128, the step that all lanes had
    assert steps_usable(store) == [129, 128]


def test_damaged_ones_of_later_steps_do_not_push_out_those_of_a_run_that_had_to_start_over(store):
    save(store, 5000, 6000)
    for path in files(store):
        path.write_bytes(b"")
    save(store, 64, 128)
    assert steps_usable(store) == [128, 64]


# Of another run, or of a form that is no longer read


def test_checkpoint_of_another_run_or_step_is_passed_over_like_a_damaged_one(store):
    save(store, 64, 128)
    newest = files(store)[-1]
    (store.checkpoints_path / "other").mkdir()
    (store.checkpoints_path / "other" / newest.name).write_bytes(newest.read_bytes())
    assert list(checkpoint.usable(store, "other", HERE)) == []
    assert checkpoint.usable_step(store, "other", HERE) == 0
    newest.rename(newest.with_name("000000000999.ckpt"))
    assert steps_usable(store) == [64]


class Bomb:
    def __init__(self, target: Path):
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


def of_the_first_format(store: Store, step: int, payload: Any, sound: bool = True) -> None:
    """Write what the first version of the code wrote: a line of JSON, and a pickle with its checksum in the line."""
    body = pickle.dumps(payload)
    checksum = hashlib.sha256(body if sound else b"").hexdigest()
    about = {"step": step, "sha256": checksum, "requires": HERE, "code": [{"commit": "1234567" * 5, "dirty": False}]}
    path = store.checkpoints_path / "run" / f"{step:012d}.ckpt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json.dumps(about).encode() + b"\n" + body)


def test_pickle_in_place_of_a_checkpoint_is_not_opened(store, tmp_path):
    target = tmp_path / "executed"
    assert pickle.loads(pickle.dumps(Bomb(target))) is None
    assert target.exists(), "the bomb does not work"
    target.unlink()
    of_the_first_format(store, 64, Bomb(target))
    with pytest.raises(checkpoint.Misfit, match=r"written by an older version of the code.*\(commit 1234567\).*--restart"):
        steps_usable(store)
    (path,) = files(store)
    assert steps_usable(store, replaceable=checkpoint.identities(store, ["run"])) == []
    as_of_today = path.read_bytes().replace(b'{"step"', b'{"format": 2, "run_id": "run", "step"')
    for content in (pickle.dumps(Bomb(target)), as_of_today):
        path.write_bytes(content)
        assert steps_usable(store) == []
    checkpoint.latest_step(store, "run")
    checkpoint.code_versions(store, "run")
    assert not target.exists()


def test_damaged_one_of_the_first_format_is_passed_over(store):
    of_the_first_format(store, 64, {}, sound=False)
    assert steps_usable(store) == []


# What does not fit here


@pytest.mark.parametrize(
    ("elsewhere", "told"),
    [
        ({"engine": "eager", "torch": "3"}, "was made with torch 3, here is 2; install that version, or .* --restart"),
        ({"engine": "eager", "torch": None}, "was made with torch none, here is 2"),
        ({"engine": "eager"}, "was made with torch none, here is 2"),
        ({"engine": "compiled", "torch": "2"}, r"was made with engine compiled, here is eager; install a C\+\+ compiler"),
        (
            {"engine": "compiled", "torch": "3"},
            "engine compiled and torch 3, here are eager and 2; .* and install that version",
        ),
    ],
)
def test_checkpoint_of_another_engine_or_version_is_refused_and_kept(store, elsewhere, told):
    save(store, 64)
    save(store, 128, requires=elsewhere)
    before = snapshot(store.root)
    with pytest.raises(checkpoint.Misfit, match=told):
        steps_usable(store)
    assert snapshot(store.root) == before
    assert steps_usable(store, elsewhere)[0] == 128
    assert checkpoint.usable_step(store, "run", HERE) == 0
    assert checkpoint.usable_step(store, "run", elsewhere) == 128


def test_packages_that_are_no_longer_required_may_be_of_any_version(store):
    save(store, 64, requires={**HERE, "mujoco": "1"})
    assert steps_usable(store) == [64]
    assert checkpoint.usable_step(store, "run", HERE) == 64


def test_damaged_one_is_not_refused_for_what_its_first_line_says(store):
    save(store, 64)
    save(store, 128, requires={"engine": "eager", "torch": "3"})
    files(store)[-1].write_bytes(halved(files(store)[-1].read_bytes()))
    assert steps_usable(store) == [64]


def test_layout_of_the_state_is_compared_by_names_and_by_shapes_of_tensors(store):
    def payload(**state: Any) -> dict[str, Any]:
        return {"state": {"weights": torch.zeros(2), **state}, "rows": np.zeros(len(state))}

    checkpoint.save(store, "run", 64, HERE, payload())
    assert steps_usable(store, like=payload) == [64]
    for other in (payload(bias=torch.zeros(1)), payload(weights=torch.zeros(3)), {**payload(), "more": None}):
        with pytest.raises(checkpoint.Misfit, match=r"keeps the state in another layout.*--restart"):
            steps_usable(store, like=lambda other=other: other)


def test_only_the_checkpoints_that_were_named_are_replaced(store):
    elsewhere = {"engine": "eager", "torch": "3"}
    save(store, 64, requires=elsewhere)
    replaceable = checkpoint.identities(store, ["run", "of nobody"])
    assert steps_usable(store, replaceable=replaceable) == []
    assert len(files(store)) == 1, "it goes when the new one is there"
    save(store, 32)
    assert steps_usable(store) == [32]
    save(store, 64, requires=elsewhere)  # on a node of another kind
    with pytest.raises(checkpoint.Misfit):
        steps_usable(store, replaceable=replaceable)


def test_what_is_not_plain_data_is_not_saved(store):
    save(store, 64)
    with pytest.raises(TypeError, match=r"learner\.option is a "):
        checkpoint.save(store, "run", 128, HERE, {"learner": {"option": object()}})
    assert [path.name for path in (store.checkpoints_path / "run").iterdir()] == ["000000000064.ckpt"]


def test_process_killed_while_writing_leaves_the_older_checkpoint(store):
    save(store, 64)

    def write_and_be_killed() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # the kernel kills whoever writes more
        save(store, 128)

    assert in_child(write_and_be_killed) == -signal.SIGXFSZ
    torn = [path for path in (store.checkpoints_path / "run").iterdir() if path.suffix != ".ckpt"]
    assert [path.stat().st_size for path in torn] == [4096], "the write was not interrupted half way"
    assert steps_usable(store) == [64]
    assert checkpoint.latest_step(store, "run") == 64
    save(store, 128)
    assert steps_usable(store) == [128, 64]
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
    assert steps_usable(store) == [64]
