"""What a stream of labelled samples is to the rest of the suite."""

from __future__ import annotations

from typing import Protocol

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
