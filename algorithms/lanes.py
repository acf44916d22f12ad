"""Lanes: many independent streams of one learner in one process, in lockstep.

States are stacked on a leading axis, `torch.func.vmap` runs the learner's pure step over it, the whole step is traced once
into a graph, and the graph is compiled into one kernel that writes the new state over the old. Each lane remains a learner
of its own with batch size 1: lanes share nothing but the clock, and lane i holds the same bits as the same run alone.

`Engine` does this for a step over any inputs. `Lanes` is its form for agents, which act and are told what came of it;
`LabelledLanes` is its form for learners of labelled samples.

Where there is no C++ compiler, or for runs too short to repay compiling, the traced graph itself is executed ("eager").
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx
from torch.multiprocessing.reductions import StorageWeakRef

from algorithms.agent import (
    Agent,
    Info,
    LabelledLearner,
    LabelledSpaces,
    Sample,
    Spaces,
    State,
    Transition,
    Varying,
    leaves,
    map_state,
)
from algorithms.kernels import Compiler

# Lanes are padded, so that a lane's bits do not depend on how many there are. A single lane is compiled into another form
# than several; and eager kernels treat the elements after the last full pair of SIMD vectors (32 floats) differently.
COMPILED_MINIMUM = 2
EAGER_MULTIPLE = 32


class Engine:
    """Independent learners side by side, over inputs of any kind.

    Attributes:
        count: the number of lanes.
        info: what the learners told of their last update, by name [lanes, ...].
        steps: the clock that all lanes share: how many updates each has made.
    """

    must_be_finite: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, learner: Any, inputs: tuple[Tensor, ...], states: Sequence[State], compiled: Compiler | bool, steps: int = 0
    ):
        """Stack the states, which are those after so many steps.

        Args:
            learner: gives the code of the step; lanes may differ in everything that is in their state.
            inputs: one lane's inputs, a NamedTuple of tensors of the right shape and type.
            states: one for each lane, as `learner.init` makes them.
            compiled: compile the step, or execute its traced graph. A `Compiler` says how; True is for the best of this
                processor, in this process alone.
            steps: the updates that the states have behind them.
        """
        self.count = len(states)
        self.steps = steps
        count = max(self.count, COMPILED_MINIMUM) if compiled else -(-self.count // EAGER_MULTIPLE) * EAGER_MULTIPLE
        padded = [*states, *[states[-1]] * (count - self.count)]
        self._learner = learner
        self._form: Callable[[int], Hashable] = learner.form if isinstance(learner, Varying) else lambda steps: None
        self._compiler = Compiler() if compiled is True else compiled or None
        self._state: State = map_state(lambda *x: torch.stack(x).contiguous(), *padded)
        self._ports: Any = type(inputs)(*(torch.zeros(count, *x.shape, dtype=x.dtype) for x in inputs))
        self.info: dict[str, np.ndarray] = {}
        self._info_names: list[str] = []
        self._inputs = [*leaves(self._state), *self._ports]
        self._kernels: dict[Hashable, Callable[..., Any]] = {}

    def view(self, port: str) -> np.ndarray:
        """Return the engine's own memory of one input, [lanes, ...], to write into and to read from."""
        array: np.ndarray = getattr(self._ports, port).numpy()[: self.count]
        return array

    def step(self) -> None:
        """Make one learning update in every lane from what stands in the inputs."""
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
        self.info = {name: x.numpy()[: self.count] for name, x in zip(self._info_names, outputs, strict=True)}

    def sound(self) -> np.ndarray:
        """Return in which lanes all is finite that must be, bool [lanes]: the learner says what, or else this class does."""
        return self._finite(*(self.info[name] for name in getattr(self._learner, "must_be_finite", self.must_be_finite)))

    def state(self, lane: int) -> State:
        """Return a copy of one lane's state, as `init` made it."""
        return map_state(lambda x: x[lane].clone(), self._state)

    def _finite(self, *arrays: np.ndarray) -> np.ndarray:
        finite = np.ones(self.count, bool)
        for array in arrays:
            if not np.isfinite(array).all():  # hardly ever, and cheaper to ask of all lanes at once
                finite &= np.isfinite(array).reshape(self.count, -1).all(axis=1)
        return finite

    def _update(self, state: State, inputs: Any, **form: Hashable) -> tuple[State, tuple[Tensor, ...], Info]:
        """Make one update of one lane; return its new state, what else comes of it, and its info."""
        raise NotImplementedError

    def _hand_over(self, inputs: Any, outputs: tuple[Tensor, ...]) -> None:
        """Write what came of an update into the inputs of the next one, all lanes at once."""

    def _build(self, form: Hashable) -> Callable[..., Any]:
        names: list[str] = []
        update = self._update if form is None else partial(self._update, form=form)

        def step(*inputs: Tensor) -> list[Tensor]:
            values = iter(inputs)
            state = map_state(lambda _: next(values), self._state)
            ports = type(self._ports)(*values)
            new_state, outputs, info = vmap(update)(state, ports)
            names[:] = list(info)
            # What the learner hands on of its old state is read before anything is written over it.
            own_memory = {StorageWeakRef(x.untyped_storage()) for x in inputs}

            def apart(x: Tensor) -> Tensor:
                return x.clone() if StorageWeakRef(x.untyped_storage()) in own_memory else x

            shown = [apart(x) for x in info.values()]
            outputs = tuple(apart(x) for x in outputs)
            new_leaves = leaves(map_state(lambda _, new: new, state, new_state))
            changes = [(old, apart(new)) for old, new in zip(leaves(state), new_leaves, strict=True) if old is not new]
            for old, new in changes:
                old.copy_(new)
            self._hand_over(ports, outputs)
            return shown

        with torch.no_grad():
            # Traced on fake copies: with real ones the step is executed, and noting each operation takes twice as long.
            graph = make_fx(step, tracing_mode="fake", _allow_non_fake_inputs=True)(*self._inputs)
            self._info_names = names
            return self._compiler.compile(graph, self._inputs) if self._compiler else graph


