"""Keep what is freed. A learner's step makes arrays of a few megabytes and frees them again, thousands of times a second.

The C library gives the end of its heap back to the system as soon as enough of it is free, and has to ask for it again at the
next step; the system then hands over every page anew, filled with zeros. Whether it comes to that depends on what happens to
lie at the end of the heap: a worker with a GRU spent half of its time in the system.
"""

from __future__ import annotations

import ctypes

# As in malloc.h, and how much may lie free before some is given back. Beyond the second, the largest that glibc takes, an array
# is still a mapping of its own, and given back when it is freed: replay buffers are such arrays.
M_TRIM_THRESHOLD, FREE_BYTES = -1, 2**29
M_MMAP_THRESHOLD, LARGEST_BYTES = -3, 2**25


def keep_freed_memory() -> bool:
    """Ask the C library of this process to keep up to `FREE_BYTES` that are free; return whether it can."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # not glibc
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGEST_BYTES) and mallopt(M_TRIM_THRESHOLD, FREE_BYTES))
