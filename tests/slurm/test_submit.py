"""Profiles of clusters, and what `slurm.submit` says, refuses and leaves behind before anything is submitted."""

from __future__ import annotations

import os
import re
import sys

import pytest
from experiment_support import one_sentence, snapshot
from slurm_support import SMALL, small_runs

from experiments.store import Owner
from slurm import queue
from slurm.cluster import FOLDER, load_cluster

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


def test_submission_says_that_it_asks_for_more_memory(submit, profile, store):
    words = ("replay_buffer_size", "--preset", "paper", "--set", "env_id=Hopper-v4", "--seeds", "1", "--dry-run")
    answer = submit(*words, "--profile", profile(cores=2), "--store", str(store.root))
    assert answer.code == 0
    assert "need 2.0 GB in a task, which is asked for instead of the profile's 1.0 GB" in answer.out
    assert re.search(r"mem = 20\d\dM", answer.out)
