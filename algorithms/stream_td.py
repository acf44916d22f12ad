"""Stream TD(lambda): predicting a discounted sum of rewards from a stream, with a neural network.

Source: Stream-X (arXiv:2410.14606), Algorithm 9 with Algorithms 1-6, and section 4.5. There is nothing to decide: the
learner's action is its prediction, which the stream ignores. Predictions are in units of the raw reward: the network learns
from scaled rewards, and its output is multiplied by the present scale.

Deviations of the paper's text from the official code, each an option whose default is the code:
1. Reward variance and SparseInit as in `algorithms.stream_ac`, points 2 and 3.
2. The memory trace that is shown of each channel is bias-corrected in the code: an option of the environment
   (`trace_bias_correction`), not of the learner.
3. The code logs, beside the reward of a step, the value of the observation AFTER it (`prediction`); the value of the one
   before, which is the one that the return from that step on belongs to, is `prediction_before`.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor
from torch.func import grad_and_value

from algorithms import settings
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32
from algorithms.diagnostics import bounding, overshooting
from algorithms.learner import StreamLearner
from algorithms.normalization import EPSILON, variance
from algorithms.obgd import Parameters
from algorithms.perception import see, see_acting


class StreamTD(StreamLearner, settings.StreamTDSettings):
    """Stream TD(lambda)."""

    METRICS_EVERY: ClassVar[int] = 1

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """One number that nothing is done with: there is nothing to choose."""
        return NoiseSpec("uniform", (1,))

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: sparse network, empty trace, empty statistics."""
        state = self._add_network(self._begin(spaces), "v", generator, {"value": 1})
        state["optimizer"] = self._optimizer().init(state["v"])
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [*obs_shape]; return the first prediction, [1]."""
        state = see(state, obs, first=True)
        return state, self._prediction(state, state["obs"]).unsqueeze(0)

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Learn from one transition; return the new prediction, and in `info` what there is to compare it with."""
        h = as_float32(state["hyper"])
        before, obs = self._prediction(state, state["obs"]), state["obs"]
        state, reward = self._scaled_reward(state, transition)
        state = see(state, transition.next_obs)

        no_bootstrap, over = self._no_bootstrap(transition), self._episode_over(transition)
        gradient, value = grad_and_value(self._value)(state["v"], obs)
        next_value = torch.where(no_bootstrap, 0.0, self._value(state["v"], state["obs"]))
        delta = reward + h["gamma"] * next_value - value  # Alg. 9: delta = R + gamma v(S') - v(S)
        hyper = {"alpha": h["alpha"], "kappa": h["kappa"]}
        memory = self._optimizer().accumulate(state["optimizer"], gradient, self._trace_decay(state))
        trained, parameters = self._optimizer().apply(memory, state["v"], delta, over, hyper)
        state = {**state, "v": parameters, "optimizer": trained}

        after = self._prediction(state, state["obs"])
        info = {"td_error": delta, "prediction": after, "prediction_before": before, "cumulant": transition.reward}
        if self.diagnostics:
            next_value = torch.where(no_bootstrap, 0.0, self._value(state["v"], state["obs"]))
            info |= overshooting(delta, reward + h["gamma"] * next_value - self._value(state["v"], obs))
            info |= bounding(memory["trace"], delta, hyper, self.optimizer == "obgd")
        state = see_acting(state, transition.acting_obs, transition.restarted)
        return state, after.unsqueeze(0), info

    def _value(self, parameters: Parameters, obs: Tensor) -> Tensor:
        return self._evaluate(parameters, {}, obs, {"value": 1})[0]["value"][0]

    def _prediction(self, state: State, obs: Tensor) -> Tensor:
        """Return the value of an observation in units of the raw reward, []."""
        value = self._value(state["v"], obs)
        if not self.normalize_reward:
            return value
        return value * torch.sqrt(variance(state["reward_scaler"]) + EPSILON).to(torch.float32)
