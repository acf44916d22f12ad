"""MinAtar: the games as their package registers them, episodes that depend on their seed alone, exact restoring."""

from __future__ import annotations

import sys

import gymnasium
import numpy as np
import pytest
from experiment_support import python
from hypothesis import given
from hypothesis import strategies as st

from experiments.environments import Environment, describe
from experiments.environments.minatar import GAMES
from experiments.errors import UserError
from experiments.randomness import derive

SIZES = {
    "MinAtar/Asterix-v1": (4, 5),
    "MinAtar/Breakout-v1": (4, 3),
    "MinAtar/Freeway-v1": (7, 3),
    "MinAtar/Seaquest-v1": (10, 6),
    "MinAtar/SpaceInvaders-v1": (6, 4),
}


def choices(environment: Environment, count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, environment.spaces.action_size, count).tolist()


def play(environment: Environment, actions: list[int]) -> list[tuple[bytes, float, bool, bool, bytes]]:
    """Take actions, with a reset after every episode; return all that a learner sees."""
    seen = []
    for action in actions:
        obs, reward, terminated, truncated, _ = environment.step(action)
        assert environment.needs_reset == (terminated or truncated)
        first = environment.reset()[0].tobytes() if environment.needs_reset else b""
        seen.append((obs.tobytes(), reward, terminated, truncated, first))
    return seen


def started(env_id: str, seed: int = 0) -> Environment:
    environment = Environment(env_id, seed)
    environment.reset()
    return environment


@pytest.fixture(scope="module")
def package():
    """Return the package's own environments: version 1 as registered, with the sticky actions and ramping they have."""
    import minatar.gym

    minatar.gym.register_envs()
    yield lambda env_id: gymnasium.make(env_id, disable_env_checker=True)
    for env_id in [name for name in gymnasium.registry if name.startswith("MinAtar/")]:
        del gymnasium.registry[env_id]


# The games


@pytest.mark.parametrize("env_id", GAMES)
def test_actions_are_the_minimal_set_and_observations_planes(env_id):
    channels, actions = SIZES[env_id]
    spaces = describe(env_id)
    assert (spaces.obs_shape, spaces.action_size, spaces.discrete) == ((channels, 10, 10), actions, True)
    assert (spaces.time_feature, spaces.frames, spaces.obs_dtype) == (False, 1, "float64")


@pytest.mark.parametrize("env_id", GAMES)
def test_episode_is_that_of_the_registered_environment_with_the_same_seed(env_id, package):
    ours, theirs = Environment(env_id, 3), package(env_id)
    assert theirs.unwrapped.game.sticky_action_prob == 0.1
    assert theirs.action_space.n == SIZES[env_id][1]
    assert theirs.spec.max_episode_steps is None
    for episode in range(12):
        expected, _ = theirs.reset(seed=derive(3, "episode", episode) >> 32)
        theirs.unwrapped.game.last_action = 0  # the package lets the last action of one episode stick in the next
        obs, _ = ours.reset()
        total, terminated, step = 0.0, False, 0
        while not terminated and step < 600:
            assert obs.dtype == np.float64
            assert (obs == expected.transpose(2, 0, 1)).all()
            step += 1
            action = choices(ours, 1, seed=1000 * episode + step)[0]
            obs, reward, terminated, truncated, _ = ours.step(action)
            expected, expected_reward, expected_end, _, _ = theirs.step(action)
            assert (reward, terminated, truncated) == (expected_reward, expected_end, False)
            total += reward
        if terminated:
            assert ours.last_episode == (total, step)


def test_one_action_in_ten_is_the_one_before():
    environment = Environment("MinAtar/Breakout-v1", 0)
    stuck = 0
    for _ in range(1000):
        paddle = environment.reset()[0][0, 9].argmax()
        moved = environment.step(1)[0][0, 9].argmax()  # to the left; the action before the first is "no-op"
        assert moved in (paddle - 1, paddle)
        stuck += int(moved == paddle)
    assert 70 < stuck < 130


# Streams


@pytest.mark.parametrize("env_id", GAMES)
def test_episode_does_not_depend_on_what_happened_before(env_id):
    one, other = started(env_id, 2), started(env_id, 2)
    play(one, choices(one, 3))
    play(other, choices(other, 170, seed=5))
    one.reset()
    one.episode = other.episode = 6
    assert one.reset()[0].tobytes() == other.reset()[0].tobytes()
    actions = choices(one, 300, seed=1)
    assert play(one, actions) == play(other, actions)


@pytest.mark.parametrize("env_id", GAMES)
def test_other_seeds_and_other_episodes_are_different(env_id):
    actions = choices(started(env_id), 60)
    by_seed = {str(play(started(env_id, seed), actions)) for seed in range(5)}
    environment = Environment(env_id, 0)
    later = set()
    for _ in range(5):
        first, _ = environment.reset()
        later.add(str([first.tobytes()] + [environment.step(action)[0].tobytes() for action in actions]))
    assert len(by_seed) == 5
    assert len(later) >= 3  # a game of Breakout may be over after six steps, which leaves little to differ in


def test_shared_generator_of_numpy_has_no_say():
    actions = choices(started("MinAtar/Breakout-v1"), 200)
    np.random.seed(1)
    first = play(started("MinAtar/Breakout-v1"), actions)
    np.random.seed(2)
    assert play(started("MinAtar/Breakout-v1"), actions) == first


# Going on exactly


@given(st.sampled_from(sorted(GAMES)), st.integers(0, 2**40), st.integers(0, 400))
def test_restored_at_any_step_goes_on_the_same(env_id, seed, steps):
    original = started(env_id, seed)
    play(original, choices(original, steps, seed))
    state = original.get_state()
    rest = choices(original, 150, seed + 1)
    expected = play(original, rest)  # the state must not change when the original goes on
    restored = Environment(env_id, seed)
    restored.set_state(state)
    assert play(restored, rest) == expected
    assert (restored.episode, restored.last_episode) == (original.episode, original.last_episode)


def test_restored_where_another_episode_was_under_way():
    original, restored = started("MinAtar/Seaquest-v1", 4), started("MinAtar/Seaquest-v1", 4)
    play(original, choices(original, 200))
    play(restored, choices(restored, 77, seed=9))
    restored.set_state(original.get_state())
    rest = choices(original, 200, seed=3)
    assert play(restored, rest) == play(original, rest)


# What cannot be made, and what it costs


@pytest.mark.parametrize("env_id", ["MinAtar/Brekout-v1", "MinAtar/Breakout-v0"])
def test_unknown_game_is_named_with_the_closest(env_id):
    with pytest.raises(UserError, match=f"no environment {env_id!r}; the closest are MinAtar/Breakout-v1"):
        describe(env_id)


def test_game_has_no_options():
    with pytest.raises(UserError, match="MinAtar/Breakout-v1 has no option 'time_feature'; it has none"):
        describe("MinAtar/Breakout-v1", time_feature=True)


def test_missing_package_is_named_with_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "minatar", None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"MinAtar/Breakout-v1 needs a package.*pip install minatar"):
        describe("MinAtar/Breakout-v1")


def test_game_is_made_without_the_means_to_draw():
    code = (
        "import sys; from experiments.environments import describe; describe('MinAtar/Breakout-v1');"
        "print([name for name in ('seaborn', 'matplotlib') if name in sys.modules])"
    )
    assert python("-c", code).out.strip() == "[]"
