"""All algorithms by name, one record each: hyperparameters, learner, the loop that runs it, and what it can act on.

Planning, status and figures import this to fill in defaults, so it imports no learner: torch and stable-baselines3 take longer
than all else they do. A learner is added by its own file and one record in `ALGORITHMS`.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal, cast, get_args

from algorithms.avg_settings import AVGSettings
from algorithms.continual_settings import AdaUPGDSettings, UPGDSettings, UtilityQualitySettings
from algorithms.settings import QRCSettings, StreamACSettings, StreamQSettings, StreamSARSASettings, StreamTDSettings
from baselines.avg_settings import AVGSAC1Settings, AVGTD31Settings, IACSettings
from baselines.continual_settings import (
    AdamRestartsSettings,
    AdamSettings,
    ContinualBackpropSettings,
    GenerateAndTestSettings,
    PGDSettings,
    SGDSettings,
    ShrinkAndPerturbSettings,
    StreamingEWCSettings,
    StreamingMASSettings,
    StreamingRWalkSettings,
    StreamingSISettings,
)
from baselines.dqn_settings import DQN, DQN1
from baselines.recurrent_settings import RecurrentPPOSettings
from baselines.settings import (
    PPO,
    PPO1,
    SAC,
    SAC1,
    TD3,
    TD3_1,
    ClassicACSettings,
    ClassicQSettings,
    ClassicSARSASettings,
    ClassicTDSettings,
)
from baselines.upgd_ppo_settings import AdaUPGDPPO
from experiments import external
from experiments.errors import UserError, closest_names
from experiments.families import family_of, options_class
from experiments.measurements import ArithmeticSpeed, LearningStep, PeakMemory, SquashedNormal, Throughput, UpdateTime
from experiments.provenance import exact_versions
from experiments.spec import Run, Value


@dataclass(frozen=True)
class Loop:
    """What runs a learner: a function (runs, context) that trains claimed runs and publishes each.

    Attributes:
        train: the function, as module:name.
        lanes: it is given runs of equal structure and budget, which it trains in lockstep.
        measures: it takes measurements. They may be taken anew, and one at a time.
    """

    train: str
    lanes: bool = False
    measures: bool = False

    def function(self) -> Callable[..., None]:
        """Import the function."""
        return cast(Callable[..., None], pkgutil.resolve_name(self.train))


REINFORCEMENT = Loop("experiments.training.reinforcement:train", lanes=True)
SUPERVISED = Loop("experiments.training.supervised:train", lanes=True)
BATCH = Loop("experiments.training.batch:train")
THROUGHPUT = Loop("experiments.training.throughput:train", measures=True)
RESOURCES = Loop("experiments.training.resources:train", measures=True)
SQUASHED = Loop("experiments.training.squashed:train", measures=True)

# What an environment may want of a learner: the field `wants` of its spaces.
Wanted = Literal["vector", "choice", "prediction", "label"]


@dataclass(frozen=True)
class Algorithm:
    """One record of the registry.

    Attributes:
        label: the name that tables and figures use.
        settings: dataclass of the hyperparameters. It imports no torch, unless it is the learner itself.
        loop: what runs it.
        gives: what it can give an environment, its main use first; nothing for a measurement.
        learner: the learner of one stream, as module:class, where that is another class than `settings`.
        lanes: the same for a batch learner that also has a form in lanes, used where `implementation` is "lanes".
        packages: the installed packages that it is made of where it does not run in lanes, torch and numpy aside. A checkpoint
            is continued with the same versions of them.
    """

    label: str
    settings: type
    loop: Loop
    gives: tuple[Wanted, ...] = ()
    learner: str = ""
    lanes: str = ""
    packages: tuple[str, ...] = ()


# Gymnasium beside it: for its wrappers, and for the random actions of its spaces.
SB3 = ("stable-baselines3", "gymnasium")

ALGORITHMS: dict[str, Algorithm] = {
    "stream_ac": Algorithm("Stream AC", StreamACSettings, REINFORCEMENT, ("vector", "choice"), "algorithms.stream_ac:StreamAC"),
    "stream_q": Algorithm("Stream Q", StreamQSettings, REINFORCEMENT, ("choice",), "algorithms.stream_q:StreamQ"),
    "stream_sarsa": Algorithm(
        "Stream SARSA", StreamSARSASettings, REINFORCEMENT, ("choice",), "algorithms.stream_sarsa:StreamSARSA"
    ),
    "stream_td": Algorithm("Stream TD", StreamTDSettings, REINFORCEMENT, ("prediction",), "algorithms.stream_td:StreamTD"),
    "qrc": Algorithm("QRC", QRCSettings, REINFORCEMENT, ("choice",), "algorithms.qrc:QRC"),
    "classic_ac": Algorithm(
        "Classic AC", ClassicACSettings, REINFORCEMENT, ("vector", "choice"), "baselines.classic:ClassicAC"
    ),
    "classic_q": Algorithm("Classic Q", ClassicQSettings, REINFORCEMENT, ("choice",), "baselines.classic:ClassicQ"),
    "classic_sarsa": Algorithm(
        "Classic SARSA", ClassicSARSASettings, REINFORCEMENT, ("choice",), "baselines.classic:ClassicSARSA"
    ),
    "classic_td": Algorithm("Classic TD", ClassicTDSettings, REINFORCEMENT, ("prediction",), "baselines.classic:ClassicTD"),
    "avg": Algorithm("AVG", AVGSettings, REINFORCEMENT, ("vector",), "algorithms.avg:AVG"),
    "iac": Algorithm("IAC", IACSettings, REINFORCEMENT, ("vector",), "baselines.iac:IAC"),
    "avg_sac1": Algorithm("SAC-1 (AVG)", AVGSAC1Settings, REINFORCEMENT, ("vector",), "baselines.avg_sac1:AVGSAC1"),
    "avg_td3_1": Algorithm("TD3-1 (AVG)", AVGTD31Settings, REINFORCEMENT, ("vector",), "baselines.avg_td3_1:AVGTD31"),
    "ppo": Algorithm("PPO", PPO, BATCH, ("vector",), packages=SB3),
    "adaupgd_ppo": Algorithm("PPO, AdaUPGD", AdaUPGDPPO, BATCH, ("vector",), packages=SB3),
    "sac": Algorithm("SAC", SAC, BATCH, ("vector",), packages=SB3),
    "td3": Algorithm("TD3", TD3, BATCH, ("vector",), packages=SB3),
    "dqn": Algorithm("DQN", DQN, BATCH, ("choice",), packages=SB3),
    "recurrent_ppo": Algorithm("Recurrent PPO", RecurrentPPOSettings, BATCH, ("vector", "choice"), packages=SB3),
    "ppo1": Algorithm("PPO1", PPO1, BATCH, ("vector",), lanes="baselines.incremental_ppo:IncrementalPPO", packages=SB3),
    "sac1": Algorithm("SAC1", SAC1, BATCH, ("vector",), lanes="baselines.incremental_sac:IncrementalSAC", packages=SB3),
    "td3_1": Algorithm("TD3-1", TD3_1, BATCH, ("vector",), lanes="baselines.incremental_td3:IncrementalTD3", packages=SB3),
    "dqn1": Algorithm("DQN1", DQN1, BATCH, ("choice",), lanes="baselines.incremental_dqn:IncrementalDQN", packages=SB3),
    "upgd": Algorithm("UPGD", UPGDSettings, SUPERVISED, ("label",), "algorithms.upgd_learners:UPGDLearner"),
    "adaupgd": Algorithm("AdaUPGD", AdaUPGDSettings, SUPERVISED, ("label",), "algorithms.upgd_learners:AdaUPGDLearner"),
    "utility_quality": Algorithm(
        "Utilities under SGD", UtilityQualitySettings, SUPERVISED, ("label",), "algorithms.utility_quality:UtilityQuality"
    ),
    "sgd": Algorithm("SGD", SGDSettings, SUPERVISED, ("label",), "baselines.continual:SGD"),
    "pgd": Algorithm("PGD", PGDSettings, SUPERVISED, ("label",), "baselines.continual:PGD"),
    "shrink_and_perturb": Algorithm(
        "S&P", ShrinkAndPerturbSettings, SUPERVISED, ("label",), "baselines.continual:ShrinkAndPerturb"
    ),
    "adam": Algorithm("Adam", AdamSettings, SUPERVISED, ("label",), "baselines.continual:Adam"),
    "adam_restarts": Algorithm(
        "Adam with restarts", AdamRestartsSettings, SUPERVISED, ("label",), "baselines.continual:AdamRestarts"
    ),
    "s_ewc": Algorithm("S-EWC", StreamingEWCSettings, SUPERVISED, ("label",), "baselines.continual_importance:StreamingEWC"),
    "s_mas": Algorithm("S-MAS", StreamingMASSettings, SUPERVISED, ("label",), "baselines.continual_importance:StreamingMAS"),
    "s_si": Algorithm("S-SI", StreamingSISettings, SUPERVISED, ("label",), "baselines.continual_importance:StreamingSI"),
    "s_rwalk": Algorithm(
        "S-RWalk", StreamingRWalkSettings, SUPERVISED, ("label",), "baselines.continual_importance:StreamingRWalk"
    ),
    "continual_backprop": Algorithm(
        "Continual backprop",
        ContinualBackpropSettings,
        SUPERVISED,
        ("label",),
        "baselines.continual_replacement:ContinualBackprop",
    ),
    "generate_and_test": Algorithm(
        "Generate and test", GenerateAndTestSettings, SUPERVISED, ("label",), "baselines.continual_replacement:GenerateAndTest"
    ),
    "throughput": Algorithm("throughput", Throughput, THROUGHPUT),
    "arithmetic": Algorithm("arithmetic", ArithmeticSpeed, RESOURCES),
    "update_time": Algorithm("update time", UpdateTime, RESOURCES),
    "learning_step": Algorithm("learning step", LearningStep, RESOURCES),
    "squashed_normal": Algorithm("squashed normal", SquashedNormal, SQUASHED),
    "peak_memory": Algorithm("peak memory", PeakMemory, RESOURCES),
}


def algorithm(name: str) -> Algorithm:
    """Return the record of an algorithm, of one from outside as well; raise `UserError` if there is none of that name."""
    if name in ALGORITHMS:
        return ALGORITHMS[name]
    full = external.reference(name)
    if not external.is_external(full):
        raise UserError(
            f"there is no algorithm {name!r}{closest_names(name, ALGORITHMS)}. "
            "One of your own is named FILE.py:CLASS or MODULE:CLASS."
        )
    return _external(full)


@cache
def _external(name: str) -> Algorithm:
    cls = external.load(name)
    acts = callable(getattr(cls, "start", None))
    gives = getattr(cls, "gives", ("vector", "choice") if acts else ("label",))
    if not isinstance(gives, tuple) or not gives or any(kind not in get_args(Wanted) for kind in gives):
        known = ", ".join(map(repr, get_args(Wanted)))
        raise UserError(f"{name}: gives must be a tuple of some of {known}; {gives!r} is not.")
    return Algorithm(str(getattr(cls, "label", cls.__name__)), cls, REINFORCEMENT if acts else SUPERVISED, gives)


def learners() -> dict[str, Algorithm]:
    """Return all algorithms that learn, in the order of the registry."""
    return {name: record for name, record in ALGORITHMS.items() if not record.loop.measures}


def loop_of(run: Run) -> Loop:
    """Return which training loop runs a run."""
    return REINFORCEMENT if in_lanes(run) else algorithm(run.algorithm).loop


def in_lanes(run: Run) -> bool:
    """Return whether a run is that of a batch learner's form in lanes."""
    return bool(algorithm(run.algorithm).lanes) and dict(run.hyperparameters).get("implementation") == "lanes"


