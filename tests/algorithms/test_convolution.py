"""The convolution against torch's own, and the networks for images against the counts and formulas of the paper."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import generator
from reference_parts import ReferenceNetwork
from torch.func import functional_call, grad, vmap
from torch.nn import functional as F

from algorithms.agent import Spaces, Transition
from algorithms.networks import ConvNet, Convolution, apply, init_parameters, network
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from baselines.classic import ClassicQ


@st.composite
def convolutions(draw):
    """Draw units, channels, kernel, stride, height and width such that the kernel fits in."""
    units, channels = draw(st.integers(1, 5)), draw(st.integers(1, 4))
    kernel, stride = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    return units, channels, kernel, stride, draw(st.integers(kernel, 14)), draw(st.integers(kernel, 14))


def made(channels, units, kernel, stride, seed, dtype=torch.float64):
    layer = Convolution(channels, units, kernel, stride)
    rng = torch.Generator().manual_seed(seed)
    parameters = {name: torch.randn(p.shape, generator=rng, dtype=dtype) for name, p in layer.named_parameters()}
    return layer, parameters, rng


@settings(max_examples=60)
@given(convolutions(), st.integers(0, 10_000))
def test_unfolding_and_one_product_equal_conv2d(sizes, seed):
    units, channels, kernel, stride, height, width = sizes
    layer, parameters, rng = made(channels, units, kernel, stride, seed)
    image = torch.randn(channels, height, width, generator=rng, dtype=torch.float64)
    ours = functional_call(layer, parameters, (image,))
    theirs = F.conv2d(image.unsqueeze(0), parameters["weight"], parameters["bias"], stride)[0]
    assert ours.shape == theirs.shape == (units, (height - kernel) // stride + 1, (width - kernel) // stride + 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)


@settings(max_examples=30)
@given(convolutions(), st.integers(0, 10_000))
def test_gradients_equal_those_of_conv2d_for_weights_biases_and_image(sizes, seed):
    units, channels, kernel, stride, height, width = sizes
    layer, parameters, rng = made(channels, units, kernel, stride, seed)
    image = torch.randn(channels, height, width, generator=rng, dtype=torch.float64)
    into = functional_call(layer, parameters, (image,)).shape
    weights = torch.randn(into, generator=rng, dtype=torch.float64)

    def ours(p, x):
        return (weights * functional_call(layer, p, (x,))).sum()

    def theirs(p, x):
        return (weights * F.conv2d(x.unsqueeze(0), p["weight"], p["bias"], stride)[0]).sum()

    by_ours, by_theirs = (grad(f, argnums=(0, 1))(parameters, image) for f in (ours, theirs))
    for name in parameters:
        np.testing.assert_allclose(by_ours[0][name], by_theirs[0][name], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(by_ours[1], by_theirs[1], rtol=1e-9, atol=1e-10)


# The layers of both torsos; those with few positions and many channels take another path than the others.
@pytest.mark.parametrize(
    ("channels", "units", "kernel", "stride", "size"),
    [(4, 16, 3, 1, 10), (4, 32, 8, 5, 84), (32, 64, 4, 3, 16), (64, 64, 3, 2, 5)],
)
def test_layers_of_the_papers_equal_conv2d_alone_and_mapped_over_lanes(channels, units, kernel, stride, size):
    layer, _, rng = made(channels, units, kernel, stride, 0)
    scale = (channels * kernel**2) ** -0.5
    weight = scale * torch.randn(3, units, channels, kernel, kernel, generator=rng)
    bias, image = torch.randn(3, units, generator=rng), torch.randn(3, channels, size, size, generator=rng)
    expected = torch.stack([F.conv2d(image[i : i + 1], weight[i], bias[i], stride)[0] for i in range(3)])

    def one(weight, bias, image):
        return functional_call(layer, {"weight": weight, "bias": bias}, (image,))

    np.testing.assert_allclose(vmap(one)(weight, bias, image), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one(weight[0], bias[0], image[0]), expected[0], rtol=1e-4, atol=1e-5)


def test_a_convolution_by_hand():
    layer = Convolution(1, 1, 2, 2)
    parameters = {"weight": torch.tensor([[[[1.0, 10.0], [100.0, 1000.0]]]]), "bias": torch.tensor([0.5])}
    image = torch.arange(1.0, 17.0).reshape(1, 4, 4)
    expected = [[[6521.5, 8743.5], [15409.5, 17631.5]]]  # 1 + 20 + 500 + 6000 + 0.5, and so on
    assert functional_call(layer, parameters, (image,)).tolist() == expected


# Networks for images --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spaces", "count"),
    [
        (Spaces((4, 10, 10), 6, discrete=True), 132_566),
        (Spaces((10, 10, 10), 6, discrete=True), 133_430),  # Seaquest
        (Spaces((84, 84), 6, discrete=True, frames=4), 145_318),
    ],
    ids=["minatar", "seaquest", "atari"],
)
def test_parameter_counts_of_the_paper(spaces, count):
    state = StreamQ().init(generator(0), spaces)
    assert sum(p.numel() for p in state["q"].values()) == count


def test_flattened_sizes_of_the_paper():
    for shape, flat, width in (((4, 10, 10), 1024, 128), ((4, 84, 84), 256, 256)):
        net = network(shape, (32, 32), {"q": 6}, True)
        assert net.hidden[0].weight.shape == (width, flat)
        assert len(net.hidden) == 1, "the option `hidden` is for vectors"
        assert net.heads["q"].weight.shape == (6, width)


@pytest.mark.parametrize("layer_norm", [True, False])
@pytest.mark.parametrize("shape", [(4, 10, 10), (4, 84, 84)], ids=["minatar", "atari"])
def test_network_equals_a_sequential_of_plain_modules(shape, layer_norm):
    net = network(shape, (), {"q": 3}, layer_norm)
    parameters = init_parameters(net, generator(1), 0.0)
    for name, p in parameters.items():
        if name.endswith("bias"):
            p.copy_(0.1 * torch.randn(p.shape, generator=generator(2)))
    image = torch.randn(shape, generator=generator(3))
    with torch.no_grad():
        expected = ReferenceNetwork(parameters, layer_norm)(image.double())["q"]
    np.testing.assert_allclose(apply(net, parameters, image)["q"], expected, rtol=1e-4, atol=1e-5)


def test_layer_norm_of_a_convolution_is_over_channels_and_positions_together():
    net = ConvNet((2, 5, 5), [(3, 2, 1)], (), {"out": 1})
    # The head reads one unit at one place at a time: all of them together have mean 0 and variance 1 before LeakyReLU.
    parameters = init_parameters(net, generator(0), 0.0)
    parameters["convolutions.0.bias"] = torch.tensor([5.0, -3.0, 0.0])
    image = torch.randn(2, 5, 5, generator=generator(1))
    shown = []
    for place in torch.eye(3 * 4 * 4):
        head = {**parameters, "heads.out.weight": place.unsqueeze(0), "heads.out.bias": torch.zeros(1)}
        shown.append(apply(net, head, image)["out"].item())
    before = np.array([x if x > 0 else x / 0.01 for x in shown])
    assert before.mean() == pytest.approx(0, abs=1e-5)
    assert before.var() == pytest.approx(1, abs=1e-4)
    by_unit = before.reshape(3, 16).mean(1)
    assert by_unit[0] > 0.5 > -0.5 > by_unit[1], "the units keep their differences"


def test_sparse_layers_of_an_image_network_keep_one_weight_in_ten():
    for shape, fan_ins in (((4, 10, 10), (36, 1024, 128)), ((4, 84, 84), (256, 512, 576, 256, 256))):
        parameters = init_parameters(network(shape, (), {"q": 6}, True), generator(0), 0.9)
        weights = [p.flatten(1) for name, p in parameters.items() if name.endswith("weight")]
        assert sorted(w.shape[1] for w in weights) == sorted(fan_ins)
        for w in weights:
            assert ((w == 0).sum(1) == -(-9 * w.shape[1] // 10)).all()


@pytest.mark.parametrize(
    ("shape", "layers"),
    [((4, 10, 10), [(1024, 1024), (128, 1024)]), ((4, 84, 84), [(256, 256), (128, 256)])],
    ids=["minatar", "atari"],
)
def test_torso_of_the_papers_text_has_the_layers_that_it_lists(shape, layers):
    code, paper = (network(shape, (), {"q": 6}, True, torso) for torso in ("code", "paper"))
    assert [tuple(layer.weight.shape) for layer in paper.hidden] == layers
    assert paper.heads["q"].weight.shape == (6, 128)
    convolutions = [[tuple(layer.weight.shape) for layer in net.convolutions] for net in (code, paper)]
    assert convolutions[0] == convolutions[1]


@pytest.mark.parametrize(
    ("learner", "networks"), [(StreamQ, ["q"]), (StreamSARSA, ["q"]), (StreamAC, ["actor", "critic"]), (ClassicQ, ["q"])]
)
def test_learner_has_the_torso_it_is_told_and_learns_with_it(learner, networks):
    spaces = Spaces((4, 10, 10), 3, discrete=True)
    agent = learner(torso="paper")
    state = agent.init(generator(0), spaces)
    for name in networks:
        assert state[name]["hidden.0.weight"].shape == (1024, 1024)
        assert state[name]["hidden.1.weight"].shape == (128, 1024)
    obs, noise = torch.zeros(4, 10, 10, dtype=torch.float64), torch.full(agent.noise(spaces).shape, 0.5)
    state, action = agent.start(state, obs, noise)
    flag = torch.tensor(False)
    moment = Transition(obs, action, torch.tensor(1.0, dtype=torch.float64), obs + 1, flag, flag, flag, obs + 1)
    learnt, *_ = agent.step(state, moment, noise)
    assert (learnt[networks[0]]["hidden.1.bias"] != state[networks[0]]["hidden.1.bias"]).any()


@pytest.mark.parametrize(
    ("image", "convolutions"), [((3, 64, 96), 3), ((4, 53, 53), 3), ((3, 52, 60), 1), ((2, 7, 9), 1), ((1, 3, 3), 1)]
)
def test_images_of_other_sizes_have_the_largest_network_that_sees_them(image, convolutions):
    made = network(image, (), {"q": 2}, True)
    assert len(made.convolutions) == convolutions
    parameters = init_parameters(made, torch.Generator().manual_seed(0), 0.9)
    assert apply(made, parameters, torch.rand(image))["q"].shape == (2,)


def test_images_too_small_for_any_convolution_are_refused():
    with pytest.raises(ValueError, match="3 x 3 pixels"):
        network((3, 2, 9), (), {"q": 2}, True)
