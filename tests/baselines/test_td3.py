"""TD3: its update against stable-baselines3 and written out, its noise and bounds; sizes derived from a buffer or rollout."""

from __future__ import annotations

import copy
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.logger import Logger
from test_batch import Corridor, hopper, make_context, make_run
from torch.nn import functional as F

from baselines.batch import build
from baselines.dqn_settings import DQN, DQN1
from baselines.settings import PPO, PPO1, SAC, SAC1, TD3, TD3_1, used_sizes, with_sizes
from experiments import expand
from experiments.training.batch import train

NETWORKS = ("actor", "critic", "actor_target", "critic_target")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("learner", "size", "batch", "starts"), [(TD3(), 1_000_000, 256, 25_000), (TD3_1(), 1, 1, 1)])
def test_hyperparameters_reach_the_model(learner: TD3, size: int, batch: int, starts: int) -> None:
    model = build(learner, hopper(), 2_000_000, 0)
    assert model.replay_buffer.buffer_size == size
    assert model.replay_buffer.observations.dtype == np.float32
    assert (model.batch_size, model.learning_starts, model.tau, model.gamma) == (batch, starts, 0.005, 0.99)
    assert [model.optimizers[name].param_groups[0]["lr"] for name in ("actor", "critic")] == [3e-4, 3e-4]
    assert [layer.shape[0] for layer in model.actor.parameters() if layer.ndim == 2] == [256, 256, 3]
    assert [layer.shape[0] for layer in model.critic.parameters() if layer.ndim == 2] == [256, 256, 1] * 2


# Updates


@pytest.mark.parametrize("frequency", [1, 2, 3])
def test_update_equals_that_of_stable_baselines3(frequency: int) -> None:
    learner = TD3(hidden=(32, 32), batch_size=24, learning_starts=200, policy_frequency=frequency, learning_rate=3e-3, tau=0.05)
    model = build(learner, hopper(), 1000, 0)
    for _ in range(200):  # its actions lie in [-1, 1], so that both forms replay the same numbers
        model.step()
    plain = sb3.TD3(
        "MlpPolicy",
        model.stream,
        learning_rate=3e-3,
        tau=0.05,
        batch_size=24,
        policy_delay=frequency,
        policy_kwargs={"net_arch": [32, 32]},
        device="cpu",
    )
    plain.set_logger(Logger(None, []))
    for name in NETWORKS:
        getattr(plain, name).load_state_dict(copy.deepcopy(getattr(model, name).state_dict()))
    plain.replay_buffer = model.replay_buffer
    before = {name: copy.deepcopy(getattr(model, name).state_dict()) for name in NETWORKS}
    for update in range(1, 10):
        for train_once in (lambda: plain.train(1, 24), lambda n=update: model._update(model.replay_buffer.sample(24), n)):
            np.random.seed(update)
            torch.manual_seed(update)
            train_once()
        for name in NETWORKS:
            theirs = getattr(plain, name).state_dict()
            for key, ours in getattr(model, name).state_dict().items():
                torch.testing.assert_close(ours, theirs[key], rtol=1e-3, atol=2e-5)
                changed = not torch.equal(ours, before[name][key])
                assert changed == (name == "critic" or update >= frequency)


