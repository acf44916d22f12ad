"""Environments without episodes: reward rates are measured, and checkpoints do not grow with the steps."""

from __future__ import annotations

import itertools
import os
import signal

import gymnasium
import numpy as np
import pandas as pd
import pytest
from experiment_support import NEVER, ROOT, make_run, python, result_bytes

from experiments import checkpoint, plain_data
from experiments.environments import Environment, gymnasium_simulator, snapshot
from experiments.errors import UserError
from experiments.executor import run_inline
from experiments.plan import plan
from experiments.store import Store
from experiments.worker import DONE, Options

ON_AND_ON = {"continuing": True, "time_feature": False}


class Walk(gymnasium.Env):
    """A walk on a circle, a reward of 1 for every step to the right. A view of its place is what it shows."""

    def __init__(self, hides: bool = False):
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2)
        self._place = np.zeros(2)
        self._first = self._place[:1]
        self._memory = {"last": 0, "seen": [0.0]}
        if hides:
            self._count = itertools.count()  # nobody can tell what it will say next

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place[:] = self.np_random.random(2)
        return self._place.copy(), {}

    def step(self, action):
        self._memory = {"last": int(action), "seen": [*self._memory["seen"][-3:], self.np_random.random()]}
        self._first += self._memory["seen"][0]
        self._place %= 1.0
        return self._place.copy(), float(action), False, False, {}


class Own(Walk):
    """The same, and it knows its state itself."""

    def __init__(self):
        super().__init__(hides=True)
        self.asked = 0

    def get_state(self):
        self.asked += 1
        return {"place": self._place, "memory": self._memory, "random": self.np_random.bit_generator.state}

    def set_state(self, state):
        self._place[:], self._memory = state["place"], state["memory"]
        self.np_random.bit_generator.state = state["random"]


for name, made in {"Walk": Walk, "Own": Own}.items():
    gymnasium.register(f"circle/{name}-v0", made)
gymnasium.register("circle/Hides-v0", Walk, kwargs={"hides": True})


@pytest.fixture
def soon(monkeypatch):
    """Let an episode count as long after 10 steps."""
    monkeypatch.setattr(gymnasium_simulator, "LONGEST_REPLAY", 10)


def bytes_of(state) -> int:
    return sum(part.nbytes for part in plain_data.to_bytes(state))


def steps(env: Environment, number: int, seed: int = 0) -> list[bytes]:
    actions = np.random.default_rng(seed)
    low, high = env.spaces.action_low, env.spaces.action_high
    told = []
    for _ in range(number):
        if env.needs_reset:
            env.reset()
        action = actions.integers(env.spaces.action_size) if env.spaces.discrete else actions.uniform(low, high)
        obs, reward, *_ = env.step(action)
        told.append(obs.tobytes() + np.float64(reward).tobytes())
    return told


@pytest.mark.parametrize(
    "env_id",
    [
        "HalfCheetah-v4",
        "Humanoid-v4",
        "Ant-v5",
        "masked/Walker2d-v4",
        "Pendulum-v1",
        "CartPole-v1",
        "circle/Walk-v0",
        "circle/Own-v0",
    ],
)
def test_environment_goes_on_bit_for_bit_and_its_state_does_not_grow(soon, env_id):
    env = Environment(env_id, 3, **ON_AND_ON)
    sizes = []
    for number in (300, 1500):
        steps(env, number, seed=number)
        while env.get_state()["length"] <= gymnasium_simulator.LONGEST_REPLAY:  # some fall down all the time
            steps(env, 1, seed=env.get_state()["length"])
        sizes.append(bytes_of(env.get_state()))
    assert sizes[1] <= sizes[0] + 64
    kept = env.get_state()
    assert "actions" not in kept
    restored = Environment(env_id, 3, **ON_AND_ON)
    restored.set_state(kept)
    assert steps(restored, 200, seed=2) == steps(env, 200, seed=2)
    assert env.get_state()["length"] == restored.get_state()["length"]


def test_environment_whose_state_cannot_be_kept_is_replayed(soon):
    env = Environment("circle/Hides-v0", 3, **ON_AND_ON)
    steps(env, 150)
    kept = env.get_state()
    assert len(kept["actions"]) == 150
    restored = Environment("circle/Hides-v0", 3, **ON_AND_ON)
    restored.set_state(kept)
    assert steps(restored, 20, seed=2) == steps(env, 20, seed=2)


def test_snapshot_that_leaves_something_out_is_found_out():
    class Forgets(Own):
        def set_state(self, state):
            self._memory = state["memory"]

    assert snapshot.repeats(Own())
    assert not snapshot.repeats(Forgets())


