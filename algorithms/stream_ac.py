"""Stream AC(lambda): actor-critic from a stream, for continuous and for discrete actions.

Source: Stream-X (arXiv:2410.14606), Algorithm 7 with Algorithms 1-6; entropy term of appendix E. One moment (S, A, R, S')
is learnt from once and forgotten. Actor and critic are separate networks, each with its own trace and its own bounded step.

Deviations of the paper's text from the official code, each an option whose default is the code:
1. A time limit ends the episode like a terminal state (`bootstrap_on_truncation`, `reset_trace_on_truncation`,
   `cut_reward_trace_on_truncation`); the paper's T is a terminal state and does not spell truncation out.
2. The variance that scales the reward is centred (`centered_reward_variance`); the paper fixes its mean at 0.
3. SparseInit drops other inputs for each unit (`same_inputs_for_all_units`); the paper draws one set per layer.
4. Actions are clipped to the bounds of the environment, not to [-1, 1]: an option of the environment, not of the learner.
5. `lamda` is 0.8 as in all experiments; the paper's boxes show 0.9.
6. After the convolutions of an image the code has one layer, the paper's text lists two (`torso`).

For discrete actions there is code, and no experiment in the paper. On vectors (classic control) that code has networks of
32-32, which is `hidden=[32, 32]` here: the default is that of the experiments, 128-128. It has episodes of 10,000 steps there,
which is `time_limit=10000` of the environment. Atari: see `algorithms.stream_q`.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import grad, grad_and_value

from algorithms import settings
from algorithms.agent import Info, NoiseSpec, Spaces, State, Transition, as_float32
from algorithms.diagnostics import bounding, overshooting
from algorithms.learner import StreamLearner
from algorithms.obgd import Parameters
from algorithms.perception import see
from algorithms.policies import Policy, policy_for

# Of an orthogonal head of the actor, as in the code of arXiv:2605.24709: the first policy is nearly the same whatever is seen.
ACTOR_GAIN = 0.01


class StreamAC(StreamLearner, settings.StreamACSettings):
    """Stream AC(lambda)."""

    def noise(self, spaces: Spaces) -> NoiseSpec:
        """What the policy needs: normal numbers for a vector, a uniform one for a choice."""
        return policy_for(spaces.discrete).noise(spaces.action_size)

    def init(self, generator: torch.Generator, spaces: Spaces) -> State:
        """Make a learner that has seen nothing: sparse networks, empty traces, empty statistics."""
        state = self._begin(spaces)
        actor_heads = policy_for(spaces.discrete).heads(spaces.action_size)
        free_std = self.free_std and not spaces.discrete
        if free_std:
            del actor_heads["std"]
        for name, heads in (("actor", actor_heads), ("critic", {"value": 1})):
            state = self._add_network(state, name, generator, heads)
            if self.head_init == "orthogonal":
                for head in heads:
                    gain = ACTOR_GAIN if name == "actor" else 1.0
                    torch.nn.init.orthogonal_(state[name][f"heads.{head}.weight"], gain, generator=generator)
            if free_std and name == "actor":
                state[name]["log_std"] = torch.zeros(spaces.action_size)
            state[f"{name}_optimizer"] = self._optimizer().init(state[name])
        return state

    def start(self, state: State, obs: Tensor, noise: Tensor) -> tuple[State, Tensor]:
        """See the first observation of all, [*obs_shape], and choose the first action."""
        state = see(state, obs, first=True)
        return state, self._act(state, noise)

    def step(self, state: State, transition: Transition, noise: Tensor, form: str | None = None) -> tuple[State, Tensor, Info]:
        """Learn from one transition and choose the next action; `info` holds the TD error."""
        h = as_float32(state["hyper"])
        state, reward = self._scaled_reward(state, transition)
        obs = state["obs"]  # standardised when it was seen, with the statistics of that time
        actor_carry, critic_carry = self._carry(state, "actor"), self._carry(state, "critic")
        state = see(state, transition.next_obs)

        no_bootstrap, over = self._no_bootstrap(transition), self._episode_over(transition)
        value_gradient, (value, new_critic_carry) = grad_and_value(self._value, has_aux=True)(
            state["critic"], critic_carry, obs, track=True
        )
        next_value = torch.where(no_bootstrap, 0.0, self._value(state["critic"], new_critic_carry, state["obs"])[0])
        delta = reward + h["gamma"] * next_value - value  # Alg. 7: delta = R + gamma v(S') - v(S)
        policy_gradient, new_actor_carry = grad(self._policy_objective, has_aux=True)(
            state["actor"], actor_carry, obs, transition.action, delta, h["entropy"]
        )
        state, stale = self._staleness(state, {"actor": new_actor_carry, "critic": new_critic_carry}, form)

        optimizer, trace_decay = self._optimizer(), self._trace_decay(state)
        actor_hyper = {"alpha": h["alpha_policy"], "kappa": h["kappa_policy"]}
        critic_hyper = {"alpha": h["alpha_value"], "kappa": h["kappa_value"]}
        actor_optimizer = optimizer.accumulate(state["actor_optimizer"], policy_gradient, trace_decay)
        critic_optimizer = optimizer.accumulate(state["critic_optimizer"], value_gradient, trace_decay)
        state["actor_optimizer"], state["actor"] = optimizer.apply(actor_optimizer, state["actor"], delta, over, actor_hyper)
        state["critic_optimizer"], state["critic"] = optimizer.apply(
            critic_optimizer, state["critic"], delta, over, critic_hyper
        )

        info = {"td_error": delta, **stale}
        if self.diagnostics:
            next_value = torch.where(no_bootstrap, 0.0, self._value(state["critic"], new_critic_carry, state["obs"])[0])
            info |= overshooting(delta, reward + h["gamma"] * next_value - self._value(state["critic"], critic_carry, obs)[0])
            bounded = self.optimizer == "obgd"
            info |= bounding(critic_optimizer["trace"], delta, critic_hyper, bounded)
            info |= bounding(actor_optimizer["trace"], delta, actor_hyper, bounded, "actor_")

        state = self._turn(self._carry_on(state, actor=new_actor_carry, critic=new_critic_carry), transition)
        return state, self._act(state, noise), info

    def _act(self, state: State, noise: Tensor) -> Tensor:
        policy, parameters, _ = self._policy(state["actor"], self._carry(state, "actor"), state["obs"])
        return policy.sample(parameters, noise)

    def _policy(self, actor: Parameters, carry: State, obs: Tensor, track: bool = False) -> tuple[Policy, Parameters, State]:
        """Return the kind of policy that the actor's heads are made for, its parameters at an observation, and the carry."""
        sizes = {name.split(".")[1]: p.shape[0] for name, p in actor.items() if name.startswith("heads.") and "bias" in name}
        own = {name: actor[name] for name in ("log_std",) if name in actor}
        heads, carry = self._evaluate({n: p for n, p in actor.items() if n not in own}, carry, obs, sizes, track)
        heads |= own
        policy = policy_for(discrete="logits" in heads)
        return policy, policy.parameters(heads), carry

    def _value(self, critic: Parameters, carry: State, obs: Tensor, track: bool = False) -> tuple[Tensor, State]:
        heads, carry = self._evaluate(critic, carry, obs, {"value": 1}, track)
        return heads["value"][0], carry

    def _policy_objective(
        self, actor: Parameters, carry: State, obs: Tensor, action: Tensor, delta: Tensor, entropy: Tensor
    ) -> tuple[Tensor, State]:
        # The sign of delta makes the entropy push outwards whichever way the trace is later followed (appendix E).
        policy, parameters, carry = self._policy(actor, carry, obs, track=True)
        objective = policy.log_prob(parameters, action) + entropy * torch.sign(delta) * policy.entropy(parameters)
        return objective, carry