class _Moment(NamedTuple):
    """The inputs of an agent's step: the fields of `Transition`, and noise."""

    obs: Tensor
    action: Tensor
    reward: Tensor
    next_obs: Tensor
    terminated: Tensor
    truncated: Tensor
    restarted: Tensor
    acting_obs: Tensor
    noise: Tensor


class Lanes(Engine):
    """Agents side by side.

    The arrays below are the engine's own memory, first axis = lane. A training loop writes what the environments gave into
    `reward`, `next_obs`, `terminated`, `truncated`, `restarted`, `acting_obs` and `noise`, calls `step`, and reads `action`
    and `info`.

    Attributes:
        obs: observation that `action` was chosen from, float64 (uint8 for pixels) [lanes, *obs_shape].
        action: action to take now, float32 [lanes, action_size] (int64 [lanes] if discrete).
    """

    must_be_finite = ("td_error",)

    def __init__(self, agent: Agent, spaces: Spaces, states: Sequence[State], compiled: Compiler | bool, steps: int = 0):
        """Stack the states, which are those after so many steps."""
        obs = torch.zeros(spaces.obs_shape, dtype=getattr(torch, spaces.obs_dtype))
        action = torch.zeros((), dtype=torch.int64) if spaces.discrete else torch.zeros(spaces.action_size)
        reward, flag = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.bool)
        noise = torch.zeros(agent.noise(spaces).shape)
        super().__init__(agent, _Moment(obs, action, reward, obs, flag, flag, flag, obs, noise), states, compiled, steps)
        self.obs, self.action, self.reward = self.view("obs"), self.view("action"), self.view("reward")
        self.next_obs, self.acting_obs, self.noise = self.view("next_obs"), self.view("acting_obs"), self.view("noise")
        self.terminated, self.truncated = self.view("terminated"), self.view("truncated")
        self.restarted = self.view("restarted")

    def start(self) -> None:
        """Let every lane see its first observation, `acting_obs`, and choose its first action."""
        for lane in range(self.count):  # one by one: it happens once, and so the bits are those of a run alone
            with torch.no_grad():
                state, action = self._learner.start(self.state(lane), self._ports.acting_obs[lane], self._ports.noise[lane])
            map_state(lambda all_lanes, own, lane=lane: all_lanes[lane].copy_(own), self._state, state)
            self._ports.action[lane] = action
        self._ports.obs.copy_(self._ports.acting_obs)

    def sound(self) -> np.ndarray:
        """Return in which lanes all is finite that must be, the action to take among it, bool [lanes]."""
        return super().sound() & self._finite(self.action)

    def _update(self, state: State, inputs: _Moment, **form: Hashable) -> tuple[State, tuple[Tensor, ...], Info]:
        state, action, info = self._learner.step(state, Transition(*inputs[:-1]), inputs.noise, **form)
        return state, (action,), info

    def _hand_over(self, inputs: _Moment, outputs: tuple[Tensor, ...]) -> None:
        inputs.action.copy_(outputs[0])
        inputs.obs.copy_(inputs.acting_obs)


class LabelledLanes(Engine):
    """Learners of labelled samples side by side.

    A training loop writes a sample of every lane's stream into `x`, `y` and `noise`, calls `step`, and reads `info`.
    """

    must_be_finite = ("loss",)

    def __init__(
        self,
        learner: LabelledLearner,
        spaces: LabelledSpaces,
        states: Sequence[State],
        compiled: Compiler | bool,
        steps: int = 0,
    ):
        """Stack the states, which are those after so many steps."""
        x = torch.zeros(spaces.x_shape)
        y = torch.zeros((), dtype=torch.int64) if spaces.classes else torch.zeros(spaces.y_size)
        super().__init__(learner, Sample(x, y, torch.zeros(learner.noise(spaces).shape)), states, compiled, steps)
        self.x, self.y, self.noise = self.view("x"), self.view("y"), self.view("noise")

    def _update(self, state: State, inputs: Sample, **form: Hashable) -> tuple[State, tuple[Tensor, ...], Info]:
        state, info = self._learner.step(state, inputs, **form)
        return state, (), info
