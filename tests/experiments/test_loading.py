"""What a learner has learnt is kept with its run and comes back, and README's lines do what they say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from experiment_support import make_run

from experiments import load_run
from experiments.errors import UserError
from experiments.executor import run_inline
from experiments.plan import disk_bytes, plan
from experiments.store import WEIGHTS, Store
from experiments.worker import DONE, Options

PAGE = (Path(__file__).parents[2] / "README.md").read_text().partition("## Trained learners\n")[2].partition("\n## ")[0]
LINES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SMALL = {"hidden": (8,)}


def train(store: Store, *runs, **options) -> None:
    assert run_inline(plan(store, runs, workers=1), store, Options(1e9, compiled=False, **options)) == [DONE]


def test_readme_runs_an_episode_of_a_trained_policy(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = make_run("Hopper-v4", 3, 200, "stream_ac", **SMALL)
    train(Store("runs"), run)
    exec(LINES[0], {"RUN": run.run_id})
    first = float(capsys.readouterr().out)
    assert 0 < first < 1000


def test_readme_steps_lanes_without_store_and_commands(capsys):
    exec(LINES[1], {})
    assert re.search(r"\[.*\]", capsys.readouterr().out)


def test_learning_goes_on_from_what_is_loaded_as_if_it_had_not_ended(tmp_path):
    short, long = (make_run("CartPole-v1", 0, steps, "stream_q", **SMALL) for steps in (100, 200))
    store = Store(tmp_path)
    train(store, short)
    train(store, long)
    middle, end = load_run(short.run_id, tmp_path), load_run(long.run_id, tmp_path)
    assert type(middle.learner).__name__ == "StreamQ"
    # A longer run is the same run up to there.
    assert all(torch.equal(middle.state["hyper"][name], value) for name, value in end.state["hyper"].items())
    assert not torch.equal(flat(middle.state), flat(end.state))
    assert middle.tables["episodes"].num_rows <= end.tables["episodes"].num_rows


def flat(state) -> torch.Tensor:
    return torch.cat([flat(value) if isinstance(value, dict) else value.double().reshape(-1) for value in state.values()])


@pytest.mark.parametrize(
    ("env_id", "algorithm", "changes"),
    [
        ("Hopper-v4", "sac", {"hidden": (8, 8), "buffer_size": 100, "batch_size": 8, "learning_starts": 10}),
        ("CartPole-v1", "dqn", {"hidden": (8, 8), "buffer_size": 100, "batch_size": 8, "learning_starts": 10}),
        ("Hopper-v4", "ppo", {"hidden": (8, 8), "rollout_steps": 64, "minibatch_size": 32, "epochs": 1}),
        ("permuted_digits", "upgd", SMALL),
    ],
)
def test_every_kind_of_learner_keeps_what_it_has_learnt(tmp_path, env_id, algorithm, changes):
    run = make_run(env_id, 0, 100, algorithm, **changes)
    train(Store(tmp_path), run)
    loaded = load_run(run.run_id, tmp_path)
    assert loaded.run == run
    assert flat(loaded.state.get("policy", {"all": loaded.state})).numel() > 100


def test_lane_keeps_its_own_and_not_its_neighbours(tmp_path):
    runs = [make_run("CartPole-v1", seed, 100, "stream_q", **SMALL) for seed in range(2)]
    together, alone = Store(tmp_path / "together"), Store(tmp_path / "alone")
    train(together, *runs)
    train(alone, runs[1])
    read = [(store.finished_path / runs[1].run_id / WEIGHTS).read_bytes() for store in (together, alone)]
    assert read[0] == read[1]


def test_weights_are_left_out_where_nobody_wants_them(tmp_path):
    run = make_run("CartPole-v1", 0, 100, "stream_q", **SMALL)
    train(Store(tmp_path), run, keep_weights=False)
    assert load_run(run.run_id, tmp_path).state is None


def test_damaged_weights_are_noticed_and_the_rest_can_still_be_read(tmp_path):
    run = make_run("CartPole-v1", 0, 100, "stream_q", **SMALL)
    store = Store(tmp_path)
    train(store, run)
    path = store.finished_path / run.run_id / WEIGHTS
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert store.damaged(run.run_id) == [WEIGHTS]
    assert store.load(run.run_id)[0]["status"] == "finished"
    with pytest.raises(UserError, match=r"is damaged; the same experiments\.run with --retry"):
        load_run(run.run_id, tmp_path)


def test_run_is_found_by_the_beginning_of_its_name_and_by_nothing_else(tmp_path):
    runs = [make_run("CartPole-v1", seed, 50, "stream_q", **SMALL) for seed in range(2)]
    train(Store(tmp_path), *runs)
    assert load_run(runs[0].run_id[:-8], tmp_path).run == runs[0]
    for name, words in (("stream_q", "2 runs in"), ("stream_ac", "has no finished run 'stream_ac'")):
        with pytest.raises(UserError, match=words):
            load_run(name, tmp_path)


def test_plan_counts_the_weights_that_will_be_kept(tmp_path):
    run = make_run("CartPole-v1", 0, 100, "stream_q", hidden=(64, 64))
    train(Store(tmp_path), run)
    kept = (Store(tmp_path).finished_path / run.run_id / WEIGHTS).stat().st_size
    more = disk_bytes([run], weights=True) - disk_bytes([run])
    assert 0.9 < more / kept <= 1, "the line of names aside"
