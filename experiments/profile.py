"""Say where the time of a learner goes: its environment, matrix products, each compiled loop, and the Python around them.

python -m experiments.profile stream_q PongNoFrameskip-v4
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import torch
import typer
from rich.console import Console
from rich.table import Table

from experiments import plan, registry
from experiments.arithmetic import choose
from experiments.cli import MOST_LANES, MOST_SECONDS, positive
from experiments.errors import UserError, told_plainly, writing_to
from experiments.expand import check_hyperparameters, check_spaces, resolve
from experiments.heap import keep_freed_memory
from experiments.settings_text import parse_settings, single
from experiments.spec import Arm, Row, Run
from experiments.terminal import run_app
from experiments.training.context import Unwatched
from experiments.training.reinforcement import Agents

WARM_UP_TICKS = 300
# The profiler slows what it watches, so that the parts of a step are given as shares of a step that was not watched.
WATCHED_TICKS = 100
LOOP = "_cpp_fused_"
MOST_LOOPS = 12

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def profile(runs: list[Run], seconds: float) -> pd.DataFrame:
    """Return the columns part, microseconds (of one step of one stream) and share (of the whole step).

    The first three rows, environment, learner and the loop around them, add up to the whole step. Those that begin with
    `learner: ` add up to the learner, largest first.
    """
    torch.set_num_threads(1)
    compiled = choose().lane_compiler()
    _name_loops()
    agents = Agents.begin(runs, compiled)
    spent = {"environment": 0.0, "learner": 0.0}
    for stream in agents.streams:
        _clock(stream.environment, "step", spent, "environment")
        _clock(stream.environment, "reset", spent, "environment")
    _clock(agents.lanes, "step", spent, "learner")
    ticks = 0

    def take(more: int) -> float:
        nonlocal ticks
        began = time.perf_counter()
        agents.advance(ticks, ticks + more, Unwatched(), lambda _: None)
        ticks += more
        return time.perf_counter() - began

    take(WARM_UP_TICKS)
    spent.update(environment=0.0, learner=0.0)
    whole, counted = 0.0, ticks
    while whole < seconds:
        whole += take(64)
    steps = (ticks - counted) * len(runs)
    parts = {**spent, "loop around them": whole - sum(spent.values())}
    rows = [(name, 1e6 * time_spent / steps, time_spent / whole) for name, time_spent in parts.items()]
    learner = spent["learner"]  # before the steps that are watched are added to it
    shares = _watch(agents.lanes.step)
    rows += [(f"learner: {name}", 1e6 * share * learner / steps, share * learner / whole) for name, share in shares.items()]
    return pd.DataFrame(rows, columns=["part", "microseconds", "share"])


def _name_loops() -> None:
    from torch._inductor import config

    config.cpp.enable_kernel_profile = True
    config.cpp.descriptive_names = "original_aten"


def _clock(owner: Any, name: str, spent: dict[str, float], part: str) -> None:
    inner: Callable[..., Any] = getattr(owner, name)

    def timed(*arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return inner(*arguments)
        finally:
            spent[part] += time.perf_counter() - began

    setattr(owner, name, timed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what a library in C++ writes to standard error off the terminal: torch's profiler says when it begins and ends."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _watch(step: Callable[[], None]) -> dict[str, float]:
    """Return the share of the learner's time that each kind of work takes."""
    with _quiet(), torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as watched:
        for _ in range(WATCHED_TICKS):
            step()
    times: dict[str, float] = {}
    for event in watched.key_averages():
        if event.self_cpu_time_total:
            times[event.key] = times.get(event.key, 0.0) + event.self_cpu_time_total
    whole = sum(times.values())
    products = sum(t for name, t in times.items() if name.startswith(("aten::mm", "aten::bmm", "aten::addmm", "aten::baddbmm")))
    loops = {name.partition(LOOP)[2]: t for name, t in times.items() if LOOP in name}
    largest = sorted(loops.items(), key=lambda item: -item[1])
    parts = {"matrix products": products}
    for name, t in largest[:MOST_LOOPS]:
        told = f"compiled loop {name.rpartition('_')[2]} ({_operations(name)})"
        parts[told] = parts.get(told, 0.0) + t  # a learner whose step varies has several compiled graphs
    parts["other compiled loops"] = sum(t for _, t in largest[MOST_LOOPS:])
    parts["calls and memory"] = whole - sum(parts.values())
    return {name: t / whole for name, t in sorted(parts.items(), key=lambda item: -item[1])}


def _operations(name: str) -> str:
    """Return the operations of a fused loop that tell it from the others."""
    told = ("im2col", "col2im", "native_layer_norm_backward", "native_layer_norm", "abs", "sqrt", "argmax", "max", "sum", "mul")
    return ", ".join(word for word in told if f"_{word}_" in f"_{name}_") or "element by element"


@app.command()
def main(
    learner: Annotated[str, typer.Argument(help="An algorithm of the registry, such as stream_q.")],
    env_id: Annotated[str, typer.Argument(help="An environment, such as PongNoFrameskip-v4.")],
    lanes: Annotated[int | None, typer.Option(help="Streams in one process; default: what fits the cache.")] = None,
    seconds: Annotated[float, typer.Option(help="Least time of the measurement.")] = 10.0,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A hyperparameter; repeatable.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="File to write the table to as well.")] = None,
) -> None:
    """Say where the time of a learner goes, in microseconds of one step of one stream."""
    keep_freed_memory()
    with told_plainly():
        positive("--lanes", lanes, MOST_LANES)
        positive("--seconds", seconds, MOST_SECONDS)
        if csv is not None and not csv.absolute().parent.is_dir():
            raise UserError(f"there is no folder {csv.parent} to write to; make it or choose another --csv.")
        changes = single(parse_settings(setting or []))
        arm = Arm(learner, learner, changes)
        row = Row(env_id, (arm,), steps=10**9, seeds=1, bin_width=1)
        first = resolve(row, arm, 0)
        if registry.loop_of(first) != registry.REINFORCEMENT:
            known = registry.learners()
            in_lanes = ", ".join(name for name, record in known.items() if record.loop == registry.REINFORCEMENT)
            forms = ", ".join(name for name, record in known.items() if record.lanes)
            raise UserError(f"{learner} does not run in lanes; {in_lanes} do, and {forms} with --set implementation=lanes.")
        check_hyperparameters(first)
        check_spaces(first, plan.spaces_of(env_id, first.environment))
        runs = [resolve(row, arm, seed) for seed in range(lanes or plan.most_lanes(first))]
        table = profile(runs, seconds)
        if csv is not None:
            with writing_to(csv, "--csv"):
                table.to_csv(csv, index=False, float_format="%.4g")
    shown = Table(box=None, title=f"{learner} on {env_id}, {len(runs)} lanes", title_justify="left")
    shown.add_column("part")
    shown.add_column("microseconds", justify="right")
    shown.add_column("share", justify="right")
    for part in table.itertuples():
        shown.add_row(part.part, f"{part.microseconds:.1f}", f"{part.share:.0%}")
    Console(highlight=False, width=110).print(shown)


if __name__ == "__main__":
    run_app(app)
