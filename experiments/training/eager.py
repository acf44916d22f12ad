"""One streaming learner executed by calling its pure functions, as a measure of what lanes and compiling save."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

from algorithms.agent import Agent, Info, Spaces, State, Transition, Varying
from algorithms.lanes import Lanes


class EagerLane(Lanes):
    """One learner whose pure functions are called as they stand: no stacking, no tracing, no compiler.

    Attributes:
        alone: its state.
        transition: the moment in the arrays, unbatched.
        drawn: the noise in the arrays, unbatched.
    """

    def __init__(self, agent: Agent, spaces: Spaces, state: State):
        super().__init__(agent, spaces, [state], compiled=True)  # for the arrays; nothing is compiled before it is stepped
        self.alone = state
        self.drawn = self._noise[0]

    @property
    def transition(self) -> Transition:
        return Transition(*(tensor[0] for tensor in self._transition))

    def step(self) -> None:
        """Learn from the transition in the arrays and choose the next action."""
        transition = self.transition
        with torch.no_grad():
            self.alone, action, info = call_step(self._agent, self.alone, transition, self.drawn, self.steps)
        self._transition.action[0] = action
        self._transition.obs[0] = transition.acting_obs
        self.steps += 1
        self.info = {name: value.numpy()[None] for name, value in info.items()}


def call_step(agent: Any, state: State, transition: Transition, noise: Tensor, steps: int) -> tuple[State, Tensor, Info]:
    """Call an agent's step after so many others, in the form that is due."""
    form = {"form": agent.form(steps)} if isinstance(agent, Varying) else {}
    return cast(tuple[State, Tensor, Info], agent.step(state, transition, noise, **form))
