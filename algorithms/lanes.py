"""Lanes: many independent streams of one agent in one process, in lockstep.

States are stacked on a leading axis, `torch.func.vmap` runs the agent's pure step over it, the whole step is traced once
into a graph, and the graph is compiled into one kernel that writes the new state over the old. Each lane remains a learner
of its own with batch size 1: lanes share nothing but the clock, and lane i holds the same bits as the same run alone.

Where there is no C++ compiler, or for runs too short to repay compiling, the traced graph itself is executed ("eager").
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

from algorithms.agent import Agent, Spaces, State, Transition, Varying, leaves, map_state
from algorithms.kernels import Compiler

# Lanes are padded, so that a lane's bits do not depend on how many there are. A single lane is compiled into another form
# than several; and eager kernels treat the elements after the last full pair of SIMD vectors (32 floats) differently.
COMPILED_MINIMUM = 2
EAGER_MULTIPLE = 32


class Lanes:
    """Independent learners side by side.

    The arrays below are the engine's own memory, first axis = lane. A training loop writes what the environments gave into
    `reward`, `next_obs`, `terminated`, `truncated`, `restarted`, `acting_obs` and `noise`, calls `step`, and reads `action`
    and `info`.

    Attributes:
        obs: observation that `action` was chosen from, float64 (uint8 for pixels) [lanes, *obs_shape].
        action: action to take now, float32 [lanes, action_size] (int64 [lanes] if discrete).
        info: diagnostics of the last update by name, such as td_error [lanes].
        steps: the clock that all lanes share: how many transitions each has learnt from.
    """

    def __init__(self, agent: Agent, spaces: Spaces, states: Sequence[State], compiled: Compiler | bool, steps: int = 0):
        """Stack the states, which are those after so many steps.

        `agent` gives the code, and lanes may differ in everything that is in their state. `compiled` may say how to compile;
        True is for the best of this processor, in this process alone.
        """
        self.lanes = len(states)
        self.steps = steps
        count = max(self.lanes, COMPILED_MINIMUM) if compiled else -(-self.lanes // EAGER_MULTIPLE) * EAGER_MULTIPLE
        padded = [*states, *[states[-1]] * (count - self.lanes)]
        self._agent = agent
        self._form: Callable[[int], Hashable] = agent.form if isinstance(agent, Varying) else lambda steps: None
        self._compiler = Compiler() if compiled is True else compiled or None
        self._state: State = map_state(lambda *x: torch.stack(x).contiguous(), *padded)
        noise = agent.noise(spaces)
        action_shape = (count,) if spaces.discrete else (count, spaces.action_size)
        obs_dtype = getattr(torch, spaces.obs_dtype)
        self._transition = Transition(
            obs=torch.zeros(count, *spaces.obs_shape, dtype=obs_dtype),
            action=torch.zeros(action_shape, dtype=torch.int64 if spaces.discrete else torch.float32),
            reward=torch.zeros(count, dtype=torch.float64),
            next_obs=torch.zeros(count, *spaces.obs_shape, dtype=obs_dtype),
            terminated=torch.zeros(count, dtype=torch.bool),
            truncated=torch.zeros(count, dtype=torch.bool),
            restarted=torch.zeros(count, dtype=torch.bool),
            acting_obs=torch.zeros(count, *spaces.obs_shape, dtype=obs_dtype),
        )
        self._noise = torch.zeros(count, *noise.shape)
        views = {name: tensor.numpy()[: self.lanes] for name, tensor in self._transition._asdict().items()}
        self.obs, self.action = views["obs"], views["action"]
        self.reward, self.next_obs, self.acting_obs = views["reward"], views["next_obs"], views["acting_obs"]
        self.terminated, self.truncated, self.restarted = views["terminated"], views["truncated"], views["restarted"]
        self.noise: np.ndarray = self._noise.numpy()[: self.lanes]
        self.info: dict[str, np.ndarray] = {}
        self._info_names: list[str] = []
        self._inputs = [*leaves(self._state), *self._transition, self._noise]
        self._kernels: dict[Hashable, Callable[..., Any]] = {}

    def start(self) -> None:
        """Let every lane see its first observation, `acting_obs`, and choose its first action."""
        for lane in range(self.lanes):  # one by one: it happens once, and so the bits are those of a run alone
            with torch.no_grad():
                state, action = self._agent.start(self.state(lane), self._transition.acting_obs[lane], self._noise[lane])
            map_state(lambda all_lanes, own, lane=lane: all_lanes[lane].copy_(own), self._state, state)
            self._transition.action[lane] = action
        self._transition.obs.copy_(self._transition.acting_obs)

    def step(self) -> None:
        """Make one learning update in every lane from the transition in the arrays, and choose the next actions."""
        form = self._form(self.steps)
        if form not in self._kernels:
            self._kernels[form] = self._build(form)
        # What decays without ever reaching zero, such as Adam's momentum behind a unit that is off, ends in numbers so small
        # that the processor takes many times longer over each: they are zero here.
        torch.set_flush_denormal(True)
        try:
            with torch.no_grad():
                outputs = self._kernels[form](*self._inputs)
        finally:
            torch.set_flush_denormal(False)
        self.steps += 1
        self.info = {name: x.numpy()[: self.lanes] for name, x in zip(self._info_names, outputs, strict=True)}

    def state(self, lane: int) -> State:
        """Return a copy of one lane's state, as `agent.init` made it."""
        return map_state(lambda x: x[lane].clone(), self._state)

    def _build(self, form: Hashable) -> Callable[..., Any]:
        names: list[str] = []
        agent: Any = self._agent
        agent_step = agent.step if form is None else partial(agent.step, form=form)

        def step(*inputs: Tensor) -> list[Tensor]:
            values = iter(inputs)
            state = map_state(lambda _: next(values), self._state)
            transition = Transition(*(next(values) for _ in Transition._fields))
            new_state, action, info = vmap(agent_step)(state, transition, next(values))
            names[:] = list(info)
            # What the agent hands on of its old state is read before anything is written over it.
            own_memory = {x.untyped_storage().data_ptr() for x in inputs}

            def apart(x: Tensor) -> Tensor:
                return x.clone() if x.untyped_storage().data_ptr() in own_memory else x

            shown = [apart(x) for x in info.values()]
            action = apart(action)
            new_leaves = leaves(map_state(lambda _, new: new, state, new_state))
            changes = [(old, apart(new)) for old, new in zip(leaves(state), new_leaves, strict=True) if old is not new]
            for old, new in changes:
                old.copy_(new)
            transition.action.copy_(action)
            transition.obs.copy_(transition.acting_obs)
            return shown

        with torch.no_grad():
            # Traced on copies: tracing executes the step, which must not count as one.
            graph = make_fx(step)(*(x.clone() for x in self._inputs))
            self._info_names = names
            return self._compiler.compile(graph, self._inputs) if self._compiler else graph
