"""Batch baselines: their updates, what reaches stable-baselines3, and runs that stop anywhere and go on."""

from __future__ import annotations

import copy
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch
from gymnasium.wrappers import NormalizeObservation, NormalizeReward, TransformObservation, TransformReward
from stable_baselines3.common.logger import Logger
from torch.distributions import AffineTransform, Independent, Normal, TanhTransform, TransformedDistribution
from torch.nn import functional as F

import experiments
from algorithms.upgd import AdaUPGD
from baselines.batch import build, normalized
from baselines.settings import PPO, PPO1, SAC, SAC1, TD3, TD3_1
from baselines.stepwise import StepwisePPO
from baselines.upgd_ppo_settings import AdaUPGDPPO
from experiments import checkpoint
from experiments.environments import Environment
from experiments.errors import UserError
from experiments.expand import resolve
from experiments.spec import Arm, Row, Run
from experiments.store import Owner, Store
from experiments.training.batch import Stream, train
from experiments.training.context import Context, Interrupted

ROOT = Path(experiments.__file__).parents[1]

# Small forms of each learner: several rollouts, a replay buffer that overflows, many episodes, a second or two.
SMALL: dict[str, tuple[int, dict[str, Any]]] = {
    "ppo": (2000, {"rollout_steps": 256, "epochs": 3}),
    "adaupgd_ppo": (900, {"rollout_steps": 256, "epochs": 2}),
    "ppo1": (900, {}),
    "sac": (500, {"learning_starts": 100, "batch_size": 16, "buffer_size": 300, "hidden": (32, 32)}),
    "sac1": (500, {"hidden": (32, 32)}),
    "td3": (500, {"learning_starts": 100, "batch_size": 16, "buffer_size": 300, "hidden": (32, 32)}),
    "td3_1": (500, {"hidden": (32, 32)}),
    "dqn": (900, {"env_id": "CartPole-v1", "learning_starts": 100, "batch_size": 16, "buffer_size": 300, "hidden": (32,)}),
    "dqn1": (900, {"env_id": "CartPole-v1", "hidden": (32,)}),
}
# One of each kind; the others are of the same code and take as long again.
SPARING = [name if name in ("ppo", "sac", "td3_1", "dqn") else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_run(algorithm: str, steps: int, env_id: str = "Hopper-v4", seed: int = 3, **hyperparameters: Any) -> Run:
    return resolve(Row(env_id, (), steps, 1, 1), Arm("", algorithm, hyperparameters), seed)


def small_run(algorithm: str) -> Run:
    steps, hyperparameters = SMALL[algorithm]
    return make_run(algorithm, steps, **hyperparameters)


def make_context(path: Path, stop: Callable[[], bool] = lambda: False, checkpoint_seconds: float = 1e9) -> Context:
    store = Store(path)
    store.claims_path.mkdir(parents=True, exist_ok=True)
    return Context(store, Owner(), checkpoint_seconds, stop)


def published(context: Context, run: Run) -> tuple[bytes, bytes]:
    folder = context.store.finished_path / run.run_id
    return (folder / "episodes.arrow").read_bytes(), (folder / "result.json").read_bytes()


@lru_cache
def left_alone(algorithm: str) -> tuple[bytes, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        context = make_context(Path(folder))
        train([small_run(algorithm)], context)
        return published(context, small_run(algorithm))


class Corridor(gymnasium.Env[np.ndarray, np.ndarray]):
    """Three steps of reward 1, then a time limit."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-0.5, 2.0, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        self.steps = 0
        return np.array([0.0, 1.0]), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return np.array([float(self.steps), 1.0]), 1.0, False, self.steps == 3, {}


def hopper(seed: int = 0) -> Environment:
    return Environment("Hopper-v4", seed, time_feature=False)


# What reaches stable-baselines3


@pytest.mark.parametrize(("learner", "rollout", "batch", "epochs"), [(PPO(), 2048, 64, 10), (PPO1(), 1, 1, 1)])
def test_ppo_hyperparameters_reach_the_model(learner: PPO, rollout: int, batch: int, epochs: int) -> None:
    model = build(learner, hopper(), 10_000, 0)
    assert (model.n_steps, model.batch_size, model.n_epochs) == (rollout, batch, epochs)
    assert model.rollout_buffer.buffer_size == rollout
    assert (model.gamma, model.gae_lambda, model.max_grad_norm) == (0.99, 0.95, 0.5)
    assert [model.lr_schedule(remaining) for remaining in (1.0, 0.25, 0.0)] == pytest.approx([3e-4, 0.75e-4, 0.0])
    assert model.policy.optimizer.defaults["eps"] == 1e-5
    assert model.normalize_advantage == (rollout > 1)
    assert [layer.shape[0] for layer in model.policy.mlp_extractor.parameters() if layer.ndim == 2] == [64] * 4


@pytest.mark.parametrize(("learner", "size", "batch", "starts"), [(SAC(), 1_000_000, 256, 5000), (SAC1(), 1, 1, 1)])
def test_sac_hyperparameters_reach_the_model(learner: SAC, size: int, batch: int, starts: int) -> None:
    model = build(learner, hopper(), 2_000_000, 0)
    assert model.replay_buffer.buffer_size == size
    assert model.replay_buffer.observations.dtype == np.float32
    assert (model.batch_size, model.learning_starts, model.tau, model.gamma) == (batch, starts, 0.005, 0.99)
    assert [model.optimizers[name].param_groups[0]["lr"] for name in ("actor", "critic", "entropy")] == [3e-4, 1e-3, 1e-3]
    assert model.target_entropy == -3
    assert [layer.shape[0] for layer in model.actor.parameters() if layer.ndim == 2] == [256, 256, 3, 3]


@pytest.mark.parametrize("learner", [SAC1(), TD3_1(), SAC(buffer_size=1, sizes="derived")])
def test_a_buffer_of_one_returns_the_transition_just_stored(learner: SAC | TD3) -> None:
    taken: list[tuple[Any, ...]] = []
    environment = hopper()
    take = environment.step

    def step(action: np.ndarray) -> Any:
        taken.append((np.array(action), *take(action)))
        return taken[-1][1:]

    environment.step = step  # type: ignore[method-assign]
    model = build(learner, environment, 100, 0)
    for _ in range(100):
        obs = model._last_obs.copy()
        model.step()
        action, next_obs, reward, terminated, _, _ = taken[-1]
        sample = model.replay_buffer.sample(1)
        np.testing.assert_array_equal(sample.observations.numpy(), obs)
        np.testing.assert_array_equal(sample.actions[0].numpy(), action)
        np.testing.assert_array_equal(sample.next_observations[0].numpy(), next_obs.astype(np.float32))
        assert (sample.rewards.item(), sample.dones.item()) == (np.float32(reward), terminated)


def test_the_learner_decides_about_the_time_feature() -> None:
    assert Stream(make_run("ppo1", 10)).environment.observation_space.shape == (11,)
    assert Stream(make_run("sac1", 10, time_feature=True)).environment.observation_space.shape == (12,)


def test_advantages_of_one_sample_are_not_normalised() -> None:
    with pytest.raises(ValueError, match="normalize_advantage"):
        build(PPO1(normalize_advantage=True), hopper(), 100, 0)


def test_sizes_of_zero_are_refused() -> None:
    with pytest.raises(UserError, match="batch_size must be at least 1"):
        Stream(make_run("sac1", 100, batch_size=0))


def test_discrete_actions_are_refused_in_one_sentence() -> None:
    with pytest.raises(UserError, match="CartPole-v1: PPO, SAC and TD3 choose a vector"):
        Stream(make_run("ppo", 100, "CartPole-v1"))


def test_adaupgd_takes_the_place_of_adam_and_of_nothing_else() -> None:
    sizes: dict[str, Any] = {"rollout_steps": 64, "minibatch_size": 16, "epochs": 1}
    own = {"sigma": 0.01, "beta_utility": 0.9, "weight_decay": 0.002, "step_scale": 1.0, "beta1": 0.8, "beta2": 0.99}
    adam, adaupgd = build(PPO(**sizes), hopper(), 1000, 0), build(AdaUPGDPPO(**sizes, **own), hopper(), 1000, 0)
    for model in (adam, adaupgd):
        for _ in range(63):
            model.step()
    for name, vector in adam.vectors.items():
        assert torch.equal(vector, adaupgd.vectors[name]), "before the first update all is the same"
    (group,) = adaupgd.policy.optimizer.param_groups
    assert isinstance(adaupgd.policy.optimizer, AdaUPGD)
    assert {name: group[name] for name in own} == own
    assert (group["eps"], group["lr"]) == (1e-5, 3e-4)
    for model in (adam, adaupgd):
        model.step()
    assert not torch.equal(adam.vectors["policy"], adaupgd.vectors["policy"])
    assert group["lr"] == adam.policy.optimizer.param_groups[0]["lr"]
    memory = adaupgd.policy.optimizer.state[adaupgd.vectors["policy"]]
    assert memory["step"] == 4
    assert len(memory["utility"]) == len(adam.vectors["policy"]), "actor and critic have one scale"


# Updates


@pytest.mark.parametrize(
    "learner",  # steps so long that ratios are clipped
    [PPO(rollout_steps=64, minibatch_size=24, epochs=4, learning_rate=3e-3, clip_value_loss=False), PPO1()],
)
def test_ppo_update_equals_that_of_stable_baselines3(learner: PPO) -> None:
    model = build(learner, hopper(), 1000, 0)
    model.train = lambda: None  # type: ignore[method-assign]
    for _ in range(3 * learner.rollout_steps):
        model.step()
    model.rollout_buffer.full = True
    plain = sb3.PPO(
        "MlpPolicy",
        normalized(learner, hopper()),
        n_steps=learner.rollout_steps,
        batch_size=learner.minibatch_size,
        n_epochs=learner.epochs,
        normalize_advantage=learner.normalize_advantage,
        clip_range_vf=0.2 if learner.clip_value_loss else None,
        vf_coef=0.25,  # theirs is not halved
        device="cpu",
    )
    plain.set_logger(Logger(None, []))
    plain.policy.load_state_dict(copy.deepcopy(model.policy.state_dict()))
    plain.rollout_buffer = copy.deepcopy(model.rollout_buffer)
    plain.lr_schedule = lambda _: model.lr_schedule(model._current_progress_remaining)
    for train_once in (plain.train, lambda: StepwisePPO.train(model)):
        np.random.seed(0)
        train_once()
    before = build(learner, hopper(), 1000, 0).policy.state_dict()
    for name, ours in model.policy.state_dict().items():
        torch.testing.assert_close(ours, plain.policy.state_dict()[name], rtol=1e-4, atol=1e-6)
        assert not torch.equal(ours, before[name])


def test_ppo_takes_the_larger_value_loss() -> None:
    model, unclipped = (build(PPO(clip_value_loss=clip), Corridor(), 9999, 0) for clip in (True, False))
    obs = torch.zeros(2, 2)
    value = model._value(obs.numpy())
    # The value has moved by 1 towards the first target and past the second one, which the clipped value has not reached.
    returns, old = value + torch.tensor([2.0, 0.0]), value - 1.0
    advantages = torch.tensor([1.0, -1.0])  # of mean zero, at equal ratios: no policy loss
    mean, _ = model._forward(obs)
    log_prob = model._log_prob(mean, mean)
    losses = [m._loss(obs, mean, old, log_prob, advantages, returns).item() for m in (model, unclipped)]
    assert losses[0] == pytest.approx(0.25 * (2.8**2 + 0.8**2) / 2, rel=1e-5)
    assert losses[1] == pytest.approx(0.25 * 2.0**2 / 2, rel=1e-5)


@pytest.mark.parametrize("bootstrap", [False, True])
def test_ppo_takes_a_time_limit_for_an_end_unless_told_otherwise(bootstrap: bool) -> None:
    learner = PPO(
        rollout_steps=6, minibatch_size=6, normalize_obs=False, normalize_reward=False, bootstrap_on_truncation=bootstrap
    )
    model = build(learner, Corridor(), 60, 0)
    model.train = lambda: None  # type: ignore[method-assign]
    for _ in range(6):
        model.step()
    last = model._value(np.array([[3.0, 1.0]], np.float32)).item()
    expected = 1.0 + (0.99 * last if bootstrap else 0.0)
    assert model.rollout_buffer.returns[2, 0] == pytest.approx(expected, abs=1e-6)
    assert model.rollout_buffer.returns[5, 0] == pytest.approx(expected, abs=1e-6)


def test_step_size_is_annealed_from_the_first_rollout_to_almost_zero() -> None:
    model = build(PPO(rollout_steps=6, minibatch_size=6, epochs=1), Corridor(), 27, 0)
    rates = []
    for step in range(1, 28):
        model.step()
        if step % 6 == 0:
            rates.append(model.policy.optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([3e-4, 2.25e-4, 1.5e-4, 0.75e-4])


def test_wrappers_give_the_numbers_of_gymnasium() -> None:
    def plain(environment: Environment) -> gymnasium.Env[Any, Any]:
        env = NormalizeObservation(environment)
        env = TransformObservation(env, lambda obs: np.clip(obs, -10, 10), env.observation_space)
        return TransformReward(NormalizeReward(env, gamma=0.99), lambda reward: np.clip(reward, -10, 10))

    pair = [normalized(PPO(), hopper()), plain(hopper())]
    generator = np.random.default_rng(0)
    seen = [[env.reset()[0] for env in pair]]
    for _ in range(300):
        action = generator.uniform(-1, 1, 3)
        (obs, reward, *ended), other = (env.step(action) for env in pair)
        seen.append([obs, other[0]])
        assert reward == other[1]
        if any(ended[:2]):
            seen.append([env.reset()[0] for env in pair])
    for ours, theirs in seen:
        assert ours.dtype == theirs.dtype == np.float32
        np.testing.assert_array_equal(ours, theirs)


def test_sac_update_equals_one_written_out_with_plain_parts() -> None:
    learner = SAC(hidden=(16, 16), batch_size=8, learning_starts=50)
    model = build(learner, Corridor(), 1000, 0)
    for _ in range(49):
        model.step()
    actor, critic, target = (copy.deepcopy(network) for network in (model.actor, model.critic, model.critic_target))
    log_alpha = torch.zeros(1, requires_grad=True)
    actor_adam = torch.optim.Adam(actor.parameters(), 3e-4)
    critic_adam = torch.optim.Adam(critic.parameters(), 1e-3)
    alpha_adam = torch.optim.Adam([log_alpha], 1e-3)

    def policy(obs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        latent = actor.latent_pi(obs)
        std = (-5 + 3.5 * (torch.tanh(actor.log_std(latent)) + 1)).exp()
        onto_bounds = AffineTransform(torch.tensor([0.75]), torch.tensor([1.25]), event_dim=1)  # [-1, 1] -> [-0.5, 2]
        gaussian = Independent(Normal(actor.mu(latent), std), 1)
        distribution = TransformedDistribution(gaussian, [TanhTransform(cache_size=1), onto_bounds.with_cache()])
        action = distribution.rsample()
        return action, distribution.log_prob(action)

    def reference(batch: Any, step: int) -> None:
        alpha = log_alpha.exp().item()
        with torch.no_grad():
            action, log_prob = policy(batch.next_observations)
            value = torch.min(*target(batch.next_observations, action))[:, 0] - alpha * log_prob
            goal = batch.rewards[:, 0] + 0.99 * (1 - batch.dones[:, 0]) * value
        loss = sum(F.mse_loss(q[:, 0], goal) for q in critic(batch.observations, batch.actions))
        critic_adam.zero_grad()
        loss.backward()
        critic_adam.step()
        for _ in range(2 if step % 2 == 0 else 0):
            action, log_prob = policy(batch.observations)
            q = torch.min(*critic(batch.observations, action))[:, 0]
            actor_adam.zero_grad()
            (log_alpha.exp().item() * log_prob - q).mean().backward()
            actor_adam.step()
            with torch.no_grad():
                _, log_prob = policy(batch.observations)
            alpha_adam.zero_grad()
            (-log_alpha.exp() * (log_prob - 1)).mean().backward()  # target entropy: minus one component
            alpha_adam.step()
        with torch.no_grad():
            for slow, fast in zip(target.parameters(), critic.parameters(), strict=True):
                slow.copy_(0.005 * fast + 0.995 * slow)

    for step in range(20, 26):
        batch = model.replay_buffer.sample(8)
        batch = SimpleNamespace(**{**batch._asdict(), "dones": (torch.rand(8, 1) < 0.3).float()})
        for update in (reference, model._update):
            torch.manual_seed(step)
            update(batch, step)
    for ours, theirs in ((model.actor, actor), (model.critic, critic), (model.critic_target, target)):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-3, atol=2e-5)
    torch.testing.assert_close(model.vectors["entropy"], log_alpha, rtol=1e-4, atol=1e-6)
    assert log_alpha.abs().item() > 3e-3


@pytest.mark.parametrize("learner", [SAC, TD3])
def test_learning_begins_when_cleanrls_does(learner: type[SAC] | type[TD3]) -> None:
    model = build(learner(hidden=(8, 8), batch_size=4, learning_starts=10), Corridor(), 100, 0)
    updates = []
    for _ in range(14):
        model.step()
        updates.append(model._n_updates)
    assert updates == [0] * 11 + [1, 2, 3]


@pytest.mark.parametrize("learner", [PPO1(), SAC1(), TD3_1()])
def test_one_sample_forms_stay_finite_and_learn_at_every_step(learner: PPO | SAC | TD3) -> None:
    model = build(learner, hopper(), 400, 0)
    vector = model.vectors["policy" if isinstance(learner, PPO) else "critic"]
    for _ in range(3):
        model.step()
    for _ in range(397):
        before = vector.detach().clone()
        model.step()
        assert not torch.equal(vector, before)
    model.check()


# Runs


@pytest.mark.parametrize("algorithm", SMALL)
def test_a_run_takes_exactly_its_steps(algorithm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = 0
    step = Environment.step

    def counted(self: Environment, action: Any) -> Any:
        nonlocal taken
        taken += 1
        return step(self, action)

    monkeypatch.setattr(Environment, "step", counted)
    run = make_run(algorithm, 301, **SMALL[algorithm][1])
    context = make_context(tmp_path)
    train([run], context)
    result, provenance, tables = context.store.load(run.run_id)
    assert taken == 301
    assert result == {"status": "finished", "steps": 301, "diverged_at": None}
    assert provenance["implementation"] == f"stable-baselines3 {sb3.__version__}"
    assert (provenance["threads"], provenance["resumed_at"]) == (1, [])
    episodes = tables["episodes"]
    assert [str(t) for t in episodes.schema.types] == ["int64", "double", "int32"]
    assert episodes.num_rows > 3
    np.testing.assert_array_equal(np.cumsum(episodes["length"]), episodes["step"])


@pytest.mark.parametrize("algorithm", SPARING)
def test_a_run_stopped_again_and_again_ends_in_the_same_bytes(algorithm: str, tmp_path: Path) -> None:
    run = small_run(algorithm)
    generator = random.Random(algorithm)
    stops = 0
    while True:
        left = generator.randrange(1, run.steps // 2)

        def stop() -> bool:
            nonlocal left
            left -= 1
            return left < 0

        context = make_context(tmp_path, stop)
        try:
            train([run], context)
            break
        except Interrupted:
            stops += 1
            random.seed(stops)
            np.random.seed(stops)
            torch.manual_seed(stops)
    assert stops >= 2
    assert published(context, run) == left_alone(algorithm)
    assert len(context.store.load(run.run_id)[1]["resumed_at"]) == stops
    assert not (context.store.checkpoints_path / run.run_id).exists()


KILLED = """
import sys, time
from itertools import count
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from {module} import make_context, small_run
from experiments.training.batch import train
run, asked = small_run(sys.argv[2]), count(1)
def dawdle():  # so as not to be done before it is killed
    step = next(asked)
    time.sleep(60 if step > 0.9 * run.steps else 0.002 if step > run.steps // 3 else 0)
    return False
train([run], make_context(Path(sys.argv[3]), dawdle, checkpoint_seconds=0.0))
"""


@pytest.mark.parametrize("algorithm", SPARING)
def test_a_killed_run_ends_in_the_same_bytes(algorithm: str, tmp_path: Path) -> None:
    run = small_run(algorithm)
    script = KILLED.format(module=Path(__file__).stem)
    folder = str(Path(__file__).parent)
    child = subprocess.Popen([sys.executable, "-c", script, folder, algorithm, str(tmp_path)], cwd=ROOT)
    context = make_context(tmp_path)
    deadline = time.monotonic() + 120
    while checkpoint.latest_step(context.store, run.run_id) < run.steps // 3 and time.monotonic() < deadline:
        assert child.poll() is None
        time.sleep(0.002)
    os.kill(child.pid, signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    assert run.run_id not in context.store.finished()
    train([run], context)
    assert published(context, run) == left_alone(algorithm)
    (resumed_at,) = context.store.load(run.run_id)[1]["resumed_at"]
    assert run.steps // 3 <= resumed_at < run.steps


@pytest.mark.parametrize(
    ("algorithm", "rates"),
    [
        ("ppo1", {"learning_rate": 1e30}),
        ("sac1", {"q_learning_rate": 1e30, "hidden": (8, 8)}),
        ("td3_1", {"learning_rate": 1e30, "hidden": (8, 8)}),
        ("dqn1", {"learning_rate": 1e30, "env_id": "CartPole-v1"}),
    ],
)
def test_a_diverged_run_is_a_result(algorithm: str, rates: dict[str, Any], tmp_path: Path) -> None:
    run = make_run(algorithm, 200, **rates)
    context = make_context(tmp_path)
    train([run], context)
    result, _, tables = context.store.load(run.run_id)
    assert result["status"] == "diverged"
    assert result["diverged_at"] == result["steps"] < 200
    assert tables["episodes"].num_rows == 0 or max(tables["episodes"]["step"].to_pylist()) <= result["steps"]


def test_parameters_lost_by_the_last_update_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = StepwisePPO.step

    def lose(self: StepwisePPO) -> None:
        step(self)
        if self.num_timesteps == 5:
            self.vectors["policy"].data[0] = float("nan")

    monkeypatch.setattr(StepwisePPO, "step", lose)
    context, run = make_context(tmp_path), make_run("ppo1", 5)
    train([run], context)
    assert context.store.load(run.run_id)[0] == {"status": "diverged", "steps": 5, "diverged_at": 5}


def test_a_replay_buffer_is_read_into_the_one_that_the_model_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked, filled = small_run("sac"), count(1), []
    context = make_context(tmp_path, lambda: next(asked) == 101)
    with pytest.raises(Interrupted):
        train([run], context)
    set_state = Stream.set_state

    def look(self: Stream, state: dict[str, Any]) -> None:
        filled.extend(self.model.replay_buffer.observations[:100].any((1, 2)))
        set_state(self, state)

    monkeypatch.setattr(Stream, "set_state", look)
    train([run], context)
    assert len(filled) == 100
    assert all(filled)
