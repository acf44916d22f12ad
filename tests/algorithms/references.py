"""Second forms of the learners of action values and of predictions, and their comparison with the agents.

As in `probes`: written from the description of the algorithms, without code from `algorithms/`, in float64.
"""

import dataclasses
import inspect
import math

import numpy as np
import torch
from probes import (
    ChoiceStream,
    ReferenceNetwork,
    ReferenceOptimizer,
    ReferenceSenses,
    ReferenceStreamAC,
    SharedKernelLanes,
    drive_lanes,
    generator,
    run_alone,
    start_lanes,
)

from algorithms.hyperparameters import Torso


class ReferenceActionValues:
    """Stream Q(lambda) (`rule` "q") and Stream SARSA(lambda) ("sarsa") for one stream."""

    def __init__(
        self,
        state,
        spaces,
        rule,
        gamma=0.99,
        lamda=0.8,
        alpha=1.0,
        kappa=2.0,
        epsilon_start=1.0,
        epsilon_end=0.01,
        exploration_fraction=0.05,
        schedule_steps=500_000.0,
        layer_norm=True,
        normalize_obs=True,
        normalize_reward=True,
        optimizer="obgd",
        bootstrap_on_truncation=False,
        reset_trace_on_truncation=True,
        cut_reward_trace_on_truncation=True,
        centered_reward_variance=True,
        adaptive_bias_correction=True,
        activation="leaky_relu",
        one_sample_prior=False,
        cut="after_update",
        first_action="from_terminal_obs",
    ):
        self.rule, self.gamma, self.cut, self.first_action = rule, gamma, cut, first_action
        self.network = ReferenceNetwork(state["q"], layer_norm, activation)
        self.optimizer = ReferenceOptimizer(self.network, optimizer, alpha, kappa, gamma * lamda, adaptive_bias_correction)
        self.epsilons = (epsilon_start, epsilon_end, exploration_fraction * schedule_steps)
        self.bootstrap_on_truncation, self.reset_trace_on_truncation = bootstrap_on_truncation, reset_trace_on_truncation
        self.cut_reward_trace_on_truncation = cut_reward_trace_on_truncation
        scaling = (normalize_obs, normalize_reward, centered_reward_variance, one_sample_prior)
        self.senses = ReferenceSenses(spaces.time_feature, spaces.frames, gamma, *scaling)
        self.choices, self.obs, self.greedy = 0, None, True

    def take_over(self, state):
        """Go on from the parameters and moments of an agent's state, so that rounding differences do not build up."""
        self.optimizer.take_over(state["q"], state["optimizer"], trace=False)

    def start(self, obs, noise):
        self.obs = self.senses.look(obs, first=True)
        return self._choose(self.obs, noise)

    def step(self, action, reward, next_obs, terminated, truncated, acting_obs, noise, restarted=None):
        """Learn from (own last observation, action, reward, next_obs); return the next action and the TD error."""
        restarted = terminated or truncated if restarted is None else restarted
        reward = self.senses.scale(reward, terminated or (truncated and self.cut_reward_trace_on_truncation))
        next_obs = self.senses.look(next_obs)
        first_obs = self.senses.look(acting_obs, first=True) if restarted else None
        bootstrap = not (terminated or (truncated and not self.bootstrap_on_truncation))
        reset = terminated or (truncated and self.reset_trace_on_truncation)
        with torch.no_grad():
            next_values = self.network(next_obs)["q"]

        if self.rule == "sarsa":
            next_action = self._choose(next_obs, noise)
            next_value = next_values[next_action].item()
            if restarted and self.first_action == "from_first_obs":
                self.choices -= 1  # the same choice, made again elsewhere
                next_action = self._choose(first_obs, noise)
        else:
            next_value = next_values.max().item()
            if not self.greedy and self.cut == "before_accumulation":
                self.optimizer.empty()
            reset = reset or (not self.greedy and self.cut == "after_update")

        value = self.network(self.obs)["q"][action]
        delta = reward + self.gamma * (next_value if bootstrap else 0.0) - value.item()
        value.backward()
        self.optimizer.step(delta, reset)
        with torch.no_grad():
            next_values = self.network(next_obs)["q"]
            next_value = (next_values[next_action] if self.rule == "sarsa" else next_values.max()).item()
            value = self.network(self.obs)["q"][action].item()
        self.delta_after = reward + self.gamma * (next_value if bootstrap else 0.0) - value

        self.obs = first_obs if restarted else next_obs
        if self.rule == "q":
            next_action = self._choose(self.obs, noise)
        return next_action, delta

    def _choose(self, obs, noise):
        with torch.no_grad():
            values = self.network(obs)["q"].numpy()
        self.choices += 1
        start, end, length = self.epsilons
        epsilon = max(start + self.choices * (end - start) / length, end)
        best = int(np.argmax(values))
        action = math.floor(float(noise[1]) * len(values)) if float(noise[0]) < epsilon else best
        self.greedy = action == best
        return torch.tensor(action)


