"""QRC(lambda): Q-learning with gradient corrections and a regularised second network, from a stream.

Source: streaming with real-time recurrent learning (arXiv:2605.24709), whose figures call it Q(lambda); the learner itself is
that of Elelimy et al. (2025). Beside the action values q(s, a; w) there is an estimate h(s, a; theta) of the TD error to be
expected. With delta = R + gamma max_a q(S', a) - q(S, A) and traces that decay by gamma lambda:

    z_q <- gamma lambda z_q + grad q,   z_h <- gamma lambda z_h + grad h,   z_b <- gamma lambda z_b + h
    w     <- w     + alpha   (delta z_q - h grad q - z_b grad delta)
    theta <- theta + alpha_h (delta z_h - h grad h - beta theta)

where grad delta goes through q(S', .) as well. All three traces are cut after the update from an episode's end or from an
action that was not the greedy one: the state says so in `cut`, and the next update begins them anew. What a recurrent cell
carries is forgotten at an episode's end alone.

Deviations of the paper's text from the official code, which is what stands here:
1. With `gradient="tbptt1"` grad delta spans two steps: q(S', .) is differentiated through what was carried from S.
2. Without the gradient correction (`gradient_correction`) what is left is Q(lambda) with its trace, which is ours: the code
   then keeps only the term -z_b grad delta. No experiment leaves it out.
3. For MemoryChain the paper's table has hidden layers of 64 units, the code of 128.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import vjp

from algorithms import settings
from algorithms.action_values import ActionValues
from algorithms.agent import Info, Spaces, State, Transition, as_float32, map_state
from algorithms.obgd import Parameters, accumulate_trace
from algorithms.perception import see
from algorithms.policies import pick


class QRC(ActionValues, settings.QRCSettings):
    """QRC(lambda)."""

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: two networks of one form, empty traces, empty statistics."""
        state = self._begin(spaces)
        for name in ("q", "h"):
            state = self._add_network(state, name, generator, {"q": spaces.action_size})
        state["q_trace"], state["h_trace"] = (map_state(torch.zeros_like, state[name]) for name in ("q", "h"))
        state["bias_trace"] = torch.zeros(())
        state["choices"] = torch.zeros((), dtype=torch.float64)
        state["exploring"] = torch.zeros((), dtype=torch.bool)
        state["cut"] = torch.zeros((), dtype=torch.bool)
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [*obs_shape], and choose the first action, []."""
        return self._act(see(state, obs, first=True), noise)

    def step(self, state: State, transition: Transition, noise: Tensor, form: str | None = None) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error and h(S, A)."""
        hyper = as_float32(state["hyper"])
        state, reward = self._scaled_reward(state, transition)
        obs, action = state["obs"], transition.action
        carries = {name: self._carry(state, name) for name in ("q", "h")}
        state = see(state, transition.next_obs)
        next_obs, no_bootstrap = state["obs"], self._no_bootstrap(transition)

        def value_and_delta(w: Parameters) -> tuple[tuple[Tensor, Tensor], State]:
            values, new_carry = self._values(w, carries["q"], obs, track=True)
            next_values, _ = self._values(w, new_carry, next_obs)
            value = pick(values, action)
            delta = reward + hyper["gamma"] * torch.where(no_bootstrap, 0.0, next_values.max()) - value
            return (value, delta), new_carry

        def expected_delta(theta: Parameters) -> tuple[Tensor, State]:
            values, new_carry = self._values(theta, carries["h"], obs, track=True)
            return pick(values, action), new_carry

        (value, delta), pull_back, q_carry = vjp(value_and_delta, state["q"], has_aux=True)  # type: ignore[misc]
        one, zero = torch.ones_like(value), torch.zeros_like(value)
        (q_gradient,) = pull_back((one, zero))
        h, pull_back_h, h_carry = vjp(expected_delta, state["h"], has_aux=True)  # type: ignore[misc]
        (h_gradient,) = pull_back_h(one)
        state, stale = self._staleness(state, {"q": q_carry, "h": h_carry}, form)

        # A trace that was cut decays to nothing at once; writing zeros over it would cost another pass over all of it.
        decay = torch.where(state["cut"], 0.0, self._trace_decay(state))
        q_trace = accumulate_trace(state["q_trace"], q_gradient, decay)
        h_trace = accumulate_trace(state["h_trace"], h_gradient, decay)
        bias_trace = decay * state["bias_trace"] + h
        q_change = {name: delta * z for name, z in q_trace.items()}
        if self.gradient_correction:
            (delta_gradient,) = pull_back((zero, one))
            q_change = {n: u - h * q_gradient[n] - bias_trace * delta_gradient[n] for n, u in q_change.items()}
        h_change = {n: delta * z - h * h_gradient[n] - hyper["beta"] * state["h"][n] for n, z in h_trace.items()}
        state = self._carry_on(state, q=q_carry, h=h_carry)
        state["q"] = _moved(state["q"], q_change, hyper["alpha"], hyper["max_norm"])
        state["h"] = _moved(state["h"], h_change, hyper["alpha_h"], hyper["max_norm"])

        state["q_trace"], state["h_trace"], state["bias_trace"] = q_trace, h_trace, bias_trace
        state["cut"] = self._episode_over(transition) | state["exploring"]
        state, next_action = self._act(self._turn(state, transition), noise)
        return state, next_action, {"td_error": delta, "expected_td_error": h, **stale}

    def _act(self, state: State, noise: Tensor) -> tuple[State, Tensor]:
        values, _ = self._values(state["q"], self._carry(state, "q"), state["obs"])
        state, action, exploring = self._choose(state, values, noise)
        return {**state, "exploring": exploring}, action


def _moved(parameters: Parameters, change: Parameters, alpha: Tensor, max_norm: Tensor) -> Parameters:
    """Return parameters + alpha * change, the change shortened to an L2 norm of `max_norm` unless that is 0."""
    square = sum((u.square().sum() for u in change.values()), start=torch.zeros(()))
    step = alpha * torch.where(max_norm > 0, (max_norm / torch.sqrt(square)).clamp(max=1.0), 1.0)
    return {name: p + step * change[name] for name, p in parameters.items()}
