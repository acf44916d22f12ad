"""Time planning, status and loading on a store of 10,000 finished runs: measure.py [--store FOLDER] [--runs N].

The runs are those of Stream-X's Fig. 7 (`stream_ac_ablation --preset paper`) with more seeds, published through the store as a
worker does it. Episodes and returns are made up, of the number and size that real runs of 2M steps have. What is timed are
whole commands, from the start of the interpreter to its end; a store that is there already is used again.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from experiments.cli import Request, resolve_request
from experiments.provenance import provenance, version_name
from experiments.spec import Run
from experiments.store import Store

ROOT = Path(__file__).parents[2]
EXPERIMENT = ("stream_ac_ablation", "--preset", "paper")
MEAN_EPISODE = 500  # steps
LOAD = """
import sys
from analysis.curves import bin_returns
from analysis.load import planned, read
from experiments.catalog import load_experiment
from experiments.expand import override
from experiments.store import Store
runs = planned(override(load_experiment("stream_ac_ablation").preset("paper"), {}, int(sys.argv[1])))
widths = dict(zip(runs["run_id"], runs["bin_width"]))
for run in read(Store(sys.argv[2]), runs["run_id"]):
    bin_returns(run.episodes["step"], run.episodes["episodic_return"], widths[run.run_id], run.result["steps"])
"""


def main(
    store: Annotated[Path | None, typer.Option(help="Folder of the store; a temporary one if left out.")] = None,
    runs: Annotated[int, typer.Option(help="Number of finished runs, at least.")] = 10_000,
    repeats: Annotated[int, typer.Option(help="How often each command is timed; the median is printed.")] = 3,
) -> None:
    """Make a large store where there is none yet, and time the commands on it."""
    with tempfile.TemporaryDirectory(prefix="large-store-") as temporary:
        folder = store or Path(temporary) / "runs"
        seeds = -(-runs // len(request(1).runs))
        wanted = request(seeds)
        began = time.monotonic()
        published = fill(Store(folder), wanted.runs)
        told = provenance()
        print(f"{len(wanted.runs):,} runs ({seeds} seeds), {published:,} of them published in {time.monotonic() - began:.0f} s")
        print(f"{told['machine']['cores']} cores, {told['machine']['processor']}, Python {told['python']}, ", end="")
        print(f"code {version_name(told['git'])}; {os.getloadavg()[0]:.1f} other processes wanted a core")
        figures = Path(temporary) / "results"
        same = [*EXPERIMENT, "--seeds", str(seeds), "--store", str(folder)]
        # As many again are missing: what is planned then are 24 arms of so many seeds.
        half = [*EXPERIMENT, "--seeds", str(2 * seeds), "--store", str(folder)]
        print(f"{'command':42} median s   CPU s   all")
        for title, command in {
            "plan, nothing missing (run --dry-run)": ["-m", "experiments.run", *same, "--dry-run"],
            "status": ["-m", "experiments.status", *same],
            "load for a figure (read, check, bin)": ["-c", LOAD, str(seeds), str(folder)],
            "load, aggregate, draw (analysis.report)": ["-m", "analysis.report", *same, "--results", str(figures)],
            "plan, half of the runs missing": ["-m", "experiments.run", *half, "--dry-run"],
        }.items():
            times = sorted(timed(command) for _ in range(repeats))
            seconds, cpu = times[len(times) // 2]
            print(f"{title:42} {seconds:8.2f} {cpu:7.2f}   {', '.join(f'{t:.2f}' for t, _ in times)}", flush=True)


def request(seeds: int) -> Request:
    """Return the experiment with so many seeds."""
    return resolve_request(EXPERIMENT[0], EXPERIMENT[2], (), seeds)


def fill(store: Store, wanted: list[Run]) -> int:
    """Publish the runs that are not there yet; return how many."""
    there, told = store.finished(), {**provenance(), "engine": "compiled", "steps_per_second": 5000.0}
    missing = [run for run in wanted if run.run_id not in there]
    for run in missing:
        store.publish(run, {"episodes": episodes(run)}, {"status": "finished", "steps": run.steps, "diverged_at": None}, told)
    return len(missing)


def episodes(run: Run) -> dict[str, np.ndarray]:
    """Return made-up episodes of a run, as `experiments.training.episodes` has them."""
    generator = np.random.default_rng(run.seed)
    lengths = generator.integers(1, 2 * MEAN_EPISODE, run.steps // MEAN_EPISODE)
    step = np.cumsum(lengths)
    kept = step <= run.steps
    returns = generator.normal(3000 * step / run.steps, 200)
    return {"step": step[kept], "episodic_return": returns[kept], "length": lengths[kept].astype(np.int32)}


def timed(command: list[str]) -> tuple[float, float]:
    """Return how long a Python command takes by the clock, and how long it has a core; exit where it fails."""
    began, used = time.monotonic(), cpu_of_children()
    done = subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True, env=dict(os.environ, COLUMNS="160")
    )
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
    return seconds, cpu_of_children() - used


def cpu_of_children() -> float:
    """Return the time on a core, in s, of all processes that this one has started and waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    typer.run(main)
