"""Partly observed environments: chains to remember, masked robots, POPGym; what is shown, hidden, rewarded and restored."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from experiment_support import make_run
from gymnasium.utils.env_checker import check_env

import experiments.environments.masked_mujoco as masked_mujoco
import experiments.environments.memory_chain as memory_chain
from algorithms.normalization import init_reward_scaler, init_statistics, normalize_observation, scale_reward
from algorithms.perception import init_perception, see
from experiments.environments import Environment
from experiments.environments.memory_chain import KMemoryChainEnv, MemoryChainEnv
from experiments.environments.popgym import make_popgym
from experiments.errors import UserError
from experiments.executor import run_inline
from experiments.plan import Group
from experiments.store import Store
from experiments.worker import Options

ORACLE = json.loads((Path(__file__).parents[1] / "algorithms" / "oracles" / "memory_chain_env.json").read_text())


def played(env: gymnasium.Env, actions: list[int]) -> list[tuple[list[float], float, bool]]:
    """Return observation, reward and end of each step."""
    steps = [env.step(action) for action in actions]
    assert not any(truncated for _, _, _, truncated, _ in steps)
    return [(obs.tolist(), reward, terminated) for obs, reward, terminated, *_ in steps]


def begun(length: int, bit: int) -> tuple[MemoryChainEnv, list[float]]:
    """Return a chain whose bit is known, and its first observation."""
    env = MemoryChainEnv(length)
    for seed in range(50):
        obs, _ = env.reset(seed=seed)
        if env.bit == bit:
            return env, obs.tolist()
    raise AssertionError("a bit that is always the same")


# MemoryChain


def test_chain_of_two_shows_the_cue_to_both_actions():
    env, first = begun(2, 1)
    assert first == [1, 0, 1]
    assert played(env, [0, 1]) == [([1, 0, 1], 0.0, False), ([0, 0, 0], 1.0, True)]


def test_chain_of_three_hides_the_cue_from_the_last_action():
    env, first = begun(3, 0)
    assert first == [1, 0, -1]
    assert played(env, [1, 1, 1]) == [([1, 0, -1], 0.0, False), ([0.5, 0, 0], 0.0, False), ([0, 0, 0], -1.0, True)]


def test_chain_of_six_rewards_the_sixth_action_alone():
    env, first = begun(6, 0)
    assert first == [1, 0, -1]
    expected = [1, 0.8, 0.6, 0.4, 0.2, 0]
    for number, (obs, reward, terminated) in enumerate(played(env, [1, 1, 1, 1, 1, 0])):
        assert obs == pytest.approx([expected[number], 0, -1 if number == 0 else 0], abs=1e-7)
        assert (reward, terminated) == ((1.0, True) if number == 5 else (0.0, False))


@pytest.mark.parametrize("case", ORACLE["cases"], ids=lambda case: str(case["L"]))
def test_observations_and_rewards_are_those_of_the_official_environment(case):
    """Their observation after an end is the next episode's first; ours of an end is not in their numbers."""
    env, steps = MemoryChainEnv(case["L"]), 0
    env.reset(seed=0)
    for row in case["rows"]:
        if row["action"] is None:
            obs, _ = env.reset()
        else:
            steps += 1
            obs, reward, terminated, *_ = env.step(row["action"])
            assert (reward, terminated) == (row["reward_raw"], row["done"])
            if terminated:
                assert steps == case["L"]
                steps = 0
                obs, _ = env.reset()
        if steps == 0:
            env.bit = int(row["obs_raw"][2] > 0)  # theirs
            obs[2] = row["obs_raw"][2]
        np.testing.assert_allclose(obs, row["obs_raw"], rtol=1e-6)


