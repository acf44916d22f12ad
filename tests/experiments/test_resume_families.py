"""Killed and started again, every family of environments and every kind of learner ends in the same bytes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from experiment_support import ALWAYS, NEVER, WorkerFactory, make_run, result_bytes

from experiments import checkpoint
from experiments.store import Store
from experiments.worker import DONE, Options

# env_id, algorithm, hyperparameters, steps, steps at which it is killed, compiled. Images are compiled: eagerly, and padded
# to 32 lanes, they take seconds a step. Some are killed twice, so that a run that was resumed is resumed again.
SMALL = {"implementation": "lanes", "hidden": (8,)}
SMALL_PPO = {"units": 4, "hidden": (8,), "readout": (8,), "rollout_steps": 64, "sequence_steps": 8, "minibatch_size": 32}
FAMILIES = [
    pytest.param("MinAtar/Breakout-v1", "stream_q", {}, 1500, (64, 700), True, marks=pytest.mark.slow),
    pytest.param(
        *("BreakoutNoFrameskip-v4", "stream_q", {"bootstrap_on_truncation": True}, 400, (128,), True),
        marks=pytest.mark.slow,
    ),
    pytest.param("ETTm2-generated", "stream_td", {}, 600, (64, 300), False, marks=pytest.mark.slow),
    ("CartPole-v1", "stream_sarsa", {"optimizer": "adaptive_obgd"}, 500, (64, 300), False),
    ("Acrobot-v1", "stream_ac", {"diagnostics": True}, 1200, (1024,), False),
    pytest.param("Hopper-v4", "td3_1", {**SMALL, "policy_frequency": 3}, 500, (64, 320), False, marks=pytest.mark.slow),
    ("Hopper-v4", "ppo1", SMALL, 500, (64,), False),
    ("Hopper-v4", "avg", {"hidden": (8,), "target_network": True, "tau": 0.5}, 500, (64,), False),
    pytest.param("Hopper-v4", "avg", {"hidden": (8,), "diagnostics": True}, 1100, (1024,), False, marks=pytest.mark.slow),
    pytest.param("Hopper-v4", "iac", {"hidden": (8,), "scale_td_error": True}, 500, (64,), False, marks=pytest.mark.slow),
    pytest.param("Hopper-v4", "avg_sac1", {"hidden": (8,)}, 240, (64,), False, marks=pytest.mark.slow),
    pytest.param(
        *("Hopper-v4", "avg_td3_1", {"hidden": (8,), "scale_td_error": True}, 360, (200,), False), marks=pytest.mark.slow
    ),
    ("CartPole-v1", "dqn1", {**SMALL, "target_network_frequency": 50}, 500, (64,), False),
    ("Create-Mover-v0", "stream_ac", {"environment": {"device": "jetson_nano"}}, 900, (320,), False),
    pytest.param("memory/MemoryChain-v0", "qrc", {"units": 4, "hidden": (8,)}, 240, (64,), False, marks=pytest.mark.slow),
    ("masked/Hopper-v4", "stream_ac", {"cell": "rtu", "units": 4, "hidden": (8,)}, 320, (64,), False),
    pytest.param(
        "popgym-RepeatFirstEasy-v0",
        "stream_q",
        {"cell": "gru", "units": 4, "hidden": (8,)},
        320,
        (64,),
        False,
        marks=pytest.mark.slow,
    ),
    pytest.param(
        *("memory/KMemoryChain-v1", "stream_ac", {"cell": "rtu", "units": 4, "hidden": (8,), "staleness_window": 32}),
        *(500, (64,), False),
        marks=pytest.mark.slow,
    ),
    ("memory/MemoryChain-v0", "recurrent_ppo", {**SMALL_PPO, "cell": "lstm"}, 500, (100,), False),
]


@pytest.mark.parametrize(("env_id", "algorithm", "changes", "steps", "kills", "compiled"), FAMILIES)
def test_run_killed_with_sigkill_ends_in_the_same_bytes(
    worker_factory: WorkerFactory, tmp_path: Path, env_id, algorithm, changes, steps, kills, compiled
):
    if env_id.startswith("popgym-"):
        pytest.importorskip("popgym")
    runs = tuple(make_run(env_id, seed, steps, algorithm, **changes) for seed in range(2))
    store, alone = Store(tmp_path / "killed"), Store(tmp_path / "alone")
    for step in kills:
        worker = worker_factory.start(store, runs, Options(ALWAYS, compiled))
        worker.until(lambda step=step: checkpoint.latest_step(store, runs[0].run_id) >= step)
        worker.signal(signal.SIGKILL)
        assert worker.wait() == -signal.SIGKILL, "it ended before it was killed"
    assert worker_factory.train(store, runs, Options(NEVER, compiled)) == DONE
    assert store.provenance(runs[0].run_id)["resumed_at"], "it was not resumed from a checkpoint"
    assert worker_factory.train(alone, runs, Options(NEVER, compiled)) == DONE
    assert result_bytes(store, runs) == result_bytes(alone, runs)
    _, _, tables = store.load(runs[0].run_id)
    recorded = tables["metrics"] if algorithm == "stream_td" or changes.get("diagnostics") else tables["episodes"]
    assert len(recorded) > 0, "nothing was there to be compared"
