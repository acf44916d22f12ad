"""ObGD, AdaptiveObGD and Adam on traces, against numbers worked out by hand, NumPy and `torch.optim`."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from algorithms.adam import TraceAdam
from algorithms.obgd import AdaptiveObGD, ObGD, accumulate_trace, bounded_step_size, reset_trace

steady = settings(deadline=None, derandomize=True, database=None, max_examples=100)


def f64(x):
    return torch.tensor(x, dtype=torch.float64)


def hyper(alpha=1.0, kappa=2.0, trace_decay=0.99 * 0.8):
    return {"alpha": f64(alpha), "kappa": f64(kappa), "trace_decay": f64(trace_decay)}


def two(a, b):
    """Two parameters of unequal shape, as a network would have: a scalar-like vector and a vector of two."""
    return {"a": f64([a]), "b": f64(b)}


def flat(parameters):
    return torch.cat([p.flatten() for p in parameters.values()])


def update(optimizer, state, parameters, gradient, delta, reset=False, **hypers):
    return optimizer.update(state, parameters, gradient, f64(delta), torch.tensor(reset), hyper(**hypers))


numbers = st.floats(-5, 5, allow_subnormal=False).map(lambda x: 0.0 if abs(x) < 1e-6 else x)
vectors = st.lists(numbers, min_size=4, max_size=4)
small_deltas = st.floats(0.01, 1.0).flatmap(lambda x: st.sampled_from([x, -x]))
large_deltas = st.floats(1.0, 100.0).flatmap(lambda x: st.sampled_from([x, -x]))


def split(vector):
    return {"w": f64(vector[:3]), "v": f64([[vector[3]]])}


def one_obgd_step(trace, gradient, delta, **hypers):
    """Return the change of parameters and the trace after one step from the given trace."""
    start = {name: torch.zeros_like(z) for name, z in trace.items()}
    state, parameters = update(ObGD(), {"trace": trace}, start, gradient, delta, **hypers)
    return flat(parameters), flat(state["trace"])


# ObGD ---------------------------------------------------------------------------------------------------------------


def test_obgd_follows_hand_computed_numbers():
    # kappa 2, alpha 1, gamma lambda 0.5. Every number below was worked out on paper.
    opt, parameters = ObGD(), two(1.0, [0.0, 2.0])
    state = opt.init(parameters)
    # 1: z = (0.1, 0.05, -0.05), norm 0.2, M = 1*2*1*0.2 = 0.4 <= 1: step 1. Change 0.5 z.
    state, parameters = update(opt, state, parameters, two(0.1, [0.05, -0.05]), 0.5, trace_decay=0.5)
    np.testing.assert_allclose(flat(parameters), [1.05, 0.025, 1.975], rtol=1e-12)
    # 2: z = (0.05 + 1, 0.025 - 2, -0.025 + 1) = (1.05, -1.975, 0.975), norm 4, M = 2*3*4 = 24, step 1/24. Change -3/24 z.
    state, parameters = update(opt, state, parameters, two(1.0, [-2.0, 1.0]), -3.0, trace_decay=0.5)
    np.testing.assert_allclose(flat(state["trace"]), [1.05, -1.975, 0.975], rtol=1e-12)
    np.testing.assert_allclose(flat(parameters), [1.05 - 0.13125, 0.025 + 0.246875, 1.975 - 0.121875], rtol=1e-12)
    # 3: z = (0.525, -0.9875, 0.4875) + (-0.525, 0.9875, 0.5125) = (0, 0, 1), norm 1, M = 2*1*1 = 2, step 1/2. Change z/8.
    state, parameters = update(opt, state, parameters, two(-0.525, [0.9875, 0.5125]), 0.25, reset=True, trace_decay=0.5)
    np.testing.assert_allclose(flat(parameters), [0.91875, 0.271875, 1.853125 + 0.125], rtol=1e-12)
    assert flat(state["trace"]).tolist() == [0.0, 0.0, 0.0]
    # 4: after the reset only the new gradient counts: norm 0.3, M = 2*1.5*0.3 = 0.9 <= 1. Change 1.5 z.
    state, parameters = update(opt, state, parameters, two(0.1, [0.1, 0.1]), 1.5, trace_decay=0.5)
    np.testing.assert_allclose(flat(parameters), [1.06875, 0.421875, 2.128125], rtol=1e-12)


@steady
@given(vectors, vectors, large_deltas | small_deltas, st.floats(0.01, 4), st.floats(1, 10))
def test_bound_scales_the_step_and_never_the_trace(trace, gradient, delta, alpha, kappa):
    _, z = one_obgd_step(split(trace), split(gradient), delta, alpha=alpha, kappa=kappa, trace_decay=0.7)
    np.testing.assert_allclose(z, 0.7 * np.array(trace) + np.array(gradient), rtol=1e-12, atol=1e-12)


@steady
@given(vectors, vectors, large_deltas | small_deltas, st.floats(0.01, 10), st.floats(0.5, 10))
def test_step_is_alpha_below_the_bound_and_l1_limited_above(trace, gradient, delta, alpha, kappa):
    change, z = one_obgd_step(split(trace), split(gradient), delta, alpha=alpha, kappa=kappa)
    m = alpha * kappa * max(abs(delta), 1) * float(z.abs().sum())
    if m <= 1:
        np.testing.assert_allclose(change, alpha * delta * z, rtol=1e-9, atol=1e-15)
    else:
        assert float(change.abs().sum()) <= 1 / kappa * (1 + 1e-9)
        expected = delta * z / (kappa * max(abs(delta), 1) * z.abs().sum())  # alpha cancels
        np.testing.assert_allclose(change, expected, rtol=1e-9, atol=1e-15)


@steady
@given(st.lists(st.floats(-50, 50, width=32), min_size=12, max_size=12), st.floats(-100, 100), st.floats(0.5, 10))
def test_l1_norm_of_the_change_is_limited_in_float32(vector, delta, kappa):
    gradient = {"w": torch.tensor(vector).view(3, 4)}
    zeros = {"w": torch.zeros(3, 4)}
    hypers = {name: value.float() for name, value in hyper(kappa=kappa).items()}
    _, after = ObGD().update({"trace": zeros}, zeros, gradient, torch.tensor(delta), torch.tensor(False), hypers)
    assert after["w"].dtype == torch.float32
    # Only where the bound is active does it promise anything; elsewhere M <= 1 limits the change just the same.
    assert float(after["w"].abs().sum()) <= 1 / kappa * (1 + 1e-5)


@steady
@given(vectors, small_deltas, st.floats(0.05, 0.95))
def test_change_is_linear_in_a_small_delta(gradient, delta, fraction):
    # Below |delta| = 1 the bound does not know delta: active or not, delta enters exactly once.
    zeros = split([0.0] * 4)
    for alpha in (1e-3, 1.0):
        whole, _ = one_obgd_step(zeros, split(gradient), delta, alpha=alpha)
        part, _ = one_obgd_step(zeros, split(gradient), fraction * delta, alpha=alpha)
        np.testing.assert_allclose(part, fraction * whole, rtol=1e-9, atol=1e-15)


@steady
@given(vectors, large_deltas, st.floats(1.0, 50.0))
def test_change_knows_only_the_sign_of_a_large_delta_when_bounded(gradient, delta, factor):
    gradient[0] = 2.0  # M >= 4: active
    zeros = split([0.0] * 4)
    change, _ = one_obgd_step(zeros, split(gradient), delta)
    larger, _ = one_obgd_step(zeros, split(gradient), factor * delta)
    opposite, _ = one_obgd_step(zeros, split(gradient), -delta)
    np.testing.assert_allclose(larger, change, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(opposite, -change, rtol=1e-9, atol=1e-15)


def test_norm_runs_over_all_parameters_of_a_network():
    # The change of "w" must shrink when another parameter, which it does not touch, has a large trace.
    small, large = two(1.0, [0.0, 0.0]), two(1.0, [3.0, -4.0])
    changes = []
    for gradient in (small, large):
        _, after = update(ObGD(), ObGD().init(small), two(0.0, [0.0, 0.0]), gradient, 1.0, kappa=2.0)
        changes.append(after["a"].item())
    np.testing.assert_allclose(changes, [1 / 2, 1 / (2 * 8)], rtol=1e-12)


def test_norm_is_taken_after_accumulation():
    # z = 0.5 * 4 - 2 = 0: neither the old trace nor the gradient alone may bound the step; nothing moves.
    change, z = one_obgd_step(split([4.0, 0, 0, 0]), split([-2.0, 0, 0, 0.01]), 1.0, trace_decay=0.5)
    np.testing.assert_allclose(change, [0, 0, 0, 0.01], rtol=1e-12)
    np.testing.assert_allclose(z, [0, 0, 0, 0.01], rtol=1e-12)


@pytest.mark.parametrize("optimizer", [ObGD(), AdaptiveObGD(), TraceAdam()], ids=lambda o: type(o).__name__)
def test_trace_is_reset_after_the_update_and_not_before(optimizer):
    parameters, gradient = two(0.0, [0.0, 0.0]), two(0.1, [0.2, -0.1])
    old = {**optimizer.init(parameters), "trace": two(0.3, [-0.1, 0.5])}
    kept, parameters_kept = update(optimizer, old, parameters, gradient, 0.5)
    cut, parameters_cut = update(optimizer, old, parameters, gradient, 0.5, reset=True)
    assert torch.equal(flat(parameters_cut), flat(parameters_kept)), "the last update of an episode uses the whole trace"
    assert not flat(cut["trace"]).any()
    np.testing.assert_allclose(flat(kept["trace"]), 0.792 * flat(old["trace"]) + flat(gradient), rtol=1e-12)
    _, fresh = update(optimizer, cut, parameters, gradient, 0.0)
    assert torch.equal(flat(fresh), flat(parameters)) or isinstance(optimizer, TraceAdam)  # Adam's momentum moves on


def test_zero_trace_moves_nothing():
    for optimizer in (ObGD(), AdaptiveObGD(), TraceAdam()):
        parameters = two(1.0, [2.0, 3.0])
        zeros = two(0.0, [0.0, 0.0])
        _, after = update(optimizer, optimizer.init(parameters), parameters, zeros, 7.0)
        assert torch.equal(flat(after), flat(parameters))


def test_updates_leave_their_arguments_alone():
    for optimizer in (ObGD(), AdaptiveObGD(), TraceAdam()):
        parameters, gradient = two(1.0, [2.0, 3.0]), two(1.0, [1.0, -1.0])
        state = optimizer.init(parameters)
        update(optimizer, state, parameters, gradient, 1.0)
        assert flat(parameters).tolist() == [1.0, 2.0, 3.0]
        assert flat(gradient).tolist() == [1.0, 1.0, -1.0]
        assert not flat(state["trace"]).any()


@steady
@given(vectors, vectors, st.floats(0, 1))
def test_accumulate_and_reset(trace, gradient, decay):
    z = accumulate_trace(split(trace), split(gradient), f64(decay))
    np.testing.assert_allclose(flat(z), decay * np.array(trace) + np.array(gradient), rtol=1e-12, atol=1e-12)
    assert torch.equal(flat(reset_trace(z, torch.tensor(False))), flat(z))
    assert not flat(reset_trace(z, torch.tensor(True))).any()


@steady
@given(vectors, st.floats(-20, 20), st.floats(0.001, 4), st.floats(0.5, 10))
def test_step_size_is_the_smaller_of_alpha_and_alpha_over_m(direction, delta, alpha, kappa):
    m = alpha * kappa * max(abs(delta), 1) * np.abs(direction).sum()
    step = bounded_step_size(split(direction), f64(delta), f64(alpha), f64(kappa))
    np.testing.assert_allclose(step, min(alpha / m, alpha) if m > 0 else alpha, rtol=1e-12)


# AdaptiveObGD and Adam ----------------------------------------------------------------------------------------------


def random_updates(seed, steps):
    """Yield gradients, TD errors of mixed size, and reset flags."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        yield rng.normal(size=3) * rng.choice([0.01, 1.0]), rng.normal() * rng.choice([0.3, 3.0]), bool(rng.random() < 0.1)


