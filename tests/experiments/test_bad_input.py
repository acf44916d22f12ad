"""A long list of bad input: each is refused at once, in one sentence, with exit code 2, and nothing is touched by it."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

import pytest
from experiment_support import ask, one_sentence, python, snapshot

from analysis import compare, report
from experiments import list as listing
from experiments import run, status
from experiments.cli import resolve_request
from experiments.store import Store
from experiments.terminal import run_app

BARRIER, PONG, UPGD, ROBOT = "stream_barrier", "stream_q_atari", "permuted_digits", "robots"
CHAIN, SERIES, SPEED = "memory_chain", "stream_td_prediction", "throughput"
LONG = "1" + 23 * "0"

# The command, its words, and what the sentence says.
BAD = [
    # names
    ("run", (BARRIER[:-1],), "'stream_barrie'; the closest are stream_barrier"),
    ("status", ("../runs",), "no experiment '../runs'"),
    ("report", ("nothing",), "no experiment 'nothing'"),
    ("compare", ("nothing",), "'nothing'"),
    ("run", (BARRIER, "--preset", "big"), "no preset 'big'; it has paper, laptop"),
    ("status", (BARRIER, "--preset", ""), "no preset ''"),
    ("report", (BARRIER, "--preset", "big"), "no preset 'big'"),
    ("run", (BARRIER, "--wrokers", "2"), "--wrokers"),
    ("list", ("--preset", "quick"), "--preset"),
    ("report", ("--bogus",), "--bogus"),
    # ranges of learners
    ("run", (BARRIER, "--set", "gamma=1.5"), "gamma must be at least 0 and at most 1; 1.5 is not"),
    ("run", (BARRIER, "--set", "gamma=-0.1"), "gamma must be at least 0"),
    ("status", (BARRIER, "--set", "lamda=7"), "lamda must be at least 0 and at most 1; 7.0 is not"),
    ("run", (BARRIER, "--set", "sparsity=2"), "sparsity must be at least 0 and at most 1"),
    ("run", (BARRIER, "--set", "kappa_policy=-1"), "kappa_policy must be positive; -1.0 is not"),
    ("run", (BARRIER, "--set", "kappa_value=0"), "kappa_value must be positive"),
    ("run", (BARRIER, "--set", "kappa_policy=1,2,-3"), "kappa_policy must be positive; -3.0 is not"),
    ("run", (BARRIER, "--set", "entropy=-0.01"), "entropy must be at least 0"),
    ("run", (BARRIER, "--set", "alpha_policy=-1"), "alpha_policy must be at least 0"),
    ("run", (BARRIER, "--set", "sac1.tau=2"), "tau must be at least 0 and at most 1"),
    ("run", (BARRIER, "--set", "ppo1.clip_range=0"), "clip_range must be positive"),
    ("run", (BARRIER, "--set", "epochs=0"), "epochs must be at least 1; 0 is not"),
    ("run", (BARRIER, "--set", "log_std_max=100"), "log_std_max must be at least -50 and at most 50"),
    ("run", (BARRIER, "--set", "hidden=[0]"), "hidden must be a list of positive widths"),
    ("run", (BARRIER, "--set", "hidden=[2000000]"), "hidden must be a list of numbers of at most 1,000,000"),
    ("run", (BARRIER, "--set", "hidden=64"), "hidden must be of type tuple"),
    ("run", (BARRIER, "--set", "units=0"), "units must be at least 1"),
    ("run", (BARRIER, "--set", "rtu_radius=[0.5,1.5]"), "rtu_radius must be a list of numbers"),
    ("run", (BARRIER, "--set", "staleness_window=-1"), "staleness_window must be at least 0"),
    ("run", (PONG, "--set", "schedule_steps=-5"), "schedule_steps must be positive"),
    ("run", (PONG, "--set", "schedule_steps=0"), "schedule_steps must be positive"),
    ("run", (PONG, "--set", "epsilon_end=1.2"), "epsilon_end must be at least 0 and at most 1"),
    ("run", (PONG, "--set", "exploration_fraction=0"), "exploration_fraction must be positive and at most 1"),
    ("run", (UPGD, "--set", "beta_utility=1"), "beta_utility must be at least 0 and less than 1"),
    ("run", (UPGD, "--set", "sigma=-0.1"), "sigma must be at least 0"),
    ("run", (UPGD, "--set", "step_size=-1"), "step_size must be at least 0"),
    ("run", (UPGD, "--set", "window=0"), "window must be at least 1"),
    ("run", (SPEED, "--set", "lanes=0"), "lanes must be at least 1"),
    ("run", (SPEED, "--set", "seconds=0"), "seconds must be positive"),
    # ranges of environments
    ("run", (BARRIER, "--set", "time_limit=-5"), "time_limit must be a number of steps, or 0 for the environment's own"),
    ("run", (BARRIER, "--set", f"time_limit={LONG}"), "time_limit must be at most 1,000,000,000"),
    ("run", (SERIES, "--set", "memory_trace=1"), "memory_trace must be at least 0 and less than 1"),
    ("run", (SERIES, "--set", "data_sha256=abc"), "data_sha256 must be 64 hexadecimal digits"),
    ("run", (CHAIN, "--set", "length=1"), "length must be at least 2 actions"),
    ("run", (UPGD, "--set", "task_steps=-1"), "task_steps must be at least 0"),
    ("run", (ROBOT, "--set", "device=abacus"), "no device 'abacus'"),
    ("run", (ROBOT, "--set", "minibatch_size=0"), "minibatch_size must be at least 1"),
    ("run", (ROBOT, "--set", "device=jetson_nano", "--set", "gamma=2"), "gamma must be at least 0"),
    ("run", (ROBOT, "--set", "learning_every=0"), "learning_every must be at least 1"),
    # kinds of values
    ("run", (BARRIER, "--set", "gamma"), "--set wants key=value"),
    ("run", (BARRIER, "--set", "gamma=high"), "gamma must be of type float"),
    ("run", (BARRIER, "--set", "gamma=NaN"), "gamma must be a finite number"),
    ("run", (BARRIER, "--set", "gamma=1e999"), "gamma must be a finite number"),
    ("run", (BARRIER, "--set", "gamma=0.9,"), "an empty value between its commas"),
    ("run", (BARRIER, "--set", "layer_norm=yes"), "layer_norm must be of type bool"),
    ("run", (BARRIER, "--set", "layer_norm=1"), "layer_norm must be of type bool"),
    ("run", (BARRIER, "--set", "optimizer=sdg"), "optimizer must be one of obgd"),
    ("run", (BARRIER, "--set", "optimizer=obgd,sdg"), "optimizer must be one of obgd"),
    ("run", (BARRIER, "--set", "gama=0.9"), "'gama'; the closest are gamma"),
    ("report", (BARRIER, "--set", "gama=0.9"), "'gama'; the closest are gamma"),
    # how many, and which
    ("run", (BARRIER, "--set", "steps=0"), "steps must be a positive whole number"),
    ("run", (BARRIER, "--set", "steps=1.5"), "steps must be of type int"),
    ("run", (BARRIER, "--set", f"steps={LONG}"), "steps must be at most 1,000,000,000,000"),
    ("run", (BARRIER, "--set", "steps=1e23"), "steps must be at most 1,000,000,000,000"),
    ("run", (BARRIER, "--set", "steps=100,200"), "steps takes one value"),
    ("run", (BARRIER, "--set", "bin_width=-1"), "bin_width must be a positive whole number"),
    ("run", (BARRIER, "--set", "first_seed=-1"), "first_seed must be a whole number of at least 0"),
    ("run", (BARRIER, "--set", f"first_seed={LONG}"), "first_seed must be at most"),
    ("run", (BARRIER, "--seeds", "0"), "the number of seeds must be positive"),
    ("run", (BARRIER, "--seeds", "100000000000"), "the number of seeds must be at most 100,000"),
    ("status", (BARRIER, "--seeds", LONG), "the number of seeds must be at most 100,000"),
    ("report", (BARRIER, "--seeds", LONG), "the number of seeds must be at most 100,000"),
    ("run", (BARRIER, "--seeds", "99999"), "a command asks for at most 100,000 runs"),
    ("run", (BARRIER, "--seeds", "9-3"), "--seeds 9-3 ends before it begins"),
    ("run", (BARRIER, "--seeds", "0-99999999999"), "--seeds names at most 100,000 seeds"),
    ("run", (BARRIER, "--seeds", "3,x"), "--seeds wants how many, like 5, or which, like 3,7 or 10-19"),
    ("run", (BARRIER, "--seeds", "3,7", "--set", "first_seed=5"), "leave one of them out"),
    ("run", (BARRIER, "--workers", "0"), "--workers must be positive; 0 is not"),
    ("run", (BARRIER, "--workers", "1000000"), "--workers must be at most 4,096"),
    ("run", (BARRIER, "--lanes", "-1"), "--lanes must be positive"),
    ("run", (BARRIER, "--lanes", LONG), "--lanes must be at most 4,096"),
    ("run", (BARRIER, "--checkpoint-seconds", "0"), "--checkpoint-seconds must be positive"),
    ("run", (BARRIER, "--checkpoint-seconds", "inf"), "--checkpoint-seconds must be positive"),
    ("run", (BARRIER, "--checkpoint-seconds", "1e300"), "--checkpoint-seconds must be at most 604,800"),
    # what does not go together
    ("run", (BARRIER, "--set", "env_id=Hoper-v4"), "no environment 'Hoper-v4'; the closest are Hopper-v"),
    (
        "run",
        (BARRIER, "--set", "env_id=CartPole-v1"),
        "Leave out those that do not fit with --set algorithm=classic_ac,stream_ac",
    ),
    ("run", ("stream_q_minatar", "--set", "env_id=Hopper-v4"), "Choose an experiment with a learner that does: "),
    ("run", (BARRIER, "--again"), "--again is for measurements"),
    ("run", (BARRIER, "--set", "algorithm=stream_acc"), "no arm uses the algorithm 'stream_acc'"),
    # folders
    ("run", (BARRIER, "--results", "notes"), "notes is not a folder; choose another with --results"),
    ("run", (BARRIER, "--results", "notes/results"), "notes is not a folder; choose another with --results"),
    ("run", (BARRIER, "--store", "notes"), "is not a folder; choose another with --store"),
    ("run", (BARRIER, "--kernels", "notes"), "notes is not a folder; choose another with --kernels"),
    ("run", (BARRIER, "--instruction-set", "sse", "--dry-run"), "kernels for 'sse' cannot run on this processor"),
    ("status", (BARRIER, "--store", "notes/runs"), "is not a folder; choose another with --store"),
    ("compare", (BARRIER, "--results", "notes"), "no results of stream_barrier in notes"),
]
COMMANDS = {"run": run, "status": status, "list": listing, "report": report, "compare": compare}


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Return a folder with a store and results, of which nothing may change."""
    store = Store(tmp_path / "runs")
    store.fail(resolve_request(BARRIER, "quick", (), 1).runs[0].run_id, "RuntimeError: before\n")
    folder = tmp_path / "results" / BARRIER / "quick"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    (tmp_path / "notes").write_text("mine")
    return tmp_path


