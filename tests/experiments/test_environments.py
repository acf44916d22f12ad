"""Environments: what a learner sees, what is recorded, and that a stream can be left and gone on with, bit for bit."""

from __future__ import annotations

import sys
import warnings

import gymnasium
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.environments import Environment, describe
from experiments.environments.vector import DM_CONTROL_EPISODE_STEPS
from experiments.errors import UserError
from experiments.randomness import derive

EXACT = ("HalfCheetah-v4", "Ant-v4", "Hopper-v4", "Humanoid-v4", "dm_control/cheetah-run-v0", "dm_control/dog-stand-v0")


def actions_for(environment: Environment, count: int, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    """Return float32 actions; with a larger scale many lie outside the bounds."""
    size = (count, environment.spaces.action_size)
    return np.random.default_rng(seed).normal(0, scale, size).astype(np.float32)


def play(environment: Environment, actions: np.ndarray) -> list[tuple[bytes, float, bool, bool, bytes, object]]:
    """Take actions, with a reset after every episode; return all that a learner sees and what is recorded, bit for bit."""
    seen = []
    for action in actions:
        obs, reward, terminated, truncated, _ = environment.step(action)
        first = environment.reset()[0].tobytes() if terminated or truncated else b""
        seen.append((obs.tobytes(), reward, terminated, truncated, first, environment.last_episode))
    return seen


def started(env_id: str, seed: int = 0, **options: object) -> Environment:
    environment = Environment(env_id, seed, **options)  # type: ignore[arg-type]
    environment.reset()
    return environment


def plain(env_id: str) -> gymnasium.Env:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gymnasium.make(env_id, disable_env_checker=True)


# Time feature


def test_first_two_observations_of_an_episode_both_say_minus_a_half():
    environment = Environment("HalfCheetah-v4", 0)
    times = [environment.reset()[0][-1]]
    times += [environment.step(action)[0][-1] for action in actions_for(environment, 5)]
    assert times[:2] == [-0.5, -0.5]
    assert times[2:] == pytest.approx([-0.5 + k / 1000 for k in range(1, 5)], abs=1e-12)


def test_time_starts_again_with_every_episode():
    environment = started("Hopper-v4")
    push = np.ones(3, np.float32)
    while environment.last_episode is None:
        time = environment.step(push)[0][-1]
    assert time == pytest.approx(-0.5 + (environment.last_episode.length - 1) / 1000)
    assert [environment.reset()[0][-1], environment.step(push)[0][-1]] == [-0.5, -0.5]


@pytest.mark.parametrize("env_id", ["HalfCheetah-v4", "dm_control/cheetah-run-v0"])
def test_episode_without_a_fall_is_cut_by_the_time_limit(env_id):
    environment = started(env_id)
    zero = np.zeros(environment.spaces.action_size, np.float32)
    for step in range(1, DM_CONTROL_EPISODE_STEPS + 1):
        obs, _, terminated, truncated, _ = environment.step(zero)
        assert not terminated
        assert truncated == (step == 1000)
    assert obs[-1] == pytest.approx(-0.5 + 999 / 1000)
    assert environment.last_episode is not None
    assert environment.last_episode.length == 1000


def test_observation_is_that_of_the_simulator_with_the_time_appended():
    with_time, without = started("Ant-v4"), started("Ant-v4", time_feature=False)
    assert with_time.spaces.obs_shape == (28,)
    assert without.spaces.obs_shape == (27,)
    assert (with_time.spaces.time_feature, without.spaces.time_feature) == (True, False)
    for action in actions_for(with_time, 20):
        assert with_time.step(action)[0][:-1].tobytes() == without.step(action)[0].tobytes()


def test_environment_without_time_limit_can_have_no_time_feature():
    gymnasium.register("Unlimited-v0", "gymnasium.envs.classic_control:PendulumEnv")
    try:
        with pytest.raises(UserError, match=r"Unlimited-v0 has no time limit.*--set time_feature=false"):
            Environment("Unlimited-v0", 0)
        assert Environment("Unlimited-v0", 0, time_feature=False).spaces.obs_shape == (3,)
    finally:
        del gymnasium.registry["Unlimited-v0"]


def test_observations_are_flat_float64():
    environment = Environment("dm_control/cheetah-run-v0", 0)
    obs, _ = environment.reset()
    assert (obs.shape, obs.dtype) == ((18,), np.float64)
    assert (environment.step(np.zeros(6, np.float32))[0].shape, environment.spaces.action_size) == ((18,), 6)


# Time limit


def steps_until_cut(environment: Environment) -> int:
    """Return the number of the step that is truncated, with the smallest actions there are."""
    action = 0 if environment.spaces.discrete else np.zeros(environment.spaces.action_size, np.float32)
    for step in range(1, 2000):
        _, _, terminated, truncated, _ = environment.step(action)
        assert not terminated
        if truncated:
            return step
    raise AssertionError("never cut")


@pytest.mark.parametrize(
    ("env_id", "limit", "cut_at"),
    [
        ("Pendulum-v1", 0, 200),
        ("Pendulum-v1", 300, 300),
        ("Pendulum-v1", 50, 50),
        ("MountainCar-v0", 250, 250),
        ("HalfCheetah-v4", 30, 30),
        ("dm_control/cheetah-run-v0", 40, 40),
        ("dm_control/cheetah-run-v0", 1000, 1000),
    ],
)
def test_time_limit_is_the_environments_own_or_the_one_asked_for(env_id, limit, cut_at):
    environment = started(env_id, time_limit=limit)
    assert steps_until_cut(environment) == cut_at
    assert environment.needs_reset
    assert environment.last_episode is not None
    assert environment.last_episode.length == cut_at


def test_time_feature_runs_over_the_limit_asked_for():
    environment = started("CartPole-v1", time_limit=10_000)
    times = [environment.step(step % 2)[0][-1] for step in range(8)]
    assert times == pytest.approx([-0.5 + k / 10_000 for k in range(8)], abs=1e-12)


def test_episode_with_a_time_limit_of_its_own_is_restored_exactly():
    original, restored = started("Pendulum-v1", time_limit=30), Environment("Pendulum-v1", 0, time_limit=30)
    play(original, actions_for(original, 50))
    restored.set_state(original.get_state())
    rest = actions_for(original, 50, seed=1)
    assert play(restored, rest) == play(original, rest)


def test_environment_without_time_limit_can_be_given_one():
    gymnasium.register("Unlimited-v0", "gymnasium.envs.classic_control:PendulumEnv")
    try:
        assert steps_until_cut(started("Unlimited-v0", time_limit=20)) == 20
    finally:
        del gymnasium.registry["Unlimited-v0"]


@pytest.mark.parametrize(
    ("env_id", "limit", "message"),
    [
        ("Hopper-v4", -1, "time_limit must be a number of steps, or 0 for the environment's own; -1 is not"),
        ("dm_control/cheetah-run-v0", 1001, "dm_control/cheetah-run-v0 ends its episodes after 1000 steps; time_limit=1001"),
    ],
)
def test_time_limit_that_cannot_be_is_refused(env_id, limit, message):
    with pytest.raises(UserError, match=message):
        describe(env_id, time_limit=limit)


# What is recorded


def test_episodic_return_is_the_undiscounted_sum_of_raw_rewards():
    environment, simulator = started("Hopper-v4"), plain("Hopper-v4")
    simulator.reset(seed=derive(0, "episode", 0) >> 32)
    total, length = 0.0, 0
    for action in actions_for(environment, 1000):
        total += float(simulator.step(np.clip(action, -1, 1))[1])
        length += 1
        _, _, terminated, truncated, _ = environment.step(action)
        if terminated or truncated:
            break
    assert environment.last_episode == (pytest.approx(total, abs=1e-9), length)
    assert length > 3


def test_last_episode_is_that_of_the_episode_which_ended_last():
    environment = started("Hopper-v4")
    assert environment.last_episode is None
    ends, rewards = [], []
    for action in actions_for(environment, 200):
        _, reward, terminated, truncated, _ = environment.step(action)
        rewards.append(reward)
        if terminated or truncated:
            ends.append((sum(rewards), len(rewards)))
            assert environment.last_episode == (pytest.approx(ends[-1][0]), ends[-1][1])
            environment.reset()
            assert environment.last_episode[1] == ends[-1][1]
            rewards = []
    assert len(ends) > 2
    assert environment.episode == len(ends)


@pytest.mark.parametrize("env_id", ["Hopper-v4", "dm_control/cheetah-run-v0"])
def test_reset_is_needed_before_the_first_episode_and_after_the_end_of_each(env_id):
    environment = Environment(env_id, 0)
    assert environment.needs_reset
    environment.reset()
    ends = 0
    for action in actions_for(environment, 1100):
        assert not environment.needs_reset
        _, _, terminated, truncated, _ = environment.step(action)
        assert environment.needs_reset == (terminated or truncated)
        if environment.needs_reset:
            ends += 1
            environment.reset()
    assert ends > 0


# Actions


@pytest.mark.parametrize(
    ("option", "limit"),
    [("bounds", 0.4), ("unit", 1.0), ("none", np.inf)],  # the bounds of Humanoid-v4 are -0.4 and 0.4
)
def test_actions_are_clipped_as_asked(option, limit):
    clipped, by_hand = started("Humanoid-v4", action_clip=option), started("Humanoid-v4", action_clip="none")
    actions = actions_for(clipped, 10, scale=2.0)
    assert (np.abs(actions) > 1.0).any()
    assert ((np.abs(actions) > 0.4) & (np.abs(actions) < 1.0)).any()
    assert play(clipped, actions) == play(by_hand, np.clip(actions, -limit, limit))


def test_clipping_to_bounds_and_to_unit_differ_where_the_bounds_are_narrower():
    actions = actions_for(started("Humanoid-v4"), 3, scale=2.0)
    seen = [play(started("Humanoid-v4", action_clip=option), actions) for option in ("bounds", "unit", "none")]
    assert seen[0] != seen[1] != seen[2]


def test_action_given_is_not_changed():
    environment = started("HalfCheetah-v4")
    action = np.full(6, 5.0, np.float32)
    environment.step(action)
    assert (action == 5.0).all()


# Streams


def test_same_seed_and_actions_make_the_same_stream_whatever_else_is_going_on():
    actions = actions_for(started("Hopper-v4"), 100)
    expected = play(started("Hopper-v4", 7), actions)
    np.random.seed(5)
    neighbour, environment = started("Hopper-v4", 8), started("Hopper-v4", 7)
    seen = []
    for action in actions:
        play(neighbour, action[None] * 0.5)
        np.random.random()
        seen += play(environment, action[None])
    assert seen == expected


@pytest.mark.parametrize("env_id", ["Hopper-v4", "dm_control/cheetah-run-v0"])
def test_other_seeds_and_other_episodes_start_elsewhere(env_id):
    first = {Environment(env_id, seed).reset()[0].tobytes() for seed in range(5)}
    environment = Environment(env_id, 0)
    later = {environment.reset()[0].tobytes() for _ in range(5)}
    assert len(first | later) == 9  # episode 0 of seed 0 is in both


def test_seed_given_to_reset_is_ignored_so_that_every_learner_meets_the_same_stream():
    one, other = Environment("Hopper-v4", 3), Environment("Hopper-v4", 3)
    assert one.reset(seed=1)[0].tobytes() == other.reset(seed=2)[0].tobytes()


# Going on exactly


@pytest.mark.parametrize("env_id", EXACT)
def test_restored_in_the_middle_of_an_episode_goes_on_bit_for_bit(env_id):
    original = started(env_id, 5)
    play(original, actions_for(original, 45, scale=0.6))
    state = original.get_state()
    assert len(state["actions"]) > 0, "not in the middle of an episode"
    restored = Environment(env_id, 5)
    restored.set_state(state)
    assert (restored.episode, restored.last_episode) == (original.episode, original.last_episode)
    rest = actions_for(original, 40, seed=1, scale=0.6)
    assert play(restored, rest) == play(original, rest)
    assert (restored.episode, restored.last_episode) == (original.episode, original.last_episode)


@settings(max_examples=15)
@given(
    st.sampled_from(["Hopper-v4", "dm_control/cheetah-run-v0", "dm_control/cartpole-balance-v0", "Acrobot-v1"]),
    st.integers(0, 2**40),
    st.integers(0, 80),
)
def test_restored_at_any_step_goes_on_bit_for_bit(env_id, seed, steps):
    def actions(count: int, seed: int) -> np.ndarray:
        discrete = np.random.default_rng(seed).integers(0, original.spaces.action_size, count)
        return discrete if original.spaces.discrete else actions_for(original, count, seed)

    original, restored = started(env_id, seed), Environment(env_id, seed)
    play(original, actions(steps, seed))
    state = original.get_state()
    rest = actions(30, seed + 1)
    expected = play(original, rest)  # the state must not change when the original goes on
    restored.set_state(state)
    assert play(restored, rest) == expected
    assert (restored.episode, restored.last_episode, restored.needs_reset) == (
        original.episode,
        original.last_episode,
        original.needs_reset,
    )


def test_environment_that_was_never_reset_is_restored_to_that():
    restored = started("Hopper-v4", 1)
    restored.set_state(Environment("Hopper-v4", 1).get_state())
    assert (restored.episode, restored.needs_reset, restored.last_episode) == (-1, True, None)
    assert restored.reset()[0].tobytes() == Environment("Hopper-v4", 1).reset()[0].tobytes()


def test_restored_after_many_episodes_goes_on_bit_for_bit():
    original = started("Hopper-v4", 1)
    play(original, actions_for(original, 150))
    assert original.episode > 3
    restored = started("Hopper-v4", 1)
    play(restored, actions_for(restored, 60, seed=9))  # it may have been somewhere else before
    restored.set_state(original.get_state())
    rest = actions_for(original, 60, seed=2)
    assert play(restored, rest) == play(original, rest)
    assert (restored.episode, restored.last_episode) == (original.episode, original.last_episode)


def test_restored_at_the_start_of_an_episode_goes_on_bit_for_bit():
    original = started("Hopper-v4", 1)
    while original.last_episode is None:
        play(original, actions_for(original, 1, seed=original.episode))
    assert original.get_state()["actions"] == []
    restored = Environment("Hopper-v4", 1)
    restored.set_state(original.get_state())
    rest = actions_for(original, 20, seed=2)
    assert play(restored, rest) == play(original, rest)


def test_saved_state_does_not_change_when_the_environment_goes_on():
    environment = started("HalfCheetah-v4")
    play(environment, actions_for(environment, 5))
    state = environment.get_state()
    play(environment, actions_for(environment, 5))
    assert len(state["actions"]) == 5


def test_last_episode_is_restored():
    original = started("Hopper-v4", 1)
    play(original, actions_for(original, 100))
    restored = Environment("Hopper-v4", 1)
    restored.set_state(original.get_state())
    assert original.last_episode is not None
    assert restored.last_episode == original.last_episode


@pytest.mark.parametrize(
    "option",
    [
        "bounds",
        "unit",
        "none",
    ],
)
def test_restored_exactly_when_the_caller_writes_every_action_into_the_same_memory(option):
    # As the lanes do: an action is a view of the engine's own array.
    original = started("HalfCheetah-v4", action_clip=option)
    memory = np.zeros(6, np.float32)
    for action in actions_for(original, 10):
        memory[:] = action
        original.step(memory)
    restored = Environment("HalfCheetah-v4", 0, action_clip=option)
    restored.set_state(original.get_state())
    rest = actions_for(original, 5, seed=1)
    assert play(restored, rest) == play(original, rest)


@pytest.mark.parametrize("option", ["unit", "none"])
def test_actions_beyond_the_bounds_are_replayed_as_they_were(option):
    original = started("HalfCheetah-v4", action_clip=option)
    play(original, actions_for(original, 10, scale=3.0))
    restored = Environment("HalfCheetah-v4", 0, action_clip=option)
    restored.set_state(original.get_state())
    rest = actions_for(original, 10, seed=1, scale=3.0)  # clipping is on again after the replay
    assert play(restored, rest) == play(original, rest)


def test_discrete_environment_is_restored_exactly():
    original = started("CartPole-v1", 2)
    choices = np.random.default_rng(0).integers(0, 2, 50)
    play(original, choices)
    restored = Environment("CartPole-v1", 2)
    restored.set_state(original.get_state())
    assert original.spaces.discrete
    assert play(restored, choices) == play(original, choices)


# What cannot be made


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        ("Hoper-v4", r"no environment 'Hoper-v4'; the closest are Hopper-v"),
        ("dm_control/cheeta-run-v0", r"no environment 'dm_control/cheeta-run-v0'; the closest are dm_control/cheetah-run-v0"),
        ("Nothing of this kind", "no environment 'Nothing of this kind'"),
        ("Hopper-v99", "no environment 'Hopper-v99'; the closest are Hopper-v"),
        ("no_such_module:Hopper-v4", "no environment 'no_such_module:Hopper-v4'"),
        ("", "no environment ''"),
    ],
)
def test_unknown_environment_is_named_with_the_closest(env_id, message):
    with pytest.raises(UserError, match=message) as error:
        describe(env_id)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("env_id", ["Hopper-v3", "HalfCheetah-v2", "Pusher-v4"])
