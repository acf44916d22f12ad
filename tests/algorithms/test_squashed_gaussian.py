"""The squashed Gaussian against torch.distributions, numerical integration and finite differences; also far out."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate
from torch.distributions import Independent, Normal, TransformedDistribution
from torch.distributions.transforms import AffineTransform, TanhTransform
from torch.func import grad, vmap

from algorithms.agent import hyperparameters
from algorithms.bounds import fresh_bounds, spread, stretched
from algorithms.policies import gaussian_log_prob, log_tanh_slope, noise_log_prob, squashed_gaussian
from baselines.incremental_sac import IncrementalSAC

means = st.floats(-3, 3)
log_stds = st.floats(-4, 1)
numbers = st.floats(-3, 3)
components = st.lists(st.tuples(means, log_stds, numbers), min_size=1, max_size=6)


def columns(rows):
    return torch.tensor(rows, dtype=torch.float64).T


def noise_for(action, mean, log_std):
    return (math.atanh(action) - mean) / math.exp(log_std)


def of_one(mean, log_std, noise):
    action, log_prob = squashed_gaussian(*(torch.tensor([x], dtype=torch.float64) for x in (mean, log_std, noise)))
    return action.item(), log_prob.item()


@given(components)
def test_density_equals_that_of_torch_distributions(rows):
    mean, log_std, noise = columns(rows)
    action, log_prob = squashed_gaussian(mean, log_std, noise)
    unsquashed = mean + log_std.exp() * noise
    np.testing.assert_allclose(action, torch.tanh(unsquashed))
    assert log_prob.shape == ()
    # With its cache the transform keeps what was squashed; inverting tanh would lose it.
    tanh = TanhTransform(cache_size=1)
    other = Independent(TransformedDistribution(Normal(mean, log_std.exp()), [tanh]), 1)
    np.testing.assert_allclose(log_prob, other.log_prob(tanh(unsquashed)), rtol=1e-7, atol=1e-7)
    fixed = gaussian_log_prob(mean, log_std.exp(), unsquashed) - log_tanh_slope(unsquashed).sum()
    np.testing.assert_allclose(log_prob, fixed, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("mean", [0.0, -1.0, 2.0])
@pytest.mark.parametrize("log_std", [-2.0, 0.0, 1.0])
def test_density_integrates_to_one_over_the_range_of_actions(mean, log_std):
    def density(action):
        reached, log_prob = of_one(mean, log_std, noise_for(action, mean, log_std))
        assert reached == pytest.approx(action, abs=1e-12)
        return math.exp(log_prob)

    peaks = sorted(math.tanh(mean + k * math.exp(log_std)) for k in (-2, 0, 2))
    total, error = integrate.quad(density, -1 + 1e-12, 1 - 1e-12, points=peaks, limit=300)
    assert error < 1e-5
    assert total == pytest.approx(1.0, abs=1e-5)


def test_stretched_to_bounds_each_stretch_comes_off_the_density():
    bounds = fresh_bounds((-0.4, 1.0), (0.4, 4.0))
    mean, log_std, noise = columns([(0.3, -0.5, 0.7), (-0.2, 0.1, -1.1)])
    action, log_prob = squashed_gaussian(mean, log_std, noise)
    scale, middle = spread(bounds)
    tanh, affine = TanhTransform(cache_size=1), AffineTransform(middle.double(), scale.double(), cache_size=1)
    other = Independent(TransformedDistribution(Normal(mean, log_std.exp()), [tanh, affine]), 1)
    own = stretched(bounds, action)
    np.testing.assert_allclose(log_prob - scale.log().sum(), other.log_prob(own), rtol=1e-6)


@given(components, st.integers(0, 10**6))
def test_slopes_through_the_action_are_those_of_finite_differences(rows, seed):
    mean, log_std, noise = columns(rows)
    weight = torch.randn(len(rows), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def loss(mean, log_std):
        action, log_prob = squashed_gaussian(mean, log_std, noise)
        return 0.1 * log_prob - (weight * action).sum()  # an actor's: entropy and the slope of a critic

    slopes = grad(loss, argnums=(0, 1))(mean, log_std)
    h = 1e-5
    for number, slope in enumerate(slopes):
        for i in range(len(rows)):
            step = torch.zeros_like(mean)
            step[i] = h
            ahead, behind = ([mean, log_std] for _ in range(2))
            ahead[number], behind[number] = ahead[number] + step, behind[number] - step
            difference = (loss(*ahead) - loss(*behind)) / (2 * h)
            np.testing.assert_allclose(slope[i], difference, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("mean", [-1e4, -100.0, -20.0, -9.0, 9.0, 20.0, 100.0, 1e4])
def test_density_and_slopes_stay_right_where_the_action_rounds_to_its_bound(mean):
    x = torch.tensor([mean])
    zero = torch.zeros(1)

    def log_prob(mean, log_std):
        return squashed_gaussian(mean, log_std, zero)[1]

    action, value = squashed_gaussian(x, zero, zero)
    assert action.abs() <= 1
    # log(1 - tanh^2) = 2 log 2 - 2 |x| - 2 log(1 + exp(-2 |x|)), and its slope is -2 tanh.
    away = abs(mean)
    exact = -0.5 * math.log(2 * math.pi) - 2 * (math.log(2) - away - math.log1p(math.exp(-2 * away)))
    np.testing.assert_allclose(value, exact, rtol=1e-6)
    slopes = grad(log_prob, argnums=(0, 1))(x, zero)
    np.testing.assert_allclose(slopes[0], [2 * math.tanh(mean)], rtol=1e-6)
    np.testing.assert_allclose(slopes[1], [-1.0], rtol=1e-6)


def test_lanes_are_mapped():
    mean, log_std, noise = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    action, log_prob = vmap(squashed_gaussian)(mean, log_std, noise)
    for lane in range(5):
        alone = squashed_gaussian(mean[lane], log_std[lane], noise[lane])
        np.testing.assert_allclose(action[lane], alone[0], rtol=1e-6)
        np.testing.assert_allclose(log_prob[lane], alone[1], rtol=1e-5)


@given(components)
def test_density_of_noise_is_that_of_the_gaussian_it_makes(rows):
    mean, log_std, noise = columns(rows)
    expected = Normal(mean, log_std.exp()).log_prob(mean + log_std.exp() * noise)
    np.testing.assert_allclose(noise_log_prob(noise, log_std), expected, rtol=1e-9, atol=1e-9)


def test_sac_draws_from_the_same_law_but_for_its_addition():
    """CleanRL adds 1e-6 to the slope; where the action is not close to a bound, that is not to be seen."""
    agent = IncrementalSAC()
    bounds = fresh_bounds((-0.4, 1.0), (0.4, 4.0))
    state = {"hyper": hyperparameters(agent), "bounds": bounds}
    generator = torch.Generator().manual_seed(2)
    for _ in range(20):
        output, noise = torch.randn(4, generator=generator), torch.randn(2, generator=generator)
        actor = {"0.weight": torch.zeros(4, 1), "0.bias": output}
        action, log_prob = agent._sample(state, actor, torch.zeros(1), noise)
        mean, raw = output.chunk(2)
        log_std = agent.log_std_min + 0.5 * (agent.log_std_max - agent.log_std_min) * (torch.tanh(raw) + 1)
        squashed, expected = squashed_gaussian(mean, log_std, noise)
        if squashed.abs().max() < 0.99:
            np.testing.assert_allclose(action, stretched(bounds, squashed), rtol=1e-6)
            np.testing.assert_allclose(log_prob, expected - spread(bounds)[0].log().sum(), atol=2e-4)
