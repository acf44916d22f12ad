"""Recurrent cells: what they carry from step to step, and how real-time recurrent learning differentiates it.

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

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from algorithms.agent import State
from algorithms.settings import Activation

Parameters = dict[str, Tensor]


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

    def unroll(self, parameters: Parameters, hidden: Tensor, inputs: Tensor, goes_on: Tensor) -> Tensor:
        """Return the features of whole sequences, to be differentiated from their end to their beginning.

        Args:
            parameters: of the cell.
            hidden: what each sequence begins with, [sequences, parts, units].
            inputs: what the cell sees, [sequences, steps, inputs].
            goes_on: 0.0 where an episode begins, so that the hidden state is forgotten, else 1.0, [sequences, steps].
        """
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


def unrolled(move: Callable[[Tensor, Tensor], Tensor], hidden: Tensor, seen: Tensor, goes_on: Tensor) -> Tensor:
    """Return the hidden states along sequences, [sequences, steps, parts, units].

    Args:
        move: makes the next hidden states of the last ones and of what is seen of one step.
        hidden: to begin with, [sequences, parts, units].
        seen: what is made of the inputs alone, [sequences, steps, ...].
        goes_on: as for `Cell.unroll`.
    """
    states = []
    for now, kept in zip(seen.unbind(1), goes_on.unbind(1), strict=True):
        hidden = move(hidden * kept.view(-1, 1, 1), now)
        states.append(hidden)
    return torch.stack(states, 1)


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
