"""Checkpoints: a run's whole state at a step boundary, so that a killed run ends in the same bytes as one left alone.

    STORE/checkpoints/RUN_ID/000000123000.ckpt

One line of JSON (run, step, what is needed to continue exactly, and the state but for its arrays), the arrays as they stand in
memory, and a checksum of all that. It is plain data (`experiments.plain_data`): reading it runs no code, and needs no class.

Two are kept. A damaged one, or one of another run, is passed over for the older one. One that is sound and does not fit here
(other versions of packages, another engine, another layout of the state) is never passed over: `Misfit` names the reason and
the remedy, and it stays until it is continued where it fits, or replaced because somebody has asked for that. All are private
to the store they lie in, and are removed when the run is published.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from experiments.errors import UserError
from experiments.store import Store, same_version
from experiments.store import code_versions as results_code

if TYPE_CHECKING:
    import numpy as np

KEEP = 2
# Changes when what is in a file means something else. The first had no number, and pickled the state.
FORMAT = 2
# What the provenance of a run says that could not go on from its checkpoints.
RESTARTED = "restarted from the beginning: its checkpoints are damaged or of other versions of packages or code"

CHUNK_BYTES = 2**22
CHECKSUM_BYTES = 64
# No first line is so long: a file of zeros is not read to its end in search of one.
HEADER_BYTES = 2**28


class Misfit(UserError):
    """A run has a sound checkpoint that cannot be continued exactly here. The message is the same for runs of one reason."""


@dataclass(frozen=True)
class Checkpoint:
    """A sound checkpoint, its arrays not yet read.

    Attributes:
        step: the number of steps taken.
        requires: what must be equal where the run goes on; None for the first format, which cannot be read.
        code: the versions of the code that the run has come here under; None stands for one that is not known.
    """

    path: Path
    step: int
    requires: Mapping[str, Any] | None
    code: list[Any]
    tree: Any

    def load(self, into: Any = None) -> dict[str, Any]:
        """Read what the training loop had put in; arrays `into` those that are there (`experiments.plain_data.restore`)."""
        from experiments import plain_data  # with NumPy, which planning and status do without

        with open(self.path, "rb") as file:
            begin = len(file.readline(HEADER_BYTES))
            end = os.fstat(file.fileno()).st_size - CHECKSUM_BYTES

            def read(offset: int, array: np.ndarray) -> None:
                file.seek(begin + offset)
                if begin + offset + array.nbytes > end or file.readinto(memoryview(array.data)) != array.nbytes:
                    raise plain_data.DamagedError(f"{self.path} is too short")

            payload: dict[str, Any] = plain_data.restore(self.tree, read, into)
            return payload


def save(
    store: Store, run_id: str, step: int, requires: Mapping[str, Any], payload: dict[str, Any], code: Sequence[Any] = ()
) -> None:
    """Write a checkpoint whole or not at all, then drop all but the newest two.

    `payload` is plain data. `requires` names what must be equal where the run goes on (engine, package versions); see `usable`.
    `code` lists the versions of the code that the run has come here under. Nothing of the payload is copied to be written.
    """
    from experiments import plain_data

    folder = store.checkpoints_path / run_id
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".*"):  # by a process that was killed while it wrote; of a replay buffer it can be gigabytes
        _remove(left)
    tree, arrays = plain_data.flatten(payload)
    name = uuid.uuid4().hex[:12]
    # With a name that no other has, so that it is not mistaken for an equal one that was to be replaced.
    about: dict[str, Any] = {"format": FORMAT, "run_id": run_id, "step": step, "name": name}
    about |= {"requires": dict(requires), "code": list(code), "payload": tree}
    temporary = folder / f".{os.getpid()}.{name}"
    try:
        with open(temporary, "wb") as file:
            checksum = hashlib.sha256()
            for part in (memoryview(json.dumps(about).encode() + b"\n"), *(array.data for array in arrays)):
                for first in range(0, len(part), CHUNK_BYTES):
                    checksum.update(part[first : first + CHUNK_BYTES])
                    file.write(part[first : first + CHUNK_BYTES])
            file.write(checksum.hexdigest().encode())
            file.flush()
            os.fsync(file.fileno())
        target = folder / _name(step)
        # Those of later steps are damaged, or of an attempt that all lanes could not follow, or were to be replaced.
        for superfluous in [path for path in _files(folder) if path.name > target.name or (path == target and path.is_dir())]:
            _remove(superfluous)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    for superfluous in _files(folder)[KEEP:]:
        _remove(superfluous)


def usable(
    store: Store,
    run_id: str,
    requires: Mapping[str, Any],
    like: Callable[[], dict[str, Any]] | None = None,
    replaceable: frozenset[str] = frozenset(),
) -> Iterator[Checkpoint]:
    """Yield the sound checkpoints that can be continued exactly here, newest first; none: the run begins.

    Each is read through once, for its checksum, when it is asked for.

    Args:
        store: where they are.
        run_id: whose they are.
        requires: what here is, to be compared with what each says.
        like: gives what a run that has just begun would save here, to compare the layout of the state with.
        replaceable: `identities` of those that are passed over where they do not fit.

    Raise `Misfit` where the newest sound one does not fit and may not be replaced.
    """
    fits = False
    for path in _files(store.checkpoints_path / run_id):
        found = _sound(path, run_id)
        if found is None:
            continue
        reason = _misfit(found, requires, like)
        if reason is None:
            fits = True
            yield found
        elif not fits and _identity(path) not in replaceable:
            raise Misfit(f"its checkpoint {reason}, or train it from the beginning with --restart.")


def latest(store: Store, run_id: str, requires: Mapping[str, Any]) -> Checkpoint | None:
    """Return the newest of the checkpoints that can be continued exactly here."""
    return next(usable(store, run_id, requires), None)


def usable_step(store: Store, run_id: str, requires: Mapping[str, Any]) -> int:
    """Return the step of the newest checkpoint as far as its first line shows that it can be continued here, or else 0."""
    for path in _files(store.checkpoints_path / run_id):
        about = _about(path)
        if about.get("run_id") == run_id and about.get("format") == FORMAT:
            found = about.get("requires")
            fits = isinstance(found, dict) and all(found.get(name) == value for name, value in requires.items())
            return int(path.stem) if fits and about.get("step") == int(path.stem) else 0
    return 0


def identities(store: Store, run_ids: Iterable[str]) -> frozenset[str]:
    """Return what tells the checkpoints that these runs have now from all that will ever be written."""
    folders = [store.checkpoints_path / run_id for run_id in run_ids]
    return frozenset(_identity(path) for folder in folders if folder.is_dir() for path in _files(folder))


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
    files = _files(store.checkpoints_path / run_id)
    return _code(_about(files[0])) if files else [None]


def sweep(store: Store) -> None:
    """Remove the checkpoints of runs that have been published: a kill may have come between the two.

    Those of another version of the code than the result's belong to training that is to replace it.
    """
    if store.checkpoints_path.is_dir():
        for run_id in store.finished().intersection(path.name for path in store.checkpoints_path.iterdir()):
            made, begun = results_code(store.provenance(run_id)), code_versions(store, run_id)
            if not begun or not made or begun[-1] == made[-1] or same_version(begun[-1], made[-1]):
                discard(store, run_id)


def discard(store: Store, run_id: str) -> None:
    """Remove the checkpoints of a run that has been published."""
    shutil.rmtree(store.checkpoints_path / run_id, ignore_errors=True)


def _misfit(found: Checkpoint, requires: Mapping[str, Any], like: Callable[[], dict[str, Any]] | None) -> str | None:
    """Return why a checkpoint cannot be continued here and what would let it, or None if it can."""
    from experiments import plain_data

    commit = dict(found.code[-1] or {}).get("commit") if found.code else None
    code = f"the code that made it (commit {commit[:7]})" if isinstance(commit, str) else "the code that made it"
    if found.requires is None:
        return f"was written by an older version of the code, in a form that is no longer read; finish it with {code}"
    wrong = {name: value for name, value in requires.items() if found.requires.get(name) != value}
    if wrong:
        made_with = " and ".join(f"{name} {_told(found.requires.get(name))}" for name in wrong)
        here = " and ".join(_told(value) for value in wrong.values())
        remedies = [_engine_remedy(wrong["engine"])] if "engine" in wrong else []
        if packages := len(wrong) - len(remedies):
            remedies.append("install that version" if packages == 1 else "install those versions")
        return f"was made with {made_with}, here {'is' if len(wrong) == 1 else 'are'} {here}; {' and '.join(remedies)}"
    if like is not None and plain_data.outline(found.tree) != plain_data.outline(plain_data.flatten(like())[0]):
        return f"keeps the state in another layout than this version of the code; continue it with {code}"
    return None


def _engine_remedy(here: Any) -> str:
    if here == "eager":
        return "install a C++ compiler and the headers of Python (on Debian, g++ and python3-dev)"
    return "continue it where there is no C++ compiler"


def _told(value: Any) -> str:
    return "none" if value is None else str(value)


def _sound(path: Path, run_id: str) -> Checkpoint | None:
    """Return a checkpoint that is what was written, and was written for this run and step; None if it is not."""
    from experiments import plain_data

    try:
        about = _about(path)
        if "format" not in about:
            return _of_the_first_format(path, about)
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size - CHECKSUM_BYTES
            if size < 0 or _checksum(file, size).encode() != file.read(CHECKSUM_BYTES):
                return None
        if (about["format"], about["run_id"], _name(about["step"])) != (FORMAT, run_id, path.name):
            return None
        plain_data.outline(about["payload"])  # raises where it is not what `flatten` makes
        return Checkpoint(path, about["step"], dict(about["requires"]), list(about["code"]), about["payload"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _of_the_first_format(path: Path, about: dict[str, Any]) -> Checkpoint | None:
    # A line of JSON and a pickle, with the checksum of the pickle in the line. The pickle is not opened.
    with open(path, "rb") as file:
        file.readline(HEADER_BYTES)
        if _checksum(file, os.fstat(file.fileno()).st_size - file.tell()) != about["sha256"]:
            return None
    return Checkpoint(path, int(about["step"]), None, _code(about), None)


def _checksum(file: BinaryIO, size: int) -> str:
    """Read so many bytes and return their checksum."""
    checksum, chunk = hashlib.sha256(), bytearray(min(size, CHUNK_BYTES))
    while size > 0:
        read = file.readinto(memoryview(chunk)[:size])  # type: ignore[attr-defined]
        if not read:
            break
        checksum.update(memoryview(chunk)[:read])
        size -= read
    return checksum.hexdigest()


def _about(path: Path) -> dict[str, Any]:
    """Return what the first line of a checkpoint says; nothing if it cannot be read."""
    try:
        with open(path, "rb") as file:
            about = json.loads(file.readline(HEADER_BYTES))
        return about if isinstance(about, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}


def _code(about: Mapping[str, Any]) -> list[Any]:
    code = about.get("code", [None])
    return code if isinstance(code, list) else [None]


def _identity(path: Path) -> str:
    """Return what tells a file from others: the end of it, which as a rule is a checksum of the whole."""
    told = hashlib.sha256(f"{path.parent.name}/{path.name}\0".encode())
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - CHECKSUM_BYTES))
            told.update(file.read())
    except OSError:
        pass
    return told.hexdigest()[:16]


def _name(step: int) -> str:
    return f"{step:012d}.ckpt"


def _remove(path: Path) -> None:
    if path.is_dir():  # put there by somebody else; a damaged checkpoint like any other
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> list[Path]:
    return sorted((path for path in folder.glob("[0-9]*.ckpt") if path.stem.isdecimal()), reverse=True)
