"""SparseInit and the networks, against the counts and formulas of the paper."""

import math

import numpy as np
import pytest
import torch
from probes import generator
from torch import nn
from torch.nn import functional as F

from algorithms.agent import Spaces
from algorithms.networks import MLP, apply, init_parameters, sparse_init
from algorithms.stream_ac import StreamAC

FAN_INS = [*range(1, 41), 64, 70, 100, 128, 130, 256, 377, 1000]


def zeros_that_the_paper_counts(fan_in):
    """ceil(0.9 * fan_in) in whole numbers, without the rounding of a product of floats."""
    return -(-9 * fan_in // 10)


@pytest.mark.parametrize("fan_in", FAN_INS)
def test_every_unit_drops_exactly_ceil_of_nine_tenths(fan_in):
    weight = torch.empty(33, fan_in)
    sparse_init(weight, generator(fan_in))
    assert ((weight == 0).sum(1) == zeros_that_the_paper_counts(fan_in)).all()


@pytest.mark.parametrize(("fan_in", "kept"), [(5, 0), (7, 0), (9, 0), (10, 1), (12, 1), (18, 1), (19, 1), (36, 3), (128, 12)])
def test_counts_of_kept_weights_named_in_the_paper_notes(fan_in, kept):
    weight = torch.empty(20, fan_in)
    sparse_init(weight, generator(0))
    assert ((weight != 0).sum(1) == kept).all()


def test_convolution_counts_channel_height_and_width_together():
    weight = torch.empty(16, 4, 3, 3)
    sparse_init(weight, generator(0))
    assert ((weight.flatten(1) == 0).sum(1) == 33).all()  # ceil(0.9 * 36)
    assert weight.abs().max() <= 1 / 6


def test_units_drop_inputs_of_their_own_and_every_input_is_dropped_as_often():
    weight = torch.empty(4000, 20)
    sparse_init(weight, generator(1))
    kept = weight != 0
    assert len({tuple(row.tolist()) for row in kept}) > 150  # of 190 possible pairs
    share = kept.double().mean(0)
    np.testing.assert_allclose(share, 0.1, atol=4 * math.sqrt(0.1 * 0.9 / 4000))


def test_one_index_set_per_layer_drops_the_same_inputs_for_all_units():
    for fan_in in (5, 10, 18, 128):
        weight = torch.empty(50, fan_in)
        sparse_init(weight, generator(2), same_inputs_for_all_units=True)
        dropped = (weight == 0).all(0)
        assert dropped.sum() == 9 * fan_in // 10
        assert (weight[:, ~dropped] != 0).all()


def test_dropped_inputs_of_a_layer_vary_with_the_seed():
    sets = set()
    for seed in range(20):
        weight = torch.empty(3, 20)
        sparse_init(weight, generator(seed), same_inputs_for_all_units=True)
        sets.add(tuple((weight == 0).all(0).tolist()))
    assert len(sets) > 15


@pytest.mark.parametrize("fan_in", [18, 128, 377])
@pytest.mark.parametrize("sparsity", [0.9, 0.0])
def test_kept_weights_are_lecun_uniform(fan_in, sparsity):
    weight = torch.empty(20_000 // fan_in * 10, fan_in)
    sparse_init(weight, generator(3), sparsity)
    kept = weight[weight != 0].double()
    assert sparsity or kept.numel() == weight.numel()
    bound = 1 / math.sqrt(fan_in)
    assert kept.abs().max() <= bound
    assert kept.abs().max() > 0.99 * bound
    # Of a uniform number: mean 0, variance bound^2 / 3; within four standard errors.
    n = kept.numel()
    assert abs(kept.mean()) < 4 * bound / math.sqrt(3 * n)
    assert abs(kept.var() - bound**2 / 3) < 4 * bound**2 * math.sqrt(4 / 45 / n)


def test_initialisation_depends_on_the_generator_alone():
    def make(seed):
        return init_parameters(MLP(18, (32, 32), {"value": 1}), generator(seed), 0.9)

    torch.manual_seed(1)
    a = make(5)
    torch.manual_seed(2)
    b = make(5)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert not torch.equal(a["hidden.1.weight"], make(6)["hidden.1.weight"])


def test_initialisation_of_an_agent_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    StreamAC(hidden=(11, 13)).init(generator(0), Spaces((6,), 2))
    assert torch.equal(torch.get_rng_state(), before)


def test_biases_start_at_zero_and_all_layers_are_sparse_heads_included():
    parameters = init_parameters(MLP(18, (128, 128), {"mean": 6, "std": 6}), generator(0), 0.9)
    for name, p in parameters.items():
        assert not p.requires_grad
        if name.endswith("bias"):
            assert not p.any(), name
        else:
            assert ((p == 0).sum(1) == zeros_that_the_paper_counts(p.shape[1])).all(), name


def test_dense_initialisation_has_no_zeros():
    parameters = init_parameters(MLP(18, (128, 128), {"mean": 6, "std": 6}), generator(0), 0.0)
    assert all((p != 0).all() for name, p in parameters.items() if name.endswith("weight"))


@pytest.mark.parametrize(
    ("obs_size", "action_size", "actor", "critic"),
    [
        pytest.param(18, 6, 20_492, 19_073, id="HalfCheetah"),
        pytest.param(28, 8, 22_288, 20_353, id="Ant"),
        pytest.param(377, 17, 69_282, 65_025, id="Humanoid"),
    ],
)
def test_parameter_counts_of_the_paper(obs_size, action_size, actor, critic):
    state = StreamAC().init(generator(0), Spaces((obs_size,), action_size, time_feature=True))
    assert sum(p.numel() for p in state["actor"].values()) == actor
    assert sum(p.numel() for p in state["critic"].values()) == critic


@pytest.mark.parametrize("layer_norm", [True, False])
def test_mlp_equals_a_sequential_of_plain_modules(layer_norm):
    network = MLP(7, (20, 13), {"a": 3, "b": 1}, layer_norm)
    first, second = nn.Linear(7, 20), nn.Linear(20, 13)
    norms = [nn.LayerNorm(n, elementwise_affine=False) if layer_norm else nn.Identity() for n in (20, 13)]
    body = nn.Sequential(first, norms[0], nn.LeakyReLU(0.01), second, norms[1], nn.LeakyReLU(0.01))
    heads = {"a": nn.Linear(13, 3), "b": nn.Linear(13, 1)}
    with torch.no_grad():
        parameters = {
            "hidden.0.weight": first.weight,
            "hidden.0.bias": first.bias,
            "hidden.1.weight": second.weight,
            "hidden.1.bias": second.bias,
            **{f"heads.{n}.{part}": getattr(head, part) for n, head in heads.items() for part in ("weight", "bias")},
        }
        assert set(parameters) == {name for name, _ in network.named_parameters()}
        for seed in range(5):
            x = torch.randn(7, generator=generator(seed)) * 3
            out = apply(network, parameters, x)
            assert set(out) == {"a", "b"}
            for name, head in heads.items():
                torch.testing.assert_close(out[name], head(body(x)), rtol=1e-5, atol=1e-6)


def test_layer_norm_is_over_the_whole_layer_without_affine():
    network = MLP(3, (50,), {"out": 50})
    weight, bias = torch.randn(50, 3, generator=generator(0)), torch.randn(50, generator=generator(1))
    x = torch.tensor([1.0, -2.0, 3.0])
    identity = {"heads.out.weight": torch.eye(50), "heads.out.bias": torch.zeros(50)}
    with torch.no_grad():
        out = apply(network, {"hidden.0.weight": weight, "hidden.0.bias": bias, **identity}, x)["out"]
    pre = (weight @ x + bias).double().numpy()
    normal = (pre - pre.mean()) / np.sqrt(pre.var() + 1e-5)  # biased variance, eps 1e-5
    np.testing.assert_allclose(out, np.where(normal > 0, normal, 0.01 * normal), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(out, F.leaky_relu(F.layer_norm(weight @ x + bias, (50,))), rtol=1e-4, atol=1e-5)


def test_no_layer_norm_on_the_output():
    network = MLP(2, (4,), {"out": 3})
    parameters = init_parameters(network, generator(0), 0.0)
    parameters["heads.out.bias"] = torch.tensor([100.0, 0.0, 0.0])
    assert apply(network, parameters, torch.ones(2))["out"][0] > 90


def test_heads_are_affine_in_the_last_hidden_layer_only_and_separate():
    network = MLP(2, (4,), {"mean": 2, "std": 2})
    parameters = init_parameters(network, generator(0), 0.0)
    before = apply(network, parameters, torch.ones(2))
    after = apply(network, {**parameters, "heads.std.bias": torch.tensor([1.0, 2.0])}, torch.ones(2))
    assert torch.equal(before["mean"], after["mean"])
    torch.testing.assert_close(after["std"] - before["std"], torch.tensor([1.0, 2.0]))


def test_all_zero_first_layer_still_receives_gradients():
    network = MLP(5, (32, 32), {"value": 1})
    parameters = {n: p.requires_grad_() for n, p in init_parameters(network, generator(0), 0.9).items()}
    assert not parameters["hidden.0.weight"].any()
    apply(network, parameters, torch.tensor([1.0, -1.0, 0.5, 2.0, 0.1]))["value"].backward()
    assert parameters["hidden.0.weight"].grad.abs().sum() > 0
    assert parameters["hidden.0.bias"].grad.abs().sum() > 0


def test_layer_norm_in_the_first_layers_alone():
    network = MLP(5, (16, 8), {"value": 1}, activation="tanh", normalized=1)
    parameters = init_parameters(network, generator(0), 0.0)
    x = torch.randn(5, generator=generator(1))
    first = F.layer_norm(F.linear(x, parameters["hidden.0.weight"], parameters["hidden.0.bias"]), (16,)).tanh()
    second = F.linear(first, parameters["hidden.1.weight"], parameters["hidden.1.bias"]).tanh()
    expected = F.linear(second, parameters["heads.value.weight"], parameters["heads.value.bias"])
    assert torch.allclose(apply(network, parameters, x)["value"], expected, atol=1e-6)
    features, heads = network.of_many(parameters, x.expand(3, 5))
    assert torch.allclose(features, second.expand(3, 8), atol=1e-6)
    assert torch.allclose(heads["value"], expected.expand(3, 1), atol=1e-6)
