"""What the stream-x learners share: their common hyperparameters, and how each of them is begun, rewarded and ended.

Source: Stream-X (arXiv:2410.14606), section 3 and appendix F: one set of hyperparameters for all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import Spaces, State, Transition, hyperparameters
from algorithms.networks import init_parameters, network
from algorithms.normalization import init_reward_scaler, scale_reward
from algorithms.obgd import Parameters, TraceOptimizer
from algorithms.optimizers import OptimizerName, make_optimizer
from algorithms.perception import init_perception


@dataclass(frozen=True)
class StreamLearner:
    """Hyperparameters of every stream-x learner; the defaults are those of the official code."""

    gamma: float = 0.99
    """Discount."""
    lamda: float = 0.8
    """Trace decay; 0 learns from one step only."""
    sparsity: float = 0.9
    """Fraction of incoming weights that start at zero; 0 is dense LeCun-uniform."""
    hidden: tuple[int, ...] = (128, 128)
    """Width of each hidden layer for vector observations; images bring their own torso (`algorithms.networks`)."""
    layer_norm: bool = True
    """LayerNorm without scale and bias on every hidden layer's pre-activations."""
    normalize_obs: bool = True
    """Standardise observations with running statistics."""
    normalize_reward: bool = True
    """Divide rewards by the running standard deviation of their discounted sum."""
    optimizer: OptimizerName = "obgd"
    """What turns trace and TD error into a change of the parameters."""
    bootstrap_on_truncation: bool = False
    """Keep the value of S' in the target when a time limit ended the episode."""
    reset_trace_on_truncation: bool = True
    """Start the next episode with empty traces after a time limit, as after a terminal state."""
    cut_reward_trace_on_truncation: bool = True
    """Cut the discounted reward sum of the reward scaler at a time limit, as at a terminal state."""
    centered_reward_variance: bool = True
    """Subtract the running mean in the reward scaler's variance."""
    same_inputs_for_all_units: bool = False
    """SparseInit drops one set of inputs per layer instead of one per unit."""
    adaptive_bias_correction: bool = True
    """AdaptiveObGD divides its second moment by 1 - beta2^t; the paper's box does not."""
    diagnostics: bool = False
    """Tell with every update how far it went (`algorithms.diagnostics`)."""

    def _begin(self, spaces: Spaces) -> State:
        """Return the part of a fresh state that all learners have: nothing seen, nothing scaled."""
        state: State = {"hyper": hyperparameters(self), **init_perception(spaces, self.normalize_obs)}
        if self.normalize_reward:
            state["reward_scaler"] = init_reward_scaler()
        return state

    def _parameters(self, generator: torch.Generator, state: State, heads: Mapping[str, int]) -> Parameters:
        """Return fresh parameters of a network that sees what the learner sees."""
        net = network(tuple(state["obs"].shape), self.hidden, heads, self.layer_norm)
        return init_parameters(net, generator, self.sparsity, self.same_inputs_for_all_units)

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
