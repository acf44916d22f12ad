"""The scale of TD errors, estimated from rewards, discounts and returns.

Source: Schaul et al. (arXiv:2105.05347), sigma^2 = Var[R] + Var[gamma] E[G^2], as AVG (arXiv:2411.15370) uses it.

How the official code has it, which is the default: population variances; a discount of 0 where an episode ends, and the return
of an episode counted there; sigma^2 is at least 1e-4, and sigma is 1 while sigma^2 is at most 0.01 and no episode has ended. So
where episodes never end but by their time limit, sigma is the deviation of the rewards. Running sums are in float64; in the
code the mean is in float32.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.agent import State
from algorithms.avg_settings import ColdStart, ReturnAtTruncation
from algorithms.normalization import init_statistics, update_statistics

SMALLEST_VARIANCE = 1e-4
TRUSTED_VARIANCE = 0.01


def init_td_scale() -> State:
    """Return a scale that has seen nothing: of rewards, discounts and squared returns, and of the episode under way."""
    zero = torch.zeros((), dtype=torch.float64)
    return {
        "reward": init_statistics(()),
        "discount": init_statistics(()),
        "ends": zero,
        "mean_square": zero.clone(),
        "return": zero.clone(),
    }


def update_td_scale(
    scale: State,
    reward: Tensor,
    terminated: Tensor,
    truncated: Tensor,
    gamma: Tensor,
    decay: Tensor | float = 1.0,
    at_truncation: ReturnAtTruncation = "carried",
    cold_start: ColdStart = "until_variance",
) -> tuple[State, Tensor]:
    """Take in one reward, float64 []; return the scale, and sigma, float64 [].

    Args:
        scale: as `init_td_scale` began it.
        reward: what came of one step, with its share of entropy where that belongs to it.
        terminated: the episode ended.
        truncated: it was cut by a time limit.
        gamma: discount, []; at an end it counts as 0.
        decay: what the return so far is multiplied by before the reward is added: 1 is the sum of rewards.
        at_truncation: what a time limit does to the return.
        cold_start: how long sigma stays 1.
    """
    ended = terminated | truncated if at_truncation == "counted" else terminated
    forgotten = terminated if at_truncation == "carried" else terminated | truncated
    total = decay * scale["return"] + reward
    rewards = update_statistics(scale["reward"], reward)
    discounts = update_statistics(scale["discount"], torch.where(ended, 0.0, gamma))
    ends = scale["ends"] + ended.to(torch.float64)
    mean = scale["mean_square"]
    mean = torch.where(ended, mean + (total * total - mean) / ends.clamp(min=1), mean)

    variance = rewards["squares"] / rewards["count"] + discounts["squares"] / discounts["count"] * mean
    variance = variance.clamp(min=SMALLEST_VARIANCE)
    unknown = (variance <= TRUSTED_VARIANCE) & (ends == 0) if cold_start == "until_variance" else ends < 2
    sigma = torch.where(unknown, 1.0, torch.sqrt(variance))
    new = {"reward": rewards, "discount": discounts, "ends": ends, "mean_square": mean}
    return {**new, "return": torch.where(forgotten, 0.0, total)}, sigma