class ReferenceTD:
    """Stream TD(lambda) for one stream; what it returns is its prediction in units of the raw reward."""

    def __init__(
        self,
        state,
        spaces,
        gamma=0.99,
        lamda=0.8,
        alpha=1.0,
        kappa=2.0,
        layer_norm=True,
        normalize_obs=True,
        normalize_reward=True,
        optimizer="obgd",
        bootstrap_on_truncation=False,
        reset_trace_on_truncation=True,
        cut_reward_trace_on_truncation=True,
        centered_reward_variance=True,
        adaptive_bias_correction=True,
        activation="leaky_relu",
        one_sample_prior=False,
    ):
        self.gamma = gamma
        self.bootstrap_on_truncation, self.reset_trace_on_truncation = bootstrap_on_truncation, reset_trace_on_truncation
        self.cut_reward_trace_on_truncation = cut_reward_trace_on_truncation
        self.network = ReferenceNetwork(state["v"], layer_norm, activation)
        self.optimizer = ReferenceOptimizer(self.network, optimizer, alpha, kappa, gamma * lamda, adaptive_bias_correction)
        scaling = (normalize_obs, normalize_reward, centered_reward_variance, one_sample_prior)
        self.senses = ReferenceSenses(spaces.time_feature, spaces.frames, gamma, *scaling)
        self.obs = None

    def take_over(self, state):
        """Go on from the parameters and moments of an agent's state, so that rounding differences do not build up."""
        self.optimizer.take_over(state["v"], state["optimizer"], trace=False)

    def start(self, obs, noise):
        self.obs = self.senses.look(obs, first=True)
        return torch.tensor([self._prediction(self.obs)])

    def step(self, reward, next_obs, terminated, truncated, acting_obs, restarted=None):
        """Learn from (own last observation, reward, next_obs); return TD error, predictions after and before the step."""
        done = terminated or truncated
        before = self._prediction(self.obs)
        scaled = self.senses.scale(reward, terminated or (truncated and self.cut_reward_trace_on_truncation))
        bootstrap = not (terminated or (truncated and not self.bootstrap_on_truncation))
        reset = terminated or (truncated and self.reset_trace_on_truncation)
        next_obs = self.senses.look(next_obs)
        value = self.network(self.obs)["value"].squeeze()
        next_value = self.network(next_obs)["value"].item() if bootstrap else 0.0
        delta = scaled + self.gamma * next_value - value.item()
        value.backward()
        self.optimizer.step(delta, reset)
        with torch.no_grad():
            next_value = self.network(next_obs)["value"].item() if bootstrap else 0.0
            self.delta_after = scaled + self.gamma * next_value - self.network(self.obs)["value"].item()
        after = self._prediction(next_obs)
        restarted = done if restarted is None else restarted
        self.obs = self.senses.look(acting_obs, first=True) if restarted else next_obs
        return delta, after, before

    def _prediction(self, obs):
        with torch.no_grad():
            value = self.network(obs)["value"].item()
        return value * self.senses.deviation() if self.senses.normalize_reward else value


