"""Measure what learning costs: the time of one action and of one learning update, and the memory of a learner.

Times are wall times on one thread, pinned to one core, on a real environment whose own time is taken out. Each number is a
median over a stretch of `seconds`; a run's `steps` says how many such stretches there are, actions and updates in turn.

- `action`: what has to happen before the robot can move. A streaming learner (one lane) sees an observation, normalisation
  and stack of frames included, and chooses an action: its `start`, executed by itself and without what it prepares for
  learning. A batch learner takes a step with its learning left out: it chooses the action and stores the sample. Exploration
  that acts without looking is turned off.
- `update`: for how long learning holds up the loop where it is time to learn. The whole step less an action: one transition
  for a streaming learner, one mini-batch for an off-policy one, all epochs over a rollout for PPO. Where the actor has its
  turn at every second update only (SAC, TD3), the longer of two consecutive updates.
- `learning per step`: the same spread over the steps: PPO's rollout learning over the steps of the rollout, DQN's update over
  the steps between two, both kinds of SAC's updates.

A learner of labelled samples has an update only: the forward pass, the backward pass and the rule, in compiled lanes.

A streaming learner is executed `compiled`, by the kernel that it is trained with (which pads one lane to two), or `eager`, the
same graph operation by operation.

Beside the times stands `core_share`, the share of its core's time that the process got: much less than 1 means that the
machine had other work and that the times say more about it than about the learner.

Memory: `experiments.training.memory`. Recurrent cells of many sizes: `experiments.training.cells`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import median
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from algorithms.agent import Agent, Info, NoiseSpec, Spaces, State, Transition
from algorithms.kernels import Compiler
from algorithms.lanes import Lanes
from experiments import registry
from experiments.errors import UserError
from experiments.expand import measured_run
from experiments.measurements import ArithmeticSpeed, LearningStep, PeakMemory, UpdateTime
from experiments.spec import Run
from experiments.training import batch, cells, memory
from experiments.training.context import Context, Unwatched
from experiments.training.eager import EagerLane
from experiments.training.reinforcement import Agents
from experiments.training.throughput import pinned

ACTION, UPDATE, PER_STEP = "action", "update", "learning per step"
MATRIX, VECTOR = "matrix product", "matrix-vector product"

# Not counted: caches, memory that optimizers ask for at their first step, and compiling.
WARM_UP_STEPS = 100
# Products of float32: a mini-batch through a layer of a batch learner, and one sample through one of a streaming learner.
MATRIX_SIZE, VECTOR_SIZE = 256, 128

Rows = list[tuple[Any, ...]]


def train(runs: Sequence[Run], context: Context) -> None:
    """Measure and publish one after the other."""
    for run in runs:
        measure(run, context)


def measure(run: Run, context: Context) -> None:
    """Measure and publish a table: of times, of memory (`memory.COLUMNS`), of cells (`cells.COLUMNS`) or of arithmetic."""
    settings = registry.make_learner(run)
    torch.set_num_threads(1)
    names: tuple[str, ...]
    with pinned():
        if isinstance(settings, PeakMemory):
            names, rows = memory.COLUMNS, memory.rows(cast(Run, measured_run(run)), settings, run.steps)
        elif isinstance(settings, LearningStep):
            names = cells.COLUMNS
            rows = cells.rows(settings, run.steps, context.lane_compiler(), _core_share)
        elif isinstance(settings, ArithmeticSpeed):
            names, rows = ("repeat", "quantity", "gflops", "core_share"), list(_arithmetic(settings, run.steps))
        else:
            names = ("repeat", "quantity", "milliseconds", "core_share")
            rows = _times(cast(Run, measured_run(run)), settings, run.steps, context)
    table = {name: np.array(column) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    result = {"status": "finished", "steps": run.steps, "diverged_at": None}
    context.publish(run, {run.algorithm: table}, result, {"threads": 1})


def _times(run: Run, settings: UpdateTime, repeats: int, context: Context) -> Rows:
    if registry.loop_of(run) is registry.SUPERVISED:
        return _labelled_times(run, settings, repeats, context)
    learner: _StreamingLearner | _BatchLearner
    if registry.loop_of(run).lanes:
        learner = _StreamingLearner(run, settings, settings.engine == "compiled" and context.lane_compiler())
    else:
        learner = _BatchLearner(run, settings)
    rows: Rows = []
    for repeat in range(repeats):
        share = _core_share()
        action = learner.action()
        update, per_step = learner.learning(action)
        busy, found = share(), {ACTION: action, UPDATE: update, PER_STEP: per_step}
        rows += [(repeat, quantity, 1e3 * seconds, busy) for quantity, seconds in found.items()]
    return rows


def _labelled_times(run: Run, settings: UpdateTime, repeats: int, context: Context) -> Rows:
    """Return times of an update from a sample of the stream. Two lanes are compiled for one, whose time is half of theirs."""
    from experiments.training.supervised import LabelledLearners

    compiler = context.lane_compiler() if settings.engine == "compiled" else False
    if settings.engine == "eager" or not compiler:
        raise UserError(f"{run.algorithm} is measured in compiled lanes alone: that takes a C++ compiler, and engine=compiled.")
    learners = LabelledLearners.begin([run, replace(run, seed=run.seed + 1)], compiler)
    learners.advance(0, WARM_UP_STEPS, Unwatched(), lambda _: None)
    seconds = _clocked(learners.lanes)

    def take(ticks: int) -> list[float]:
        seconds.clear()
        for _ in range(ticks):
            learners.lanes.step()
        return list(seconds)

    rows: Rows = []
    for repeat in range(repeats):
        share = _core_share()
        found = median(_enough(take, settings.seconds)) / 2
        rows.append((repeat, UPDATE, 1e3 * found, share()))
    return rows


class _StreamingLearner:
    """One lane, its environment, and the same learner when it only acts."""

    def __init__(self, run: Run, settings: UpdateTime, compiler: Compiler | bool):
        if settings.engine == "compiled" and not compiler:
            raise UserError(
                f"a C++ compiler or the headers of Python are missing, so {run.algorithm} has no compiled form to measure; "
                "install them (on Debian, g++ and python3-dev) or measure with --set engine=eager."
            )
        self._seconds, self._ticks = settings.seconds, 0
        agent = registry.make_learner(run)
        self._window = getattr(agent, "policy_frequency", 1)
        self._agents = Agents.begin([run], compiler or True)
        lanes = self._agents.lanes
        spaces, state = self._agents.streams[0].environment.spaces, lanes.state(0)
        acting = _Acting(replace(agent, learning_starts=0) if hasattr(agent, "learning_starts") else agent)
        if settings.engine == "compiled":
            self._acting = Lanes(acting, spaces, [state], compiler)
        else:
            self._agents.lanes, self._acting = EagerLane(agent, spaces, state), EagerLane(acting, spaces, state)
            self._agents.lanes.obs[:], self._agents.lanes.action[:] = lanes.obs, lanes.action
        self._whole = self._agents.lanes
        self._steps = _clocked(self._whole)
        self._advance(WARM_UP_STEPS)
        self._act(WARM_UP_STEPS)

    def action(self) -> float:
        """Return the time of an action in seconds."""
        return median(_enough(self._act, self._seconds))

    def learning(self, action: float) -> tuple[float, float]:
        """Return the time of an update and of learning per step, in seconds."""
        whole = _windows(_enough(self._advance, self._seconds, 2 * self._window), self._window)
        return float(np.median(whole.max(1))) - action, float(np.median(whole.mean(1))) - action

    def _advance(self, ticks: int) -> list[float]:
        self._steps.clear()
        self._agents.advance(self._ticks, self._ticks + ticks, Unwatched(), lambda _: None)
        self._ticks += ticks
        if self._agents.streams[0].diverged_at is not None:
            raise RuntimeError("the learner diverged while it was measured")
        return list(self._steps)

    def _act(self, ticks: int) -> list[float]:
        self._acting.acting_obs[:], self._acting.noise[:] = self._whole.acting_obs, self._whole.noise
        found = []
        for _ in range(ticks):
            began = time.perf_counter()
            self._acting.step()
            found.append(time.perf_counter() - began)
        return found


class _Acting:
    """An agent that sees and acts as another one does, and learns nothing."""

    def __init__(self, agent: Agent):
        self._agent = agent

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Draw what the other one draws."""
        return self._agent.noise(spaces)

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Begin as the other one."""
        return self._agent.init(generator, spaces)

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """Act."""
        return self._agent.start(state, obs, noise)

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Act from the observation alone; what the other one gets ready for learning is not kept, and so not computed."""
        _, action = self._agent.start(state, transition.acting_obs, noise)
        return state, action, {}


