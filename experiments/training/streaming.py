"""Train a group of streaming learners in lanes: one transition, one update, nothing stored.

All lanes take their n-th step together; each has its own environment, its own noise and its own rows. Every run of the
group publishes its own result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch

from algorithms.agent import Agent, layout
from algorithms.kernels import Compiler
from algorithms.lanes import Lanes
from experiments import checkpoint
from experiments.arithmetic import ARITHMETIC, requirements
from experiments.environment_options import kind_of
from experiments.environments import Environment, SimulationDivergedError, describe
from experiments.provenance import exact_versions
from experiments.registry import environment_options, make_learner
from experiments.spec import Run
from experiments.streams import BLOCK, NoiseStream, derive
from experiments.training.context import Context, Interrupted, Watcher
from experiments.training.episodes import EpisodeLog
from experiments.training.metrics import METRICS_EVERY, TD_ERROR, MetricsLog

# Runs of fewer steps are not worth compiling. The number of lanes has no say: a run's bits must not depend on it.
EAGER_BELOW_STEPS = 2_000
EAGER_BELOW_STEPS_WITH_IMAGES = 200


class Stream:
    """What one lane needs beside the learner: environment, noise, and the rows recorded so far."""

    def __init__(self, run: Run, agent: Agent):
        self.run = run
        self.environment = Environment(run.env_id, run.seed, **environment_options(run))
        self.noise = NoiseStream(run.seed, agent.noise(self.environment.spaces))
        self.episodes = EpisodeLog()
        self.metrics = MetricsLog(getattr(agent, "METRICS_EVERY", METRICS_EVERY))
        self.diverged_at: int | None = None


def train(runs: Sequence[Run], context: Context) -> None:
    """Train and publish runs that share structure and budget. Raise `Interrupted` when asked to stop."""
    torch.set_num_threads(1)
    compiled: Compiler | bool = bool(context.compiled)
    if compiled or (context.compiled is None and runs[0].steps >= _eager_below(runs[0])):
        compiled = context.lane_compiler() or compiled
    arithmetic = requirements(context.arithmetic if compiled else None)
    requires = {"engine": "compiled" if compiled else "eager", **exact_versions(), **arithmetic}
    for group, checkpoints in _groups_at_one_step(runs, context, requires):
        _train_group(group, checkpoints, compiled, requires, context)


def _eager_below(run: Run) -> int:
    return EAGER_BELOW_STEPS_WITH_IMAGES if kind_of(run.env_id) in ("minatar", "atari") else EAGER_BELOW_STEPS


Restored = list[checkpoint.Checkpoint | None]


def _groups_at_one_step(runs: Sequence[Run], context: Context, requires: dict[str, Any]) -> list[tuple[list[Run], Restored]]:
    # A kill while a group was writing its checkpoints leaves some lanes one checkpoint ahead; the older one is common.
    found = {run: checkpoint.available(context.store, run.run_id, requires) for run in runs}
    if any(found.values()):  # another version of the code may keep other things in the state of this learner
        fresh = layout(make_learner(runs[0]).init(torch.Generator(), describe(runs[0].env_id, **environment_options(runs[0]))))
        found = {run: [c for c in all_ if layout(c.payload["state"]) == fresh] for run, all_ in found.items()}
    common = reduce(set.intersection, ({c.step for c in checkpoints} for checkpoints in found.values()))
    if common:
        at = max(common)
        return [(list(runs), [next(c for c in found[run] if c.step == at) for run in runs])]
    groups: dict[int, tuple[list[Run], Restored]] = {}
    for run in runs:
        newest = next(iter(found[run]), None)
        group, restored = groups.setdefault(newest.step if newest else 0, ([], []))
        group.append(run)
        restored.append(newest)
    return list(groups.values())


def _train_group(
    runs: list[Run], restored: Restored, compiled: Compiler | bool, requires: dict[str, Any], context: Context
) -> None:
    begun_at = restored[0].step if restored[0] else 0
    resumed_at: list[int] = []
    restarted = [not begun_at and checkpoint.latest_step(context.store, run.run_id) > 0 for run in runs]
    if begun_at:
        payloads = [c.payload for c in restored if c is not None]
        streams, lanes = _restore(runs, payloads, compiled, begun_at)
        resumed_at = [*payloads[0]["resumed_at"], begun_at]
        restarted = [payload.get("restarted", False) for payload in payloads]
        for run, found in zip(runs, restored, strict=True):
            if found is not None:
                context.goes_on(run.run_id, found)
    else:
        streams, lanes = begin(runs, compiled)

    def save(step: int) -> None:
        for lane, stream in enumerate(streams):
            payload = {
                "state": lanes.state(lane),
                "environment": stream.environment.get_state(),
                "obs": lanes.obs[lane].copy(),
                "action": lanes.action[lane].copy(),
                "rows": stream.episodes.rows,
                "metrics": stream.metrics.get_state(),
                "diverged_at": stream.diverged_at,
                "resumed_at": resumed_at,
                "restarted": restarted[lane],
            }
            context.save(stream.run.run_id, step, requires, payload)

    began = time.monotonic()
    pace = advance(streams, lanes, begun_at, runs[0].steps, context, save)
    seconds = time.monotonic() - began
    for stream, again in zip(streams, restarted, strict=True):
        result = {
            "status": "finished" if stream.diverged_at is None else "diverged",
            "diverged_at": stream.diverged_at,
            "steps": stream.run.steps if stream.diverged_at is None else stream.diverged_at,
        }
        provenance = {
            **context.provenance_of(stream.run.run_id),
            **{key: requires[key] for key in ("engine", *ARITHMETIC) if key in requires},
            "lanes": len(streams),
            "threads": 1,
            "steps_per_second": pace,
            "train_seconds": seconds,
            "resumed_at": resumed_at,
            **({"resume": checkpoint.RESTARTED} if again else {}),
        }
        tables = {"episodes": stream.episodes.table(), "metrics": stream.metrics.table()}
        if stream.run.seed == 0 and tables["metrics"]:  # the stream is the same for all seeds, and one copy of it is enough
            tables["metrics"] |= stream.environment.readings(tables["metrics"]["step"])
        tables = {name: table for name, table in tables.items() if table}
        context.store.publish(stream.run, tables, result, provenance)
        checkpoint.discard(context.store, stream.run.run_id)
        stream.environment.close()


def begin(runs: Sequence[Run], compiled: Compiler | bool) -> tuple[list[Stream], Lanes]:
    """Make fresh streams and learners, up to their first actions."""
    agents: list[Agent] = [make_learner(run) for run in runs]
    streams = [Stream(run, agent) for run, agent in zip(runs, agents, strict=True)]
    spaces = streams[0].environment.spaces
    states = [
        agent.init(torch.Generator().manual_seed(derive(run.seed, "init")), spaces)
        for run, agent in zip(runs, agents, strict=True)
    ]
    lanes = Lanes(agents[0], spaces, states, compiled)
    for lane, stream in enumerate(streams):
        lanes.acting_obs[lane] = stream.environment.reset()[0]
        lanes.noise[lane] = stream.noise.block(0)[0]
    lanes.start()
    return streams, lanes


def _restore(
    runs: Sequence[Run], payloads: Sequence[dict[str, Any]], compiled: Compiler | bool, begun_at: int
) -> tuple[list[Stream], Lanes]:
    agents: list[Agent] = [make_learner(run) for run in runs]
    streams = [Stream(run, agent) for run, agent in zip(runs, agents, strict=True)]
    lanes = Lanes(agents[0], streams[0].environment.spaces, [p["state"] for p in payloads], compiled, begun_at)
    for lane, (stream, payload) in enumerate(zip(streams, payloads, strict=True)):
        stream.episodes.rows, stream.diverged_at = payload["rows"], payload["diverged_at"]
        stream.metrics.set_state(payload["metrics"])
        if stream.diverged_at is None:
            stream.environment.set_state(payload["environment"])
        lanes.obs[lane], lanes.action[lane] = payload["obs"], payload["action"]
    return streams, lanes


def advance(
    streams: list[Stream], lanes: Lanes, begun_at: int, end: int, watcher: Watcher, save: Callable[[int], None]
) -> float:
    """Take all lanes from step `begun_at` to step `end`; return steps/s over all lanes, compiling left out."""
    alive = [(lane, s, s.environment) for lane, s in enumerate(streams) if s.diverged_at is None]
    blocks = np.empty((BLOCK, *lanes.noise.shape), np.float32)
    block_number = -1
    warm_at, warm_step, step = time.monotonic(), begun_at, begun_at
    reward, next_obs, acting_obs = lanes.reward, lanes.next_obs, lanes.acting_obs
    terminated, truncated, restarted, action = lanes.terminated, lanes.truncated, lanes.restarted, lanes.action
    for step in range(begun_at + 1, end + 1):
        if step // BLOCK != block_number:
            block_number = step // BLOCK
            for lane, stream in enumerate(streams):
                blocks[:, lane] = stream.noise.block(block_number)
        lanes.noise[:] = blocks[step % BLOCK]
        for lane, stream, environment in alive:
            try:
                obs, reward[lane], ended, cut, _ = environment.step(action[lane])
            except SimulationDivergedError:
                reward[lane] = np.nan  # noticed below, with the learners that diverge by themselves
                continue
            next_obs[lane] = obs
            terminated[lane], truncated[lane], restarted[lane] = ended, cut, environment.needs_reset
            if environment.needs_reset:
                stream.episodes.record(step, environment.last_episode)
                obs = environment.reset()[0]
            acting_obs[lane] = obs
        lanes.step()
        if not np.isfinite(lanes.info[TD_ERROR]).all() or not np.isfinite(action).all():
            alive = _drop_diverged(alive, lanes, step)
            if not alive:
                break
        if len(lanes.info) > 1:
            for lane, stream, _ in alive:
                stream.metrics.record(step, lanes.info, lane)
        if step == begun_at + 1:
            warm_at, warm_step = time.monotonic(), step  # the first step compiles
        if step % 64 == 0 or step == begun_at + 1:
            _tell(alive, step, _pace(alive, step - warm_step, warm_at), watcher)
            if step < end and watcher.stop_requested():
                save(step)
                raise Interrupted
            if step < end and watcher.checkpoint_due():
                save(step)
    return _pace(alive or streams, step - warm_step, warm_at)


def _pace(alive: Sequence[object], steps: int, since: float) -> float:
    return steps * len(alive) / max(1e-9, time.monotonic() - since)


def _tell(alive: Sequence[Any], step: int, pace: float, watcher: Watcher) -> None:
    recent = [mean for _, stream, _ in alive if (mean := stream.episodes.recent_return()) is not None]
    watcher.beat(step, pace, float(np.mean(recent)) if recent else None)


def _drop_diverged(alive: list[Any], lanes: Lanes, step: int) -> list[Any]:
    """Note which lanes have left the finite numbers; they are neither stepped nor looked at any more."""
    kept = []
    for lane, stream, environment in alive:
        if np.isfinite(lanes.info[TD_ERROR][lane]) and np.isfinite(lanes.action[lane]).all():
            kept.append((lane, stream, environment))
        else:
            stream.diverged_at = step
    return kept