class Comparison:
    """Compare what an agent did with what a reference did, and count how episodes ended."""

    def __init__(self, tolerance):
        self.rtol = 3e-4 * tolerance
        self.endings = {"terminated": 0, "truncated": 0, "lost_life": 0}
        self.told = []

    def __call__(self, actual, expected, what, scale=1.0):
        expected = expected.detach() if torch.is_tensor(expected) else expected
        np.testing.assert_allclose(actual, expected, self.rtol, self.rtol * scale, err_msg=what)

    def parameters(self, actual, expected, before, when):
        """Compare parameters by how far they moved from `before`, in units of the longest move, to the rounding of float32.

        Without `before`, where both went their own ways, they are compared by their values.
        """
        if before is None:
            for name, p in expected.items():
                self(actual[name], p, f"{name}, {when}", 0.1)
            return
        moves = {name: (p.detach() - before[name]) for name, p in expected.items()}
        longest = max(float(move.abs().max()) for move in moves.values())
        for name, move in moves.items():
            own = actual[name].double() - before[name]
            np.testing.assert_allclose(own, move, 10 * self.rtol, self.rtol * longest + 1e-7, err_msg=f"{name}, {when}")

    def diagnostics(self, info, delta, delta_after, optimizers, when):
        """Compare what a learner tells about an update, where it tells, with TD errors and optimisers (by prefix)."""
        if "effective_step_size" not in info:
            return
        xi = (delta - delta_after) / delta
        rounding = 1e-5 / abs(delta)  # of a float32 difference, in units of delta
        np.testing.assert_allclose(info["effective_step_size"], xi, 3e-3, 3e-3 + rounding, err_msg=f"step size, {when}")
        if abs(delta_after) > 1e-4:
            assert info["overshoot"] == (delta * delta_after < 0), when
        names = {"td_error", "effective_step_size", "overshoot"}
        for prefix, optimizer in optimizers.items():
            np.testing.assert_allclose(info[f"{prefix}trace_norm"], optimizer.trace_norm, 3e-3, err_msg=f"{prefix}norm, {when}")
            names.add(f"{prefix}trace_norm")
            if optimizer.kind == "obgd":
                names.add(f"{prefix}bound_active")
                if abs(optimizer.bound - 1) > 1e-2:
                    assert info[f"{prefix}bound_active"] == (optimizer.bound > 1), when
        assert names == set(info) - {"prediction", "prediction_before", "cumulant"}
        self.told.append({name: value.item() for name, value in info.items()})

    def count(self, moment):
        self.endings["terminated"] += int(moment.terminated & moment.restarted)
        self.endings["truncated"] += int(moment.truncated)
        self.endings["lost_life"] += int(moment.terminated & ~moment.restarted)


def arguments(moment):
    """Return a transition as a reference wants it."""
    return {
        "reward": moment.reward.item(),
        "next_obs": moment.next_obs.numpy(),
        "terminated": moment.terminated.item(),
        "truncated": moment.truncated.item(),
        "restarted": moment.restarted.item(),
        "acting_obs": moment.acting_obs.numpy(),
    }


def known_options(reference, agent):
    """Return the fields of an agent that a reference has as options too."""
    names = inspect.signature(reference).parameters
    return {name: value for name, value in dataclasses.asdict(agent).items() if name in names}


def compare_action_values(agent, spaces, steps, seed=0, take_over=True, tolerance=1.0, **stream):
    """Run a learner of action values and its reference side by side; compare TD errors, actions and parameters.

    The reference goes on from the agent's parameters after each comparison unless `take_over` is off: LayerNorm over units
    that are nearly equal, as under sparse weights, blows rounding up. Its traces and statistics stay its own.
    """
    rule = "sarsa" if "SARSA" in type(agent).__name__ else "q"
    first = agent.init(generator(seed), spaces)
    reference = ReferenceActionValues(first, spaces, rule, **known_options(ReferenceActionValues, agent))
    twin = ChoiceStream(spaces, seed, 2, **stream)
    action = reference.start(twin.reset(), twin.noise())
    compare = Comparison(tolerance)
    explored = 0
    for n, (state, chosen, moment, noise, info) in enumerate(
        run_alone(agent, spaces, ChoiceStream(spaces, seed, 2, **stream), steps, first)
    ):
        when = f"step {n}"
        assert moment.action == action, when
        explored += not reference.greedy
        before = reference.optimizer.copy()
        action, delta = reference.step(moment.action, noise=noise.numpy(), **arguments(moment))
        compare(info["td_error"], delta, f"TD error, {when}")
        assert chosen == action, when
        compare.parameters(state["q"], reference.optimizer.parameters, before if take_over else None, when)
        compare.diagnostics(info, delta, reference.delta_after, {"": reference.optimizer}, when)
        compare.count(moment)
        if take_over:
            reference.take_over(state)
    assert 0 < explored < steps, "there must have been greedy and exploratory actions"
    return compare


