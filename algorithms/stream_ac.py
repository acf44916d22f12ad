"""Stream AC(lambda): actor-critic from a stream, for continuous actions.

Source: Stream-X (arXiv:2410.14606), Algorithm 7 with Algorithms 1-6; entropy term of appendix E. One moment (S, A, R, S')
is learnt from once and forgotten. Actor and critic are separate networks, each with its own trace and its own bounded step.

Deviations of the paper's text from the official code, each an option whose default is the code:
1. A time limit ends the episode like a terminal state (`bootstrap_on_truncation`, `reset_trace_on_truncation`,
   `cut_reward_trace_on_truncation`); the paper's T is a terminal state and does not spell truncation out.
2. The variance that scales the reward is centred (`centered_reward_variance`); the paper fixes its mean at 0.
3. SparseInit drops other inputs for each unit (`same_inputs_for_all_units`); the paper draws one set per layer.
4. Actions are clipped to the bounds of the environment, not to [-1, 1]: an option of the environment, not of the learner.
5. `lamda` is 0.8 as in all experiments; the paper's boxes show 0.9.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, grad_and_value
from torch.nn import functional as F

from algorithms.adam import TraceAdam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32, hyperparameters
from algorithms.networks import MLP, apply, init_parameters
from algorithms.normalization import init_reward_scaler, init_statistics, normalize_observation, scale_reward
from algorithms.obgd import AdaptiveObGD, ObGD, Parameters


@lru_cache(maxsize=64)
def actor_network(obs_size: int, action_size: int, hidden: tuple[int, ...], layer_norm: bool) -> MLP:
    """Build the actor, [obs_size] -> mean and standard deviation before softplus, [action_size] each."""
    with torch.device("meta"):
        return MLP(obs_size, hidden, {"mean": action_size, "std": action_size}, layer_norm)


@lru_cache(maxsize=64)
def critic_network(obs_size: int, hidden: tuple[int, ...], layer_norm: bool) -> MLP:
    """Build the critic, [obs_size] -> [1]."""
    with torch.device("meta"):
        return MLP(obs_size, hidden, {"value": 1}, layer_norm)


def gaussian_log_prob(mean: Tensor, std: Tensor, action: Tensor) -> Tensor:
    """Return log N(action; mean, std), summed over the components of the action."""
    return (-((action - mean) ** 2) / (2 * std**2) - torch.log(std) - 0.5 * math.log(2 * math.pi)).sum()


def gaussian_entropy(std: Tensor) -> Tensor:
    """Return the differential entropy of a diagonal Gaussian."""
    return (0.5 + 0.5 * math.log(2 * math.pi) + torch.log(std)).sum()


@dataclass(frozen=True)
class StreamAC:
    """Hyperparameters of Stream AC(lambda), one set for all tasks (Stream-X, section 3 and appendix F.4)."""

    gamma: float = 0.99
    """Discount."""
    lamda: float = 0.8
    """Trace decay; 0 learns from one step only."""
    alpha_policy: float = 1.0
    """Step size of the actor before the bound."""
    alpha_value: float = 1.0
    """Step size of the critic before the bound."""
    kappa_policy: float = 3.0
    """How cautious the actor's bound is: its change has an L1 norm of at most 1 / kappa."""
    kappa_value: float = 2.0
    """How cautious the critic's bound is."""
    entropy: float = 0.01
    """Weight tau of the entropy in the actor's trace."""
    sparsity: float = 0.9
    """Fraction of incoming weights that start at zero; 0 is dense LeCun-uniform."""
    hidden: tuple[int, ...] = (128, 128)
    """Width of each hidden layer, the same for actor and critic."""
    layer_norm: bool = True
    """LayerNorm without scale and bias on every hidden layer's pre-activations."""
    normalize_obs: bool = True
    """Standardise observations with running statistics."""
    normalize_reward: bool = True
    """Divide rewards by the running standard deviation of their discounted sum."""
    optimizer: Literal["obgd", "adaptive_obgd", "adam"] = "obgd"
    """What turns trace and TD error into a change of the parameters."""
    bootstrap_on_truncation: bool = False
    """Keep v(S') in the target when a time limit ended the episode."""
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

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """One standard normal number per component of the action."""
        return NoiseSpec("normal", (spaces.action_size,))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: sparse networks, empty traces, empty statistics."""
        (obs_size,) = spaces.obs_shape
        actor = init_parameters(
            actor_network(obs_size, spaces.action_size, self.hidden, self.layer_norm),
            generator,
            self.sparsity,
            self.same_inputs_for_all_units,
        )
        critic = init_parameters(
            critic_network(obs_size, self.hidden, self.layer_norm), generator, self.sparsity, self.same_inputs_for_all_units
        )
        state: State = {
            "hyper": hyperparameters(self),
            "obs": torch.zeros(obs_size),
            "actor": actor,
            "critic": critic,
            "actor_optimizer": self._optimizer().init(actor),
            "critic_optimizer": self._optimizer().init(critic),
        }
        if self.normalize_obs:
            state["obs_statistics"] = init_statistics((obs_size - int(spaces.time_feature),))
        if self.normalize_reward:
            state["reward_scaler"] = init_reward_scaler()
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [obs_size], and choose the first action, [action_size]."""
        state = self._see(state, obs)
        return state, self._act(state, noise)

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error."""
        h = as_float32(state["hyper"])
        trace_decay = (state["hyper"]["gamma"] * state["hyper"]["lamda"]).to(torch.float32)
        terminated, truncated = transition.terminated, transition.truncated
        no_bootstrap = terminated if self.bootstrap_on_truncation else terminated | truncated
        reset_trace = terminated | truncated if self.reset_trace_on_truncation else terminated
        state = dict(state)

        reward = transition.reward
        if self.normalize_reward:
            cut = terminated | truncated if self.cut_reward_trace_on_truncation else terminated
            state["reward_scaler"], reward = scale_reward(
                state["reward_scaler"], reward, cut, state["hyper"]["gamma"], self.centered_reward_variance
            )
        obs = state["obs"]  # standardised when it was seen, with the statistics of that time
        state = self._see(state, transition.next_obs)

        value_gradient, value = grad_and_value(self._value)(state["critic"], obs)
        next_value = torch.where(no_bootstrap, 0.0, self._value(state["critic"], state["obs"]))
        delta = reward.to(torch.float32) + h["gamma"] * next_value - value  # Alg. 7: delta = R + gamma v(S') - v(S)
        policy_gradient = grad(self._policy_objective)(state["actor"], obs, transition.action, delta, h["entropy"])

        optimizer = self._optimizer()
        state["actor_optimizer"], state["actor"] = optimizer.update(
            state["actor_optimizer"],
            state["actor"],
            policy_gradient,
            delta,
            reset_trace,
            {"alpha": h["alpha_policy"], "kappa": h["kappa_policy"], "trace_decay": trace_decay},
        )
        state["critic_optimizer"], state["critic"] = optimizer.update(
            state["critic_optimizer"],
            state["critic"],
            value_gradient,
            delta,
            reset_trace,
            {"alpha": h["alpha_value"], "kappa": h["kappa_value"], "trace_decay": trace_decay},
        )

        # Where the episode ended, the first observation of the next one is seen as well, and acted on.
        ended = terminated | truncated
        reborn = self._see(state, transition.acting_obs)
        for key in ("obs", "obs_statistics") if self.normalize_obs else ("obs",):
            state[key] = _select(ended, reborn[key], state[key])
        return state, self._act(state, noise), {"td_error": delta}

    def _see(self, state: State, obs: Tensor) -> State:
        """Take an observation in; what the statistics do not cover (the time feature, last) passes unchanged."""
        if not self.normalize_obs:
            return {**state, "obs": obs.to(torch.float32)}
        size = state["obs_statistics"]["mean"].shape[0]
        statistics, normalized = normalize_observation(state["obs_statistics"], obs[:size])
        return {**state, "obs_statistics": statistics, "obs": torch.cat([normalized, obs[size:]]).to(torch.float32)}

    def _act(self, state: State, noise: Tensor) -> Tensor:
        mean, std = self._policy(state["actor"], state["obs"])
        return mean + std * noise

    def _policy(self, actor: Parameters, obs: Tensor) -> tuple[Tensor, Tensor]:
        network = actor_network(obs.shape[0], actor["heads.mean.bias"].shape[0], self.hidden, self.layer_norm)
        heads = apply(network, actor, obs)
        return heads["mean"], F.softplus(heads["std"])

    def _value(self, critic: Parameters, obs: Tensor) -> Tensor:
        return apply(critic_network(obs.shape[0], self.hidden, self.layer_norm), critic, obs)["value"][0]

    def _policy_objective(self, actor: Parameters, obs: Tensor, action: Tensor, delta: Tensor, entropy: Tensor) -> Tensor:
        # The sign of delta makes the entropy push outwards whichever way the trace is later followed (appendix E).
        mean, std = self._policy(actor, obs)
        return gaussian_log_prob(mean, std, action) + entropy * torch.sign(delta) * gaussian_entropy(std)

    def _optimizer(self) -> ObGD | AdaptiveObGD | TraceAdam:
        if self.optimizer == "adam":
            return TraceAdam()
        return ObGD() if self.optimizer == "obgd" else AdaptiveObGD(bias_correction=self.adaptive_bias_correction)


def _select(condition: Tensor, a: Tensor | dict[str, Tensor], b: Tensor | dict[str, Tensor]) -> Tensor | dict[str, Tensor]:
    if isinstance(a, dict) and isinstance(b, dict):
        return {key: torch.where(condition, a[key], b[key]) for key in a}
    assert isinstance(a, Tensor)
    assert isinstance(b, Tensor)
    return torch.where(condition, a, b)
