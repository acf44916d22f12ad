"""PPO1 as a learner of one stream: CleanRL's update from a rollout of one step. See `baselines.incremental`.

The new policy is still the old one when the only epoch begins, so that the ratio of probabilities is 1, the value is the one
noted, and neither clip is felt: what is left is the policy gradient and half the squared error of the value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad

from algorithms.adam import adam, fresh_adam
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32, hyperparameters, leaves, map_state
from algorithms.dense import orthogonal_layers, perceptron
from algorithms.policies import HALF_LOG_2PI, noise_log_prob
from baselines.incremental import OneSample
from baselines.settings import PPO1

# Gymnasium's running statistics begin with the weight of so small a part of a sample; its wrappers add the other to a variance.
FIRST_COUNT, EPSILON = 1e-4, 1e-8


@dataclass(frozen=True)
class IncrementalPPO(OneSample, PPO1):
    """PPO1 in lanes."""

    run_steps: float = 0.0
    """Length of the run, over which the step size falls."""

    def check(self) -> None:
        """Raise ValueError where the sizes are not those of one sample."""
        super().check()
        if self.normalize_advantage:
            raise ValueError("in lanes one advantage cannot be normalised; set normalize_advantage to false")

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """Normal numbers, one for each component of the action."""
        return NoiseSpec("normal", (spaces.action_size,))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: orthogonal weights, as stable-baselines3 draws them, and empty statistics."""
        (size,), actions = spaces.obs_shape, spaces.action_size
        parameters: State = {
            "policy": orthogonal_layers(generator, (size, *self.hidden, actions), math.sqrt(2), last_gain=0.01),
            "value": orthogonal_layers(generator, (size, *self.hidden, 1), math.sqrt(2), last_gain=1.0),
            "log_std": torch.zeros(actions),
        }
        state: State = {
            "hyper": hyperparameters(self),
            "obs": torch.zeros(size),
            "parameters": parameters,
            "adam": fresh_adam(parameters),
        }
        if self.normalize_obs:
            state["obs_statistics"] = _fresh_statistics((size,))
        if self.normalize_reward:
            state["return_statistics"] = _fresh_statistics(())
            state["return"] = torch.zeros((), dtype=torch.float64)
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [*obs_shape], and choose the first action, [action_size]."""
        state = self._see(state, obs, None)
        return state, _act(state, noise)

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error, which is the advantage."""
        h = as_float32(state["hyper"])
        obs, parameters = state["obs"], state["parameters"]
        state, reward = self._scaled_reward(state, transition)
        state = self._see(state, transition.next_obs, None)

        next_value = perceptron(parameters["value"], state["obs"], torch.tanh)[0]
        no_bootstrap = transition.terminated if self.bootstrap_on_truncation else transition.terminated | transition.truncated
        goal = reward + torch.where(no_bootstrap, 0.0, h["gamma"] * next_value)
        advantage = goal - perceptron(parameters["value"], obs, torch.tanh)[0]

        def loss(parameters: State) -> Tensor:
            mean, log_std = perceptron(parameters["policy"], obs, torch.tanh), parameters["log_std"]
            log_prob = noise_log_prob((transition.action - mean) * (-log_std).exp(), log_std).sum()
            error = perceptron(parameters["value"], obs, torch.tanh)[0] - goal
            entropy = (0.5 + HALF_LOG_2PI + log_std).sum()
            return h["value_coefficient"] * 0.5 * error**2 - advantage * log_prob - h["entropy_coefficient"] * entropy

        gradient = grad(loss)(parameters)
        length = torch.sqrt(torch.stack([(part**2).sum() for part in leaves(gradient)]).sum())
        shrink = (h["max_grad_norm"] / (length + 1e-6)).clamp(max=1.0)
        gradient = map_state(lambda part: part * shrink, gradient)
        rate = h["learning_rate"]
        if self.anneal_learning_rate:
            rate = rate * (1 - state["adam"]["count"] / state["hyper"]["run_steps"]).to(torch.float32)
        memory, parameters = adam(state["adam"], parameters, gradient, rate, h["adam_epsilon"])
        state = self._see({**state, "adam": memory, "parameters": parameters}, transition.acting_obs, transition.restarted)
        return state, _act(state, noise), {"td_error": advantage}

    def _scaled_reward(self, state: State, transition: Transition) -> tuple[State, Tensor]:
        """Return the reward divided by the deviation of the discounted sum of rewards, clipped, float32 []."""
        reward = transition.reward
        if not self.normalize_reward:
            return state, reward.to(torch.float32)
        h = state["hyper"]
        total = torch.where(transition.terminated, 0.0, state["return"] * h["gamma"]) + reward
        statistics = _taken_in(state["return_statistics"], total)
        reward = (reward / torch.sqrt(statistics["var"] + EPSILON)).clamp(-h["reward_clip"], h["reward_clip"])
        return {**state, "return": total, "return_statistics": statistics}, reward.to(torch.float32)

    def _see(self, state: State, obs: Tensor, only_where: Tensor | None) -> State:
        """Take a raw observation in, standardise and clip it; where `only_where` is false, nothing has been seen."""
        if not self.normalize_obs:
            return {**state, "obs": obs.to(torch.float32)}
        statistics, bound = _taken_in(state["obs_statistics"], obs), state["hyper"]["obs_clip"].to(torch.float32)
        seen = ((obs - statistics["mean"]) / torch.sqrt(statistics["var"] + EPSILON)).to(torch.float32).clamp(-bound, bound)
        changes: State = {"obs": seen, "obs_statistics": statistics}
        if only_where is not None:
            old = {name: state[name] for name in changes}
            changes = map_state(lambda new, before: torch.where(only_where, new, before), changes, old)
        return {**state, **changes}


def _act(state: State, noise: Tensor) -> Tensor:
    parameters = state["parameters"]
    return perceptron(parameters["policy"], state["obs"], torch.tanh) + parameters["log_std"].exp() * noise


def _fresh_statistics(shape: tuple[int, ...]) -> State:
    return {
        "mean": torch.zeros(shape, dtype=torch.float64),
        "var": torch.ones(shape, dtype=torch.float64),
        "count": torch.tensor(FIRST_COUNT, dtype=torch.float64),
    }


def _taken_in(statistics: State, sample: Tensor) -> State:
    """Return running mean and variance with one more sample, as Gymnasium's `RunningMeanStd` computes them."""
    mean, count = statistics["mean"], statistics["count"]
    total, distance = count + 1, sample - mean
    var = (statistics["var"] * count + distance**2 * count / total) / total
    return {"mean": mean + distance / total, "var": var, "count": total}