def compare_prediction(agent, spaces, steps, seed=0, take_over=True, tolerance=1.0, **stream):
    """Run Stream TD and its reference side by side; compare TD errors, predictions and parameters."""
    first = agent.init(generator(seed), spaces)
    reference = ReferenceTD(first, spaces, **known_options(ReferenceTD, agent))
    twin = ChoiceStream(spaces, seed, 1, **stream)
    reference.start(twin.reset(), twin.noise())
    compare = Comparison(tolerance)
    for n, (state, action, moment, _, info) in enumerate(
        run_alone(agent, spaces, ChoiceStream(spaces, seed, 1, **stream), steps, first)
    ):
        when = f"step {n}"
        parameters = reference.optimizer.copy()
        delta, after, before = reference.step(**arguments(moment))
        compare(info["td_error"], delta, f"TD error, {when}")
        compare(info["prediction"], after, f"prediction, {when}")
        compare(info["prediction_before"], before, f"prediction before, {when}")
        assert info["cumulant"] == moment.reward
        assert action == info["prediction"]
        compare.parameters(state["v"], reference.optimizer.parameters, parameters if take_over else None, when)
        compare.diagnostics(info, delta, reference.delta_after, {"": reference.optimizer}, when)
        compare.count(moment)
        if take_over:
            reference.take_over(state)
    return compare


def option_id(options):
    """Name a test by the options that it tries."""
    return "-".join(f"{k}={v}" for k, v in options.items()) or "defaults"


def assert_all_fields_are_among(agent_class, options):
    """Check that a list of options leaves out none that the agent has; those about recurrence have tests of their own."""
    recurrence = {f.name for f in dataclasses.fields(Torso)} if issubclass(agent_class, Torso) else set()
    assert {name for tried in options for name in tried} == {f.name for f in dataclasses.fields(agent_class)} - recurrence


def linear_state(agent, spaces, weights):
    """Return the first state of an agent without hidden layers, with q(x, a) = weights[a] x."""
    state = agent.init(generator(0), spaces)
    parameters = {"heads.q.weight": torch.tensor(weights, dtype=torch.float32), "heads.q.bias": torch.zeros(spaces.action_size)}
    return {**state, "q": parameters}


# Everything visible and exact: no statistics, dense networks.
BARE = {"hidden": (16,), "normalize_obs": False, "normalize_reward": False, "sparsity": 0.0}
PROBE_LANES = 16


def learn(agent, environment, steps):
    """Let 16 learners with seeds of their own live in a probe environment; return their states and environments."""
    (noise_size,) = agent.noise(environment.spaces).shape
    states = [agent.init(generator(seed), environment.spaces) for seed in range(PROBE_LANES)]
    lanes = SharedKernelLanes(agent, environment.spaces, states, compiled=False)
    streams = [environment(seed, noise_size) for seed in range(PROBE_LANES)]
    start_lanes(lanes, streams)
    drive_lanes(lanes, streams, steps)
    return [lanes.state(i) for i in range(PROBE_LANES)], streams


def outputs_of(parameters, obs, head, layer_norm=True):
    """Return what a network gives at an observation as it sees it, float64 [size of the head]."""
    with torch.no_grad():
        return ReferenceNetwork(parameters, layer_norm)(torch.as_tensor(obs, dtype=torch.float64))[head].numpy()


def compare_actor_critic(agent, spaces, steps, seed=0, take_over=True, tolerance=1.0, **stream):
    """Run Stream AC with discrete actions and its reference side by side; compare TD errors, actions and parameters."""
    first = agent.init(generator(seed), spaces)
    options = known_options(ReferenceStreamAC, agent)
    reference = ReferenceStreamAC(first, spaces.time_feature, frames=spaces.frames, **options)
    optimizers = {"actor": reference.actor_optimizer, "critic": reference.critic_optimizer}
    twin = ChoiceStream(spaces, seed, 1, **stream)
    action = reference.start(twin.reset(), twin.noise())
    compare = Comparison(tolerance)
    taken = set()
    for n, (state, chosen, moment, noise, info) in enumerate(
        run_alone(agent, spaces, ChoiceStream(spaces, seed, 1, **stream), steps, first)
    ):
        when = f"step {n}"
        assert moment.action == action, when
        taken.add(action.item())
        before = {name: optimizer.copy() for name, optimizer in optimizers.items()}
        action, delta = reference.step(moment.action, noise=noise.numpy(), **arguments(moment))
        compare(info["td_error"], delta, f"TD error, {when}")
        assert chosen == action, when
        for name, optimizer in optimizers.items():
            compare.parameters(state[name], optimizer.parameters, before[name] if take_over else None, f"{name}, {when}")
        compare.diagnostics(info, delta, reference.delta_after, {"": optimizers["critic"], "actor_": optimizers["actor"]}, when)
        compare.count(moment)
        if take_over:
            reference.take_over(state)
    assert len(taken) > 1
    return compare
