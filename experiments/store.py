"""The run store: where finished runs are, and the rules by which they get there.

    STORE/finished/RUN_ID/   config.json result.json TABLE.arrow ... provenance.json
    STORE/claims/RUN_ID      who trains the run now, and the heartbeat of that owner
    STORE/checkpoints/RUN_ID/
    STORE/failures/RUN_ID    traceback of a run that raised, or why one was refused

A directory under `finished` is a finished run; nothing else is. It appears by one rename. A measurement that is taken anew is
moved to `finished/.RUN_ID.replaced` until the new one stands in its place. `config.json`, `result.json` and
the tables are a function of the configuration alone; `provenance.json` says how, where and when they were made, and holds
their checksums.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from experiments.errors import UserError
from experiments.file_lock import locked
from experiments.spec import Run, run_id_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

# An owner on another machine that has been silent for so long is taken for dead.
STALE_AFTER_SECONDS = 600.0
# How the message begins of a run whose checkpoint did not fit where it was tried. It has not failed: it is tried again unasked.
REFUSED = "refused: "
# Heartbeats that nobody removed, because their owner was killed.
FORGET_AFTER_SECONDS = 86_400.0
# An owner of this host's name that was heard of before this host started, and not for so long, went down with it.
SILENT_SECONDS = 60.0
# Threads where reading is waiting, how many results they may be ahead, and after how many reads that is decided.
READERS, AHEAD, SAMPLE = 8, 64, 64

# What a learner has learnt, in the folder of its run.
WEIGHTS = "weights.bin"

Result = TypeVar("Result")
Table = Mapping[str, "np.ndarray"]


class Store:
    """Finished runs, claims and failures under one root folder. Reading never writes; folders are made when needed.

    pyarrow is imported where tables are written and read: planning and status look at names alone.
    """

    def __init__(self, root: str | Path):
        self.root = Path(root)
        existing = next(p for p in (self.root, *self.root.absolute().parents) if p.exists())
        if not existing.is_dir():
            raise UserError(f"the store {self.root} is not a folder; choose another with --store.")
        self.finished_path = self.root / "finished"
        self.claims_path = self.root / "claims"
        self.checkpoints_path = self.root / "checkpoints"
        self.failures_path = self.root / "failures"

    def check_writable(self) -> None:
        """Raise `OSError` unless a file can be written here, so that hours of training do not find out."""
        self.root.mkdir(parents=True, exist_ok=True)
        probe = self.root / f".probe.{_unique()}"
        try:
            with open(probe, "wb") as file:
                file.write(bytes(2**16))
                os.fsync(file.fileno())
        finally:
            probe.unlink(missing_ok=True)

    # Finished runs

    def finished(self) -> set[str]:
        """Return the ids of all finished runs."""
        return _names(self.finished_path)

    def publish(
        self,
        run: Run,
        tables: Mapping[str, Table],
        result: Mapping[str, Any],
        provenance: Mapping[str, Any],
        replace: bool = False,
        weights: Any = None,
    ) -> bool:
        """Make a finished run appear, whole or not at all. Return False if it was there already.

        `weights`, what the learner has learnt, is plain data (`experiments.plain_data`).

        The first one stays, unless the new one is to `replace` it. Whoever is killed on the way leaves one or the other, the
        old one after the next `sweep`.
        """
        import pyarrow as pa
        from pyarrow import feather

        target = self.finished_path / run.run_id
        self.finished_path.mkdir(parents=True, exist_ok=True)
        temporary = self.root / "tmp" / f"{run.run_id}.{_unique()}"
        temporary.mkdir(parents=True)
        try:
            _write_json(temporary / "config.json", run.config())
            _write_json(temporary / "result.json", result)
            for name, table in tables.items():
                path = temporary / f"{name}.arrow"
                feather.write_feather(pa.table(dict(table)), str(path), compression="zstd")
                _sync(path)
            if weights is not None:
                from experiments import plain_data

                with open(temporary / WEIGHTS, "wb") as file:
                    file.writelines(plain_data.to_bytes(weights))
                _sync(temporary / WEIGHTS)
            checksums = {name: _sha256(content) for name, content in sorted(_contents(temporary).items())}
            finished = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            _write_json(temporary / "provenance.json", {"finished": finished, **provenance, "sha256": checksums})
            _sync(temporary)
            if replace and target.is_dir():
                os.replace(target, self._replaced_path(run.run_id))
            try:
                os.replace(temporary, target)
            except OSError:
                if target.is_dir():
                    return False
                raise
            _sync(self.finished_path)
            if replace:
                shutil.rmtree(self._replaced_path(run.run_id), ignore_errors=True)
            return True
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def provenance(self, run_id: str) -> dict[str, Any]:
        """Return how a finished run came about; empty if it cannot be read."""
        try:
            with open(f"{self.finished_path}/{run_id}/provenance.json", "rb") as file:  # no Path: it may be asked of thousands
                content: dict[str, Any] = json.loads(file.read())
            return content
        except (OSError, ValueError):
            return {}

    def provenances(self, run_ids: Sequence[str]) -> list[dict[str, Any]]:
        """Return how finished runs came about, in the order asked for."""
        return list(read_each(self.provenance, run_ids))

    def damaged(self, run_id: str) -> list[str]:
        """Return which files of a finished run are gone or are not what was published."""
        return _damaged(run_id, _contents(self.finished_path / run_id))

    def load(self, run_id: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, pa.Table]]:
        """Return result, provenance and tables of a finished run, checked against their checksums."""
        import pyarrow as pa
        from pyarrow import feather

        path = self.finished_path / run_id
        contents = _contents(path, without=WEIGHTS)
        if damaged := [name for name in _damaged(run_id, contents) if name != WEIGHTS]:
            raise UserError(_damaged_words(path / damaged[0]))
        # Without pyarrow's threads: they cost more than they save on tables so small.
        tables = {
            name.removesuffix(".arrow"): feather.read_table(pa.BufferReader(contents[name]), use_threads=False)
            for name in sorted(contents)
            if name.endswith(".arrow")
        }
        return json.loads(contents["result.json"]), json.loads(contents["provenance.json"]), tables

    def config(self, run_id: str) -> dict[str, Any]:
        """Return the configuration of a finished run."""
        content: dict[str, Any] = json.loads((self.finished_path / run_id / "config.json").read_bytes())
        return content

    def weights(self, run_id: str) -> Any:
        """Return what the learner of a finished run had learnt; None where that was not kept."""
        from experiments import plain_data

        path = self.finished_path / run_id
        if not (path / WEIGHTS).exists():
            return None
        contents = _contents(path)
        if WEIGHTS in _damaged(run_id, contents):
            raise UserError(_damaged_words(path / WEIGHTS))
        return plain_data.from_bytes(contents[WEIGHTS])

    def _replaced_path(self, run_id: str) -> Path:
        return self.finished_path / f".{run_id}.replaced"

    def discard(self, run_id: str) -> None:
        """Remove a finished run that is damaged."""
        gone = self.root / "tmp" / f"{run_id}.{_unique()}"
        gone.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.finished_path / run_id, gone)
        shutil.rmtree(gone, ignore_errors=True)

    # Claims

    def claim(self, run_id: str, owner: Owner, again: bool = False) -> bool:
        """Take a run for training. Return False if it is finished, unless it is done `again`, or a living owner has it."""
        self.claims_path.mkdir(parents=True, exist_ok=True)
        path = self.claims_path / run_id
        with self._locked():
            if not again and (self.finished_path / run_id).exists():
                return False
            holder = self.claimant(run_id)
            if holder is not None and holder["owner"] != owner.name:
                if holder["ahead_of_clock"]:
                    self._date_heartbeat(holder["owner"])
                    return False
                if holder["alive"]:
                    return False
            _put_json(path, owner.identity())
            return True

    def claimed(self) -> set[str]:
        """Return the ids of all claimed runs, whether or not who claimed them is alive."""
        return _names(self.claims_path)

    def release(self, run_id: str, owner: Owner) -> None:
        """Give a claimed run up; does nothing if somebody else holds it."""
        with self._locked():
            holder = self.claimant(run_id)
            if holder is not None and holder["owner"] == owner.name:
                (self.claims_path / run_id).unlink(missing_ok=True)

    def claimant(self, run_id: str) -> dict[str, Any] | None:
        """Return who holds a run, or None. What the last heartbeat said (step, steps_per_second) is among it.

        `alive` says whether the owner trains. Where its processes can be seen they tell. Elsewhere, and that may be another
        container of the same name, a fresh heartbeat is believed. `dying` is a living owner whose starter is gone: it is about
        to stop, with its state in a checkpoint.
        """
        try:
            holder: dict[str, Any] = json.loads((self.claims_path / run_id).read_text())
        except (FileNotFoundError, ValueError):
            return None
        beat = self._heartbeat_path(holder["owner"])
        try:
            age = time.time() - beat.stat().st_mtime
            holder.update(json.loads(beat.read_text()))
        except (FileNotFoundError, ValueError):
            age = time.time() - holder["since"]
        holder["heartbeat_age"] = max(0.0, age)
        holder["ahead_of_clock"] = False
        holder["dying"] = False
        place = Place.here()
        if holder["host"] == place.host and place.shows_processes_of(holder):
            holder["alive"] = holder["process"] == process_identity(holder["pid"])
            parent = holder.get("parent")
            holder["dying"] = holder["alive"] and parent is not None and parent != process_identity(int(parent.split("@")[0]))
        elif holder["host"] == place.host and place.started_since(holder, age):
            holder["alive"] = False
        elif holder["job"] and holder["job"] == os.environ.get("SLURM_JOB_ID"):
            holder["alive"] = False  # this very job before it was requeued: a job runs on one node at a time
        else:
            holder["alive"] = abs(age) < STALE_AFTER_SECONDS
            holder["ahead_of_clock"] = age <= -STALE_AFTER_SECONDS
        return holder

    def holds(self, run_id: str, owner: Owner) -> bool:
        """Return whether a claimed run is still this owner's; another one may have taken it for dead."""
        try:
            return bool(json.loads((self.claims_path / run_id).read_text())["owner"] == owner.name)
        except (FileNotFoundError, ValueError):
            return False

    def beat(self, owner: Owner, progress: Mapping[str, Any]) -> None:
        """Tell that an owner is alive and how far it is."""
        self.claims_path.mkdir(parents=True, exist_ok=True)
        _put_json(self._heartbeat_path(owner.name), progress)

    def forget(self, owner: Owner) -> None:
        """Remove an owner's heartbeat when it has given up all claims."""
        self._heartbeat_path(owner.name).unlink(missing_ok=True)

    def _date_heartbeat(self, owner: str) -> None:
        # A clock has been set back, or another host's differs: such a time tells nothing of whether the owner lives. Dated
        # by the clock it is read with, it does: a living owner beats again, and a dead one is silent for long enough.
        beat, now = self._heartbeat_path(owner), time.time()
        if not beat.exists():
            _put_json(beat, {})
        os.utime(beat, (now, now))

    def _heartbeat_path(self, owner: str) -> Path:
        return self.claims_path / f".heartbeat.{owner}"

    def _locked(self) -> AbstractContextManager[None]:
        # Replacing a dead owner's claim must not race with another starter doing the same. Should it do so all the same, one
        # of the two finds at its next heartbeat that it has lost the claim, and stops.
        return locked(self.claims_path / ".lock")

    # What killed processes leave

    def sweep(self) -> None:
        """Remove what killed processes have left: half-published runs, claims on finished ones, heartbeats of a day ago."""
        for name in _names(self.root / "tmp"):
            holder = self.claimant(name.rsplit(".", 2)[0])
            if holder is None or not holder["alive"]:
                shutil.rmtree(self.root / "tmp" / name, ignore_errors=True)
        for path in self.finished_path.glob(".*.replaced"):
            run_id = path.name.removeprefix(".").removesuffix(".replaced")
            holder = self.claimant(run_id)
            if holder is not None and holder["alive"]:
                continue
            with suppress(OSError):  # another process did the same
                if (self.finished_path / run_id).exists():
                    shutil.rmtree(path)
                else:
                    os.replace(path, self.finished_path / run_id)
        for run_id in _names(self.claims_path) & self.finished():
            with self._locked():
                holder = self.claimant(run_id)
                if holder is None or not holder["alive"]:
                    (self.claims_path / run_id).unlink(missing_ok=True)
        for beat in self.claims_path.glob(".heartbeat.*"):
            with suppress(FileNotFoundError):
                if time.time() - beat.stat().st_mtime > FORGET_AFTER_SECONDS:
                    beat.unlink()

    # Failures

    def failures(self) -> set[str]:
        """Return the ids of all runs whose last attempt raised an exception or was refused."""
        return _names(self.failures_path)

    def fail(self, run_id: str, traceback: str) -> None:
        """Keep the traceback of a failed run."""
        self.failures_path.mkdir(parents=True, exist_ok=True)
        temporary = self.failures_path / f".{run_id}.{_unique()}"
        temporary.write_text(traceback, encoding="utf-8", errors="replace")
        os.replace(temporary, self.failures_path / run_id)

    def refuse(self, run_id: str, reason: str) -> None:
        """Keep why a run was not trained although nothing is wrong with it; where the reason is gone it is trained unasked."""
        self.fail(run_id, f"{REFUSED}{reason}\n")

    def refusals(self) -> dict[str, str]:
        """Return why runs were refused when they were last tried, by id."""
        found = {}
        for run_id in self.failures():
            with suppress(FileNotFoundError):  # forgiven meanwhile
                message = self.failure(run_id)
                if message.startswith(REFUSED):
                    found[run_id] = message.removeprefix(REFUSED).strip()
        return found

    def failure(self, run_id: str) -> str:
        """Return the traceback of a failed run."""
        return (self.failures_path / run_id).read_text(encoding="utf-8", errors="replace")

    def forgive(self, run_id: str) -> None:
        """Forget a failure, or a result that is damaged, so that the run is tried again."""
        if (self.finished_path / run_id).is_dir() and self.damaged(run_id):
            self.discard(run_id)
        (self.failures_path / run_id).unlink(missing_ok=True)


