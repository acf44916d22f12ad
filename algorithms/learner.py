"""What the stream-x learners share: how each of them is begun, rewarded and ended.

Source: Stream-X (arXiv:2410.14606), section 3 and appendix F: one set of hyperparameters for all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from algorithms import agent, settings
from algorithms.agent import Spaces, State, Transition
from algorithms.networks import init_parameters, network
from algorithms.normalization import init_reward_scaler, scale_reward
from algorithms.obgd import Parameters, TraceOptimizer
from algorithms.optimizers import make_optimizer
from algorithms.perception import init_perception


class StreamLearner(settings.StreamLearnerSettings):
    """What every stream-x learner does with its hyperparameters."""

    def _begin(self, spaces: Spaces) -> State:
        """Return the part of a fresh state that all learners have: nothing seen, nothing scaled."""
        state: State = {"hyper": agent.hyperparameters(self), **init_perception(spaces, self.normalize_obs)}
        if self.normalize_reward:
            state["reward_scaler"] = init_reward_scaler()
        return state

    def _parameters(self, generator: torch.Generator, state: State, heads: Mapping[str, int]) -> Parameters:
        """Return fresh parameters of a network that sees what the learner sees."""
        net = self._network(state["obs"], heads)
        return init_parameters(net, generator, self.sparsity, self.same_inputs_for_all_units)

    def _network(self, obs: Tensor, heads: Mapping[str, int]) -> nn.Module:
        """Return the network for an observation as the learner sees it, without parameters of its own."""
        return network(tuple(obs.shape), self.hidden, heads, self.layer_norm, self.torso)

    def _scaled_reward(self, state: State, transition: Transition) -> tuple[State, Tensor]:
        """Return the reward as it is learnt from, float32 []."""
        if not self.normalize_reward:
            return state, transition.reward.to(torch.float32)
        terminated, truncated = transition.terminated, transition.truncated
        cut = terminated | truncated if self.cut_reward_trace_on_truncation else terminated
        gamma = state["hyper"]["gamma"]
        scaler, reward = scale_reward(state["reward_scaler"], transition.reward, cut, gamma, self.centered_reward_variance)
        return {**state, "reward_scaler": scaler}, reward.to(torch.float32)

    def _no_bootstrap(self, transition: Transition) -> Tensor:
        """Return whether the value of S' is left out of the target."""
        return transition.terminated if self.bootstrap_on_truncation else transition.terminated | transition.truncated

    def _episode_over(self, transition: Transition) -> Tensor:
        """Return whether the trace is emptied after the update."""
        return transition.terminated | transition.truncated if self.reset_trace_on_truncation else transition.terminated

    def _trace_decay(self, state: State) -> Tensor:
        """Return gamma * lambda."""
        return (state["hyper"]["gamma"] * state["hyper"]["lamda"]).to(torch.float32)

    def _optimizer(self) -> TraceOptimizer:
        return make_optimizer(self.optimizer, self.adaptive_bias_correction)
