"""stable-baselines3's own learners with the sizes of ours, run by its own loop: what the suite's forms are measured against.

They are for measuring speed only. Their updates differ from CleanRL's in ways that `baselines.stepwise` lists, and PPO sees
observations and rewards as they are, which makes it a little faster than with running statistics.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import gymnasium
import stable_baselines3 as sb3
from stable_baselines3.common.logger import Logger

from baselines.settings import PPO, SAC, TD3, Learner


def stepper(learner: Learner, env: gymnasium.Env[Any, Any], seed: int) -> Callable[[int], None]:
    """Return a function that lets stable-baselines3 take so many more steps. Raise ValueError for a learner it has not."""
    common: dict[str, Any] = {"gamma": learner.gamma, "policy_kwargs": {"net_arch": list(learner.hidden)}, "device": "cpu"}
    model: Any
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice on sizes, which the hyperparameters have settled
        if isinstance(learner, PPO):
            model = sb3.PPO(
                "MlpPolicy",
                env,
                n_steps=learner.rollout_steps,
                batch_size=learner.minibatch_size,
                n_epochs=learner.epochs,
                normalize_advantage=learner.normalize_advantage,
                seed=seed,
                **common,
            )
        elif isinstance(learner, SAC | TD3):
            common |= {"buffer_size": learner.buffer_size, "batch_size": learner.batch_size}
            common |= {"learning_starts": learner.learning_starts, "train_freq": 1, "gradient_steps": 1}
            if isinstance(learner, SAC):
                model = sb3.SAC("MlpPolicy", env, seed=seed, **common)
            else:
                model = sb3.TD3("MlpPolicy", env, seed=seed, policy_delay=learner.policy_frequency, **common)
        else:
            raise ValueError("stable-baselines3's own loop is measured for PPO, SAC and TD3")

    model.set_logger(Logger(None, []))  # the default one leaves a folder in the system's temporary directory

    def take(steps: int) -> None:
        model.learn(steps, reset_num_timesteps=False)

    return take
