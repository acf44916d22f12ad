"""All algorithms by name: which class holds their hyperparameters and which training loop runs them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from algorithms.agent import Spaces
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD
from baselines.batch import PPO, PPO1, SAC, SAC1
from baselines.classic import ClassicAC, ClassicQ, ClassicSARSA, ClassicTD
from baselines.dqn import DQN, DQN1
from experiments.environments.options import make_options, options_class
from experiments.errors import UserError
from experiments.measurements import Throughput
from experiments.spec import Run, Value, closest_names

STREAMING: dict[str, type] = {
    "stream_ac": StreamAC,
    "stream_q": StreamQ,
    "stream_sarsa": StreamSARSA,
    "stream_td": StreamTD,
    "classic_ac": ClassicAC,
    "classic_q": ClassicQ,
    "classic_sarsa": ClassicSARSA,
    "classic_td": ClassicTD,
}
BATCH: dict[str, type] = {"ppo": PPO, "sac": SAC, "dqn": DQN, "ppo1": PPO1, "sac1": SAC1, "dqn1": DQN1}
MEASUREMENTS: dict[str, type] = {"throughput": Throughput}
ALGORITHMS = {**STREAMING, **BATCH, **MEASUREMENTS}

# What an environment may want of a learner, and which of it each algorithm can give.
_ACTION_NAMES = {"vector": "a vector as action", "choice": "a choice of one action among several", "prediction": "a prediction"}
ACTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("stream_ac", "classic_ac"), ("vector", "choice")),
    **dict.fromkeys(("stream_q", "classic_q", "stream_sarsa", "classic_sarsa", "dqn", "dqn1"), ("choice",)),
    **dict.fromkeys(("stream_td", "classic_td"), ("prediction",)),
    **dict.fromkeys(("ppo", "ppo1", "sac", "sac1"), ("vector",)),
}


def hyperparameter_defaults(algorithm: str) -> dict[str, Value]:
    """Return every hyperparameter of an algorithm with its default."""
    if algorithm not in ALGORITHMS:
        raise UserError(f"there is no algorithm {algorithm!r}{closest_names(algorithm, ALGORITHMS)}.")
    return {f.name: cast(Value, f.default) for f in dataclasses.fields(ALGORITHMS[algorithm])}


def added_later(algorithm: str) -> frozenset[str]:
    """Return the hyperparameters that are left out of a run's configuration while they have their default value."""
    return _added_later(ALGORITHMS[algorithm])


def environment_defaults(env_id: str) -> dict[str, Value]:
    """Return the options of an environment with their defaults, those of the official Stream-X code."""
    return {f.name: cast(Value, f.default) for f in dataclasses.fields(options_class(env_id))}


def environment_added_later(env_id: str) -> frozenset[str]:
    """Return the options of an environment that are left out of a run's configuration while they have their default value."""
    return _added_later(options_class(env_id))


def _added_later(settings: type) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(settings) if f.metadata.get("added_later"))


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
    if training_kind(run.algorithm) == "measurement":
        return
    asked = "prediction" if spaces.prediction else "choice" if spaces.discrete else "vector"
    given = ACTIONS[run.algorithm]
    if asked not in given:
        gives = " or ".join(_ACTION_NAMES[kind] for kind in given)
        raise UserError(
            f"{run.algorithm} gives {gives}; {run.env_id} wants {_ACTION_NAMES[asked]}. Choose another environment, or another "
            "learner with --set algorithm=NAME."
        )


def check_hyperparameters(run: Run) -> None:
    """Raise `UserError` where a value is of the right type but means nothing: not finite, or not one of the choices."""
    hints = get_type_hints(ALGORITHMS[run.algorithm]) | get_type_hints(options_class(run.env_id))
    choices = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
    for name, value in (*run.hyperparameters, *run.environment):
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} must be a finite number; {value} is not.")
        if name in choices and value not in choices[name]:
            raise UserError(f"{name} must be one of {', '.join(map(str, choices[name]))}; {value!r} is not.")
        if name == "hidden" and not (isinstance(value, tuple) and all(type(n) is int and n > 0 for n in value)):
            raise UserError(f"hidden must be a list of positive widths, like [128, 128]; {value!r} is not.")
    make_options(run.env_id, dict(run.environment))
