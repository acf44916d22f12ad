"""Memory that a step frees is there for the next one, without the system."""

from __future__ import annotations

import sys

import pytest
from experiment_support import python

# Eight arrays of 11 MB a round, freed from the last to the first: NumPy alone, whose heap ends with them.
ROUNDS = """
import resource, sys
import numpy as np
from experiments.heap import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def step():
    arrays = [np.ones(3_000_000, np.float32) for _ in range(8)]
    while arrays:
        arrays.pop()

for _ in range(5):
    step()
before = faults()
for _ in range(20):
    step()
print((faults() - before) / 20)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's heap")
def test_pages_are_not_asked_for_at_every_step():
    kept, given_back = (float(python("-c", ROUNDS, how).out) for how in ("kept", "given back"))
    assert kept < 10 < 1000 < given_back
