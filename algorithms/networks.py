"""Networks of the streaming learners: plain modules over one unbatched input.

Source: Stream-X (arXiv:2410.14606), section 3.3 (LayerNorm) and Algorithm 1 (SparseInit).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F


class Linear(nn.Linear):
    """An affine map of one vector, shape [in_features] -> [out_features].

    Written as multiply and sum so that the compiler can fuse the product with its neighbours; the numbers are those of
    `nn.Linear` up to the order of summation.
    """

    def reset_parameters(self) -> None:
        """Leave the parameters as they are: `init_parameters` makes the ones that are used."""

    def forward(self, input: Tensor) -> Tensor:
        return (self.weight * input).sum(-1) + self.bias


class MLP(nn.Module):
    """Hidden layers of equal form and one or more linear heads, shape [in_features] -> {head: [size]}.

    A hidden layer is linear map, LayerNorm over the whole layer without scale and bias (eps 1e-5), LeakyReLU (slope 0.01).
    """

    def __init__(self, in_features: int, hidden: Sequence[int], heads: Mapping[str, int], layer_norm: bool = True):
        super().__init__()
        sizes = [in_features, *hidden]
        self.hidden = nn.ModuleList(Linear(a, b) for a, b in pairwise(sizes))
        self.heads = nn.ModuleDict({name: Linear(sizes[-1], size) for name, size in heads.items()})
        self.layer_norm = layer_norm

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        for layer in self.hidden:
            x = layer(x)
            if self.layer_norm:
                x = F.layer_norm(x, x.shape)
            x = F.leaky_relu(x)
        return {name: head(x) for name, head in self.heads.items()}


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
    parameters = {name: torch.empty_like(p, device="cpu", requires_grad=False) for name, p in network.named_parameters()}
    for p in parameters.values():
        if p.ndim > 1:
            sparse_init(p, generator, sparsity, same_inputs_for_all_units)
        else:
            p.zero_()
    return parameters


def apply(network: nn.Module, parameters: Mapping[str, Tensor], x: Tensor) -> dict[str, Tensor]:
    """Evaluate a network with the given parameters instead of its own."""
    return functional_call(network, dict(parameters), (x,))
