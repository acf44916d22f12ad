"""Checkpoints: a run's whole state at a step boundary, so that a killed run ends in the same bytes as one left alone.

    STORE/checkpoints/RUN_ID/000000123000.ckpt

One line of JSON (step, checksum, what is needed to continue exactly) and a pickle. Two are kept; a damaged one is passed
over for the older one. They are private to the store they lie in and are removed when the run is published.
"""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from experiments.store import Store

KEEP = 2
# What the provenance of a run says that could not go on from its checkpoints.
RESTARTED = "restarted from the beginning: its checkpoints are damaged or of other versions of packages or code"


class Checkpoint(NamedTuple):
    """A restored state: the number of steps taken, what the training loop had put in, and the versions of the code so far."""

    step: int
    payload: dict[str, Any]
    code: list[Any]


def save(
    store: Store, run_id: str, step: int, requires: dict[str, Any], payload: dict[str, Any], code: Sequence[Any] = ()
) -> None:
    """Write a checkpoint whole or not at all, then drop all but the newest two.

    `requires` names what must be equal where the run goes on (engine, package versions); see `available`. `code` lists the
    versions of the code that the run has come here under.
    """
    folder = store.checkpoints_path / run_id
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*"):  # by a process that was killed while it wrote; of a replay buffer it can be gigabytes
        _remove(left)
    body = pickle.dumps(payload, protocol=pickle.HIGHEST_PROTOCOL)
    about = {"step": step, "sha256": hashlib.sha256(body).hexdigest(), "requires": requires, "code": list(code)}
    header = json.dumps(about).encode()
    temporary = folder / f".{os.getpid()}.{uuid.uuid4().hex[:12]}"
    try:
        with open(temporary, "wb") as file:
            file.write(header + b"\n" + body)
            file.flush()
            os.fsync(file.fileno())
        target = folder / f"{step:012d}.ckpt"
        if target.is_dir():
            _remove(target)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    files = _files(folder)
    # Those of later steps belong to an attempt that could not be continued here and was begun anew.
    later = [path for path in files if int(path.stem) > step]
    for superfluous in later + files[len(later) + KEEP :]:
        _remove(superfluous)


def available(store: Store, run_id: str, requires: dict[str, Any]) -> list[Checkpoint]:
    """Return the sound checkpoints that can be continued exactly here, newest first; none: the run starts over."""
    found = []
    for path in _files(store.checkpoints_path / run_id):
        try:
            header_line, _, body = path.read_bytes().partition(b"\n")
            header = json.loads(header_line)
            if hashlib.sha256(body).hexdigest() == header["sha256"] and header["requires"] == requires:
                found.append(Checkpoint(header["step"], pickle.loads(body), header.get("code", [None])))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return found


def latest(store: Store, run_id: str, requires: dict[str, Any]) -> Checkpoint | None:
    """Return the newest of the checkpoints that can be continued exactly here."""
    return next(iter(available(store, run_id, requires)), None)


def begun(store: Store) -> set[str]:
    """Return the ids of the runs that have checkpoints; a few may have none that is whole."""
    try:
        return set(os.listdir(store.checkpoints_path))
    except FileNotFoundError:
        return set()


def latest_step(store: Store, run_id: str) -> int:
    """Return the step of the newest checkpoint without reading it, 0 if there is none."""
    files = _files(store.checkpoints_path / run_id)
    return int(files[0].stem) if files else 0


def code_versions(store: Store, run_id: str) -> list[Any]:
    """Return the versions of the code that the newest checkpoint was come to under; None stands for one that is not known."""
    try:
        with open(_files(store.checkpoints_path / run_id)[0], "rb") as file:
            code: list[Any] = json.loads(file.readline())["code"]
            return code
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return [None]


def sweep(store: Store) -> None:
    """Remove the checkpoints of runs that have been published: a kill may have come between the two."""
    if store.checkpoints_path.is_dir():
        for run_id in store.finished().intersection(path.name for path in store.checkpoints_path.iterdir()):
            discard(store, run_id)


def discard(store: Store, run_id: str) -> None:
    """Remove the checkpoints of a run that has been published."""
    shutil.rmtree(store.checkpoints_path / run_id, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():  # put there by somebody else; a damaged checkpoint like any other
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.ckpt"), reverse=True)
