"""The options of each kind of environment, as dataclasses.

The defaults are those of the official Stream-X code, except where the option says so: `time_limit` of classic control, and
`contact_margin`, which follows the simulator that is installed. Apart from the environments, since planning needs the options
and no simulator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import StringConstraints

from algorithms.ranges import MOST_SAMPLES, Count, CountOrNone, Decay
from experiments import devices
from experiments.checks import check_fields
from experiments.errors import UserError, closest_names

TimeLimit = Annotated[int, Interval(ge=0, le=MOST_SAMPLES), "a number of steps, or 0 for the environment's own"]
Computing = Annotated[float, Interval(ge=0, le=3600)]
Length = Annotated[int, Interval(ge=2, le=MOST_SAMPLES), "at least 2 actions"]
Lag = Annotated[int, Interval(ge=1, le=MOST_SAMPLES), "at least 1 step"]
Side = Annotated[int, Interval(ge=10, le=1000), "from 10 to 1000 pixels"]
Digest = Annotated[str, StringConstraints(pattern="^([0-9a-f]{64})?$"), "64 hexadecimal digits in small letters"]


@dataclass(frozen=True)
class VectorOptions:
    """Simulators that show a vector: MuJoCo, dm_control, classic control."""

    time_feature: bool = True
    """Append the time within the episode to the observation."""
    action_clip: Literal["bounds", "unit", "none"] = "bounds"
    """Clip continuous actions to the bounds of the environment, to [-1, 1], or not at all."""
    time_limit: TimeLimit = field(default=0, metadata={"added_later": True})
    """Steps after which an episode is cut, also the scale of the time feature; 0: the environment's own limit.

    For MuJoCo and dm_control the official code has the environment's own. Its scripts for classic control set 10,000, which is
    `time_limit=10000` here: CartPole-v1 then goes on beyond a return of 500. The paper has no experiment on classic control."""
    contact_margin: Literal["as_installed", "larger"] = field(default="as_installed", metadata={"added_later": True})
    """How far apart two geoms of a MuJoCo model touch: as the installed MuJoCo has it, which from 3.5 on is the sum of their
    margins, or at the larger of the two, as in MuJoCo 2.3.7 and so in the published curves (`environments.contacts`).

    It matters in Ant, Hopper, Humanoid and HumanoidStandup. HalfCheetah, Walker2d and dm_control's suite have no margins."""
    time_limit_is: Literal["truncation", "terminal"] = field(default="truncation", metadata={"added_later": True})
    """What the learner is told when a time limit cuts an episode: that it was truncated, or that its state was terminal.

    The official code of AVG (arXiv:2411.15370) has `terminal` for dm_control, so that its learners do not bootstrap at step
    1000, and `truncation` for MuJoCo. Its dm_control also forgot its seed at every reset; here every episode has its own."""
    continuing: bool = field(default=False, metadata={"added_later": True})
    """Nothing cuts an episode, and what is measured is the reward rate: the mean reward of a step, over windows of 1,000.

    For tasks without episodes. One that ends of itself all the same begins again, and the windows go on over that."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_continuing(self.continuing, self.time_limit)
        if self.continuing and self.time_feature:
            raise UserError("what is continuing has no time in an episode to show; add --set time_feature=false.")


@dataclass(frozen=True)
class PixelOptions:
    """Images of an environment of Gymnasium."""

    size: Side = 84
    """Images with a longer side become grey ones of so many pixels a side, and the network sees the latest four, as in Atari.
    Others stay as they are, in all their channels, and the network sees the last one."""
    action_clip: Literal["bounds", "unit", "none"] = "bounds"
    """Clip continuous actions to the bounds of the environment, to [-1, 1], or not at all."""
    time_limit: TimeLimit = 0
    """Steps after which an episode is cut; 0: the environment's own limit."""
    time_limit_is: Literal["truncation", "terminal"] = "truncation"
    """What the learner is told when a time limit cuts an episode."""
    continuing: bool = False
    """Nothing cuts an episode, and what is measured is the reward rate, as for vectors."""

    def __post_init__(self) -> None:
        check_fields(self)
        check_continuing(self.continuing, self.time_limit)


