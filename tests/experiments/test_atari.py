"""Atari: frame for frame what the reference wrappers give, lives and games, and restoring in the middle of a game."""

from __future__ import annotations

import sys

import ale_py
import cv2
import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import RecordEpisodeStatistics, ResizeObservation, TransformObservation
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.atari_wrappers import EpisodicLifeEnv, FireResetEnv, MaxAndSkipEnv, NoopResetEnv

from experiments.environments import Environment, atari, describe
from experiments.errors import UserError
from experiments.randomness import derive

PAPER = (
    *("Alien", "Amidar", "Assault", "Asterix", "BankHeist", "MsPacman", "Bowling", "Boxing"),
    *("Breakout", "Enduro", "Freeway", "Frostbite", "Pong", "Qbert", "Seaquest", "SpaceInvaders"),
)
Seen = list[tuple[bytes, float, bool, bool, bool, bytes]]


def game(name: str) -> str:
    return f"{name}NoFrameskip-v4"


def choices(environment: Environment, count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, environment.spaces.action_size, count).tolist()


def started(name: str, seed: int = 0) -> Environment:
    environment = Environment(game(name), seed)
    environment.reset()
    return environment


def play(environment: Environment, actions: list[int]) -> Seen:
    """Take actions, with a reset after every game; return all that a learner sees."""
    seen = []
    for action in actions:
        obs, reward, terminated, truncated, _ = environment.step(action)
        over = environment.needs_reset
        first = environment.reset()[0].tobytes() if over else b""
        seen.append((obs.tobytes(), reward, terminated, truncated, over, first))
    return seen


def play_until(environment: Environment, condition, seed: int = 0) -> list[int]:
    """Play at random, within one game, until a step of which the condition is true; return the actions taken."""
    taken: list[int] = []
    for action in choices(environment, 3000, seed):
        taken.append(action)
        _, _, terminated, _, _ = environment.step(action)
        if condition(terminated, environment.needs_reset):
            return taken
        assert not environment.needs_reset
    raise AssertionError("it never happened")


class Reference(gymnasium.Wrapper):
    """The published wrappers: those of stable-baselines3 and Gymnasium, grey as in the Gymnasium of that time (0.29)."""

    def __init__(self, name: str, **options: int):
        env = RecordEpisodeStatistics(gymnasium.make(game(name), disable_env_checker=True, **options))
        self.no_ops = env = NoopResetEnv(env, noop_max=30)
        env = EpisodicLifeEnv(MaxAndSkipEnv(env, skip=4))
        if "FIRE" in env.unwrapped.get_action_meanings():  # type: ignore[attr-defined]
            env = FireResetEnv(env)
        env = ResizeObservation(env, (84, 84))
        box = gymnasium.spaces.Box(0, 255, (84, 84), np.uint8)
        super().__init__(TransformObservation(env, lambda frame: cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), box))

    def reset_as(self, seed: int, episode: int) -> np.ndarray:
        """Start a game with the number of no-ops that the stream of a seed draws for an episode."""
        self.no_ops.override_num_noops = 1 + derive(seed, "episode", episode) % 30
        return self.reset()[0]


@pytest.fixture(autouse=True, scope="module")
def quiet_emulator():
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)


# As published


@pytest.mark.parametrize(
    ("name", "steps"),
    # Asterix has no FIRE, Pong and Enduro no lives; BankHeist says 0 lives some time before its end.
    [
        ("Breakout", 500),
        ("Pong", 300),
        ("Enduro", 200),
        ("Asterix", 400),
        ("MsPacman", 200),
        ("Qbert", 600),
        ("BankHeist", 600),
    ],
)
def test_frames_rewards_and_ends_are_those_of_the_reference_wrappers(name, steps):
    ours, theirs = Environment(game(name), 7), Reference(name)
    assert theirs.action_space == ours.action_space
    episodes = 0
    assert (ours.reset()[0] == theirs.reset_as(7, 0)).all()
    for number, action in enumerate(choices(ours, steps)):
        obs, reward, terminated, truncated, _ = ours.step(action)
        expected = theirs.step(action)
        assert (obs == expected[0]).all(), f"frame of step {number} of episode {episodes}"
        assert (reward, terminated, truncated) == expected[1:4]
        assert ours.needs_reset == ("episode" in expected[4])
        if ours.needs_reset:
            assert ours.last_episode is not None
            assert ours.last_episode.episodic_return == expected[4]["episode"]["r"]
            episodes += 1
            assert (ours.reset()[0] == theirs.reset_as(7, episodes)).all()
    if name in ("Breakout", "Asterix", "Qbert"):
        assert episodes > 0


