"""Devices that learners compute on: how long each takes there, as data, so that a run in real time can be repeated.

The numbers stand in `device_profiles.toml`, each with its origin. Nothing here imports a learner or a simulator.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from baselines.dqn_settings import DQN
from baselines.settings import PPO, SAC, TD3, with_sizes
from experiments.errors import UserError

PROFILES = Path(__file__).with_name("device_profiles.toml")
# Not devices of the file: numbers that are set by hand, and time that is measured.
GIVEN, MEASURED = "given", "measured"
# What the provenance of a run says whose time was measured.
NOT_EXACT = "measured on the wall clock: the run cannot be repeated, and is not resumed exactly"


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        title: its name in figures.
        memory_bytes: all its memory.
        action_seconds: time to choose an action.
        update_seconds: time of an update, by learner, by number of samples.
    """

    title: str
    memory_bytes: float
    action_seconds: float
    update_seconds: Mapping[str, Mapping[str, float]]


@cache
def devices() -> dict[str, Device]:
    """Read all devices by name."""
    return {name: Device(**record) for name, record in tomllib.loads(PROFILES.read_text()).items()}


def names() -> tuple[str, ...]:
    """Return what a robot's option `device` may say, beside nothing."""
    return (*devices(), GIVEN, MEASURED)


def update_seconds(device: str, learner: str, samples: int) -> float:
    """Return how long a learner's update from so many samples takes; raise `UserError` where the profile does not tell."""
    known = devices()[device].update_seconds.get(learner, {})
    points = sorted((int(number), seconds) for number, seconds in known.items())
    for (low, first), (high, last) in zip(points, points[1:] or points, strict=False):
        if low <= samples <= high:
            return first if low == high else first + (last - first) * (samples - low) / (high - low)
    raise UserError(
        f"the profile of {device} does not say how long an update of {learner} from {samples} samples takes; add it to "
        f"{PROFILES.name}, or set device={GIVEN} with action_seconds and learning_seconds."
    )


def computing(device: str, learner: str, settings: Any) -> dict[str, float | int]:
    """Return how long a learner with these hyperparameters computes on a device, as options of a robot's environment."""
    sizes = with_sizes(settings) if isinstance(settings, PPO | SAC | TD3 | DQN) else None
    every, starts = 1, 0
    if isinstance(sizes, PPO):
        updates = sizes.epochs * math.ceil(sizes.rollout_steps / sizes.minibatch_size)
        seconds = updates * update_seconds(device, learner, min(sizes.minibatch_size, sizes.rollout_steps))
        every = sizes.rollout_steps
    elif sizes is not None:
        seconds = update_seconds(device, learner, sizes.batch_size)
        # The sample of the step after the last random one is the first that is followed by an update.
        every, starts = getattr(sizes, "train_frequency", 1), sizes.learning_starts + 1
    else:
        seconds = update_seconds(device, learner, 1)
    learning = {"learning_seconds": seconds, "learning_every": every, "learning_starts": starts}
    return {"action_seconds": devices()[device].action_seconds, **learning}


def filled(environment: Mapping[str, Any], given: Mapping[str, Any], learner: str, settings: Any) -> dict[str, Any]:
    """Return the options of an environment with what its device's profile says of the run's learner.

    Args:
        environment: all options. Those of an environment without a device are returned as they are.
        given: those that were set, which stay.
        learner: the run's algorithm.
        settings: its hyperparameters.
    """
    if environment.get("device") not in devices():
        return dict(environment)
    found = computing(environment["device"], learner, settings)
    return {**environment, **{name: value for name, value in found.items() if name not in given}}


def is_measured(environment: Mapping[str, Any]) -> bool:
    """Return whether the time that passes in an environment is that of the wall clock."""
    return environment.get("device") == MEASURED
