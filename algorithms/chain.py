"""Networks as chains of layers, and what flows through them from end to end: activations forwards, slopes backwards.

A chain is a tuple of layers for ONE input. `slopes` is the backward pass: the gradient of a loss, layer by layer, written out
because its steps are wanted by themselves. The same two maps with everything squared (`power` 2) carry curvature instead
(`algorithms.hesscale`). Parameters are a dict of tensors, `NUMBER.weight` and `NUMBER.bias`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from algorithms.agent import State
from algorithms.dense import fresh_layers
from algorithms.softmax import log_softmax

Power = Literal[1, 2]
LossName = Literal["cross_entropy", "squared"]
LEAK = 0.01


class Layer(Protocol):
    """One step of a chain, x -> y."""

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Return y."""
        ...

    def to_input(self, parameters: State, x: Tensor, y: Tensor, v: Tensor, power: Power) -> Tensor:
        """Carry a vector back from y to x: the sum over y of (dy/dx)^power v."""
        ...

    def to_parameters(self, x: Tensor, v: Tensor, power: Power) -> State:
        """Carry it back to the layer's own parameters, of which there may be none."""
        ...


class _Fixed:
    """A layer without parameters."""

    def to_parameters(self, x: Tensor, v: Tensor, power: Power) -> State:
        """Return nothing."""
        return {}


@dataclass(frozen=True)
class Dense:
    """y = W x + b, [inputs] -> [outputs]."""

    number: int

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Multiply and sum, which the compiler fuses with its neighbours."""
        return (parameters[f"{self.number}.weight"] * x).sum(-1) + parameters[f"{self.number}.bias"]

    def to_input(self, parameters: State, x: Tensor, y: Tensor, v: Tensor, power: Power) -> Tensor:
        """Return (W^power)^T v."""
        weight = parameters[f"{self.number}.weight"]
        return ((weight if power == 1 else weight * weight) * v.unsqueeze(1)).sum(0)

    def to_parameters(self, x: Tensor, v: Tensor, power: Power) -> State:
        """Return v (x^power)^T, and v itself for the bias."""
        return {f"{self.number}.weight": v.unsqueeze(1) * (x if power == 1 else x * x), f"{self.number}.bias": v}


@dataclass(frozen=True)
class Convolve:
    """A convolution without padding, stride 1, [channels, height, width] -> [units, rows, columns], as one matrix product."""

    number: int
    kernel: int

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Return W P + b, where the columns of P are the patches of the image."""
        out = parameters[f"{self.number}.weight"].flatten(1) @ self._patches(x) + parameters[f"{self.number}.bias"].unsqueeze(1)
        return out.unflatten(1, self._size(x))

    def to_input(self, parameters: State, x: Tensor, y: Tensor, v: Tensor, power: Power) -> Tensor:
        """Return the transposed convolution of v with the kernel^power."""
        weight = parameters[f"{self.number}.weight"].flatten(1)
        patches = (weight if power == 1 else weight * weight).t() @ v.flatten(1)
        # Summed back into the image by shifts: the operation that undoes `unfold` is slow over lanes.
        rows, columns = v.shape[1:]
        patches = patches.reshape(x.shape[0], self.kernel, self.kernel, rows, columns)
        image = torch.zeros_like(x)
        for i in range(self.kernel):
            for j in range(self.kernel):
                margins = (j, self.kernel - 1 - j, i, self.kernel - 1 - i)
                image = image + F.pad(patches[:, i, j], margins)
        return image

    def to_parameters(self, x: Tensor, v: Tensor, power: Power) -> State:
        """Return v (P^power)^T summed over positions, and v summed over them for the bias."""
        patches, flat = self._patches(x), v.flatten(1)
        weight = flat @ (patches if power == 1 else patches * patches).t()
        shape = (v.shape[0], x.shape[0], self.kernel, self.kernel)
        return {f"{self.number}.weight": weight.reshape(shape), f"{self.number}.bias": flat.sum(1)}

    def _patches(self, x: Tensor) -> Tensor:
        return F.unfold(x.unsqueeze(0), self.kernel)[0]  # [channels * kernel^2, positions]

    def _size(self, x: Tensor) -> tuple[int, int]:
        return x.shape[1] - self.kernel + 1, x.shape[2] - self.kernel + 1


