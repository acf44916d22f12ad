"""Measure speed: steps/s of the bare environment, of a learner's update alone, and of both together.

The three are taken in turn, several times over, in one process on one core, so that their ratios hold while the machine's
speed drifts. With `workers` above 1 as many processes, each on a core of its own, train side by side between barriers.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from experiments import registry
from experiments.arithmetic import Arithmetic, choose
from experiments.environments import Environment
from experiments.errors import UserError
from experiments.expand import measured_run
from experiments.families import family_of
from experiments.heap import keep_freed_memory
from experiments.measurements import Throughput
from experiments.provenance import available_cores
from experiments.spec import Run
from experiments.training.context import Context, Unwatched

if TYPE_CHECKING:
    from algorithms.lanes import Lanes

# What is measured, as the table names it; the update of a batch learner cannot be told from its loop.
BARE, UPDATE, TOGETHER = "environment alone", "update alone", "learner and environment"

# Steps of a learner that are not counted: compiling, caches, and statistics of the first episodes.
WARM_UP_STEPS = 300


def train(runs: Sequence[Run], context: Context) -> None:
    """Measure and publish one after the other."""
    for run in runs:
        measure(run, context)


def measure(run: Run, context: Context) -> None:
    """Measure and publish a table with columns repeat, quantity, steps_per_second (summed over workers)."""
    settings = Throughput(**dict(run.hyperparameters))  # type: ignore[arg-type]
    torch.set_num_threads(1)
    arithmetic = (context.arithmetic or choose()) if _in_lanes(run) else None
    if settings.workers > 1 and family_of(run.env_id).labelled:
        raise UserError("the speed of learners of labelled samples is measured with one worker; leave workers at 1.")
    if settings.workers > 1:
        rows = _measure_side_by_side(run, settings, arithmetic)
    else:
        with pinned():
            rows = _measure_alone(run, settings, arithmetic)
    repeat, quantity, rate = zip(*rows, strict=True)
    table = {"repeat": np.array(repeat), "quantity": np.array(quantity), "steps_per_second": np.array(rate)}
    result = {"status": "finished", "steps": run.steps, "diverged_at": None}
    context.publish(run, {"throughput": table}, result, {"threads": 1})


@contextmanager
def pinned() -> Iterator[None]:
    """Keep this process on one core, where the system lets it."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if cores:
        os.sched_setaffinity(0, {max(cores)})
    try:
        yield
    finally:
        if cores:
            os.sched_setaffinity(0, cores)


Rows = list[tuple[int, str, float]]


def _measure_alone(run: Run, settings: Throughput, arithmetic: Arithmetic | None) -> Rows:
    if family_of(run.env_id).labelled:
        return _measure_labelled(_learner_run(run), run.steps, settings, arithmetic)
    environment = Environment(run.env_id, seed=1_000_000, **dict(run.environment))  # type: ignore[arg-type]
    quantities: dict[str, Callable[[int], int]] = {BARE: lambda n: _step_randomly(environment, n)}
    if arithmetic:
        step_together, lanes = _streaming_learner(run, settings, arithmetic)
        quantities[UPDATE] = lambda n: _update_only(lanes, n)
    else:
        step_together = _batch_learner(run, settings)
    quantities[TOGETHER] = step_together
    step_together(WARM_UP_STEPS)
    return [(repeat, name, _rate(take, settings.seconds)) for repeat in range(run.steps) for name, take in quantities.items()]


def _measure_labelled(run: Run, repeats: int, settings: Throughput, arithmetic: Arithmetic | None) -> Rows:
    from experiments.training import labelled_speed

    quantities = {BARE: labelled_speed.stream_alone(run)}
    if settings.implementation == "library":
        quantities[TOGETHER] = labelled_speed.loop(run)
    else:
        together, update = labelled_speed.in_lanes(run, settings, arithmetic.lane_compiler() if arithmetic else False)
        quantities |= {TOGETHER: together, UPDATE: update}
    quantities[TOGETHER](WARM_UP_STEPS)
    return [(repeat, name, _rate(take, settings.seconds)) for repeat in range(repeats) for name, take in quantities.items()]


