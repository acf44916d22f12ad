"""The options of labelled streams, as dataclasses; apart from the streams, since planning needs no data.

The defaults are those of UPGD (arXiv:2404.00781) and its official code, except where the option says so. What is permuted, and
how long a task is, differs between its streams; experiments say both.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Interval

from algorithms.ranges import Count, CountOrNone
from experiments.checks import check_fields
from experiments.errors import UserError

Inputs = Annotated[int, Interval(ge=2, le=10**6)]


@dataclass(frozen=True)
class PermutedOptions:
    """Samples of a data set in tasks, each with a permutation of its own (`experiments.datasets.permuted`)."""

    permute: Literal["inputs", "labels", "nothing"] = "inputs"
    """What changes with the task: the places of the inputs' components, the names of the classes, or nothing."""
    task_steps: CountOrNone = 1000
    """Samples of a task; 0: one task without end."""
    data_sha256: tuple[str, ...] = ()
    """SHA-256 of files that are to be taken instead of the published ones; none: the published ones."""
    held_out: CountOrNone = field(default=0, metadata={"added_later": True})
    """The first so many samples of the test part, permuted as the task's own, on which a network is judged at the end of each
    task; 0: it is not. There are test parts of EMNIST and of the generated images."""
    held_out_at: Literal["before_update", "after_update"] = field(default="before_update", metadata={"added_later": True})
    """Judge it before the first update of the next task, or after it, as the code does: then not on the last task."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.held_out and not self.task_steps:
            raise UserError(f"held_out must be 0 where there is one task; {self.held_out} is not.")
        wrong = [digest for digest in self.data_sha256 if not re.fullmatch("[0-9a-f]{64}", str(digest))]
        if wrong:
            raise UserError(f"data_sha256 must list numbers of 64 hexadecimal digits in small letters; {wrong[0]!r} is none.")
        if self.permute != "nothing" and self.task_steps == 0:
            raise UserError("task_steps must be positive where something is permuted; choose permute=nothing for one task.")


@dataclass(frozen=True)
class RegressionOptions:
    """Toy regression: the mean of two inputs (`experiments.datasets.regression`)."""

    task_steps: Count = 200
    """Samples of a task."""
    inputs: Inputs = 16
    """Number of inputs."""
    draw: Literal["with_replacement", "distinct"] = "with_replacement"
    """How the two inputs are drawn where the sign changes: in the code the same one may come twice. The paper has two."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.inputs % 2:
            raise UserError(f"inputs must be an even number of at least 2; {self.inputs} is not.")


@dataclass(frozen=True)
class UtilityStreamOptions:
    """The sum of two of the inputs, for ever (`experiments.datasets.regression`)."""

    inputs: Inputs = 5
    """Number of inputs."""
    draw: Literal["with_replacement", "distinct"] = "with_replacement"
    """How the two inputs are drawn: in the code the same one may come twice."""

    def __post_init__(self) -> None:
        check_fields(self)
