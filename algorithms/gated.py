"""GRU and LSTM, with exact real-time recurrent learning for what it costs: n^2 sensitivities for each unit's inputs.

The cells are those of Flax and PyTorch. In the GRU the reset gate multiplies the recurrent part of the candidate after its
matrix product, which is what makes every immediate derivative that of one unit alone.

Exact sensitivities are S_t = J S_{t-1} + I_t with J dense: O(n^3 (n + d)) time and O(n^2 (n + d)) memory. They are here for
the cost figure of arXiv:2605.24709; its learners train these cells by TBPTT(1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import State
from algorithms.recurrent import Parameters, unrolled


@dataclass(frozen=True)
class _Gated:
    """What both have in common: gates of one form, stacked on the first axis of every parameter.

    Attributes:
        inputs: size d of what it sees.
        units: their number n, which is also the size of the output.
    """

    inputs: int
    units: int

    gates = 0
    parts = 0

    @property
    def features(self) -> int:
        """Return the size of the output."""
        return self.units

    def init_hidden(self) -> Tensor:
        """Return zeros, [parts, units]."""
        return torch.zeros(self.parts, self.units)

    def init_tracking(self, parameters: Parameters) -> State:
        """Return sensitivities of zero, {parameter: [parts * units, *shape of the parameter]}."""
        rows = self.parts * self.units
        return {"sensitivities": {name: torch.zeros(rows, *p.shape, dtype=p.dtype) for name, p in parameters.items()}}

    def output(self, hidden: Tensor) -> Tensor:
        """Return what the cell shows, [units]."""
        return hidden[0]

    def pull_back(self, cotangent: Tensor, sensitivity: Tensor) -> Tensor:
        """Return c S, of the shape of the parameter."""
        return (cotangent.flatten() @ sensitivity.flatten(1)).view(sensitivity.shape[1:])

    def _stacked(self, weight: Tensor, x: Tensor) -> Tensor:
        """Return the products of stacked matrices and many vectors, [..., gates, units]."""
        return (x @ weight.flatten(0, 1).t()).unflatten(-1, weight.shape[:2])

    def _matrices(self, generator: torch.Generator) -> Parameters:
        """Return input weights normal and cut off at two standard deviations (LeCun), recurrent weights orthogonal."""
        deviation = 1 / math.sqrt(self.inputs) / 0.87962566103423978
        x = torch.empty(self.gates, self.units, self.inputs)
        torch.nn.init.trunc_normal_(x, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)
        h = torch.empty(self.gates, self.units, self.units)
        for gate in h:
            torch.nn.init.orthogonal_(gate, generator=generator)
        return {"input": x, "recurrent": h}


def _product(weight: Tensor, x: Tensor) -> Tensor:
    """Return the products of stacked matrices and one vector, [gates, units]."""
    return (weight * x).sum(-1)


def _own_rows(derivative: Tensor) -> Tensor:
    """Spread what only a unit's own parameters do to it: [parts, gates, units, ...] -> [parts * units, gates, units, ...]."""
    _, _, units, *rest = derivative.shape
    own = torch.eye(units, dtype=derivative.dtype).view(1, units, 1, units, *(1 for _ in rest))
    return (own * derivative.unsqueeze(1)).flatten(0, 1)


