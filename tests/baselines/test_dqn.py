"""DQN and DQN1: the update, the replay of stacked frames, exploration, and what the networks are."""

from __future__ import annotations

import copy
import math
import pickle
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from experiment_support import kept
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.logger import Logger
from torch import nn
from torch.nn import functional as F

from algorithms.agent import Spaces
from baselines.batch import build
from baselines.dqn_settings import ATARI, ATARI1, DQN, DQN1
from baselines.frames import FrameBuffer
from baselines.stepwise_dqn import StepwiseDQN, evaluate
from experiments.catalog import experiment_names, load_experiment
from experiments.environments import Environment
from experiments.errors import UserError
from experiments.expand import check_spaces, resolve
from experiments.spec import Arm, Row, Run
from experiments.training.batch import Stream


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_run(algorithm: str, env_id: str, steps: int = 100, **hyperparameters: Any) -> Run:
    return resolve(Row(env_id, (), steps, 1, 1), Arm("", algorithm, hyperparameters), 0)


def cartpole(seed: int = 0) -> Environment:
    return Environment("CartPole-v1", seed, time_feature=False)


class Game(gymnasium.Env[np.ndarray, Any]):
    """Six steps, a life lost at the third, and every other game cut off by a time limit instead of ending.

    Observations tell the number of the game and of the step; rewards grow with the step.
    """

    def __init__(self, shape: tuple[int, ...] = (2,), frames: int = 1) -> None:
        pixels = frames > 1
        dtype: Any = np.uint8 if pixels else np.float64
        self.spaces = Spaces(shape, 3, True, frames=frames, obs_dtype="uint8" if pixels else "float64")
        self.observation_space = gymnasium.spaces.Box(0, 255, shape, dtype)
        self.action_space = gymnasium.spaces.Discrete(3)
        self.game, self.steps, self.needs_reset = -1, 0, True

    def _obs(self) -> np.ndarray:
        obs = np.zeros(self.observation_space.shape, self.observation_space.dtype)
        obs.reshape(-1)[:2] = self.game % 200, self.steps
        return obs

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.game, self.steps, self.needs_reset = self.game + 1, 0, False
        return self._obs(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        assert not self.needs_reset
        self.steps += 1
        self.needs_reset = self.steps == 6
        terminated = self.steps == 3 or (self.needs_reset and self.game % 2 == 0)
        return self._obs(), float(self.steps - 2), terminated, self.needs_reset and not terminated, {}


class Chain(gymnasium.Env[np.ndarray, Any]):
    """Three steps to the right earn 1 at the end; a step to the left ends it all for nothing."""

    spaces = Spaces((3,), 2, True)
    observation_space = gymnasium.spaces.Box(0, 1, (3,), np.float64)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.place = 0
        return np.eye(3)[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.place += 1
        arrived = self.place == 3
        return np.eye(3)[self.place % 3], float(arrived and action == 1), arrived or action == 0, False, {}


def recorded(model: StepwiseDQN) -> list[Any]:
    """Note every batch that a model draws."""
    batches: list[Any] = []
    sample = model.replay_buffer.sample

    def noting(size: int) -> Any:
        batches.append(sample(size))
        return batches[-1]

    model.replay_buffer.sample = noting
    return batches


# What is built


def test_defaults_are_those_of_cleanrl() -> None:
    model = build(DQN(), cartpole(), 500_000, 0)
    assert (model.replay_buffer.buffer_size, model.batch_size, model.learning_starts) == (10_000, 128, 10_000)
    assert (model.target_update_interval, model.tau, model.gamma) == (500, 1.0, 0.99)
    assert model.optimizers["online"].param_groups[0]["lr"] == 2.5e-4
    assert model.optimizers["online"].defaults["eps"] == 1e-8
    assert [layer.shape[0] for layer in model.q_net.parameters() if layer.ndim == 2] == [120, 84, 2]
    assert [model.epsilon(step) for step in (0, 125_000, 250_000, 499_999)] == pytest.approx([1.0, 0.525, 0.05, 0.05])


def test_dqn1_differs_from_dqn_in_buffer_batch_and_times_alone() -> None:
    model = build(DQN1(), cartpole(), 500_000, 0)
    assert (model.replay_buffer.buffer_size, model.batch_size, model.learning_starts) == (1, 1, 1)
    assert model.target_update_interval == 500
    differences = {name for name, value in vars(DQN()).items() if value != getattr(DQN1(), name)}
    assert differences == {"buffer_size", "batch_size", "learning_starts", "train_frequency"}


def test_values_for_atari_are_those_of_cleanrl() -> None:
    dqn, dqn1 = DQN(**ATARI), DQN1(**ATARI1)
    assert (dqn.buffer_size, dqn.batch_size, dqn.learning_starts, dqn.train_frequency) == (1_000_000, 32, 80_000, 4)
    assert (dqn1.buffer_size, dqn1.batch_size, dqn1.learning_starts, dqn1.train_frequency) == (1, 1, 1, 1)
    for learner in (dqn, dqn1):
        assert (learner.learning_rate, learner.target_network_frequency, learner.gamma) == (1e-4, 1000, 0.99)
        assert (learner.epsilon_start, learner.epsilon_end, learner.exploration_fraction) == (1.0, 0.01, 0.1)
        assert learner.clip_reward


@pytest.mark.parametrize(
    ("shape", "frames", "count"),
    [
        ((4,), 1, 4 * 120 + 120 + 120 * 84 + 84 + 84 * 3 + 3),
        ((4, 10, 10), 1, 132_566 - 3 * 129),  # Stream-X's number is that of six actions
        ((10, 10, 10), 1, 133_430 - 3 * 129),
        ((84, 84), 4, 8_224 + 32_832 + 36_928 + 1_606_144 + 3 * 513),  # Nature DQN
    ],
)
def test_networks_have_the_published_sizes(shape: tuple[int, ...], frames: int, count: int) -> None:
    model = build(DQN1(), Game(shape, frames), 10, 0)
    assert sum(p.numel() for p in model.q_net.parameters()) == count
    obs = torch.randint(0, 255, (5, *((frames,) if frames > 1 else ()), *shape)).to(
        torch.uint8 if frames > 1 else torch.float32
    )
    values = evaluate(model._online, obs)
    torch.testing.assert_close(values, model.q_net(obs))
    torch.testing.assert_close(values, evaluate(model._target, obs))
    assert values.shape == (5, 3)


def test_minatar_network_is_convolution_and_one_layer_with_leaky_relu() -> None:
    model = build(DQN1(), Game((4, 10, 10)), 10, 0)
    kernel, bias, weight, offset, head, last = (p.detach().numpy().astype(float) for p in model.q_net.parameters())
    obs = np.random.default_rng(0).integers(0, 2, (4, 10, 10)).astype(float)
    windows = np.lib.stride_tricks.sliding_window_view(obs, (3, 3), (1, 2))
    features = np.einsum("ocij,cyxij->oyx", kernel, windows) + bias[:, None, None]
    hidden = weight @ np.maximum(features, 0.01 * features).ravel() + offset
    expected = head @ np.maximum(hidden, 0.01 * hidden) + last
    values = evaluate(model._online, torch.tensor(obs[None], dtype=torch.float32))
    np.testing.assert_allclose(values[0].detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def test_observations_without_a_network_are_refused() -> None:
    with pytest.raises(ValueError, match="DQN has networks for"):
        build(DQN1(), Game((3, 20, 20)), 10, 0)


def test_actions_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="Hopper-v4: DQN chooses one of several"):
        Stream(make_run("dqn1", "Hopper-v4"))
    with pytest.raises(UserError, match=r"dqn1 .*Hopper-v4 wants a vector"):
        check_spaces(make_run("dqn1", "Hopper-v4"), Spaces((11,), 3))
    with pytest.raises(UserError, match=r"sac1 .*CartPole-v1 wants"):
        check_spaces(make_run("sac1", "CartPole-v1"), Spaces((4,), 2, True))
    check_spaces(make_run("dqn1", "CartPole-v1"), Spaces((4,), 2, True))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"train_frequency": 0}, "train_frequency must be at least 1"),
        ({"exploration_fraction": 0.0}, "exploration_fraction must be positive"),
        ({"schedule_steps": -1}, "schedule_steps at least 0"),
    ],
)
def test_values_that_mean_nothing_are_refused(setting: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Stream(make_run("dqn", "CartPole-v1", **setting))


def test_the_learner_decides_about_the_time_feature() -> None:
    assert Stream(make_run("dqn1", "CartPole-v1")).environment.observation_space.shape == (4,)
    assert Stream(make_run("dqn1", "CartPole-v1", time_feature=True)).environment.observation_space.shape == (5,)


# Updates


def test_a_run_equals_one_written_out_with_plain_parts() -> None:
    learner = DQN(
        hidden=(16, 8),
        learning_rate=1e-2,
        batch_size=8,
        buffer_size=50,
        learning_starts=20,
        train_frequency=3,
        target_network_frequency=7,
        tau=0.25,
    )
    model = build(learner, cartpole(), 200, 0)
    batches = recorded(model)
    online = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
    online.load_state_dict(dict(zip(online.state_dict(), model.q_net.state_dict().values(), strict=True)))
    target = copy.deepcopy(online)
    adam = torch.optim.Adam(online.parameters(), 1e-2)
    for global_step in range(200):
        drawn = len(batches)
        model.step()
        if global_step <= 20:
            assert len(batches) == 0
            continue
        if global_step % 3 == 0:
            (batch,) = batches[drawn:]
            loss = torch.zeros(())
            for row in range(8):
                with torch.no_grad():
                    best = target(batch.next_observations[row]).max()
                goal = batch.rewards[row, 0] + (0.0 if batch.dones[row, 0] else 0.99 * best)
                loss = loss + (online(batch.observations[row])[batch.actions[row, 0]] - goal) ** 2 / 8
            adam.zero_grad()
            loss.backward()
            adam.step()
        if global_step % 7 == 0:
            for slow, fast in zip(target.parameters(), online.parameters(), strict=True):
                slow.data = 0.75 * slow.data + 0.25 * fast.data
        assert len(batches) == drawn + (global_step % 3 == 0)
    assert any(batch.dones.any() for batch in batches)
    for mine, theirs in ((model.q_net, online), (model.q_net_target, target)):
        for ours, other in zip(mine.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(ours, other, rtol=1e-3, atol=1e-5)


def test_update_equals_that_of_stable_baselines3_with_a_squared_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(DQN(learning_starts=10**6, buffer_size=200, batch_size=32, learning_rate=1e-2), cartpole(), 200, 0)
    for _ in range(200):
        model.step()
    plain = sb3.DQN(
        "MlpPolicy", cartpole(), learning_rate=1e-2, max_grad_norm=math.inf, policy_kwargs={"net_arch": [120, 84]}, device="cpu"
    )
    plain.set_logger(Logger(None, []))
    plain.policy.load_state_dict(copy.deepcopy(model.policy.state_dict()))
    plain.replay_buffer = copy.deepcopy(model.replay_buffer)
    # Theirs is a Huber loss.
    monkeypatch.setattr("stable_baselines3.dqn.dqn.F", SimpleNamespace(smooth_l1_loss=F.mse_loss))
    before = copy.deepcopy(model.q_net.state_dict())
    for learner in (model, plain):
        np.random.seed(0)
        learner.train(gradient_steps=10, batch_size=32)
    for name, ours in model.q_net.state_dict().items():
        torch.testing.assert_close(ours, plain.q_net.state_dict()[name], rtol=1e-3, atol=1e-5)
        assert not torch.equal(ours, before[name])


@pytest.mark.parametrize(
    ("learner", "steps"),  # the steps, counted from 0, that end in an update
    [(DQN1(), range(2, 14)), (DQN(learning_starts=5, train_frequency=4, batch_size=2), (8, 12))],
)
def test_updates_come_when_cleanrl_makes_them(learner: DQN, steps: Any) -> None:
    model = build(learner, cartpole(), 100, 0)
    seen = []
    for step in range(14):
        before = model._n_updates
        model.step()
        seen += [step] * (model._n_updates - before)
    assert seen == list(steps)


@pytest.mark.parametrize("game", [Game(), Game((84, 84), 4)], ids=["vector", "frames"])
def test_dqn1_learns_from_the_transition_just_made(game: Game) -> None:
    model = build(DQN1(), game, 100, 0)
    batches = recorded(model)
    for step in range(40):
        obs, number = model._last_obs.copy(), game.game
        model.step()
        if step < 2:
            continue
        batch = batches[-1]
        np.testing.assert_array_equal(batch.observations.numpy(), obs)
        newest = batch.next_observations.numpy().reshape(-1)[-np.prod(game.spaces.obs_shape) :]
        taken = int(newest[1])  # the last observation of a game, not the first one of the next
        np.testing.assert_array_equal(newest[:2], (number, taken))
        assert taken == step % 6 + 1
        assert batch.rewards.item() == taken - 2
        # A lost life and the end of every other game are terminal; a time limit is not.
        assert batch.dones.item() == (taken == 3 or (taken == 6 and number % 2 == 0))


def test_rewards_are_clipped_to_their_sign_where_asked() -> None:
    for clip, expected in ((True, {-1.0, 0.0, 1.0}), (False, {-1.0, 0.0, 1.0, 2.0, 3.0, 4.0})):
        model = build(DQN(clip_reward=clip, learning_starts=100), Game(), 60, 0)
        for _ in range(60):
            model.step()
        assert set(model.replay_buffer.rewards.ravel().tolist()) == expected


# Exploration


def test_schedule_may_be_longer_than_the_run() -> None:
    learner = DQN(exploration_fraction=0.2, schedule_steps=5_000_000, epsilon_end=0.01)
    model = build(learner, cartpole(), 1000, 0)
    assert model.epsilon(500_000) == pytest.approx(1 - 0.99 * 0.5)
    assert model.epsilon(1_000_000) == pytest.approx(0.01)
    own = build(DQN(exploration_fraction=0.2, epsilon_end=0.01), cartpole(), 1000, 0)
    assert own.epsilon(100) == pytest.approx(1 - 0.99 * 0.5)
    assert own.epsilon(999) == 0.01


@pytest.mark.parametrize(("epsilon", "greedy"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_actions_are_greedy_as_often_as_epsilon_says(epsilon: float, greedy: float) -> None:
    model = build(DQN(epsilon_start=epsilon, epsilon_end=epsilon, learning_starts=10**6), cartpole(), 2000, 0)
    hits = 0
    for _ in range(2000):
        best = evaluate(model._online, torch.from_numpy(model._last_obs)).argmax().item()
        model.step()
        hits += model.replay_buffer.actions[model.num_timesteps - 1, 0, 0] == best
    # Three standard deviations of a proportion; none at 0 and all at 1 are exact.
    assert hits / 2000 == pytest.approx(greedy, abs=3 * math.sqrt(greedy * (1 - greedy) / 2000) + 1e-12)


# Replay of frames


@settings(max_examples=60, deadline=None)
@given(
    transitions=st.integers(1, 9),
    frames=st.integers(2, 4),
    ends=st.lists(st.sampled_from(["", "", "", "life", "over", "cut"]), min_size=1, max_size=40),
)
def test_frames_kept_once_give_the_transitions_that_were_added(transitions: int, frames: int, ends: list[str]) -> None:
    space = gymnasium.spaces.Box(0, 255, (frames, 1, 2), np.uint8)
    buffer = FrameBuffer(transitions, space, gymnasium.spaces.Discrete(5))
    number = 0

    def new_frame() -> np.ndarray:
        nonlocal number
        number += 1
        return np.array([[number % 256, number // 256]], np.uint8)

    def begin() -> np.ndarray:
        return np.stack([new_frame()] * frames)

    added: list[tuple[Any, ...]] = []
    obs, first = begin(), True
    for step, end in enumerate(ends):
        next_obs = np.stack([*obs[1:], new_frame()])
        done = end in ("life", "over")
        added.append((obs, step % 5, next_obs, done, float(step)))
        passed = obs[None].copy(), next_obs[None].copy()
        buffer.add(*passed, np.array([step % 5]), step, done, [{"first": first}])
        for array in passed:
            array[:] = 255  # the caller may use its memory again
        if len(added) > 3 and step % 3 == 0:
            buffer = pickle.loads(pickle.dumps(buffer))
        first = end in ("over", "cut")
        obs = begin() if first else next_obs

    kept = added[-transitions:]
    np.random.seed(0)
    drawn = buffer.sample(60 * len(kept))
    for row in range(60 * len(kept)):
        obs, action, next_obs, done, reward = added[int(drawn.rewards[row, 0])]
        np.testing.assert_array_equal(drawn.observations[row].numpy(), obs)
        np.testing.assert_array_equal(drawn.next_observations[row].numpy(), next_obs)
        assert (drawn.actions[row, 0].item(), drawn.dones[row, 0].item()) == (action, float(done))
        assert drawn.rewards[row, 0].item() == reward
    assert {reward for *_, reward in kept} == set(drawn.rewards[:, 0].tolist())


def test_a_kept_frame_takes_the_memory_of_one_frame() -> None:
    buffer = FrameBuffer(1000, gymnasium.spaces.Box(0, 255, (4, 84, 84), np.uint8), gymnasium.spaces.Discrete(4))
    stack = np.zeros((1, 4, 84, 84), np.uint8)
    for step in range(2500):
        buffer.add(stack, stack, np.array([0]), 0.0, False, [{"first": step % 100 == 0}])
    assert len(pickle.dumps(buffer)) < 1.05 * 1000 * 84 * 84


def test_a_lost_life_neither_resets_the_game_nor_empties_the_stack() -> None:
    game = Game((84, 84), 4)
    model = build(DQN(learning_starts=100), game, 50, 0)
    stacks = [model._last_obs[0, :, 0, :2].tolist()]
    for _ in range(7):
        model.step()
        stacks.append(model._last_obs[0, :, 0, :2].tolist())
    assert stacks[0] == [[0, 0]] * 4
    assert stacks[4] == [[0, 1], [0, 2], [0, 3], [0, 4]]
    assert stacks[6] == [[1, 0]] * 4
    assert stacks[7] == [[1, 0]] * 3 + [[1, 1]]
    assert game.game == 1


# Learning and going on


@pytest.mark.parametrize(
    "learner",
    [
        DQN(
            hidden=(16,), learning_rate=1e-2, batch_size=16, learning_starts=50, train_frequency=2, target_network_frequency=50
        ),
        DQN1(hidden=(16,), learning_rate=1e-2, target_network_frequency=50),
    ],
)
def test_a_chain_is_learnt(learner: DQN) -> None:
    model = build(learner, Chain(), 2500, 0)
    for _ in range(2500):
        model.step()
    values = evaluate(model._online, torch.eye(3)).detach().numpy()
    exact = np.array([[0, 0.99**2], [0, 0.99], [0, 1]])
    np.testing.assert_allclose(values, exact, atol=0.1)


@pytest.mark.parametrize(
    ("learner", "shape", "frames"),
    [
        (DQN(buffer_size=30, batch_size=4, learning_starts=10, train_frequency=2, target_network_frequency=8), (2,), 1),
        (DQN(buffer_size=30, batch_size=4, learning_starts=10, train_frequency=2, target_network_frequency=8), (4, 10, 10), 1),
        (DQN(buffer_size=20, batch_size=4, learning_starts=10, train_frequency=4, target_network_frequency=8), (84, 84), 4),
        (DQN1(), (84, 84), 4),
    ],
)
@pytest.mark.parametrize("stop", [7, 30, 41])  # before learning, at the end of a game, and with a buffer that has overflown
def test_state_goes_on_to_the_same_bits(learner: DQN, shape: tuple[int, ...], frames: int, stop: int) -> None:
    game = Game(shape, frames)
    model = build(learner, game, 60, 0)
    for _ in range(stop):
        model.step()
    state, memory = kept(model.get_state()), copy.deepcopy(vars(game))
    for _ in range(60 - stop):
        model.step()

    other_game = Game(shape, frames)
    other = build(learner, other_game, 60, 99)
    vars(other_game).update({name: memory[name] for name in ("game", "steps", "needs_reset")})
    other.set_state(state)
    for _ in range(60 - stop):
        other.step()
    assert_same(model.get_state(), other.get_state())


@pytest.mark.parametrize(
    ("algorithm", "env_id", "steps", "settings"),
    [
        ("dqn", "MinAtar/Seaquest-v1", 300, {"learning_starts": 50, "batch_size": 8, "buffer_size": 100}),
        ("dqn1", "MinAtar/Breakout-v1", 300, {}),
        ("dqn", "PongNoFrameskip-v4", 80, {**ATARI, "learning_starts": 30, "batch_size": 2, "buffer_size": 40}),
        ("dqn1", "BreakoutNoFrameskip-v4", 150, {**ATARI1}),
    ],
)
def test_a_run_on_images_goes_on_to_the_same_bits(algorithm: str, env_id: str, steps: int, settings: dict[str, Any]) -> None:
    run = make_run(algorithm, env_id, steps, **settings)
    left_alone = Stream(run)
    for step in range(steps):
        if step == steps // 2:
            saved = kept(left_alone.get_state())
        left_alone.step()
    expected = left_alone.get_state()
    resumed = Stream(run)
    resumed.set_state(saved)
    for _ in range(steps - steps // 2):
        resumed.step()
    assert resumed.resumed_at == [steps // 2]
    assert_same(resumed.get_state() | {"resumed_at": []}, expected)
    assert resumed.model._n_updates > 10


def test_experiments_take_the_values_that_cleanrl_has_for_atari() -> None:
    found = 0
    for name in experiment_names():
        for preset in load_experiment(name).presets.values():
            for row in preset.rows:
                for arm in row.arms:
                    if arm.algorithm in ("dqn", "dqn1") and row.env_id.endswith("NoFrameskip-v4"):
                        found += 1
                        chosen = dict(resolve(row, arm, 0).hyperparameters)
                        wanted = ATARI if arm.algorithm == "dqn" else ATARI1
                        assert {key: chosen[key] for key in wanted} == wanted, (name, row.env_id, arm.label)
    assert found


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for mine, theirs in zip(a, b, strict=True):
            assert_same(mine, theirs)
    elif isinstance(a, np.ndarray | torch.Tensor):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    else:
        assert a == b
