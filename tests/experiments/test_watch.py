"""A finished run is watched: its learner goes on in a new episode, and every step is a picture."""

from __future__ import annotations

import os
from itertools import islice

import pytest
import torch
from experiment_support import NEVER, ask, make_run, one_sentence, python, snapshot
from PIL import Image

from experiments import load_run
from experiments.errors import UserError
from experiments.executor import run_inline
from experiments.plan import plan
from experiments.playing import play
from experiments.store import Store
from experiments.worker import DONE, Options

SMALL = {"hidden": (8,)}


def trained(folder, *args, weights: bool = True, **changes):
    run = make_run(*args, **changes)
    assert run_inline(
        plan(Store(folder), (run,), workers=1), Store(folder), Options(NEVER, compiled=False, keep_weights=weights)
    ) == [DONE]
    return run


@pytest.fixture
def watch(capfd, monkeypatch):
    return lambda *words: ask(capfd, monkeypatch, "watch", *map(str, words))


def test_robot_is_recorded_picture_by_picture(watch, tmp_path):
    run = trained(tmp_path / "runs", "UR-Reacher-2-v0", 0, 60)
    before = snapshot(tmp_path / "runs")
    answer = watch(run.run_id, "--store", tmp_path / "runs", "--record", tmp_path / "new" / "a.gif", "--steps", 12)
    assert answer.code == 0, answer
    assert "in 12 steps so far" in answer.out
    with Image.open(tmp_path / "new" / "a.gif") as pictures:
        assert pictures.n_frames > 3  # equal ones are one
    assert snapshot(tmp_path / "runs") == before


@pytest.mark.parametrize(
    ("env_id", "algorithm", "size"),
    [
        ("HalfCheetah-v4", "stream_ac", (480, 480)),
        pytest.param("dm_control/cartpole-swingup-v0", "stream_ac", (480, 480), marks=pytest.mark.slow),
        pytest.param("MinAtar/Breakout-v1", "stream_q", (320, 320), marks=pytest.mark.slow),
        pytest.param("BreakoutNoFrameskip-v4", "stream_q", (160, 210), marks=pytest.mark.slow),
    ],
)
def test_every_family_draws(tmp_path, env_id, algorithm, size):
    run = trained(tmp_path, env_id, 0, 4, algorithm)
    words = [run.run_id, "--store", str(tmp_path), "--record", str(tmp_path / "a.gif"), "--steps", "3"]
    # In a process of its own: simulators choose how they draw where they are imported.
    answer = python("-m", "experiments.watch", *words, env={k: v for k, v in os.environ.items() if k != "MUJOCO_GL"})
    if "libegl1" in answer.err:
        pytest.skip("there is no OpenGL here")
    assert answer.code == 0, answer
    with Image.open(tmp_path / "a.gif") as pictures:
        assert pictures.size == size
        assert len(pictures.convert("RGB").getcolors(10**6)) >= 3


def test_video_has_as_many_frames_as_steps(watch, tmp_path):
    import cv2

    run = trained(tmp_path, "UR-Reacher-2-v0", 0, 20)
    assert watch(run.run_id, "--store", tmp_path, "--record", tmp_path / "a.mp4", "--steps", 9).code == 0
    assert int(cv2.VideoCapture(str(tmp_path / "a.mp4")).get(cv2.CAP_PROP_FRAME_COUNT)) == 10


def test_streaming_learner_goes_on_learning_and_repeats_with_its_seed(tmp_path):
    run = trained(tmp_path, "CartPole-v1", 0, 300, "stream_q", **SMALL)
    loaded = load_run(run.run_id, tmp_path)
    returns = [[environment.last_reward for environment in islice(play(loaded, seed), 120)] for seed in (5, 5)]
    assert returns[0] == returns[1]
    lengths = {environment.last_episode.length for environment in islice(play(loaded, 5), 200) if environment.last_episode}
    assert len(lengths) > 1
    after = load_run(run.run_id, tmp_path).state
    assert all(torch.equal(loaded.state["q"][name], value) for name, value in after["q"].items())


@pytest.mark.parametrize(
    ("env_id", "algorithm", "changes"),
    [
        ("Hopper-v4", "sac", {"hidden": (8, 8), "buffer_size": 100, "batch_size": 8, "learning_starts": 10}),
        ("Hopper-v4", "td3", {"hidden": (8, 8), "buffer_size": 100, "batch_size": 8, "learning_starts": 10}),
        ("CartPole-v1", "dqn", {"hidden": (8, 8), "buffer_size": 100, "batch_size": 8, "learning_starts": 10}),
        ("Hopper-v4", "ppo", {"hidden": (8, 8), "rollout_steps": 64, "minibatch_size": 32, "epochs": 1}),
        (
            "CartPole-v1",
            "recurrent_ppo",
            {"hidden": (8,), "units": 4, "readout": (8,), "rollout_steps": 32, "sequence_steps": 8, "minibatch_size": 16},
        ),
    ],
)
def test_batch_learner_acts_by_what_it_has_learnt_and_learns_nothing(tmp_path, monkeypatch, env_id, algorithm, changes):
    from baselines import batch

    run = trained(tmp_path, env_id, 0, 130, algorithm, **changes)
    loaded = load_run(run.run_id, tmp_path)
    models = []
    build = batch.build
    monkeypatch.setattr(batch, "build", lambda *args: models.append(build(*args)) or models[-1])
    assert sum(1 for _ in islice(play(loaded, 3), 100)) == 100
    (model,) = models
    weights = model.weights()
    for part in ("policy", "parameters"):
        for name, value in _flat(loaded.state.get(part, {})):
            assert torch.equal(dict(_flat(weights[part]))[name], value), name


def _flat(tree, place=""):
    for name, value in tree.items():
        yield from _flat(value, f"{place}.{name}") if isinstance(value, dict) else [(f"{place}.{name}", value)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nothing", "--record", "a.gif"], "has no finished run"),
        (["stream", "--record", "a.avi"], ".gif or .mp4"),
        (["stream", "--steps", "0"], "--steps"),
        (["stream", "--seed", "-1"], "--seed"),
        (["stream"], "add --record"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_the_remedy(watch, tmp_path, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    trained(tmp_path / "runs", "Create-Mover-v0", 0, 4)
    assert one_sentence(watch(*words), told)
    assert not list(tmp_path.glob("a.*"))


def test_older_recording_survives_a_run_that_cannot_be_watched(watch, tmp_path):
    bare = trained(tmp_path, "Create-Mover-v0", 0, 4, weights=False)
    (tmp_path / "a.gif").write_bytes(b"older")
    assert one_sentence(watch(bare.run_id, "--store", tmp_path, "--record", tmp_path / "a.gif"), "no weights")
    assert (tmp_path / "a.gif").read_bytes() == b"older"


def test_runs_without_weights_pictures_or_actions_say_so(watch, tmp_path):
    bare = trained(tmp_path, "Create-Mover-v0", 0, 4, weights=False)
    chain = trained(tmp_path, "memory/MemoryChain-v0", 0, 4, "stream_q", **SMALL)
    labels = trained(tmp_path, "permuted_digits", 0, 4, "upgd", **SMALL)
    for run, told in ((bare, "no weights"), (chain, "draws no pictures"), (labels, "does not act")):
        assert one_sentence(watch(run.run_id, "--store", tmp_path, "--record", tmp_path / "a.gif"), told)
        assert not (tmp_path / "a.gif").exists()
    with pytest.raises(UserError, match="no weights"):
        next(play(load_run(bare.run_id, tmp_path), 0))
