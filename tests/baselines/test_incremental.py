"""The one-sample forms in lanes against those on stable-baselines3: from the same weights and noise the same updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from torch import Tensor

from algorithms.agent import State, Transition, leaves
from algorithms.lanes import Lanes
from baselines.batch import build
from baselines.dqn_settings import ATARI1, DQN1
from baselines.incremental_dqn import IncrementalDQN
from baselines.incremental_ppo import IncrementalPPO
from baselines.incremental_sac import IncrementalSAC
from baselines.incremental_td3 import IncrementalTD3
from baselines.settings import PPO1, SAC1, TD3_1
from experiments.environments import Environment

STEPS = 60
TOLERANCE = 1e-5

Layers = list[tuple[Tensor, Tensor]]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


class Recorder(Environment):
    """An environment that keeps what it was given and what it gave."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.resets: list[np.ndarray] = []
        self.moments: list[tuple[Any, ...]] = []

    def reset(self, **kwargs: Any) -> Any:
        obs, info = super().reset(**kwargs)
        self.resets.append(obs)
        return obs, info

    def step(self, action: Any) -> Any:
        result = super().step(action)
        self.moments.append((np.array(action), *result[:4], self.needs_reset))
        return result

    def transitions(self) -> list[Transition]:
        """Return the recorded moments as transitions, raw."""
        found, resets, obs = [], iter(self.resets), None
        obs = next(resets)
        for action, next_obs, reward, terminated, truncated, restarted in self.moments:
            acting = next(resets) if restarted else next_obs
            flags = (torch.tensor(bool(flag)) for flag in (terminated, truncated, restarted))
            numbers = (torch.as_tensor(obs), torch.as_tensor(action), torch.tensor(reward, dtype=torch.float64))
            found.append(Transition(*numbers, torch.as_tensor(next_obs), *flags, torch.as_tensor(acting)))
            obs = acting
        return found


def named(layers: Layers) -> State:
    return {
        f"{i}.{name}": x.detach().clone()
        for i, pair in enumerate(layers)
        for name, x in zip(("weight", "bias"), pair, strict=True)
    }


def sac_state(model: Any) -> State:
    (mean, mean_bias), (std, std_bias) = model._mean_layer, model._std_layer
    head = (torch.cat([mean, std]), torch.cat([mean_bias, std_bias]))
    return {
        "actor": named([*model._latent_layers, head]),
        "critics": {f"q{i + 1}": named(layers) for i, layers in enumerate(model._critic_layers)},
        "targets": {f"q{i + 1}": named(layers) for i, layers in enumerate(model._target_layers)},
        "entropy": {"log_weight": model.vectors["entropy"].detach().clone()[0]},
    }


def td3_state(model: Any) -> State:
    return {
        "actor": named(model._actor_layers),
        "actor_target": named(model._actor_target_layers),
        "critics": {f"q{i + 1}": named(layers) for i, layers in enumerate(model._critic_layers)},
        "targets": {f"q{i + 1}": named(layers) for i, layers in enumerate(model._target_layers)},
    }


def ppo_state(model: Any) -> State:
    return {
        "parameters": {
            "policy": named(model._policy_layers),
            "value": named(model._value_layers),
            "log_std": model.policy.log_std.detach().clone(),
        }
    }


def dqn_state(model: Any) -> State:
    names = [name for name, _ in IncrementalDQN().init(torch.Generator(), model.spaces)["online"].items()]
    both = {"online": model.q_net, "target": model.q_net_target}
    return {
        part: {name: p.detach().clone() for name, p in zip(names, net.parameters(), strict=True)} for part, net in both.items()
    }


def adopt(state: State, parameters: State) -> State:
    """Return a lane's state with parameters in place of its own; shapes must agree."""
    new = dict(state)
    for name, value in parameters.items():
        if isinstance(value, dict):
            new[name] = adopt(state[name], value)
        else:
            assert state[name].shape == value.shape
            new[name] = value
    return new


