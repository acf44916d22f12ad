"""Train a group of learners of labelled samples in lanes: one sample, one update, nothing stored.

All lanes take their n-th sample together; each has its own stream and its own noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, cast

import numpy as np
import torch

from algorithms.agent import LabelledLearner
from algorithms.kernels import Compiler
from algorithms.lanes import LabelledLanes
from algorithms.toolchain import compiler_available
from experiments import families
from experiments.datasets.labelled import Judged, LabelledStream
from experiments.randomness import BLOCK, NoiseStream, derive
from experiments.registry import environment_options, make_learner
from experiments.spec import Run
from experiments.training import group
from experiments.training.context import Context, Watcher, blamed_on
from experiments.training.group import Clock, LaneGroup
from experiments.training.metrics import MetricsLog, Untold

# Runs of fewer samples are not worth compiling.
EAGER_BELOW_SAMPLES = 2_000


def train(runs: Sequence[Run], context: Context) -> None:
    """Train and publish runs that share structure and budget. Raise `Interrupted` when asked to stop."""
    group.train(LabelledLearners, runs, context, EAGER_BELOW_SAMPLES)


def requirements(run: Run) -> dict[str, Any]:
    """Return what must be equal for a checkpoint of a run to be continued, as it is here; how it is calculated left out."""
    return group.requirements(run, run.steps >= EAGER_BELOW_SAMPLES and compiler_available())


class Stream:
    """What one lane needs beside the learner: samples, noise, and what has been recorded so far."""

    def __init__(self, run: Run, learner: LabelledLearner):
        self.run = run
        self.samples: LabelledStream = families.make(run.env_id, environment_options(run), run.seed)
        self.noise = NoiseStream(run.seed, learner.noise(self.samples.spaces))
        self.metrics = MetricsLog.of(learner, task_steps=self.samples.spaces.task_steps)
        # How many updates after a task's end the network is judged, if it is.
        self.judged_late = self.samples.held_out_delay if isinstance(self.samples, Judged) else None
        self.diverged_at: int | None = None
        self.failed = False

    @classmethod
    def of(cls, run: Run, learner: LabelledLearner) -> Self:
        """Make a stream; raise `RunFailed` where its samples cannot be had."""
        with blamed_on(run):
            return cls(run, learner)

    def judged_task(self, step: int) -> int | None:
        """Return the task, counted from 0, on which the network is judged after an update; None where it is not."""
        if self.judged_late is None:
            return None
        tasks, rest = divmod(step - self.judged_late, self.samples.spaces.task_steps)
        return tasks - 1 if tasks and not rest else None

    def judge(self, task: int, learner: Any, state: Any) -> None:
        """Note what the network knows of the task, counted from 0, from samples that it does not learn from."""
        x, y = (torch.from_numpy(part) for part in cast(Judged, self.samples).held_out(task))
        self.metrics.mark((task + 1) * self.samples.spaces.task_steps, learner.share_right(state, x, y))

    def recent_return(self) -> float | None:
        """Return None: there are no returns."""
        return None


class LabelledLearners(LaneGroup):
    """Learners on their streams of samples."""

    def __init__(self, runs: Sequence[Run], states: Sequence[Any], compiled: Compiler | bool, step: int = 0):
        learners: list[LabelledLearner] = [make_learner(run) for run in runs]
        self.streams: list[Stream] = [Stream.of(run, learner) for run, learner in zip(runs, learners, strict=True)]
        spaces = self.streams[0].samples.spaces
        if not states:
            states = [
                learner.init(torch.Generator().manual_seed(derive(run.seed, "init")), spaces)
                for run, learner in zip(runs, learners, strict=True)
            ]
        self._learner = learners[0]
        self._untold = Untold(self.streams)
        self.lanes: LabelledLanes = LabelledLanes(learners[0], spaces, states, compiled, step)

    @classmethod
    def begin(cls, runs: Sequence[Run], compiled: Compiler | bool) -> Self:
        """Make learners that have seen nothing."""
        return cls(runs, (), compiled)

    @classmethod
    def restore(cls, runs: Sequence[Run], payloads: Sequence[dict[str, Any]], compiled: Compiler | bool, step: int) -> Self:
        """Go to where `payload` was called, which was after so many samples."""
        group = cls(runs, [payload["state"] for payload in payloads], compiled, step)
        for stream, payload in zip(group.streams, payloads, strict=True):
            stream.metrics.set_state(payload["metrics"])
            stream.diverged_at = payload["diverged_at"]
        return group

    def payload(self, lane: int) -> dict[str, Any]:
        """Return what the rest of a lane's run depends on, the state of its learner left out."""
        self._untold.tell()
        return {"metrics": self.streams[lane].metrics.get_state()}

    def advance(self, begun_at: int, end: int, watcher: Watcher, save: Callable[[int], None]) -> float:
        """Take all lanes from one sample to another; return samples/s over all lanes, compiling left out."""
        lanes, clock = self.lanes, Clock(self, begun_at, end, watcher, save)
        x, y = (np.empty((BLOCK, *port.shape), port.dtype) for port in (lanes.x, lanes.y))
        noise = np.empty((BLOCK, *lanes.noise.shape), np.float32)
        block_number = -1
        judged = any(stream.judged_late is not None for stream in self.streams)
        for step in clock.steps():
            number, place = divmod(step - 1, BLOCK)
            if number != block_number:
                block_number = number
                errors: dict[int, BaseException] = {}
                for lane, stream in clock.alive:
                    try:
                        x[:, lane], y[:, lane] = stream.samples.samples(number * BLOCK, BLOCK)
                    except (Exception, SystemExit) as error:
                        errors[lane] = error
                        x[:, lane], y[:, lane] = 0, 0  # nobody looks at what is learnt from it
                    noise[:, lane] = stream.noise.block(number)
                clock.drop_failed(errors)
            lanes.x[:], lanes.y[:], lanes.noise[:] = x[place], y[place], noise[place]
            lanes.step()
            clock.drop_diverged(before=self._untold.tell)  # what those that diverge have told until now is theirs
            self._untold.add(step, lanes.info)
            for lane, stream in clock.alive if judged else ():
                if (task := stream.judged_task(step)) is not None:
                    stream.judge(task, self._learner, lanes.state(lane))
        self._untold.tell()
        return clock.pace()

    def tables(self, lane: int) -> dict[str, Mapping[str, np.ndarray]]:
        """Return what the learner told of itself."""
        return {"metrics": self.streams[lane].metrics.table()}
