"""Networks of the streaming learners: plain modules over one unbatched input.

Source: Stream-X (arXiv:2410.14606), section 3.3 (LayerNorm), Algorithm 1 (SparseInit), appendices F.2 and F.3 (images).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from algorithms.settings import Torso


class Linear(nn.Linear):
    """An affine map of one vector, shape [in_features] -> [out_features].

    Written as multiply and sum so that the compiler can fuse the product with its neighbours; the numbers are those of
    `nn.Linear` up to the order of summation.
    """

    def reset_parameters(self) -> None:
        """Leave the parameters as they are: `init_parameters` makes the ones that are used."""

    def forward(self, input: Tensor) -> Tensor:
        return (self.weight * input).sum(-1) + self.bias


ActivationName = Literal["leaky_relu", "tanh"]
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"leaky_relu": F.leaky_relu, "tanh": torch.tanh}


class MLP(nn.Module):
    """Hidden layers of equal form and one or more linear heads, shape [in_features] -> {head: [size]}.

    A hidden layer is linear map, LayerNorm over the whole layer without scale and bias (eps 1e-5), and LeakyReLU (slope
    0.01) or tanh. With `normalized` only the first so many have LayerNorm.
    """

    def __init__(
        self,
        in_features: int,
        hidden: Sequence[int],
        heads: Mapping[str, int],
        layer_norm: bool = True,
        activation: ActivationName = "leaky_relu",
        normalized: int = 0,
    ):
        super().__init__()
        sizes = [in_features, *hidden]
        self.hidden = nn.ModuleList(Linear(a, b) for a, b in pairwise(sizes))
        self.heads = nn.ModuleDict({name: Linear(sizes[-1], size) for name, size in heads.items()})
        self.layer_norm = layer_norm
        self.norms = [layer_norm and (normalized == 0 or number < normalized) for number in range(len(hidden))]
        self.activation = ACTIVATIONS[activation]

    def features(self, x: Tensor) -> Tensor:
        """Return what the heads see."""
        for layer, norm in zip(self.hidden, self.norms, strict=True):
            x = layer(x)
            if norm:
                x = F.layer_norm(x, x.shape)
            x = self.activation(x)
        return x

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.features(x)
        return {name: head(x) for name, head in self.heads.items()}

    def of_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return what the heads see of many inputs at once, and what they say: for learners that learn from batches.

        Args:
            parameters: by name, instead of those of the module.
            x: [..., in_features].
        """
        for number, norm in enumerate(self.norms):
            x = F.linear(x, parameters[f"hidden.{number}.weight"], parameters[f"hidden.{number}.bias"])
            if norm:
                x = F.layer_norm(x, x.shape[-1:])
            x = self.activation(x)
        return x, {
            name: F.linear(x, parameters[f"heads.{name}.weight"], parameters[f"heads.{name}.bias"]) for name in self.heads
        }


# With fewer columns than a SIMD register has places, a matrix product wants the axis that it sums over to be contiguous.
FEW_POSITIONS = 16


