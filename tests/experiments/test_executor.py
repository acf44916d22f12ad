"""Worker processes that are killed, raise or are stopped, and two starters on one store."""

from __future__ import annotations

import io
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from experiment_support import ALWAYS, ROOT, Answer, ask, bytes_alone, eager, make_run, python, result_bytes, wait_until
from rich.console import Console

from experiments import checkpoint, run
from experiments.cli import resolve_request
from experiments.executor import Job, run_local
from experiments.plan import Group
from experiments.progress import Progress
from experiments.store import Store

# Layers that fit into no memory: the worker raises, for a reason that nobody can foresee.
TOO_LARGE = 10**6
FAILING = ("stream_barrier", "--preset", "anchors", "--seeds", "1", "--set", "env_id=Hopper-v4", "--set", "steps=130")
FAILING = (*FAILING, "--set", f"hidden=[{TOO_LARGE},{TOO_LARGE}]")


def group(*seeds: int, steps: int = 200) -> Group:
    return Group(tuple(make_run(seed=seed, steps=steps) for seed in seeds), 1000.0, steps * len(seeds))


def running(jobs: Sequence[Job]) -> list[Job]:
    return [job for job in jobs if job.state == "running" and job.process is not None and job.process.poll() is None]


# Workers that end otherwise than they should


class Killed(NamedTuple):
    """How it went when one worker was killed once, after its first checkpoint, and another as often as it was started."""

    once: Job
    always: Job
    states: list[tuple[str, ...]]
    starts: dict[int, set[int]]
    store: Store


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    store = Store(tmp_path_factory.mktemp("killed") / "runs")
    states, starts = [], defaultdict(set)

    def kill(jobs: Sequence[Job]) -> None:
        states.append(tuple(job.state for job in jobs))
        once, always = jobs
        for number, job in enumerate(jobs):
            if job.process is not None:
                starts[number].add(job.process.pid)
        if running([once]) and once.deaths == 0 and all(checkpoint.latest_step(store, r.run_id) for r in once.group.runs):
            once.process.kill()
        if running([always]):
            always.process.kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        once, always = run_local([group(0, 1, steps=1000), group(2, 3)], store, eager(ALWAYS), workers=2, watch=kill)
    return Killed(once, always, states, starts, store)


def test_killed_worker_is_noticed_and_its_group_goes_on_from_its_checkpoint(killed):
    runs = killed.once.group.runs
    assert (killed.once.state, killed.once.deaths) == ("done", 1)
    assert len(killed.starts[0]) == 2
    assert killed.store.provenance(runs[0].run_id)["resumed_at"], "it began anew"
    assert result_bytes(killed.store, runs) == bytes_alone(runs)


def test_worker_that_dies_twice_has_failed_and_the_others_go_on(killed):
    runs = killed.always.group.runs
    assert killed.always.state == "failed"
    assert len(killed.starts[1]) == 2
    assert "died twice, the second time by signal SIGKILL" in killed.always.message
    assert killed.store.failures() == {r.run_id for r in runs}
    assert "died twice, the second time by signal SIGKILL" in killed.store.failure(runs[0].run_id)
    assert ("running", "failed") in killed.states
    assert killed.states[-1] == ("done", "failed")
    assert killed.store.finished() == {r.run_id for r in killed.once.group.runs}


STOPPABLE = ["env_id=Hopper-v4", "steps=1900", "hidden=[]"]


def stop_once_there_is_a_checkpoint(store: Store, who: Callable[[str], int]) -> tuple[threading.Thread, list[str], list[str]]:
    """Return a thread that sends SIGTERM to a process, the words of the command to stop, and its runs."""
    run_ids = [r.run_id for r in resolve_request("stream_barrier", "anchors", STOPPABLE, 2).runs]
    words = [
        "stream_barrier",
        "--preset",
        "anchors",
        "--seeds",
        "2",
        "--store",
        str(store.root),
        "--checkpoint-seconds",
        "0.01",
    ]
    words += [word for setting in STOPPABLE for word in ("--set", setting)]

    def terminate() -> None:
        wait_until(lambda: all(checkpoint.latest_step(store, run_id) for run_id in run_ids))
        os.kill(who(run_ids[0]), signal.SIGTERM)

    return threading.Thread(target=terminate), words, run_ids