def check_continuing(continuing: bool, time_limit: int) -> None:
    """Raise `UserError` where something continuing has a time limit."""
    if continuing and time_limit:
        raise UserError("what is continuing has no time limit; leave time_limit out, or continuing.")


@dataclass(frozen=True)
class ImageOptions:
    """MinAtar: nothing to choose."""


@dataclass(frozen=True)
class AtariOptions:
    """Atari."""

    frame_cap: Literal["truncation", "unnoticed"] = field(default="truncation", metadata={"added_later": True})
    """What the learner is told when a game is cut after 108,000 frames: that it was truncated, or nothing.

    Unnoticed, a new game begins after an ordinary transition, whatever the learner: it goes on from the value of the last frame
    with its trace and its discounted sum of rewards as they are. So the official code treats value and trace; its reward scaler
    does see the cap. `truncation`, with `bootstrap_on_truncation` and no `reset_trace_on_truncation`, is that code in full."""


@dataclass(frozen=True)
class SeriesOptions:
    """Time series to predict."""

    memory_trace: Decay = 0.999
    """Decay of the exponential average that is shown of each channel; 0: the channels themselves."""
    trace_bias_correction: bool = field(default=True, metadata={"added_later": True})
    """Divide the average of k rows by 1 - memory_trace^k, as the code does. The paper does not: its average begins near 0."""

    data_sha256: Digest = field(default="", metadata={"added_later": True})
    """SHA-256 of a file that is to be taken instead of the published one; empty: the published one."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class RobotOptions:
    """Simulated robots: how long the world goes on while the learner computes (`experiments.environments.real_time`)."""

    device: str = ""
    """Whose computing takes time: a device of `device_profiles.toml`, which knows how long each learner takes on it; `given`,
    with the four numbers below; or `measured` on the wall clock, which cannot be repeated. Empty: the robot waits."""
    action_seconds: Computing = 0.0
    """Seconds to choose an action; a device fills this in, and what follows, where it is not set."""
    learning_seconds: Computing = 0.0
    """Seconds of what is learnt at once: an update from a sample or a batch, or all those of a rollout."""
    learning_every: Count = 1
    """Steps of the learner from one learning to the next."""
    learning_starts: CountOrNone = 0
    """Steps of the learner before it begins to learn."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.device and self.device not in devices.names():
            raise UserError(
                f"there is no device {self.device!r}{closest_names(self.device, devices.names())}; "
                "leave it out for a robot that waits."
            )
        numbers = (self.action_seconds, self.learning_seconds, self.learning_every, self.learning_starts)
        if self.device in ("", devices.MEASURED) and numbers != (0.0, 0.0, 1, 0):
            raise UserError("numbers of seconds need a device that they are of; add --set device=given.")


@dataclass(frozen=True)
class MemoryChainOptions:
    """MemoryChain: how long something has to be kept in mind."""

    length: Length = 16
    """Actions in an episode."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class KMemoryChainOptions:
    """KMemoryChain: how far back what is asked for lies."""

    lag: Lag = 4
    """Steps since the bit that is to be told was drawn; it was seen lag - 1 observations before the latest."""

    def __post_init__(self) -> None:
        check_fields(self)


@dataclass(frozen=True)
class MaskedOptions(VectorOptions):
    """MuJoCo robots of which positions or velocities alone are seen."""

    time_feature: bool = False
    """Append the time within the episode to the observation."""
    time_limit: TimeLimit = 0
    """Steps after which an episode is cut, also the scale of the time feature; 0: the environment's own limit."""
    visible: Literal["positions", "velocities", "all"] = "positions"
    """What is shown."""
    mask: Literal["true", "published_2409_01449", "published_2605_24709"] = "true"
    """Where positions end: as the simulator has it, or as the papers' code has it for HalfCheetah."""
    hidden_as: Literal["zeros", "nothing"] = "zeros"
    """Keep the components that are not shown, as zeros, or leave them out."""


@dataclass(frozen=True)
class PopgymOptions:
    """POPGym."""

    previous: bool = True
    """Append the last action, one-hot, and the last reward to the observation."""
    standardised: Literal["all", "not_the_action"] = field(default="all", metadata={"added_later": True})
    """What a streaming learner standardises: all that is shown, or, as in the code of arXiv:2605.24709, not the last action."""
