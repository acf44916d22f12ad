"""A start in an environment where a checkpoint does not fit: it is kept, named and refused, and nobody else fails or waits."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment_support import ALWAYS, Answer, ask, bytes_alone, eager, make_run, result_bytes, snapshot, stop_after

from experiments import checkpoint, provenance, run
from experiments.cli import resolve_request
from experiments.plan import plan
from experiments.spec import Run
from experiments.store import Store
from experiments.worker import DONE, FAILED, STOPPED, Options, train_runs

PPO = {"hidden": (8, 8), "rollout_steps": 64, "minibatch_size": 32, "epochs": 1}
# A run of each kind, stopped on its way, and one of its group that has not begun.
KINDS = {
    "lanes": tuple(make_run(seed=seed, steps=400) for seed in range(2)),
    "stable-baselines3": tuple(make_run(seed=seed, steps=500, algorithm="ppo", **PPO) for seed in range(2)),
}
SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=130", "--set", "hidden=[]")


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Return versions of packages that this process takes for installed."""
    pretended: dict[str, str] = {}
    true = provenance._version
    monkeypatch.setattr(provenance, "_version", lambda name: pretended.get(name, true(name)))
    return pretended


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    monkeypatch.setattr(run, "_report", lambda *_: None)
    return lambda module, *words: ask(capfd, monkeypatch, module, *words)


def start(store: Store, runs: Sequence[Run], options: Options | None = None, asked: int = 0) -> int:
    """Train; with `asked`, be asked to stop when it asks for that time."""
    return train_runs(runs, store, options or eager(ALWAYS), stop_after(asked))


def rewritten(path: Path, **changes: Any) -> None:
    """Change what the first line of a checkpoint says, and its checksum with it."""
    line, _, rest = path.read_bytes()[: -checkpoint.CHECKSUM_BYTES].partition(b"\n")
    content = json.dumps({**json.loads(line), **changes}).encode() + b"\n" + rest
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())


