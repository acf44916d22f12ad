"""What AVG shares with the incremental learners of its paper: networks, the squashed policy, and how observations are seen.

Source: AVG (arXiv:2411.15370) and its official code: two hidden layers with LeakyReLU (slope 0.01), orthogonal weights of gain
1 and no biases to begin with. The features of the last hidden layer are divided by their length (penultimate normalisation,
Bjorck et al., arXiv:2110.11222). LayerNorm and RMSNorm in its place have no scale and bias (our choice).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.func import vjp
from torch.nn import functional as F

from algorithms.adam import fresh_adam
from algorithms.agent import Spaces, State, leaves
from algorithms.avg_settings import FeatureNorm
from algorithms.dense import orthogonal_layers
from algorithms.normalization import EPSILON, update_statistics
from algorithms.policies import squashed_gaussian
from algorithms.td_scaling import init_td_scale

# Statistics of observations begin as if a ten-thousandth of a sample, of mean 0 and variance 1, had been seen.
PRIOR_COUNT = 1e-4
# The logarithm that the actor's second head gives is kept between these.
LOG_LOW, LOG_HIGH = -20.0, 2.0
NORM_EPSILON = 1e-5


def fresh_network(generator: torch.Generator, inputs: int, hidden: Sequence[int], heads: Mapping[str, int]) -> State:
    """Return the parameters of a body of hidden layers and of heads on it, orthogonal."""
    body = orthogonal_layers(generator, (inputs, *hidden), 1.0, 1.0)
    return {"body": body} | {name: orthogonal_layers(generator, (hidden[-1], size), 1.0, 1.0) for name, size in heads.items()}


def init_actor_critic(
    generator: torch.Generator, spaces: Spaces, hidden: Sequence[int], critic_inputs: int, scale_td_error: bool
) -> State:
    """Return a Gaussian actor and a critic of one value, Adam's memory of both, and no noise taken yet, [action_size]."""
    (size,) = spaces.obs_shape
    heads = {"mean": spaces.action_size, "log_std": spaces.action_size}
    state: State = {"noise": torch.zeros(spaces.action_size)}
    state["actor"] = fresh_network(generator, size, hidden, heads)
    state["critic"] = fresh_network(generator, critic_inputs, hidden, {"value": 1})
    state["actor_adam"], state["critic_adam"] = fresh_adam(state["actor"]), fresh_adam(state["critic"])
    return state | ({"td_scale": init_td_scale()} if scale_td_error else {})


def features(body: State, x: Tensor, norm: FeatureNorm, floor: Tensor | float = 0.0) -> Tensor:
    """Return the last hidden layer for one input, [inputs] -> [units], normalised."""
    for number in range(len(body) // 2):
        x = F.leaky_relu((body[f"{number}.weight"] * x).sum(-1) + body[f"{number}.bias"])
    match norm:
        case "penultimate":
            length = torch.sqrt((x * x).sum())
            return x / torch.maximum(length, torch.as_tensor(floor, dtype=x.dtype))
        case "layer_norm":
            return F.layer_norm(x, x.shape, eps=NORM_EPSILON)
        case "rms_norm":
            return F.rms_norm(x, x.shape, eps=NORM_EPSILON)
        case "none":
            return x


def head(layer: State, x: Tensor) -> Tensor:
    """Apply one linear layer, [units] -> [outputs]."""
    return (layer["0.weight"] * x).sum(-1) + layer["0.bias"]


def log_deviation(logarithm: Tensor, log_variance: bool) -> Tensor:
    """Return the log of the standard deviation from what the actor's second head gives, [action_size]."""
    bounded = logarithm.clamp(LOG_LOW, LOG_HIGH)
    return bounded / 2 if log_variance else bounded


def sample(actor: State, x: Tensor, noise: Tensor, log_variance: bool) -> tuple[Tensor, Tensor]:
    """Return the action that noise makes of features, between -1 and 1, [action_size], and the log of its density, []."""
    return squashed_gaussian(head(actor["mean"], x), log_deviation(head(actor["log_std"], x), log_variance), noise)


def action_value(critic: State, obs: Tensor, action: Tensor, norm: FeatureNorm, floor: Tensor | float = 0.0) -> Tensor:
    """Return Q(S, A), []."""
    return head(critic["value"], features(critic["body"], torch.cat([obs, action]), norm, floor))[0]


def pullback(function: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """Return the value of a function, and what turns slopes of it into a tuple of slopes of its arguments."""
    value, pull = vjp(function, *primals)[:2]
    return value, pull


def gradient_norm(gradient: State) -> Tensor:
    """Return the length of a gradient of all parameters together, []."""
    return torch.sqrt(torch.stack([(g * g).sum() for g in leaves(gradient)]).sum())


def precision(parameters: State) -> torch.dtype:
    """Return the type that a learner calculates in: that of its parameters."""
    return leaves(parameters)[0].dtype


def cast(hyper: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Cast hyperparameters to the type of the parameters; under vmap a float64 scalar would widen what it touches."""
    return {name: value.to(dtype) for name, value in hyper.items()}


def init_sight(spaces: Spaces, normalize: bool) -> State:
    """Return the part of a learner's state that holds what it sees: nothing yet."""
    state: State = {"obs": torch.zeros(spaces.obs_shape)}
    if normalize:
        state["obs_statistics"] = {
            "count": torch.tensor(PRIOR_COUNT, dtype=torch.float64),
            "mean": torch.zeros(spaces.obs_shape, dtype=torch.float64),
            "squares": torch.full(spaces.obs_shape, PRIOR_COUNT, dtype=torch.float64),
        }
    return state


def see(state: State, obs: Tensor) -> State:
    """Take a raw observation in, and into the statistics; it stays as it is standardised now."""
    statistics, seen = _standardised(state, obs)
    return {**state, **statistics, "obs": seen}


def see_acting(state: State, acting_obs: Tensor, restarted: Tensor) -> State:
    """Turn to the observation to act on: where the environment was restarted, the first of an episode is seen as well."""
    statistics, seen = _standardised(state, acting_obs)
    if statistics:
        old, new = state["obs_statistics"], statistics["obs_statistics"]
        statistics = {"obs_statistics": {key: torch.where(restarted, new[key], old[key]) for key in new}}
    return {**state, **statistics, "obs": torch.where(restarted, seen, state["obs"])}


def _standardised(state: State, obs: Tensor) -> tuple[State, Tensor]:
    """Return the new statistics, if there are any, and the observation as the networks see it.

    (o - mean) / sqrt(variance + 1e-8) with the variance of the population, as in Gymnasium's `NormalizeObservation`.
    """
    obs, dtype = obs.to(torch.float64), state["obs"].dtype
    if "obs_statistics" not in state:
        return {}, obs.to(dtype)
    statistics = update_statistics(state["obs_statistics"], obs)
    variance = statistics["squares"] / statistics["count"]
    return {"obs_statistics": statistics}, ((obs - statistics["mean"]) / torch.sqrt(variance + EPSILON)).to(dtype)