# Noise that is clipped itself, and noise that takes the action beyond its bounds.
@pytest.mark.parametrize(("scale", "limit"), [(0.4, 0.5), (1.0, 3.0)])
def test_update_equals_one_written_out_where_actions_are_not_in_the_unit_cube(scale: float, limit: float) -> None:
    learner = TD3(hidden=(16, 16), batch_size=32, learning_starts=50, learning_rate=1e-2, policy_noise=scale, noise_clip=limit)
    model = build(learner, Corridor(), 1000, 0)
    for _ in range(49):
        model.step()
    nets = {name: copy.deepcopy(getattr(model, name)) for name in NETWORKS}
    actor_adam = torch.optim.Adam(nets["actor"].parameters(), 1e-2)
    critic_adam = torch.optim.Adam(nets["critic"].parameters(), 1e-2)

    def onto_bounds(action: torch.Tensor) -> torch.Tensor:  # [-1, 1] -> [-0.5, 2]
        return action * 1.25 + 0.75

    def reference(batch: Any, step: int) -> None:
        with torch.no_grad():
            noise = (scale * torch.randn(32, 1)).clip(-limit, limit) * 1.25
            action = (onto_bounds(nets["actor_target"].mu(batch.next_observations)) + noise).clip(-0.5, 2.0)
            value = torch.min(*nets["critic_target"](batch.next_observations, action))
            goal = batch.rewards + 0.99 * (1 - batch.dones) * value
        loss = sum(F.mse_loss(q, goal) for q in nets["critic"](batch.observations, batch.actions))
        critic_adam.zero_grad()
        loss.backward()
        critic_adam.step()
        if step % 2 == 0:
            action = onto_bounds(nets["actor"].mu(batch.observations))
            actor_adam.zero_grad()
            (-nets["critic"].q1_forward(batch.observations, action)).mean().backward()
            actor_adam.step()
            with torch.no_grad():
                for name in ("actor", "critic"):
                    for slow, fast in zip(nets[f"{name}_target"].parameters(), nets[name].parameters(), strict=True):
                        slow.copy_(0.005 * fast + 0.995 * slow)

    for step in range(20, 28):
        batch = model.replay_buffer.sample(32)
        batch = SimpleNamespace(**{**batch._asdict(), "dones": (torch.rand(32, 1) < 0.3).float()})
        for update in (reference, model._update):
            torch.manual_seed(step)
            update(batch, step)
    for name, theirs in nets.items():
        for mine, other in zip(getattr(model, name).parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=5e-5)


@pytest.mark.parametrize(("noise", "at_bounds"), [(0.0, False), (0.1, False), (10.0, True)])
def test_actions_are_those_of_the_actor_with_noise_within_the_bounds(noise: float, at_bounds: bool) -> None:
    model = build(TD3(exploration_noise=noise, hidden=(8, 8), learning_starts=1), Corridor(), 100, 0)
    obs = torch.tensor([[1.0, 1.0]]).expand(4000, 2)
    mean = model.actor.mu(obs).detach() * 1.25 + 0.75
    actions = model._explore(obs).detach()
    assert -0.5 <= actions.min() <= actions.max() <= 2.0
    assert ((actions == -0.5) | (actions == 2.0)).any() == at_bounds
    if not at_bounds:
        assert (actions - mean).std().item() == pytest.approx(1.25 * noise, rel=0.05)
        assert (actions - mean).mean().item() == pytest.approx(0.0, abs=0.01)


def test_a_time_limit_is_not_an_end_for_the_target() -> None:
    model = build(TD3(hidden=(8, 8)), Corridor(), 100, 0)
    for _ in range(9):
        model.step()  # three episodes, each cut off by the time limit
    assert model.replay_buffer.dones[:9, 0].tolist() == [0, 0, 1] * 3
    np.random.seed(0)
    sample = model.replay_buffer.sample(50)
    assert sample.dones.max() == 0
    assert sample.next_observations[:, 0].max() == 3  # the last observation, not the one after the reset


# Sizes derived from a buffer or a rollout


@pytest.mark.parametrize(
    ("derived", "one"),
    [
        (PPO(rollout_steps=1, sizes="derived"), PPO1()),
        (PPO(rollout_steps=1, sizes="cleanrl"), PPO1()),
        (SAC(buffer_size=1, sizes="derived"), SAC1()),
        (TD3(buffer_size=1, sizes="derived"), TD3_1()),
    ],
)
def test_a_size_of_one_makes_the_one_sample_form(derived: Any, one: Any) -> None:
    models = [build(learner, hopper(), 300, 0) for learner in (derived, one)]
    for _ in range(60):
        for_both = []
        for model in models:
            torch.manual_seed(model.num_timesteps)
            np.random.seed(model.num_timesteps)
            model.step()
            for_both.append(model)
    for ours, theirs in zip(*(model.vectors.values() for model in models), strict=True):
        assert torch.equal(ours, theirs)
    assert used_sizes(derived, 300) == used_sizes(one, 300)