def checkpoints(store: Store, run_: Run) -> list[Path]:
    return sorted((store.checkpoints_path / run_.run_id).iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_start_with_another_version_of_a_package_leaves_the_checkpoints_as_they_are_and_trains_the_others(
    store, versions, capfd, kind
):
    begun, new = KINDS[kind]
    assert start(store, [begun], asked=3) == STOPPED
    kept = snapshot(store.checkpoints_path / begun.run_id)
    assert len(kept) == 2
    versions["gymnasium"] = "0.1"
    assert start(store, [begun, new]) == FAILED
    assert snapshot(store.checkpoints_path / begun.run_id) == kept
    assert store.finished() == {new.run_id}
    true = provenance.metadata.version("gymnasium")
    told = (
        f"its checkpoint was made with gymnasium {true}, here is 0.1; install that version, or train it from the beginning "
        "with --restart."
    )
    assert store.refusals() == {begun.run_id: told}
    assert capfd.readouterr().err.strip() == f"refused 1 of 2 runs: {told}"
    assert store.claimant(begun.run_id) is None

    versions.clear()
    assert start(store, [begun]) == DONE
    assert store.provenance(begun.run_id)["resumed_at"], "it did not go on from its checkpoint"
    assert result_bytes(store, [begun]) == bytes_alone((begun,))


@pytest.mark.parametrize("kind", KINDS)
def test_versions_of_packages_that_a_run_does_not_import_may_change(store, versions, kind):
    begun = KINDS[kind][0]
    assert start(store, [begun], asked=3) == STOPPED
    versions |= {"ale-py": "0.1", "minatar": "0.1", "dm-control": "0.1", "opencv-python-headless": "0.1"}
    if kind == "lanes":
        versions["stable-baselines3"] = "0.1"
    assert start(store, [begun]) == DONE
    assert store.provenance(begun.run_id)["resumed_at"]


def test_checkpoint_of_the_compiled_engine_is_refused_and_kept_where_there_is_no_compiler(store):
    begun, new = KINDS["lanes"]
    assert start(store, [begun], asked=3) == STOPPED
    for path in checkpoints(store, begun):
        line = json.loads(path.read_bytes().partition(b"\n")[0])
        rewritten(path, requires=line["requires"] | {"engine": "compiled"})
    kept = snapshot(store.checkpoints_path / begun.run_id)
    assert start(store, [begun, new]) == FAILED
    assert snapshot(store.checkpoints_path / begun.run_id) == kept
    (told,) = store.refusals().values()
    assert "made with engine compiled, here is eager; install a C++ compiler and the headers of Python" in told
    assert result_bytes(store, [new]) == bytes_alone((new,))


@pytest.mark.parametrize("kind", KINDS)
def test_state_in_another_layout_is_refused_and_kept(store, kind):
    begun = KINDS[kind][0]
    assert start(store, [begun], asked=3) == STOPPED
    for path in checkpoints(store, begun):
        line = json.loads(path.read_bytes().partition(b"\n")[0])
        line["payload"].append(["of_another_version", None])
        rewritten(path, payload=line["payload"], code=[{"commit": "7654321" * 5}])
    kept = snapshot(store.checkpoints_path / begun.run_id)
    assert start(store, [begun]) == FAILED
    assert snapshot(store.checkpoints_path / begun.run_id) == kept
    (told,) = store.refusals().values()
    assert "in another layout than this version of the code; continue it with the code that made it (commit 7654321)" in told


@pytest.mark.parametrize("kind", KINDS)
def test_only_those_that_are_to_be_replaced_make_room_and_the_run_begins_anew(store, versions, kind):
    begun = KINDS[kind][0]
    versions["gymnasium"] = "0.1"
    assert start(store, [begun], asked=3) == STOPPED
    old = [path.name for path in checkpoints(store, begun)]
    versions.clear()
    options = Options(ALWAYS, compiled=False, replaceable=checkpoint.identities(store, [begun.run_id]))
    assert start(store, [begun], options, asked=1) == STOPPED
    assert not {path.name for path in checkpoints(store, begun)} >= set(old), "nothing was replaced"
    assert start(store, [begun]) == DONE, "what has taken its place is continued without being told"
    told = store.provenance(begun.run_id)
    assert told["resume"] == checkpoint.RESTARTED
    assert told["resumed_at"]
    assert result_bytes(store, [begun]) == bytes_alone((begun,))


def test_checkpoints_of_two_runs_that_were_swapped_are_not_continued(store):
    runs = KINDS["lanes"]
    assert start(store, runs, asked=3) == STOPPED
    one, other = (store.checkpoints_path / run_.run_id for run_ in runs)
    one.rename(store.checkpoints_path / "third")
    other.rename(one)
    (store.checkpoints_path / "third").rename(other)
    assert start(store, runs) == DONE
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert [store.provenance(run_.run_id).get("resume") for run_ in runs] == [checkpoint.RESTARTED] * 2


def test_plan_counts_the_steps_of_a_checkpoint_only_where_it_can_be_used(store, versions):
    begun, new = KINDS["lanes"]
    assert start(store, [begun], asked=3) == STOPPED
    left = []
    for pretended in ({}, {"torch": "0.1"}, {"ale-py": "0.1"}):
        versions.clear()
        versions |= pretended
        (group,) = plan(store, [begun, new], workers=1)
        left.append(group.steps_left)
    assert left == [800 - 128, 800, 800 - 128]


def test_command_says_why_a_run_is_refused_trains_the_others_and_tries_it_again_by_itself(command, store, versions):
    words = (*SMALL, "--seeds", "3", "--store", str(store.root))
    runs = resolve_request("stream_barrier", "anchors", SMALL[4::2], 3).runs
    versions["gymnasium"] = "0.1"
    assert start(store, runs[:1], asked=2) == STOPPED
    versions.clear()
    told = "1 run refused: its checkpoint was made with gymnasium 0.1, here is"
    kept = snapshot(store.checkpoints_path)
    for trained in ("3 to train", "1 to train"):
        answer = command("run", *words, "--workers", "1")
        assert answer.code == 1
        assert trained in answer.out
        assert told in answer.out
        assert "--retry" not in answer.out, "trying again would not help"
        assert snapshot(store.checkpoints_path) == kept
        assert store.finished() == {run_.run_id for run_ in runs[1:]}
    answer = command("status", *words)
    assert ["all", "2", "0", "1", "0"] in [line.split() for line in answer.out.splitlines()]
    assert told.replace("1 run", "1") in answer.out

    for path in checkpoints(store, runs[0]):
        line = json.loads(path.read_bytes().partition(b"\n")[0])
        rewritten(path, requires=line["requires"] | {"gymnasium": provenance.metadata.version("gymnasium")})
    assert command("run", *words).code == 0
    assert store.provenance(runs[0].run_id)["resumed_at"] == [64]
    assert store.failures() == set()


def test_command_replaces_what_does_not_fit_when_asked_to(command, store, versions):
    words = (*SMALL, "--seeds", "1", "--store", str(store.root))
    runs = resolve_request("stream_barrier", "anchors", SMALL[4::2], 1).runs
    versions["gymnasium"] = "0.1"
    assert start(store, runs, asked=2) == STOPPED
    assert command("run", *words, "--restart").code == 0
    assert store.provenance(runs[0].run_id)["resume"] == checkpoint.RESTARTED
    assert store.failures() == set()
    assert os.listdir(store.checkpoints_path) == []
