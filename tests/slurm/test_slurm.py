"""Submissions: packing, profiles, cost; and on a real SLURM of one node, that whatever befalls a job ends in the same bytes."""

from __future__ import annotations

import json
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
from experiment_support import (
    ALWAYS,
    ROOT,
    Answer,
    bytes_alone,
    eager,
    in_child,
    make_run,
    one_sentence,
    result_bytes,
    snapshot,
    wait_until,
)
from hypothesis import given
from hypothesis import strategies as st

from experiments import checkpoint
from experiments.cli import resolve_request
from experiments.executor import Job, run_local
from experiments.expand import resolve
from experiments.plan import Group, memory_bytes, wall_seconds
from experiments.spec import Arm, Row, Run
from experiments.store import Owner, Store, process_identity
from experiments.terminal import run_app
from experiments.worker import Options
from slurm import queue
from slurm import task as slurm_task
from slurm.cluster import FOLDER, load_cluster
from slurm.packing import STARTUP_SECONDS, TaskPlan, arrays, cost, pack
from slurm.submit import app, cost_line, memory_gb
from slurm.task import Task

CLUSTER = ROOT / "slurm" / "local_cluster.sh"
MAX_ARRAY_SIZE = 4

# Linear learners of few steps, which run uncompiled: they start and end quickly.
SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=400", "--set", "hidden=[]")

PROFILE = {
    "time_minutes": 10,
    "memory_gb_per_core": 0.5,
    "signal_delay_seconds": 60,
    "max_array_size": 3,
}

Submit = Callable[..., Answer]


def small_runs(seeds: int) -> tuple[Run, ...]:
    return tuple(resolve_request("stream_barrier", "anchors", SMALL[4::2], seeds).runs)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs")


