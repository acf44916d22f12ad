"""Recurrent torsos: a cell between the hidden layers of a network and its heads, learnt by real-time recurrent learning.

Source: streaming with real-time recurrent learning (arXiv:2605.24709), section 3; recurrent trace units (arXiv:2409.01449).

A cell carries its hidden state h from step to step and, for the exact gradient, the sensitivities S = dh / dpsi of that state
to the cell's own parameters psi, through the whole past:

    h_t = f(psi, h_{t-1}, x_t),    S_t = J_t S_{t-1} + I_t,    J_t = df/dh_{t-1},  I_t = df/dpsi

The gradient of a loss is then c_t S_t with c_t = dL/dh_t, which ordinary backpropagation through the heads gives. Autograd
learns of S_t in one place, `attach_sensitivities`. So a learner takes the gradient of its objective as if there were no past,
and its update rule is the same with and without recurrence.

- `rtrl` is exact for the cell. What lies before the cell gets the gradient of the present step alone: x_t depends on its
  parameters, and so did every x before, but that is not followed.
- `tbptt1` is backpropagation cut off after one step: c_t I_t.

Deviations of the papers' description from the official code, which is what stands here:
1. Sensitivities made with earlier parameters are kept as they are (stale), unless an RTU corrects them to first order.
2. There is one recurrent layer. Several with sensitivities of their own would not be exact: those across layers are missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from algorithms.agent import State, map_state
from algorithms.hyperparameters import Activation, Torso
from algorithms.networks import MLP, ActivationName, apply, init_parameters

Parameters = dict[str, Tensor]

ENCODER, CELL = "encoder.", "cell."


class Cell(Protocol):
    """A recurrent layer over one unbatched stream, as pure functions.

    The hidden state is one tensor [parts, units], such as real and imaginary part. The sensitivities are a dict with the names
    of the parameters; their form is the cell's own affair.
    """

    @property
    def inputs(self) -> int:
        """Return the size of what it sees."""
        ...

    @property
    def features(self) -> int:
        """Return the size of what it gives."""
        ...

    def __hash__(self) -> int:
        """Return the same for cells of one form."""
        ...

    def init_parameters(self, generator: torch.Generator) -> Parameters:
        """Return fresh parameters, float32."""
        ...

    def init_hidden(self) -> Tensor:
        """Return the hidden state that an episode begins with: zeros."""
        ...

    def init_tracking(self, parameters: Parameters) -> State:
        """Return what is carried beside the hidden state for the exact gradient, `sensitivities` among it: zeros."""
        ...

    def step(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> Tensor:
        """Return the next hidden state."""
        ...

    def track(self, parameters: Parameters, tracking: State, hidden: Tensor, x: Tensor, new_hidden: Tensor) -> State:
        """Return what is carried for the exact gradient after the step from `hidden` to `new_hidden`."""
        ...

    def pull_back(self, cotangent: Tensor, sensitivity: Tensor) -> Tensor:
        """Return the gradient of one parameter: c_t S_t. `cotangent` has the form of the hidden state."""
        ...

    def output(self, hidden: Tensor) -> Tensor:
        """Return the features that the hidden state shows, [features]."""
        ...


def activate(name: Activation, x: Tensor) -> Tensor:
    """Apply an activation by name."""
    return x if name == "linear" else torch.tanh(x) if name == "tanh" else torch.relu(x)


class _Attached(torch.autograd.Function):
    """The identity on a hidden state, whose derivative by the parameters is their sensitivities."""

    generate_vmap_rule = True

    @staticmethod
    def forward(pull_back: Callable[[Tensor, Tensor], Tensor], hidden: Tensor, *pairs: Tensor) -> Tensor:
        return hidden.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pull_back, _, *pairs = inputs
        ctx.pull_back = pull_back
        ctx.save_for_backward(*pairs[len(pairs) // 2 :])

    @staticmethod
    def backward(ctx: Any, cotangent: Tensor) -> Any:
        gradients = [ctx.pull_back(cotangent, sensitivity) for sensitivity in ctx.saved_tensors]
        return (None, cotangent, *gradients, *(None for _ in gradients))


def attach_sensitivities(cell: Cell, hidden: Tensor, parameters: Parameters, sensitivities: State) -> Tensor:
    """Return the hidden state, with its derivative by the parameters: the sensitivities. Its own graph stays as it is."""
    names = list(parameters)
    attached: Tensor = _Attached.apply(
        cell.pull_back, hidden, *(parameters[name] for name in names), *(sensitivities[name] for name in names)
    )
    return attached


def advance(cell: Cell, parameters: Parameters, carry: State, x: Tensor, track: bool = True) -> tuple[Tensor, State]:
    """Take one step of a cell: return the differentiable hidden state, and the carry after it.

    Args:
        cell: the recurrent layer.
        parameters: its parameters, by the names it gave them.
        carry: `hidden`, and beside it what the cell tracks; without that the gradient is that of the present step.
        x: what the cell sees, [inputs]; the gradient reaches it.
        track: carry the sensitivities on. If not, they stay where they are. The gradient is exact all the same if the hidden
            state in `carry` was returned by this function within the same differentiation, since
            c_t S_t = (c_t J_t) S_{t-1} + c_t I_t needs no S_t: so a look ahead costs no more than a step.
    """
    tracking = {name: value for name, value in carry.items() if name != "hidden"}
    if not track or not tracking:
        hidden = cell.step(parameters, carry["hidden"], x)
        return hidden, {"hidden": hidden, **tracking}
    fixed = {name: p.detach() for name, p in parameters.items()}
    before = carry["hidden"].detach()
    hidden = cell.step(fixed, before, x)
    tracking = cell.track(fixed, tracking, before, x.detach(), hidden.detach())
    sensitivities = tracking["sensitivities"]
    carried = attach_sensitivities(cell, hidden.detach(), parameters, sensitivities)  # what x depends on is not followed on
    return attach_sensitivities(cell, hidden, parameters, sensitivities), {"hidden": carried, **tracking}


class _Encoder(MLP):
    """The hidden layers before the cell, without heads: [in_features] -> [width of the last]."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return self.features(x)


