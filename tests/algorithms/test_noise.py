"""Numbers made inside a step: exact, as their law says, and independent in every direction in which a learner draws.

Keys are fixed, so that nothing here is left to chance. LIMIT is in standard errors: of a right generator, one statistic in
600 million lies beyond 6, and the largest test looks at 4,000 of them. What a bad hash does lies far beyond: see the last test.
"""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch.func import vmap
from torch.fx.experimental.proxy_tensor import make_fx

from algorithms import noise
from algorithms.agent import leaves
from algorithms.kernels import Compiler
from algorithms.toolchain import compiler_available

LIMIT = 6.0
LEAST_P = 1e-7  # of Kolmogorov-Smirnov and chi-square; there are some dozens of them
KEYS = (0, 1, 2**63 - 2, 4_611_686_018_427_387_907)

int64 = st.integers(0, 2**63 - 1)
purposes = st.integers(0, 2**31 - 1)


def of(value):
    return torch.tensor(value, dtype=torch.int64)


def normals(key, counter=0, purpose=0, count=1 << 18):
    return noise.normal(of(key), of(counter), purpose, (count,)).double().numpy()


def unsigned(x):
    return x.numpy().view(np.uint32)


def reference_bits(key, counter, purpose, count):
    """The same from its description, in Python's integers."""
    mask = 2**32 - 1

    def mixed(x):
        x = (x ^ (x >> 16)) * 0x7FEB352D & mask
        x = (x ^ (x >> 15)) * 0x846CA68B & mask
        return x ^ (x >> 16)

    x, y = 0x243F6A88, 0x85A308D3
    for word in (key & mask, key >> 32, counter & mask, counter >> 32, purpose):
        x = mixed(word ^ x)
        y = mixed(x ^ y)
        x ^= y
    found = []
    for place in range(count):
        z = place ^ x
        z = (z ^ (z >> 16)) * 0x7FEB352D & mask ^ y
        z = (z ^ (z >> 15)) * 0x846CA68B & mask
        found.append(z ^ (z >> 16))
    return np.array(found, dtype=np.uint32)


@given(int64, int64, purposes, st.integers(0, 20) | st.integers(1020, 2060))
def test_bits_are_those_of_the_description(key, counter, purpose, count):
    own = noise.bits(of(key), of(counter), purpose, count)
    assert own.dtype == torch.int32
    assert unsigned(own).tolist() == reference_bits(key, counter, purpose, count).tolist()


def test_bits_are_what_they_were():
    assert unsigned(noise.bits(of(0), of(0), 0, 4)).tolist() == [1239235554, 1292530659, 1125677041, 3483975197]
    assert unsigned(noise.bits(of(2**62 + 12345), of(10**10), 7, 4)).tolist() == [638442461, 2831595447, 3343501518, 3120323794]


@given(int64, int64, purposes, st.lists(st.integers(0, 5), max_size=3))
def test_shapes_types_and_ranges(key, counter, purpose, shape):
    for draw in (noise.normal, noise.uniform):
        x = draw(of(key), of(counter), purpose, tuple(shape))
        assert x.shape == tuple(shape)
        assert x.dtype == torch.float32
        assert torch.isfinite(x).all()
    assert ((x >= 0) & (x < 1)).all()


@given(int64, int64, st.integers(0, 9), st.integers(1, 40))
def test_normal_numbers_are_those_of_box_and_muller(key, counter, purpose, count):
    half = (count + 1) // 2
    words = reference_bits(key, counter, purpose, half)
    share = ((words >> 12) + 0.5) / 2**20
    angle = np.pi * ((words & 0x7FF) / 2**11 + 2.0**-12 - 0.5) + np.pi * ((words & 0x800) > 0)
    radius = np.sqrt(-2 * np.log(share))
    expected = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:count]
    own = noise.normal(of(key), of(counter), purpose, (count,))
    np.testing.assert_allclose(own, expected, atol=5e-5)


