"""Manners of the commands: what they say, how they count, what they check first, and what they keep to themselves."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from experiment_support import Answer, ask, make_run, one_sentence, remount, snapshot

from experiments import profile, run
from experiments.catalog import experiment_names, load_experiment
from experiments.cli import resolve_request
from experiments.datasets import images
from experiments.datasets.permuted import spaces as permuted_spaces
from experiments.executor import Job
from experiments.list import told
from experiments.plan import Group, plan
from experiments.store import Store
from experiments.stream_options import PermutedOptions
from experiments.terminal import count, runs_are

SMALL = ("stream_barrier", "--preset", "anchors", "--set", "env_id=Hopper-v4", "--set", "steps=130", "--set", "hidden=[]")


@pytest.fixture
def command(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Answer]:
    monkeypatch.setattr(run, "_report", lambda *_: None)
    return lambda module, *words: ask(capfd, monkeypatch, module, *words)


def fails(groups: Sequence[Group], store: Store, *_: Any) -> list[Job]:
    for group in groups:
        for one in group.runs:
            store.fail(one.run_id, "RuntimeError: for a reason\n")
    return [Job(group, "failed") for group in groups]


def hinted(answer: Answer, module: str) -> list[str]:
    """Return the words of the command of a module that an answer names."""
    (words,) = re.findall(rf"`python -m experiments\.{module} (.*?)`", answer.out)
    return shlex.split(words)


# After a failure


def test_hint_after_a_failure_repeats_all_options_and_finds_the_failures(command, monkeypatch):
    words = (*SMALL, "--seeds", "3,7", "--store", "my runs", "--results", "my results", "--workers", "1", "--lanes", "2")
    monkeypatch.setattr(run, "run_local", fails)
    answer = command("run", *words)
    assert answer.code == 1
    assert "2 runs failed; " in answer.out
    assert hinted(answer, "run") == [*words, "--retry"]
    status = command("status", *hinted(answer, "status"))
    assert "2 failed: RuntimeError: for a reason" in status.out
    assert ["all", "0", "0", "2", "0"] in [line.split() for line in status.out.splitlines()]
    assert "2 to train" in command("run", *hinted(answer, "run"), "--dry-run").out


def test_next_run_counts_the_runs_that_failed(command, monkeypatch):
    monkeypatch.setattr(run, "run_local", fails)
    command("run", *SMALL, "--seeds", "1")
    assert "1 run, 0 finished or taken, 1 failed, 0 to train." in command("run", *SMALL, "--seeds", "1").out
    assert "3 runs, 0 finished or taken, 1 failed, 2 to train." in command("run", *SMALL, "--seeds", "3", "--dry-run").out
    assert "1 run, 0 finished or taken, 1 to train." in command("run", *SMALL, "--seeds", "1", "--retry", "--dry-run").out


# Before anything is trained


def test_results_that_cannot_be_written_are_refused_before_training(command, tmpfs, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "run_local", None)
    disk = tmpfs("1m")
    remount(disk, "ro")
    for results in (disk, disk / "a" / "b"):
        answer = command("run", *SMALL, "--results", str(results))
        assert one_sentence(answer, f"cannot write to {results}: Read-only file system", "choose another with --results")
    assert not (tmp_path / "runs").exists()
    assert command("run", *SMALL, "--results", str(disk), "--dry-run").code == 0


def test_full_disk_of_results_is_refused_before_training(command, tmpfs, monkeypatch):
    monkeypatch.setattr(run, "run_local", None)
    disk = tmpfs("64k")
    (disk / "other").write_bytes(bytes(50_000))
    answer = command("run", *SMALL, "--results", str(disk))
    assert one_sentence(answer, f"cannot write to {disk}: No space left on device", "--results")
    assert [path.name for path in disk.iterdir()] == ["other"]


@pytest.mark.parametrize("file", ["results", "results/stream_barrier", "results/stream_barrier/anchors"])
def test_file_where_a_folder_of_results_belongs_is_refused_before_training(command, monkeypatch, tmp_path, file):
    monkeypatch.setattr(run, "run_local", None)
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("mine")
    before = snapshot(tmp_path)
    assert one_sentence(command("run", *SMALL), f"{file} is not a folder; choose another with --results.")
    assert snapshot(tmp_path) == before


def test_checking_results_leaves_nothing_behind(command, monkeypatch, tmp_path):
    monkeypatch.setattr(run, "run_local", fails)
    assert command("run", *SMALL, "--seeds", "1").code == 1
    assert not (tmp_path / "results").exists()


# Data sets


@pytest.mark.parametrize(
    "name", ["stream_td_prediction", "input_permuted_mnist", "label_permuted_cifar10", "label_permuted_mini_imagenet"]
)
def test_published_protocol_is_planned_without_its_data(command, monkeypatch, tmp_path, name):
    monkeypatch.setenv("STREAMING_RL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("pooch.retrieve", None)  # nothing may be fetched
    answer = command("run", name, "--preset", "paper", "--seeds", "1", "--dry-run")
    assert (answer.code, answer.err) == (0, "")
    assert "core-hours" in answer.out
    assert list(tmp_path.iterdir()) == []


def test_data_that_cannot_be_had_is_refused_before_training(command, monkeypatch, tmp_path):
    monkeypatch.setenv("STREAMING_RL_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(run, "run_local", None)
    answer = command("run", "label_permuted_mini_imagenet", "--preset", "paper", "--seeds", "1")
    assert one_sentence(answer, "mini_imagenet_resnet50.npz cannot be read", "python -m experiments.datasets.mini_imagenet")
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_are_known_without_a_file_are_those_of_the_file(monkeypatch):
    import numpy as np

    for env_id, (shape, classes) in images.SIZES.items():
        data = images.Labelled(np.zeros((2, *shape), np.uint8), np.zeros(2, np.int64), classes)
        monkeypatch.setattr("experiments.datasets.permuted.load", lambda *_, data=data: images.Loaded(data, {}))
        from experiments.datasets.permuted import PermutedStream

        assert PermutedStream(env_id, PermutedOptions(), 0).spaces == permuted_spaces(env_id, PermutedOptions())


# What is said


def test_one_is_not_many():
    assert [count(number, "run") for number in (0, 1, 2)] == ["0 runs", "1 run", "2 runs"]
    assert [runs_are(number) for number in (1, 2)] == ["1 run is", "2 runs are"]


def test_groups_that_differ_in_a_hyperparameter_alone_have_titles_that_tell_them_apart(tmp_path):
    def titles(*runs: Any) -> list[str]:
        return sorted(group.title for group in plan(Store(tmp_path / "runs"), runs, 1))

    widths = [make_run(hidden=hidden, gamma=gamma) for hidden in ((), (8,)) for gamma in (0.9, 0.99)]
    assert titles(*widths) == [
        "stream_ac Hopper-v4 gamma=0.9,0.99 hidden=[8] seed 0",
        "stream_ac Hopper-v4 gamma=0.9,0.99 hidden=[] seed 0",
    ]
    ablation = [make_run(), *(make_run(**{name: False}) for name in ("layer_norm", "normalize_obs", "normalize_reward"))]
    assert titles(*ablation) == [
        "stream_ac Hopper-v4 layer_norm=false seed 0",
        "stream_ac Hopper-v4 normalize_obs=false seed 0",
        "stream_ac Hopper-v4 normalize_reward=false seed 0",
        "stream_ac Hopper-v4 seed 0",
    ]
    limits = [make_run(environment={"time_limit": limit}) for limit in (0, 100)]
    assert titles(*limits) == ["stream_ac Hopper-v4 time_limit=0 seed 0", "stream_ac Hopper-v4 time_limit=100 seed 0"]
    assert titles(*(make_run(seed=seed) for seed in range(3))) == ["stream_ac Hopper-v4 seeds 0-2"]


def test_status_has_a_row_for_each_arm_and_panel_of_a_sweep(command):
    answer = command("status", *SMALL, "--seeds", "1", "--set", "kappa_policy=1,2", "--set", "time_limit=50,60")
    for limit in (50, 60):
        for kappa in (1, 2):
            assert re.search(rf"Hopper-v4, time_limit={limit} +Stream AC, kappa_policy={kappa} ", answer.out), answer.out
    assert ["all", "0", "0", "0", "4"] in [line.split() for line in answer.out.splitlines()]


@pytest.mark.parametrize("name", experiment_names())
def test_list_shows_every_preset_in_full_and_fits_80_columns(name):
    experiment = load_experiment(name)
    lines = list(told(experiment))
    assert all(len(line) <= 80 for line in lines)
    assert lines[0] == name
    text = " ".join(" ".join(lines).split())
    assert experiment.source in text
    for preset_name, preset in experiment.presets.items():
        assert any(line.split()[:1] == [preset_name] for line in lines)
        assert " ".join(preset.description.split()) in text


def test_profile_keeps_what_libraries_write_off_the_terminal(capfd):
    import os

    with profile._quiet():
        os.write(2, b"USDT: profiler_start\n")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def test_unfinished_runs_of_a_report_are_told_with_the_command_that_shows_them(monkeypatch):
    import pandas as pd

    from analysis.report import _unfinished_lines

    told_ = _unfinished_lines(pd.DataFrame({"run_id": ["a", "b"], "status": ["failed", "finished"]}), "python -m x --seeds 3,7")
    assert told_ == ["1 of 2 runs are not finished and not in this report (1 failed: see `python -m x --seeds 3,7`)."]


def test_advice_names_learners_that_fit(command):
    answer = command("run", "stream_q_minatar", "--set", "env_id=Hopper-v4")
    assert one_sentence(answer, "stream_q gives a choice", "Hopper-v4 wants a vector")
    words = shlex.split(answer.err.partition("does: ")[2].rstrip(".\n"))
    assert resolve_request(words[0], "quick", words[2::2], None).runs
    answer = command("run", "stream_barrier", "--set", "env_id=CartPole-v1")
    (advised,) = re.findall(r"--set (algorithm=\S+)\.", answer.err)
    assert command("run", "stream_barrier", "--set", "env_id=CartPole-v1", "--set", advised, "--dry-run").code == 0


def test_folder_of_a_table_that_is_not_there_is_refused_before_it_is_measured(command, tmp_path: Path):
    answer = command("profile", "stream_ac", "Hopper-v4", "--csv", str(tmp_path / "none" / "a.csv"))
    assert one_sentence(answer, "there is no folder", "--csv")
    assert "profile" in sys.modules["experiments.profile"].__name__
