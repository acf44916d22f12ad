"""Read finished runs out of the store into tidy frames.

    runs      one row per run that a preset asks for: panel, env_id, algorithm, seed, run_id, steps, bin_width, and how it
              ended: status, ended (the steps it took), diverged_at
    episodes  one row per episode: panel, env_id, algorithm, run_id, seed, step, episodic_return, length, status

`panel` is that of the row, the environment unless it names another; `algorithm` is the label of the arm.
`status` is finished, diverged, failed (its last attempt raised) or missing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.errors import UserError
from experiments.expand import labelled_runs
from experiments.spec import Preset
from experiments.store import Store, read_each

EPISODE_COLUMNS = ("step", "episodic_return", "length")
METRIC_COLUMNS = ("step",)
REWARD_COLUMNS = ("step", "reward_rate")
KINDS = {"episodes": EPISODE_COLUMNS, "metrics": METRIC_COLUMNS, "rewards": REWARD_COLUMNS}
# Of episodes in which time passed while the learner computed.
TIMING_COLUMNS = ("seconds", "cycles", "missed_cycles")


@dataclass(frozen=True)
class StoredRun:
    """What the store holds of one finished run, tables by column; a table that the run did not record is empty."""

    run_id: str
    result: dict[str, Any]
    provenance: dict[str, Any]
    episodes: dict[str, np.ndarray]
    metrics: dict[str, np.ndarray]
    rewards: dict[str, np.ndarray]


@dataclass(frozen=True)
class Loaded:
    """All episodes of a preset's finished runs, and every run it asks for with its status."""

    runs: pd.DataFrame
    episodes: pd.DataFrame

    @property
    def missing(self) -> list[str]:
        """Return the ids of the runs that are not finished, failed ones included."""
        return unfinished(self.runs)


def planned(preset: Preset, panels: bool = True) -> pd.DataFrame:
    """List the runs that a preset asks for, in the order of rows, arms and seeds; a run shared by two arms is listed twice.

    With `panels`, two rows of the same panel are an error: their runs could not be told apart by panel and arm.
    """
    names = [row.panel_name for row in preset.rows]
    twice = sorted({name for name in names if names.count(name) > 1})
    if panels and twice:
        raise UserError(f"the preset has more than one row for {', '.join(twice)}; give each row a panel of its own.")
    columns = ["panel", "env_id", "algorithm", "seed", "run_id", "steps", "bin_width", "window"]
    rows = [
        (row.panel_name, row.env_id, arm.label, run.seed, run.run_id, run.steps, row.bin_width, row.last_window)
        for row, arm, run in labelled_runs(preset)
    ]
    return pd.DataFrame(rows, columns=columns)


def with_panels(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame with a column `panel`: in those written before there were panels it is the environment."""
    if "panel" in frame or "env_id" not in frame:
        return frame
    named = frame.copy()
    named.insert(0, "panel", frame["env_id"])
    return named


def read(store: Store, run_ids: Iterable[str]) -> Iterator[StoredRun]:
    """Yield finished runs in the order asked for, a few at a time, so that memory does not grow with their number."""
    return read_each(lambda run_id: _read(store, run_id), list(dict.fromkeys(run_ids)))


def _read(store: Store, run_id: str) -> StoredRun:
    result, provenance, tables = store.load(run_id)
    read_tables = {}
    for kind, needed in KINDS.items():
        table = tables.get(kind)
        names = [] if table is None else table.column_names
        absent = [name for name in needed if name not in names]
        if table is not None and absent:
            raise UserError(
                f"the {kind} of {run_id} have no column {', '.join(absent)}; remove the folder "
                f"{store.finished_path / run_id} and run the experiment again."
            )
        # Of episodes only what is known here; the metrics are the learner's to name.
        timing = tuple(name for name in TIMING_COLUMNS if name in names)
        columns = (*needed, *timing) if kind == "episodes" else tuple(names)
        read_tables[kind] = {} if table is None else {name: table.column(name).to_numpy() for name in columns}
    return StoredRun(run_id, result, provenance, **read_tables)


def with_status(runs: pd.DataFrame, results: dict[str, dict[str, Any]], failures: set[str]) -> pd.DataFrame:
    """Add to planned runs how each of them ended: `status`, `ended` (steps trained) and `diverged_at`."""

    def status(run_id: str) -> str:
        if run_id in results:
            return str(results[run_id]["status"])
        return "failed" if run_id in failures else "missing"

    def number(run_id: str, key: str) -> int | None:
        value = results.get(run_id, {}).get(key)
        return None if value is None else int(value)

    return runs.assign(
        status=[status(run_id) for run_id in runs["run_id"]],
        ended=pd.array([number(run_id, "steps") for run_id in runs["run_id"]], dtype="Int64"),
        diverged_at=pd.array([number(run_id, "diverged_at") for run_id in runs["run_id"]], dtype="Int64"),
    )


def is_finished(runs: pd.DataFrame) -> pd.Series:
    """Return which runs have a result; one that diverged has."""
    return runs["status"].isin(["finished", "diverged"])


def unfinished(runs: pd.DataFrame) -> list[str]:
    """Return the ids of the runs without a result, each once."""
    return list(dict.fromkeys(runs.loc[~is_finished(runs), "run_id"]))


def load(preset: Preset, store: Store) -> Loaded:
    """Load every finished run of a preset. Runs that are not there are listed, not an error."""
    runs = planned(preset)
    finished = store.finished()
    results: dict[str, dict[str, Any]] = {}
    episodes: dict[str, dict[str, np.ndarray]] = {}
    for run in read(store, (run_id for run_id in runs["run_id"] if run_id in finished)):
        results[run.run_id] = run.result
        episodes[run.run_id] = run.episodes
    runs = with_status(runs, results, store.failures())
    return Loaded(runs, _episodes_frame(runs, episodes))


def _episodes_frame(runs: pd.DataFrame, episodes: dict[str, dict[str, np.ndarray]]) -> pd.DataFrame:
    there = runs[[bool(episodes.get(run_id)) for run_id in runs["run_id"]]]
    tables = [episodes[run_id] for run_id in there["run_id"]]
    counts = [len(table["step"]) for table in tables]

    def repeated(column: str) -> pd.Categorical:
        # A string per episode would cost more than the numbers: one code each instead.
        categories = pd.Index(there[column].unique())
        codes = categories.get_indexer(there[column]).astype(np.min_scalar_type(-max(len(categories), 1)))
        return pd.Categorical.from_codes(np.repeat(codes, counts), dtype=pd.CategoricalDtype(categories), validate=False)

    def joined(column: str, dtype: str) -> np.ndarray:
        return np.concatenate([table[column] for table in tables]) if tables else np.empty(0, dtype)

    return pd.DataFrame(
        {
            "panel": repeated("panel"),
            "env_id": repeated("env_id"),
            "algorithm": repeated("algorithm"),
            "run_id": repeated("run_id"),
            "seed": np.repeat(there["seed"].to_numpy(np.int32), counts),
            "step": joined("step", "int64"),
            "episodic_return": joined("episodic_return", "float64"),
            "length": joined("length", "int32"),
            "status": repeated("status"),
        },
        copy=False,
    )
