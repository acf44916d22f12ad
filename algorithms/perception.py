"""What a learner does with an observation before its network sees it: standardise it, then stack the latest ones.

Source: Stream-X (arXiv:2410.14606), Algorithm 6 and appendix F.3. In Atari every pixel has statistics of
its own, and a stacked frame stays as it was standardised when it was seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.agent import Spaces, State
from algorithms.normalization import init_statistics, normalize_observation


def init_perception(spaces: Spaces, normalize: bool, prior: bool = False) -> State:
    """Return the part of a learner's state that holds what its network sees: nothing yet.

    Returns:
        `obs`, float32 [*obs_shape], or [frames, *obs_shape] where the network sees several frames; and `obs_statistics`
        if observations are standardised, which leave out the time feature and what is to be seen as it is.
    """
    stack = (spaces.frames,) if spaces.frames > 1 else ()
    state: State = {"obs": torch.zeros(*stack, *spaces.obs_shape)}
    if normalize:
        first, *rest = spaces.obs_shape
        state["obs_statistics"] = init_statistics((first - spaces.as_is - int(spaces.time_feature), *rest), prior)
    return state


def see(state: State, obs: Tensor, first: bool = False) -> State:
    """Take a raw observation in.

    Args:
        state: the learner's, as `init_perception` began it.
        obs: raw observation, [*obs_shape].
        first: it begins an episode, so that there are no earlier frames: all of the stack shows it.
    """
    statistics, seen = _standardised(state, obs)
    stack = state["obs"]
    if stack.ndim > seen.ndim:
        seen = seen.expand(stack.shape) if first else torch.cat([stack[1:], seen.unsqueeze(0)])
    return {**state, **statistics, "obs": seen}


def see_acting(state: State, acting_obs: Tensor, restarted: Tensor) -> State:
    """Turn to the observation to act on: where the environment was restarted, the first of an episode is seen as well."""
    statistics, seen = _standardised(state, acting_obs)
    if statistics:
        old, new = state["obs_statistics"], statistics["obs_statistics"]
        statistics = {"obs_statistics": {key: torch.where(restarted, new[key], old[key]) for key in new}}
    stack = state["obs"]
    if stack.ndim == seen.ndim:
        seen = torch.where(restarted, seen, stack)
    else:
        newest = torch.where(restarted, seen, stack[-1]).unsqueeze(0)
        seen = torch.cat([torch.where(restarted, newest, stack[:-1]), newest])
    return {**state, **statistics, "obs": seen}


def _standardised(state: State, obs: Tensor) -> tuple[State, Tensor]:
    """Return the new statistics, if there are any, and the observation as the network sees it, float32."""
    obs = obs.to(torch.float64)
    if "obs_statistics" not in state:
        return {}, obs.to(torch.float32)
    size = state["obs_statistics"]["mean"].shape[0]
    statistics, normalized = normalize_observation(state["obs_statistics"], obs[:size])
    if size < obs.shape[0]:  # what the statistics do not cover, at the end, passes unchanged
        normalized = torch.cat([normalized, obs[size:]])
    return {"obs_statistics": statistics}, normalized.to(torch.float32)