@dataclass(frozen=True)
class MaxPool(_Fixed):
    """The largest of each square of pixels, [channels, height, width] -> [channels, height / size, width / size]."""

    size: int

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Return the maxima."""
        return _windows(x, self.size).amax(-1)

    def to_input(self, parameters: State, x: Tensor, y: Tensor, v: Tensor, power: Power) -> Tensor:
        """Hand v to the pixel that was the largest, to the first of them if there are several."""
        windows = _windows(x, self.size)
        chosen = torch.arange(self.size**2) == windows.argmax(-1, keepdim=True)
        return _pixels(torch.where(chosen, v.unsqueeze(-1), torch.zeros_like(windows)), self.size, x)


@dataclass(frozen=True)
class AveragePool(_Fixed):
    """The mean of each square of pixels, sizes as in `MaxPool`."""

    size: int

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Return the means."""
        return _windows(x, self.size).mean(-1)

    def to_input(self, parameters: State, x: Tensor, y: Tensor, v: Tensor, power: Power) -> Tensor:
        """Share v out: each pixel has a part of 1 / size^2 in the mean, squared for a curvature."""
        part = (v / self.size ** (2 * power)).unsqueeze(-1)
        return _pixels(part.expand(*v.shape, self.size**2), self.size, x)


@dataclass(frozen=True)
class Flatten(_Fixed):
    """An image as one vector."""

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Return the vector."""
        return x.flatten()

    def to_input(self, parameters: State, x: Tensor, y: Tensor, v: Tensor, power: Power) -> Tensor:
        """Return v as an image."""
        return v.reshape(x.shape)


class Activation(_Fixed):
    """A function of each component. `second` is None where its second derivative is zero wherever it has one."""

    name: ClassVar[str]

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Apply it."""
        raise NotImplementedError

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        """Return its derivative at x, where it has the value y."""
        raise NotImplementedError

    def second(self, x: Tensor, y: Tensor) -> Tensor | None:
        """Return its second derivative."""
        return None

    def to_input(self, parameters: State, x: Tensor, y: Tensor, v: Tensor, power: Power) -> Tensor:
        """Return v times the derivative^power."""
        slope = self.first(x, y)
        return v * (slope if power == 1 else slope * slope)


@dataclass(frozen=True)
class ReLU(Activation):
    """max(x, 0)."""

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Apply it."""
        return x.relu()

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        """Return 1 above zero."""
        return (x > 0).to(x.dtype)


@dataclass(frozen=True)
class LeakyReLU(Activation):
    """x above zero, 0.01 x below."""

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Apply it."""
        return F.leaky_relu(x, LEAK)

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        """Return 1 above zero and 0.01 below."""
        return torch.where(x > 0, torch.ones_like(x), torch.full_like(x, LEAK))


