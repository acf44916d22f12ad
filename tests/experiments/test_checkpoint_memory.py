"""Saving and resuming a replay buffer takes next to no memory beside the buffer itself."""

from __future__ import annotations

import json
import sys

import pytest
from experiment_support import python

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")

# In processes of their own: the highest mark of a process is that of all it has done.
PRELUDE = """
import json, sys
import numpy as np
from experiments import checkpoint
from experiments.expand import resolve
from experiments.spec import Arm, Row
from experiments.store import Store
from experiments.training import memory
from experiments.training.batch import Stream

settings = {"buffer_size": 1_000_000, "hidden": (8,)}
run = resolve(Row("Hopper-v4", (), 2_000_000, 1, 1), Arm("arm", "sac", settings), 0)
store, requires = Store(sys.argv[1]), {"here": "here"}
stream = Stream(run)
arrays = stream.model.buffer_arrays()
"""
SAVE = """
for number, array in enumerate(arrays.values()):
    array.fill(number)
stream.model.replay_buffer.full = True
size = sum(array.nbytes for array in arrays.values())
before = memory._settled()
for step in (64, 128):
    checkpoint.save(store, run.run_id, step, requires, stream.get_state())
print(json.dumps([size, memory._status("VmHWM") - before]))
"""
RESUME = """
before = memory._settled()
found = next(checkpoint.usable(store, run.run_id, requires, stream.get_state))
stream.set_state(found.load(into={"model": {"buffer": stream.model.buffer_arrays()}}))
size = sum(array.nbytes for array in arrays.values())
assert found.step == 128 and all((array == number).all() for number, array in enumerate(arrays.values()))
print(json.dumps([size, memory._status("VmHWM") - before]))
"""


def test_buffer_is_saved_and_resumed_in_its_own_memory(tmp_path):
    saved = python("-c", PRELUDE + SAVE, str(tmp_path))
    assert saved.code == 0, saved.err
    size, beside = json.loads(saved.out.splitlines()[-1])
    assert size > 100e6
    assert beside < 0.2 * size, f"saving took {beside / size:.2f} times the buffer beside it"
    resumed = python("-c", PRELUDE + RESUME, str(tmp_path))
    assert resumed.code == 0, resumed.err
    size, taken = json.loads(resumed.out.splitlines()[-1])
    assert taken < 1.2 * size, f"resuming took {taken / size:.2f} times the buffer, the buffer included"
