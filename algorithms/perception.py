"""What a learner does with an observation before its network sees it: standardise it, then stack the latest ones.

Source: Stream-X (arXiv:2410.14606), Algorithm 6 and section 2 of its appendix F.3. In Atari every pixel has statistics of
its own, and a stacked frame stays as it was standardised when it was seen.
"""

from __future__ import annotations

import torch
from torch import Tensor

from algorithms.agent import Spaces, State
from algorithms.normalization import init_statistics, normalize_observation


def init_perception(spaces: Spaces, normalize: bool) -> State:
    """Return the part of a learner's state that holds what its network sees: nothing yet.

    Returns:
        `obs`, float32 [*obs_shape], or [frames, *obs_shape] where the network sees several frames; and `obs_statistics`
        if observations are standardised, which leave out the time feature.
    """
    stack = (spaces.frames,) if spaces.frames > 1 else ()
    state: State = {"obs": torch.zeros(*stack, *spaces.obs_shape)}
    if normalize:
        first, *rest = spaces.obs_shape
        state["obs_statistics"] = init_statistics((first - int(spaces.time_feature), *rest))
    return state


def see(state: State, obs: Tensor, first: bool = False) -> State:
    """Take a raw observation in.

    Args:
        state: the learner's, as `init_perception` began it.
        obs: raw observation, [*obs_shape].
        first: it begins an episode, so that there are no earlier frames: all of the stack shows it.
    """
    obs = obs.to(torch.float64)
    if "obs_statistics" in state:
        size = state["obs_statistics"]["mean"].shape[0]
        statistics, normalized = normalize_observation(state["obs_statistics"], obs[:size])
        state = {**state, "obs_statistics": statistics}
        # What the statistics do not cover (the time feature, last) passes unchanged.
        obs = torch.cat([normalized, obs[size:]]) if size < obs.shape[0] else normalized
    seen = obs.to(torch.float32)
    stack = state["obs"]
    if stack.ndim > seen.ndim:
        seen = seen.expand(stack.shape) if first else torch.cat([stack[1:], seen.unsqueeze(0)])
    return {**state, "obs": seen}


def see_acting(state: State, acting_obs: Tensor, restarted: Tensor) -> State:
    """Turn to the observation to act on: where the environment was restarted, the first of an episode is seen as well."""
    fresh = see(state, acting_obs, first=True)
    return {**state, **{key: _select(restarted, fresh[key], state[key]) for key in ("obs", "obs_statistics") if key in state}}


def _select(condition: Tensor, a: Tensor | dict[str, Tensor], b: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
    if isinstance(a, dict) and isinstance(b, dict):
        return {key: torch.where(condition, a[key], b[key]) for key in a}
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    return torch.where(condition, a, b)
