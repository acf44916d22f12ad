"""Train one batch learner on one environment, a step at a time, so that it can stop and go on anywhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from baselines.batch import build
from baselines.settings import used_sizes
from baselines.stepwise import Diverged
from experiments import arithmetic, checkpoint
from experiments.devices import NOT_EXACT, is_measured
from experiments.environments import Environment, SimulationDivergedError
from experiments.errors import UserError
from experiments.registry import environment_options, make_learner, requirements
from experiments.spec import Run
from experiments.training.context import Context, Interrupted, Watcher
from experiments.training.episodes import EpisodeLog, RewardLog
from experiments.training.metrics import MetricsLog

# A replay buffer can take gigabytes: the time between two checkpoints is at least so many times what the last one took.
REST_AFTER_SAVING = 20
# Lengths of the gradients of actor and critics.
TOLD = 2


class Stream:
    """A run under way: its environment, its model, and the rows recorded so far."""

    def __init__(self, run: Run):
        learner = make_learner(run)
        self.environment = Environment(run.env_id, run.seed, **environment_options(run))
        try:
            self.model = build(learner, self.environment, run.steps, run.seed)
        except ValueError as error:
            raise UserError(f"{run.algorithm} cannot run on {run.env_id}: {error}") from None
        self.episodes = EpisodeLog(self.environment.timing_columns)
        self.rewards = RewardLog.of(run)
        # Of those that are asked to tell something of themselves; the others' checkpoints know nothing of it.
        self.metrics = MetricsLog() if getattr(learner, "diagnostics", False) else None
        self.diverged_at: int | None = None
        self.seconds = 0.0
        self.resumed_at: list[int] = []
        self.restarted = False

    @property
    def steps(self) -> int:
        """Environment steps taken."""
        return self.model.num_timesteps

    def step(self) -> None:
        """Take one environment step, learn, and note an episode that ended or a number that is no longer finite."""
        episode = self.environment.episode
        try:
            self.model.step()
        except (Diverged, SimulationDivergedError):
            self.diverged_at = self.steps
        else:
            if self.rewards is not None:
                self.rewards.record(self.environment.last_reward)
        # Nothing before actor and critics have both learnt: a table has the same columns in every row.
        if self.metrics is not None and len(self.model.told) == TOLD:
            self.metrics.record(self.steps, {name: np.array([value]) for name, value in self.model.told.items()}, 0)
        if self.environment.episode != episode:
            self.episodes.record(self.steps, self.environment.last_episode, self.environment.last_timing)

    def recent_return(self) -> float | None:
        """Return the mean return of the last episodes, or the last reward rate; None if there is none yet."""
        return self.episodes.recent_return() if self.rewards is None else self.rewards.recent_rate()

    def get_state(self) -> dict[str, Any]:
        """Return what the rest of the run depends on, as plain data; arrays are its own, to be written before the next step."""
        told = {} if self.metrics is None else {"metrics": self.metrics.get_state(), "told": list(self.model.told.items())}
        if self.rewards is not None:
            told["rewards"] = self.rewards.get_state()
        return {
            **told,
            "model": self.model.get_state(),
            "environment": self.environment.get_state(),
            "episodes": self.episodes.get_state(),
            "seconds": self.seconds,
            "resumed_at": self.resumed_at,
            "restarted": self.restarted,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Go to where `get_state` was called."""
        self.environment.set_state(state["environment"])
        self.model.set_state(state["model"])
        self.episodes.set_state(state["episodes"])
        if self.rewards is not None:
            self.rewards.set_state(state["rewards"])
        if self.metrics is not None:
            self.metrics.set_state(state["metrics"])
            self.model.told = dict(state["told"])
        self.seconds, self.restarted = state["seconds"], state["restarted"]
        self.resumed_at = [*state["resumed_at"], self.steps]


def train(runs: Sequence[Run], context: Context) -> None:
    """Train and publish runs, one after the other. Raise `Interrupted` when asked to stop, with the state in a checkpoint."""
    for run in runs:
        _train(run, context)


