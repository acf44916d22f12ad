"""UPGD, utility-based perturbed gradient descent: noise for the weights that are of no use, protection for those that are.

Source: UPGD (arXiv:2404.00781), section 3, Algorithms 1 to 5. The functions are the rule itself, over parameters, gradient and
noise of one moment; `UPGD` and `AdaUPGD` are the same rule as PyTorch optimizers. The learners of the suite are in
`algorithms.upgd_learners`.

    U = -g w (+ h w^2 / 2)                            utility: what the loss would lose without the weight
    trace <- beta trace + (1 - beta) U                corrected for its beginning at zero
    gate = sigmoid(trace / eta)                       eta: the largest of all, or local norms
    w <- (1 - alpha lambda) w - alpha (g + noise) (1 - gate)            UPGD-W
    w <- (1 - alpha lambda) w - alpha (g + noise (1 - gate))            N-UPGD-W, not protecting

Where paper and code differ there is an option of `algorithms.continual_settings`; by default the rule is the code's:
1. eta is the largest of the uncorrected trace while the numerator is corrected (`eta_bias_corrected`). The gate is then up to
   sigmoid(1 / (1 - beta^t)) and nearly a step function at the beginning; corrected in both places it is at most sigmoid(1).
2. A factor on the change (`step_scale`): 1 in the paper and in the code's experiments, 2 in its AdaUPGD and stand-alone UPGD.
3. Algorithm 1 prints the reset of eta inside the loop over layers. Its text says the largest of all weights, which it is here.

A local norm (`scaling = "local"`) is taken over the last axis of a parameter, as in the code: the incoming weights of a unit,
but all biases of a layer, and five weights of a convolution's kernel.

Ours: a guard where no utility is positive (`eta_guard`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple, overload

import torch
from torch import Tensor
from torch.optim import Optimizer

from algorithms.adam import shares
from algorithms.agent import State, leaves, map_state

Scaling = Literal["global", "local"]
EtaGuard = Literal["clamp", "magnitude", "none"]
# Instead of an eta that is not positive: small against any utility, and its inverse is still finite in float32.
SMALLEST_ETA = 1e-30
# Of local norms, as in torch's `normalize`.
SMALLEST_NORM = 1e-12


class Scale(NamedTuple):
    """How utilities are scaled before the sigmoid. The fields are those of `UtilitySettings`."""

    scaling: Scaling = "global"
    eta_bias_corrected: bool = False
    local_norm_bias_corrected: bool = True
    eta_guard: EtaGuard = "clamp"


def utility(parameter: Tensor, slope: Tensor, curvature: Tensor | None = None) -> Tensor:
    """Return what the loss would rise by without each parameter, to first order or with curvature to second (Eq. 2)."""
    if curvature is None:
        return -slope * parameter
    return (0.5 * curvature * parameter - slope) * parameter


def fresh_utility(parameters: State) -> State:
    """Return traces of zero in the form of the parameters, and beta to the power of the steps, which are none yet."""
    return {"trace": map_state(torch.zeros_like, parameters), "decay": torch.ones((), dtype=torch.float64)}


def follow_utility(memory: State, utilities: State, beta: Tensor | float) -> State:
    """Return the memory after one more utility. `beta` is a number, or float64 [] where lanes are to differ in it."""
    keep, take = kept_and_taken(beta, leaves(utilities)[0].dtype)
    trace = map_state(lambda old, new: keep * old + take * new, memory["trace"], utilities)
    return {"trace": trace, "decay": memory["decay"] * beta}


def kept_and_taken(beta: Tensor | float, dtype: torch.dtype) -> tuple[Tensor | float, Tensor | float]:
    """Return how much of a trace is kept and how much of a utility comes to it: beta and 1 - beta."""
    keep, take = shares(beta, dtype)
    if isinstance(keep, Tensor) and isinstance(take, Tensor):
        keep, take = torch.stack([keep, take])  # so the compiler computes them once, and not anew for every 16 weights
    return keep, take


def largest(trace: State, guard: EtaGuard) -> Tensor:
    """Return the largest of all traces, [], or the largest magnitude."""
    sizes = [x.abs() if guard == "magnitude" else x for x in leaves(trace)]
    # Row by row first: so the compiler takes the maximum where it makes the trace, with nothing written into memory between.
    return torch.stack([(x.flatten(1).amax(-1) if x.ndim > 1 else x).amax() for x in sizes]).amax()


def exponents(memory: State, scale: Scale, top: Tensor | None = None) -> tuple[State, Tensor]:
    """Return what the sigmoid of a gate is taken of, in the form of the traces, and the largest trace, [].

    In lanes where the largest is not positive, a guard has been at work. Whoever knows the largest already
    can say so.
    """
    trace = memory["trace"]
    dtype = leaves(trace)[0].dtype
    correction = (1 - memory["decay"]).to(dtype)
    top = largest(trace, scale.eta_guard) if top is None else top
    if scale.scaling == "local":
        # Both corrected, the correction falls out of the quotient; but not out of the least norm.
        rest = torch.ones_like(correction) if scale.local_norm_bias_corrected else 1 / correction
        floor = SMALLEST_NORM * correction if scale.local_norm_bias_corrected else torch.full_like(correction, SMALLEST_NORM)

        def normalised(x: Tensor) -> Tensor:
            norm = (x * x).sum(-1, keepdim=True).sqrt()
            return x * (rest / torch.maximum(norm, floor))

        return map_state(normalised, trace), top
    eta = top / correction if scale.eta_bias_corrected else top
    if scale.eta_guard != "none":
        eta = eta.clamp(min=SMALLEST_ETA)
    # Stacked, it is computed once, where the compiler would compute it anew for every 16 weights.
    factor, top = torch.stack([1 / (correction * eta), top])
    return map_state(lambda x: x * factor, trace), top


def perturbed(
    parameter: Tensor,
    direction: Tensor,
    noise: Tensor,
    exponent: Tensor,
    step: Tensor | float,
    shrink: Tensor | float,
    protecting: bool = True,
) -> Tensor:
    """Return a parameter after one step (Eq. 3 and 4).

    Args:
        parameter: before it.
        direction: the gradient, or what Adam makes of it.
        noise: N(0, sigma^2).
        exponent: of the gate.
        step: alpha times `step_scale`.
        shrink: 1 - alpha lambda.
        protecting: gate gradient and noise, or noise alone.
    """
    closed = 1 + torch.exp(exponent)  # 1 / (1 - gate)
    change = (direction + noise) / closed if protecting else direction + noise / closed
    return shrink * parameter - step * change


class _UtilityOptimizer(Optimizer):
    """What `UPGD` and `AdaUPGD` share."""

    def __init__(self, params: Any, defaults: dict[str, Any], scale: Scale, second_order: bool, generator: Any):
        for name, value in defaults.items():
            if name != "protecting" and not value >= 0:
                raise ValueError(f"{name} must be at least 0; {value} is not")
        if not defaults["beta_utility"] < 1:
            raise ValueError(f"beta_utility must be less than 1; {defaults['beta_utility']} is not")
        super().__init__(params, defaults)
        self._scale, self._second_order, self._generator = scale, second_order, generator

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Make one update of all parameters that have a gradient. Return the loss, where a closure computes it."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moved = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        if not moved:
            return loss
        for group, p in moved:
            self._follow(group, p)
        top = largest({str(i): self.state[p]["utility"] for i, (_, p) in enumerate(moved)}, self._scale.eta_guard)
        for group, p in moved:
            self._move(group, p, top)
        return loss

    def _follow(self, group: dict[str, Any], p: Tensor) -> None:
        memory, beta = self.state[p], group["beta_utility"]
        if not memory:
            memory |= {"step": 0, "utility": torch.zeros_like(p), **self._fresh(p)}
        memory["step"] += 1
        found = utility(p, p.grad, self._curvature(p) if self._second_order else None)  # type: ignore[arg-type]
        memory["utility"].mul_(beta).add_(found, alpha=1 - beta)

    def _move(self, group: dict[str, Any], p: Tensor, top: Tensor) -> None:
        memory, scale = self.state[p], self._scale
        correction = 1 - group["beta_utility"] ** memory["step"]
        trace = memory["utility"]
        if scale.scaling == "local":
            corrected = trace / correction
            norm = (
                (corrected if scale.local_norm_bias_corrected else trace).norm(dim=-1, keepdim=True) if p.ndim else trace.abs()
            )
            exponent = corrected / norm.clamp(min=SMALLEST_NORM)
        else:
            eta = top / correction if scale.eta_bias_corrected else top
            eta = eta if scale.eta_guard == "none" else eta.clamp(min=SMALLEST_ETA)
            exponent = trace * (1 / (correction * eta))
        noise = torch.randn(p.shape, dtype=p.dtype, device=p.device, generator=self._generator).mul_(group["sigma"])
        openness = exponent.neg_().sigmoid_()
        change = self._direction(group, p)
        change = (noise.add_(change)).mul_(openness) if group["protecting"] else noise.mul_(openness).add_(change)
        p.mul_(1 - group["lr"] * group["weight_decay"]).add_(change, alpha=-group["lr"] * group["step_scale"])

    def _fresh(self, p: Tensor) -> dict[str, Any]:
        return {}

    def _direction(self, group: dict[str, Any], p: Tensor) -> Tensor:
        assert p.grad is not None
        return p.grad

    def _curvature(self, p: Tensor) -> Tensor:
        found: Tensor | None = getattr(p, "hesscale", None)
        if found is None:
            raise ValueError(
                "second-order utilities need second derivatives: give every parameter an attribute `hesscale`, such as "
                "algorithms.hesscale returns, before each step, or leave order at 'first'"
            )
        return found


class UPGD(_UtilityOptimizer):
    """UPGD-W as a PyTorch optimizer, for single samples or batches; see the module. The update is that of the pure functions.

    Defaults follow the official code's stand-alone optimizer: its factor of 2 on the step makes up for gates that are 1/2 in
    the mean, so that `lr` compares with that of SGD. The experiments of the paper have `step_scale=1`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-5,
        weight_decay: float = 0.001,
        beta_utility: float = 0.999,
        sigma: float = 0.001,
        *,
        step_scale: float = 2.0,
        protecting: bool = True,
        order: Literal["first", "second"] = "first",
        scaling: Scaling = "global",
        eta_bias_corrected: bool = False,
        local_norm_bias_corrected: bool = True,
        eta_guard: EtaGuard = "clamp",
        generator: torch.Generator | None = None,
    ):
        """Take parameters or groups of them, and settings as in `algorithms.continual_settings.UPGDSettings`.

        Groups may differ in `lr`, `weight_decay`, `beta_utility`, `sigma`, `step_scale` and `protecting`; eta is the largest of
        all groups. With order "second" every parameter needs an attribute `hesscale` at each step.
        """
        defaults = {"lr": lr, "weight_decay": weight_decay, "beta_utility": beta_utility, "sigma": sigma}
        scale = Scale(scaling, eta_bias_corrected, local_norm_bias_corrected, eta_guard)
        super().__init__(
            params, {**defaults, "step_scale": step_scale, "protecting": protecting}, scale, order == "second", generator
        )