@dataclass(frozen=True)
class Tanh(Activation):
    """The hyperbolic tangent."""

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Apply it."""
        return x.tanh()

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        """Return 1 - y^2."""
        return 1 - y * y

    def second(self, x: Tensor, y: Tensor) -> Tensor:
        """Return -2 y (1 - y^2)."""
        return -2 * y * (1 - y * y)


@dataclass(frozen=True)
class Sigmoid(Activation):
    """The logistic function."""

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Apply it."""
        return x.sigmoid()

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y (1 - y)."""
        return y * (1 - y)

    def second(self, x: Tensor, y: Tensor) -> Tensor:
        """Return y (1 - y) (1 - 2 y)."""
        return y * (1 - y) * (1 - 2 * y)


@dataclass(frozen=True)
class ELU(Activation):
    """x above zero, exp(x) - 1 below."""

    def forward(self, parameters: State, x: Tensor) -> Tensor:
        """Apply it."""
        return F.elu(x)

    def first(self, x: Tensor, y: Tensor) -> Tensor:
        """Return 1 above zero and y + 1 below."""
        return torch.where(x > 0, torch.ones_like(x), y + 1)

    def second(self, x: Tensor, y: Tensor) -> Tensor:
        """Return 0 above zero and y + 1 below."""
        return torch.where(x > 0, torch.zeros_like(x), y + 1)


ACTIVATIONS: dict[str, Activation | None] = {
    "relu": ReLU(),
    "leaky_relu": LeakyReLU(),
    "tanh": Tanh(),
    "sigmoid": Sigmoid(),
    "elu": ELU(),
    "linear": None,
}
# Units and kernel of the convolutions for images, each followed by a maximum over squares of 2 x 2 pixels and by nothing else.
CONVOLUTIONS = ((6, 5), (16, 5))
Chain = tuple[Layer, ...]


def chain(x_shape: tuple[int, ...], hidden: Sequence[int], activation: str) -> Chain:
    """Return the layers for inputs of a shape: a vector, or an image [channels, height, width], which is convolved first."""
    layers: list[Layer] = []
    number = 0
    if len(x_shape) == 3:
        for number, (_, kernel) in enumerate(CONVOLUTIONS):
            layers += [Convolve(number, kernel), MaxPool(2)]
        layers.append(Flatten())
        number = len(CONVOLUTIONS)
    applied = ACTIVATIONS[activation]
    for place in range(len(hidden) + 1):
        layers.append(Dense(number + place))
        if place < len(hidden) and applied is not None:
            layers.append(applied)
    return tuple(layers)


def fresh_chain(generator: torch.Generator, x_shape: tuple[int, ...], hidden: Sequence[int], outputs: int) -> State:
    """Return the parameters of `chain`, weights and biases from U(-1, 1) / sqrt(inputs), as torch draws them."""
    parameters: State = {}
    if len(x_shape) == 3:
        channels, height, width = x_shape
        for number, (units, kernel) in enumerate(CONVOLUTIONS):
            bound = 1 / math.sqrt(channels * kernel**2)
            for name, shape in (("weight", (units, channels, kernel, kernel)), ("bias", (units,))):
                parameters[f"{number}.{name}"] = (2 * torch.rand(shape, generator=generator) - 1) * bound
            channels, height, width = units, (height - kernel + 1) // 2, (width - kernel + 1) // 2
        x_shape = (channels * height * width,)
    begun = len(parameters) // 2
    for key, value in fresh_layers(generator, (*x_shape, *hidden, outputs)).items():
        place, name = key.split(".")
        parameters[f"{begun + int(place)}.{name}"] = value
    return parameters


def forward(layers: Chain, parameters: State, x: Tensor) -> list[Tensor]:
    """Return the input and what each layer makes of it: one more than there are layers, the output last."""
    values = [x]
    for layer in layers:
        values.append(layer.forward(parameters, values[-1]))
    return values


def slopes(layers: Chain, parameters: State, values: Sequence[Tensor], slope: Tensor) -> tuple[State, list[Tensor]]:
    """Carry the slope of a loss at the output back through a chain.

    Returns:
        The gradient, in the form of the parameters, and the slope at each of `values`, that at the input left at zero: nobody
        wants it, and it would cost a pass over the first layer's weights.
    """
    found = [slope]
    for number in reversed(range(len(layers))):
        layer, x, y = layers[number], values[number], values[number + 1]
        found.insert(0, layer.to_input(parameters, x, y, found[0], 1) if number else torch.zeros_like(x))
    return gradient_at(layers, values, found), found


def gradient_at(layers: Chain, values: Sequence[Tensor], slopes_at: Sequence[Tensor]) -> State:
    """Return the gradient by the parameters where the slopes at all values are known.

    It is made of few numbers. Where it is wanted in two passes over the parameters, the compiler makes it anew in each if it is
    asked for twice, and else writes it into memory, which takes longer.
    """
    gradient: State = {}
    for number, layer in enumerate(layers):
        gradient |= layer.to_parameters(values[number], slopes_at[number + 1], 1)
    return gradient


class LossValue(NamedTuple):
    """A loss, its slope and its exact diagonal of second derivatives at the output, [] and twice [outputs]."""

    loss: Tensor
    slope: Tensor
    curvature: Tensor


def loss_of(name: LossName, output: Tensor, target: Tensor) -> LossValue:
    """Return the loss of one output: cross-entropy of its softmax against a class, or the mean of squared differences."""
    return LOSSES[name](output, target)


def _cross_entropy(output: Tensor, target: Tensor) -> LossValue:
    log_share = log_softmax(output)
    hit = (torch.arange(output.shape[-1]) == target).to(output.dtype)
    share = log_share.exp()
    return LossValue(-(log_share * hit).sum(-1), share - hit, share - share * share)


def _squared(output: Tensor, target: Tensor) -> LossValue:
    error, size = output - target.to(output.dtype), output.shape[-1]
    return LossValue((error * error).mean(-1), 2 / size * error, torch.full_like(error, 2 / size))


LOSSES: dict[str, Callable[[Tensor, Tensor], LossValue]] = {"cross_entropy": _cross_entropy, "squared": _squared}


def _windows(x: Tensor, size: int) -> Tensor:
    """Return the squares of an image, [channels, rows, columns, size^2]; what does not fill one at the edges is left out."""
    channels, rows, columns = x.shape[0], x.shape[1] // size, x.shape[2] // size
    kept = x[:, : rows * size, : columns * size]
    return kept.reshape(channels, rows, size, columns, size).transpose(2, 3).flatten(3)


def _pixels(windows: Tensor, size: int, like: Tensor) -> Tensor:
    """Return the image of which these are the squares, zero where it belongs to none."""
    channels, rows, columns, _ = windows.shape
    squares = windows.reshape(channels, rows, columns, size, size).transpose(2, 3)
    image = squares.reshape(channels, rows * size, columns * size)
    return F.pad(image, (0, like.shape[2] - image.shape[2], 0, like.shape[1] - image.shape[1]))