def _train(run: Run, context: Context) -> None:
    """Train and publish a run. Raise `Interrupted` when asked to stop, with the state in a checkpoint."""
    torch.set_num_threads(1)
    requires = {**requirements(run), **arithmetic.requirements(None)}
    stream = Stream(run)
    try:
        usable = checkpoint.usable(context.store, run.run_id, requires, stream.get_state, context.replaceable)
        restored = next(usable, None)
    except checkpoint.Misfit as misfit:
        stream.environment.close()
        context.refuse(run.run_id, misfit)
        return
    if restored is not None:  # one at a time, and a replay buffer goes where the model has room for it
        stream.set_state(restored.load(into={"model": {"buffer": stream.model.buffer_arrays()}}))
        context.goes_on(run.run_id, restored)
    else:
        stream.restarted = checkpoint.latest_step(context.store, run.run_id) > 0

    began, worked = time.monotonic(), time.process_time()
    advance(
        stream,
        run.steps,
        context,
        lambda: context.save(run.run_id, stream.steps, requires, stream.get_state()),
    )
    core_share = (time.process_time() - worked) / max(1e-9, time.monotonic() - began)

    result = {
        "status": "finished" if stream.diverged_at is None else "diverged",
        "steps": stream.steps,
        "diverged_at": stream.diverged_at,
    }
    provenance = {
        "implementation": getattr(stream.model, "made_of", f"stable-baselines3 {requires['stable-baselines3']}"),
        "libraries": requires["libraries"],
        "threads": 1,
        "sizes": used_sizes(make_learner(run), run.steps),
        "steps_per_second": _pace(stream.steps, stream.seconds),
        "train_seconds": stream.seconds,
        "core_share": core_share,
        "resumed_at": stream.resumed_at,
    }
    if stream.restarted:
        provenance["resume"] = checkpoint.RESTARTED
    if is_measured(dict(run.environment)):
        provenance["time"] = NOT_EXACT
    tables = {"episodes": stream.episodes.table()}
    if stream.rewards is not None:
        tables["rewards"] = stream.rewards.table()
    if stream.metrics is not None and (told := stream.metrics.table()):
        tables["metrics"] = told
    context.publish(run, tables, result, provenance, stream.model.weights() if stream.diverged_at is None else None)
    stream.environment.close()


def advance(stream: Stream, end: int, watcher: Watcher, save: Callable[[], None]) -> None:
    """Go on to step `end`, or to where the learner diverges; raise `Interrupted` when asked to stop."""
    began, before = time.monotonic(), stream.seconds
    first, rested_at = stream.steps, began

    def timed_save() -> float:
        started = time.monotonic()
        stream.seconds = before + started - began
        save()
        return time.monotonic() - started

    while stream.steps < end and stream.diverged_at is None:
        if watcher.stop_requested():
            timed_save()
            raise Interrupted
        if watcher.checkpoint_due() and time.monotonic() >= rested_at:
            rested_at = REST_AFTER_SAVING * timed_save() + time.monotonic()
        stream.step()
        if stream.steps % 64 == 0:
            pace = _pace(stream.steps - first, time.monotonic() - began)
            watcher.beat(stream.steps, pace, stream.recent_return())
    if stream.diverged_at is None:
        _check_parameters(stream)
    stream.seconds = before + time.monotonic() - began


def stepper(run: Run) -> Callable[[int], None]:
    """Return a function that takes so many more steps of a run from its beginning, for measuring speed."""
    torch.set_num_threads(1)
    stream = Stream(run)

    def take(steps: int) -> None:
        for _ in range(steps):
            stream.step()

    return take


def _check_parameters(stream: Stream) -> None:
    # The last update of a run is followed by no action or loss that would show what became of the parameters.
    try:
        stream.model.check()
    except Diverged:
        stream.diverged_at = stream.steps


def _pace(steps: int, seconds: float) -> float:
    return steps / max(1e-9, seconds)
