"""A task by itself: what it trains, how it ends, and when it asks SLURM to be requeued."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from experiment_support import ALWAYS, bytes_alone, eager, in_child, make_run, result_bytes
from slurm_support import small_runs

from experiments import checkpoint
from experiments.executor import Job, run_local
from experiments.plan import Group
from experiments.spec import Run
from experiments.store import Owner, Store
from slurm import task as slurm_task
from slurm.task import Task


def task_of(store: Store, runs: Sequence[Run]) -> Task:
    return Task(str(store.root), [Group(tuple(runs), 1000.0, 1)], cores=1, checkpoint_seconds=60, time_minutes=10)


def ended(task: Callable[[], None]) -> int:
    """Run a task in a forked process; return its exit code."""

    def run() -> None:
        try:
            task()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)

    return in_child(run)


def test_task_that_finds_its_runs_taken_or_finished_ends_well_says_so_and_trains_nothing(store, monkeypatch, capfd):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    finished, taken = small_runs(2)
    store.publish(finished, {}, {"status": "finished"}, {})
    assert store.claim(taken.run_id, Owner())
    assert in_child(task_of(store, [finished, taken])) == 0
    assert f"1 run is being trained by process {os.getpid()} on" in capfd.readouterr().out
    assert store.finished() == {finished.run_id}
    assert checkpoint.latest_step(store, taken.run_id) == 0


def test_task_whose_run_failed_before_it_was_requeued_does_not_try_again_and_does_not_end_well(store, monkeypatch, capfd):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    (failed,) = small_runs(1)
    store.fail(failed.run_id, "RuntimeError: before it was requeued\n")
    assert ended(task_of(store, [failed])) == 1
    assert "1 run failed, 0 left over" in capfd.readouterr().err
    assert store.failure(failed.run_id) == "RuntimeError: before it was requeued\n"


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], list[str]]]:
    """Return a function that puts squeue and scontrol into the PATH; what that returns tells how they were called."""
    monkeypatch.setattr(slurm_task, "PAUSE_SECONDS", 0.05)
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "7")

    def put(squeue: str, scontrol: str = "exit 0") -> Callable[[], list[str]]:
        calls = tmp_path / "calls"
        for name, script in (("squeue", squeue), ("scontrol", scontrol)):
            (folder / name).write_text(f'#!/bin/sh\necho {name} "$@" >>{calls}\nn=$(grep -c ^{name} {calls})\n{script}\n')
            (folder / name).chmod(0o755)
        return lambda: calls.read_text().splitlines()

    return put


HICCUP = "echo 'slurm_load_jobs error: Socket timed out on send/recv operation' >&2; exit 1"


@pytest.mark.parametrize(
    ("squeue", "scontrol", "requeued", "asked"),
    [
        ("echo RUNNING", "exit 0", True, ["squeue", "scontrol"]),
        (f"[ $n -gt 3 ] && echo RUNNING && exit; {HICCUP}", "exit 0", True, ["squeue"] * 4 + ["scontrol"]),
        ("[ $n -gt 2 ] && echo RUNNING", "exit 0", True, ["squeue"] * 3 + ["scontrol"]),  # no error, and no answer
        (HICCUP, "exit 0", True, None),  # it never tells: that is not to be gone
        ("echo RUNNING", f"[ $n -gt 2 ] && exit 0; {HICCUP}", True, ["squeue"] + ["scontrol"] * 3),
        ("echo RUNNING", HICCUP, False, None),
        ("echo CANCELLED", "exit 0", False, ["squeue"]),
        (f"[ $n -gt 1 ] && echo COMPLETING && exit; {HICCUP}", "exit 0", False, ["squeue"] * 2),
    ],
)
def test_task_asks_slurm_again_before_it_believes_that_it_is_not_to_be_requeued(stand_ins, squeue, scontrol, requeued, asked):
    calls = stand_ins(squeue, scontrol)
    assert slurm_task._requeued(2.0) is requeued
    names = [call.split()[0] for call in calls()]
    assert names == asked if asked else names.count("squeue") > 1 or names.count("scontrol") > 1


def test_squeue_that_fails_at_random_ends_no_chain(stand_ins):
    calls = stand_ins(f"[ $(od -An -N1 -tu1 /dev/urandom) -lt 64 ] && echo RUNNING && exit; {HICCUP}")
    for _ in range(5):
        assert slurm_task._requeued(1.0)
    assert sum(call.startswith("scontrol requeue 7") for call in calls()) == 5


def test_task_of_an_array_speaks_of_itself_and_not_of_the_whole_array(stand_ins, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "7")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    calls = stand_ins("echo RUNNING")
    assert slurm_task._requeued(1.0)
    assert "--jobs=7_3" in calls()[0]
    assert calls()[1] == "scontrol requeue 7_3"


@pytest.mark.parametrize(("state", "code", "said"), [("RUNNING", 0, "Requeued."), ("CANCELLED", 75, "SLURM is ending the job")])
def test_task_whose_worker_alone_was_stopped_asks_to_be_requeued(store, stand_ins, capfd, monkeypatch, state, code, said):
    stand_ins(f"echo {state}")
    (run,) = small_runs(1)
    monkeypatch.setattr("experiments.executor.run_local", lambda groups, *_, **__: [Job(groups[0], "stopped")])
    assert ended(task_of(store, [run])) == code
    assert said in capfd.readouterr().out


def test_refused_run_is_tried_again_by_a_task_and_replaced_where_that_was_submitted(store, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    (run,) = small_runs(1)
    checkpoint.save(store, run.run_id, 64, {"torch": "0.1"}, {})
    assert in_child(task_of(store, [run])) == 1
    assert "made with" in store.refusals()[run.run_id]
    replaceable = checkpoint.identities(store, [run.run_id])
    task = Task(str(store.root), [Group((run,), 1000.0, 1)], 1, 60, 10, replaceable=replaceable)
    assert in_child(task) == 0
    assert store.provenance(run.run_id)["resume"] == checkpoint.RESTARTED


def test_claim_of_a_job_before_it_was_requeued_to_another_node_is_dead(store, monkeypatch):
    (run,) = small_runs(1)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setattr("socket.gethostname", lambda: "node1")
    assert store.claim(run.run_id, Owner())
    monkeypatch.setattr("socket.gethostname", lambda: "node2")
    monkeypatch.setenv("SLURM_JOB_ID", "8")
    assert not store.claim(run.run_id, Owner()), "another job lives and was robbed"
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert store.claim(run.run_id, Owner())


def test_local_workers_stop_with_checkpoints_when_asked_without_a_signal(store):
    run = make_run(steps=200)
    groups = [Group((run,), 1000.0, run.steps)]
    (job,) = run_local(groups, store, eager(ALWAYS), 1, stop_requested=lambda: checkpoint.latest_step(store, run.run_id) > 0)
    assert job.state == "stopped"
    (job,) = run_local(groups, store, eager(), 1, stop_requested=lambda: False)
    assert job.state == "done"
    assert result_bytes(store, [run]) == bytes_alone((run,))