@pytest.mark.parametrize("distance", [0, 1, 2**19 - 1, 2**19, 2**20 - 1])
@pytest.mark.parametrize("direction", [0, 0x7FF, 0x800, 0xFFF])
def test_no_bits_give_a_number_that_is_not_finite(monkeypatch, distance, direction):
    word = np.array([distance << 12 | direction], np.uint32).view(np.int32)
    monkeypatch.setattr(noise, "bits", lambda *_: torch.from_numpy(word))
    x = noise.normal(of(0), of(0), 0, (2,))
    assert torch.isfinite(x).all()
    radius = np.sqrt(-2 * np.log((distance + 0.5) / 2**20))
    assert np.hypot(*x.double().numpy()) == pytest.approx(radius, rel=2e-5)
    assert radius < 5.4


def test_keys_are_drawn_from_the_generator():
    keys = [noise.fresh_key(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert keys[0].dtype == torch.int64
    assert keys[0].shape == ()
    assert keys[0] == keys[1]
    assert keys[0] != keys[2]
    assert keys[0] > 2**32, "both halves of a key are drawn"


def test_a_counter_that_would_stand_still_is_refused():
    with pytest.raises(TypeError, match="int64"):
        noise.normal(of(0), torch.tensor(2.0**25), 0, (2,))


def test_a_nested_dict_is_filled_from_one_draw():
    parameters = {"a": torch.zeros(3, 5), "b": {"c": torch.zeros(()), "d": torch.zeros(7)}}
    own = noise.normal_like(of(3), of(4), 5, parameters)
    assert [x.shape for x in leaves(own)] == [x.shape for x in leaves(parameters)]
    flat = torch.cat([x.flatten() for x in leaves(own)])
    assert torch.equal(flat, noise.normal(of(3), of(4), 5, (23,)))
    assert len(flat.unique()) == 23


@pytest.mark.parametrize("key", KEYS)
def test_moments_up_to_the_fourth(key):
    n = 1 << 20
    x = normals(key, 17, 3, n)
    # Raw moments of N(0, 1) and the variances of their powers: E x^2k - (E x^k)^2.
    for power, moment, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs((x**power).mean() - moment) < LIMIT * np.sqrt(variance / n), f"moment {power}"
    u = noise.uniform(of(key), of(17), 3, (n,)).double().numpy()
    for power in (1, 2, 3, 4):
        variance = 1 / (2 * power + 1) - 1 / (power + 1) ** 2
        assert abs((u**power).mean() - 1 / (power + 1)) < LIMIT * np.sqrt(variance / n), f"moment {power} of uniform"


@pytest.mark.parametrize("key", KEYS)
def test_distributions_by_kolmogorov_and_smirnov(key):
    for step in range(3):
        assert stats.kstest(normals(key, step), "norm").pvalue > LEAST_P
        assert stats.kstest(noise.uniform(of(key), of(step), 1, (1 << 18,)).double().numpy(), "uniform").pvalue > LEAST_P


def test_one_place_over_many_steps_is_distributed_as_one_step_over_many_places():
    counters = torch.arange(1 << 16)
    x = vmap(lambda counter: noise.normal(of(5), counter, 0, (7,)))(counters).double().numpy()
    for place in range(7):
        series = x[:, place]
        assert stats.kstest(series, "norm").pvalue > LEAST_P
        for lag in (1, 2, 3, 256):
            assert abs(correlation(series[:-lag], series[lag:])) < LIMIT
            assert abs(correlation(series[:-lag] ** 2, series[lag:] ** 2)) < LIMIT


def test_tails_are_as_heavy_as_they_should_be():
    n = 1 << 22
    x = np.abs(normals(9, 0, 0, n))
    for bound in (3.0, 4.0, 4.5):
        expected = n * 2 * stats.norm.sf(bound)
        assert abs((x > bound).sum() - expected) < LIMIT * np.sqrt(expected)
    assert x.max() > 4.8  # the greatest of four million


@pytest.mark.parametrize("key", KEYS)
def test_every_bit_is_fair_and_every_byte_uniform(key):
    n = 1 << 18
    words = unsigned(noise.bits(of(key), of(2), 0, n))
    for bit in range(32):
        ones = (words >> bit) & 1
        assert abs(ones.sum() - n / 2) < LIMIT * np.sqrt(n) / 2, f"bit {bit}"
        changes = (ones[1:] ^ ones[:-1]).sum()
        assert abs(changes - n / 2) < LIMIT * np.sqrt(n) / 2, f"bit {bit} and the one before it"
    for byte in range(4):
        counts = np.bincount((words >> (8 * byte)) & 255, minlength=256)
        assert stats.chisquare(counts).pvalue > LEAST_P, f"byte {byte}"


INPUT_BITS = [("key", b) for b in range(63)] + [("counter", b) for b in range(63)] + [("purpose", b) for b in range(31)]


@pytest.mark.parametrize("name", ["key", "counter", "purpose"])
def test_a_flipped_bit_of_the_input_flips_every_bit_of_the_output_half_of_the_time(name):
    places = 1 << 12
    base = {"key": 0x0123456789ABCDEF, "counter": 1000, "purpose": 2}

    def draw(**values):
        return unsigned(noise.bits(of(values["key"]), of(values["counter"]), values["purpose"], places))

    before = draw(**base)
    for bit in (bit for part, bit in INPUT_BITS if part == name):
        flipped = before ^ draw(**{**base, name: base[name] ^ (1 << bit)})
        ones = np.unpackbits(flipped.view(np.uint8)).reshape(places, 32).sum(0)
        assert np.abs(ones - places / 2).max() < LIMIT * np.sqrt(places) / 2, f"{name}, bit {bit}"


def test_a_flipped_bit_of_the_place_flips_every_bit_of_the_output_half_of_the_time():
    words = unsigned(noise.bits(of(77), of(0), 0, 1 << 18))
    places = np.arange(1 << 18)
    for bit in range(18):
        half = places[places >> bit & 1 == 0]
        flipped = words[half] ^ words[half | 1 << bit]
        ones = np.unpackbits(flipped.view(np.uint8)).reshape(len(half), 32).sum(0)
        assert np.abs(ones - len(half) / 2).max() < LIMIT * np.sqrt(len(half)) / 2, f"place, bit {bit}"


def correlation(x, y):
    """Return the correlation in standard errors: about N(0, 1) where x and y are independent."""
    return np.corrcoef(x, y)[0, 1] * np.sqrt(len(x))


def assert_independent(x, y, what):
    for lag in (0, 1, 2, 5, 100):
        for a, b in ((x[lag:], y[: len(y) - lag]), (x[: len(x) - lag], y[lag:])):
            assert abs(correlation(a, b)) < LIMIT, f"{what}, lag {lag}"
            assert abs(correlation(a**2, b**2)) < LIMIT, f"{what}, squares, lag {lag}"
            assert abs(correlation(a**2, b)) < LIMIT, f"{what}, square and number, lag {lag}"
    grid = np.histogram2d(stats.norm.cdf(x), stats.norm.cdf(y), bins=16, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(grid.flatten()).pvalue > LEAST_P, f"{what}, joint distribution"


PAIRS = {
    "consecutive steps": ((5, 10, 0), (5, 11, 0)),
    "steps that differ in a high bit": ((5, 10, 0), (5, 10 + 2**32, 0)),
    "neighbouring keys": ((5, 10, 0), (6, 10, 0)),
    "keys that differ in a high bit": ((5, 10, 0), (5 + 2**40, 10, 0)),
    "neighbouring purposes": ((5, 10, 0), (5, 10, 1)),
    "key and counter exchanged": ((5, 10, 0), (10, 5, 0)),
    "counter and purpose exchanged": ((5, 1, 2), (5, 2, 1)),
    "a step on with one key, a step back with the next": ((5, 11, 0), (6, 10, 0)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_draws_are_independent(pair):
    one, other = PAIRS[pair]
    assert_independent(normals(*one), normals(*other), pair)


@pytest.mark.parametrize("key", KEYS)
def test_the_two_numbers_of_a_pair_are_independent_and_so_are_neighbours(key):
    x = normals(key, 3, 0, 1 << 19)
    assert_independent(*np.split(x, 2), "halves")
    assert_independent(x[::2], x[1::2], "neighbours")


def test_no_two_places_of_a_draw_hold_the_same_bits():
    # Of 32 bits, so many at random would hold some 32 twice.
    words = np.sort(unsigned(noise.bits(of(KEYS[3]), of(1), 0, 1 << 19)))
    assert (words[1:] != words[:-1]).all()


def test_nothing_comes_again_over_many_steps_keys_and_purposes():
    counters = torch.arange(1 << 17)
    keys = torch.randint(2**63 - 1, (1 << 16,), generator=torch.Generator().manual_seed(0))
    found = [
        vmap(lambda counter: noise.bits(of(5), counter, 0, 2))(counters),
        vmap(lambda counter: noise.bits(of(6), counter, 0, 2))(counters),
        vmap(lambda counter: noise.bits(of(5), counter, 1, 2))(counters),
        vmap(lambda key: noise.bits(key, of(2**40), 0, 2))(keys),
    ]
    pairs = torch.cat(found).numpy().view(np.uint64)
    # Of 64 bits, half a million at random would hold one twice with a probability of 6e-9.
    assert len(np.unique(pairs)) == len(pairs)


@given(st.lists(int64, min_size=1, max_size=5), int64, st.integers(1, 70))
def test_lanes_do_not_know_of_each_other(keys, counter, count):
    together = vmap(lambda key: noise.bits(key, of(counter), 1, count))(torch.tensor(keys))
    normal = vmap(lambda key: noise.normal(key, of(counter), 1, (count,)))(torch.tensor(keys))
    uniform = vmap(lambda key: noise.uniform(key, of(counter), 1, (count,)))(torch.tensor(keys))
    for lane, key in enumerate(keys):
        assert torch.equal(together[lane], noise.bits(of(key), of(counter), 1, count))
        assert torch.equal(uniform[lane], noise.uniform(of(key), of(counter), 1, (count,)))
        # Eager kernels take the elements that fill no SIMD vector by another logarithm.
        np.testing.assert_allclose(normal[lane], noise.normal(of(key), of(counter), 1, (count,)), atol=3e-6)


@pytest.mark.slow
@pytest.mark.skipif(not compiler_available(), reason="there is no C++ compiler")
def test_compiled_as_lanes_are_the_bits_are_the_same():
    # Sizes with a rest after full SIMD vectors, and a single number.
    keys, counters = torch.tensor([3, 2**63 - 2, 5]), torch.tensor([0, 1, 2**41 + 7])

    def draws(key, counter):
        return (
            noise.bits(key, counter, 1, 77),
            noise.uniform(key, counter, 3, ()),
            noise.normal(key, counter, 4, (11, 13)),
        )

    def step(keys, counters):
        return list(vmap(draws)(keys, counters))

    with torch.no_grad():
        compiled = Compiler().compile(make_fx(step)(keys, counters), [keys, counters])(keys, counters)
    for lane, (key, counter) in enumerate(zip(keys, counters, strict=True)):
        for own, eager in zip(compiled, draws(key, counter), strict=True):
            np.testing.assert_allclose(own[lane], eager, rtol=0, atol=3e-6)
    whole, uniform, _ = step(keys, counters)
    assert torch.equal(compiled[0], whole)
    assert torch.equal(compiled[1], uniform)
    np.testing.assert_array_equal(unsigned(compiled[0][2]), reference_bits(5, 2**41 + 7, 1, 77))


def test_these_limits_catch_a_weak_hash(monkeypatch):
    """Without the shifts, products alone are what is left of the hash: its low bits depend on low bits only."""
    monkeypatch.setattr(noise, "_shifted", lambda x, places: x)
    with pytest.raises(AssertionError):
        test_every_bit_is_fair_and_every_byte_uniform(KEYS[1])
    with pytest.raises(AssertionError):
        test_a_flipped_bit_of_the_input_flips_every_bit_of_the_output_half_of_the_time("counter")
    with pytest.raises(AssertionError):
        test_a_flipped_bit_of_the_place_flips_every_bit_of_the_output_half_of_the_time()
    with pytest.raises(AssertionError):
        test_the_two_numbers_of_a_pair_are_independent_and_so_are_neighbours(KEYS[1])