@pytest.mark.parametrize("case", ORACLE["cases"], ids=lambda case: str(case["L"]))
def test_statistics_that_begin_with_one_sample_are_those_of_the_official_wrappers(case):
    statistics, scaler = init_statistics((3,), prior=True), init_reward_scaler(prior=True)
    gamma = torch.tensor(0.99, dtype=torch.float64)
    for row in case["rows"]:
        statistics, obs = normalize_observation(statistics, torch.tensor(row["obs_raw"], dtype=torch.float64))
        np.testing.assert_allclose(obs, row["obs_normalised"], rtol=1e-5, atol=1e-6)
        if row["action"] is not None:
            raw, done = torch.tensor(row["reward_raw"], dtype=torch.float64), torch.tensor(row["done"])
            scaler, reward = scale_reward(scaler, raw, done, gamma)
            assert reward.item() == pytest.approx(row["reward_scaled"], rel=1e-5)


def test_both_cues_are_drawn_equally_often_and_follow_from_the_seed():
    env = MemoryChainEnv(2)
    bits = [env.reset(seed=seed)[0][2] for seed in range(400)]
    assert 150 < sum(bit == 1 for bit in bits) < 250
    assert bits[:20] == [MemoryChainEnv(5).reset(seed=seed)[0][2] for seed in range(20)]


# KMemoryChain


def test_k_memory_chain_rewards_the_bit_of_k_steps_before():
    env = KMemoryChainEnv(3)
    obs, _ = env.reset(seed=1)
    shown, times, total = [obs[0]], [obs[1]], 0.0
    for step in range(24):
        # The bit of step t is shown by the observation that step t returns; that of step 0 also at the beginning.
        action = int(shown[step - 2] > 0) if step >= 3 else 0
        obs, reward, terminated, truncated, _ = env.step(action)
        assert reward == (1.0 if step >= 3 else 0.0)
        assert (terminated, truncated) == (step == 23, False)
        shown.append(obs[0])
        times.append(obs[1])
        total += reward
    assert total == 7 * 3
    assert set(shown) == {-1.0, 1.0}
    assert shown[0] == shown[1], "the first bit is shown twice, as in the paper's code"
    assert times == pytest.approx([1.0, *(1 - t / 24 for t in range(24))], abs=1e-6)


def test_k_memory_chain_punishes_another_bit_and_a_lag_of_one_needs_no_memory():
    env = KMemoryChainEnv(1)
    obs = env.reset(seed=0)[0]
    obs, reward, *_ = env.step(0)
    assert reward == 0.0
    for step in range(7):
        right = step % 2 == 0
        obs, reward, *_ = env.step(int((obs[0] > 0) == right))
        assert reward == (1.0 if right else -1.0)


# Masked robots


@pytest.mark.parametrize("robot", sorted(masked_mujoco.ROBOTS))
def test_positions_and_velocities_are_those_of_the_simulator(robot):
    body = masked_mujoco.ROBOTS[robot]
    shown = {}
    for visible in ("positions", "velocities", "all"):
        env = gymnasium.make(robot, visible=visible, disable_env_checker=True)
        obs, _ = env.reset(seed=3)
        for _ in range(4):
            obs, *_ = env.step(np.full(env.action_space.shape, 0.5, np.float32))
        data = env.unwrapped.data
        shown[visible] = obs
        env.close()
    q, v = data.qpos.copy(), data.qvel.copy()
    if body in ("Hopper", "Walker2d"):
        v = np.clip(v, -10, 10)
    positions = q[2:] if body == "Ant" else q[1:]  # the root's place is left out
    assert (len(positions), len(v)) == masked_mujoco.SIZES[body]
    nothing_q, nothing_v = np.zeros_like(positions), np.zeros_like(v)
    np.testing.assert_array_equal(shown["positions"], np.concatenate([positions, nothing_v]))
    np.testing.assert_array_equal(shown["velocities"], np.concatenate([nothing_q, v]))
    np.testing.assert_array_equal(shown["all"], np.concatenate([positions, v]))


@pytest.mark.parametrize(
    ("mask", "positions", "velocities"),
    [
        ("true", list(range(8)), list(range(8, 17))),
        ("published_2409_01449", list(range(9)), list(range(9, 17))),
        ("published_2605_24709", [0, 1, 2, 3, 8, 9, 10, 11, 12], [4, 5, 6, 7, 13, 14, 15, 16]),
    ],
)
def test_published_masks_cut_half_cheetah_elsewhere(mask, positions, velocities):
    assert masked_mujoco.visible_indices("HalfCheetah", "positions", mask).tolist() == positions
    assert masked_mujoco.visible_indices("HalfCheetah", "velocities", mask).tolist() == velocities
    assert masked_mujoco.visible_indices("Ant", "positions", mask).tolist() == list(range(13))


