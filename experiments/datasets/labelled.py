"""What a stream of labelled samples is to the rest of the suite."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np

from algorithms.agent import LabelledSpaces


class LabelledStream(Protocol):
    """An endless stream of samples that depends on nothing but its id, its options and its seed.

    Learners of equal seed see the same stream, so that differences between them can be paired. Any part of it can be asked for
    at any time: nothing has to be saved to go on exactly.
    """

    spaces: LabelledSpaces

    def samples(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x, float32 [count, *x_shape], and y, int64 [count] or float32 [count, y_size], of samples counted from 0."""
        ...


@runtime_checkable
class Judged(Protocol):
    """A stream that may have samples of its own for judging a network at the end of each task.

    Attributes:
        held_out_delay: how many updates after a task's last one the network is judged; None: it is not.
    """

    held_out_delay: int | None

    def held_out(self, task: int) -> tuple[np.ndarray, np.ndarray]:
        """Return x, float32 [n, *x_shape], and y, int64 [n], for the end of a task, counted from 0."""
        ...
