"""What SLURM's queue holds of a store's runs, for those who submit and those who ask how far an experiment is.

    STORE/slurm/queued/JOB_NAME.json    the run ids of every task of one array (`slurm.queue`)

A record counts as long as `squeue` knows jobs of that name; names are unique.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from experiments.errors import UserError
from experiments.store import Store

PATIENCE_SECONDS = 120.0


def records(store: Store) -> Path:
    """Return the folder in which submissions are recorded."""
    return store.root / "slurm" / "queued"


def submissions(store: Store) -> list[str]:
    """Return the names of the submissions on record."""
    return sorted(path.stem for path in records(store).glob("[!.]*.json"))


def queued(store: Store, patience: float = PATIENCE_SECONDS) -> dict[str, str]:
    """Return the runs of pending and running tasks, each with the job it is in. Reading changes nothing.

    SLURM is asked only where there is something on record; raise `UserError` where it does not answer in so many seconds.
    """
    names = submissions(store)
    tasks = tasks_in_queue(patience) if names else {}
    found: dict[str, str] = {}
    for name in names:
        if name not in tasks:
            continue
        try:
            record = json.loads((records(store) / f"{name}.json").read_text())
        except (OSError, json.JSONDecodeError):
            continue  # forgotten meanwhile
        for index, job in tasks[name].items():
            found |= dict.fromkeys(record[index] if index < len(record) else [], job)
    return found


def tasks_in_queue(patience: float = PATIENCE_SECONDS) -> dict[str, dict[int, str]]:
    """Return pending and running tasks: job name -> array index -> job id. A job that is no array has index 0."""
    lines = ask_slurm("squeue", "--array", "--noheader", "--format=%F %K %j", patience=patience).splitlines()
    tasks: dict[str, dict[int, str]] = {}
    for line in lines:
        job, index, name = line.split(maxsplit=2)
        tasks.setdefault(name.strip(), {})[int(index) if index.isdigit() else 0] = job
    return tasks


def ask_slurm(*words: str, patience: float = PATIENCE_SECONDS) -> str:
    """Return what a command of SLURM prints."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=patience)
    except FileNotFoundError:
        raise UserError(f"{words[0]} was not found; use a login node of a SLURM cluster.") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{words[0]} did not answer within {patience:.0f} s; try again when SLURM is up.") from None
    if done.returncode:
        message = done.stderr.strip().splitlines()
        raise UserError(f"{words[0]} says: {(message[-1] if message else 'nothing').rstrip('.')}; is SLURM up?")
    return done.stdout
