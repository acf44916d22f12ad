"""What learners of action values share: the network, epsilon-greedy choice, and options. See `stream_q`, `stream_sarsa`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, hyperparameters
from algorithms.diagnostics import bounding, overshooting
from algorithms.networks import apply, init_parameters, network
from algorithms.normalization import init_reward_scaler, scale_reward
from algorithms.obgd import Parameters, TraceOptimizer
from algorithms.optimizers import OptimizerName, make_optimizer
from algorithms.perception import init_perception
from algorithms.policies import pick


@dataclass(frozen=True)
class ActionValueLearner:
    """Hyperparameters of Stream Q(lambda) and Stream SARSA(lambda), one set for all tasks (Stream-X, appendices F.2, F.3).

    The exploration schedule is linear from `epsilon_start` to `epsilon_end` over the first `exploration_fraction` of
    `schedule_steps` choices of an action, counted from 1. A run may be shorter than its schedule.
    """

    gamma: float = 0.99
    """Discount."""
    lamda: float = 0.8
    """Trace decay; 0 learns from one step only."""
    alpha: float = 1.0
    """Step size before the bound."""
    kappa: float = 2.0
    """How cautious the bound is: a change has an L1 norm of at most 1 / kappa."""
    epsilon_start: float = 1.0
    """Probability of a random action at the beginning."""
    epsilon_end: float = 0.01
    """Probability of a random action in the end."""
    exploration_fraction: float = 0.05
    """Share of the schedule over which epsilon falls."""
    schedule_steps: float = 500_000.0
    """Length of the schedule in steps: that of the published run, also where a run is cut short."""
    sparsity: float = 0.9
    """Fraction of incoming weights that start at zero; 0 is dense LeCun-uniform."""
    hidden: tuple[int, ...] = (32, 32)
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
    """Start the next episode with an empty trace after a time limit, as after a terminal state."""
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

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Two uniform numbers for one choice: whether to explore, and what to try."""
        return NoiseSpec("uniform", (2,))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: sparse network, empty trace, empty statistics."""
        state: State = {"hyper": hyperparameters(self), **init_perception(spaces, self.normalize_obs)}
        net = network(tuple(state["obs"].shape), self.hidden, {"q": spaces.action_size}, self.layer_norm)
        state["q"] = init_parameters(net, generator, self.sparsity, self.same_inputs_for_all_units)
        state["optimizer"] = self._optimizer().init(state["q"])
        state["choices"] = torch.zeros((), dtype=torch.float64)
        if self.normalize_reward:
            state["reward_scaler"] = init_reward_scaler()
        return state

    def _values(self, parameters: Parameters, obs: Tensor) -> Tensor:
        """Return q(obs, .), [action_size]."""
        actions = parameters["heads.q.bias"].shape[0]
        return apply(network(tuple(obs.shape), self.hidden, {"q": actions}, self.layer_norm), parameters, obs)["q"]

    def _value(self, parameters: Parameters, obs: Tensor, action: Tensor) -> Tensor:
        """Return q(obs, action), []."""
        return pick(self._values(parameters, obs), action)

    def _choose(self, state: State, values: Tensor, noise: Tensor) -> tuple[State, Tensor, Tensor]:
        """Choose epsilon-greedily; return the new state, the action, and whether it is another than the greedy one."""
        h, choices = state["hyper"], state["choices"] + 1
        slope = (h["epsilon_end"] - h["epsilon_start"]) / (h["exploration_fraction"] * h["schedule_steps"])
        epsilon = torch.maximum(h["epsilon_start"] + slope * choices, h["epsilon_end"])
        greedy = torch.argmax(values)
        actions = values.shape[0]
        tried = (noise[1] * actions).to(torch.int64).clamp(max=actions - 1)
        action = torch.where(noise[0] < epsilon, tried, greedy)
        return {**state, "choices": choices}, action, action != greedy

    def _trace_decay(self, state: State) -> Tensor:
        return (state["hyper"]["gamma"] * state["hyper"]["lamda"]).to(torch.float32)

    def _scaled_reward(self, state: State, transition: Transition) -> tuple[State, Tensor]:
        if not self.normalize_reward:
            return state, transition.reward.to(torch.float32)
        terminated, truncated = transition.terminated, transition.truncated
        cut = terminated | truncated if self.cut_reward_trace_on_truncation else terminated
        gamma = state["hyper"]["gamma"]
        scaler, reward = scale_reward(state["reward_scaler"], transition.reward, cut, gamma, self.centered_reward_variance)
        return {**state, "reward_scaler": scaler}, reward.to(torch.float32)

    def _no_bootstrap(self, transition: Transition) -> Tensor:
        return transition.terminated if self.bootstrap_on_truncation else transition.terminated | transition.truncated

    def _episode_over(self, transition: Transition) -> Tensor:
        return transition.terminated | transition.truncated if self.reset_trace_on_truncation else transition.terminated

    def _diagnose(self, trace: Parameters, delta: Tensor, delta_after: Tensor, hyper: dict[str, Tensor]) -> Info:
        return overshooting(delta, delta_after) | bounding(trace, delta, hyper, self.optimizer == "obgd")

    def _optimizer(self) -> TraceOptimizer:
        return make_optimizer(self.optimizer, self.adaptive_bias_correction)
