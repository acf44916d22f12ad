"""What becomes of a step in its kernel: how often numbers are computed and written, which no result shows."""

import re
from contextlib import contextmanager

import pytest
from probes import generator

from algorithms.agent import Spaces
from algorithms.kernels import Compiler, NoCache
from algorithms.lanes import Lanes
from algorithms.toolchain import compiler_available
from baselines.iac import IAC

SPACES = Spaces(obs_shape=(16,), action_size=2, action_low=(-1.0, -1.0), action_high=(1.0, 1.0))
UNITS = 32


class Folder(NoCache):
    """Keeps the folder that a kernel is compiled in."""

    def __init__(self, path):
        self.path = path

    @contextmanager
    def workspace(self):
        yield self.path


@pytest.mark.slow
@pytest.mark.skipif(not compiler_available(), reason="no C++ compiler to compile lanes with")
def test_gradients_of_matrices_are_not_written_to_memory_and_activations_are_computed_once(tmp_path):
    agent = IAC(hidden=(UNITS, UNITS))
    lanes = Lanes(agent, SPACES, [agent.init(generator(lane), SPACES) for lane in range(2)], Compiler(cache=Folder(tmp_path)))
    lanes.step()
    (program,) = [path.read_text() for path in tmp_path.rglob("*.py") if "empty_strided_cpu" in path.read_text()]
    (code,) = [path.read_text() for path in tmp_path.rglob("*.main.cpp")]
    buffers = re.findall(r"empty_strided_cpu\(\((\d+), (\d+), (\d+)\)", program)
    assert not [shape for shape in buffers if int(shape[1]) * int(shape[2]) >= UNITS * UNITS], buffers
    slopes = [loop for loop in code.split("\n    {\n") if "0.01)" in loop and f"{UNITS * UNITS}L*x0" in loop]
    assert not [loop for loop in slopes if "sqrt()" in loop]  # no LeakyReLU in Adam's loop
