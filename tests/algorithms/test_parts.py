"""Small parts that learners of several papers share: bounds of actions, target networks, dense networks."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.func import vmap

from algorithms.agent import leaves
from algorithms.bounds import fresh_bounds, spread, stretched, uniform_action
from algorithms.dense import fresh_layers, orthogonal_layers, perceptron
from algorithms.targets import follow

finite = st.floats(-100, 100, width=32)
ranges = st.lists(st.tuples(finite, finite).filter(lambda x: x[0] < x[1]), min_size=1, max_size=6)


@given(ranges, st.floats(-1, 1, width=32))
def test_the_range_of_tanh_is_mapped_to_the_bounds(rows, x):
    low, high = (tuple(column) for column in zip(*rows, strict=True))
    bounds = fresh_bounds(low, high)
    scale, middle = spread(bounds)
    tolerance = {"rtol": 1e-5, "atol": 2e-5}
    np.testing.assert_allclose(middle - scale, low, **tolerance)
    np.testing.assert_allclose(middle + scale, high, **tolerance)
    share = (x + 1) / 2
    expected = [a + share * (b - a) for a, b in rows]
    np.testing.assert_allclose(stretched(bounds, torch.full((len(rows),), x)), expected, **tolerance)


@pytest.mark.parametrize(("low", "high"), [((), ()), ((-1.0,), (math.inf,)), ((-math.inf,), (1.0,)), ((math.nan,), (1.0,))])
def test_bounds_that_are_none_are_refused(low, high):
    with pytest.raises(ValueError, match="finite bounds"):
        fresh_bounds(low, high)


def test_normal_numbers_become_actions_drawn_uniformly_between_the_bounds():
    bounds = fresh_bounds((-0.4, 1.0), (0.4, 4.0))
    noise = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(4))
    actions = vmap(lambda noise: uniform_action(bounds, noise))(noise).double().numpy()
    for component, (low, width) in enumerate(((-0.4, 0.8), (1.0, 3.0))):
        assert stats.kstest(actions[:, component], stats.uniform(low, width).cdf).pvalue > 1e-4
    ends = uniform_action(bounds, torch.tensor([-40.0, 40.0]))
    np.testing.assert_allclose(ends, [-0.4, 4.0], rtol=1e-6)


def nets(seed):
    generator = torch.Generator().manual_seed(seed)
    return {"q1": {"w": torch.randn(2, 3, generator=generator)}, "q2": {"w": torch.randn(4, generator=generator)}}


@given(st.integers(0, 1000), st.floats(0, 1, width=32))
def test_targets_go_a_share_of_the_way(seed, tau):
    targets, parameters = nets(seed), nets(seed + 1)
    moved = follow(targets, parameters, torch.tensor(tau))
    for own, target, parameter in zip(leaves(moved), leaves(targets), leaves(parameters), strict=True):
        np.testing.assert_allclose(own, (1 - tau) * target + tau * parameter, atol=1e-6)


def test_targets_never_move_at_tau_zero_and_are_copies_at_tau_one():
    targets, parameters = nets(0), nets(1)
    for own, target in zip(leaves(follow(targets, parameters, torch.tensor(0.0))), leaves(targets), strict=True):
        assert torch.equal(own, target)
    for own, parameter in zip(leaves(follow(targets, parameters, torch.tensor(1.0))), leaves(parameters), strict=True):
        np.testing.assert_allclose(own, parameter, rtol=1e-6, atol=1e-7)  # target + (parameter - target) rounds


@given(st.lists(st.integers(1, 9), min_size=2, max_size=5), st.integers(0, 1000))
def test_perceptron_is_a_chain_of_linear_layers_with_activations_between(sizes, seed):
    generator = torch.Generator().manual_seed(seed)
    layers = fresh_layers(generator, sizes)
    x = torch.randn(sizes[0], generator=generator)
    modules: list[nn.Module] = []
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        linear = nn.Linear(inputs, outputs)
        with torch.no_grad():
            linear.weight.copy_(layers[f"{number}.weight"])
            linear.bias.copy_(layers[f"{number}.bias"])
        modules += [linear, nn.Tanh()]
    expected = nn.Sequential(*modules[:-1])(x).detach()
    np.testing.assert_allclose(perceptron(layers, x, torch.tanh), expected, atol=1e-5)


def test_fresh_layers_are_uniform_as_those_of_torch():
    layers = fresh_layers(torch.Generator().manual_seed(0), (40, 300, 2))
    assert list(layers) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    bound = 1 / math.sqrt(40)
    for name in ("0.weight", "0.bias"):
        x = layers[name].flatten().double().numpy()
        assert stats.kstest(x, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-4


def test_orthogonal_layers_have_orthogonal_rows_or_columns_and_gains():
    layers = orthogonal_layers(torch.Generator().manual_seed(0), (5, 8, 8, 3), math.sqrt(2), last_gain=0.01)
    for number, (inputs, outputs, gain) in enumerate(((5, 8, math.sqrt(2)), (8, 8, math.sqrt(2)), (8, 3, 0.01))):
        weight = layers[f"{number}.weight"].double()
        assert weight.shape == (outputs, inputs)
        product = weight @ weight.T if outputs <= inputs else weight.T @ weight
        np.testing.assert_allclose(product, gain**2 * np.eye(min(inputs, outputs)), atol=1e-5 * gain**2)
        assert not layers[f"{number}.bias"].any()
