"""The softmax: its numbers, and that a lane's bits are the same beside any number of others."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

from algorithms.chain import loss_of
from algorithms.kernels import Compiler
from algorithms.softmax import log_softmax
from algorithms.toolchain import compiler_available


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=12))
def test_numbers_are_those_of_torch(values):
    x = torch.tensor(values, dtype=torch.float64)
    torch.testing.assert_close(log_softmax(x), torch.log_softmax(x, -1), rtol=1e-12, atol=1e-12)
    assert torch.isfinite(log_softmax(x.float())).all()


@pytest.mark.skipif(not compiler_available(), reason="there is no C++ compiler")
@pytest.mark.slow
def test_loss_of_a_compiled_lane_does_not_depend_on_how_many_there_are():
    def step(outputs, labels):
        return list(vmap(lambda output, label: tuple(loss_of("cross_entropy", output, label)))(outputs, labels))

    g = np.random.default_rng(0)
    outputs = torch.from_numpy(3 * g.standard_normal((500, 5, 10), np.float32))
    labels = torch.from_numpy(g.integers(0, 10, (500, 5)))
    told = {}
    with torch.no_grad():
        for lanes in (2, 5):
            example = [outputs[0, :lanes].clone(), labels[0, :lanes].clone()]
            kernel = Compiler().compile(make_fx(step)(*example), example)
            told[lanes] = [kernel(x[:lanes].clone(), y[:lanes].clone()) for x, y in zip(outputs, labels, strict=True)]
    for few, many in zip(told[2], told[5], strict=True):
        for own, other in zip(few, many, strict=True):
            assert torch.equal(own, other[:2])
