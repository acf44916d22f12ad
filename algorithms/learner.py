"""What the stream-x learners share: how each of them is begun, rewarded and ended.

Source: Stream-X (arXiv:2410.14606), section 3 and appendix F: one set of hyperparameters for all tasks.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from algorithms import agent, settings
from algorithms.agent import Info, Spaces, State, Transition
from algorithms.networks import apply, init_parameters, network
from algorithms.normalization import init_reward_scaler, scale_reward
from algorithms.obgd import Parameters, TraceOptimizer
from algorithms.optimizers import make_optimizer
from algorithms.perception import init_perception, see_acting
from algorithms.recurrent_network import RecurrentNetwork, recurrent_network, reset_carry, staleness


class Learner(settings.LearnerSettings):
    """What every streaming learner does with its hyperparameters.

    A network with a recurrent cell carries something from one observation to the next: `state["carry"]` holds it for each
    network by name, as it was before the observation in `state["obs"]` or after it, as the learner says. Without a recurrent
    cell a carry is an empty dict, and the state has none.
    """

    def _begin(self, spaces: Spaces) -> State:
        """Return the part of a fresh state that all learners have: nothing seen, nothing scaled."""
        perception = init_perception(spaces, self.normalize_obs, self.one_sample_prior)
        state: State = {"hyper": agent.hyperparameters(self), **perception}
        if self.normalize_reward:
            state["reward_scaler"] = init_reward_scaler(self.one_sample_prior)
        return state

    def _add_network(self, state: State, name: str, generator: torch.Generator, heads: Mapping[str, int]) -> State:
        """Return the state with fresh parameters of a network that sees what the learner sees, and with its carry."""
        net = self._recurrent(state["obs"], heads)
        if net is None:
            feedforward = self._network(state["obs"], heads)
            return {**state, name: init_parameters(feedforward, generator, self.sparsity, self.same_inputs_for_all_units)}
        parameters = net.init_parameters(generator, self.sparsity, self.same_inputs_for_all_units)
        if self._staleness_window():
            state = {**state, "staleness": {**state.get("staleness", {}), name: torch.zeros(())}}
        return {**state, name: parameters, "carry": {**state.get("carry", {}), name: net.init_carry(parameters)}}

    def _evaluate(
        self, parameters: Parameters, carry: State, obs: Tensor, heads: Mapping[str, int], track: bool = False
    ) -> tuple[Parameters, State]:
        """Return what the heads say at an observation, {head: [size]}, and the carry after it.

        Args:
            parameters: those of one network.
            carry: what that network carried before the observation.
            obs: as the network sees it.
            heads: names of its heads and their sizes.
            track: the gradient by the parameters will be asked for.
        """
        net = self._recurrent(obs, heads)
        if net is None:
            return apply(self._network(obs, heads), parameters, obs), carry
        return net.evaluate(parameters, carry, obs, track)

    def _recurrent(self, obs: Tensor, heads: Mapping[str, int]) -> RecurrentNetwork | None:
        """Return the network if it has a recurrent cell."""
        if not isinstance(self, settings.CellSettings) or self.cell == "none":
            return None
        shape, norms = tuple(obs.shape), self.normalized_layers
        return recurrent_network(shape, self.hidden, heads, self.layer_norm, self.activation, self, norms)

    def _carry(self, state: State, name: str) -> State:
        """Return what a network carries."""
        return state["carry"][name] if "carry" in state else {}

    def _carry_on(self, state: State, **carries: State) -> State:
        """Return the state with new carries of some networks."""
        return {**state, "carry": {**state["carry"], **carries}} if "carry" in state else state

    def _turn(self, state: State, transition: Transition) -> State:
        """Turn to the observation to act on. Where the environment was restarted, all that was carried is forgotten."""
        state = see_acting(state, transition.acting_obs, transition.restarted)
        if "carry" not in state:
            return state
        return {**state, "carry": reset_carry(state["carry"], transition.restarted)}

    def form(self, steps: int) -> str | None:
        """Return the form of the step after so many: one in which staleness is told, or the only one (`agent.Varying`)."""
        window = self._staleness_window()
        return "staleness" if window and (steps + 1) % window == 0 else None

    def _staleness_window(self) -> int:
        return self.staleness_window if isinstance(self, settings.CellSettings) else 0

    def _staleness(self, state: State, carries: Mapping[str, State], form: str | None) -> tuple[State, Info]:
        """Return the state, and what it tells of how stale sensitivities were when last looked at, by network.

        Args:
            state: before the update of the step.
            carries: what networks carry after the observation that is learnt from, by name.
            form: that of the step.
        """
        if not isinstance(self, settings.CellSettings) or not self.staleness_window:
            return state, {}
        told = state["staleness"]
        if form == "staleness":
            told = {name: staleness(self, state[name], carry) for name, carry in carries.items()}
        return {**state, "staleness": told}, {f"{name}_staleness": value for name, value in told.items()}

    def _network(self, obs: Tensor, heads: Mapping[str, int]) -> nn.Module:
        """Return the network without a cell for an observation as the learner sees it, and without parameters of its own."""
        shape, norms = tuple(obs.shape), self.normalized_layers
        return network(shape, self.hidden, heads, self.layer_norm, self.torso, self.activation, norms)

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


class StreamLearner(Learner, settings.StreamLearnerSettings):
    """What every stream-x learner does with its trace and its optimiser."""

    def _optimizer(self) -> TraceOptimizer:
        return make_optimizer(self.optimizer, self.adaptive_bias_correction)
