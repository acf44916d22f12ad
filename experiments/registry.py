"""All algorithms by name: which class holds their hyperparameters and which training loop runs them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from algorithms.agent import Spaces
from algorithms.stream_ac import StreamAC
from baselines.batch import PPO, PPO1, SAC, SAC1
from baselines.classic import ClassicAC
from experiments.errors import UserError
from experiments.measurements import Throughput
from experiments.spec import Run, Value, closest_names

STREAMING: dict[str, type] = {"stream_ac": StreamAC, "classic_ac": ClassicAC}
BATCH: dict[str, type] = {"ppo": PPO, "sac": SAC, "ppo1": PPO1, "sac1": SAC1}
MEASUREMENTS: dict[str, type] = {"throughput": Throughput}
ALGORITHMS = {**STREAMING, **BATCH, **MEASUREMENTS}


def hyperparameter_defaults(algorithm: str) -> dict[str, Value]:
    """Return every hyperparameter of an algorithm with its default."""
    if algorithm not in ALGORITHMS:
        raise UserError(f"there is no algorithm {algorithm!r}{closest_names(algorithm, ALGORITHMS)}.")
    return {f.name: cast(Value, f.default) for f in dataclasses.fields(ALGORITHMS[algorithm])}


def environment_defaults() -> dict[str, Value]:
    """Return the options of an environment with their defaults, those of the official Stream-X code."""
    return {"time_feature": True, "action_clip": "bounds"}


def training_kind(algorithm: str) -> Literal["streaming", "batch", "measurement"]:
    """Return which training loop runs an algorithm."""
    if algorithm in MEASUREMENTS:
        return "measurement"
    return "streaming" if algorithm in STREAMING else "batch"


def make_learner(run: Run) -> Any:
    """Return the hyperparameters of a run as the algorithm's own dataclass."""
    return ALGORITHMS[run.algorithm](**dict(run.hyperparameters))


def check_spaces(run: Run, spaces: Spaces) -> None:
    """Raise `UserError` where an algorithm cannot act in an environment."""
    if spaces.discrete and training_kind(run.algorithm) != "measurement":
        raise UserError(f"{run.algorithm} chooses a vector as action; {run.env_id} has {spaces.action_size} discrete ones.")


def check_hyperparameters(run: Run) -> None:
    """Raise `UserError` where a value is of the right type but means nothing: not finite, or not one of the choices."""
    hints = get_type_hints(ALGORITHMS[run.algorithm])
    choices = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
    choices["action_clip"] = ("bounds", "unit", "none")
    for name, value in (*run.hyperparameters, *run.environment):
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} must be a finite number; {value} is not.")
        if name in choices and value not in choices[name]:
            raise UserError(f"{name} must be one of {', '.join(map(str, choices[name]))}; {value!r} is not.")
        if name == "hidden" and not (isinstance(value, tuple) and all(type(n) is int and n > 0 for n in value)):
            raise UserError(f"hidden must be a list of positive widths, like [128, 128]; {value!r} is not.")
