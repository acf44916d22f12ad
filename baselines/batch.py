"""Batch baselines on stable-baselines3: PPO, SAC and TD3, their one-sample forms, and how to build these and DQN.

DQN and DQN1, with their source and choices, are described in `baselines.dqn_settings`; what follows is about the others.

Source: CleanRL's `ppo_continuous_action`, `sac_continuous_action` and `td3_continuous_action`. Stream-X (arXiv:2410.14606,
appendix F.4) names CleanRL for PPO, and AVG (arXiv:2411.15370) for PPO and TD3; for SAC nothing was published, so CleanRL's is
our choice. PPO1 has mini-batch, rollout and epochs of 1; SAC1 and TD3-1 have a buffer and a batch of 1.

Sizes: with `sizes = "derived"` the sizes that belong to a buffer, or to a rollout, follow from its size (`with_sizes`, in
`baselines.settings`); with `sizes = "cleanrl"` PPO keeps CleanRL's number of mini-batches. AVG shrinks the buffer in its Fig. 1
and publishes no rule: which is used there is our choice.

Truncation: PPO treats a time limit as a terminal state, as CleanRL does; `bootstrap_on_truncation` adds the value of the last
observation, as stable-baselines3 does. SAC and TD3 go on from the last observation of a truncated episode, as both do.

Deviations from CleanRL:
1. PPO1 does not normalise advantages: one sample has no standard deviation.
2. Steps after PPO's last full rollout are taken, and their episodes recorded, without learning from them; CleanRL stops there.
3. CleanRL was written for the environment wrappers of Gymnasium 0.29; these are the installed ones, whose
   NormalizeObservation returns float32.
4. Initial weights follow the same laws, drawn in another order, so equal seeds are not equal runs.
5. Adam and the norm of the gradient work on all parameters of a network as one vector: equal up to rounding.
6. Every episode starts from a seed of its own, as in all environments of this suite.
7. TD3 keeps each component of the target's action within its own bounds; CleanRL takes those of the first component for all.
"""

from __future__ import annotations

import warnings
from typing import Any, cast

import gymnasium
import numpy as np
from gymnasium.wrappers import (
    DtypeObservation,
    NormalizeObservation,
    NormalizeReward,
    TransformObservation,
    TransformReward,
)
from gymnasium.wrappers.utils import RunningMeanStd
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.utils import LinearSchedule

from algorithms.agent import Spaces
from baselines.dqn_settings import DQN
from baselines.frames import FrameBuffer
from baselines.recurrent_ppo import RecurrentPPO
from baselines.recurrent_settings import RecurrentPPOSettings
from baselines.settings import PPO, SAC, TD3, Learner, used_sizes, with_sizes
from baselines.stepwise import StepwisePPO, StepwiseSAC
from baselines.stepwise_dqn import StepwiseDQN, network
from baselines.stepwise_td3 import StepwiseTD3

Env = gymnasium.Env[Any, Any]

# Hyperparameters that count something there must be one of.
COUNTS = (
    "rollout_steps",
    "minibatch_size",
    "epochs",
    "buffer_size",
    "batch_size",
    "policy_frequency",
    "train_frequency",
    "target_network_frequency",
)


Model = StepwisePPO | StepwiseSAC | StepwiseTD3 | StepwiseDQN | RecurrentPPO


def build(learner: Learner | RecurrentPPOSettings, env: Env, steps: int, seed: int) -> Model:
    """Return a model at the start of its first episode, all global generators seeded for it.

    `steps` is the length of the run, which the annealing depends on. Raise ValueError where the hyperparameters contradict
    each other or the learner cannot act in the environment or see it.
    """
    if isinstance(learner, RecurrentPPOSettings):
        return RecurrentPPO(learner, normalized(learner, env), seed)
    if isinstance(learner, DQN):
        if not isinstance(env.action_space, gymnasium.spaces.Discrete):
            raise ValueError(f"DQN chooses one of several actions; this environment wants {env.action_space}.")
    elif not isinstance(env.action_space, gymnasium.spaces.Box):
        raise ValueError(f"PPO, SAC and TD3 choose a vector as action here; this environment wants {env.action_space}.")
    for name in COUNTS:
        if getattr(learner, name, 1) < 1:
            raise ValueError(f"{name} must be at least 1.")
    if not learner.hidden:
        raise ValueError("hidden must name the width of at least one layer.")
    learner = with_sizes(learner)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on sizes and devices, which the hyperparameters have settled
        if isinstance(learner, DQN):
            return build_dqn(learner, env, steps, seed)
        if isinstance(learner, PPO):
            return build_ppo(learner, env, steps, seed)
        return build_sac(learner, env, steps, seed) if isinstance(learner, SAC) else build_td3(learner, env, steps, seed)


