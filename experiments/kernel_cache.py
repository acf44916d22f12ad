"""Compiled kernels on disk, for the processes that come later: 4 s instead of 12 s until the first step.

    FOLDER
      torch-2.13.0-python-3.11-avx512-3f2a.../NAME.zip     what Inductor left of one kernel, for one machine code
      work/HOST.xxxxxxxx/                                  where a process compiles

A kernel appears by one rename and is never changed. Its archive holds checksums, so that one that is empty, cut off or damaged
is noticed before anything of it is loaded; it is removed, and the kernel compiled again. Several processes may use one folder:
each compiles in a place of its own, and of two that compile the same kernel the last one's copy stays.

Kernels are code. A folder that other users may write to is refused.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shlex
import shutil
import socket
import stat
import sys
import tempfile
import time
import uuid
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import platformdirs

from experiments.errors import NOTE, UserError
from experiments.file_lock import locked

# Where another host's process may still be at work; its locks are not seen everywhere.
FORGOTTEN_AFTER_SECONDS = 86_400.0
WORK = "work"
OWNER = "owner"


def default_folder() -> Path:
    """Return the place for kernels in the user's cache folder (on Linux `~/.cache/streaming-rl/kernels`)."""
    return platformdirs.user_cache_path("streaming-rl", appauthor=False) / "kernels"


def say(sentence: str) -> None:
    """Tell whoever started this process; the executor of a worker passes it on."""
    print(f"{NOTE}{sentence}", file=sys.stderr, flush=True)


class KernelCache:
    """Kernels for one instruction set, one compiler and one version of torch and Python, in a folder of many.

    Raise `UserError` where the folder cannot be used.
    """

    def __init__(self, folder: Path, instruction_set: str, compiler: str, tell: Callable[[str], None] = say):
        self._folder = folder.absolute()
        self._kernels = self._folder / _title(instruction_set, compiler)
        self._work = self._folder / WORK
        self._say = tell
        if shlex.quote(str(self._folder)) != str(self._folder):  # Inductor writes it into a command line as it is
            raise UserError(
                f"the folder for compiled kernels {self._folder} has a space or another special character in its path, which "
                "the compiler cannot take; choose another with --kernels."
            )
        try:
            for place in (self._folder, self._kernels, self._work):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_private(place)
            with self._locked():
                self._sweep()
        except OSError as error:
            raise UserError(_unusable(self._folder, error)) from None

    @contextmanager
    def workspace(self) -> Iterator[Path]:
        """Give an empty folder that belongs to this process alone, and goes away even where this process is killed."""
        try:
            with self._locked():
                place = Path(tempfile.mkdtemp(prefix=f"{socket.gethostname()}.", dir=self._work))
                owner = open(place / OWNER, "w")  # noqa: SIM115 (held as long as the folder is used)
                print(os.getpid(), end="", file=owner, flush=True)
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (place / "kernel").mkdir()
        except OSError as error:
            raise UserError(_unusable(self._folder, error)) from None
        try:
            yield place / "kernel"
        finally:
            shutil.rmtree(place, ignore_errors=True)
            owner.close()

    def restore(self, name: str, folder: Path) -> bool:
        """Copy a kernel into an empty folder; return whether there was one. One that is damaged is removed."""
        try:
            with zipfile.ZipFile(self._path(name)) as archive:
                archive.extractall(folder)
            return True
        except FileNotFoundError:
            return False
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):  # it is the folder's fault, not the kernel's
                raise UserError(_unusable(self._folder, error)) from None
            self._give_up(name, folder, error)
            return False
        except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
            self._give_up(name, folder, error)
            return False

    def publish(self, name: str, folder: Path) -> None:
        """Keep a copy of a kernel. Where it cannot be written, the next process will compile as this one did."""
        temporary = folder.parent / f"{uuid.uuid4().hex}.zip"
        try:
            with open(temporary, "xb") as file:
                with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                    for path in sorted(folder.rglob("*")):
                        if path.is_file() and path.suffix not in (".lock", ".tmp"):
                            archive.write(path, path.relative_to(folder))
                file.flush()
                os.fsync(file.fileno())
            if self._path(name).is_dir():  # put there by somebody else
                shutil.rmtree(self._path(name))
            os.replace(temporary, self._path(name))
        except OSError as error:
            self._say(
                f"a compiled kernel could not be kept in {self._kernels} ({error.strerror}); others will compile it again."
            )

    def discard(self, name: str, reason: str) -> None:
        """Remove a kernel that is damaged or does not load, and say so."""
        path = self._path(name)
        with suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        self._say(f"the compiled kernel {path} was of no use ({reason}) and is compiled again.")

    def _give_up(self, name: str, folder: Path, error: Exception) -> None:
        self.discard(name, str(error) or type(error).__name__)
        for path in folder.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _path(self, name: str) -> Path:
        return self._kernels / f"{name}.zip"

    def _locked(self) -> AbstractContextManager[None]:
        """Keep others from taking a folder for a dead process's before its owner's lock is on it."""
        return locked(self._work / ".lock")

    def _sweep(self) -> None:
        """Remove the folders of processes that were killed."""
        for place in self._work.iterdir():
            if place.name == ".lock":
                continue
            here = place.name.rpartition(".")[0] == socket.gethostname()
            if _unlocked(place / OWNER) if here else _old(place):
                shutil.rmtree(place, ignore_errors=True)


def _unlocked(path: Path) -> bool:
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _old(place: Path) -> bool:
    try:
        return place.stat().st_mtime < time.time() - FORGOTTEN_AFTER_SECONDS
    except FileNotFoundError:
        return False


def check_private(folder: Path) -> None:
    """Raise `UserError` where another user could put kernels into a folder: they are loaded as code."""
    about = folder.stat()
    if about.st_uid != os.geteuid():
        raise UserError(f"the folder for compiled kernels {folder} belongs to another user; choose another with --kernels.")
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UserError(
            f"other users may write to the folder for compiled kernels {folder}, and so have their code run here; "
            f"`chmod 700 {folder}` or choose another with --kernels."
        )
    for parent in folder.parents:
        mode = parent.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise UserError(
                f"other users may write to {parent} and so replace the folder for compiled kernels {folder}; "
                "choose another with --kernels."
            )


def _title(instruction_set: str, compiler: str) -> str:
    """Return a name for everything that machine code depends on beside the graph itself."""
    version, torch_itself = importlib.metadata.version("torch"), importlib.util.find_spec("torch")
    versions = f"torch-{version.partition('+')[0]}-python-{platform.python_version()}-{instruction_set}"
    everything = (
        version,
        torch_itself and torch_itself.origin,
        sys.version,
        platform.machine(),
        platform.libc_ver(),
        compiler,
        instruction_set,
    )
    processor = None
    if instruction_set == "native":
        import torch  # it takes seconds, and only what it knows of the processor is wanted

        processor = sorted(torch.cpu.get_capabilities().items())
    return f"{versions}-{hashlib.sha256(repr((everything, processor)).encode()).hexdigest()[:12]}"


def _unusable(folder: Path, error: OSError) -> str:
    return (
        f"the folder for compiled kernels {folder} cannot be used ({error.strerror or error}); choose another with --kernels."
    )
