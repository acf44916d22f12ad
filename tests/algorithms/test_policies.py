"""Policies against torch.distributions, against the inverse of the cumulative distribution, and at the ends of the numbers."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.func import vmap

from algorithms.agent import NoiseSpec
from algorithms.policies import Gaussian, Softmax, pick, policy_for

SOFTMAX = Softmax()
LAST_BELOW_ONE = np.nextafter(np.float32(1), np.float32(0)).item()

logits = st.lists(st.floats(-20, 20), min_size=2, max_size=18)


def softmax_of(values, dtype=torch.float32):
    return SOFTMAX.parameters({"logits": torch.tensor(values, dtype=dtype)})


def test_discrete_actions_are_softmax_and_vectors_gaussian():
    assert isinstance(policy_for(discrete=True), Softmax)
    assert isinstance(policy_for(discrete=False), Gaussian)
    assert SOFTMAX.heads(6) == {"logits": 6}
    assert Gaussian().heads(6) == {"mean": 6, "std": 6}
    assert SOFTMAX.noise(6) == NoiseSpec("uniform", (1,))
    assert Gaussian().noise(6) == NoiseSpec("normal", (6,))


@given(logits)
def test_log_prob_and_entropy_equal_torch_distributions(values):
    own = softmax_of(values, torch.float64)
    other = torch.distributions.Categorical(logits=torch.tensor(values, dtype=torch.float64))
    for action in torch.arange(len(values)):
        np.testing.assert_allclose(SOFTMAX.log_prob(own, action), other.log_prob(action), rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(SOFTMAX.entropy(own), other.entropy(), rtol=1e-8, atol=1e-12)


@given(logits, st.floats(0, 1, exclude_max=True, width=32))
def test_sample_is_the_inverse_of_the_cumulative_distribution(values, u):
    action = SOFTMAX.sample(softmax_of(values, torch.float64), torch.tensor([u], dtype=torch.float64))
    assert action.dtype == torch.int64
    assert action.shape == ()
    probabilities = np.exp(values - np.max(values)) / np.exp(values - np.max(values)).sum()
    cumulative = np.cumsum(probabilities)
    rounding = 1e-9
    assert cumulative[action] > u - rounding
    assert action == 0 or cumulative[action - 1] <= u + rounding


def test_noise_at_the_ends_of_its_range_gives_the_first_and_the_last_action():
    for size in (2, 3, 6, 18):
        for values in (torch.zeros(size), torch.linspace(-3, 3, size), torch.linspace(3, -3, size)):
            parameters = softmax_of(values.tolist())
            assert SOFTMAX.sample(parameters, torch.tensor([0.0])) == 0
            assert SOFTMAX.sample(parameters, torch.tensor([LAST_BELOW_ONE])) == size - 1


@given(logits, st.sampled_from([0.0, LAST_BELOW_ONE]))
def test_sample_is_an_action_even_where_rounding_leaves_the_probabilities_short_of_one(values, u):
    action = SOFTMAX.sample(softmax_of(values), torch.tensor([u]))
    assert 0 <= action < len(values)


def test_noise_between_two_actions_belongs_to_the_second():
    # Halves: the cumulative distribution is 0.5, 1, and [0, 0.5) is the share of the first.
    parameters = softmax_of([0.0, 0.0])
    cumulative = parameters["log_p"].exp()[0].item()
    assert cumulative == pytest.approx(0.5)
    assert SOFTMAX.sample(parameters, torch.tensor([np.nextafter(np.float32(cumulative), np.float32(0)).item()])) == 0
    assert SOFTMAX.sample(parameters, torch.tensor([cumulative])) == 1


def test_an_action_of_no_probability_is_never_taken():
    for values, possible in (([-1e4, 0.0, 0.0], {1, 2}), ([0.0, -1e4, 0.0], {0, 2})):
        parameters = softmax_of(values)
        taken = {SOFTMAX.sample(parameters, torch.tensor([u])).item() for u in (0.0, 0.2, 0.49, 0.51, 0.9, LAST_BELOW_ONE)}
        assert taken == possible


@pytest.mark.parametrize("values", [[0.0, 0.0], [1.0, -1.0, 0.3], [-2.0, 0.0, 1.5, 0.1, -0.4, 0.9]])
def test_actions_come_as_often_as_they_are_likely(values):
    n = 40_000
    u = torch.rand(n, 1, generator=torch.Generator().manual_seed(1))
    actions = vmap(lambda noise: SOFTMAX.sample(softmax_of(values), noise))(u)
    counts = torch.bincount(actions, minlength=len(values)).numpy()
    expected = n * torch.softmax(torch.tensor(values).double(), 0).numpy()
    assert stats.chisquare(counts, expected).pvalue > 1e-3


EXTREMES = [[0.0, 1e4], [-1e4, 1e4, 0.0], [1e30, -1e30], [88.0, -88.0, 0.0], [-1e30, -1e30, -1e30]]


@pytest.mark.parametrize("values", EXTREMES)
def test_gradients_are_finite_and_right_at_extreme_logits(values):
    x = torch.tensor(values, requires_grad=True)
    p = torch.softmax(x.detach().double(), 0)
    for action in range(len(values)):
        log_prob = SOFTMAX.log_prob(SOFTMAX.parameters({"logits": x}), torch.tensor(action))
        (gradient,) = torch.autograd.grad(log_prob, x)
        np.testing.assert_allclose(gradient, torch.eye(len(values))[action] - p, atol=1e-6)
    entropy = SOFTMAX.entropy(SOFTMAX.parameters({"logits": x}))
    (gradient,) = torch.autograd.grad(entropy, x)
    assert torch.isfinite(gradient).all()
    assert 0 <= entropy <= np.log(len(values)) + 1e-6


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=10), st.data())
def test_pick_is_indexing(values, data):
    index = data.draw(st.integers(0, len(values) - 1))
    x = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    chosen = pick(x, torch.tensor(index))
    assert chosen == values[index]
    (gradient,) = torch.autograd.grad(chosen, x)
    assert torch.equal(gradient, torch.eye(len(values), dtype=torch.float64)[index])


def test_pick_does_not_mind_what_the_others_are():
    x = torch.tensor([1.0, torch.inf, torch.nan], requires_grad=True)
    chosen = pick(x, torch.tensor(0))
    assert chosen == 1.0
    assert torch.autograd.grad(chosen, x)[0].tolist() == [1.0, 0.0, 0.0]


def test_gaussian_action_is_mean_plus_deviation_times_noise():
    policy = Gaussian()
    parameters = policy.parameters({"mean": torch.tensor([1.0, -2.0]), "std": torch.tensor([0.0, 30.0])})
    np.testing.assert_allclose(parameters["std"], [np.log(2.0), 30.0], rtol=1e-6)  # softplus
    action = policy.sample(parameters, torch.tensor([2.0, -1.0]))
    np.testing.assert_allclose(action, [1 + 2 * np.log(2.0), -32.0], rtol=1e-6)
    normal = torch.distributions.Normal(parameters["mean"], parameters["std"])
    np.testing.assert_allclose(policy.log_prob(parameters, action), normal.log_prob(action).sum(), rtol=1e-5)
    np.testing.assert_allclose(policy.entropy(parameters), normal.entropy().sum(), rtol=1e-5)
