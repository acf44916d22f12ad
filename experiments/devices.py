"""Devices that learners compute on: how long each takes there, as data, so that a run in real time can be repeated.

The numbers stand in `device_profiles.toml`, each with its origin. Nothing here imports a learner or a simulator.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from baselines.dqn_settings import DQN
from baselines.settings import PPO, SAC, TD3, with_sizes
from experiments.errors import UserError

PROFILES = Path(__file__).with_name("device_profiles.toml")
# Not devices of the file: numbers that are set by hand, and time that is measured.
GIVEN, MEASURED = "given", "measured"
# A cycle that an agent exceeds by less than this share of it is not missed: of sums of decimal fractions.
TOLERANCE = 1e-9
# What the provenance of a run says whose time was measured.
NOT_EXACT = "measured on the wall clock: the run cannot be repeated, and is not resumed exactly"


@dataclass(frozen=True)
class Computing:
    """How long an agent computes.

    Attributes:
        action_seconds: seconds to choose an action.
        learning_seconds: seconds of what it learns at once: an update from a sample, a batch, or all those of a rollout.
        learning_every: its steps from one learning to the next.
        learning_starts: its first steps, in which it does not learn.
    """

    action_seconds: float = 0.0
    learning_seconds: float = 0.0
    learning_every: int = 1
    learning_starts: int = 0

    def learning_after(self, step: int) -> float:
        """Return how long it learns after one of its steps, counted from 1."""
        learns = step > self.learning_starts and step % self.learning_every == 0
        return self.learning_seconds if learns else 0.0

    def steps_within(self, cycles: int, cycle_seconds: float) -> int:
        """Return about how many steps it takes in so many cycles of a robot, ends of episodes left out."""
        late = missed(self.action_seconds + self.learning_seconds, cycle_seconds)
        begin = min(cycles, self.learning_starts)
        return begin + int((cycles - begin) * self.learning_every / (self.learning_every + late))


def missed(seconds: float, cycle_seconds: float) -> int:
    """Return how many whole cycles end before somebody is ready who needs so many seconds from the beginning of the first."""
    return max(0, math.ceil(seconds / cycle_seconds - TOLERANCE) - 1)


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


def computing(device: str, learner: str, settings: Any) -> Computing:
    """Return how long a learner with these hyperparameters computes on a device."""
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
    return Computing(devices()[device].action_seconds, seconds, every, starts)


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
    found = asdict(computing(environment["device"], learner, settings))
    return {**environment, **{name: value for name, value in found.items() if name not in given}}


def is_measured(environment: Mapping[str, Any]) -> bool:
    """Return whether the time that passes in an environment is that of the wall clock."""
    return environment.get("device") == MEASURED
