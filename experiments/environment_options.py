"""The options of each kind of environment, as dataclasses whose defaults are those of the official Stream-X code.

Apart from the environments, since planning needs the options and no simulator.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from experiments.errors import UserError


@dataclass(frozen=True)
class VectorOptions:
    """Simulators that show a vector: MuJoCo, dm_control, classic control."""

    time_feature: bool = True
    """Append the time within the episode to the observation."""
    action_clip: Literal["bounds", "unit", "none"] = "bounds"
    """Clip continuous actions to the bounds of the environment, to [-1, 1], or not at all."""
    time_limit: int = field(default=0, metadata={"added_later": True})
    """Steps after which an episode is cut, also the scale of the time feature; 0: the environment's own limit."""

    def __post_init__(self) -> None:
        if self.time_limit < 0:
            raise UserError(f"time_limit must be a number of steps, or 0 for the environment's own; {self.time_limit} is not.")


@dataclass(frozen=True)
class ImageOptions:
    """MinAtar and Atari: nothing to choose."""


@dataclass(frozen=True)
class SeriesOptions:
    """Time series to predict."""

    memory_trace: float = 0.999
    """Decay of the bias-corrected exponential average that is shown of each channel; 0: the channels themselves."""

    def __post_init__(self) -> None:
        if not 0.0 <= self.memory_trace < 1.0:
            raise UserError(f"memory_trace must be at least 0 and less than 1; {self.memory_trace} is not.")


@dataclass(frozen=True)
class MemoryChainOptions:
    """MemoryChain: how long something has to be kept in mind."""

    length: int = 16
    """Actions in an episode."""

    def __post_init__(self) -> None:
        if self.length < 2:
            raise UserError(f"length must be at least 2 actions; {self.length} is not.")


@dataclass(frozen=True)
class KMemoryChainOptions:
    """KMemoryChain: how far back what is asked for lies."""

    lag: int = 4
    """Steps since the bit that is to be told was seen."""

    def __post_init__(self) -> None:
        if self.lag < 1:
            raise UserError(f"lag must be at least 1 step; {self.lag} is not.")


@dataclass(frozen=True)
class MaskedOptions(VectorOptions):
    """MuJoCo robots of which positions or velocities alone are seen."""

    time_feature: bool = False
    """Append the time within the episode to the observation."""
    time_limit: int = 0
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
