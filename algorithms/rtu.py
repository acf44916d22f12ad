"""Recurrent trace units: a diagonal complex recurrence whose exact gradient costs no more than a constant times a step.

Source: recurrent trace units (arXiv:2409.01449), with the parametrisation and the defaults of arXiv:2605.24709. For n units
and d inputs, per unit

    r = exp(-exp(nu_log)),  theta = exp(theta_log),  g = r cos(theta),  phi = r sin(theta),  gamma = sqrt(1 - r^2)
    a_t = f(g a - phi b + gamma W1 x),   b_t = f(g b + phi a + gamma W2 x)

with a and b of the step before on the right. A unit depends on its own past and on its own parameters alone, so that the
sensitivities have two numbers for each parameter, and a step of them takes O(n d) time.

Deviations of the papers from the official code, each an option whose default is the code of arXiv:2605.24709:
1. That code has the activation on the output, [a; b], and none in the recurrence; its library's cell and the code of
   arXiv:2409.01449 have it in the recurrence (`recurrence`, `output_activation`).
2. The code of arXiv:2409.01449 leaves the factor exp(theta_log) out of the gradient of theta_log. Here the gradient is right.
3. Both codes add 1e-8 to the normaliser gamma, and so does this one; of their derivatives by nu_log, which differ in the
   eighth digit, here is the one of arXiv:2605.24709.
4. The variance of W1 and W2 starts as one over the number of units, where LeCun's rule has the inputs (`fan`).
5. The correction of stale sensitivities (`taylor_correction`) is that of the paper's text, with second derivatives by each
   parameter alone. The code differentiates along the change of all parameters at once.

With a linear recurrence the second derivatives by W1 and W2, which are nearly all parameters, are zero. So the correction
leaves their sensitivities as they are, and hidden states are not made anew: it cannot take all of the distance away.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from algorithms.agent import State
from algorithms.recurrent import Parameters, activate, unrolled
from algorithms.settings import Activation

EPSILON = 1e-8  # added to the normaliser
MAX_PHASE = 6.28  # greatest theta at the start, as in both codes


@dataclass(frozen=True)
class RTU:
    """A layer of recurrent trace units; its hidden state is [2, units], real and imaginary part.

    Its sensitivities are {parameter: [2, *shape of the parameter]}, exactly twice as many numbers as there are parameters.

    Attributes:
        inputs: size d of what it sees.
        units: their number n; there are two features for each.
        recurrence: activation f inside the recurrence.
        output_activation: activation of what it gives.
        least_radius: r of a unit starts between this and the next.
        greatest_radius: at 1 a unit may forget nothing, and its numbers may leave the finite ones.
        fan: what the variance of the input weights starts as one over.
        taylor_correction: keep the sensitivities up with the parameters, to first order.
    """

    inputs: int
    units: int
    recurrence: Activation = "linear"
    output_activation: Activation = "tanh"
    least_radius: float = 0.0
    greatest_radius: float = 1.0
    fan: Literal["units", "inputs"] = "units"
    taylor_correction: bool = False

    @property
    def features(self) -> int:
        """Return the size of the output."""
        return 2 * self.units

    def init_parameters(self, generator: torch.Generator) -> Parameters:
        """Return fresh parameters: r^2 and theta uniform, input weights normal and cut off at two standard deviations."""
        low, high = self.least_radius**2, self.greatest_radius**2
        square = torch.rand(self.units, generator=generator).clamp(1e-7, 1 - 1e-7) * (high - low) + low
        phase = torch.rand(self.units, generator=generator).clamp(min=1e-7) * MAX_PHASE
        # The standard deviation is that of the normal numbers that are left, as in LeCun's initialisation of Flax.
        deviation = 1 / math.sqrt(self.units if self.fan == "units" else self.inputs) / 0.87962566103423978
        real, imaginary = (torch.empty(self.units, self.inputs) for _ in range(2))
        for weight in (real, imaginary):
            torch.nn.init.trunc_normal_(weight, 0.0, deviation, -2 * deviation, 2 * deviation, generator=generator)
        return {
            "nu_log": torch.log(-0.5 * torch.log(square)),
            "theta_log": torch.log(phase),
            "real": real,
            "imaginary": imaginary,
        }

    def init_hidden(self) -> Tensor:
        """Return zeros, [2, units]."""
        return torch.zeros(2, self.units)

    def init_tracking(self, parameters: Parameters) -> State:
        """Return sensitivities of zero; with the correction also its own sums, and the parameters they were made with."""
        sensitivities = {name: torch.zeros(2, *p.shape, dtype=p.dtype) for name, p in parameters.items()}
        if not self.taylor_correction:
            return {"sensitivities": sensitivities}
        return {
            "sensitivities": sensitivities,
            "curvature": {name: s.clone() for name, s in sensitivities.items()},
            "parameters": {name: p.clone() for name, p in parameters.items()},
        }

    def step(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> Tensor:
        """Return the next hidden state, [2, units]."""
        g, phi, gamma = _coefficients(parameters)
        a, b = hidden[0], hidden[1]
        real, imaginary = ((parameters[name] * x).sum(-1) for name in ("real", "imaginary"))
        pre = torch.stack([g * a - phi * b + gamma * real, g * b + phi * a + gamma * imaginary])
        return activate(self.recurrence, pre)

    def unroll(self, parameters: Parameters, hidden: Tensor, inputs: Tensor, goes_on: Tensor) -> Tensor:
        """Return the features of whole sequences, [sequences, steps, 2 units]. See `Cell.unroll`."""
        g, phi, gamma = _coefficients(parameters)
        turned = torch.stack([-phi, phi])
        seen = torch.stack([inputs @ parameters["real"].t(), inputs @ parameters["imaginary"].t()], -2) * gamma

        def move(past: Tensor, now: Tensor) -> Tensor:
            return activate(self.recurrence, g * past + turned * past.flip(-2) + now)

        return activate(self.output_activation, unrolled(move, hidden, seen, goes_on).flatten(-2))

    def output(self, hidden: Tensor) -> Tensor:
        """Return [real; imaginary] after the output's activation, [2 units]."""
        return activate(self.output_activation, hidden.flatten())

    def pull_back(self, cotangent: Tensor, sensitivity: Tensor) -> Tensor:
        """Return c_a S_a + c_b S_b."""
        own = cotangent.unsqueeze(-1) if sensitivity.ndim > 2 else cotangent
        return own[0] * sensitivity[0] + own[1] * sensitivity[1]

    def track(self, parameters: Parameters, tracking: State, hidden: Tensor, x: Tensor, new_hidden: Tensor) -> State:
        """Return the sensitivities after a step: S_t = J S_{t-1} + I_t.

        With the correction, S_t = J (S_{t-1} + omega_{t-1} (psi_t - psi_{t-1})) + I_t and omega_t = J omega_{t-1} + dI_t/dpsi,
        where of the second derivatives only the diagonal is taken.
        """
        g, phi, _ = _coefficients(parameters)
        slope = self._slope(new_hidden)
        turned = phi * _by_part(-1.0, 1.0, phi.ndim)

        def carried_on(s: Tensor) -> Tensor:
            """Return J s for one parameter's sensitivities, [2, *shape]: [g a - phi b, g b + phi a] times the slopes."""
            if s.ndim > 2:
                return slope.unsqueeze(-1) * (g.unsqueeze(-1) * s + turned.unsqueeze(-1) * s.flip(0))
            return slope * (g * s + turned * s.flip(0))

        first = self._immediate(parameters, hidden, x)
        old = tracking["sensitivities"]
        if self.taylor_correction:
            moved = {name: p - tracking["parameters"][name] for name, p in parameters.items()}
            old = {name: s + tracking["curvature"][name] * moved[name] for name, s in old.items()}
        steep = {name: slope if s.ndim < 3 else slope.unsqueeze(-1) for name, s in old.items()}
        new = {name: carried_on(s) + steep[name] * first[name] for name, s in old.items()}
        if not self.taylor_correction:
            return {"sensitivities": new}
        bend = self._bend(new_hidden)
        second = self._second(parameters, hidden, x)
        curvature = {}
        for name, omega in tracking["curvature"].items():
            own_bend = bend if omega.ndim < 3 else bend.unsqueeze(-1)
            immediate = own_bend * first[name] ** 2
            if name in second:
                immediate = immediate + steep[name] * second[name]
            curvature[name] = carried_on(omega) + immediate
        return {"sensitivities": new, "curvature": curvature, "parameters": dict(parameters)}

    def made_anew(self, parameters: Parameters, inputs: Tensor, count: Tensor) -> Parameters:
        """Return the sensitivities that these parameters would have made of an episode, for linear recurrence.

        Without an activation inside, h_t = sum_k lambda^(t-k) gamma W x_k with lambda = r exp(i theta). S_t is its derivative,
        with every power taken at once instead of one step after the other.

        Args:
            parameters: of the cell.
            inputs: what it saw, the newest last, [steps, inputs]; of those before the episode nothing is used.
            count: how many of them are of the episode, [].
        """
        steps = inputs.shape[0]
        age = torch.arange(steps - 1, -1, -1, dtype=inputs.dtype).unsqueeze(1)  # t - k
        rate, theta = torch.exp(parameters["nu_log"]), torch.exp(parameters["theta_log"])
        power = torch.where(age < count, torch.exp(-rate * age), 0.0)  # r^(t-k), [steps, units]
        cosine, sine = power * torch.cos(theta * age), power * torch.sin(theta * age)
        _, _, gamma = _coefficients(parameters)
        real, imaginary = ((inputs @ parameters[name].t()) for name in ("real", "imaginary"))  # [steps, units]
        past_a, past_b = cosine * real - sine * imaginary, cosine * imaginary + sine * real
        growth = _normaliser_slope(parameters["nu_log"]) - gamma * rate * age  # d(gamma r^(t-k)) / dnu_log over r^(t-k)
        seen_a, seen_b = (gamma * cosine).t() @ inputs, (gamma * sine).t() @ inputs
        return {
            "nu_log": torch.stack([(growth * past_a).sum(0), (growth * past_b).sum(0)]),
            "theta_log": torch.stack([-(gamma * theta * age * past_b).sum(0), (gamma * theta * age * past_a).sum(0)]),
            "real": torch.stack([seen_a, seen_b]),
            "imaginary": torch.stack([-seen_b, seen_a]),
        }

    def _slope(self, new_hidden: Tensor) -> Tensor:
        """Return f' at the step that led to a hidden state, [2, units]."""
        if self.recurrence == "tanh":
            return 1 - new_hidden**2
        return torch.ones_like(new_hidden) if self.recurrence == "linear" else (new_hidden > 0).to(new_hidden.dtype)

    def _bend(self, new_hidden: Tensor) -> Tensor:
        """Return f'' there."""
        return -2 * new_hidden * (1 - new_hidden**2) if self.recurrence == "tanh" else torch.zeros_like(new_hidden)

    def _immediate(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> Parameters:
        """Return the derivatives of the pre-activations with the past held fixed, [2, *shape of the parameter] each."""
        g, phi, gamma = _coefficients(parameters)
        a, b = hidden[0], hidden[1]
        real, imaginary = ((parameters[name] * x).sum(-1) for name in ("real", "imaginary"))
        rate, theta = torch.exp(parameters["nu_log"]), torch.exp(parameters["theta_log"])
        growth = _normaliser_slope(parameters["nu_log"])
        seen = (gamma.unsqueeze(-1) * x).unsqueeze(0)
        return {
            "nu_log": torch.stack([-rate * (g * a - phi * b) + growth * real, -rate * (g * b + phi * a) + growth * imaginary]),
            "theta_log": torch.stack([-theta * (phi * a + g * b), theta * (g * a - phi * b)]),
            "real": seen * _by_part(1.0, 0.0, 2),
            "imaginary": seen * _by_part(0.0, 1.0, 2),
        }

    def _second(self, parameters: Parameters, hidden: Tensor, x: Tensor) -> Parameters:
        """Return the second derivatives of the pre-activations by nu_log and by theta_log; those by the weights are zero."""
        g, phi, _ = _coefficients(parameters)
        a, b = hidden[0], hidden[1]
        real, imaginary = ((parameters[name] * x).sum(-1) for name in ("real", "imaginary"))
        rate, theta = torch.exp(parameters["nu_log"]), torch.exp(parameters["theta_log"])
        growth = _normaliser_slope(parameters["nu_log"])
        # d/dnu of e r^2 / gamma, where dr/dnu = -e r.
        bend = growth * (1 - 2 * rate) - growth**2 / torch.sqrt(1 - torch.exp(-2 * rate))
        turn = rate * rate - rate  # d/dnu of -e r is e^2 r - e r
        past_a, past_b = g * a - phi * b, g * b + phi * a
        return {
            "nu_log": torch.stack([turn * past_a + bend * real, turn * past_b + bend * imaginary]),
            "theta_log": torch.stack([-theta * past_b - theta**2 * past_a, theta * past_a - theta**2 * past_b]),
        }


def _coefficients(parameters: Parameters) -> tuple[Tensor, Tensor, Tensor]:
    """Return g, phi and gamma, [units] each."""
    radius, theta = torch.exp(-torch.exp(parameters["nu_log"])), torch.exp(parameters["theta_log"])
    return radius * torch.cos(theta), radius * torch.sin(theta), torch.sqrt(1 - radius * radius) + EPSILON


def _by_part(real: float, imaginary: float, axes: int) -> Tensor:
    """Return a factor for the real and one for the imaginary part, [2, 1, ...] with so many axes behind the first.

    Parts that are multiplied by it stay one array, which the compiler takes in one loop; those put together by `torch.stack` it
    would compute twice and choose from.
    """
    part = torch.arange(2).view(2, *(1 for _ in range(axes)))
    return real + (imaginary - real) * part


def _normaliser_slope(nu_log: Tensor) -> Tensor:
    """Return dgamma/dnu_log = e r^2 / sqrt(1 - r^2), [units]."""
    rate = torch.exp(nu_log)
    square = torch.exp(-2 * rate)
    return rate * square / torch.sqrt(1 - square)
