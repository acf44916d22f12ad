"""Finished runs as TensorBoard files: what each recorded, step by step, for people who look at curves there.

    FOLDER/PANEL/ARM/seed N/events.out.tfevents...

holds the scalars `episodic_return` and `length` at the end of each episode, or `reward_rate` of a continuing environment, and
every metric that the learner told. The files of a preset are written anew each time.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from analysis.load import StoredRun, planned, read
from experiments.spec import Preset
from experiments.store import Store

UNSAFE = re.compile(r"[^\w .,()=+-]")


def write(preset: Preset, store: Store, folder: Path) -> list[Path]:
    """Write the finished runs of a preset; return the folder of each."""
    from tensorboardX import SummaryWriter  # it takes a while, and is wanted seldom

    finished = store.finished()
    runs = planned(preset, panels=False)
    runs = runs[runs["run_id"].isin(finished)]
    places: list[Path] = []
    for run, stored in zip(runs.itertuples(), _each(store, list(runs["run_id"])), strict=True):
        place = folder / _safe(run.panel) / _safe(run.algorithm) / f"seed {run.seed}"
        shutil.rmtree(place, ignore_errors=True)  # TensorBoard would draw old points beside the new ones
        with SummaryWriter(str(place)) as writer:
            for name, steps, values in _scalars(stored):
                for step, value in zip(steps, values, strict=True):
                    writer.add_scalar(name, float(value), int(step))
        places.append(place)
    return places


def _each(store: Store, run_ids: list[str]) -> Iterator[StoredRun]:
    """Yield a run for each id; two arms may share one, which is read once."""
    found = {stored.run_id: stored for stored in read(store, run_ids)} if len(set(run_ids)) < len(run_ids) else None
    yield from read(store, run_ids) if found is None else (found[run_id] for run_id in run_ids)


def _scalars(run: StoredRun) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    tables: Mapping[str, Mapping[str, np.ndarray]] = {"episodes": run.episodes, "rewards": run.rewards, "metrics": run.metrics}
    for kind, table in tables.items():
        for name, values in table.items():
            if name != "step" and np.issubdtype(values.dtype, np.number):
                yield (f"{kind}/{name}" if kind == "metrics" else name), table["step"], values


def _safe(name: str) -> str:
    return UNSAFE.sub("_", name)