@pytest.mark.parametrize("bias_correction", [True, False])
def test_adaptive_obgd_equals_numpy(bias_correction):
    optimizer = AdaptiveObGD(bias_correction=bias_correction)
    parameters = two(0.5, [-1.0, 2.0])
    state = optimizer.init(parameters)
    w, z, v = np.array([0.5, -1.0, 2.0]), np.zeros(3), np.zeros(3)
    bounded = 0
    for t, (g, delta, reset) in enumerate(random_updates(1, 300), start=1):
        state, parameters = update(optimizer, state, parameters, two(g[0], g[1:]), delta, reset, alpha=0.05, kappa=2.0)
        z = 0.99 * 0.8 * z + g
        v = 0.999 * v + 0.001 * (delta * z) ** 2
        u = z / np.sqrt((v / (1 - 0.999**t) if bias_correction else v) + 1e-8)
        m = 0.05 * 2.0 * max(abs(delta), 1.0) * np.abs(u).sum()
        bounded += m > 1
        w = w + min(0.05 / m, 0.05) * delta * u
        if reset:
            z = np.zeros(3)
        np.testing.assert_allclose(flat(parameters), w, rtol=1e-9)
        np.testing.assert_allclose(flat(state["trace"]), z, rtol=1e-12)
        np.testing.assert_allclose(flat(state["moment"]), v, rtol=1e-9)
    assert 0 < bounded < 300, "both sides of the bound must have been visited"


