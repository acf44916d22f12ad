"""What learners tell about their updates: against a second evaluation by the reference, by hand, and the theory's promise."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import ChoiceStream, RandomStream, generator, run_alone, same_bits, transition
from references import compare_action_values, compare_actor_critic, compare_prediction, linear_state

from algorithms.agent import Spaces
from algorithms.diagnostics import overshooting
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD

CHOICE = Spaces((4,), 3, discrete=True)
PREDICTION = Spaces((4,), 1, prediction=True)
LOUD = {"hidden": (12,), "diagnostics": True}
EXPLORING = {"epsilon_start": 0.4, "epsilon_end": 0.4}


# Against the reference ------------------------------------------------------------------------------------------------

CASES = {
    "q": (compare_action_values, StreamQ(**LOUD, **EXPLORING), CHOICE),
    "q_cut_before": (compare_action_values, StreamQ(**LOUD, **EXPLORING, cut="before_accumulation"), CHOICE),
    "sarsa": (compare_action_values, StreamSARSA(**LOUD, **EXPLORING, bootstrap_on_truncation=True), CHOICE),
    "td": (compare_prediction, StreamTD(**LOUD), PREDICTION),
    "ac": (compare_actor_critic, StreamAC(**LOUD), CHOICE),
    "ac_gaussian": (compare_actor_critic, StreamAC(**LOUD), Spaces((4,), 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_learner_tells_equals_a_second_evaluation_of_its_td_error(name):
    compare, agent, spaces = CASES[name]
    told = compare(agent, spaces, 50, seed=1, lost_life=0.1).told
    assert len(told) == 50
    assert all(moment["bound_active"] == 1 for moment in told[1:]), "with the defaults the bound is always at work"


@pytest.mark.parametrize("name", CASES)
def test_both_states_of_the_bound_occur_and_are_told_apart(name):
    compare, agent, spaces = CASES[name]
    options = {"normalize_reward": False}
    if isinstance(agent, StreamAC):
        options |= {"alpha_value": 0.02, "kappa_value": 1.5, "alpha_policy": 0.02}
    else:
        options |= {"alpha": 0.02, "kappa": 1.5}
    told = compare(dataclasses.replace(agent, **options), spaces, 50, seed=1).told
    for bound in ("bound_active", "actor_bound_active") if isinstance(agent, StreamAC) else ("bound_active",):
        assert {moment[bound] for moment in told} == {0, 1}


@pytest.mark.parametrize("name", CASES)
def test_other_optimisers_have_no_bound_and_may_overshoot(name):
    compare, agent, spaces = CASES[name]
    options = {"sparsity": 0.0, "lamda": 0.0, "gamma": 0.5, "normalize_reward": False, "optimizer": "sgd"}
    options |= {"alpha_value": 0.1, "alpha_policy": 0.01} if isinstance(agent, StreamAC) else {"alpha": 0.1}
    told = compare(dataclasses.replace(agent, **options), spaces, 40, seed=2).told
    assert {moment["overshoot"] for moment in told} == {0, 1}
    assert "bound_active" not in told[0]
    options |= {"alpha_value": 1e-3, "alpha_policy": 1e-3} if isinstance(agent, StreamAC) else {"alpha": 1e-3}
    for optimizer in ("adam", "adaptive_obgd"):
        told = compare(dataclasses.replace(agent, **options | {"optimizer": optimizer}), spaces, 12, seed=2).told
        assert "bound_active" not in told[0]
        assert "trace_norm" in told[0]


# By hand --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("delta", "after", "xi", "overshoot"),
    [
        (2.0, 1.0, 0.5, 0),
        (2.0, 0.0, 1.0, 0),
        (2.0, -1.0, 1.5, 1),
        (-2.0, 1.0, 1.5, 1),
        (-2.0, -3.0, -0.5, 0),
        (0.0, 1.0, 0.0, 0),
    ],
)
def test_effective_step_size_is_the_share_of_the_error_that_was_corrected(delta, after, xi, overshoot):
    told = overshooting(torch.tensor(float(delta)), torch.tensor(after))
    assert told == {"effective_step_size": xi, "overshoot": overshoot}


@pytest.mark.parametrize(
    ("optimizer", "xi", "overshoot"),
    # v(2) = w 2 + b = 0, and the target is 1. SGD: w = 2, b = 1, v(2) = 5. ObGD: a third and half of it, 5 / 6.
    [("sgd", 5.0, 1), ("obgd", 5 / 6, 0)],
)
def test_a_step_by_hand(optimizer, xi, overshoot):
    options = {"hidden": (), "optimizer": optimizer, "normalize_obs": False, "normalize_reward": False, "diagnostics": True}
    agent = StreamTD(**options)
    spaces = Spaces((1,), 1, prediction=True)
    state = agent.init(generator(0), spaces)
    state["v"] = {name: torch.zeros_like(p) for name, p in state["v"].items()}
    state, action = agent.start(state, torch.tensor([2.0]).double(), torch.zeros(1))
    _, _, info = agent.step(state, transition([2.0], action, 1.0, [7.0], terminated=True), torch.zeros(1))
    assert info["td_error"] == 1
    assert info["trace_norm"] == 3
    assert info["effective_step_size"].item() == pytest.approx(xi, rel=1e-6)
    assert info["overshoot"] == overshoot
    assert info.get("bound_active", 1) == 1


# What the theory promises ---------------------------------------------------------------------------------------------
# Section 3.2: where the values are linear in features between 0 and 1, no component of gamma x' - x is longer than 1, so that
# the bound keeps xi below 1 / kappa: never an overshoot for kappa > 1, however long the steps and the traces.

unit = st.floats(0, 1, width=32)
# Values here are below 50: so far may the float32 numbers of two TD errors be off.
ROUNDING = 1e-4
LINEAR = {"hidden": (), "normalize_obs": False, "normalize_reward": False, "diagnostics": True}


@pytest.mark.parametrize("name", ["td", "q", "sarsa"])
@settings(max_examples=60)
@given(
    stream=st.lists(st.tuples(unit, unit, unit, st.floats(-10, 10), st.floats(0, 0.999)), min_size=2, max_size=8),
    kappa=st.floats(1.01, 5),
    alpha=st.floats(0.01, 100),
    gamma=st.floats(0, 1),
    lamda=st.floats(0, 1),
)
def test_obgd_never_overshoots_on_linear_values(name, stream, kappa, alpha, gamma, lamda):
    agent = {
        "td": StreamTD(**LINEAR),
        "q": StreamQ(**LINEAR, epsilon_start=0.5, epsilon_end=0.5),
        "sarsa": StreamSARSA(**LINEAR, epsilon_start=0.5, epsilon_end=0.5),
    }[name]
    agent = dataclasses.replace(agent, kappa=kappa, alpha=alpha, gamma=gamma, lamda=lamda)
    spaces = Spaces((3,), 1, prediction=True) if name == "td" else Spaces((3,), 2, discrete=True)
    (noise_size,) = agent.noise(spaces).shape
    state = agent.init(generator(0), spaces) if name == "td" else linear_state(agent, spaces, [[3.0, -2, 1], [0.5, 1, -4]])
    *obs, _, u = stream[0]
    state, action = agent.start(state, torch.tensor(obs).double(), torch.full((noise_size,), u))
    for *next_obs, reward, u in stream[1:]:
        moment = transition(obs, action.numpy(), reward, next_obs)
        state, action, info = agent.step(state, moment, torch.full((noise_size,), u))
        obs = next_obs
        error, share = abs(info["td_error"].item()), info["effective_step_size"].item()
        assert share * error <= error / kappa + ROUNDING
        assert info["overshoot"] == 0 or abs(1 - share) * error <= ROUNDING


# Listening changes nothing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_diagnostics_change_no_bit_of_what_is_learnt(name):
    _, loud, spaces = CASES[name]
    runs = []
    for agent in (loud, dataclasses.replace(loud, diagnostics=False)):
        stream = RandomStream(spaces, 3, lost_life=0.1)
        if spaces.discrete or spaces.prediction:
            stream = ChoiceStream(spaces, 3, agent.noise(spaces).shape[0], lost_life=0.1)
        runs.append(list(run_alone(agent, spaces, stream, 25, agent.init(generator(3), spaces))))
    for (state, action, *_, info), (quiet_state, quiet_action, *_, quiet) in zip(*runs, strict=True):
        assert same_bits(state, quiet_state)
        assert same_bits(action.numpy(), quiet_action.numpy())
        assert all(same_bits(value.numpy(), info[key].numpy()) for key, value in quiet.items())
        assert "overshoot" in info
        assert "overshoot" not in quiet
    assert np.isfinite([info["trace_norm"] for *_, info in runs[0]]).all()
