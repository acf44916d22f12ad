"""Gradients of chains against autograd; HesScale against exact Hessians where it is exact, and against official numbers."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from probes import generator
from torch.func import grad, hessian, vmap

from algorithms.agent import map_state
from algorithms.chain import (
    ACTIVATIONS,
    AveragePool,
    Convolve,
    Dense,
    Flatten,
    MaxPool,
    chain,
    forward,
    fresh_chain,
    loss_of,
    slopes,
)
from algorithms.hesscale import curvatures, hesscale

OFFICIAL = json.loads((Path(__file__).parent / "oracles" / "hesscale.json").read_text())
IDS = [f"{case['activation']}-{case['loss']}-{case['batch']}" for case in OFFICIAL["cases"]]
CURVED = ["tanh", "sigmoid", "elu"]


def double(state):
    return map_state(lambda x: x.double(), state)


def scalar_loss(layers, loss, x, target):
    return lambda parameters: loss_of(loss, forward(layers, parameters, x)[-1], target).loss


def exact_diagonal(layers, parameters, loss, x, target):
    blocks = hessian(scalar_loss(layers, loss, x, target))(parameters)
    return {
        name: blocks[name][name].reshape(p.numel(), p.numel()).diagonal().reshape(p.shape) for name, p in parameters.items()
    }


def ours(layers, parameters, loss, x, target, gauss_newton=False):
    return hesscale(layers, parameters, x.unsqueeze(0), target.unsqueeze(0), loss, gauss_newton)


def assert_equal(found, expected, names=None, tolerance=1e-10):
    for name in names or expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=tolerance, atol=tolerance, err_msg=name)


def problem(seed, inputs, hidden, outputs, loss):
    g = generator(seed)
    parameters = double(fresh_chain(g, (inputs,), hidden, outputs))
    x = torch.randn(inputs, generator=g, dtype=torch.float64)
    target = torch.tensor(1) if loss == "cross_entropy" else torch.randn(outputs, generator=g, dtype=torch.float64)
    return parameters, x, target


IMAGE_LAYERS = (Convolve(0, 3), MaxPool(2), Convolve(1, 2), AveragePool(2), Flatten(), Dense(2))


def image_parameters(seed):
    g = generator(seed)
    shapes = {
        "0.weight": (3, 2, 3, 3),
        "0.bias": (3,),
        "1.weight": (4, 3, 2, 2),
        "1.bias": (4,),
        "2.weight": (3, 4),
        "2.bias": (3,),
    }
    return {name: torch.randn(shape, generator=g, dtype=torch.float64) * 0.4 for name, shape in shapes.items()}


@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_slopes_are_the_gradient(activation, loss):
    layers = chain((4,), (6, 5), activation)
    parameters, x, target = problem(1, 4, (6, 5), 3, loss)
    values = forward(layers, parameters, x)
    gradient, _ = slopes(layers, parameters, values, loss_of(loss, values[-1], target).slope)
    assert_equal(gradient, grad(scalar_loss(layers, loss, x, target))(parameters))


@pytest.mark.parametrize("size", [(9, 8), (8, 8)])  # squares of pixels that do not fill the image, and that do
def test_slopes_of_images_are_the_gradient(size):
    parameters, x, target = image_parameters(2), torch.randn(2, *size, generator=generator(3)).double(), torch.tensor(2)
    values = forward(IMAGE_LAYERS, parameters, x)
    gradient, _ = slopes(IMAGE_LAYERS, parameters, values, loss_of("cross_entropy", values[-1], target).slope)
    assert_equal(gradient, grad(scalar_loss(IMAGE_LAYERS, "cross_entropy", x, target))(parameters))


def test_network_for_images_is_that_of_the_paper():
    layers, parameters = chain((3, 32, 32), (120, 84), "relu"), fresh_chain(generator(0), (3, 32, 32), (120, 84), 10)
    assert sum(p.numel() for p in parameters.values()) == 62_006
    x = torch.randn(3, 32, 32, generator=generator(1))
    net = torch.nn.functional
    features = net.max_pool2d(net.conv2d(x, parameters["0.weight"], parameters["0.bias"]), 2)
    features = net.max_pool2d(net.conv2d(features, parameters["1.weight"], parameters["1.bias"]), 2).flatten()
    for number in (2, 3):
        features = net.linear(features, parameters[f"{number}.weight"], parameters[f"{number}.bias"]).relu()
    output = net.linear(features, parameters["4.weight"], parameters["4.bias"])
    np.testing.assert_allclose(forward(layers, parameters, x)[-1], output, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", *CURVED])
def test_hesscale_is_exact_on_the_network_of_figure_2(activation):
    layers = chain((5,), (50,), activation)
    parameters, x, target = problem(4, 5, (50,), 1, "squared")
    assert_equal(ours(layers, parameters, "squared", x, target), exact_diagonal(layers, parameters, "squared", x, target))


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("loss", ["cross_entropy", "squared"])
def test_hesscale_is_exact_for_the_last_layer_and_not_below(activation, loss):
    layers = chain((4,), (6, 5, 4), activation)
    parameters, x, target = problem(5, 4, (6, 5, 4), 3, loss)
    found, exact = ours(layers, parameters, loss, x, target), exact_diagonal(layers, parameters, loss, x, target)
    assert_equal(found, exact, ["3.weight", "3.bias"])
    if loss == "squared":
        assert_equal(found, exact, ["2.weight", "2.bias"])
    assert not np.allclose(found["0.weight"], exact["0.weight"], rtol=1e-3)


def test_convolution_is_exact_at_the_output_where_it_has_one_position():
    layers = (Convolve(0, 3), AveragePool(2), Flatten())
    g = generator(6)
    parameters = {"0.weight": torch.randn(3, 2, 3, 3, generator=g).double(), "0.bias": torch.randn(3, generator=g).double()}
    x, target = torch.randn(2, 4, 4, generator=g).double(), torch.tensor(1)
    exact = exact_diagonal(layers, parameters, "cross_entropy", x, target)
    found = ours(layers, parameters, "cross_entropy", x, target)
    # Four positions share the kernel, and what is off the diagonal between them is dropped ...
    assert not np.allclose(found["0.weight"], exact["0.weight"])
    # ... and with one position there is nothing to drop.
    layers, x = (Convolve(0, 3), Flatten()), x[:, :3, :3]
    exact = exact_diagonal(layers, parameters, "cross_entropy", x, target)
    assert_equal(ours(layers, parameters, "cross_entropy", x, target), exact)


def test_convolution_carries_curvature_as_the_dense_layer_that_it_is():
    """A convolution as a matrix: the same outputs, so the same curvature at its input."""
    g = generator(7)
    weight, bias = torch.randn(3, 2, 2, 2, generator=g).double(), torch.randn(3, generator=g).double()
    parameters, layer = {"0.weight": weight, "0.bias": bias}, Convolve(0, 2)
    x = torch.randn(2, 4, 3, generator=g).double()
    matrix = torch.func.jacrev(lambda x: layer.forward(parameters, x).flatten())(x).reshape(18, 24)
    v = torch.rand(3, 3, 2, generator=g).double()
    y = layer.forward(parameters, x)
    for power in (1, 2):
        expected = (matrix**power).t() @ v.flatten()
        np.testing.assert_allclose(layer.to_input(parameters, x, y, v, power).flatten(), expected, atol=1e-12)


def test_largest_pixel_alone_carries_curvature():
    x = torch.tensor([[[1.0, 5.0], [2.0, 5.0]]])
    layer = MaxPool(2)
    v = torch.tensor([[[3.0]]])
    back = layer.to_input({}, x, layer.forward({}, x), v, 2)
    assert back.tolist() == [[[0.0, 3.0], [0.0, 0.0]]]  # of two equal ones the first, as in torch


@pytest.mark.parametrize("activation", CURVED)
def test_gauss_newton_leaves_out_the_bend_of_activations(activation):
    parameters, x, target = problem(8, 4, (6, 5), 3, "cross_entropy")
    layers = chain((4,), (6, 5), activation)
    full, reduced = (ours(layers, parameters, "cross_entropy", x, target, flag) for flag in (False, True))
    assert not np.allclose(full["0.weight"], reduced["0.weight"], rtol=1e-3)
    assert all((diagonal >= 0).all() for diagonal in reduced.values())
    # Exact for one output: g g^T of the output, times the second derivative of the loss.
    parameters, x, target = problem(9, 4, (6,), 1, "squared")
    layers = chain((4,), (6,), activation)
    slope = grad(lambda p: forward(layers, p, x)[-1][0])(parameters)
    assert_equal(ours(layers, parameters, "squared", x, target, True), {name: 2 * g * g for name, g in slope.items()})


@pytest.mark.parametrize("activation", ["relu", "leaky_relu"])
def test_gauss_newton_is_the_same_where_nothing_bends(activation):
    parameters, x, target = problem(10, 4, (6, 5), 3, "cross_entropy")
    layers = chain((4,), (6, 5), activation)
    assert_equal(*(ours(layers, parameters, "cross_entropy", x, target, flag) for flag in (False, True)))


@pytest.mark.parametrize("case", OFFICIAL["cases"], ids=IDS)
def test_numbers_of_the_official_implementation(case):
    layers = chain((5,), (4, 3), case["activation"])
    loss = "squared" if case["loss"] == "mse" else "cross_entropy"

    def by_name(group):
        tensors = {name: torch.tensor(value, dtype=torch.float64) for name, value in case[group].items()}
        return {f"{int(name[7]) - 1}.{name[9:]}": tensor for name, tensor in tensors.items()}  # linear_1.weight

    parameters, inputs, targets = by_name("weights"), torch.tensor(case["inputs"]).double(), torch.tensor(case["targets"])
    targets = targets.double() if loss == "squared" else targets
    values = vmap(lambda x, y: loss_of(loss, forward(layers, parameters, x)[-1], y).loss)(inputs, targets)
    assert values.mean() == pytest.approx(case["loss_value"], rel=1e-12)
    assert_equal(hesscale(layers, parameters, inputs, targets, loss), by_name("hesscale"))


def test_curvature_at_a_feature_is_that_of_its_gate():
    """A gate that multiplies a feature: its second derivative is the feature squared times the curvature there."""
    layers = chain((4,), (6,), "tanh")
    parameters, x, target = problem(11, 4, (6,), 1, "squared")

    def gated(gate):
        hidden = forward(layers[:2], parameters, x)[-1] * gate
        return loss_of("squared", layers[2].forward(parameters, hidden), target).loss

    values = forward(layers, parameters, x)
    _, slope, curvature = loss_of("squared", values[-1], target)
    at = slopes(layers, parameters, values, slope)[1]
    feature, bend = values[2], curvatures(layers, parameters, values, at, curvature)[1][2]
    one = torch.ones(6, dtype=torch.float64)
    np.testing.assert_allclose(feature * at[2], grad(gated)(one), atol=1e-12)
    np.testing.assert_allclose(feature**2 * bend, hessian(gated)(one).diagonal(), atol=1e-12)
