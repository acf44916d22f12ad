"""A lock that processes of one host, or of several on one file system, take in turn."""

from __future__ import annotations

import fcntl
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

# Whoever holds a lock for longer is suspended (a cluster's job, a virtual machine): it is held for milliseconds.
PATIENCE_SECONDS = 60.0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a file, which is made where it is missing.

    The lock is not certain: one goes on without it where the file system knows none, or where the holder is suspended. What it
    protects must bear that.
    """
    until = time.monotonic() + PATIENCE_SECONDS
    with open(path, "a") as file:
        while _another_has_it(file) and time.monotonic() < until:
            time.sleep(random.uniform(0.001, 0.01))
        yield


def _another_has_it(file: IO[str]) -> bool:
    """Take the lock, unless another holds it; a file system without locks has no holders."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        pass
    return False