def test_adaptive_bias_correction_matters():
    parameters, gradient = two(0.0, [0.0, 0.0]), two(0.1, [0.2, -0.1])
    changes = []
    for bias_correction in (True, False):
        optimizer = AdaptiveObGD(bias_correction=bias_correction)
        _, after = update(optimizer, optimizer.init(parameters), parameters, gradient, 1.0, alpha=1e-3)
        changes.append(flat(after))
    # v = 0.001 (delta z)^2, so that z / sqrt(v) is sign(z) with the correction and sign(z) / sqrt(0.001) without.
    np.testing.assert_allclose(changes[0], 1e-3 * np.array([1, 1, -1]), rtol=1e-4)
    np.testing.assert_allclose(changes[1], 1e-3 * np.array([1, 1, -1]) / np.sqrt(0.001), rtol=1e-2)


def test_second_moment_and_its_decay_outlive_episodes():
    optimizer, parameters = AdaptiveObGD(), two(0.0, [0.0, 0.0])
    state, _ = update(optimizer, optimizer.init(parameters), parameters, two(1.0, [1.0, 1.0]), 2.0, reset=True)
    np.testing.assert_allclose(flat(state["moment"]), 0.001 * 4, rtol=1e-12)
    assert state["decay"].item() == pytest.approx(0.999)
    assert not flat(state["trace"]).any()