def _rate(take: Callable[[int], int], seconds: float) -> float:
    """Return steps/s; `take(n)` goes on for n more ticks of its loop and returns how many environment steps that were."""
    ticks, done, began = 16, 0, time.perf_counter()
    while (elapsed := time.perf_counter() - began) < seconds:
        done += take(ticks)
        ticks = min(2 * ticks, 1024)
    return done / elapsed


def _step_randomly(environment: Environment, ticks: int) -> int:
    actions = environment.action_space
    if environment.episode < 0:
        environment.reset()
    chosen = [actions.sample() for _ in range(16)]
    for tick in range(ticks):
        environment.step(chosen[tick % 16])
        if environment.needs_reset:
            environment.reset()
    return ticks


def _update_only(lanes: Lanes, ticks: int) -> int:
    for _ in range(ticks):
        lanes.step()
    return ticks * lanes.count


def _learner_run(run: Run) -> Run:
    return cast(Run, measured_run(run))


def _in_lanes(run: Run) -> bool:
    return registry.loop_of(_learner_run(run)).lanes


def _streaming_learner(run: Run, settings: Throughput, arithmetic: Arithmetic) -> tuple[Callable[[int], int], Lanes]:
    from experiments.training.reinforcement import Agents

    seeds = range(run.seed * settings.lanes, (run.seed + 1) * settings.lanes)
    agents = Agents.begin([replace(_learner_run(run), seed=seed) for seed in seeds], arithmetic.lane_compiler())
    unwatched, step = Unwatched(), 0

    def take(ticks: int) -> int:
        nonlocal step
        agents.advance(step, step + ticks, unwatched, lambda _: None)
        step += ticks
        return ticks * len(agents.streams)

    return take, agents.lanes


def _batch_learner(run: Run, settings: Throughput) -> Callable[[int], int]:
    from experiments.training import batch

    learner_run = _learner_run(run)
    take_steps = _library(learner_run) if settings.implementation == "library" else batch.stepper(learner_run)
    take_steps(int(dict(learner_run.hyperparameters).get("learning_starts", 0)))  # type: ignore[arg-type]  # before that there are no updates to measure

    def take(ticks: int) -> int:
        take_steps(ticks)
        return ticks

    return take


def _library(run: Run) -> Callable[[int], None]:
    from baselines import library

    environment = Environment(run.env_id, run.seed, **registry.environment_options(run))
    return library.stepper(registry.make_learner(run), environment, run.seed)


def _measure_side_by_side(run: Run, settings: Throughput, arithmetic: Arithmetic | None) -> Rows:
    if settings.workers > available_cores():
        raise RuntimeError(f"{settings.workers} workers want as many cores; this machine lends {available_cores()}")
    spawn = multiprocessing.get_context("spawn")
    barrier = spawn.Barrier(settings.workers)
    rates = spawn.Queue()
    processes = [
        spawn.Process(target=_one_of_many, args=(run, settings, arithmetic, number, barrier, rates))
        for number in range(settings.workers)
    ]
    for process in processes:
        process.start()
    found: dict[int, float] = dict.fromkeys(range(run.steps), 0.0)
    for _ in range(settings.workers * run.steps):
        repeat, rate = rates.get(timeout=600)
        found[repeat] += rate
    for process in processes:
        process.join()
    return [(repeat, TOGETHER, rate) for repeat, rate in found.items()]


def _one_of_many(run: Run, settings: Throughput, arithmetic: Arithmetic | None, number: int, barrier: Any, rates: Any) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[number]})
    if arithmetic:
        take, _ = _streaming_learner(run, settings, arithmetic)
    else:
        take = _batch_learner(run, settings)
    take(WARM_UP_STEPS)
    for repeat in range(run.steps):
        barrier.wait(timeout=600)
        rates.put((repeat, _rate(take, settings.seconds)))