class _BatchLearner:
    """A model on stable-baselines3 that has begun to learn, and its environment, whose time is known."""

    def __init__(self, run: Run, settings: UpdateTime):
        self._seconds = settings.seconds
        stream = batch.Stream(run)
        self._model: Any = stream.model
        self._window = getattr(registry.make_learner(run), "policy_frequency", 1)
        self._elsewhere = _clocked(stream.environment, "step", "reset")
        while self._model.num_timesteps <= getattr(self._model, "learning_starts", 0):
            self._step()
        self._learn(1)

    def action(self) -> float:
        """Return the time of a step without learning, in seconds."""
        self._model.train = lambda *_, **__: None
        try:
            return median(_enough(lambda steps: [self._step() for _ in range(steps)], self._seconds))
        finally:
            del self._model.train

    def learning(self, action: float) -> tuple[float, float]:
        """Return the time of an update and of learning per step, in seconds."""
        at, updates = self._learn(self._seconds)
        found = _windows([whole - action for whole in updates], self._window)
        return float(np.median(found.max(1))), float(np.median(found.mean(1))) * (len(at) - 1) / (at[-1] - at[0])

    def _learn(self, seconds: float) -> tuple[list[int], list[float]]:
        """Go on for some time and at least two updates; return at which steps it learnt, and the times of these steps."""
        at: list[int] = []
        times: list[float] = []
        until = time.perf_counter() + seconds
        while time.perf_counter() < until or len(at) < 2 * self._window or len(at) < 2:
            before = self._model._n_updates
            spent = self._step()
            if self._model._n_updates > before:
                at.append(self._model.num_timesteps)
                times.append(spent)
        return at, times

    def _step(self) -> float:
        self._elsewhere.clear()
        began = time.perf_counter()
        self._model.step()
        return time.perf_counter() - began - sum(self._elsewhere)


