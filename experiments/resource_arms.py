"""The arms of `resource_cost`: every learner of the registry on the tasks of its kind, at its published sizes.

A learner that joins the registry is measured without being named here, unless it is a variant of another.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from baselines.dqn_settings import ATARI
from experiments import registry
from experiments.spec import Arm, Value

# Where learners are measured, by the kind of their action. Of the series only the shape matters.
TASKS = {
    "vector": ("HalfCheetah-v4",),
    "choice": ("MinAtar/Breakout-v1", "PongNoFrameskip-v4"),
    "prediction": ("ETTm2-generated",),
}
# Beyond the published sizes: actions that are looked for in the network, and a short wait for learning to start.
WITHOUT_CHANCE = {"epsilon_start": 0.0, "epsilon_end": 0.0}
SOON = {"learning_starts": 1000}
# What CleanRL sets for Atari and what decides how long an update takes, or how large it is.
ATARI_SIZES = {name: ATARI[name] for name in ("buffer_size", "batch_size", "train_frequency")}
# Learners that differ from another one in their optimizer alone; what optimizers cost, `upgd_update_time` shows.
VARIANTS = ("adaupgd_ppo",)


def learners(env_id: str, only: Collection[str] = ()) -> dict[str, registry.Algorithm]:
    """Return the learners that are measured on a task, streaming ones first: those that `only` names, or all of its kind."""
    known = sorted(registry.learners().items(), key=lambda item: not item[1].loop.lanes)
    return {
        name: record
        for name, record in known
        if (name in only if only else _measured(name, record) and env_id in TASKS[record.gives[0]])
    }


def _measured(name: str, record: registry.Algorithm) -> bool:
    """Return whether a learner belongs here, and is not measured elsewhere.

    One that has a recurrent cell by itself sees no images, and has `rtrl_cost`.
    """
    recurrent = registry.hyperparameter_defaults(name).get("cell", "none") != "none"
    return record.loop != registry.SUPERVISED and not recurrent and name not in VARIANTS


def time_arms(env_id: str, seconds: float, only: Collection[str] = (), engines: bool = True) -> tuple[Arm, ...]:
    """Return the arms that measure times; with `engines`, streaming learners eagerly too and one-sample forms in lanes too."""
    arms = []
    for name, record in learners(env_id, only).items():
        own: dict[str, Value] = {
            "learner": name,
            "seconds": seconds,
            "settings": _settings(name, env_id, WITHOUT_CHANCE | SOON),
        }
        arms.append(Arm(record.label, "update_time", own))
        if engines and record.loop.lanes:
            arms.append(Arm(f"{record.label}, eager", "update_time", {**own, "engine": "eager"}))
        if engines and record.lanes:
            arms.append(Arm(f"{record.label}, lanes", "update_time", {**own, "settings": _lanes(name, env_id)}))
    return tuple(arms)


def memory_arms(env_id: str, samples: tuple[int, ...], only: Collection[str] = ()) -> tuple[Arm, ...]:
    """Return the arms that measure memory: at these numbers of samples where there is a buffer, and PPO up to 10^4."""
    arms = []
    for name, record in learners(env_id, only).items():
        defaults = registry.hyperparameter_defaults(name)
        sizes: tuple[int, ...] = samples
        if record.loop.lanes:
            sizes = (0,)
        elif 1 in (defaults.get("buffer_size"), defaults.get("rollout_steps")):
            sizes = (1,)
        elif rollout := defaults.get("rollout_steps"):
            assert isinstance(rollout, int)
            sizes = tuple(sorted({size for size in samples if 1 < size <= 10_000} | {rollout}))
        arms.append(Arm(record.label, "peak_memory", {"learner": name, "samples": sizes, "settings": _settings(name, env_id)}))
    return tuple(arms)


def _settings(learner: str, env_id: str, more: dict[str, float] | None = None) -> tuple[str, ...]:
    known: dict[str, Any] = registry.hyperparameter_defaults(learner)
    chosen: dict[str, float] = {**ATARI_SIZES} if env_id.endswith("NoFrameskip-v4") and learner == "dqn" else {}
    for name, value in (more or {}).items():
        # One-sample forms start to learn at once anyway.
        if name in known and not (name == "learning_starts" and known[name] <= value):
            chosen[name] = value
    return tuple(f"{name}={json.dumps(value)}" for name, value in chosen.items())


def _lanes(learner: str, env_id: str) -> tuple[str, ...]:
    return (*_settings(learner, env_id, WITHOUT_CHANCE), "implementation=lanes")
