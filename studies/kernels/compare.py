"""Time kernels with and without what is asked of Inductor beside its options: compare.py PART [LEARNER ...] [--lanes N]

PART is `loops`, those that `algorithms.kernels` asks for, or `buffers`, which are kept from one call to the next.

Both kernels of a learner are in one process, begin from the same states and are given the same random inputs. They are timed in
turns, block by block, so that a machine whose speed changes slows both. Environments have no part in it.
"""

from __future__ import annotations

import pkgutil
import statistics
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import torch
import typer

from algorithms import kernels
from algorithms.agent import LabelledSpaces, Spaces, leaves
from algorithms.lanes import Engine, LabelledLanes, Lanes
from experiments.provenance import provenance, version_name
from experiments.registry import algorithm

ROBOT = Spaces((17,), 6, action_low=(-1.0,) * 6, action_high=(1.0,) * 6)  # the sizes of HalfCheetah
PLANES = Spaces((4, 10, 10), 6, discrete=True)  # those of MinAtar's Breakout
DIGITS = LabelledSpaces((784,), classes=10)
SERIES = Spaces((7,), 1, prediction=True)
CASES: dict[str, tuple[Any, dict[str, Any]]] = {
    "stream_ac": (ROBOT, {}),
    "stream_ac, RTU": (ROBOT, {"cell": "rtu"}),
    "stream_ac, GRU": (ROBOT, {"cell": "gru", "gradient": "tbptt1"}),
    "classic_ac": (ROBOT, {}),
    "avg": (ROBOT, {}),
    "iac": (ROBOT, {}),
    "avg_sac1": (ROBOT, {}),
    "avg_td3_1": (ROBOT, {}),
    "ppo1": (ROBOT, {"implementation": "lanes"}),
    "stream_q": (PLANES, {}),
    "qrc": (PLANES, {}),
    "dqn1": (PLANES, {"implementation": "lanes"}),
    "stream_td": (SERIES, {}),
    "upgd": (DIGITS, {}),
    "adaupgd": (DIGITS, {}),
    "adam": (DIGITS, {}),
    "s_ewc": (DIGITS, {}),
}


class Part(StrEnum):
    """What is left out of one of two kernels."""

    LOOPS = "loops"
    BUFFERS = "buffers"

    def left_out(self) -> AbstractContextManager[Any]:
        """Return a context in which kernels are built without it."""
        return (
            patch.object(kernels, "_loops", nullcontext) if self is Part.LOOPS else patch.object(kernels, "Buffers", NoBuffers)
        )


class NoBuffers:
    """Leaves a kernel to allocate its buffers in every call."""

    def given(self) -> AbstractContextManager[None]:
        """Change nothing."""
        return nullcontext()

    def around(self, kernel: Any) -> Any:
        """Return the kernel as it is."""
        return kernel


def main(
    part: Annotated[Part, typer.Argument(help="What is compared.")],
    learners: Annotated[list[str] | None, typer.Argument(help="Names as in the table; all of them if left out.")] = None,
    lanes: Annotated[int, typer.Option(help="Learners in one kernel.", min=2)] = 4,
    blocks: Annotated[int, typer.Option(help="How often each kernel is timed; medians are printed.", min=1)] = 15,
    steps: Annotated[int, typer.Option(help="Updates in a block.", min=1)] = 50,
) -> None:
    """Print one row for each learner: microseconds per update of one lane with both, and their ratio."""
    if unknown := set(learners or ()) - set(CASES):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(CASES)}")
    torch.set_num_threads(1)
    told = provenance()
    print(f"{told['machine']['processor']}, torch {torch.__version__}, code {version_name(told['git'])}, {lanes} lanes")
    print(f"{'learner':<16}{'without':>12}{'with':>8}{'ratio':>8}  states after the same updates")
    for name in learners or CASES:
        spaces, settings = CASES[name]
        with part.left_out():
            without = build(name, spaces, settings, lanes)
        both = (without, build(name, spaces, settings, lanes))
        times: tuple[list[float], list[float]] = ([], [])
        random = tuple(np.random.default_rng(0) for _ in both)
        for _ in range(blocks):
            for engine, generator, mine in zip(both, random, times, strict=True):
                update(engine, generator, 5)
                mine.append(update(engine, generator, steps) / lanes * 1e6)
        ratio = statistics.median(old / new for old, new in zip(*times, strict=True))
        old, new = (statistics.median(mine) for mine in times)
        print(f"{name:<16}{old:>9.0f} us{new:>5.0f} us{ratio:>8.2f}  {verdict(*both)}", flush=True)


def build(name: str, spaces: Any, settings: dict[str, Any], lanes: int) -> Engine:
    """Return compiled lanes of a learner that have made one update."""
    record = algorithm(name.partition(",")[0])
    learner = pkgutil.resolve_name(record.lanes or record.learner)(**settings)
    if hasattr(learner, "run_steps"):
        learner = replace(learner, run_steps=1e6)
    states = [learner.init(torch.Generator().manual_seed(lane), spaces) for lane in range(lanes)]
    engine: Engine
    if isinstance(spaces, LabelledSpaces):
        engine = LabelledLanes(learner, spaces, states, compiled=True)
    else:
        engine = Lanes(learner, spaces, states, compiled=True)
        engine.acting_obs[:] = np.random.default_rng(2).normal(size=engine.acting_obs.shape)
        engine.start()
    update(engine, np.random.default_rng(1), 1)
    return engine


def update(engine: Engine, random: np.random.Generator, count: int) -> float:
    """Make updates from random inputs; return the seconds that one took, without those that made the inputs."""
    took = 0.0
    for _ in range(count):
        if isinstance(engine, LabelledLanes):
            engine.x[:] = random.random(engine.x.shape)
            engine.y[:] = random.integers(0, 10, engine.y.shape)
            engine.noise[:] = random.normal(size=engine.noise.shape)
        elif isinstance(engine, Lanes):
            engine.next_obs[:] = random.normal(size=engine.next_obs.shape)
            engine.acting_obs[:] = engine.next_obs
            engine.reward[:] = random.normal(size=engine.reward.shape)
            engine.noise[:] = random.random(engine.noise.shape)
        began = time.perf_counter()
        engine.step()
        took += time.perf_counter() - began
    return took / count


def verdict(one: Engine, other: Engine) -> str:
    """Return in words whether two engines hold the same states."""
    pairs = [pair for lane in range(one.count) for pair in zip(leaves(one.state(lane)), leaves(other.state(lane)), strict=True)]
    if not all(bool(torch.isfinite(x).all()) for pair in pairs for x in pair):
        return "not finite"
    same = all(x.numpy().tobytes() == y.numpy().tobytes() for x, y in pairs)
    return "the same bits" if same else "other bits"


if __name__ == "__main__":
    typer.run(main)
