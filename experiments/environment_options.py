"""The options of each kind of environment, as dataclasses whose defaults are those of the official Stream-X code.

Apart from the environments, since planning needs the options and no simulator.
"""

from __future__ import annotations

import re
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

    data_sha256: str = field(default="", metadata={"added_later": True})
    """SHA-256 of a file that is to be taken instead of the published one; empty: the published one."""

    def __post_init__(self) -> None:
        if self.data_sha256 and not re.fullmatch("[0-9a-f]{64}", self.data_sha256):
            raise UserError(f"data_sha256 must be 64 hexadecimal digits in small letters; {self.data_sha256!r} is not.")
        if not 0.0 <= self.memory_trace < 1.0:
            raise UserError(f"memory_trace must be at least 0 and less than 1; {self.memory_trace} is not.")
