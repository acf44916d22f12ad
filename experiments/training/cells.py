"""Measure what one learning step of a recurrent network costs by exact real-time recurrent learning, without environment.

The network is a layer of `units` and a linear head on it: an RTU, a GRU, an LSTM, or a feed-forward layer for comparison. A
step sees one input, adds what it does to the hidden state and to the sensitivities, takes the gradient of a squared error of
the head's output by all parameters, and changes them by it. It is the code of the learners (`algorithms.recurrent_network`),
one stream, traced and compiled as lanes are, with the new state written over the old.

Sensitivities of a GRU or an LSTM take n^2 (n + d) numbers, those of 512 units gigabytes, and a step holds the old and the new
ones at once. Where that much memory is not free the run fails and says so, before anything is taken.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.func import grad
from torch.fx.experimental.proxy_tensor import make_fx

from algorithms.agent import State, leaves, map_state
from algorithms.kernels import Compiler
from algorithms.networks import apply, init_parameters, network
from algorithms.recurrent_network import RecurrentNetwork, recurrent_network
from algorithms.settings import CellSettings
from experiments.measurements import LearningStep
from experiments.training.memory import free_bytes

COLUMNS = ("repeat", "quantity", "milliseconds", "updates", "core_share")
QUANTITY = "learning step"
HEADS = {"value": 1}
STEP_SIZE = 1e-4
WARM_UP_STEPS, FEWEST_STEPS = 2, 3
# Inputs that are seen in turn.
INPUTS = 16
# Room beside old and new state: Python, torch, and what is free only on paper.
SPARE_BYTES = 1.5e9

Rows = list[tuple[Any, ...]]


def rows(
    settings: LearningStep, repeats: int, compiler: Compiler | bool, core_share: Callable[[], Callable[[], float]]
) -> Rows:
    """Measure the median time of a step, so many times over; each row says over how many steps."""
    step = Step(settings, compiler)
    inputs = torch.randn(INPUTS, settings.inputs, generator=torch.Generator().manual_seed(1))

    def take(count: int) -> list[float]:
        times = []
        for number in range(count):
            step.x.copy_(inputs[number % INPUTS])
            began = time.perf_counter()
            step()
            times.append(time.perf_counter() - began)
        return times

    take(WARM_UP_STEPS)
    found: Rows = []
    for repeat in range(repeats):
        share = core_share()
        times: list[float] = []
        until, count = time.perf_counter() + settings.seconds, FEWEST_STEPS
        while not times or time.perf_counter() < until:
            times += take(count)
            count = min(2 * count, 1024) if times[-1] * count < settings.seconds else 1
        found.append((repeat, QUANTITY, 1e3 * median(times), len(times), share()))
    return found


class Step:
    """A learner that takes one step on what stands in `x` when it is called.

    Attributes:
        x: the input, [inputs], to write into.
        state: {"parameters", "carry"}, overwritten by every step.
    """

    def __init__(self, settings: LearningStep, compiler: Compiler | bool):
        """Begin, and compile with the compiler if there is one; raise `RuntimeError` where memory is too short."""
        net = _network(settings)
        generator = torch.Generator().manual_seed(0)
        self.state: State
        if isinstance(net, RecurrentNetwork):
            parameters = net.init_parameters(generator, 0.0, False)
            needed = 2 * 4 * sensitivities(net, parameters)  # old and new ones, float32
            if needed + SPARE_BYTES > free_bytes():
                raise RuntimeError(
                    f"{settings.title}: a step takes {needed / 1e9:.3g} GB beside {SPARE_BYTES / 1e9:g} GB to spare, and "
                    f"{free_bytes() / 1e9:.3g} GB are free; measure it where there is more memory, or when less is in use."
                )
            self.state = {"parameters": parameters, "carry": net.init_carry(parameters)}
        else:
            self.state = {"parameters": init_parameters(net, generator, 0.0), "carry": {}}
        self.x = torch.zeros(settings.inputs)
        self._inputs = [*leaves(self.state), self.x, torch.ones(())]

        def step(*given: Tensor) -> list[Tensor]:
            values = iter(given)
            old = map_state(lambda _: next(values), self.state)
            x, target = values
            for before, after in zip(leaves(old), leaves(learnt(net, old, x, target)), strict=True):
                before.copy_(after)
            return []

        with torch.no_grad():
            # Traced on tensors without numbers: with them it would be a step, and hold its state once more.
            graph = make_fx(step, tracing_mode="fake")(*self._inputs)
            self._kernel = compiler.compile(graph, self._inputs) if isinstance(compiler, Compiler) else graph

    def __call__(self) -> None:
        """Take one step."""
        with torch.no_grad():
            self._kernel(*self._inputs)


def learnt(net: Any, state: State, x: Tensor, target: Tensor) -> State:
    """Return parameters and carry after one step, {"parameters", "carry"}; `net` is a network as `Step` has it."""

    def error(parameters: dict[str, Tensor]) -> tuple[Tensor, State]:
        if isinstance(net, RecurrentNetwork):
            heads, carry = net.evaluate(parameters, state["carry"], x, track=True)
        else:
            heads, carry = apply(net, parameters, x), {}
        return 0.5 * (heads["value"][0] - target) ** 2, carry

    gradient, carry = grad(error, has_aux=True)(state["parameters"])
    return {"parameters": {k: p - STEP_SIZE * gradient[k] for k, p in state["parameters"].items()}, "carry": carry}


def _network(settings: LearningStep) -> Any:
    if settings.cell == "none":
        return network((settings.inputs,), (settings.units,), HEADS, layer_norm=True)
    cell = CellSettings(cell=settings.cell, units=settings.units)
    return recurrent_network((settings.inputs,), (), HEADS, True, "leaky_relu", cell)


def sensitivities(net: RecurrentNetwork, parameters: dict[str, Tensor]) -> int:
    """Return how many numbers the sensitivities are, which is nearly all that a step holds."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        return sum(x.numel() for x in leaves(net.init_carry(parameters)))
