"""HesScale: an approximation of the diagonal of the Hessian in one backward pass, at the cost of a gradient.

Source: Elsayed and Mahmood (arXiv:2210.11639); UPGD (arXiv:2404.00781), appendix F, equations 9 to 12 and Algorithm 6.

The second derivatives of the loss by the output begin it, exactly: q - q^2 behind a softmax with probabilities q, a constant
for squared differences. Layer by layer the diagonal goes back as the gradient does, through squared weights and squared
derivatives, and what is off the diagonal is dropped at each layer. An activation adds its second derivative times the slope.
HesScaleGN leaves that term out, as Gauss and Newton do.

Exact for the last layer of any network, and for all of a network with one hidden layer and one output. Where the loss is
squared the layer below the last is exact for any number of outputs: there is nothing off the diagonal at the output.

Deviations from the official code:
1. An average over pixels squares its weights on the way back, as every linear map does; in the code it does not.
2. A feature's curvature is its own; the code sums it over the features of a layer below the last hidden one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import vmap

from algorithms.agent import State, map_state
from algorithms.chain import Activation, Chain, LossName, forward, loss_of, slopes


def curvatures(
    layers: Chain,
    parameters: State,
    values: Sequence[Tensor],
    slopes_at: Sequence[Tensor],
    curvature: Tensor,
    gauss_newton: bool = False,
) -> tuple[State, list[Tensor]]:
    """Carry the diagonal of second derivatives at the output back through a chain.

    Args:
        layers: the chain.
        parameters: of the chain.
        values: as `chain.forward` returns them.
        slopes_at: the slope of the loss at each of them, as `chain.slopes` returns it.
        curvature: second derivatives of the loss by the output, [outputs].
        gauss_newton: leave out the second derivatives of the activations (HesScaleGN).

    Returns:
        The diagonal in the form of the parameters, and the diagonal at each of `values`; zero at the input, which nobody wants.
    """
    diagonal: State = {}
    found = [curvature]
    for number in reversed(range(len(layers))):
        layer, x, y = layers[number], values[number], values[number + 1]
        diagonal = {**layer.to_parameters(x, found[0], 2), **diagonal}
        if number == 0:
            found.insert(0, torch.zeros_like(x))
            break
        below = layer.to_input(parameters, x, y, found[0], 2)
        second = layer.second(x, y) if isinstance(layer, Activation) and not gauss_newton else None
        found.insert(0, below if second is None else below + second * slopes_at[number + 1])
    return {name: diagonal[name] for name in parameters}, found


def hesscale(
    layers: Chain, parameters: State, inputs: Tensor, targets: Tensor, loss: LossName, gauss_newton: bool = False
) -> State:
    """Return HesScale's diagonal for the mean loss of a batch, in the form of the parameters.

    Args:
        layers: the chain.
        parameters: of the chain.
        inputs: [batch, *x_shape].
        targets: classes, int64 [batch], or vectors, [batch, outputs].
        loss: of one sample.
        gauss_newton: HesScaleGN.
    """

    def of_one(x: Tensor, target: Tensor) -> State:
        values = forward(layers, parameters, x)
        _, slope, curvature = loss_of(loss, values[-1], target)
        _, slopes_at = slopes(layers, parameters, values, slope)
        return curvatures(layers, parameters, values, slopes_at, curvature, gauss_newton)[0]

    return map_state(lambda x: x.mean(0), vmap(of_one)(inputs, targets))
