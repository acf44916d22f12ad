"""Comparison of the learners with their second forms in `reference_learners`, step by step."""

import dataclasses
import inspect
import math
from fractions import Fraction

import numpy as np
import torch
from probes import ChoiceStream, RandomStream, generator, run_alone
from reference_learners import ReferenceActionValues, ReferenceStreamAC, ReferenceTD

from algorithms.settings import CellSettings


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

    def diagnostics(self, agent, info, delta, delta_after, optimizers, when):
        """Compare what a learner tells about an update, if it is to tell, with TD errors and optimisers (by prefix)."""
        names = {"td_error"}
        if agent.diagnostics:
            xi = (delta - delta_after) / delta
            rounding = 1e-5 / abs(delta)  # of a float32 difference, in units of delta
            np.testing.assert_allclose(info["effective_step_size"], xi, 3e-3, 3e-3 + rounding, err_msg=f"step size, {when}")
            assert info["overshoot"] == (delta * delta_after < 0) or abs(delta_after) < 1e-4, when
            names |= {"effective_step_size", "overshoot"}
            for prefix, optimizer in optimizers.items():
                norm = info[f"{prefix}trace_norm"]
                np.testing.assert_allclose(norm, optimizer.trace_norm, 3e-3, err_msg=f"{prefix}norm, {when}")
                names.add(f"{prefix}trace_norm")
                if optimizer.kind == "obgd":
                    active = info[f"{prefix}bound_active"]
                    assert active == (optimizer.bound > 1) or abs(optimizer.bound - 1) < 1e-2, when
                    names.add(f"{prefix}bound_active")
            self.told.append({name: value.item() for name, value in info.items()})
        assert names == set(info) - {"prediction", "prediction_before", "cumulant"}

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


def assert_begun_as_the_options_say(agent, parameters):
    """Check the first parameters of a network, which its second form takes over: sparsity, range, and biases of zero.

    Every unit has lost ceil(sparsity * inputs) of its incoming weights, each its own (official code), or
    floor(sparsity * inputs) of them, the same for all units of a layer (paper). The rest is no larger than 1 / sqrt(inputs).
    """
    alike = []
    for name, p in parameters.items():
        if p.ndim == 1:  # a bias, or the logarithm of a standard deviation of 1
            assert not p.any(), name
            continue
        if name.startswith("heads.") and getattr(agent, "head_init", "sparse") == "orthogonal":
            gain = 1.0 if name == "heads.value.weight" else 0.01
            np.testing.assert_allclose(p @ p.T, gain**2 * np.eye(len(p)), atol=1e-6 * gain**2)
            continue
        zero = p.flatten(1) == 0
        units, inputs = zero.shape
        share = Fraction(str(agent.sparsity)) * inputs
        lost = math.floor(share) if agent.same_inputs_for_all_units else math.ceil(share)
        assert (zero.sum(1) == lost).all(), name
        assert p.abs().max() <= 1 / math.sqrt(inputs), name
        if 0 < lost < inputs and units > 1:
            alike.append((zero == zero[0]).all().item())
    assert not alike or all(alike) == agent.same_inputs_for_all_units


def compare_action_values(agent, spaces, steps, seed=0, take_over=True, tolerance=1.0, **stream):
    """Run a learner of action values and its reference side by side; compare TD errors, actions and parameters.

    The reference goes on from the agent's parameters after each comparison unless `take_over` is off: LayerNorm over units
    that are nearly equal, as under sparse weights, blows rounding up. Its traces and statistics stay its own.
    """
    rule = "sarsa" if "SARSA" in type(agent).__name__ else "q"
    first = agent.init(generator(seed), spaces)
    assert_begun_as_the_options_say(agent, first["q"])
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
        compare.diagnostics(agent, info, delta, reference.delta_after, {"": reference.optimizer}, when)
        compare.count(moment)
        if take_over:
            reference.take_over(state)
    assert 0 < explored < steps, "there must have been greedy and exploratory actions"
    return compare


def compare_prediction(agent, spaces, steps, seed=0, take_over=True, tolerance=1.0, **stream):
    """Run Stream TD and its reference side by side; compare TD errors, predictions and parameters."""
    first = agent.init(generator(seed), spaces)
    assert_begun_as_the_options_say(agent, first["v"])
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
        compare.diagnostics(agent, info, delta, reference.delta_after, {"": reference.optimizer}, when)
        compare.count(moment)
        if take_over:
            reference.take_over(state)
    return compare


def compare_actor_critic(agent, spaces, steps, seed=0, take_over=True, tolerance=1.0, **stream):
    """Run Stream AC and its reference side by side; compare TD errors, actions, parameters and traces."""
    first = agent.init(generator(seed), spaces)
    for name in ("actor", "critic"):
        assert_begun_as_the_options_say(agent, first[name])
    options = known_options(ReferenceStreamAC, agent)
    reference = ReferenceStreamAC(first, spaces.time_feature, frames=spaces.frames, **options)
    optimizers = {"actor": reference.actor_optimizer, "critic": reference.critic_optimizer}
    own, twin = (
        ChoiceStream(spaces, seed, 1, **stream) if spaces.discrete else RandomStream(spaces, seed, **stream) for _ in range(2)
    )
    action = reference.start(twin.reset(), torch.tensor(twin.noise()))
    compare = Comparison(tolerance)
    taken = set()
    for n, (state, chosen, moment, noise, info) in enumerate(run_alone(agent, spaces, own, steps, first)):
        when = f"step {n}"
        if n == 0:
            compare(moment.action, action, "first action")
        taken.add(tuple(moment.action.flatten().tolist()))
        before = {name: optimizer.copy() for name, optimizer in optimizers.items()}
        action, delta = reference.step(moment.action, noise=noise, **arguments(moment))
        compare(info["td_error"], delta, f"TD error, {when}")
        compare(chosen, action, f"action, {when}")
        for name, optimizer in optimizers.items():
            compare.parameters(state[name], optimizer.parameters, before[name] if take_over else None, f"{name}, {when}")
            largest = max(float(z.abs().max()) for z in optimizer.trace.values())
            for key, z in state[f"{name}_optimizer"]["trace"].items():
                compare(z, optimizer.trace[key], f"{name} trace of {key}, {when}", largest)
        pair = {"": optimizers["critic"], "actor_": optimizers["actor"]}
        compare.diagnostics(agent, info, delta, reference.delta_after, pair, when)
        compare.count(moment)
        if take_over:
            reference.take_over(state)
    assert len(taken) > 1
    return compare


def option_id(options):
    """Name a test by the options that it tries."""
    return "-".join(f"{k}={v}" for k, v in options.items()) or "defaults"


def assert_all_fields_are_among(agent_class, options):
    """Check that a list of options leaves out none that the agent has; those of a recurrent cell have tests of their own."""
    of_the_cell = {f.name for f in dataclasses.fields(CellSettings)} if issubclass(agent_class, CellSettings) else set()
    assert {name for tried in options for name in tried} == {f.name for f in dataclasses.fields(agent_class)} - of_the_cell


def linear_state(agent, spaces, weights):
    """Return the first state of an agent without hidden layers, with q(x, a) = weights[a] x."""
    state = agent.init(generator(0), spaces)
    parameters = {"heads.q.weight": torch.tensor(weights, dtype=torch.float32), "heads.q.bias": torch.zeros(spaces.action_size)}
    return {**state, "q": parameters}