def test_command_asked_to_stop_leaves_checkpoints_and_no_claims(store, capfd, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    thread, words, run_ids = stop_once_there_is_a_checkpoint(store, lambda _: os.getpid())
    thread.start()
    answer = ask(capfd, monkeypatch, "run", *words)
    thread.join()
    assert answer.code == 130
    assert "stopped; the same command goes on from the checkpoints" in answer.out
    assert signal.getsignal(signal.SIGTERM) == before
    assert len({checkpoint.latest_step(store, run_id) for run_id in run_ids}) == 1
    assert [path.name for path in store.claims_path.iterdir()] == [".lock"]
    assert store.failures() == store.finished() == set()


def test_command_whose_worker_was_asked_to_stop_says_that_runs_are_left(store, capfd, monkeypatch):
    thread, words, _ = stop_once_there_is_a_checkpoint(store, lambda run_id: store.claimant(run_id)["pid"])
    thread.start()
    answer = ask(capfd, monkeypatch, "run", *words)
    thread.join()
    assert store.finished() == set()
    assert answer.code != 0
    assert "the same command goes on" in answer.out


# Runs that raise


def test_failed_run_keeps_its_traceback_is_left_alone_and_is_retried_when_asked(store, capfd, monkeypatch):
    monkeypatch.setattr(run, "_report", lambda *_: None)  # there is nothing to draw
    (run_id,) = (r.run_id for r in resolve_request(FAILING[0], "anchors", FAILING[6::2], 1).runs)
    words = (*FAILING, "--store", str(store.root))

    first = ask(capfd, monkeypatch, "run", *words)
    assert first.code == 1
    assert store.failures() == {run_id}
    assert store.failure(run_id).startswith("Traceback")
    assert "can't allocate memory" in store.failure(run_id)
    assert store.claimant(run_id) is None
    attempt = (store.failures_path / run_id).stat()

    second = ask(capfd, monkeypatch, "run", *words)
    assert second.code == 1
    assert "0 to train" in second.out
    assert "1 run failed" in second.out
    assert f"python -m experiments.run {shlex.join(words)} --retry` tries again" in second.out
    assert (store.failures_path / run_id).stat() == attempt

    third = ask(capfd, monkeypatch, "run", *words, "--retry")
    assert third.code == 1
    assert "1 to train" in third.out
    assert (store.failures_path / run_id).stat().st_ino != attempt.st_ino

    status = ask(capfd, monkeypatch, "status", *words)
    assert status.code == 0
    assert "1 failed: RuntimeError: [enforce fail at" in status.out
    assert run_id in status.out


def test_command_says_that_runs_failed_where_all_have(store, capfd, monkeypatch):
    (run_id,) = (r.run_id for r in resolve_request(FAILING[0], "anchors", FAILING[6::2], 1).runs)
    store.fail(run_id, "Traceback\nRuntimeError: for a reason\n")
    answer = ask(capfd, monkeypatch, "run", *FAILING, "--store", str(store.root))
    assert answer.code == 1
    assert "1 run failed" in answer.out
    assert "--retry" in answer.out


@pytest.mark.parametrize("message", ["RuntimeError: [enforce fail at alloc_cpu.cpp:127] err", "ValueError: [/usr/lib] is odd"])
def test_message_of_a_failed_group_is_shown_as_it_is(message):
    console = Console(file=io.StringIO(), width=200)
    Progress(console, workers=1)([Job(group(0), state="failed", message=message)])
    assert message in console.file.getvalue()


# Two starters


class Starters(NamedTuple):
    """How two commands ended that were started at once, and one that came while the runs were being trained."""

    together: tuple[Answer, Answer]
    later: Answer
    store: Store
    run_ids: list[str]
    owners: dict[str, set[str]]


@pytest.fixture(scope="module")
def starters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starters]:
    folder = tmp_path_factory.mktemp("starters")
    settings = ["env_id=Hopper-v4", "steps=300", "hidden=[]"]
    words = ["stream_barrier", "--preset", "anchors", "--seeds", "3"]
    words += [word for setting in settings for word in ("--set", setting)]
    run_ids = [r.run_id for r in resolve_request("stream_barrier", "anchors", settings, 3).runs]
    store = Store(folder / "runs")
    owners: dict[str, set[str]] = defaultdict(set)

    # The command, up to the figure.
    code = "import sys; from experiments import run; run._report = lambda *_: None; run.run_app(run.app)"

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", code, *words, "--workers", "1"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def look() -> list[dict]:
        holders = [store.claimant(run_id) for run_id in run_ids]
        for run_id, holder in zip(run_ids, holders, strict=True):
            if holder is not None:
                owners[run_id].add(holder["owner"])
        return [holder for holder in holders if holder is not None]

    def end(starter: subprocess.Popen[str]) -> Answer:
        out, err = starter.communicate(timeout=120)
        return Answer(starter.returncode, out, err)

    together = start(), start()
    processes = [*together]
    try:
        wait_until(lambda: len(look()) == len(run_ids), pause=0.005)
        training = look()[0]["pid"]
        os.kill(training, signal.SIGSTOP)  # so that it is not done before a third one comes
        try:
            processes.append(start())
            later = end(processes[-1])
            look()
        finally:
            os.kill(training, signal.SIGCONT)
        while any(starter.poll() is None for starter in together):
            look()
            time.sleep(0.01)
        yield Starters((end(together[0]), end(together[1])), later, store, run_ids, owners)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_later_starter_says_who_trains_and_exits_with_0(starters):
    assert starters.later.code == 0, starters.later
    assert "3 runs are being trained by process" in starters.later.out
    assert "nothing to do here" in starters.later.out
    assert starters.later.err == ""


def test_two_starters_train_each_run_once(starters):
    assert starters.store.finished() == set(starters.run_ids)
    assert {run_id: len(owners) for run_id, owners in starters.owners.items()} == dict.fromkeys(starters.run_ids, 1)
    assert all(starters.store.provenance(run_id)["resumed_at"] == [] for run_id in starters.run_ids)
    assert starters.store.failures() == set()
    assert [starters.store.claimant(run_id) for run_id in starters.run_ids] == [None] * 3
    for run_id in starters.run_ids:
        starters.store.load(run_id)


def test_of_two_starters_at_once_the_one_without_work_says_so_and_exits_with_0(starters):
    assert [answer.code for answer in starters.together] == [0, 0]
    assert any("being trained by process" in answer.out for answer in starters.together)


def test_worker_is_as_nice_to_the_machine_as_its_command_was():
    """Linux shares processors among sessions first, and a worker is a session of its own."""
    try:
        Path("/proc/self/autogroup").read_text()
    except OSError:
        pytest.skip("this system does not share processors out by sessions")
    program = "import os; os.setsid(); os.nice(7); from experiments.worker import keep_niceness; keep_niceness()"
    done = python("-c", f"{program}; print(open('/proc/self/autogroup').read())")
    assert done.code == 0, done.err
    assert done.out.split()[-1] == str(min(os.nice(0) + 7, 19))
