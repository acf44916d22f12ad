"""What has been submitted and not yet run, so that a second submission adds nothing.

    STORE/slurm/queued/JOB_NAME.json    the run ids of every task of one array, written before it is submitted
    STORE/slurm/logs/JOB_NAME/          submitit's folder: batch script, pickles, output of the tasks

A record counts as long as `squeue` knows jobs of that name; names are unique.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from experiments.errors import UserError
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
    records = folder(store) / "queued"
    records.mkdir(parents=True, exist_ok=True)
    temporary = records / f".{name}.{os.getpid()}"
    temporary.write_text(json.dumps([list(task) for task in tasks]))
    os.replace(temporary, records / f"{name}.json")


def forget(store: Store, name: str) -> None:
    """Drop the record of an array."""
    (folder(store) / "queued" / f"{name}.json").unlink(missing_ok=True)


def queued(store: Store) -> dict[str, str]:
    """Return the runs of pending and running tasks, each with the job it is in. Reading changes nothing."""
    names = sorted(path.stem for path in (folder(store) / "queued").glob("[!.]*.json"))
    tasks = _tasks_in_queue() if names else {}
    found: dict[str, str] = {}
    for name in names:
        if name not in tasks:
            continue
        try:
            record = json.loads((folder(store) / "queued" / f"{name}.json").read_text())
        except (OSError, json.JSONDecodeError):
            continue  # forgotten meanwhile
        for index, job in tasks[name].items():
            found |= dict.fromkeys(record[index] if index < len(record) else [], job)
    return found


def sweep(store: Store) -> None:
    """Drop the records of arrays that are over. Only while `submitting`, when no array is between record and queue."""
    names = [path.stem for path in (folder(store) / "queued").glob("[!.]*.json")]
    known = _tasks_in_queue() if names else {}
    for name in names:
        if name not in known:
            forget(store, name)


def _tasks_in_queue() -> dict[str, dict[int, str]]:
    """Return pending and running tasks: job name -> array index -> job id. A job that is no array has index 0."""
    lines = ask_slurm("squeue", "--array", "--noheader", "--format=%F %K %j").splitlines()
    tasks: dict[str, dict[int, str]] = {}
    for line in lines:
        job, index, name = line.split(maxsplit=2)
        tasks.setdefault(name.strip(), {})[int(index) if index.isdigit() else 0] = job
    return tasks


def max_array_size() -> int:
    """Return how many tasks an array may have here."""
    match = re.search(r"^MaxArraySize\s*=\s*(\d+)", ask_slurm("scontrol", "show", "config"), re.MULTILINE)
    if match is None:
        raise UserError("scontrol does not tell MaxArraySize; set max_array_size in the profile.")
    return int(match[1])


def ask_slurm(*words: str) -> str:
    """Return what a command of SLURM prints."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    except FileNotFoundError:
        raise UserError(f"{words[0]} was not found; submit from a login node of a SLURM cluster.") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{words[0]} did not answer within two minutes; try again when SLURM is up.") from None
    if done.returncode:
        message = done.stderr.strip().splitlines()
        raise UserError(f"{words[0]} says: {(message[-1] if message else 'nothing').rstrip('.')}; is SLURM up?")
    return done.stdout