@pytest.fixture
def profile(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a profile and returns its path; a value of None leaves the key out."""

    def write(**changes: object) -> str:
        path = tmp_path / "profile.toml"
        values = {key: value for key, value in {**PROFILE, **changes}.items() if value is not None}
        path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items()))
        return str(path)

    return write


@pytest.fixture
def submit(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Submit:
    """Return a function that runs `python -m slurm.submit WORDS` in this process."""

    def run(*words: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["submit.py", *words])
        capfd.readouterr()
        code = 0
        try:
            run_app(app)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        return Answer(code, *capfd.readouterr())

    return run


# Packing and cost


def group(seconds: float, number: int = 0, runs: int = 1) -> Group:
    members = tuple(make_run(seed=100 * number + seed) for seed in range(runs))
    return Group(members, 1.0, int(seconds))


def groups_of(seconds: Sequence[int]) -> list[Group]:
    return [group(s, number) for number, s in enumerate(seconds)]


durations = st.lists(st.integers(0, 20_000), max_size=30)


@given(durations, st.integers(1, 6), st.integers(40, 20_000))
def test_packing_keeps_every_group_once_and_tasks_near_the_target(seconds, cores, target):
    groups = groups_of(seconds)
    tasks = pack(groups, cores, target)
    assert sorted(g.title for task in tasks for g in task.groups) == sorted(g.title for g in groups)
    assert all(task.groups for task in tasks)
    for task in tasks:
        longest = max(g.seconds for g in task.groups) + STARTUP_SECONDS
        # Workers take the longest group first, which is at most 4/3 of the best there is (Graham, 1969).
        assert wall_seconds(task.groups, task.cores) <= 4 / 3 * max(target, longest)
        work = sum(g.seconds + STARTUP_SECONDS for g in task.groups)
        assert work <= task.cores * max(target, longest)


@given(durations, st.integers(1, 6), st.integers(40, 20_000))
def test_packing_wastes_no_cores(seconds, cores, target):
    groups = groups_of(seconds)
    tasks = pack(groups, cores, target)
    assert all(task.cores == min(cores, len(groups)) for task in tasks)
    needs = [s + STARTUP_SECONDS for s in seconds]
    # No two cores could be merged, so on average each is filled more than half, or has a group longer than that.
    queues = sum(min(need, target) for need in needs) / target
    assert len(tasks) <= (2 * queues + 1) / cores + 1


def test_group_longer_than_the_target_has_a_core_for_itself():
    tasks = pack(groups_of([10_000, 100, 100]), 1, 1000)
    assert [[g.seconds for g in task.groups] for task in tasks] == [[10_000], [100, 100]]


def test_groups_fill_a_task_up_to_the_target_and_not_further():
    just_two = 2 * (100 + STARTUP_SECONDS)
    assert [len(task.groups) for task in pack(groups_of([100] * 4), 1, just_two)] == [2, 2]
    assert [len(task.groups) for task in pack(groups_of([100] * 4), 1, just_two - 1)] == [1, 1, 1, 1]
    assert [len(task.groups) for task in pack(groups_of([100] * 4), 2, just_two)] == [4]


@given(st.integers(0, 30), st.integers(0, 10))
def test_arrays_split_tasks_in_order_and_are_no_larger_than_allowed(count, size):
    tasks = [TaskPlan((group(1, number),), 1) for number in range(count)]
    split = arrays(tasks, size)
    assert [task for array in split for task in array] == tasks
    assert all(0 < len(array) <= max(size, 1) for array in split)
    assert len(split) == -(-count // max(size, 1))


def test_memory_is_asked_for_where_replay_buffers_need_more_than_the_profile_gives(profile):
    def sac(size: int) -> Group:
        arm = Arm("arm", "sac", {"buffer_size": size})
        return Group((resolve(Row("Humanoid-v4", (), 2_000_000, 1, 1), arm, 0),), 1.0, 1)

    cluster = load_cluster(profile(memory_gb_per_core=1.5))
    large = memory_bytes(sac(1_000_000)) / 2**30
    assert 3.5 < large < 4.5
    assert memory_gb(cluster, [TaskPlan((group(1), sac(1)), 2)]) == 3
    assert memory_gb(cluster, [TaskPlan((group(1, 0), group(1, 1), sac(1_000_000)), 2)]) == pytest.approx(1.5 + large)
    assert memory_gb(cluster, [TaskPlan((sac(1_000_000),), 3), TaskPlan((group(1),), 3)]) == pytest.approx(3 + large)


def test_submission_says_that_it_asks_for_more_memory(submit, profile, store):
    words = ("replay_buffer_size", "--preset", "paper", "--set", "env_id=Hopper-v4", "--seeds", "1", "--dry-run")
    answer = submit(*words, "--profile", profile(cores=2), "--store", str(store.root))
    assert answer.code == 0
    assert "need 2.0 GB in a task, which is asked for instead of the profile's 1.0 GB" in answer.out
    assert re.search(r"mem = 20\d\dM", answer.out)


def test_cost_counts_idle_cores_and_start_up():
    # Two cores for an hour and a half: one core idles for half an hour. Two rounds of start-up: 2 min 30 s by two cores.
    task = TaskPlan((group(3600, 0), group(3600, 1), group(1800, 2)), 2)
    total = cost([task, task])
    assert total.tasks == 2
    assert total.training_core_hours == pytest.approx(2 * 2.5)
    assert total.charged_core_hours == pytest.approx(2 * 2 * (1.5 + 2 * STARTUP_SECONDS / 3600))
    assert total.share(1000) == pytest.approx(total.charged_core_hours / 10)
    assert cost_line(total, 2, 1000) == "2 tasks of 2 cores: about 6.1 core-hours charged (5.0 of training, 0.61 % of 1,000)."
    assert cost_line(total, 2, None) == "2 tasks of 2 cores: about 6.1 core-hours charged (5.0 of training)."


# Profiles


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_profiles_that_come_with_the_suite_can_be_read(path):
    assert load_cluster(path.stem) == load_cluster(str(path))


def test_example_profile_explains_every_key():
    told = (FOLDER / "example.toml").read_text()
    keys = re.findall(r"^(?:# )?(\w+) = ", told, re.MULTILINE)
    assert sorted(keys) == sorted(name for name in load_cluster("example").__dataclass_fields__ if name != "name")


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        ({"partion": "gpu"}, ("'partion'", "the closest are partition")),
        ({"time_minutes": None}, ("lacks time_minutes", "example.toml")),
        ({"memory_gb_per_core": None}, ("lacks memory_gb_per_core",)),
        ({"time_minutes": 0}, ("time_minutes", "positive whole number; 0 is not")),
        ({"time_minutes": 1.5}, ("time_minutes", "positive whole number; 1.5 is not")),
        ({"time_minutes": True}, ("time_minutes", "positive whole number")),
        ({"memory_gb_per_core": -1}, ("memory_gb_per_core", "positive number; -1 is not")),
        ({"memory_gb_per_core": "2G"}, ("memory_gb_per_core", "positive number; '2G' is not")),
        ({"partition": ""}, ("partition", "'' is not")),
        ({"account": "me\n#SBATCH --exclusive"}, ("account",)),
        ({"setup": "module load gcc"}, ("setup", "list of shell commands")),
        ({"setup": [1]}, ("setup", "list of shell commands")),
        ({"cores": 0}, ("cores", "0 is not")),
        ({"signal_delay_seconds": 600}, ("600 s before a limit of 10 min",)),
        ({"allocation_core_hours": 0}, ("allocation_core_hours",)),
        ({"instruction_set": "avx1024"}, ("instruction_set", "avx512, avx2, scalar", "'avx1024' is not")),
        ({"kernels": 3}, ("kernels", "a word in quotes; 3 is not")),
    ],
    ids=str,
)
def test_profile_that_means_nothing_is_refused_in_one_sentence(submit, profile, store, changes, fragments):
    assert one_sentence(submit(*SMALL, "--store", str(store.root), "--profile", profile(**changes)), *fragments)
    assert not store.root.exists()


def test_profile_that_cannot_be_read_is_refused_in_one_sentence(submit, tmp_path):
    (tmp_path / "broken.toml").write_text("time_minutes = [")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    (tmp_path / "folder.toml").mkdir()
    assert one_sentence(submit(*SMALL, "--profile", "exampel"), "no profile 'exampel'", "example, local")
    assert one_sentence(submit(*SMALL, "--profile", "nowhere/mine.toml"), "no profile 'nowhere/mine.toml'")
    assert one_sentence(submit(*SMALL, "--profile", "broken.toml"), "broken.toml is not TOML")
    assert one_sentence(submit(*SMALL, "--profile", "binary.toml"), "binary.toml cannot be read")
    assert one_sentence(submit(*SMALL, "--profile", "folder.toml"), "folder.toml cannot be read")


# What is about to be submitted


@pytest.mark.parametrize(
    ("words", "fragments"),
    [
        (("--hours", "0"), ("--hours must be positive",)),
        (("--hours", "nan"), ("--hours must be positive",)),
        (("--lanes", "-1"), ("--lanes must be positive",)),
        (("--allocation", "0"), ("--allocation must be positive",)),
        (("--checkpoint-seconds", "0"), ("--checkpoint-seconds must be positive",)),
        (("--set", "gama=0.9"), ("'gama'", "gamma")),
        (("--set", "env_id=Hoper-v4"), ("no environment 'Hoper-v4'",)),
        (("--preset", "full"), ("'full'",)),
        (("--bogus",), ("--bogus",)),
    ],
    ids=lambda value: " ".join(value),
)
def test_submission_that_means_nothing_is_refused_in_one_sentence(submit, profile, tmp_path, words, fragments):
    path = profile()
    assert one_sentence(submit(*SMALL, "--profile", path, *words), *fragments)
    assert [entry.name for entry in tmp_path.iterdir()] == ["profile.toml"]


def test_store_whose_name_submitit_would_change_is_refused(submit, profile, tmp_path):
    for tag in ("%j", "%A"):
        words = ("--profile", profile(), "--store", str(tmp_path / f"50{tag}b"))
        assert one_sentence(submit(*SMALL, *words), f"the number of a job for {tag} in", "--store")


def test_submission_without_a_profile_is_refused(submit):
    assert one_sentence(submit(*SMALL), "--profile")


def test_measurements_are_not_submitted(submit, profile):
    assert one_sentence(submit("throughput", "--profile", profile()), "throughput measures speed", "experiments.run")


def test_dry_run_tells_tasks_cost_and_parameters_and_leaves_no_trace(submit, profile, store, tmp_path):
    path = profile(cores=2, partition="long", account="proj", setup=["module load gcc"], array_parallelism=2)
    words = ("--seeds", "16", "--lanes", "1", "--hours", "0.001", "--allocation", "10", "--store", str(store.root))
    before = snapshot(tmp_path)
    answer = submit(*SMALL, "--profile", path, *words, "--dry-run")
    assert answer.code == 0
    assert snapshot(tmp_path) == before
    assert "16 runs, 0 finished or taken, 16 to train" in answer.out
    assert "8 tasks of 2 cores: about 0.1 core-hours charged" in answer.out
    assert "% of 10)" in answer.out
    for told in (
        "time = 10",
        "mem = 1024M",
        "cpus_per_task = 2",
        "partition = long",
        "account = proj",
        "signal_delay_s = 60",
        "module load gcc",
        "OMP_NUM_THREADS=1",
        "3 arrays: 0-2%2, 0-2%2, 0-1%2",
    ):
        assert told in answer.out
    assert "qos" not in answer.out


def test_finished_and_claimed_and_failed_runs_are_not_submitted(submit, profile, store):
    finished, claimed, failed, _ = small_runs(4)
    store.publish(finished, {}, {"status": "finished"}, {})
    assert store.claim(claimed.run_id, Owner())
    store.fail(failed.run_id, "RuntimeError: no\n")
    words = (*SMALL, "--profile", profile(), "--seeds", "4", "--store", str(store.root), "--dry-run")
    answer = submit(*words)
    assert "1 to train" in answer.out
    assert "1 run is left alone, having failed" in answer.out
    assert "2 to train" in submit(*words, "--retry").out
    assert store.failures() == {failed.run_id}, "a dry run forgave a failure"


@pytest.mark.parametrize(("command", "options"), [("squeue", ("--yes",)), ("srun", ("--yes",))])
def test_submission_where_there_is_no_slurm_is_refused_and_remembers_nothing(
    submit, profile, store, monkeypatch, tmp_path, command, options
):
    monkeypatch.setenv("PATH", str(tmp_path))
    if command == "squeue":
        queue.remember(store, "stream_barrier-0", [[small_runs(1)[0].run_id]])
    answer = submit(*SMALL, "--seeds", "1", "--profile", profile(), "--store", str(store.root), *options)
    assert one_sentence(answer, f"{command} was not found", "login node")
    assert [path.stem for path in store.root.glob("slurm/queued/*")] == (["stream_barrier-0"] if command == "squeue" else [])


def test_nothing_is_submitted_unless_somebody_agrees(submit, profile, store, monkeypatch):
    words = (*SMALL, "--seeds", "1", "--profile", profile(), "--store", str(store.root))

    def answered(text):
        read, write = os.pipe()
        os.write(write, text)
        os.close(write)
        with os.fdopen(read) as somebody:
            monkeypatch.setattr(sys, "stdin", somebody)
            return submit(*words)

    answer = answered(b"")
    assert answer.code == 2
    assert "--yes" in answer.err
    answer = answered(b"n\n")
    assert answer.code == 0
    assert "Submit 1 task?" in answer.out
    assert "Nothing was submitted" in answer.out
    assert not store.root.exists()


# A task by itself


def task_of(store: Store, runs: Sequence[Run]) -> Task:
    return Task(str(store.root), [Group(tuple(runs), 1000.0, 1)], cores=1, checkpoint_seconds=60, time_minutes=10)


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


def ended(task: Callable[[], None]) -> int:
    """Run a task in a forked process; return its exit code."""

    def run() -> None:
        try:
            task()
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)

    return in_child(run)


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


# A real SLURM


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_restart_of_the_daemon_of_a_node_disturbs_nobody(cluster, submit, store, profile):
    (run,) = runs = small_runs(1)
    submitted(submit, store, profile(), "--seeds", "1")
    (worker,) = frozen_in_the_middle_of_training(store, [run])
    restart_node(cluster)
    os.kill(worker, signal.SIGCONT)
    finished_and_gone(store, runs)
    assert "restart 1 of job" not in output(store)
    assert result_bytes(store, runs) == bytes_alone(runs)


@pytest.mark.slow
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
    words = ("--spec", "my_figure.py", "--preset", "small", "--learner", "my_learner.py:LinearSarsa", "--no-weights")
    answer = submit(*words, "--profile", profile(), "--store", str(store.root), "--yes")
    assert answer.code == 0, answer
    wait_until(lambda: len(store.finished()) == 2, seconds=120, pause=0.1)
    assert {name.partition("-")[0] for name in store.finished()} == {"LinearSarsa", "stream_q"}
    assert not list(store.root.rglob("weights.bin"))
    assert "Nothing to submit" in submit(*words, "--profile", profile(), "--store", str(store.root), "--yes").out