def _core_share() -> Callable[[], float]:
    """Return a function that says which share of its core's time this process has got since now."""
    began, spent = time.perf_counter(), time.process_time()
    return lambda: (time.process_time() - spent) / (time.perf_counter() - began)


def _clocked(owner: Any, *names: str) -> list[float]:
    """Let an object's methods, `step` if none is named, note the seconds that each call takes in the list returned."""
    seconds: list[float] = []

    def clocked(inner: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return inner(*arguments, **named)
            finally:
                seconds.append(time.perf_counter() - began)

        return call

    for name in names or ("step",):
        setattr(owner, name, clocked(getattr(owner, name)))
    return seconds


def _enough(take: Callable[[int], list[float]], seconds: float, least: int = 1) -> list[float]:
    """Return the times of single calls, as many as fit some time and no fewer than `least`."""
    found: list[float] = []
    until, ticks = time.perf_counter() + seconds, max(16, least)
    while not found or time.perf_counter() < until:
        found += take(ticks)
        ticks = min(2 * ticks, 1024)
    return found


def _windows(times: list[float], size: int) -> np.ndarray:
    """Return consecutive times in rows of a size, [windows, size]; what does not fill a row is left out."""
    return np.array(times[: len(times) // size * size]).reshape(-1, size)


def _arithmetic(settings: ArithmeticSpeed, repeats: int) -> Iterator[tuple[int, str, float, float]]:
    generator = torch.Generator().manual_seed(0)
    square, other = torch.rand(2, MATRIX_SIZE, MATRIX_SIZE, generator=generator)
    weights, vector = torch.rand(VECTOR_SIZE, VECTOR_SIZE, generator=generator), torch.rand(VECTOR_SIZE, generator=generator)
    products, product = torch.empty_like(square), torch.empty_like(vector)
    kinds: dict[str, tuple[int, Callable[[], Any]]] = {
        MATRIX: (2 * MATRIX_SIZE**3, lambda: torch.mm(square, other, out=products)),
        VECTOR: (2 * VECTOR_SIZE**2, lambda: torch.mv(weights, vector, out=product)),
    }
    for repeat in range(repeats):
        for quantity, (operations, multiply) in kinds.items():
            share = _core_share()
            yield repeat, quantity, operations / _pace(multiply, settings.seconds) / 1e9, share()


def _pace(call: Callable[[], Any], seconds: float) -> float:
    """Return the median time of a call in seconds, taken over bundles: a single one is shorter than the clock is exact."""
    bundle = 64
    found: list[float] = []
    until = time.perf_counter() + seconds
    while not found or time.perf_counter() < until:
        began = time.perf_counter()
        for _ in range(bundle):
            call()
        found.append((time.perf_counter() - began) / bundle)
    return median(found)
