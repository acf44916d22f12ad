"""Buffers of a kernel are allocated once, and nothing that a caller holds is written over."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from probes import generator

from algorithms.agent import NoiseSpec, Spaces
from algorithms.buffers import Buffers
from algorithms.lanes import Lanes
from algorithms.toolchain import compiler_available

SPACES = Spaces(obs_shape=(32,), action_size=1)
GUARDS = torch._C._dynamo.guards


@dataclass(frozen=True)
class Mean:
    """Learns the mean of what it sees, in steps that products of matrices make: they want memory of their own."""

    def noise(self, spaces):
        return NoiseSpec("normal", (1,))

    def init(self, generator, spaces):
        return {"mean": torch.randn(32, generator=generator), "mix": torch.randn(32, 32, generator=generator)}

    def step(self, state, transition, noise):
        seen = torch.tanh(state["mix"] @ transition.next_obs.to(torch.float32))
        error = torch.softmax(state["mix"].t() @ seen, 0) - state["mean"]
        return {**state, "mean": state["mean"] + 0.1 * error}, noise, {"td_error": error.sum(), "error": error}


def lanes():
    return Lanes(Mean(), SPACES, [Mean().init(generator(lane), SPACES) for lane in range(2)], compiled=True)


def see(engine, number):
    engine.next_obs[:] = np.random.default_rng(number).normal(size=engine.next_obs.shape)
    engine.step()
    return engine.info


@pytest.mark.slow
@pytest.mark.skipif(not compiler_available(), reason="no C++ compiler to compile lanes with")
def test_kernel_allocates_once_what_it_does_not_return_and_shares_it_with_no_other_kernel(monkeypatch):
    asked = []
    allocate = GUARDS._empty_strided_cpu
    monkeypatch.setattr(GUARDS, "_empty_strided_cpu", lambda *form: asked.append(form) or allocate(*form))
    first, second, alone = lanes(), lanes(), lanes()
    told = [see(first, 0)["error"]]
    see(second, 100)
    before, copy = len(asked), told[0].copy()
    for number in range(1, 5):
        told.append(see(first, number)["error"])
        see(second, 100 + number)
    returned = 2 * 4 * len(first.info)
    assert before > 2 * len(first.info)  # the first calls asked for more than they returned
    assert len(asked) - before <= returned
    assert told[0].tobytes() == copy.tobytes()
    assert [see(alone, number)["error"].tobytes() for number in range(5)] == [error.tobytes() for error in told]


def test_first_call_that_is_interrupted_leaves_nothing_that_the_next_one_stumbles_over():
    buffers, interrupted = Buffers(), [True]
    with buffers.given():
        ask = GUARDS._empty_strided_cpu

    def kernel(x):
        inner = ask((2,), (1,), torch.float32)
        torch.mul(x, 2, out=inner)
        if interrupted:
            raise KeyboardInterrupt(interrupted.pop())
        outer = ask((2, 3), (3, 1), torch.float32)
        outer[:] = inner.unsqueeze(1)
        return (outer,)

    call = buffers.around(kernel)
    with pytest.raises(KeyboardInterrupt):
        call(torch.ones(2))
    first, second = call(torch.ones(2))[0], call(torch.zeros(2))[0]
    assert first.tolist() == [[2.0] * 3] * 2
    assert second.tolist() == [[0.0] * 3] * 2
