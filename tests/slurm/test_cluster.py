"""On a real SLURM of one node: whatever befalls a job, it ends in the same bytes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from experiment_support import ROOT, Answer, bytes_alone, one_sentence, result_bytes, wait_until
from slurm_support import SMALL, Submit, small_runs

from experiments import checkpoint
from experiments.executor import run_local
from experiments.plan import Group
from experiments.spec import Run
from experiments.store import Store, process_identity
from experiments.worker import Options

CLUSTER = ROOT / "slurm" / "local_cluster.sh"
MAX_ARRAY_SIZE = 4


@pytest.fixture(scope="session")
def slurm_conf() -> Iterator[Path]:
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed (apt-get install slurm-wlm munge)")
    if os.geteuid() != 0:
        pytest.skip("the daemons of SLURM want to be root")
    folder = tempfile.mkdtemp(prefix="slurm")  # short: the path of a socket has 107 letters
    environment = {**os.environ, "CPUS": "5", "MAX_ARRAY_SIZE": str(MAX_ARRAY_SIZE)}
    subprocess.run([CLUSTER, "start", folder], env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
    yield Path(folder) / "slurm.conf"
    subprocess.run([CLUSTER, "stop", folder], check=True, timeout=120)
    shutil.rmtree(folder)


@pytest.fixture
def cluster(slurm_conf: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the folder of a cluster on which no job is left over."""
    monkeypatch.setenv("SLURM_CONF", str(slurm_conf))
    yield slurm_conf.parent
    slurm("scancel", "--user=root")
    wait_until(lambda: not jobs(), pause=0.2)