class AdaUPGD(_UtilityOptimizer):
    """AdaUPGD as a PyTorch optimizer (Algorithm 5): noise is added to Adam's direction; the utility is of the raw gradient.

    Defaults follow the official code: decoupled decay and a factor of 2 on the step, which the paper's algorithm has not.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 3e-4,
        weight_decay: float = 0.001,
        beta_utility: float = 0.999,
        sigma: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-5,
        *,
        step_scale: float = 2.0,
        protecting: bool = True,
        order: Literal["first", "second"] = "first",
        scaling: Scaling = "global",
        eta_bias_corrected: bool = False,
        local_norm_bias_corrected: bool = True,
        eta_guard: EtaGuard = "clamp",
        generator: torch.Generator | None = None,
    ):
        """Take what `UPGD` takes, and Adam's decays and epsilon."""
        defaults = {"lr": lr, "weight_decay": weight_decay, "beta_utility": beta_utility, "sigma": sigma}
        adam = {"beta1": betas[0], "beta2": betas[1], "eps": eps}
        scale = Scale(scaling, eta_bias_corrected, local_norm_bias_corrected, eta_guard)
        super().__init__(
            params,
            {**defaults, **adam, "step_scale": step_scale, "protecting": protecting},
            scale,
            order == "second",
            generator,
        )

    def _fresh(self, p: Tensor) -> dict[str, Any]:
        return {"first": torch.zeros_like(p), "second": torch.zeros_like(p)}

    def _direction(self, group: dict[str, Any], p: Tensor) -> Tensor:
        memory, slope = self.state[p], p.grad
        assert slope is not None
        memory["first"].mul_(group["beta1"]).add_(slope, alpha=1 - group["beta1"])
        memory["second"].mul_(group["beta2"]).addcmul_(slope, slope, value=1 - group["beta2"])
        root = (memory["second"] / (1 - group["beta2"] ** memory["step"])).sqrt_().add_(group["eps"])
        return memory["first"] / (1 - group["beta1"] ** memory["step"]) / root