def test_return_counts_the_points_of_frames_that_the_learner_never_saw(monkeypatch):
    # Skiing takes points off for every frame, those of the no-op start and of FIRE included.
    monkeypatch.setattr(atari, "EPISODE_FRAMES", 399)
    ours, theirs = Environment(game("Skiing"), 1), Reference("Skiing", max_num_frames_per_episode=399)
    ours.reset()
    theirs.reset_as(1, 0)
    total = 0.0
    while not ours.needs_reset:
        obs, reward, terminated, truncated, _ = ours.step(0)
        expected = theirs.step(0)
        assert (obs == expected[0]).all()
        assert (reward, terminated, truncated) == expected[1:4]
        total += reward
    assert ours.last_episode is not None
    assert ours.last_episode.episodic_return == expected[4]["episode"]["r"] < total < 0


def test_game_is_cut_after_so_many_frames_no_ops_included(monkeypatch):
    monkeypatch.setattr(atari, "EPISODE_FRAMES", 200)
    environment = started("Pong")
    start_frames = environment._simulator._ale.getEpisodeFrameNumber()  # type: ignore[attr-defined]
    ends = [environment.step(0)[2:4] for _ in range(-(-(200 - start_frames) // 4))]
    assert ends == [(False, False)] * (len(ends) - 1) + [(False, True)]
    assert environment.needs_reset
    assert environment.last_episode == (0.0, len(ends))
    environment.reset()
    assert not environment.needs_reset
    assert environment.step(0)[2:4] == (False, False)


def test_cap_of_frames_can_go_unnoticed(monkeypatch):
    monkeypatch.setattr(atari, "EPISODE_FRAMES", 200)
    told, untold = (Environment(game("Pong"), 0, frame_cap=cap) for cap in ("truncation", "unnoticed"))
    for environment in (told, untold):
        environment.reset()
    steps = 0
    while not told.needs_reset:
        assert not untold.needs_reset
        *seen, truncated, _ = told.step(0)
        *seen_untold, truncated_untold, _ = untold.step(0)
        assert (seen[0] == seen_untold[0]).all()
        assert seen[1:] == seen_untold[1:]
        steps += 1
    assert (truncated, truncated_untold) == (True, False)
    assert untold.needs_reset
    assert untold.last_episode == told.last_episode == (0.0, steps)
    assert (untold.reset()[0] == told.reset()[0]).all()


def test_end_of_a_game_is_noticed_where_its_cap_is_not():
    environment = Environment(game("Breakout"), 0, frame_cap="unnoticed")
    environment.reset()
    play_until(environment, lambda terminated, over: over)
    assert environment.last_episode is not None


def test_games_are_cut_where_gymnasium_cuts_them():
    assert gymnasium.spec(game("Breakout")).kwargs["max_num_frames_per_episode"] == atari.EPISODE_FRAMES == 108_000


@pytest.mark.parametrize("name", PAPER)
def test_every_game_of_the_paper_can_be_played(name):
    environment = started(name)
    spaces = environment.spaces
    assert (spaces.obs_shape, spaces.frames, spaces.obs_dtype) == ((84, 84), 4, "uint8")
    assert (spaces.discrete, spaces.time_feature) == (True, False)
    assert spaces.action_size == gymnasium.make(game(name), disable_env_checker=True).action_space.n
    obs, *_ = environment.step(spaces.action_size - 1)
    assert (obs.shape, obs.dtype) == ((84, 84), np.uint8)
    assert np.unique(obs).size > 2


# Lives and games


def test_lost_life_is_terminated_and_the_game_goes_on():
    environment = started("Breakout")
    lost = []
    for step, action in enumerate(choices(environment, 3000), 1):
        _, _, terminated, truncated, _ = environment.step(action)
        assert not truncated
        if terminated:
            lost.append((step, environment.needs_reset, environment.last_episode))
        if environment.needs_reset:
            break
    assert [over for _, over, _ in lost] == [False] * 4 + [True]  # five lives
    assert [end for *_, end in lost[:4]] == [None] * 4
    assert environment.last_episode is not None
    assert environment.last_episode.length == lost[-1][0]
    assert environment.episode == 0


def test_return_is_that_of_all_lives_together():
    environment = started("Seaquest")
    total = 0.0
    while not environment.needs_reset:
        for action in choices(environment, 1, seed=int(total) + environment._length):
            total += environment.step(action)[1]
    assert environment.last_episode is not None
    assert environment.last_episode.episodic_return == total > 0


def test_number_of_no_ops_is_drawn_anew_for_every_episode_and_seed():
    def frames(environment: Environment) -> int:
        environment.reset()
        return environment._simulator._ale.getEpisodeFrameNumber()  # type: ignore[attr-defined]

    environment = Environment(game("Asterix"), 0)  # no FIRE: the frames until its start are the no-ops
    counts = [frames(environment) for _ in range(100)]
    assert set(counts) >= {1, 30}
    assert set(counts) <= set(range(1, 31))
    assert len({frames(Environment(game("Asterix"), seed)) for seed in range(8)}) > 3


@pytest.mark.parametrize("name", ["Frostbite", "Qbert", "Amidar"])
def test_game_does_not_depend_on_the_one_before(name):
    # The emulator's reset alone lets something of the last game through (Frostbite), its snapshots lose something (Q*bert).
    one, other = started(name, 3), started(name, 3)
    play(one, choices(one, 2))
    play(other, choices(other, 400))
    one.episode = other.episode = 8
    assert one.reset()[0].tobytes() == other.reset()[0].tobytes()
    actions = choices(one, 200, seed=5)
    assert play(one, actions) == play(other, actions)


# Going on exactly


@settings(max_examples=12)
@given(st.sampled_from(["Breakout", "Asterix", "Qbert", "Assault"]), st.integers(0, 2**40), st.integers(0, 250))
def test_restored_at_any_step_goes_on_the_same(name, seed, steps):
    original = started(name, seed)
    play(original, choices(original, steps, seed))
    state = original.get_state()
    rest = choices(original, 60, seed + 1)
    expected = play(original, rest)  # the state must not change when the original goes on
    restored = Environment(game(name), seed)
    restored.set_state(state)
    assert play(restored, rest) == expected
    assert (restored.episode, restored.last_episode) == (original.episode, original.last_episode)


@pytest.mark.parametrize("name", ["Breakout", "Qbert"])
def test_restored_right_after_a_lost_life_goes_on_the_same(name):
    original = started(name, 1)
    play_until(original, lambda terminated, over: terminated)
    assert not original.needs_reset
    restored = Environment(game(name), 1)
    restored.set_state(original.get_state())
    rest = choices(original, 80, seed=2)
    assert play(restored, rest) == play(original, rest)


def test_restored_right_before_the_end_of_a_game_sees_the_same_end():
    taken = play_until(started("Breakout", 1), lambda _, over: over)
    original, restored = started("Breakout", 1), started("Breakout", 1)
    play(original, taken[:-1])
    restored.set_state(original.get_state())
    assert play(restored, taken[-1:]) == play(original, taken[-1:])
    assert restored.last_episode == original.last_episode is not None


def test_restored_in_a_later_game_where_another_was_under_way():
    original, restored = started("Breakout", 2), started("Breakout", 2)
    play(original, choices(original, 400))
    assert original.episode > 0
    assert len(original.get_state()["actions"]) > 0, "not in the middle of a game"
    play(restored, choices(restored, 33, seed=9))
    restored.set_state(original.get_state())
    rest = choices(original, 200, seed=3)
    assert play(restored, rest) == play(original, rest)
    assert (restored.episode, restored.last_episode) == (original.episode, original.last_episode)


def test_restored_where_a_reset_is_due():
    original, restored = started("Breakout", 1), Environment(game("Breakout"), 1)
    play_until(original, lambda _, over: over)
    restored.set_state(original.get_state())
    assert restored.needs_reset
    assert restored.last_episode == original.last_episode
    assert restored.reset()[0].tobytes() == original.reset()[0].tobytes()


# What cannot be made


def test_unknown_game_is_named_with_the_closest():
    with pytest.raises(UserError, match="no environment 'BrekoutNoFrameskip-v4'; the closest are BreakoutNoFrameskip-v4"):
        describe("BrekoutNoFrameskip-v4")


def test_other_forms_of_the_games_are_refused():
    with pytest.raises(UserError, match=r"name it pixels/ALE/Breakout-v5 .* like BreakoutNoFrameskip-v4"):
        describe("ALE/Breakout-v5")


@pytest.mark.parametrize(("module", "remedy"), [("ale_py", "ale-py"), ("cv2", "opencv-python-headless")])
def test_missing_package_is_named_with_the_command_that_installs_it(module, remedy, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)  # type: ignore[arg-type]
    with pytest.raises(UserError, match=f"BreakoutNoFrameskip-v4 needs a package that is not installed.*pip install {remedy}"):
        describe(game("Breakout"))
