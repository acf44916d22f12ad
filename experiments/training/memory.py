"""Measure the memory of a learner, its traces and its replay buffer, each number of stored samples in a fresh process.

Method. A spawned process imports everything and warms it up: it makes two small learners of the kind, fills, updates and frees
them, and gives the freed memory back to the system. From there on two numbers of the kernel's are followed: the resident
size, and its highest mark, which is set back. Then the learner is built, filled with samples one by one through its own
`add` (what stable-baselines3 allocates are zeros that take no memory until they are written), and updated.

- `held`: growth of the resident size once freed memory has been given back. What the learner keeps.
- `peak`: growth of the highest mark. What it took at some moment, activations, gradients and copies of an update included.
- `computed`: the same as `held` from shapes: arrays of the buffer; parameters, gradients and moments. For other numbers of
  samples than the two small ones by the straight line through them, which it is.
- `process`: highest mark of the whole process, with Python, PyTorch and the environment.

Pages are 4 kB and Python's own objects come in pieces, so for `held` small learners are built several times and the growth is
divided; `peak` is that of the first. The environment is shared and not counted. Streaming learners are executed eagerly here:
that takes more at the peak than their compiled form, which writes in place.

What would not fit into four fifths of the free memory, or is above the limit of the settings, is only computed, and says why.
"""

from __future__ import annotations

import ctypes
import gc
import math
import multiprocessing
import re
from contextlib import suppress
from dataclasses import fields, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from algorithms.agent import State, Transition, Varying, state_bytes
from baselines.batch import build
from experiments import registry
from experiments.environments import Environment
from experiments.errors import UserError
from experiments.measurements import PeakMemory
from experiments.spec import Run
from experiments.training.reinforcement import Agents

COLUMNS = ("repeat", "samples", "held_bytes", "peak_bytes", "computed_bytes", "process_bytes", "reason")
NONE = math.nan

# Learners are built until they take this much together, but no more than so many.
ENOUGH_BYTES, MOST_COPIES = 16 * 2**20, 48
FREE_SHARE = 0.8
# An actor may have its turn at every second update only. More epochs over a rollout take no more memory.
UPDATES = 2
# Numbers of samples of the two small learners.
SMALL = (64, 128)


class Measured(NamedTuple):
    """Bytes of one learner, and why what is not a number was not measured."""

    held: float
    peak: float
    computed: float
    process: float
    reason: str = ""


def rows(run: Run, settings: PeakMemory, repeats: int) -> list[tuple[Any, ...]]:
    """Return rows of `COLUMNS` for a run of the learner, sizes in turn."""
    _reset_peak()  # raises here where there is nothing to measure with
    streaming_learner = registry.loop_of(run).lanes
    for number in settings.samples:
        if streaming_learner != (number == 0):
            raise UserError(
                f"{run.algorithm} stores no samples: measure it with samples=[0]."
                if streaming_learner
                else f"{run.algorithm} stores samples: measure it with 1 or more of them."
            )
    limit = settings.largest_gigabytes * 1e9
    return [(r, number, *in_fresh_process(run, number, limit)) for r in range(repeats) for number in settings.samples]