@dataclass(frozen=True)
class RecurrentNetwork:
    """Hidden layers, a cell, hidden layers again, and heads, over one unbatched stream.

    Attributes:
        encoder: what stands before the cell.
        cell: the recurrent layer.
        readout: what stands behind it, heads included.
        exact: gradients are those of real-time recurrent learning.
    """

    encoder: nn.Module
    cell: Cell
    readout: nn.Module
    exact: bool

    def init_parameters(self, generator: torch.Generator, sparsity: float, same_inputs_for_all_units: bool) -> Parameters:
        """Return fresh parameters by name; `sparsity` is that of everything but the cell."""
        return {
            **_named(ENCODER, init_parameters(self.encoder, generator, sparsity, same_inputs_for_all_units)),
            **_named(CELL, self.cell.init_parameters(generator)),
            **init_parameters(self.readout, generator, sparsity, same_inputs_for_all_units),
        }

    def init_carry(self, parameters: Mapping[str, Tensor]) -> State:
        """Return what an episode begins with."""
        tracking = self.cell.init_tracking(_part(CELL, parameters)) if self.exact else {}
        return {"hidden": self.cell.init_hidden(), **tracking}

    def evaluate(self, parameters: Mapping[str, Tensor], carry: State, obs: Tensor, track: bool) -> tuple[Parameters, State]:
        """Return what the heads say at an observation, {head: [size]}, and the carry after it. See `advance`."""
        x = apply(self.encoder, _part(ENCODER, parameters), obs)
        assert isinstance(x, Tensor)
        hidden, carry = advance(self.cell, _part(CELL, parameters), carry, x, track)
        return apply(self.readout, _part("", parameters), self.cell.output(hidden)), carry


def reset_carry(carry: State, reset: Tensor) -> State:
    """Forget the past where the flag is up: hidden state and sensitivities together."""
    return map_state(lambda x: torch.where(reset, 0.0, x), carry)


def recurrent_network(
    obs_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    heads: Mapping[str, int],
    layer_norm: bool,
    activation: ActivationName,
    torso: Torso,
) -> RecurrentNetwork:
    """Return the network of a learner whose torso is recurrent; it sees a vector."""
    if len(obs_shape) != 1:
        raise ValueError(f"a recurrent torso sees vectors; observations of shape {obs_shape} want torso=feedforward")
    cell = make_cell(torso, inputs=hidden[-1] if hidden else obs_shape[0])
    form = (layer_norm, activation)
    return _recurrent_network(obs_shape[0], hidden, cell, torso.readout, tuple(heads.items()), form, torso.gradient == "rtrl")


def make_cell(torso: Torso, inputs: int) -> Cell:
    """Return the cell that a learner has chosen."""
    from algorithms.gated import GRU, LSTM
    from algorithms.rtu import RTU

    if torso.torso == "rtu":
        low, high = torso.rtu_radius
        return RTU(
            inputs, torso.units, torso.rtu_recurrence, torso.rtu_output, low, high, torso.rtu_fan, torso.taylor_correction
        )
    return GRU(inputs, torso.units) if torso.torso == "gru" else LSTM(inputs, torso.units)


@lru_cache(maxsize=64)
def _recurrent_network(
    inputs: int,
    hidden: tuple[int, ...],
    cell: Cell,
    readout: tuple[int, ...],
    heads: tuple[tuple[str, int], ...],
    form: tuple[bool, ActivationName],
    exact: bool,
) -> RecurrentNetwork:
    with torch.device("meta"):
        encoder = _Encoder(inputs, hidden, {}, *form)
        return RecurrentNetwork(encoder, cell, MLP(cell.features, readout, dict(heads), *form), exact)


def _named(prefix: str, parameters: Parameters) -> Parameters:
    return {prefix + name: p for name, p in parameters.items()}


def _part(prefix: str, parameters: Mapping[str, Tensor]) -> Parameters:
    """Return the parameters of one part of a network under its own names; the part without a prefix is all the rest."""
    if not prefix:
        return {name: p for name, p in parameters.items() if not name.startswith((ENCODER, CELL))}
    return {name.removeprefix(prefix): p for name, p in parameters.items() if name.startswith(prefix)}