def build_ppo(learner: PPO, env: Env, steps: int, seed: int) -> StepwisePPO:
    """Return PPO on the environment with CleanRL's wrappers around it; see `build`."""
    smallest = learner.rollout_steps % learner.minibatch_size or learner.minibatch_size
    if learner.normalize_advantage and learner.sizes == "as_given" and min(smallest, learner.rollout_steps) == 1:
        raise ValueError("the advantages of a mini-batch of one sample cannot be normalised; set normalize_advantage to false.")
    rate = learner.learning_rate
    model = StepwisePPO(
        "MlpPolicy",
        normalized(learner, env),
        learning_rate=LinearSchedule(rate, 0.0, 1.0) if learner.anneal_learning_rate else rate,
        n_steps=learner.rollout_steps,
        batch_size=learner.minibatch_size,
        n_epochs=learner.epochs,
        gamma=learner.gamma,
        gae_lambda=learner.gae_lambda,
        clip_range=learner.clip_range,
        clip_range_vf=learner.clip_range if learner.clip_value_loss else None,
        normalize_advantage=learner.normalize_advantage,
        ent_coef=learner.entropy_coefficient,
        vf_coef=learner.value_coefficient,
        max_grad_norm=learner.max_grad_norm,
        policy_kwargs={"net_arch": list(learner.hidden)},
        seed=seed,
        device="cpu",
    )
    model.begin(learner, steps)
    return model


def build_sac(learner: SAC, env: Env, steps: int, seed: int) -> StepwiseSAC:
    """Return SAC on the environment as it is; see `build`."""
    model = StepwiseSAC(
        "MlpPolicy",
        DtypeObservation(env, np.float32),
        learning_rate=learner.policy_learning_rate,
        buffer_size=int(used_sizes(learner, steps)["buffer_size"]),
        learning_starts=learner.learning_starts,
        batch_size=learner.batch_size,
        tau=learner.tau,
        gamma=learner.gamma,
        ent_coef="auto" if learner.autotune else learner.alpha,
        target_update_interval=learner.target_network_frequency,
        policy_kwargs={"net_arch": list(learner.hidden)},
        seed=seed,
        device="cpu",
    )
    model.begin(learner)
    return model


def build_td3(learner: TD3, env: Env, steps: int, seed: int) -> StepwiseTD3:
    """Return TD3 on the environment as it is; see `build`."""
    model = StepwiseTD3(
        "MlpPolicy",
        DtypeObservation(env, np.float32),
        learning_rate=learner.learning_rate,
        buffer_size=int(used_sizes(learner, steps)["buffer_size"]),
        learning_starts=learner.learning_starts,
        batch_size=learner.batch_size,
        tau=learner.tau,
        gamma=learner.gamma,
        policy_delay=learner.policy_frequency,
        target_policy_noise=learner.policy_noise,
        target_noise_clip=learner.noise_clip,
        policy_kwargs={"net_arch": list(learner.hidden)},
        seed=seed,
        device="cpu",
    )
    model.begin(learner)
    return model


def build_dqn(learner: DQN, env: Env, steps: int, seed: int) -> StepwiseDQN:
    """Return DQN on an environment that has `spaces`, with the network that fits what it shows; see `build`."""
    if learner.exploration_fraction <= 0 or learner.schedule_steps < 0:
        raise ValueError("exploration_fraction must be positive, and schedule_steps at least 0.")
    spaces: Spaces = cast(Any, env.unwrapped).spaces
    policy, policy_kwargs = network(spaces, learner.hidden)
    if spaces.frames == 1:
        env = DtypeObservation(env, np.float32)
    else:  # the model stacks the frames; stable-baselines3 has to know
        bytes_ = gymnasium.spaces.Box(0, 255, (spaces.frames, *spaces.obs_shape), np.uint8)
        env = TransformObservation(env, lambda obs: obs, bytes_)
    model = StepwiseDQN(
        policy,
        env,
        learning_rate=learner.learning_rate,
        buffer_size=int(used_sizes(learner, steps)["buffer_size"]),
        learning_starts=learner.learning_starts,
        batch_size=learner.batch_size,
        tau=learner.tau,
        gamma=learner.gamma,
        target_update_interval=learner.target_network_frequency,
        replay_buffer_class=FrameBuffer if spaces.frames > 1 else ReplayBuffer,
        replay_buffer_kwargs={"handle_timeout_termination": False},
        policy_kwargs=policy_kwargs,
        seed=seed,
        device="cpu",
    )
    model.begin(learner, spaces, steps)
    return model


def normalized(learner: PPO | RecurrentPPOSettings, env: Env) -> Env:
    """Wrap an environment as CleanRL does for PPO; actions are clipped and episodes recorded further inside."""
    if learner.normalize_obs:
        env = NormalizeObservation(env)
        env.obs_rms = _One(env.obs_rms)
        bound = learner.obs_clip
        env = TransformObservation(env, lambda obs: obs.clip(-bound, bound), None)
    else:
        env = DtypeObservation(env, np.float32)
    if learner.normalize_reward:
        env = NormalizeReward(env, gamma=learner.gamma)
        env.return_rms = _One(env.return_rms)
        limit = learner.reward_clip
        env = TransformReward(env, lambda reward: float(np.clip(float(reward), -limit, limit)))
    return env


class _One(RunningMeanStd):
    """Running statistics that take samples one at a time: the same numbers without averaging over a batch of one."""

    def __init__(self, like: RunningMeanStd):
        self.mean, self.var, self.count = like.mean, like.var, like.count

    def update(self, x: np.ndarray) -> None:
        """Take in a batch of one."""
        self.update_from_moments(x[0], 0.0, 1)
