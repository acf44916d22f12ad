"""Adam on a gradient against `torch.optim.Adam`. Adam along a trace is in `test_obgd`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.func import vmap

from algorithms.adam import adam, fresh_adam
from algorithms.agent import leaves, map_state

betas = st.one_of(st.just(0.0), st.floats(0.01, 0.9999))
epsilons = st.floats(-12, -1).map(lambda x: 10**x)
rates = st.floats(-6, 0).map(lambda x: 10**x)
dtypes = st.sampled_from([torch.float32, torch.float64])


def problem(seed, steps, dtype):
    """Return parameters of two shapes, and gradients of every size, some of them zero."""
    generator = torch.Generator().manual_seed(seed)

    def draw():
        return {"a": torch.randn(3, 2, generator=generator), "b": {"c": torch.randn(4, generator=generator)}}

    def gradient(step):
        return map_state(lambda x: (x * 10.0 ** (step % 4 - 2)).relu().to(dtype), draw())

    return map_state(lambda x: x.to(dtype), draw()), [gradient(step) for step in range(steps)]


def by_torch(parameters, gradients, rate, **options):
    own = [x.clone().requires_grad_() for x in leaves(parameters)]
    optimizer = torch.optim.Adam(own, lr=rate, foreach=False, fused=False, **options)
    for gradient in gradients:
        for parameter, slope in zip(own, leaves(gradient), strict=True):
            parameter.grad = slope.clone()
        optimizer.step()
    return [x.detach() for x in own]


def assert_same_course(found, expected, start, dtype):
    rtol = 1e-9 if dtype == torch.float64 else 2e-4  # of how far a parameter went
    for x, y, x0 in zip(found, expected, start, strict=True):
        assert x.dtype == dtype
        rounding = torch.finfo(dtype).eps * 20 * (1 + float(y.abs().max()))
        np.testing.assert_allclose(x - x0, y - x0, rtol=rtol, atol=rounding)


@pytest.mark.parametrize("as_tensors", [False, True])
@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(1, 12), rates, betas, betas, epsilons, dtypes)
def test_a_step_is_that_of_torch(as_tensors, seed, steps, rate, beta1, beta2, epsilon, dtype):
    parameters, gradients = problem(seed, steps, dtype)
    expected = by_torch(parameters, gradients, rate, betas=(beta1, beta2), eps=epsilon)
    settings_ = [torch.tensor(x, dtype=torch.float64) if as_tensors else x for x in (epsilon, beta1, beta2)]
    memory, found = fresh_adam(parameters), parameters
    for gradient in gradients:
        memory, found = adam(memory, found, gradient, torch.tensor(rate, dtype=torch.float64), *settings_)
    assert_same_course(leaves(found), expected, leaves(parameters), dtype)
    assert memory["count"] == steps
    for now, fresh in zip(leaves(memory), leaves(fresh_adam(parameters)), strict=True):
        assert (now.shape, now.dtype) == (fresh.shape, fresh.dtype)


def test_without_settings_they_are_those_of_torch():
    parameters, gradients = problem(3, 5, torch.float64)
    memory, found = fresh_adam(parameters), parameters
    for gradient in gradients:
        memory, found = adam(memory, found, gradient, torch.tensor(1e-3, dtype=torch.float64))
    assert_same_course(leaves(found), by_torch(parameters, gradients, 1e-3), leaves(parameters), torch.float64)


def test_lanes_may_differ_in_every_setting():
    lanes = {"rate": [1e-3, 1e-2, 0.5], "epsilon": [1e-8, 1e-5, 1e-2], "beta1": [0.0, 0.9, 0.5], "beta2": [0.999, 0.9, 0.99]}
    values = [torch.tensor(x, dtype=torch.float64) for x in lanes.values()]
    parameters, gradients = problem(7, 6, torch.float32)
    found = map_state(lambda x: torch.stack([x] * 3), parameters)
    memory = map_state(lambda x: torch.stack([x] * 3), fresh_adam(parameters))
    for gradient in gradients:
        step = vmap(lambda memory, found, *values, gradient=gradient: adam(memory, found, gradient, *values))
        memory, found = step(memory, found, *values)
    for lane, (rate, epsilon, beta1, beta2) in enumerate(zip(*lanes.values(), strict=True)):
        expected = by_torch(parameters, gradients, rate, betas=(beta1, beta2), eps=epsilon)
        own = [x[lane] for x in leaves(found)]
        assert_same_course(own, expected, leaves(parameters), torch.float32)


def test_what_beta_leaves_over_is_not_rounded_twice():
    """With 0.999 rounded to float32 first, the rest would be off by 1 in 77,000, and so would the second moment."""
    parameters = {"w": torch.zeros(1)}
    beta2 = torch.tensor(0.999, dtype=torch.float64)
    memory, _ = adam(fresh_adam(parameters), parameters, {"w": torch.ones(1)}, torch.tensor(1.0), beta2=beta2)
    np.testing.assert_allclose(memory["second"]["w"], 0.001, rtol=1e-7)
