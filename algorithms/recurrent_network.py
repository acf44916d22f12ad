"""Networks with a recurrent cell between their hidden layers and their heads. See `algorithms.recurrent`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from algorithms.agent import State, map_state
from algorithms.gated import GRU, LSTM
from algorithms.networks import MLP, ActivationName, apply, init_parameters
from algorithms.recurrent import Cell, Parameters, advance
from algorithms.rtu import RTU
from algorithms.settings import CellSettings

ENCODER, CELL = "encoder.", "cell."


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
        window: steps whose inputs of the cell are kept, so that its sensitivities can be made anew.
    """

    encoder: MLP
    cell: Cell
    readout: MLP
    exact: bool
    window: int = 0

    def init_parameters(self, generator: torch.Generator, sparsity: float, same_inputs_for_all_units: bool) -> Parameters:
        """Return fresh parameters by name; `sparsity` is that of everything but the cell."""
        return {
            **_named(ENCODER, init_parameters(self.encoder, generator, sparsity, same_inputs_for_all_units)),
            **_named(CELL, self.cell.init_parameters(generator)),
            **init_parameters(self.readout, generator, sparsity, same_inputs_for_all_units),
        }

    def init_carry(self, parameters: Mapping[str, Tensor]) -> State:
        """Return what an episode begins with."""
        tracking = self.cell.init_tracking(part(CELL, parameters)) if self.exact else {}
        carry = {"hidden": self.cell.init_hidden(), **tracking}
        if self.window:
            carry["seen"] = {"inputs": torch.zeros(self.window, self.cell.inputs), "count": torch.zeros(())}
        return carry

    def evaluate(self, parameters: Mapping[str, Tensor], carry: State, obs: Tensor, track: bool) -> tuple[Parameters, State]:
        """Return what the heads say at an observation, {head: [size]}, and the carry after it. See `advance`."""
        x = apply(self.encoder, part(ENCODER, parameters), obs)
        assert isinstance(x, Tensor)
        seen = {"seen": carry["seen"]} if self.window else {}
        if seen and track:
            inputs = torch.cat([carry["seen"]["inputs"][1:], x.detach().unsqueeze(0)])
            seen = {"seen": {"inputs": inputs, "count": carry["seen"]["count"] + 1}}
        kept = {name: value for name, value in carry.items() if name != "seen"}
        hidden, carry = advance(self.cell, part(CELL, parameters), kept, x, track)
        carry = {**carry, **seen}
        return apply(self.readout, part("", parameters), self.cell.output(hidden)), carry

    def look(self, parameters: Mapping[str, Tensor], hidden: Tensor, obs: Tensor) -> tuple[Parameters, Tensor]:
        """Return what the heads say at an observation, {head: [size]}, and the hidden state after it, with fewer calls.

        The same as `evaluate` up to rounding, for a learner that is not compiled.
        """
        x, _ = self.encoder.of_many(part(ENCODER, parameters), obs)
        hidden = self.cell.step(part(CELL, parameters), hidden, x)
        return self.readout.of_many(part("", parameters), self.cell.output(hidden))[1], hidden

    def unroll(self, parameters: Mapping[str, Tensor], hidden: Tensor, obs: Tensor, goes_on: Tensor) -> Parameters:
        """Return what the heads say along sequences, {head: [sequences, steps, size]}.

        Args:
            parameters: of the network.
            hidden: what the cell begins each sequence with, [sequences, parts, units].
            obs: [sequences, steps, *obs_shape].
            goes_on: 0.0 where an episode begins, else 1.0, [sequences, steps].
        """
        x, _ = self.encoder.of_many(part(ENCODER, parameters), obs)
        features = self.cell.unroll(part(CELL, parameters), hidden, x, goes_on)
        return self.readout.of_many(part("", parameters), features)[1]


def staleness(settings: CellSettings, parameters: Mapping[str, Tensor], carry: State) -> Tensor:
    """Return |S - S*| / |S*| with S* as these parameters would have made it, []; NaN in an episode beyond the window."""
    inputs, count = carry["seen"]["inputs"], carry["seen"]["count"]
    cell = make_cell(settings, inputs.shape[1])
    assert isinstance(cell, RTU)
    anew = cell.made_anew(part(CELL, parameters), inputs, count)
    square = torch.stack([s.square().sum() for s in anew.values()]).sum()
    apart = torch.stack([(s - carry["sensitivities"][name]).square().sum() for name, s in anew.items()]).sum()
    return torch.where(count > inputs.shape[0], torch.nan, torch.sqrt(apart / square))


def reset_carry(carry: State, reset: Tensor) -> State:
    """Forget the past where the flag is up: hidden state and sensitivities together."""
    return map_state(lambda x: torch.where(reset, 0.0, x), carry)


def recurrent_network(
    obs_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    heads: Mapping[str, int],
    layer_norm: bool,
    activation: ActivationName,
    settings: CellSettings,
    normalized: int = 0,
) -> RecurrentNetwork:
    """Return the network of a learner that has a recurrent cell; it sees a vector.

    With `normalized` only the first so many hidden layers have LayerNorm, those behind the cell counted on.
    """
    if len(obs_shape) != 1:
        raise ValueError(f"a recurrent cell sees vectors; observations of shape {obs_shape} want cell=none")
    cell = make_cell(settings, inputs=hidden[-1] if hidden else obs_shape[0])
    exact = settings.gradient == "rtrl"
    left = max(normalized - len(hidden), 0)
    before = (layer_norm, activation, normalized)
    after = (layer_norm and (normalized == 0 or left > 0), activation, left)
    behind = (settings.readout, tuple(heads.items()))
    return _recurrent_network(obs_shape[0], hidden, cell, *behind, before, after, exact, settings.staleness_window)


def make_cell(settings: CellSettings, inputs: int) -> Cell:
    """Return the cell that a learner has chosen."""
    if settings.cell == "rtu":
        activations = (settings.rtu_recurrence, settings.rtu_output)
        least, greatest = settings.rtu_radius
        return RTU(inputs, settings.units, *activations, least, greatest, settings.rtu_fan, settings.taylor_correction)
    return GRU(inputs, settings.units) if settings.cell == "gru" else LSTM(inputs, settings.units)


@lru_cache(maxsize=64)
def _recurrent_network(
    inputs: int,
    hidden: tuple[int, ...],
    cell: Cell,
    readout: tuple[int, ...],
    heads: tuple[tuple[str, int], ...],
    before: tuple[bool, ActivationName, int],
    after: tuple[bool, ActivationName, int],
    exact: bool,
    window: int,
) -> RecurrentNetwork:
    with torch.device("meta"):
        encoder = _Encoder(inputs, hidden, {}, *before)
        return RecurrentNetwork(encoder, cell, MLP(cell.features, readout, dict(heads), *after), exact, window)


def _named(prefix: str, parameters: Parameters) -> Parameters:
    return {prefix + name: p for name, p in parameters.items()}


def part(prefix: str, parameters: Mapping[str, Tensor]) -> Parameters:
    """Return the parameters of one part of a network under its own names; the part without a prefix is all the rest."""
    if not prefix:
        return {name: p for name, p in parameters.items() if not name.startswith((ENCODER, CELL))}
    return {name.removeprefix(prefix): p for name, p in parameters.items() if name.startswith(prefix)}
