"""Memory that a compiled kernel keeps from one call to the next.

Inductor's kernels allocate their buffers anew in every call and free them at its end. A step of a learner has dozens
of them and more; where it was measured (results/kernels), updates took 1.09 to 1.44 times as long that way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

Kernel = Callable[..., Sequence[Tensor]]


class Buffers:
    """What one kernel asks for: the same shapes in the same order in every call, since all shapes in it are fixed.

    Buffers that a call returns are not kept, so that what one call has returned stays as it is in the next.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._kept: list[Tensor | None] = []
        self._complete = False
        self._asked = 0

    @contextmanager
    def given(self) -> Iterator[None]:
        """Let a kernel that is compiled or loaded meanwhile ask here for its buffers."""
        guards: Any = torch._C._dynamo.guards
        self._allocate = guards._empty_strided_cpu
        with patch.object(guards, "_empty_strided_cpu", self._give):
            yield

    def around(self, kernel: Kernel) -> Kernel:
        """Return a kernel that was made with `given`, as one that keeps its buffers."""

        def call(*inputs: Tensor) -> Sequence[Tensor]:
            if not self._complete:
                self._kept.clear()  # of a first call that was interrupted
            self._asked = 0
            outputs = kernel(*inputs)
            if not self._complete:
                returned = {x.untyped_storage().data_ptr() for x in outputs}
                self._kept = [None if x is None or x.untyped_storage().data_ptr() in returned else x for x in self._kept]
                self._complete = True
            return outputs

        return call

    def _give(self, *form: Any) -> Tensor:
        """Return the next buffer, of a size, strides and a type."""
        number, self._asked = self._asked, self._asked + 1
        if self._complete and (kept := self._kept[number]) is not None:
            return kept
        buffer: Tensor = self._allocate(*form)
        if not self._complete:
            self._kept.append(buffer)
        return buffer