def test_there_are_many_and_each_stands_once():
    assert len(BAD) >= 60
    assert len({(module, words) for module, words, _ in BAD}) == len(BAD)


@pytest.mark.parametrize(("module", "words", "said"), BAD, ids=lambda value: " ".join(value) if type(value) is tuple else "")
def test_bad_input_is_refused_at_once_and_touches_nothing(capfd, monkeypatch, kept, module, words, said):
    monkeypatch.setattr(sys, "argv", [f"{module}.py", *words])
    monkeypatch.setattr(run, "run_local", None)  # nothing may be trained
    before, began, code = snapshot(kept), time.process_time(), 0
    capfd.readouterr()
    try:
        run_app(COMMANDS[module].app)
    except SystemExit as end:
        code = end.code
    assert time.process_time() - began < 3, "processor time: how busy the machine is does not count"
    answer = capfd.readouterr()
    assert code == 2, answer
    assert one_sentence(type("Answer", (), {"code": code, "err": answer.err}), said)
    assert snapshot(kept) == before


@pytest.mark.parametrize(
    ("module", "words", "said"),
    [
        ("experiments.run", (BARRIER, "--set", "gamma=1.5"), "gamma must be at least 0 and at most 1; 1.5 is not."),
        ("experiments.status", (BARRIER, "--seeds", "100000000000"), "the number of seeds must be at most 100,000"),
        ("analysis.report", (BARRIER, "--set", "steps=1e23"), "steps must be at most 1,000,000,000,000"),
        ("analysis.compare", ("--bogus",), "`python -m analysis.compare --help` shows the options"),
    ],
)
def test_process_refuses_bad_input_at_once_and_touches_nothing(kept, module, words, said):
    def used() -> float:
        told = resource.getrusage(resource.RUSAGE_CHILDREN)
        return told.ru_utime + told.ru_stime

    before, began = snapshot(kept), used()
    assert one_sentence(python("-m", module, *words), said)
    assert used() - began < 3
    assert snapshot(kept) == before


def test_dry_run_of_good_input_is_not_refused(capfd, monkeypatch):
    answer = ask(
        capfd, monkeypatch, "run", BARRIER, "--set", "gamma=0,0.5,1", "--set", "steps=1e3", "--seeds", "7-7", "--dry-run"
    )
    assert (answer.code, answer.err) == (0, "")