def slurm(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def jobs() -> list[str]:
    return slurm("squeue", "--array", "--noheader", "--format=%i %T").splitlines()


def output(store: Store, task: int | None = None) -> str:
    """Return what all tasks have written, or one of an array."""
    task_name = "*" if task is None else f"*_{task}"
    return "".join(path.read_text() for path in sorted(store.root.glob(f"slurm/logs/*/{task_name}_0_log.out")))


def finished(store: Store, runs: Sequence[Run]) -> None:
    wait_until(lambda: store.failures() or store.finished() >= {run.run_id for run in runs}, seconds=240, pause=0.2)
    assert store.failures() == set()


def finished_and_gone(store: Store, runs: Sequence[Run]) -> None:
    finished(store, runs)
    wait_until(lambda: not jobs(), pause=0.2)


def submitted(submit: Submit, store: Store, profile: str, *words: str) -> Answer:
    answer = submit(*SMALL, "--profile", profile, "--store", str(store.root), "--checkpoint-seconds", "0.1", "--yes", *words)
    assert answer.code == 0, answer
    return answer


def frozen_in_the_middle_of_training(store: Store, runs: Sequence[Run]) -> list[int]:
    """Return the pids of the workers of runs, each stopped as soon as it has a checkpoint: so in the middle, however fast."""
    pids: dict[str, int] = {}

    def all_are() -> bool:
        for run in runs:
            if run.run_id in pids or checkpoint.latest_step(store, run.run_id) == 0:
                continue
            if holder := store.claimant(run.run_id):
                pids[run.run_id] = int(holder["pid"])
                os.kill(pids[run.run_id], signal.SIGSTOP)
                assert run.run_id not in store.finished(), "it was over before it could be interrupted"
        return len(pids) == len(runs)

    wait_until(all_are, seconds=120, pause=0.01)
    return [pids[run.run_id] for run in runs]


def thaw_when_asked_to_stop(pid: int, seconds: float = 60.0) -> None:
    """Let a frozen worker go on once SIGTERM waits for it; SLURM itself may have thawed it before."""

    def asked() -> bool:
        try:
            pending = re.search(r"^ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        except (FileNotFoundError, ProcessLookupError):
            return True
        return pending is not None and bool(int(pending[1], 16) >> (signal.SIGTERM - 1) & 1)

    wait_until(asked, seconds, pause=0.1)
    if process_identity(pid):
        os.kill(pid, signal.SIGCONT)


def test_array_of_eight_groups_ends_in_the_bytes_of_the_local_executor(cluster, submit, store, profile, tmp_path):
    runs = small_runs(8)
    path = profile(cores=2, max_array_size=None)
    words = ("--seeds", "8", "--lanes", "1", "--hours", "0.001")
    assert "4 tasks of 2 cores" in submitted(submit, store, path, *words).out
    assert len(jobs()) == MAX_ARRAY_SIZE, "one array as large as the cluster allows"

    # While it waits and while it runs, a submission adds nothing.
    queued = jobs()
    assert "8 runs are queued already" in submitted(submit, store, path, *words).out
    assert [line.split()[0] for line in jobs()] == [line.split()[0] for line in queued]
    wait_until(store.finished, seconds=120, pause=0.1)
    assert "Nothing to submit" in submitted(submit, store, path, *words).out
    # More seeds add only the new ones.
    assert "1 to train" in submit(*SMALL, "--seeds", "9", "--profile", path, "--store", str(store.root), "--dry-run").out

    finished_and_gone(store, runs)
    assert output(store).count("done    stream_ac") == len(runs), "a run was trained twice"
    assert "Nothing to submit" in submitted(submit, store, path, *words).out
    assert {store.provenance(run.run_id)["lanes"] for run in runs} == {1}

    local = Store(tmp_path / "local")
    run_local([Group(runs, 1000.0, 8)], local, Options(), 1)
    assert result_bytes(store, runs) == result_bytes(local, runs)


def test_status_shows_a_run_of_a_job_as_it_shows_a_local_one_and_counts_the_queued(cluster, submit, store, profile):
    runs = small_runs(2)
    submitted(submit, store, profile(array_parallelism=1), "--seeds", "2", "--lanes", "1", "--hours", "0.001")

    def status() -> str:
        words = [sys.executable, "-m", "experiments.status", *SMALL, "--seeds", "2", "--store", str(store.root)]
        return subprocess.run(words, capture_output=True, text=True, check=True).stdout

    def table(said: str) -> dict[str, int]:
        rows = [line.split() for line in said.splitlines()]
        names = next(row for row in rows if row[:2] == ["environment", "algorithm"])[2:]
        return dict(zip(names, map(int, next(row for row in rows if row[:1] == ["all"])[1:]), strict=True))

    begun = wait_until(lambda: [run for run in runs if run.run_id in store.claimed()], seconds=120)
    (first,) = begun  # one task at a time
    (worker,) = frozen_in_the_middle_of_training(store, [first])
    said = status()
    assert table(said) == {"finished": 0, "running": 1, "queued": 1, "failed": 0, "missing": 0}
    holder = store.claimant(first.run_id)
    assert holder is not None
    (line,) = (line for line in said.splitlines() if line.startswith(f"running Stream AC Hopper-v4 seed {first.seed}:"))
    assert re.search(rf"step [\d,]+, [\d,]+ steps/s, process {worker} on {holder['host']}, job \d+, heard of \d+ s ago$", line)
    os.kill(worker, signal.SIGCONT)
    finished_and_gone(store, runs)
    assert table(status()) == {"finished": 2, "running": 0, "failed": 0, "missing": 0}


def test_interrupted_jobs_are_requeued_each_by_itself_and_end_in_the_same_bytes(cluster, submit, store, profile, tmp_path):
    (overdue,) = small_runs(1)
    late = Store(tmp_path / "late")
    # A minute is the shortest limit. SLURM looks every 30 s and warns up to a minute early, so any delay will do.
    submitted(submit, late, profile(time_minutes=1, signal_delay_seconds=1), "--seeds", "1")
    (frozen,) = frozen_in_the_middle_of_training(late, [overdue])
    with ThreadPoolExecutor() as meanwhile:
        thawed = meanwhile.submit(thaw_when_asked_to_stop, frozen, seconds=120)
        interrupted_in_every_way(submit, store, profile)
        thawed.result()
    finished_and_gone(late, [overdue])
    assert "stopped stream_ac" in output(late), "the worker did not end with a checkpoint"
    assert "SIGUSR2: 1 run is in its checkpoint" in output(late)
    assert "restart 1 of job" in output(late)
    assert late.provenance(overdue.run_id)["resumed_at"]
    assert result_bytes(late, [overdue]) == bytes_alone((overdue,))


def interrupted_in_every_way(submit: Submit, store: Store, profile: Callable[..., str]) -> None:
    """Interrupt three tasks of an array of four; the last to be started has the number of the whole array."""
    runs = small_runs(4)
    submitted(submit, store, profile(max_array_size=4), "--seeds", "4", "--lanes", "1", "--hours", "0.001")
    workers = dict(zip([run.run_id for run in runs], frozen_in_the_middle_of_training(store, runs), strict=True))
    names = dict(line.split() for line in slurm("squeue", "--array", "--noheader", "--format=%A %i").splitlines())
    tasks = {names[holder["job"]]: run for run in runs if (holder := store.claimant(run.run_id)) is not None}
    (array,) = {name.partition("_")[0] for name in tasks}
    in_order = [tasks[f"{array}_{number}"] for number in range(4)]
    slurm("scontrol", "requeue", f"{array}_0")
    slurm("scancel", "--signal=USR1", f"{array}_1")
    slurm("scancel", "--signal=TERM", f"{array}_3")
    for number in (0, 1, 3):
        thaw_when_asked_to_stop(workers[in_order[number].run_id])
    os.kill(workers[in_order[2].run_id], signal.SIGCONT)
    assert "Nothing to submit" in submitted(submit, store, profile(), "--seeds", "4").out
    finished(store, runs)
    wait_until(lambda: not any(line.startswith(f"{array}_") for line in jobs()), pause=0.2)
    for number, run in enumerate(in_order):
        told = output(store, number)
        assert told.count("restart 1 of job") == (0 if number == 2 else 1)
        assert ("stopped stream_ac" in told) == (number != 2), "an interrupted worker did not end with a checkpoint"
        assert bool(store.provenance(run.run_id)["resumed_at"]) == (number != 2), "it was not resumed from a checkpoint"
    assert result_bytes(store, runs) == {run.run_id: bytes_alone((run,))[run.run_id] for run in runs}


def test_job_is_requeued_though_squeue_fails_when_it_is_stopped(cluster, submit, store, profile, tmp_path, monkeypatch):
    # In the way of the task's questions alone, which name a job.
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "squeue").write_text(
        f"""#!/bin/sh
case "$*" in *--jobs=*) echo asked >>{tmp_path}/asked; [ $(wc -l <{tmp_path}/asked) -lt 3 ] && exit 1;; esac
exec {shutil.which("squeue")} "$@"
"""
    )
    (folder / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    (run,) = runs = small_runs(1)
    submitted(submit, store, profile(), "--seeds", "1")
    (worker,) = frozen_in_the_middle_of_training(store, [run])
    ((job, _),) = (line.split() for line in jobs())
    slurm("scancel", "--signal=TERM", job)
    thaw_when_asked_to_stop(worker)
    finished_and_gone(store, runs)
    assert (tmp_path / "asked").read_text().count("asked") == 3
    assert "restart 1 of job" in output(store)
    assert result_bytes(store, runs) == bytes_alone(runs)


def test_cancelled_job_stays_cancelled_and_its_runs_are_submitted_again(cluster, submit, store, profile):
    (run,) = runs = small_runs(1)
    submitted(submit, store, profile(), "--seeds", "1")
    (worker,) = frozen_in_the_middle_of_training(store, [run])
    ((job, _),) = (line.split() for line in jobs())
    slurm("scancel", job)
    wait_until(lambda: not jobs(), pause=0.2)
    assert process_identity(worker) is None
    assert store.finished() == set()
    store.fail(run.run_id, "RuntimeError: somebody tried it by hand\n")
    assert "Nothing to submit" in submitted(submit, store, profile(), "--seeds", "1").out
    assert "Submitted 1 task" in submitted(submit, store, profile(), "--seeds", "1", "--retry").out
    finished_and_gone(store, runs)
    assert store.provenance(run.run_id)["resumed_at"]
    assert result_bytes(store, runs) == bytes_alone(runs)
    assert len(list(store.root.glob("slurm/queued/*.json"))) == 1, "the record of the cancelled job is still there"


def restart_node(folder: Path) -> None:
    os.kill(int((folder / "slurmd.pid").read_text()), signal.SIGKILL)
    subprocess.run([CLUSTER, "restart-node", folder], check=True, timeout=60)


def processes_of_jobs(folder: Path) -> list[int]:
    """Return everything that runs on the node for jobs: what has this cluster's configuration, apart from its daemons."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            name = (entry / "comm").read_text().strip()
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
        ours = f"SLURM_CONF={folder / 'slurm.conf'}".encode() in environment
        in_job = any(line.startswith(b"SLURM_JOB_ID=") for line in environment)
        if ours and (in_job or name == "slurmstepd"):
            found.append(int(entry.name))
    return found


def test_restart_of_the_daemon_of_a_node_disturbs_nobody(cluster, submit, store, profile):
    (run,) = runs = small_runs(1)
    submitted(submit, store, profile(), "--seeds", "1")
    (worker,) = frozen_in_the_middle_of_training(store, [run])
    restart_node(cluster)
    os.kill(worker, signal.SIGCONT)
    finished_and_gone(store, runs)
    assert "restart 1 of job" not in output(store)
    assert result_bytes(store, runs) == bytes_alone(runs)


def test_job_of_a_node_that_crashed_is_requeued_and_ends_in_the_same_bytes(cluster, submit, store, profile):
    (run,) = runs = small_runs(1)
    submitted(submit, store, profile(), "--seeds", "1")
    (worker,) = frozen_in_the_middle_of_training(store, [run])
    # A job of less than BatchStartTimeout and MessageTimeout, 12 s, that a node does not know of may be on its way there.
    wait_until(lambda: int(slurm("squeue", "--noheader", "--format=%M").rpartition(":")[2]) > 13, pause=0.2)
    os.kill(int((cluster / "slurmd.pid").read_text()), signal.SIGKILL)
    for pid in processes_of_jobs(cluster):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: process_identity(worker) is None)
    subprocess.run([CLUSTER, "restart-node", cluster], check=True, timeout=60)
    finished_and_gone(store, runs)
    assert "restart 1 of job" in output(store)
    assert store.provenance(run.run_id)["resumed_at"]
    assert result_bytes(store, runs) == bytes_alone(runs)


def test_output_of_a_task_is_in_its_folder_whatever_that_is_called(cluster, submit, profile, tmp_path):
    store = Store(tmp_path / "runs 50%x%% [/z]")
    runs = small_runs(1)
    answer = submitted(submit, store, profile(), "--seeds", "1")
    (folder,) = (store.root / "slurm" / "logs").iterdir()
    assert f"output in {folder}." in answer.out
    finished_and_gone(store, runs)
    assert "start of job" in output(store)
    assert {path.suffix for path in folder.glob("*_0_log.*")} == {".out", ".err"}
    assert [path.name for path in tmp_path.glob("runs*")] == ["runs 50%x%% ["], "it went elsewhere"


def test_refusal_of_sbatch_is_told_and_remembers_nothing(cluster, submit, store, profile):
    words = (*SMALL, "--seeds", "1", "--store", str(store.root), "--yes", "--profile")
    assert one_sentence(submit(*words, profile(partition="nowhere")), "sbatch refused", "invalid partition")
    assert list(store.root.glob("slurm/queued/*.json")) == []
    assert jobs() == []


def test_learner_and_spec_of_ones_own_are_trained_by_tasks(cluster, submit, store, profile, tmp_path, monkeypatch):
    page = (ROOT / "README.md").read_text().partition("## Your own learner\n")[2]
    (tmp_path / "my_learner.py").write_text(page.partition("```python\n")[2].partition("```")[0])
    (tmp_path / "my_figure.py").write_text(
        "from experiments.spec import Arm, Experiment, Preset, Row\n"
        'row = Row("CartPole-v1", (Arm("Q", "stream_q", {"hidden": ()}),), 300, seeds=1, bin_width=100)\n'
        'EXPERIMENT = Experiment("mine", "Mine", "ours", {"small": Preset("all", (row,))}, "learning_curves")\n'
    )
    monkeypatch.chdir(tmp_path)
    words = ("--spec", "my_figure.py", "--preset", "small", "--learner", "my_learner.py:LinearAC", "--no-weights")
    answer = submit(*words, "--profile", profile(), "--store", str(store.root), "--yes")
    assert answer.code == 0, answer
    wait_until(lambda: len(store.finished()) == 2, seconds=120, pause=0.1)
    assert {name.partition("-")[0] for name in store.finished()} == {"LinearAC", "stream_q"}
    assert not list(store.root.rglob("weights.bin"))
    assert "Nothing to submit" in submit(*words, "--profile", profile(), "--store", str(store.root), "--yes").out