@pytest.mark.parametrize("alpha", [1e-7, 1e-3, 0.1])
def test_trace_adam_equals_torch_adam_fed_with_minus_delta_z(alpha):
    optimizer, parameters = TraceAdam(), two(0.5, [-1.0, 2.0])
    state = optimizer.init(parameters)
    w = torch.nn.Parameter(f64([0.5, -1.0, 2.0]))
    adam = torch.optim.Adam([w], lr=alpha, betas=(0.9, 0.999), eps=1e-4)
    z = np.zeros(3)
    for g, delta, reset in random_updates(2, 500):
        state, parameters = update(optimizer, state, parameters, two(g[0], g[1:]), delta, reset, alpha=alpha)
        z = 0.99 * 0.8 * z + g
        w.grad = f64(-delta * z)
        adam.step()
        if reset:
            z = np.zeros(3)
        np.testing.assert_allclose(flat(parameters), w.detach(), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(flat(state["trace"]), z, rtol=1e-12)


def test_trace_adam_does_not_know_kappa():
    parameters, gradient = two(0.0, [0.0, 0.0]), two(1.0, [2.0, -1.0])
    results = [
        flat(update(TraceAdam(), TraceAdam().init(parameters), parameters, gradient, 5.0, kappa=kappa)[1]) for kappa in (1, 100)
    ]
    assert torch.equal(*results)
    np.testing.assert_allclose(results[0], np.sign([1.0, 2.0, -1.0]), rtol=1e-3)
