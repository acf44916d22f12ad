"""One streaming learner executed operation by operation, as a measure of what compiling saves."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch

from algorithms.agent import Agent, Spaces, State
from algorithms.lanes import Lanes


class EagerLane(Lanes):
    """One lane whose traced graph PyTorch executes as it stands: padded to two like the compiled one, and not compiled."""

    def __init__(self, agent: Agent, spaces: Spaces, state: State, steps: int = 0):
        super().__init__(agent, spaces, [state], compiled=True, steps=steps)  # for the padding
        self._compiler = None

    def _build(self, form: Hashable) -> Callable[..., Any]:
        graph = super()._build(form)
        assert isinstance(graph, torch.fx.GraphModule)
        graph.graph.eliminate_dead_code()  # what nothing reads is not computed, as in the compiled form
        graph.recompile()
        return graph
