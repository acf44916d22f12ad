"""What has been submitted and not yet run, so that a second submission adds nothing.

    STORE/slurm/queued/JOB_NAME.json    the run ids of every task of one array, written before it is submitted
    STORE/slurm/logs/JOB_NAME/          submitit's folder: batch script, pickles, output of the tasks

A record counts as long as `squeue` knows jobs of that name (`experiments.slurm_queue`); names are unique.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments.errors import UserError
from experiments.slurm_queue import ask_slurm, records, submissions, tasks_in_queue
from experiments.store import Store


def folder(store: Store) -> Path:
    """Return where submissions are kept."""
    return store.root / "slurm"


def unique_name(experiment: str) -> str:
    """Return a job name that no other submission has."""
    return f"{experiment}-{uuid.uuid4().hex[:10]}"


@contextmanager
def submitting(store: Store) -> Iterator[None]:
    """Hold the right to submit from this store; wait for it."""
    folder(store).mkdir(parents=True, exist_ok=True)
    with open(folder(store) / ".lock", "a") as file:
        with suppress(OSError):  # a file system without locks: two submissions at the same second may overlap; claims hold
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remember(store: Store, name: str, tasks: Sequence[Sequence[str]]) -> None:
    """Keep which runs the tasks of an array are to train."""
    records(store).mkdir(parents=True, exist_ok=True)
    temporary = records(store) / f".{name}.{os.getpid()}"
    temporary.write_text(json.dumps([list(task) for task in tasks]))
    os.replace(temporary, records(store) / f"{name}.json")


def forget(store: Store, name: str) -> None:
    """Drop the record of an array."""
    (records(store) / f"{name}.json").unlink(missing_ok=True)


def sweep(store: Store) -> None:
    """Drop the records of arrays that are over. Only while `submitting`, when no array is between record and queue."""
    names = submissions(store)
    known = tasks_in_queue() if names else {}
    for name in names:
        if name not in known:
            forget(store, name)


def max_array_size() -> int:
    """Return how many tasks an array may have here."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask_slurm("scontrol", "show", "config"), re.MULTILINE)
    if match is None:
        raise UserError("scontrol does not tell MaxArraySize; set max_array_size in the profile.")
    return int(match[1])