def test_environment_that_gymnasium_has_given_up_is_refused(env_id):
    with pytest.raises(UserError, match=env_id):
        describe(env_id)


@pytest.mark.parametrize(
    ("env_id", "module", "remedy"),
    [
        ("dm_control/cheetah-run-v0", "shimmy", "pip install shimmy dm-control"),
        ("ALE/Breakout-v5", "ale_py", "pip install ale-py"),
        ("MinAtar/Breakout-v1", "minatar", "pip install minatar"),
    ],
)
def test_missing_package_is_named_with_the_command_that_installs_it(env_id, module, remedy, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"{env_id} needs a package that is not installed.*{remedy}"):
        describe(env_id)


def test_missing_package_of_a_gymnasium_environment_is_named_and_no_other(monkeypatch):
    monkeypatch.setitem(sys.modules, "Box2D", None)  # type: ignore[arg-type]
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, module)
    with pytest.raises(UserError, match="LunarLander-v3 needs a package") as error:
        describe("LunarLander-v3")
    assert "box2d" in str(error.value)
    assert "mujoco" not in str(error.value)


def test_unknown_option_names_those_there_are():
    with pytest.raises(UserError, match="Hopper-v4 has no option 'time_limits'; it has time_feature, action_clip, time_limit"):
        Environment("Hopper-v4", 0, time_limits=5)


def test_actions_that_no_learner_can_choose_are_refused():
    gymnasium.register("Grid-v0", lambda: _GridActions(), max_episode_steps=10)
    try:
        with pytest.raises(UserError, match="Grid-v0 has actions of the form"):
            describe("Grid-v0")
    finally:
        del gymnasium.registry["Grid-v0"]


class _GridActions(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space = gymnasium.spaces.Box(-1, 1, (2, 2))