def in_fresh_process(run: Run, samples: int, limit: float) -> Measured:
    """Measure the learner of a run in a process that has done nothing else; `limit` in bytes."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_answer, args=(run, samples, limit, there), daemon=True)
    process.start()
    there.close()
    try:
        answer = here.recv()
    except EOFError:
        process.join()
        if process.exitcode is not None and process.exitcode < 0:
            return Measured(NONE, NONE, NONE, NONE, f"killed by signal {-process.exitcode}")
        raise RuntimeError("the process that measured memory died; its message is above") from None
    process.join()
    return Measured(*answer)


def _answer(run: Run, samples: int, limit: float, connection: Connection) -> None:
    torch.set_num_threads(1)
    connection.send(tuple(measure_here(run, samples, limit)))


def measure_here(run: Run, samples: int, limit: float) -> Measured:
    """Measure in this process, which should be a fresh one."""
    subject = _Agents(run) if registry.loop_of(run).lanes else _Models(run, samples)
    subject.warm_up()
    computed = subject.computed()
    available = free_bytes()
    if computed > limit:
        return Measured(NONE, NONE, computed, NONE, f"over {limit / 1e9:.3g} GB allowed")
    if computed > FREE_SHARE * available:
        return Measured(NONE, NONE, computed, NONE, f"over {FREE_SHARE:.0%} of {available / 1e9:.3g} GB free")
    before = _settled()
    kept = [subject.make()]
    process = _status("VmHWM")
    peak = process - before
    kept += [subject.make() for _ in range(min(MOST_COPIES, math.ceil(ENOUGH_BYTES / computed)) - 1)]
    held = (_settled() - before) / len(kept)
    return Measured(held, peak, computed, process)


class _Agents:
    """Streaming learners of one kind."""

    def __init__(self, run: Run):
        self._agent = registry.make_learner(run)
        self._generator = torch.Generator().manual_seed(0)
        agents = Agents.begin([run], compiled=True)  # for a real moment; nothing is compiled here
        (stream,), lanes = agents.streams, agents.lanes
        self._spaces = stream.environment.spaces
        obs, reward, terminated, truncated, _ = stream.environment.step(lanes.action[0])
        terminal, cut, restarted = (torch.tensor(x) for x in (terminated, truncated, stream.environment.needs_reset))
        seen, action, next_obs = (torch.from_numpy(np.array(x)) for x in (lanes.obs[0], lanes.action[0], obs))
        paid = torch.tensor(reward, dtype=torch.float64)
        self._transition = Transition(seen, action, paid, next_obs, terminal, cut, restarted, next_obs)
        self._noise = torch.from_numpy(lanes.noise[0].copy())
        self._bytes = state_bytes(lanes.state(0))

    def warm_up(self) -> None:
        """Let everything that happens once happen."""
        self.make()

    def computed(self) -> float:
        """Return the bytes of the state."""
        return float(self._bytes)

    def make(self) -> State:
        """Return the state of a learner that has learnt."""
        state = self._agent.init(self._generator, self._spaces)
        with torch.no_grad():
            for step in range(UPDATES):
                form = {"form": self._agent.form(step)} if isinstance(self._agent, Varying) else {}
                state, _, _ = self._agent.step(state, self._transition, self._noise, **form)
        return state


class _Models:
    """Batch learners of one kind, with a buffer or a rollout of a size, on one environment."""

    def __init__(self, run: Run, samples: int):
        self._run, self._samples = run, samples
        self._environment = Environment(run.env_id, run.seed, **registry.environment_options(run))
        self._line = (0.0, 0.0)

    def warm_up(self) -> None:
        """Let everything that happens once happen, and learn how the size goes with the number of samples."""
        sizes = [_array_bytes(self._make(number)) for number in SMALL]
        per_sample = (sizes[1] - sizes[0]) / (SMALL[1] - SMALL[0])
        self._line = (sizes[0] - SMALL[0] * per_sample, per_sample)

    def computed(self) -> float:
        """Return the bytes of arrays and parameters."""
        return self._line[0] + self._samples * self._line[1]

    def make(self) -> Any:
        """Return a model that is full and has learnt."""
        return self._make(self._samples)

    def _make(self, slots: int) -> Any:
        learner = _sized(registry.make_learner(self._run), self._samples, slots)
        model: Any = build(learner, self._environment, self._run.steps, self._run.seed)
        buffer, _ = model._buffer()
        samples: list[tuple[Any, ...]] = []
        add = buffer.add

        def keep(*sample: Any) -> None:
            samples.append(sample)
            add(*sample)

        buffer.add = keep
        while len(samples) < 2:  # the second one is in the middle of an episode
            model.step()
        del buffer.add
        while buffer.size() < buffer.buffer_size - 1:
            buffer.add(*samples[1])
        updates = model._n_updates
        while model._n_updates < updates + UPDATES or not (buffer.full or buffer.pos == 0):
            model.step()
        return model


def _sized(learner: Any, samples: int, slots: int) -> Any:
    """Return a learner with room for so many samples, that learns at once, from batches that so many `samples` allow."""
    given = {field.name: getattr(learner, field.name) for field in fields(learner)}
    if "rollout_steps" in given:
        batch = min(given["minibatch_size"], samples, slots)
        normalize = given["normalize_advantage"] and batch > 1
        epochs = min(given["epochs"], UPDATES)
        return replace(learner, rollout_steps=slots, minibatch_size=batch, normalize_advantage=normalize, epochs=epochs)
    return replace(learner, buffer_size=slots, batch_size=min(given["batch_size"], samples), learning_starts=0)


def _array_bytes(model: Any) -> int:
    """Return the bytes of a model's buffer, parameters, gradients and optimizer states."""
    buffer, _ = model._buffer()
    size = sum(array.nbytes for array in vars(buffer).values() if isinstance(array, np.ndarray))
    for vector in model.vectors.values():
        size += vector.nbytes + (0 if vector.grad is None else vector.grad.nbytes)
    for optimizer in model.optimizers.values():
        size += sum(value.nbytes for state in optimizer.state.values() for value in state.values())
    return size


def _settled() -> float:
    """Give free memory back to the system, where its C library can, and return the resident size; the peak begins there."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
    _reset_peak()
    return _status("VmRSS")


def free_bytes() -> float:
    """Return how much memory may still be taken: by the machine, and by the control group that this process is in."""
    free = [_field(Path("/proc/meminfo"), "MemAvailable")]
    group = Path("/sys/fs/cgroup")
    with suppress(OSError, ValueError):  # no group, or one without a limit ("max")
        free.append(float((group / "memory.max").read_text()) - float((group / "memory.current").read_text()))
    return min(free)


def _reset_peak() -> None:
    """Set the highest mark back to the present size. Raise `UserError` where this system cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        _status("VmHWM")
    except (OSError, TypeError):
        raise UserError(
            "peak memory is read from /proc/self, which this system does not have or does not let reset; measure it on Linux, "
            "or times alone with --set algorithm=update_time."
        ) from None


def _status(name: str) -> float:
    return _field(Path("/proc/self/status"), name)


def _field(path: Path, name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB", path.read_text(), re.MULTILINE)
    if found is None:
        raise TypeError(f"{path} has no {name}")
    return 1024.0 * int(found[1])
