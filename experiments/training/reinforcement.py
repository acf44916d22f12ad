"""Train a group of agents in lanes: one transition, one update, nothing stored.

All lanes take their n-th step together; each has its own environment, its own noise and its own rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch

from algorithms.agent import Agent
from algorithms.kernels import Compiler
from algorithms.lanes import Lanes
from algorithms.toolchain import compiler_available
from experiments.environments import Environment, SimulationDivergedError
from experiments.families import family_of
from experiments.randomness import BLOCK, NoiseStream, derive
from experiments.registry import environment_options, make_learner
from experiments.spec import Run
from experiments.training import group
from experiments.training.context import Context, Watcher, blamed_on
from experiments.training.episodes import EpisodeLog, RewardLog
from experiments.training.group import Clock, LaneGroup
from experiments.training.metrics import TD_ERROR, MetricsLog, Untold

# Runs of fewer steps are not worth compiling.
EAGER_BELOW_STEPS = 2_000
EAGER_BELOW_STEPS_WITH_IMAGES = 200


def train(runs: Sequence[Run], context: Context) -> None:
    """Train and publish runs that share structure and budget. Raise `Interrupted` when asked to stop."""
    group.train(Agents, runs, context, _eager_below(runs[0]))


def requirements(run: Run) -> dict[str, Any]:
    """Return what must be equal for a checkpoint of a run to be continued, as it is here; how it is calculated left out."""
    return group.requirements(run, run.steps >= _eager_below(run) and compiler_available())


def _eager_below(run: Run) -> int:
    return EAGER_BELOW_STEPS_WITH_IMAGES if family_of(run.env_id).images else EAGER_BELOW_STEPS


class Stream:
    """What one lane needs beside the learner: environment, noise, and the rows recorded so far."""

    def __init__(self, run: Run, agent: Agent):
        self.run = run
        self.environment = Environment(run.env_id, run.seed, **environment_options(run))
        self.noise = NoiseStream(run.seed, agent.noise(self.environment.spaces))
        self.episodes = EpisodeLog(self.environment.timing_columns)
        self.rewards = RewardLog.of(run)
        self.metrics = MetricsLog.of(agent, left_out=TD_ERROR)
        self.diverged_at: int | None = None
        self.failed = False

    @classmethod
    def of(cls, run: Run, agent: Agent) -> Self:
        """Make a stream; raise `RunFailed` where its environment cannot be made."""
        with blamed_on(run):
            return cls(run, agent)

    def recent_return(self) -> float | None:
        """Return the mean return of the last episodes, or the last reward rate; None if there is none yet."""
        return self.episodes.recent_return() if self.rewards is None else self.rewards.recent_rate()


class Agents(LaneGroup):
    """Agents in their environments."""

    def __init__(self, streams: list[Stream], lanes: Lanes):
        self.streams: list[Stream] = streams
        self.lanes: Lanes = lanes
        self._untold = Untold(streams)

    @classmethod
    def begin(cls, runs: Sequence[Run], compiled: Compiler | bool) -> Self:
        """Make fresh streams and agents, up to their first actions."""
        agents: list[Agent] = [make_learner(run) for run in runs]
        streams = [Stream.of(run, agent) for run, agent in zip(runs, agents, strict=True)]
        spaces = streams[0].environment.spaces
        states = [
            agent.init(torch.Generator().manual_seed(derive(run.seed, "init")), spaces)
            for run, agent in zip(runs, agents, strict=True)
        ]
        lanes = Lanes(agents[0], spaces, states, compiled)
        for lane, stream in enumerate(streams):
            with blamed_on(stream.run):
                lanes.acting_obs[lane] = stream.environment.reset()[0]
            lanes.noise[lane] = stream.noise.block(0)[0]
        lanes.start()
        return cls(streams, lanes)

    @classmethod
    def restore(cls, runs: Sequence[Run], payloads: Sequence[dict[str, Any]], compiled: Compiler | bool, step: int) -> Self:
        """Go to where `payload` was called, which was after so many steps."""
        agents: list[Agent] = [make_learner(run) for run in runs]
        streams = [Stream.of(run, agent) for run, agent in zip(runs, agents, strict=True)]
        lanes = Lanes(agents[0], streams[0].environment.spaces, [p["state"] for p in payloads], compiled, step)
        for lane, (stream, payload) in enumerate(zip(streams, payloads, strict=True)):
            stream.episodes.set_state(payload["episodes"])
            stream.diverged_at = payload["diverged_at"]
            stream.metrics.set_state(payload["metrics"])
            if stream.rewards is not None:
                stream.rewards.set_state(payload["rewards"])
            if stream.diverged_at is None:
                with blamed_on(stream.run):
                    stream.environment.set_state(payload["environment"])
            lanes.obs[lane], lanes.action[lane] = payload["obs"], payload["action"]
        return cls(streams, lanes)

    def payload(self, lane: int) -> dict[str, Any]:
        """Return what the rest of a lane's run depends on, the state of its learner left out."""
        self._untold.tell()
        stream = self.streams[lane]
        return {
            "environment": stream.environment.get_state(),
            "obs": self.lanes.obs[lane].copy(),
            "action": self.lanes.action[lane].copy(),
            "episodes": stream.episodes.get_state(),
            "metrics": stream.metrics.get_state(),
            **({} if stream.rewards is None else {"rewards": stream.rewards.get_state()}),
        }

    def advance(self, begun_at: int, end: int, watcher: Watcher, save: Callable[[int], None]) -> float:
        """Take all lanes from one step to another; return steps/s over all lanes, compiling left out."""
        lanes, clock = self.lanes, Clock(self, begun_at, end, watcher, save)
        alive = [(lane, stream, stream.environment) for lane, stream in clock.alive]
        blocks = np.empty((BLOCK, *lanes.noise.shape), np.float32)
        block_number = -1
        errors: dict[int, BaseException] = {}
        reward, next_obs, acting_obs = lanes.reward, lanes.next_obs, lanes.acting_obs
        terminated, truncated, restarted, action = lanes.terminated, lanes.truncated, lanes.restarted, lanes.action
        for step in clock.steps():
            if step // BLOCK != block_number:
                block_number = step // BLOCK
                for lane, stream in enumerate(self.streams):
                    blocks[:, lane] = stream.noise.block(block_number)
            lanes.noise[:] = blocks[step % BLOCK]
            for lane, stream, environment in alive:
                try:
                    try:
                        obs, reward[lane], ended, cut, _ = environment.step(action[lane])
                    except SimulationDivergedError:
                        reward[lane] = np.nan  # noticed below, with the learners that diverge by themselves
                        continue
                    if stream.rewards is not None:
                        stream.rewards.record(environment.last_reward)
                    next_obs[lane] = obs
                    terminated[lane], truncated[lane], restarted[lane] = ended, cut, environment.needs_reset
                    if environment.needs_reset:
                        stream.episodes.record(step, environment.last_episode, environment.last_timing)
                        obs = environment.reset()[0]
                    acting_obs[lane] = obs
                except (Exception, SystemExit) as error:
                    errors[lane] = error  # its learner goes through this step with the others, and nobody looks at it
            if errors:
                clock.drop_failed(errors)
                errors.clear()
                alive = [(lane, stream, stream.environment) for lane, stream in clock.alive]
            lanes.step()
            if clock.drop_diverged(before=self._untold.tell):  # what those that diverge have told until now is theirs
                alive = [(lane, stream, stream.environment) for lane, stream in clock.alive]
            if len(lanes.info) > 1:
                self._untold.add(step, lanes.info)
        self._untold.tell()
        return clock.pace()

    def tables(self, lane: int) -> dict[str, Mapping[str, np.ndarray]]:
        """Return the episodes, what the learner told of itself, and the reward rates of a continuing environment."""
        stream = self.streams[lane]
        metrics = stream.metrics.table()
        if stream.run.seed == 0 and metrics:  # the stream is the same for all seeds, and one copy of it is enough
            metrics |= stream.environment.readings(metrics["step"])
        rewards = {} if stream.rewards is None else {"rewards": stream.rewards.table()}
        return {"episodes": stream.episodes.table(), "metrics": metrics, **rewards}

    def close(self) -> None:
        """Free the environments."""
        for stream in self.streams:
            stream.environment.close()
