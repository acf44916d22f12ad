"""dm_control as AVG's experiments have it: its time limit as a terminal state, and episodes that can be repeated."""

from __future__ import annotations

import numpy as np
import pytest
from experiment_support import kept, make_run

from experiments.environments import Environment

ENV_ID = "dm_control/cartpole-balance-v0"


def last_step(env: Environment) -> tuple[bool, bool]:
    """Return `terminated` and `truncated` of the step that ends the episode; no other step may have either."""
    action = np.zeros(env.spaces.action_size, np.float32)
    while True:
        _, _, terminated, truncated, _ = env.step(action)
        if env.needs_reset:
            return terminated, truncated
        assert not terminated
        assert not truncated


@pytest.mark.parametrize(("told", "expected"), [("truncation", (False, True)), ("terminal", (True, False))])
@pytest.mark.parametrize("env_id", [ENV_ID, "Pendulum-v1"])
def test_learner_is_told_of_the_time_limit_as_asked(env_id, told, expected):
    env = Environment(env_id, 0, time_limit_is=told)
    env.reset()
    assert last_step(env) == expected
    assert env.last_episode is not None
    assert env.last_episode.length == (1000 if env_id == ENV_ID else 200)


def test_time_limit_is_a_truncation_unless_asked_for_and_leaves_ids_as_they_were():
    assert "time_limit_is" not in dict(make_run(ENV_ID).environment)
    assert make_run(ENV_ID).run_id == make_run(ENV_ID, environment={"time_limit_is": "truncation"}).run_id
    assert make_run(ENV_ID).run_id != make_run(ENV_ID, environment={"time_limit_is": "terminal"}).run_id


def test_fall_before_the_limit_is_terminal_either_way():
    for told in ("truncation", "terminal"):
        env = Environment("Hopper-v4", 0, time_limit_is=told)
        env.reset()
        while not env.needs_reset:
            _, _, terminated, truncated, _ = env.step(np.ones(3, np.float32))
        assert (terminated, truncated) == (True, False)


def test_later_episodes_are_those_of_the_seed():
    """In the official code the suite forgot its seed at every reset, so that second episodes could not be repeated."""
    begun = []
    for seed in (0, 0, 1):
        env = Environment("dm_control/reacher-hard-v0", seed, time_limit=3)
        begun.append([])
        for _ in range(4):
            begun[-1].append(env.reset()[0].tobytes())
            last_step(env)
    assert begun[0] == begun[1]
    assert not set(begun[0]) & set(begun[2])
    assert len(set(begun[0])) == 4, "each episode begins elsewhere"


def test_suite_is_not_loaded_again_at_a_reset():
    env = Environment(ENV_ID, 0)
    env.reset()
    physics = env._simulator._inner.unwrapped.physics
    env.reset()
    assert env._simulator._inner.unwrapped.physics is physics


def test_terminal_time_limit_is_restored_exactly():
    env, restored = (Environment(ENV_ID, 5, time_limit_is="terminal", time_limit=20) for _ in range(2))
    env.reset()
    actions = np.random.default_rng(0).uniform(-1, 1, (30, 1)).astype(np.float32)
    for action in actions[:13]:
        env.step(action)
    restored.set_state(kept(env.get_state()))
    seen = [[e.step(action)[:4] for action in actions[13:20]] for e in (env, restored)]
    assert [(o.tobytes(), *rest) for o, *rest in seen[0]] == [(o.tobytes(), *rest) for o, *rest in seen[1]]
    assert seen[0][-1][2:] == (True, False)