def oracle(learner: Any, env_id: str, read: Callable[[Any], State], steps: int, **options: Any) -> tuple[Any, ...]:
    """Run the form on stable-baselines3; return transitions, the noise of every step, parameters after each, and its spaces."""
    env = Recorder(env_id, 3, **options)
    model: Any = build(learner, env, steps, seed=5)
    model.spaces = env.spaces
    drawn: list[list[Tensor]] = []
    generator = torch.Generator().manual_seed(1)

    def logged(like: Tensor) -> Tensor:
        noise = torch.randn(like.shape, generator=generator)
        drawn[-1].append(noise[0])
        return noise

    snapshots, patch = [read(model)], pytest.MonkeyPatch()
    patch.setattr(torch, "randn_like", logged)
    for _ in range(steps):
        drawn.append([])
        model.step()
        snapshots.append(read(model))
    patch.undo()
    return env.transitions(), drawn, snapshots, env.spaces, model


def assert_close(ours: State, theirs: State, what: str) -> None:
    for name, value in theirs.items():
        if isinstance(value, dict):
            assert_close(ours[name], value, f"{what}.{name}")
        else:
            gap = float((ours[name] - value).abs().max())
            assert gap <= TOLERANCE, f"{what}.{name} differs by {gap}"


CASES = {
    "sac": (SAC1(), IncrementalSAC(), sac_state, "Hopper-v4"),
    "sac, two targets": (
        SAC1(target_network_frequency=3, policy_frequency=1),
        IncrementalSAC(target_network_frequency=3, policy_frequency=1),
        sac_state,
        "Humanoid-v4",
    ),
    "td3": (TD3_1(), IncrementalTD3(), td3_state, "Hopper-v4"),
    "td3, late": (TD3_1(learning_starts=7), IncrementalTD3(learning_starts=7), td3_state, "Humanoid-v4"),
    "ppo": (PPO1(), IncrementalPPO(run_steps=STEPS), ppo_state, "Hopper-v4"),
    "ppo, plain": (
        PPO1(normalize_obs=False, normalize_reward=False, anneal_learning_rate=False, entropy_coefficient=0.01),
        IncrementalPPO(
            normalize_obs=False, normalize_reward=False, anneal_learning_rate=False, entropy_coefficient=0.01, run_steps=STEPS
        ),
        ppo_state,
        "Walker2d-v4",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_update_and_action_equal_those_on_stable_baselines3(case: str) -> None:
    learner, agent, read, env_id = CASES[case]
    transitions, drawn, snapshots, spaces, _ = oracle(learner, env_id, read, STEPS, time_feature=False)
    assert any(t.terminated for t in transitions)
    state = adopt(agent.init(torch.Generator().manual_seed(0), spaces), snapshots[0])
    shape = agent.noise(spaces).shape
    explores = getattr(learner, "learning_starts", 0)

    def noise_for(step: int) -> Tensor:
        # The first row makes the next action; the others belong to the update, in the order in which they were drawn.
        update = drawn[step][0 if step < explores else 1 :] if step >= 0 else []
        acting = drawn[step + 1][0] if explores <= step + 1 < STEPS else torch.zeros(spaces.action_size)
        rows = torch.zeros(shape).view(-1, spaces.action_size)
        for row, noise in enumerate([acting, *update]):
            rows[row] = noise
        return rows.view(shape)

    state, action = agent.start(state, transitions[0].obs, noise_for(-1))
    for step, transition in enumerate(transitions):
        if step >= explores:
            assert float((action - transition.action).abs().max()) <= 1e-4, f"action {step}"
        extra = {"form": agent.form(step)} if hasattr(agent, "form") else {}
        state, action, info = agent.step(state, transition, noise_for(step), **extra)
        assert_close(state, snapshots[step + 1], f"{case} after step {step}")
        assert torch.isfinite(info["td_error"])
    moved = max(float((a - b).abs().max()) for a, b in zip(leaves(snapshots[0]), leaves(snapshots[-1]), strict=True))
    assert moved > 100 * TOLERANCE  # otherwise equality would say nothing


DQN_CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "vector": ("CartPole-v1", {"target_network_frequency": 20, "tau": 0.5}, STEPS),
    "MinAtar": ("MinAtar/Breakout-v1", {"target_network_frequency": 10}, STEPS),
    "Atari": ("PongNoFrameskip-v4", {**ATARI1, "target_network_frequency": 5}, 12),
}


@pytest.mark.parametrize("case", DQN_CASES)
def test_dqn_update_equals_that_on_stable_baselines3(case: str) -> None:
    env_id, changes, steps = DQN_CASES[case]
    options = {"time_feature": False} if case == "vector" else {}
    learner, agent = DQN1(**changes), IncrementalDQN(**changes, run_steps=steps)
    transitions, _, snapshots, spaces, model = oracle(learner, env_id, dqn_state, steps, **options)
    state = adopt(agent.init(torch.Generator().manual_seed(0), spaces), snapshots[0])
    greedy = torch.tensor([1.0, 0.0])
    state, action = agent.start(state, transitions[0].obs, greedy)
    for step, transition in enumerate(transitions):
        state, action, _ = agent.step(state, transition, greedy, form=agent.form(step))
        assert_close(state, snapshots[step + 1], f"{case} after step {step}")
    with torch.no_grad():
        seen = torch.as_tensor(model._last_obs)
        assert int(action) == int(model.q_net(seen.float() if case != "Atari" else seen).argmax())


def test_epsilon_is_that_on_stable_baselines3() -> None:
    spaces = Environment("CartPole-v1", 0).spaces
    env = Environment("CartPole-v1", 0)
    model: Any = build(DQN1(), env, 1000, seed=0)
    agent = IncrementalDQN(run_steps=1000.0)
    state = agent.init(torch.Generator(), spaces)
    for step in (0, 1, 250, 499, 500, 900):
        state["choices"] = torch.tensor(float(step), dtype=torch.float64)
        epsilon = model.epsilon(step)
        greedy = int(agent._act(state, torch.tensor([1.0, 0.0]), 1.0)[1])
        other = (1 - greedy + 0.5) / 2  # a draw that tries the other action
        below, above = torch.tensor([epsilon - 1e-4, other]), torch.tensor([epsilon + 1e-4, other])
        assert int(agent._act(state, below, 1.0)[1]) != greedy
        assert int(agent._act(state, above, 1.0)[1]) == greedy


def test_td3_update_equals_stable_baselines3_own_train() -> None:
    """Not our step-by-step form but `stable_baselines3.TD3.train` itself, on actions within [-1, 1]."""
    env = Environment("HalfCheetah-v4", 0, time_feature=False)
    model: Any = sb3.TD3(
        "MlpPolicy", env, learning_rate=3e-4, buffer_size=1, batch_size=1, tau=0.005, gamma=0.99, policy_delay=2, seed=0,
        policy_kwargs={"net_arch": [256, 256]}, device="cpu",
    )  # fmt: skip
    model._logger = sb3.common.logger.Logger(None, [])
    agent = IncrementalTD3()
    pairs = lambda net: [(m.weight, m.bias) for m in net if isinstance(m, torch.nn.Linear)]  # noqa: E731

    def read() -> State:
        twins = lambda critic: {"q1": named(pairs(critic.qf0)), "q2": named(pairs(critic.qf1))}  # noqa: E731
        return {
            "actor": named(pairs(model.actor.mu)),
            "actor_target": named(pairs(model.actor_target.mu)),
            "critics": twins(model.critic),
            "targets": twins(model.critic_target),
        }

    state = adopt(agent.init(torch.Generator(), env.spaces), read())
    rng = np.random.default_rng(0)
    for step in range(3, 15):
        obs, next_obs = rng.normal(size=(2, 17)).astype(np.float32)
        action, reward = rng.uniform(-1, 1, 6).astype(np.float32), float(rng.normal())
        terminated = bool(rng.random() < 0.3)
        model.replay_buffer.add(obs[None], next_obs[None], action[None], np.array([reward]), np.array([terminated]), [{}])
        noise = torch.from_numpy(rng.normal(size=(2, 6)).astype(np.float32))
        patch = pytest.MonkeyPatch()
        patch.setattr(Tensor, "normal_", lambda self, mean, std, noise=noise: self.copy_(std * noise[1:]))
        model.train(gradient_steps=1, batch_size=1)
        patch.undo()
        flags = torch.tensor(terminated), torch.tensor(False), torch.tensor(False)
        seen = torch.from_numpy(next_obs).double()
        transition = Transition(
            torch.from_numpy(obs).double(), torch.from_numpy(action), torch.tensor(reward).double(), seen, *flags, seen
        )
        state, _, _ = agent.step(state, transition, noise, form=agent.form(step))
        assert_close(state, read(), f"update {step}")


@pytest.mark.parametrize(
    ("case", "compiled"),
    [
        ("ppo", False),
        pytest.param("td3", False, marks=pytest.mark.slow),
        pytest.param("sac", False, marks=pytest.mark.slow),
        pytest.param("td3", True, marks=pytest.mark.slow),
    ],
)
def test_a_lane_is_the_run_alone(case: str, compiled: bool) -> None:
    _, _, _, env_id = CASES[case]
    agents = {
        "sac": IncrementalSAC(hidden=(16, 16)),
        "td3": IncrementalTD3(hidden=(16, 16)),
        "ppo": IncrementalPPO(run_steps=40.0),
    }
    agent: Any = agents[case]
    env = Environment(env_id, 0, time_feature=False)
    rng = np.random.default_rng(0)
    moments = [(rng.normal(size=(3, 11)), rng.normal(size=3), rng.random((2, 3)) < 0.2) for _ in range(12)]
    noise = rng.normal(size=(13, 3, *agent.noise(env.spaces).shape))

    def run(chosen: list[int]) -> list[np.ndarray]:
        states = [agent.init(torch.Generator().manual_seed(lane), env.spaces) for lane in chosen]
        lanes = Lanes(agent, env.spaces, states, compiled)
        lanes.acting_obs[:], lanes.noise[:] = 0.5, noise[0][chosen]
        lanes.start()
        actions = []
        for number, (obs, reward, (terminated, truncated)) in enumerate(moments):
            lanes.next_obs[:], lanes.reward[:], lanes.noise[:] = obs[chosen], reward[chosen], noise[number + 1][chosen]
            lanes.terminated[:], lanes.truncated[:] = terminated[chosen], truncated[chosen]
            lanes.restarted[:], lanes.acting_obs[:] = (terminated | truncated)[chosen], obs[chosen]
            lanes.step()
            actions.append(lanes.action.copy())
        return actions

    together = run([0, 1, 2])
    for lane in [1] if compiled else range(3):
        for alone, all_lanes in zip(run([lane]), together, strict=True):
            assert alone[0].tobytes() == all_lanes[lane].tobytes()


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_numbers_too_small_to_be_fast_become_zero_and_only_within_a_step(compiled: bool) -> None:
    env = Environment("Hopper-v4", 0, time_feature=False)
    agent = IncrementalPPO(hidden=(4,), run_steps=10.0)
    state = agent.init(torch.Generator().manual_seed(0), env.spaces)
    tiny = torch.full_like(state["adam"]["first"]["policy"]["0.weight"], 1e-39)
    state["adam"]["first"]["policy"]["0.weight"] = tiny
    lanes = Lanes(agent, env.spaces, [state], compiled)
    lanes.start()
    lanes.step()  # without reward and with an observation of zero there is no gradient there
    after = lanes.state(0)["adam"]["first"]["policy"]["0.weight"]
    assert (after == 0).any()
    assert not ((after != 0) & (after.abs() < torch.finfo(torch.float32).tiny)).any()
    assert bool((tiny * 0.5 > 0).all()), "arithmetic outside a step is as it was"
