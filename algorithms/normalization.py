"""Running normalisation of observations and rewards, one sample at a time, in float64.

Source: Stream-X (arXiv:2410.14606), Algorithms 4-6.

Where paper and official code differ:
1. Initial statistics: the paper's boxes disagree with one another; here as in the code, count 0, the first sample becomes
   the mean and the variance is 1 until there are two samples.
2. Reward variance: the paper fixes the mean at 0, the code subtracts a running mean: `centered`. The paper passes 0 as the old
   mean; read as "the mean is 0", which we do, the squares themselves are summed.
3. One counter for observations and rewards in the paper, one each in the code; here one each.

The code of arXiv:2605.24709 begins with one sample of mean 0 and variance 1 and divides by the number of samples (`prior`). It
carries nothing of u into the next episode.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPSILON = 1e-8

Statistics = dict[str, Tensor]


def init_statistics(shape: tuple[int, ...], prior: bool = False) -> Statistics:
    """Return Welford statistics that have seen nothing: count [], mean and sum of squared deviations [*shape].

    With `prior` they have seen one sample of mean 0 and variance 1, and carry that number, by which they are told apart.
    """
    if prior:
        one = torch.ones((), dtype=torch.float64)
        mean = torch.zeros(shape, dtype=torch.float64)
        return {"count": one, "mean": mean, "squares": torch.ones(shape, dtype=torch.float64), "prior": one.clone()}
    return {
        "count": torch.zeros((), dtype=torch.float64),
        "mean": torch.zeros(shape, dtype=torch.float64),
        "squares": torch.zeros(shape, dtype=torch.float64),
    }


def update_statistics(statistics: Statistics, sample: Tensor, centered: bool = True) -> Statistics:
    """Take in one sample (Welford). With `centered` off the mean stays 0 and `squares` sums the squares themselves."""
    count = statistics["count"] + 1
    mean = statistics["mean"]
    kept = {"prior": statistics["prior"]} if "prior" in statistics else {}
    if not centered:
        return {"count": count, "mean": mean, "squares": statistics["squares"] + sample * sample, **kept}
    new_mean = mean + (sample - mean) / count
    squares = statistics["squares"] + (sample - mean) * (sample - new_mean)
    return {"count": count, "mean": new_mean, "squares": squares, **kept}


def variance(statistics: Statistics) -> Tensor:
    """Return the unbiased sample variance, and 1 before the second sample; with a prior, the mean square."""
    count = statistics["count"]
    if "prior" in statistics:
        return statistics["squares"] / count
    return torch.where(count < 2, 1.0, statistics["squares"] / (count - 1).clamp(min=1))


def normalize_observation(statistics: Statistics, obs: Tensor) -> tuple[Statistics, Tensor]:
    """Take an observation into the statistics, then standardise it with them. Never frozen, never clipped (Alg. 6)."""
    statistics = update_statistics(statistics, obs)
    return statistics, (obs - statistics["mean"]) / torch.sqrt(variance(statistics) + EPSILON)


def init_reward_scaler(prior: bool = False) -> Statistics:
    """Return the state of a reward scaler: statistics of the discounted reward trace u, and u itself."""
    return {**init_statistics((), prior), "trace": torch.zeros((), dtype=torch.float64)}


def scale_reward(
    scaler: Statistics, reward: Tensor, done: Tensor, gamma: Tensor, centered: bool = True
) -> tuple[Statistics, Tensor]:
    """Divide a reward by the standard deviation of u <- gamma (1 - T) u + r (Alg. 5).

    As in paper and code, T cuts the old trace before the last reward is added, so u carries r_T into the next episode.
    """
    trace = gamma * torch.where(done, 0.0, scaler["trace"]) + reward
    statistics = update_statistics({k: x for k, x in scaler.items() if k != "trace"}, trace, centered)
    if "prior" in statistics:
        trace = torch.where(done, 0.0, trace)
    return {**statistics, "trace": trace}, reward / torch.sqrt(variance(statistics) + EPSILON)
