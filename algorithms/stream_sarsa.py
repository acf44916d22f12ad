"""Stream SARSA(lambda): on-policy action values from a stream, with a neural network.

Source: Stream-X (arXiv:2410.14606), Algorithm 10 with Algorithms 1-6. The next action A' is chosen with the values from
before the update, is the one in the target, and is the one that is then executed.

Deviations of the paper's text from the official code, each an option whose default is the code:
1. Where an episode ends, the code executes the A' that it chose at the terminal observation as the first action of the next
   episode; the paper's algorithm chooses a new one at the first observation (`first_action`).
2. Time limits, reward variance and SparseInit as in `algorithms.stream_ac`, points 1 to 3.
3. Layers after the convolutions of an image (`torso`) as in `algorithms.stream_q`, and so are classic control and Atari's cap.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad_and_value

from algorithms import settings
from algorithms.action_values import ActionValueLearner
from algorithms.agent import Info, State, Transition, as_float32
from algorithms.obgd import Parameters
from algorithms.perception import see, see_acting
from algorithms.policies import pick


class StreamSARSA(ActionValueLearner, settings.StreamSARSASettings):
    """Stream SARSA(lambda)."""

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [*obs_shape], and choose the first action, []."""
        state = see(state, obs, first=True)
        state, action, _ = self._choose(state, self._values(state["q"], {}, state["obs"])[0], noise)
        return state, action

    def step(self, state: State, transition: Transition, noise: Tensor) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error."""
        h = as_float32(state["hyper"])
        state, reward = self._scaled_reward(state, transition)
        obs, action = state["obs"], transition.action
        state = see(state, transition.next_obs)
        next_obs = state["obs"]
        acting = see_acting(state, transition.acting_obs, transition.restarted)

        no_bootstrap, over = self._no_bootstrap(transition), self._episode_over(transition)
        next_values, _ = self._values(state["q"], {}, next_obs)
        chosen, next_action, _ = self._choose(acting, next_values, noise)
        executed = next_action
        if self.first_action == "from_first_obs":
            _, first_action, _ = self._choose(acting, self._values(state["q"], {}, acting["obs"])[0], noise)
            executed = torch.where(transition.restarted, first_action, next_action)

        gradient, value = grad_and_value(self._value)(state["q"], obs, action)
        next_value = torch.where(no_bootstrap, 0.0, pick(next_values, next_action))
        delta = reward + h["gamma"] * next_value - value  # Alg. 10: delta = R + gamma q(S', A') - q(S, A)
        memory = self._optimizer().accumulate(state["optimizer"], gradient, self._trace_decay(state))
        hyper = {"alpha": h["alpha"], "kappa": h["kappa"]}
        trained, parameters = self._optimizer().apply(memory, state["q"], delta, over, hyper)

        info = {"td_error": delta}
        if self.diagnostics:
            next_value = torch.where(no_bootstrap, 0.0, self._value(parameters, next_obs, next_action))
            delta_after = reward + h["gamma"] * next_value - self._value(parameters, obs, action)
            info |= self._diagnose(memory["trace"], delta, delta_after, hyper)
        return {**chosen, "q": parameters, "optimizer": trained}, executed, info

    def _value(self, parameters: Parameters, obs: Tensor, action: Tensor) -> Tensor:
        """Return q(obs, action), []."""
        return pick(self._values(parameters, {}, obs)[0], action)
