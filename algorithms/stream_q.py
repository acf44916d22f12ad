"""Stream Q(lambda): Watkins's Q(lambda) from a stream, with a neural network.

Source: Stream-X (arXiv:2410.14606), Algorithm 8 with Algorithms 1-6.

Deviations of the paper's text from the official code, each an option whose default is the code:
1. Watkins's cut: the code learns from a transition first and empties the trace after it if its action was not the greedy
   one; the paper empties the trace before the transition's own gradient is added (`cut`).
2. Time limits, reward variance and SparseInit as in `algorithms.stream_ac`, points 1 to 3.
3. Exploration: the paper says 5 % of the steps for MinAtar, the code behind its figure 20 % (`exploration_fraction`).
4. After the convolutions of an image the code has one layer, the paper's text lists two (`torso`).

In classic control, of which the paper has no experiment, the code has episodes of 10,000 steps: `time_limit=10000` of the
environment. In Atari it keeps value and trace at the cap of 108,000 frames: `bootstrap_on_truncation` without
`reset_trace_on_truncation`. The environment's `frame_cap=unnoticed` does that for any learner, but for the reward scaler too.

A random draw that hits the greedy action counts as greedy, in the code and here. The action that is learnt from is the one
that was chosen: whoever executes another must not call it this learner's.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import vjp

from algorithms import settings
from algorithms.action_values import ActionValueLearner
from algorithms.agent import Info, Spaces, State, Transition, as_float32, map_state
from algorithms.obgd import reset_trace
from algorithms.perception import see
from algorithms.policies import pick


class StreamQ(ActionValueLearner, settings.StreamQSettings):
    """Stream Q(lambda)."""

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing."""
        state = super().init(generator, spaces)
        state = {**state, "value": torch.zeros(()), "exploring": torch.zeros((), dtype=torch.bool)}
        if self.diagnostics and "carry" in state:  # q(S, A) is asked for again after the update
            state["carry"]["q_before"] = map_state(torch.clone, state["carry"]["q"])
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [*obs_shape], and choose the first action, []."""
        return self._act(see(state, obs, first=True), noise)

    def step(self, state: State, transition: Transition, noise: Tensor, form: str | None = None) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error."""
        h = as_float32(state["hyper"])
        state, reward = self._scaled_reward(state, transition)
        obs, trace, carry = state["obs"], state["optimizer"]["trace"], self._carry(state, "q")
        state, stale = self._staleness(state, {"q": carry}, form)
        state = see(state, transition.next_obs)

        no_bootstrap, over = self._no_bootstrap(transition), self._episode_over(transition)
        next_value = torch.where(no_bootstrap, 0.0, self._values(state["q"], carry, state["obs"])[0].max())
        delta = reward + h["gamma"] * next_value - state["value"]  # Alg. 8: delta = R + gamma max_a q(S', a) - q(S, A)
        if self.cut == "after_update":
            over = over | state["exploring"]
        hyper = {"alpha": h["alpha"], "kappa": h["kappa"]}
        trained, parameters = self._optimizer().apply(state["optimizer"], state["q"], delta, over, hyper)
        state = {**state, "q": parameters, "optimizer": trained}

        info = {"td_error": delta, **stale}
        if self.diagnostics:
            next_value = torch.where(no_bootstrap, 0.0, self._values(parameters, carry, state["obs"])[0].max())
            delta_after = reward + h["gamma"] * next_value - self._value_before(state, obs, transition.action)
            info |= self._diagnose(trace, delta, delta_after, hyper)
        state, action = self._act(self._turn(state, transition), noise)
        return state, action, info

    def _act(self, state: State, noise: Tensor) -> tuple[State, Tensor]:
        """Choose an action, and add its gradient to the trace at once.

        Until the transition has been learnt from, the network stays as it is: choosing, q(S, A) and its gradient take one
        evaluation together. What is carried is carried on at once, too.
        """
        obs, carry = state["obs"], self._carry(state, "q")
        values, pull_back, new_carry = vjp(  # type: ignore[misc]  # annotated without the third
            lambda parameters: self._values(parameters, carry, obs, track=True), state["q"], has_aux=True
        )
        state, action, exploring = self._choose(state, values, noise)
        (gradient,) = pull_back((torch.arange(values.shape[0]) == action).to(values.dtype))
        memory = state["optimizer"]
        if self.cut == "before_accumulation":
            memory = {**memory, "trace": reset_trace(memory["trace"], exploring)}
        memory = self._optimizer().accumulate(memory, gradient, self._trace_decay(state))
        before = {"q_before": carry} if "q_before" in state.get("carry", {}) else {}
        state = self._carry_on(state, q=new_carry, **before)
        return {**state, "optimizer": memory, "value": pick(values, action), "exploring": exploring}, action

    def _value_before(self, state: State, obs: Tensor, action: Tensor) -> Tensor:
        """Return q(S, A) from what was carried before S, []."""
        return pick(self._values(state["q"], self._carry(state, "q_before"), obs)[0], action)
