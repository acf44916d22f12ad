"""What killed training leaves, beside what training left alone leaves."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.spec import Run
from experiments.store import Store


def result_bytes(store: Store, runs: Sequence[Run]) -> dict[str, dict[str, bytes]]:
    """Return all files of finished runs that are a function of the configuration alone."""
    return {
        run.run_id: {
            path.name: path.read_bytes()
            for path in sorted((store.finished_path / run.run_id).glob("*"))
            if path.name != "provenance.json"
        }
        for run in runs
    }


def compare(killed: Store, alone: Store, runs: Sequence[Run]) -> list[str]:
    """Return which runs are missing, not sound, or not byte for byte what they are when left alone."""
    faults = []
    got, wanted = result_bytes(killed, runs), result_bytes(alone, runs)
    for run_id, files in wanted.items():
        if not got[run_id]:
            faults.append(f"{run_id} is missing")
            continue
        faults += [f"{run_id}: {name} is damaged" for name in killed.damaged(run_id)]
        different = [name for name in sorted(files.keys() | got[run_id].keys()) if files.get(name) != got[run_id].get(name)]
        faults += [f"{run_id}: {name} is different" for name in different]
    return faults