def test_short_episodes_are_restored_by_their_actions_as_ever(soon):
    env = Environment("circle/Walk-v0", 0, **ON_AND_ON)
    steps(env, 10)
    assert len(env.get_state()["actions"]) == 10
    steps(env, 1)
    assert "actions" not in env.get_state()


def test_environment_that_cannot_be_kept_any_more_says_so(soon):
    env = Environment("circle/Walk-v0", 0, **ON_AND_ON)
    steps(env, 120)
    env._simulator._inner.unwrapped.counter = itertools.count()
    with pytest.raises(RuntimeError, match="give it get_state and set_state"):
        env.get_state()


@pytest.mark.parametrize(
    ("env_id", "options", "told"),
    [
        ("HalfCheetah-v4", {"continuing": True}, "--set time_feature=false"),
        ("HalfCheetah-v4", {**ON_AND_ON, "time_limit": 10}, "leave time_limit out"),
        ("dm_control/cheetah-run-v0", ON_AND_ON, "ends its episodes itself"),
        ("circle/Walk-v0", {}, "--set continuing=true"),
    ],
)
def test_what_does_not_go_together_is_refused(env_id, options, told):
    with pytest.raises(UserError, match=told):
        Environment(env_id, 0, **options)


def test_reward_rate_is_the_mean_over_windows(tmp_path):
    runs = make_run("circle/Walk-v0", 0, 2100, "stream_q", ON_AND_ON)
    assert run_inline(plan(Store(tmp_path), (runs,), workers=1), Store(tmp_path), Options(NEVER, compiled=False)) == [DONE]
    _, _, tables = Store(tmp_path).load(runs.run_id)
    rates = tables["rewards"].to_pandas()
    assert list(rates["step"]) == [1000, 2000]
    # A learner of mere actions, each of which is its reward, would be seen at 0.5; this one has learnt to go right.
    assert (rates["reward_rate"] > 0.5).all()
    assert (rates["reward_rate"] <= 1).all()
    assert tables["episodes"].num_rows == 0


@pytest.mark.parametrize(("algorithm", "changes"), [("stream_ac", {}), ("ppo1", {"implementation": "library", "hidden": (8,)})])
def test_run_killed_in_the_middle_ends_in_the_same_bytes(soon, worker_factory, tmp_path, algorithm, changes):
    run = make_run("HalfCheetah-v4", 0, 1100, algorithm, ON_AND_ON, **changes)
    store, alone = Store(tmp_path / "killed"), Store(tmp_path / "alone")
    worker = worker_factory.start(store, (run,), Options(0.1, compiled=False))
    worker.until(lambda: checkpoint.latest_step(store, run.run_id) >= 500)
    worker.signal(signal.SIGKILL)
    assert worker.wait() == -signal.SIGKILL
    assert worker_factory.train(store, (run,), Options(NEVER, compiled=False)) == DONE
    assert store.provenance(run.run_id)["resumed_at"]
    assert worker_factory.train(alone, (run,), Options(NEVER, compiled=False)) == DONE
    assert result_bytes(store, (run,)) == result_bytes(alone, (run,))
    assert store.load(run.run_id)[2]["rewards"].num_rows == 1


MODULE = """
import gymnasium
import numpy as np


class Line(gymnasium.Env):
    def __init__(self):
        self.observation_space = gymnasium.spaces.Box(-1, 1, (2,), np.float64)
        self.action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2), {}

    def step(self, action):
        return self.np_random.uniform(-1, 1, 2), float(action), False, False, {}


gymnasium.register("Line-v0", Line)
"""


@pytest.mark.slow
def test_readme_trains_an_environment_of_a_module_beside_the_tree_by_its_reward_rate(tmp_path):
    (tmp_path / "my_module.py").write_text(MODULE)
    words = ["stream_q_minatar", "--preset", "quick", "--set", "env_id=my_module:Line-v0", "--set", "continuing=true"]
    words += [
        "--set",
        "algorithm=stream_q",
        "--set",
        "time_feature=false",
        "--set",
        "steps=1200",
        "--set",
        "bin_width=400",
        "--seeds",
        "1",
        "--workers",
        "1",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    answer = python("-m", "experiments.run", *words, "--store", "s", "--results", "r", cwd=tmp_path, env=environment)
    assert answer.code == 0, answer
    assert "reward per step" in answer.out
    (table,) = tmp_path.glob("r/*/*/curves.parquet")
    curves = pd.read_parquet(table)
    rates = curves.dropna()
    assert list(rates["step"]) == [1200] * len(rates)  # the one window, of steps 1 to 1000, ended in the third bin
    assert rates["mean_return"].between(0, 1).all()
