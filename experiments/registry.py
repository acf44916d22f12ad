"""All algorithms by name: which class holds their hyperparameters and which training loop runs them."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from algorithms.stream_ac import StreamAC
from baselines.batch import PPO, PPO1, SAC, SAC1
from baselines.classic import ClassicAC
from experiments.errors import UserError
from experiments.spec import Run, Value, did_you_mean

STREAMING: dict[str, type] = {"stream_ac": StreamAC, "classic_ac": ClassicAC}
BATCH: dict[str, type] = {"ppo": PPO, "sac": SAC, "ppo1": PPO1, "sac1": SAC1}
ALGORITHMS = {**STREAMING, **BATCH}


def hyperparameter_defaults(algorithm: str) -> dict[str, Value]:
    """Return every hyperparameter of an algorithm with its default."""
    if algorithm not in ALGORITHMS:
        raise UserError(f"there is no algorithm {algorithm!r}{did_you_mean(algorithm, ALGORITHMS)}.")
    return {f.name: f.default for f in dataclasses.fields(ALGORITHMS[algorithm])}


def environment_defaults() -> dict[str, Value]:
    """Return the options of an environment with their defaults, those of the official Stream-X code."""
    return {"time_feature": True, "action_clip": "bounds"}


def training_kind(algorithm: str) -> Literal["streaming", "batch"]:
    """Return which training loop runs an algorithm."""
    return "streaming" if algorithm in STREAMING else "batch"


def make_learner(run: Run) -> Any:
    """Return the hyperparameters of a run as the algorithm's own dataclass."""
    return ALGORITHMS[run.algorithm](**dict(run.hyperparameters))