class Convolution(nn.Module):
    """A convolution of one image without padding, [channels, height, width] -> [units, rows, columns].

    Written as unfolding into patches and one matrix product, which vmap maps over networks of different weights; the numbers
    are those of `conv2d` up to the order of summation.
    """

    def __init__(self, channels: int, units: int, kernel: int, stride: int):
        super().__init__()
        self.kernel, self.stride = kernel, stride
        self.weight = nn.Parameter(torch.empty(units, channels, kernel, kernel))
        self.bias = nn.Parameter(torch.empty(units))

    def forward(self, image: Tensor) -> Tensor:
        rows, columns = ((size - self.kernel) // self.stride + 1 for size in image.shape[1:])
        patches = F.unfold(image.unsqueeze(0), self.kernel, stride=self.stride)[0]  # [channels * kernel^2, positions]
        if patches.shape[1] < FEW_POSITIONS:
            patches = patches.t().contiguous().t()
        out = self.weight.flatten(1) @ patches + self.bias.unsqueeze(1)
        return out.unflatten(1, (rows, columns))


class ConvNet(MLP):
    """Convolutions, then an MLP on all that they give, [channels, height, width] -> {head: [size]}.

    Every convolution is followed by LayerNorm over channels and positions together, and an activation, as in `MLP`.
    """

    def __init__(
        self,
        image: tuple[int, int, int],
        convolutions: Sequence[tuple[int, int, int]],
        hidden: Sequence[int],
        heads: Mapping[str, int],
        layer_norm: bool = True,
        activation: ActivationName = "leaky_relu",
    ):
        """`convolutions` lists units, kernel size and stride of each, in pixels."""
        channels, height, width = image
        layers = []
        for units, kernel, stride in convolutions:
            layers.append(Convolution(channels, units, kernel, stride))
            channels, height, width = units, (height - kernel) // stride + 1, (width - kernel) // stride + 1
        super().__init__(channels * height * width, hidden, heads, layer_norm, activation)
        self.convolutions = nn.ModuleList(layers)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for convolution in self.convolutions:
            x = convolution(x)
            if self.layer_norm:
                x = F.layer_norm(x, x.shape)
            x = self.activation(x)
        return super().forward(x.flatten())


# Height and width of an image: (units, kernel, stride) of its convolutions, and the code's widths of the layers after them.
TORSOS: dict[tuple[int, int], tuple[tuple[tuple[int, int, int], ...], tuple[int, ...]]] = {
    (10, 10): (((16, 3, 1),), (128,)),  # MinAtar, F.2
    (84, 84): (((32, 8, 5), (64, 4, 3), (64, 3, 2)), (256,)),  # Atari, F.3
}
# The widths that the paper's text lists. The first of each is also the number of features that the convolutions give.
PAPER_WIDTHS = {(10, 10): (1024, 128), (84, 84): (256, 128)}
# The shortest side of which Atari's convolutions leave anything, and that of MinAtar's.
SHORTEST_SIDE = {(84, 84): 53, (10, 10): 3}


def _published_size(height: int, width: int) -> tuple[int, int]:
    """Return the size of image for which a network was published that can see one of this size too."""
    for size, shortest in SHORTEST_SIDE.items():
        if min(height, width) >= shortest:
            return size
    raise ValueError(f"an image of {height} x {width} is too small; convolutions need 3 x 3 pixels.")


def network(
    obs_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    heads: Mapping[str, int],
    layer_norm: bool,
    torso: Torso = "code",
    activation: ActivationName = "leaky_relu",
    normalized: int = 0,
) -> nn.Module:
    """Return the network for what a learner sees: an MLP with `hidden` for a vector, one of the `TORSOS` for an image.

    With `torso` "paper" the fully connected layers of an image have `PAPER_WIDTHS`: one layer more than in the code. With
    `normalized` only the first so many hidden layers of a vector's network have LayerNorm.
    """
    return _network(obs_shape, hidden, tuple(heads.items()), layer_norm, torso, activation, normalized)


@lru_cache(maxsize=64)
def _network(
    obs_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    heads: tuple[tuple[str, int], ...],
    layer_norm: bool,
    torso: Torso,
    activation: ActivationName,
    normalized: int,
) -> nn.Module:
    with torch.device("meta"):
        if len(obs_shape) == 1:
            return MLP(obs_shape[0], hidden, dict(heads), layer_norm, activation, normalized)
        channels, height, width = obs_shape
        published = _published_size(height, width)
        convolutions, widths = TORSOS[published]
        if torso == "paper":
            widths = PAPER_WIDTHS[published]
        return ConvNet((channels, height, width), convolutions, widths, dict(heads), layer_norm, activation)


def sparse_init(
    weight: Tensor, generator: torch.Generator, sparsity: float = 0.9, same_inputs_for_all_units: bool = False
) -> None:
    """Fill one layer's weight in place: LeCun uniform, then a fraction of the incoming weights of each unit set to zero.

    Stream-X Algorithm 1. Official code: every output unit drops its own random ceil(sparsity * fan_in) inputs. Paper text:
    one index set of floor(sparsity * fan_in) inputs for the whole layer (`same_inputs_for_all_units`). With the code's
    rule a layer of fan_in <= 9 starts all zero at sparsity 0.9.
    """
    units, fan_in = weight.shape[0], weight[0].numel()
    bound = 1 / math.sqrt(fan_in)
    with torch.no_grad():
        flat = weight.view(units, fan_in)
        flat.copy_((2 * torch.rand(units, fan_in, generator=generator, dtype=weight.dtype) - 1) * bound)
        if same_inputs_for_all_units:
            dropped = torch.randperm(fan_in, generator=generator)[: int(sparsity * fan_in)]
            flat[:, dropped] = 0
            return
        count = math.ceil(sparsity * fan_in)
        for unit in flat:
            unit[torch.randperm(fan_in, generator=generator)[:count]] = 0


def init_parameters(
    network: nn.Module, generator: torch.Generator, sparsity: float, same_inputs_for_all_units: bool = False
) -> dict[str, Tensor]:
    """Return fresh parameters of a network by name: sparse weights (dense LeCun uniform at sparsity 0), zero biases."""
    # Not `empty_like`: for a module on the meta device it imports sympy, which takes a second.
    parameters = {name: torch.empty(p.shape, dtype=p.dtype) for name, p in network.named_parameters()}
    for p in parameters.values():
        if p.ndim > 1:
            sparse_init(p, generator, sparsity, same_inputs_for_all_units)
        else:
            p.zero_()
    return parameters


def apply(network: nn.Module, parameters: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Evaluate a network with the given parameters instead of its own."""
    return functional_call(network, dict(parameters), (x,))
