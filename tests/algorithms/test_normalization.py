"""Running statistics against NumPy on the samples so far, and the reward trace against the numbers of the paper's rule."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.normalization import (
    init_reward_scaler,
    init_statistics,
    normalize_observation,
    scale_reward,
    update_statistics,
    variance,
)

steady = settings(deadline=None, derandomize=True, database=None, max_examples=60)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def numpy_variance(samples):
    return np.var(samples, axis=0, ddof=1) if len(samples) > 1 else np.ones_like(samples[0])


def recorded_sequence():
    """Observations as a robot gives them: unequal scales and offsets, a drift, a constant, a rare event."""
    rng = np.random.default_rng(3)
    samples = rng.normal(size=(500, 5)) * [0.01, 1.0, 100.0, 1.0, 0.0] + [5.0, -2.0, 1e6, 0.0, 3.25]
    samples[:, 1] += np.linspace(0, 50, 500)
    samples[:, 3] = (np.arange(500) % 97 == 96) * 7.0
    return samples


def test_observations_are_standardised_as_numpy_would_with_all_samples_so_far():
    samples = recorded_sequence()
    statistics = init_statistics((5,))
    for n, sample in enumerate(samples, start=1):
        statistics, normalized = normalize_observation(statistics, f64(sample))
        seen = samples[:n]
        expected = (sample - seen.mean(0)) / np.sqrt(numpy_variance(seen) + 1e-8)
        assert normalized.dtype == torch.float64
        np.testing.assert_allclose(normalized, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(statistics["mean"], seen.mean(0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(variance(statistics), numpy_variance(seen), rtol=1e-6)
        assert statistics["count"].item() == n


def test_statistics_are_float64_from_the_start():
    for statistics in (init_statistics((3,)), init_statistics(()), init_reward_scaler()):
        assert {x.dtype for x in statistics.values()} == {torch.float64}
        assert not any(x.any() for x in statistics.values())


def test_first_sample_becomes_the_mean_and_variance_is_one():
    statistics, normalized = normalize_observation(init_statistics((3,)), f64([5.0, -1.0, 1e6]))
    assert normalized.tolist() == [0.0, 0.0, 0.0]
    assert statistics["mean"].tolist() == [5.0, -1.0, 1e6]
    assert variance(statistics).tolist() == [1.0, 1.0, 1.0]
    assert variance(init_statistics((3,))).tolist() == [1.0, 1.0, 1.0]


def test_second_sample_is_half_the_distance_over_the_sample_deviation():
    statistics, _ = normalize_observation(init_statistics((1,)), f64([1.0]))
    statistics, normalized = normalize_observation(statistics, f64([5.0]))
    assert variance(statistics).item() == 8.0  # ((1-3)^2 + (5-3)^2) / 1
    np.testing.assert_allclose(normalized, 2 / np.sqrt(8 + 1e-8), rtol=1e-14)


def test_statistics_are_updated_before_they_are_used():
    # With the old statistics (mean 0, variance 0 of two zeros) the sample 3 would come out as 3e4.
    statistics = init_statistics((1,))
    for x in (0.0, 0.0):
        statistics, _ = normalize_observation(statistics, f64([x]))
    _, normalized = normalize_observation(statistics, f64([3.0]))
    np.testing.assert_allclose(normalized, 2 / np.sqrt(3.0), rtol=1e-7)


def test_constant_features_become_exactly_zero():
    statistics = init_statistics((3,))
    for _ in range(1000):
        statistics, normalized = normalize_observation(statistics, f64([0.0, 0.1, -1e5 / 3]))
        assert normalized.tolist() == [0.0, 0.0, 0.0]


def test_feature_first_seen_late_is_not_clipped():
    statistics = init_statistics((1,))
    for _ in range(9_999):
        statistics, _ = normalize_observation(statistics, f64([0.0]))
    _, normalized = normalize_observation(statistics, f64([1.0]))
    np.testing.assert_allclose(normalized, np.sqrt(10_000), rtol=1e-3)  # about sqrt(n)


@steady
@given(st.lists(st.floats(-1e3, 1e3, allow_subnormal=False), min_size=1, max_size=40), st.floats(-1e4, 1e4))
def test_welford_equals_numpy(samples, offset):
    samples = np.array(samples) + offset
    statistics = init_statistics(())
    for sample in samples:
        statistics = update_statistics(statistics, f64(sample))
    np.testing.assert_allclose(statistics["mean"], samples.mean(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(variance(statistics), numpy_variance(samples), rtol=1e-7, atol=1e-7)


@steady
@given(st.lists(st.floats(-100, 100, allow_subnormal=False), min_size=1, max_size=30))
def test_second_moment_about_zero_when_not_centred(samples):
    statistics = init_statistics(())
    for sample in samples:
        statistics = update_statistics(statistics, f64(sample), centered=False)
    assert statistics["mean"].item() == 0
    expected = np.sum(np.square(samples)) / (len(samples) - 1) if len(samples) > 1 else 1.0
    np.testing.assert_allclose(variance(statistics), expected, rtol=1e-9)


def scale_all(rewards, dones, gamma=0.99, centered=True):
    scaler, traces, scaled = init_reward_scaler(), [], []
    for reward, done in zip(rewards, dones, strict=True):
        scaler, r = scale_reward(scaler, f64(reward), torch.tensor(done), f64(gamma), centered)
        assert r.dtype == torch.float64
        traces.append(scaler["trace"].item())
        scaled.append(r.item())
    return scaler, traces, scaled


def test_reward_trace_is_cut_before_the_terminal_reward_which_leaks_into_the_next_episode():
    _, traces, _ = scale_all([1.0, 1.0, 10.0, 1.0], [False, False, True, False])
    np.testing.assert_allclose(traces, [1.0, 1.99, 10.0, 10.9], rtol=1e-14)


@pytest.mark.parametrize("centered", [True, False])
def test_rewards_are_divided_by_the_deviation_of_the_trace(centered):
    rewards, traces = np.array([1.0, 1.0, 10.0, 1.0]), np.array([1.0, 1.99, 10.0, 10.9])
    _, _, scaled = scale_all(rewards, [False, False, True, False], centered=centered)
    variances = [1.0] + [
        np.var(traces[:n], ddof=1) if centered else np.sum(traces[:n] ** 2) / (n - 1) for n in range(2, len(traces) + 1)
    ]
    np.testing.assert_allclose(scaled, rewards / np.sqrt(np.array(variances) + 1e-8), rtol=1e-12)


def test_first_reward_passes_as_it_is():
    for centered in (True, False):
        _, _, scaled = scale_all([7.0], [False], centered=centered)
        np.testing.assert_allclose(scaled, [7.0], rtol=1e-7)


def test_rewards_are_scaled_and_not_shifted():
    # Constant rewards in endless episodes: the trace varies until it has settled, the sign of a reward never changes.
    _, _, scaled = scale_all([-1.0] * 200, [False] * 200)
    assert max(scaled) < 0


def test_constant_reward_of_one_step_episodes_is_divided_by_epsilon_alone():
    # The trace never varies, so that centring leaves sqrt(1e-8): a trap of the official rule, kept.
    _, _, scaled = scale_all([1.0] * 5, [True] * 5)
    np.testing.assert_allclose(scaled[1:], 1e4, rtol=1e-12)
    _, _, scaled = scale_all([1.0] * 5, [True] * 5, centered=False)
    np.testing.assert_allclose(scaled[1:], [1 / np.sqrt(n / (n - 1)) for n in range(2, 6)], rtol=1e-7)


@steady
@given(
    st.lists(st.tuples(st.floats(-100, 100, allow_subnormal=False), st.booleans()), min_size=1, max_size=30),
    st.floats(0, 1),
    st.booleans(),
)
def test_reward_scaler_equals_numpy(moments, gamma, centered):
    rewards, dones = zip(*moments, strict=True)
    scaler, traces, scaled = scale_all(rewards, dones, gamma, centered)
    expected, u = [], 0.0
    for n, (reward, done) in enumerate(moments, start=1):
        u = gamma * (0.0 if done else u) + reward
        expected.append(u)
        np.testing.assert_allclose(traces[n - 1], u, rtol=1e-12, atol=1e-12)
        v = 1.0 if n == 1 else np.var(expected, ddof=1) if centered else np.sum(np.square(expected)) / (n - 1)
        # Two ways of rounding a variance that is small beside the squared mean, and 1e-8 under the root.
        np.testing.assert_allclose(scaled[n - 1], reward / np.sqrt(v + 1e-8), rtol=1e-3)
    assert scaler["count"].item() == len(moments)


def test_statistics_are_not_changed_in_place():
    statistics, scaler = init_statistics((2,)), init_reward_scaler()
    normalize_observation(statistics, f64([1.0, 2.0]))
    scale_reward(scaler, f64(3.0), torch.tensor(False), f64(0.99))
    assert not any(x.any() for x in (*statistics.values(), *scaler.values()))