class GRU(_Gated):
    """A gated recurrent unit; its hidden state is [1, units]. Gates in the order reset, update, candidate."""

    gates, parts = 3, 1

    def init_parameters(self, generator: torch.Generator) -> Parameters:
        """Return fresh parameters: `recurrent_bias` is the candidate's, inside what the reset gate multiplies."""
        zeros = {"bias": torch.zeros(3, self.units), "recurrent_bias": torch.zeros(self.units)}
        return {**self._matrices(generator), **zeros}

    def step(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> Tensor:
        """Return the next hidden state, [1, units]."""
        return self._gates(parameters, hidden, x)[-1].unsqueeze(0)

    def unroll(self, parameters: Parameters, hidden: Tensor, inputs: Tensor, goes_on: Tensor) -> Tensor:
        """Return the features of whole sequences, [sequences, steps, units]. See `Cell.unroll`."""
        seen = self._stacked(parameters["input"], inputs) + parameters["bias"]

        def move(past: Tensor, now: Tensor) -> Tensor:
            h = past[:, 0]
            reset, update, candidate = self._stacked(parameters["recurrent"], h).unbind(-2)
            reset, update = torch.sigmoid(now[:, 0] + reset), torch.sigmoid(now[:, 1] + update)
            candidate = torch.tanh(now[:, 2] + reset * (candidate + parameters["recurrent_bias"]))
            return ((1 - update) * candidate + update * h).unsqueeze(1)

        return unrolled(move, hidden, seen, goes_on)[:, :, 0]

    def _gates(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        h = hidden[0]
        seen = _product(parameters["input"], x) + parameters["bias"]
        past = _product(parameters["recurrent"], h)
        reset, update = torch.sigmoid(seen[0] + past[0]), torch.sigmoid(seen[1] + past[1])
        recurrent = past[2] + parameters["recurrent_bias"]
        candidate = torch.tanh(seen[2] + reset * recurrent)
        return reset, update, recurrent, candidate, (1 - update) * candidate + update * h

    def track(self, parameters: Parameters, tracking: State, hidden: Tensor, x: Tensor, new_hidden: Tensor) -> State:
        """Return the sensitivities after a step."""
        h, weight = hidden[0], parameters["recurrent"]
        reset, update, recurrent, candidate, _ = self._gates(parameters, hidden, x)
        # Derivatives of each unit by what enters its gates.
        by_candidate = (1 - update) * (1 - candidate**2)
        by_update = (h - candidate) * update * (1 - update)
        by_reset = by_candidate * recurrent * reset * (1 - reset)
        by_gate = torch.stack([by_reset, by_update, by_candidate])  # [3, units]
        by_past = torch.stack([by_reset, by_update, by_candidate * reset])
        jacobian = torch.diag_embed(update) + (by_past.unsqueeze(-1) * weight).sum(0)

        def carried_on(sensitivity: Tensor) -> Tensor:
            return (jacobian @ sensitivity.flatten(1)).view(sensitivity.shape)

        immediate = {
            "input": by_gate.unsqueeze(-1) * x,
            "recurrent": by_past.unsqueeze(-1) * h,
            "bias": by_gate,
        }
        new = {
            name: carried_on(tracking["sensitivities"][name]) + _own_rows(value.unsqueeze(0))
            for name, value in immediate.items()
        }
        bias = carried_on(tracking["sensitivities"]["recurrent_bias"]) + torch.diag_embed(by_past[2])
        return {"sensitivities": {**new, "recurrent_bias": bias}}


class LSTM(_Gated):
    """A long short-term memory; its hidden state is [2, units], h and c. Gates: input, forget, candidate, output."""

    gates, parts = 4, 2

    def init_parameters(self, generator: torch.Generator) -> Parameters:
        """Return fresh parameters."""
        return {**self._matrices(generator), "bias": torch.zeros(4, self.units)}

    def step(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> Tensor:
        """Return the next hidden state, [2, units]."""
        *_, output, cell = self._gates(parameters, hidden, x)
        return torch.stack([output * torch.tanh(cell), cell])

    def unroll(self, parameters: Parameters, hidden: Tensor, inputs: Tensor, goes_on: Tensor) -> Tensor:
        """Return the features of whole sequences, [sequences, steps, units]. See `Cell.unroll`."""
        seen = self._stacked(parameters["input"], inputs) + parameters["bias"]

        def move(past: Tensor, now: Tensor) -> Tensor:
            write, keep, candidate, output = (now + self._stacked(parameters["recurrent"], past[:, 0])).unbind(-2)
            cell = torch.sigmoid(keep) * past[:, 1] + torch.sigmoid(write) * torch.tanh(candidate)
            return torch.stack([torch.sigmoid(output) * torch.tanh(cell), cell], 1)

        return unrolled(move, hidden, seen, goes_on)[:, :, 0]

    def _gates(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        pre = _product(parameters["input"], x) + _product(parameters["recurrent"], hidden[0]) + parameters["bias"]
        write, keep, output = torch.sigmoid(pre[0]), torch.sigmoid(pre[1]), torch.sigmoid(pre[3])
        candidate = torch.tanh(pre[2])
        return write, keep, candidate, output, keep * hidden[1] + write * candidate

    def track(self, parameters: Parameters, tracking: State, hidden: Tensor, x: Tensor, new_hidden: Tensor) -> State:
        """Return the sensitivities after a step."""
        h, c = hidden[0], hidden[1]
        write, keep, candidate, output, cell = self._gates(parameters, hidden, x)
        shown = torch.tanh(cell)
        nothing = torch.zeros_like(cell)
        cell_by_gate = torch.stack(
            [candidate * write * (1 - write), c * keep * (1 - keep), write * (1 - candidate**2), nothing]
        )
        opening = output * (1 - shown**2)  # dh/dc
        output_by_gate = torch.stack([nothing, nothing, nothing, shown * output * (1 - output)]) + opening * cell_by_gate
        by_gate = torch.stack([output_by_gate, cell_by_gate])  # [2, 4, units]
        through_h = (by_gate.unsqueeze(-1) * parameters["recurrent"]).sum(1).flatten(0, 1)  # [2 units, units]
        through_c = torch.stack([opening * keep, keep]).unsqueeze(-1)  # [2, units, 1]: of each unit's own cell alone

        def carried_on(sensitivity: Tensor) -> Tensor:
            of_h, of_c = sensitivity.flatten(1).view(2, self.units, -1)
            return ((through_h @ of_h).view(2, self.units, -1) + through_c * of_c).view(sensitivity.shape)

        immediate = {"input": by_gate.unsqueeze(-1) * x, "recurrent": by_gate.unsqueeze(-1) * h, "bias": by_gate}
        return {
            "sensitivities": {
                name: carried_on(tracking["sensitivities"][name]) + _own_rows(value) for name, value in immediate.items()
            }
        }