def make_learner(run: Run) -> Any:
    """Return the hyperparameters of a run as the algorithm's own dataclass; the learner itself, where it runs in lanes."""
    record = algorithm(run.algorithm)
    if run.code and external.digest(run.algorithm) != run.code:
        place = run.algorithm.rpartition(":")[0]
        raise UserError(f"{place} was changed after this training was planned; start the command again.")
    path = record.lanes if in_lanes(run) else record.learner
    learner = (pkgutil.resolve_name(path) if path else record.settings)(**dict(run.hyperparameters))
    return replace(learner, run_steps=float(run.steps)) if hasattr(learner, "run_steps") else learner


def requirements(run: Run) -> dict[str, Any]:
    """Return what must be equal where a run is continued, as it is here. For lanes it imports what trains them."""
    loop = loop_of(run)
    module = pkgutil.resolve_name(loop.train.partition(":")[0]) if loop.lanes else None
    return dict(exact_versions(packages_of(run)) if module is None else module.requirements(run))


def packages_of(run: Run) -> tuple[str, ...]:
    """Return the installed packages whose versions decide the bytes of a run."""
    learner = () if in_lanes(run) else algorithm(run.algorithm).packages
    return tuple(dict.fromkeys(("torch", "numpy", *family_of(run.env_id).packages(run.env_id), *learner)))


def hyperparameter_defaults(name: str) -> dict[str, Value]:
    """Return every hyperparameter of an algorithm with its default."""
    return _defaults(algorithm(name).settings)


def added_later(name: str) -> frozenset[str]:
    """Return the hyperparameters that are left out of a run's configuration while they have their default value."""
    return _added_later(algorithm(name).settings)


def environment_defaults(env_id: str) -> dict[str, Value]:
    """Return the options of an environment with their defaults."""
    return _defaults(options_class(env_id))


def environment_added_later(env_id: str) -> frozenset[str]:
    """Return the options of an environment that are left out of a run's configuration while they have their default value."""
    return _added_later(options_class(env_id))


def _defaults(settings: type) -> dict[str, Value]:
    return {f.name: cast(Value, f.default) for f in dataclasses.fields(settings)}


def _added_later(settings: type) -> frozenset[str]:
    return frozenset(f.name for f in dataclasses.fields(settings) if f.metadata.get("added_later"))


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