def test_hidden_components_can_be_left_out():
    kept, dropped = (Environment("masked/Hopper-v4", 0, visible="velocities", hidden_as=how) for how in ("zeros", "nothing"))
    assert (kept.spaces.obs_shape, dropped.spaces.obs_shape) == ((11,), (6,))
    np.testing.assert_array_equal(kept.reset()[0][5:], dropped.reset()[0])


def test_time_limit_of_a_masked_robot_cuts_its_episodes():
    env = Environment("masked/HalfCheetah-v4", 0, time_limit=7)
    env.reset()
    ends = [env.step(np.zeros(6, np.float32))[2:4] for _ in range(7)]
    assert ends == [(False, False)] * 6 + [(False, True)]


# All of them

CHECKED = [
    (memory_chain.MEMORY_CHAIN, {}),
    (memory_chain.MEMORY_CHAIN, {"length": 2}),
    (memory_chain.K_MEMORY_CHAIN, {"lag": 2}),
    ("masked/Ant-v5", {"hidden_as": "nothing"}),
    ("masked/HalfCheetah-v4", {"visible": "velocities", "mask": "published_2605_24709"}),
]


@pytest.mark.parametrize(("env_id", "options"), CHECKED)
def test_registered_environment_passes_the_checker_of_gymnasium(env_id, options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for known in ("version of the environment", "out of date", "deprecated", "infinity", "different from the unwrapped"):
            warnings.filterwarnings("ignore", message=f".*{known}.*")
        env = gymnasium.make(env_id, disable_env_checker=True, **options)
        check_env(env, skip_render_check=True)


STREAMS = [
    (memory_chain.MEMORY_CHAIN, {"length": 6}),
    (memory_chain.K_MEMORY_CHAIN, {"lag": 4}),
    ("masked/Walker2d-v4", {}),
    ("popgym-RepeatFirstEasy-v0", {}),
    ("popgym-ConcentrationEasy-v0", {}),
]


def actions_for(env: Environment, count: int) -> list:
    rng = np.random.default_rng(0)
    if env.spaces.discrete:
        return rng.integers(0, env.spaces.action_size, count).tolist()
    return list(rng.normal(0, 0.5, (count, env.spaces.action_size)).astype(np.float32))


def live(env: Environment, actions: list) -> list:
    """Take actions, with a reset after every episode; return all that a learner sees, bit for bit."""
    seen = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        first = env.reset()[0].tobytes() if env.needs_reset else b""
        seen.append((obs.tobytes(), reward, terminated, truncated, first, env.last_episode))
    return seen


@pytest.mark.parametrize(("env_id", "options"), STREAMS)
def test_stream_left_in_the_middle_of_an_episode_goes_on_with_the_same_bits(env_id, options):
    if env_id.startswith("popgym-"):
        pytest.importorskip("popgym")
    env = Environment(env_id, 5, **options)
    first, _ = env.reset()
    assert first.dtype == np.float64
    assert first.shape == env.spaces.obs_shape
    actions = actions_for(env, 150)
    live(env, actions[:70])
    kept = env.get_state()
    expected = live(env, actions[70:])
    again = Environment(env_id, 5, **options)
    again.set_state(kept)
    assert live(again, actions[70:]) == expected
    other = Environment(env_id, 6, **options)
    other.reset()
    assert live(other, actions[:70]) != live_from_the_start(env_id, options, actions[:70])


def live_from_the_start(env_id: str, options: dict, actions: list) -> list:
    env = Environment(env_id, 5, **options)
    env.reset()
    return live(env, actions)


@pytest.mark.parametrize(
    ("env_id", "options", "message"),
    [
        (memory_chain.MEMORY_CHAIN, {"length": 1}, "length must be at least 2 actions; 1 is not"),
        (memory_chain.K_MEMORY_CHAIN, {"lag": 0}, "lag must be at least 1 step; 0 is not"),
        ("masked/Humanoid-v4", {}, "there is no environment 'masked/Humanoid-v4'"),
        ("memory/MemoryChain-v0", {"lag": 3}, "has no option 'lag'"),
    ],
)
def test_environment_that_cannot_be_is_refused_in_one_sentence(env_id, options, message):
    with pytest.raises(UserError, match=message):
        Environment(env_id, 0, **options)


# POPGym

EASY = {  # sizes of what is shown by the game itself, one-hot, and number of actions
    "Autoencode": (2 + 4, 4),
    "Concentration": (52 * 3, 52),
    "CountRecall": (2 + 2, 27),
    "HigherLower": (13, 2),
    "RepeatFirst": (4, 4),
    "RepeatPrevious": (4, 4),
    "Battleship": (2, 64),
    "MineSweeper": (3, 16),
    "MultiarmedBandit": (2, 10),
    "PositionOnlyCartPole": (2, 2),
}


@pytest.mark.parametrize("game", EASY)
def test_popgym_shows_the_last_action_and_the_last_reward(game):
    pytest.importorskip("popgym")
    size, actions = EASY[game]
    env = Environment(f"popgym-{game}Easy-v0", 0)
    assert (env.spaces.obs_shape, env.spaces.action_size) == ((size + actions + 1,), actions)
    obs, _ = env.reset()
    np.testing.assert_array_equal(obs[size:], [1.0] + [0.0] * actions)
    rng = np.random.default_rng(0)
    while not env.needs_reset:
        action = int(rng.integers(actions))
        obs, reward, *_ = env.step(action)
        np.testing.assert_array_equal(obs[size:], [*np.eye(actions)[action], reward])
    np.testing.assert_array_equal(env.reset()[0][size:], [1.0] + [0.0] * actions)
    assert Environment(f"popgym-{game}Easy-v0", 0, previous=False).spaces.obs_shape == (size,)


def test_popgym_pendulum_shows_the_last_vector():
    pytest.importorskip("popgym")
    env = Environment("popgym-PositionOnlyPendulumEasy-v0", 0)
    obs, _ = env.reset()
    assert (env.spaces.obs_shape, env.spaces.discrete) == ((4,), False)
    assert obs[2:].tolist() == [0.0, 0.0]
    obs, reward, *_ = env.step(np.array([0.5], np.float32))
    assert obs[2:].tolist() == [0.5, reward]


def test_last_action_is_seen_as_it_is_where_that_is_asked_for():
    """As in the code of the paper, which joins it to what was standardised before."""
    pytest.importorskip("popgym")
    env = Environment("popgym-RepeatFirstEasy-v0", 0, standardised="not_the_action")
    usual = Environment("popgym-RepeatFirstEasy-v0", 0)
    assert (env.spaces.obs_shape, env.spaces.as_is, usual.spaces.as_is) == (usual.spaces.obs_shape, 4, 0)
    state = init_perception(env.spaces, normalize=True)
    obs, _ = env.reset()
    usual.reset()
    for action in (2, 0, 3, 1, 1):
        state = see(state, torch.as_tensor(obs))
        obs, reward, *_ = env.step(action)
        other, *_ = usual.step(action)
        np.testing.assert_array_equal(obs, [*other[:4], reward, *np.eye(4)[action]])
        assert see(state, torch.as_tensor(obs))["obs"][5:].tolist() == np.eye(4)[action].tolist()
    assert state["obs_statistics"]["mean"].shape == (5,)


def test_repeat_first_can_be_played_without_a_fault():
    pytest.importorskip("popgym")
    env = Environment("popgym-RepeatFirstEasy-v0", 0)
    first = int(np.argmax(env.reset()[0][:4]))
    while not env.needs_reset:
        env.step(first)
    assert env.last_episode is not None
    assert env.last_episode.episodic_return == pytest.approx(1.0)


def test_repeat_first_is_played_without_memory_by_who_repeats_the_last_action():
    """The last action is in the observation: so agents without memory may leave chance behind."""
    pytest.importorskip("popgym")
    env = make_popgym("popgym-RepeatFirstEasy-v0")
    for seed in range(20):
        obs, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            card, action, reward = obs[:4], obs[4:8], obs[8]
            obs, reward, terminated, truncated, _ = env.step(int(np.argmax(action if reward else card)))
            total, over = total + reward, terminated or truncated
        assert total == pytest.approx(1)


def test_unknown_game_is_refused_with_the_closest():
    pytest.importorskip("popgym")
    with pytest.raises(UserError, match="popgym-RepeatFirstEasy-v0"):
        Environment("popgym-RepeatFirstEasy-v1", 0)


@pytest.mark.parametrize("learner", ["stream_ac", pytest.param("qrc", marks=pytest.mark.slow)])
def test_unit_that_forgets_nothing_is_recorded_as_a_divergence(learner, tmp_path):
    # At r = 1 the normaliser's slope is 0 / 0: float32 rounds these radii to 1, as training may do.
    options = {"cell": "rtu", "units": 4, "hidden": (8,), "rtu_radius": (0.99999999, 1.0)}
    run = make_run("memory/MemoryChain-v0", 0, 60, learner, **options)
    store = Store(tmp_path)
    assert run_inline([Group((run,), 1.0, run.steps)], store, Options(compiled=False)) == [0]
    result = store.load(run.run_id)[0]
    assert result["status"] == "diverged"
    assert 1 <= result["diverged_at"] < 60
    stable = make_run("memory/MemoryChain-v0", 0, 60, learner, **{**options, "rtu_radius": (0.0, 0.99)})
    assert run_inline([Group((stable,), 1.0, stable.steps)], store, Options(compiled=False)) == [0]
    assert store.load(stable.run_id)[0]["status"] == "finished"


# The lines that the figure of POPGym marks


def count(env, obs, rng):
    """Keep count of both colours and tell the one that is asked for."""
    counts = np.zeros(2, int)
    while not env.needs_reset:
        value, query = (int(np.argmax(part)) for part in (obs[:2], obs[2:4]))
        counts[value] += 1
        obs = env.step(counts[query])[0]


def concentrate(env, obs, rng):
    """Forget no card: turn over what is known to match, and else cards that were never seen."""
    known, paired = {}, set()
    while not env.needs_reset:
        left = [card for card in known if card not in paired]
        first = next((a for a in left for b in left if a != b and known[a] == known[b]), None)
        hand = []
        for _ in range(2):
            fresh = [card for card in range(52) if card not in known]
            mates = [b for b in known if hand and b != hand[0] and b not in paired and known[b] == known[hand[0]]]
            if not hand and first is not None:
                card = first
            else:
                card = mates[0] if mates else int(rng.choice(fresh or [c for c in left if c not in hand]))
            obs = env.step(card)[0]
            known[card] = int(np.argmax(obs[3 * card : 3 * card + 3]))
            hand.append(card)
            if env.needs_reset:
                return
        if known[hand[0]] == known[hand[1]]:
            paired |= set(hand)


def choose(env, obs, rng):
    """Choose at random."""
    while not env.needs_reset:
        env.step(int(rng.integers(env.spaces.action_size)))


@pytest.mark.parametrize(
    ("task", "play", "episodes"),
    [
        ("Concentration", concentrate, 60),
        ("Concentration", choose, 60),
        ("CountRecall", count, 5),
        ("CountRecall", choose, 100),
        ("RepeatFirst", choose, 100),
    ],
)
def test_games_played_with_perfect_memory_and_at_random_get_what_the_figure_marks(task, play, episodes):
    pytest.importorskip("popgym")
    from analysis.published.rtu import LIMITS

    env_id = f"popgym-{task}Easy-v0"
    env, rng, returns = Environment(env_id, 3), np.random.default_rng(0), []
    for _ in range(episodes):
        play(env, env.reset()[0], rng)
        returns.append(env.last_episode.episodic_return)
    oracle, at_random = LIMITS[env_id]
    expected = at_random if play is choose else oracle
    assert np.mean(returns) == pytest.approx(expected, abs=4 * np.std(returns) / np.sqrt(episodes) + 0.003)
