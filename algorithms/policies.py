"""Stochastic policies: what an actor's heads say about actions.

`Gaussian` for vectors: independent components, standard deviation = softplus of a head (Stream-X, section 3).
`Softmax` for a choice of one among several: a logit each.
`squashed_gaussian` for vectors between bounds: the tanh of a Gaussian (Haarnoja et al., arXiv:1812.05905, appendix C).

The heads of a network become the parameters of a distribution once (`parameters`), and everything else is asked of those. A
squashed action is different: its density is known from the noise that made it, and hardly from the action, which may be 1.
"""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from algorithms.agent import NoiseSpec

Parameters = dict[str, Tensor]

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Policy(Protocol):
    """How actions follow from the heads of an actor network."""

    def heads(self, action_size: int) -> dict[str, int]:
        """Return the heads that the network needs, and their sizes."""
        ...

    def noise(self, action_size: int) -> NoiseSpec:
        """Say what random numbers one action needs."""
        ...

    def parameters(self, heads: Parameters) -> Parameters:
        """Return the parameters of the distribution from what the network gave."""
        ...

    def sample(self, parameters: Parameters, noise: Tensor) -> Tensor:
        """Return an action."""
        ...

    def log_prob(self, parameters: Parameters, action: Tensor) -> Tensor:
        """Return the log-probability (density) of an action, []."""
        ...

    def entropy(self, parameters: Parameters) -> Tensor:
        """Return the entropy in nats, []."""
        ...


class Gaussian:
    """A diagonal Gaussian; actions float32 [action_size], neither squashed nor clipped here."""

    def heads(self, action_size: int) -> dict[str, int]:
        """Mean, and standard deviation before softplus."""
        return {"mean": action_size, "std": action_size}

    def noise(self, action_size: int) -> NoiseSpec:
        """One standard normal number per component."""
        return NoiseSpec("normal", (action_size,))

    def parameters(self, heads: Parameters) -> Parameters:
        """Return mean and standard deviation, [action_size] each. A free deviation comes as its logarithm, `log_std`."""
        if "log_std" in heads:
            return {"mean": heads["mean"], "std": torch.exp(heads["log_std"])}
        return {"mean": heads["mean"], "std": F.softplus(heads["std"])}

    def sample(self, parameters: Parameters, noise: Tensor) -> Tensor:
        """Return mean + std * noise."""
        return parameters["mean"] + parameters["std"] * noise

    def log_prob(self, parameters: Parameters, action: Tensor) -> Tensor:
        """Sum the log-densities of the components."""
        return gaussian_log_prob(parameters["mean"], parameters["std"], action)

    def entropy(self, parameters: Parameters) -> Tensor:
        """Return the differential entropy."""
        return gaussian_entropy(parameters["std"])


class Softmax:
    """A categorical distribution; actions int64 []."""

    def heads(self, action_size: int) -> dict[str, int]:
        """One logit per action."""
        return {"logits": action_size}

    def noise(self, action_size: int) -> NoiseSpec:
        """One uniform number, to be looked up in the cumulative distribution."""
        return NoiseSpec("uniform", (1,))

    def parameters(self, heads: Parameters) -> Parameters:
        """Return the log-probability of each action, [action_size]."""
        return {"log_p": torch.log_softmax(heads["logits"], -1)}

    def sample(self, parameters: Parameters, noise: Tensor) -> Tensor:
        """Return the first action whose cumulative probability exceeds the noise."""
        cumulative = torch.cumsum(parameters["log_p"].exp(), -1)
        # Without the last: rounding may leave the sum of all just below a noise close to 1.
        return (cumulative[:-1] <= noise).sum(-1)

    def log_prob(self, parameters: Parameters, action: Tensor) -> Tensor:
        """Return the log-probability of an action."""
        return pick(parameters["log_p"], action)

    def entropy(self, parameters: Parameters) -> Tensor:
        """Return -sum p log p."""
        return -(parameters["log_p"].exp() * parameters["log_p"]).sum()


def policy_for(discrete: bool) -> Policy:
    """Return the policy for a kind of action."""
    return Softmax() if discrete else Gaussian()


def pick(values: Tensor, index: Tensor) -> Tensor:
    """Return values[index] for a 0-d index, in a form that the compiler fuses and vmap maps."""
    chosen = torch.arange(values.shape[0]) == index
    return torch.where(chosen, values, 0.0).sum()


def gaussian_log_prob(mean: Tensor, std: Tensor, action: Tensor) -> Tensor:
    """Return log N(action; mean, std), summed over the components of the action."""
    return (-((action - mean) ** 2) / (2 * std**2) - torch.log(std) - HALF_LOG_2PI).sum()


def gaussian_entropy(std: Tensor) -> Tensor:
    """Return the differential entropy of a diagonal Gaussian."""
    return (0.5 + HALF_LOG_2PI + torch.log(std)).sum()


def squashed_gaussian(mean: Tensor, log_std: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """Return tanh(mean + exp(log_std) * noise), between -1 and 1, and the log of its density there.

    Both can be differentiated with respect to mean and log_std: for the action that was taken, with the noise that made it.
    Where the action is stretched to other bounds, the log of each stretch comes off the density.

    Args:
        mean: before squashing, [action_size].
        log_std: log of the standard deviation before squashing, [action_size].
        noise: standard normal numbers, [action_size].

    Returns:
        action [action_size], and its log-density [].
    """
    unsquashed = mean + log_std.exp() * noise
    log_prob = noise_log_prob(noise, log_std) - log_tanh_slope(unsquashed)
    return torch.tanh(unsquashed), log_prob.sum()


def noise_log_prob(noise: Tensor, log_std: Tensor) -> Tensor:
    """Return log N(mean + exp(log_std) * noise; mean, exp(log_std)) of each component, [action_size]: whatever the mean."""
    return -0.5 * noise**2 - log_std - HALF_LOG_2PI


def log_tanh_slope(x: Tensor) -> Tensor:
    """Return log(1 - tanh(x)^2), which is finite where tanh(x) rounds to 1, and has a slope there."""
    return 2 * (math.log(2) - x - F.softplus(-2 * x))
