"""All algorithms by name: which class holds their hyperparameters and which training loop runs them.

Planning, status and figures import this to fill in defaults, so it imports no learner: torch and stable-baselines3 take longer
than all else they do. `LEARNERS` names where the learners are that inherit the hyperparameters. A class of `STREAMING` that
it does not name is itself the learner: the shorter way for one of your own.
"""

from __future__ import annotations

import dataclasses
import math
import pkgutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_origin, get_type_hints

from algorithms.hyperparameters import StreamAC, StreamQ, StreamSARSA, StreamTD
from baselines.dqn import DQN, DQN1
from baselines.hyperparameters import PPO, PPO1, SAC, SAC1, TD3, TD3_1, ClassicAC, ClassicQ, ClassicSARSA, ClassicTD
from experiments.environment_options import make_options, options_class
from experiments.errors import UserError
from experiments.measurements import Arithmetic, PeakMemory, Throughput, UpdateTime
from experiments.spec import Arm, Row, Run, Value, closest_names, parse_settings, resolve

if TYPE_CHECKING:
    from algorithms.agent import Spaces

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
BATCH: dict[str, type] = {
    **{"ppo": PPO, "sac": SAC, "td3": TD3, "dqn": DQN},
    **{"ppo1": PPO1, "sac1": SAC1, "td3_1": TD3_1, "dqn1": DQN1},
}
# The one-sample forms that run in lanes where their hyperparameter `implementation` says so.
LANES = ("ppo1", "sac1", "td3_1", "dqn1")
# The learners of one stream, as module:class.
LEARNERS: dict[str, str] = {
    "stream_ac": "algorithms.stream_ac:StreamAC",
    "stream_q": "algorithms.stream_q:StreamQ",
    "stream_sarsa": "algorithms.stream_sarsa:StreamSARSA",
    "stream_td": "algorithms.stream_td:StreamTD",
    "classic_ac": "baselines.classic:ClassicAC",
    "classic_q": "baselines.classic:ClassicQ",
    "classic_sarsa": "baselines.classic:ClassicSARSA",
    "classic_td": "baselines.classic:ClassicTD",
    "ppo1": "baselines.incremental_ppo:IncrementalPPO",
    "sac1": "baselines.incremental_sac:IncrementalSAC",
    "td3_1": "baselines.incremental_td3:IncrementalTD3",
    "dqn1": "baselines.incremental_dqn:IncrementalDQN",
}
MEASUREMENTS: dict[str, type] = {
    **{"throughput": Throughput, "arithmetic": Arithmetic},
    **{"update_time": UpdateTime, "peak_memory": PeakMemory},
}
ALGORITHMS = {**STREAMING, **BATCH, **MEASUREMENTS}

# What an environment may want of a learner, and which of it each algorithm can give.
_ACTION_NAMES = {"vector": "a vector as action", "choice": "a choice of one action among several", "prediction": "a prediction"}
ACTIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("stream_ac", "classic_ac"), ("vector", "choice")),
    **dict.fromkeys(("stream_q", "classic_q", "stream_sarsa", "classic_sarsa", "dqn", "dqn1"), ("choice",)),
    **dict.fromkeys(("stream_td", "classic_td"), ("prediction",)),
    **dict.fromkeys(("ppo", "ppo1", "sac", "sac1", "td3", "td3_1"), ("vector",)),
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
    """Return the options of an environment with their defaults."""
    return {f.name: cast(Value, f.default) for f in dataclasses.fields(options_class(env_id))}


def environment_added_later(env_id: str) -> frozenset[str]:
    """Return the options of an environment that are left out of a run's configuration while they have their default value."""
    return _added_later(options_class(env_id))


def _added_later(settings: type) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(settings) if f.metadata.get("added_later"))


def training_kind(run: Run) -> Literal["streaming", "batch", "measurement"]:
    """Return which training loop runs a run."""
    if run.algorithm in MEASUREMENTS:
        return "measurement"
    return "streaming" if run.algorithm in STREAMING or _in_lanes(run) else "batch"


def _in_lanes(run: Run) -> bool:
    return run.algorithm in LANES and dict(run.hyperparameters).get("implementation") == "lanes"


def make_learner(run: Run) -> Any:
    """Return the hyperparameters of a run as the algorithm's own dataclass; an agent, where it is trained in lanes."""
    if training_kind(run) != "streaming" or run.algorithm not in LEARNERS:
        return ALGORITHMS[run.algorithm](**dict(run.hyperparameters))
    learner = pkgutil.resolve_name(LEARNERS[run.algorithm])(**dict(run.hyperparameters))
    return replace(learner, run_steps=float(run.steps)) if hasattr(learner, "run_steps") else learner


def measured_run(run: Run) -> Run | None:
    """Return a run of the learner that a measurement is about, or None where it is about none."""
    settings = make_learner(run) if run.algorithm in MEASUREMENTS else None
    learner = getattr(settings, "learner", None)
    if settings is None or learner is None:
        return None
    if learner not in {**STREAMING, **BATCH}:
        raise UserError(f"there is no learner {learner!r}{closest_names(learner, {**STREAMING, **BATCH})}.")
    # Long enough that schedules which depend on the length of a run stand at their beginning.
    row = Row(run.env_id, (), steps=10**9, seeds=1, bin_width=1, environment=dict(run.environment))
    return resolve(row, Arm("", learner, parse_settings(settings.settings)), run.seed)


def environment_options(run: Run) -> dict[str, Any]:
    """Return the options of a run's environment as its learner wants them.

    The baselines decide about the time feature themselves: it belongs to Stream-X, not to what CleanRL's learners see.
    """
    options: dict[str, Any] = dict(run.environment)
    time_feature = dict(run.hyperparameters).get("time_feature")
    if time_feature is not None and "time_feature" in options:
        options["time_feature"] = time_feature
    elif time_feature:
        raise UserError(f"{run.env_id} has no time feature; leave time_feature of {run.algorithm} at false.")
    return options


def check_spaces(run: Run, spaces: Spaces) -> None:
    """Raise `UserError` where an algorithm cannot act in an environment."""
    if training_kind(run) == "measurement":
        if measured := measured_run(run):
            check_spaces(measured, spaces)
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
    choices = _choices(ALGORITHMS[run.algorithm]) | _choices(options_class(run.env_id))
    for name, value in (*run.hyperparameters, *run.environment):
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{name} must be a finite number; {value} is not.")
        if name in choices and value not in choices[name]:
            raise UserError(f"{name} must be one of {', '.join(map(str, choices[name]))}; {value!r} is not.")
        if name == "hidden" and not (isinstance(value, tuple) and all(type(n) is int and n > 0 for n in value)):
            raise UserError(f"hidden must be a list of positive widths, like [128, 128]; {value!r} is not.")
    make_options(run.env_id, dict(run.environment))
    if measured := measured_run(run):
        check_hyperparameters(measured)
    if _in_lanes(run) and _changes(run) != {"implementation"}:  # the defaults are sound, and torch can wait
        try:
            make_learner(run).check()
        except ValueError as error:
            raise UserError(f"{run.algorithm} cannot run so: {error}.") from None


def _choices(settings: type) -> dict[str, tuple[Any, ...]]:
    hints = get_type_hints(settings)
    return {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}


def _changes(run: Run) -> set[str]:
    defaults = hyperparameter_defaults(run.algorithm)
    return {name for name, value in run.hyperparameters if value != defaults[name]}