@given(st.sampled_from([SAC, TD3, DQN]), st.integers(1, 10**7), st.integers(1, 10**5), st.integers(0, 10**5))
def test_batch_and_learning_starts_are_at_most_the_buffer(kind: Any, buffer: int, batch: int, starts: int) -> None:
    given_sizes = kind(buffer_size=buffer, batch_size=batch, learning_starts=starts)
    assert with_sizes(given_sizes) == given_sizes
    used = used_sizes(kind(buffer_size=buffer, batch_size=batch, learning_starts=starts, sizes="derived"), 10**6)
    assert used == {
        "buffer_size": min(buffer, 10**6),
        "batch_size": min(batch, buffer),
        "learning_starts": min(starts, buffer),
    }


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 40), st.integers(1, 16))
def test_derived_rollouts_of_any_length_learn_without_dividing_by_zero(rollout: int, minibatch: int) -> None:
    learner = PPO(rollout_steps=rollout, minibatch_size=minibatch, epochs=2, hidden=(8,), sizes="derived")
    model = build(learner, Corridor(), 100, 0)
    before = model.vectors["policy"].detach().clone()
    for _ in range(2 * rollout + 1):
        model.step()
    model.check()
    assert not torch.equal(model.vectors["policy"], before)
    assert model.batch_size == min(minibatch, rollout)
    assert model.n_epochs == (1 if rollout == 1 else 2)


@given(st.integers(1, 10**5))
def test_minibatches_as_in_cleanrl_are_32_or_what_the_rollout_has_room_for(rollout: int) -> None:
    size = used_sizes(PPO(rollout_steps=rollout, sizes="cleanrl"), 10**6)["minibatch_size"]
    assert (size - 1) * 32 < rollout <= size * 32
    assert used_sizes(PPO(sizes="cleanrl"), 10**6) == used_sizes(PPO(), 10**6)


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 70))
def test_rollouts_of_any_length_learn_in_minibatches_as_in_cleanrl(rollout: int) -> None:
    model = build(PPO(rollout_steps=rollout, epochs=2, hidden=(8,), sizes="cleanrl"), Corridor(), 100, 0)
    before = model.vectors["policy"].detach().clone()
    for _ in range(2 * rollout + 1):
        model.step()
    model.check()
    assert not torch.equal(model.vectors["policy"], before)


def test_left_over_sample_is_refused_unless_sizes_are_derived() -> None:
    with pytest.raises(ValueError, match="normalize_advantage"):
        build(PPO(rollout_steps=65), hopper(), 1000, 0)


def test_a_run_tells_the_sizes_it_used(tmp_path: Path) -> None:
    context = make_context(tmp_path)
    runs = [
        make_run("td3", 60, buffer_size=20, sizes="derived", hidden=(8, 8)),
        make_run("sac", 60, hidden=(8, 8)),
        make_run("ppo", 60, rollout_steps=10, sizes="derived"),
    ]
    train(runs, context)
    told = [context.store.load(run.run_id)[1]["sizes"] for run in runs]
    assert told == [
        {"buffer_size": 20, "batch_size": 20, "learning_starts": 20},
        {"buffer_size": 60, "batch_size": 256, "learning_starts": 5000},
        {"rollout_steps": 10, "minibatch_size": 10, "epochs": 10, "normalize_advantage": True},
    ]


def test_a_size_of_one_makes_dqn1_where_it_learns_at_every_step() -> None:
    derived, one = DQN(buffer_size=1, train_frequency=1, sizes="derived"), DQN1()
    assert used_sizes(derived, 300) == used_sizes(one, 300)
    assert replace(with_sizes(derived), sizes="as_given") == DQN(**{f.name: getattr(one, f.name) for f in fields(DQN)})


def test_sizes_as_given_leave_the_ids_of_earlier_runs_alone() -> None:
    # Pinned: what this run was called before there was a choice of sizes.
    assert make_run("sac1", 200_000, seed=0).run_id == "sac1-Hopper-v4-200k-s0-9b61b0d3225d1219"
    assert "sizes" not in dict(make_run("td3", 100).hyperparameters)
    assert dict(make_run("td3", 100, sizes="derived").hyperparameters)["sizes"] == "derived"
    with pytest.raises(Exception, match="sizes must be one of as_given, derived"):
        expand.check_hyperparameters(make_run("td3", 100, sizes="small"))