def code_versions(provenance: Mapping[str, Any]) -> list[Any]:
    """Return the versions of the code that a run was made by, one as a rule; None stands for one that is not known."""
    return list(provenance.get("code") or [provenance.get("git")])


def same_version(one: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> bool:
    """Return whether two versions of the code are one: by their sources, or before these were always recorded by the commit."""
    one, other = dict(one or {}), dict(other or {})
    if one.get("source") and other.get("source"):
        return bool(one["source"] == other["source"])
    return bool(one.get("commit") and one["commit"] == other.get("commit") and one.get("dirty") is other.get("dirty") is False)


def read_each(read: Callable[[str], Result], run_ids: Sequence[str]) -> Iterator[Result]:
    """Yield what is read of many runs, in the order asked for, a few ahead: memory does not grow with their number.

    Threads wait for the disk where the first few runs took longer than the processor was busy with them. Where all is in the
    page cache threads would hand the interpreter's lock around, which takes twice as long as reading.
    """
    began, used = time.monotonic(), time.thread_time()
    first = [read(run_id) for run_id in run_ids[:SAMPLE]]
    busy = time.thread_time() - used
    waited = time.monotonic() - began - busy
    yield from first
    rest = run_ids[SAMPLE:]
    if waited < busy:
        yield from map(read, rest)
        return
    with ThreadPoolExecutor(READERS) as pool:
        ahead: deque[Future[Result]] = deque()
        for run_id in rest:
            ahead.append(pool.submit(read, run_id))
            if len(ahead) == AHEAD:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


class Place(NamedTuple):
    """Where a process runs: what has to be equal for the number of a process to mean the same one. Empty: not known."""

    host: str
    boot: str
    pid_namespace: str

    @classmethod
    def here(cls) -> Place:
        """Return where this process runs."""
        boot = namespace = ""
        with suppress(OSError):
            boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        with suppress(OSError):
            namespace = os.readlink("/proc/self/ns/pid")
        return cls(socket.gethostname(), boot, namespace)

    def shows_processes_of(self, claim: Mapping[str, Any]) -> bool:
        """Return whether the owner's process can be looked up here. Claims of before this was recorded have the host alone."""
        return bool(
            claim.get("boot", self.boot) == self.boot and claim.get("pid_namespace", self.pid_namespace) == self.pid_namespace
        )

    def started_since(self, claim: Mapping[str, Any], silent_seconds: float) -> bool:
        """Return whether this host has started anew since the owner was last heard of."""
        try:
            up = float(Path("/proc/uptime").read_text().split()[0])
        except (OSError, ValueError, IndexError):
            return False
        return claim.get("boot", self.boot) != self.boot and silent_seconds > max(up, SILENT_SECONDS)


class Owner:
    """A process that trains: named so that no other process, here or elsewhere, has the same name.

    `parent` is the process that it works for and stops without; None: it works for itself.
    """

    def __init__(self, parent: int | None = None) -> None:
        self.place = Place.here()
        self.host = self.place.host
        self.pid = os.getpid()
        self.parent = None if parent is None else process_identity(parent) or f"{parent}@gone"
        self.name = f"{self.host}-{_unique()}"

    def identity(self) -> dict[str, Any]:
        """Return what a claim says about its owner."""
        return {
            "owner": self.name,
            **self.place._asdict(),
            "pid": self.pid,
            "process": process_identity(self.pid),
            "parent": self.parent,
            "job": os.environ.get("SLURM_JOB_ID"),
            "since": time.time(),
        }


def process_identity(pid: int) -> str | None:
    """Return what tells a process from a later one of the same pid (its start time), or None if it is not running."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if fields[0] == "Z" else f"{pid}@{fields[19]}"
    except (FileNotFoundError, ProcessLookupError):
        pass
    if Path("/proc/self/stat").exists():
        return None
    try:  # no /proc (macOS): only whether the pid is in use
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return str(pid)


def _names(path: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(path) if not entry.name.startswith(".")}
    except FileNotFoundError:
        return set()


def _unique() -> str:
    return f"{os.getpid()}.{uuid.uuid4().hex[:12]}"


def _put_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a small file as a whole, or leave it and nothing else behind."""
    temporary = path.with_name(f".{path.name}.{_unique()}")
    try:
        temporary.write_text(json.dumps(content))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")
    _sync(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _damaged_words(path: Path) -> str:
    return f"{path} is damaged; the same experiments.run with --retry trains this run again."


def _contents(folder: Path, without: str = "") -> dict[str, bytes]:
    """Read the files of a folder, each once: what is checked is what is then parsed. Hidden ones are nothing of ours."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.is_file() and not entry.name.startswith(".")]
        names = [name for name in names if name != without]
    except FileNotFoundError:
        return {}
    contents = {}
    for name in names:
        with open(f"{folder}/{name}", "rb") as file:
            contents[name] = file.read()
    return contents


def _damaged(run_id: str, contents: Mapping[str, bytes]) -> list[str]:
    """Return the names of files that are gone or are not what was published; that of the checksums, if there are none.

    The configuration is not what was published either where it is another run's: folders were swapped or renamed.
    """
    try:
        checksums: dict[str, str] = dict(json.loads(contents["provenance.json"])["sha256"])
    except (KeyError, ValueError, TypeError):
        return ["provenance.json"]
    wrong = [name for name, sha256 in checksums.items() if name not in contents or _sha256(contents[name]) != sha256]
    if not checksums:
        return ["provenance.json"]
    if "config.json" not in wrong and _run_id(contents.get("config.json", b"")) != run_id:
        return [*wrong, "config.json"]
    return wrong


def _run_id(config: bytes) -> str | None:
    """Return the id of the run that a configuration is of, None if it is of none."""
    try:
        return run_id_of(json.loads(config))
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
