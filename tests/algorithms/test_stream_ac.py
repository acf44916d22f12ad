"""Stream AC with continuous actions: against an independent implementation and on probe environments.

Single statements of the paper are in `test_stream_ac_statements`.
"""

import dataclasses
from typing import get_args

import pytest
import torch
from probes import (
    BARE,
    ConstantReward,
    DelayedReward,
    RandomStream,
    RewardIsAction,
    RewardIsObservation,
    RewardIsObservationAndAction,
    generator,
    learn,
    run_alone,
    same_bits,
)
from reference_parts import policy_of, value_of
from references import assert_all_fields_are_among, compare_actor_critic, option_id

from algorithms.agent import Agent, Spaces, hyperparameters, structure
from algorithms.settings import OptimizerName
from algorithms.stream_ac import StreamAC

SPACES = Spaces(obs_shape=(5,), action_size=2, time_feature=True)
SMALL = {"hidden": (16, 16)}


# Against the reference ------------------------------------------------------------------------------------------------


def test_agent_equals_reference_with_the_default_hyperparameters():
    endings = compare_actor_critic(StreamAC(), SPACES, 200, lost_life=0.05).endings
    assert min(endings.values()) > 0, "the stream must have held all kinds of endings"


@pytest.mark.parametrize("seed", [0, 1])
def test_agent_equals_reference_that_never_sees_its_numbers(seed):
    agent = StreamAC(**SMALL, sparsity=0.0)
    compare_actor_critic(agent, SPACES, 150, seed=seed, take_over=False, tolerance=10)


OPTIONS = [
    {"normalized_layers": 1},
    {"bootstrap_on_truncation": True},
    {"reset_trace_on_truncation": False},
    {"cut_reward_trace_on_truncation": False},
    {"bootstrap_on_truncation": True, "reset_trace_on_truncation": False, "cut_reward_trace_on_truncation": False},
    {"centered_reward_variance": False},
    {"optimizer": "adam", "alpha_policy": 1e-3, "alpha_value": 3e-3},
    {"optimizer": "sgd", "alpha_policy": 1e-3, "alpha_value": 3e-3},
    {"optimizer": "adaptive_obgd"},
    {"optimizer": "adaptive_obgd", "adaptive_bias_correction": False},
    {"layer_norm": False},
    {"normalize_obs": False},
    {"normalize_reward": False},
    {"normalize_obs": False, "normalize_reward": False},
    {"sparsity": 0.0},
    {"same_inputs_for_all_units": True, "sparsity": 0.5},
    {"hidden": (12,)},
    {"gamma": 0.9, "lamda": 0.0},
    {"gamma": 0.7, "lamda": 0.5, "kappa_policy": 5.0, "kappa_value": 1.3, "entropy": 0.3},
    {"alpha_policy": 0.003, "alpha_value": 0.01},
    {"diagnostics": True},
    {"torso": "paper"},  # is for images and changes nothing here
    {"activation": "tanh"},
    {"one_sample_prior": True},
    {"free_std": True},
    {"head_init": "orthogonal"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=option_id)
def test_agent_equals_reference_with_option(options):
    agent = StreamAC(**{**SMALL, **options})
    compare = compare_actor_critic(agent, SPACES, 100, seed=2, lost_life=0.05)
    assert len(compare.told) == (100 if agent.diagnostics else 0)


def test_agent_equals_reference_without_time_feature():
    compare_actor_critic(StreamAC(**SMALL), Spaces((4,), 3), 100, seed=3)


def test_every_option_is_compared_with_the_reference():
    assert_all_fields_are_among(StreamAC, OPTIONS)
    assert {options.get("optimizer", "obgd") for options in OPTIONS} == set(get_args(OptimizerName))


# Hyperparameters are part of the state --------------------------------------------------------------------------------

FLOATS = {
    "gamma": 0.6,
    "lamda": 0.3,
    "alpha_policy": 0.002,
    "alpha_value": 0.003,
    "kappa_policy": 9.0,
    "kappa_value": 5.0,
    "entropy": 0.4,
}


def test_float_fields_are_the_hyperparameters():
    defaults = {
        "gamma": 0.99,
        "lamda": 0.8,
        "alpha_policy": 1.0,
        "alpha_value": 1.0,
        "kappa_policy": 3.0,
        "kappa_value": 2.0,
        "entropy": 0.01,
        "sparsity": 0.9,
    }
    assert {name: x.item() for name, x in hyperparameters(StreamAC()).items()} == defaults
    assert {*FLOATS, "sparsity"} == set(defaults)
    assert isinstance(StreamAC(), Agent)


@pytest.mark.parametrize("optimizer", ["obgd", "adaptive_obgd", "adam"])
@pytest.mark.parametrize(("name", "value"), FLOATS.items())
def test_float_field_is_read_from_the_state_and_not_from_the_agent(name, value, optimizer):
    default = StreamAC(**SMALL, optimizer=optimizer)
    special = dataclasses.replace(default, **{name: value})
    assert structure(default) == structure(special)
    state = default.init(generator(0), SPACES)
    other_hyper = {**state, "hyper": {**state["hyper"], name: torch.tensor(value, dtype=torch.float64)}}

    def learnt(agent, state):
        stream = RandomStream(SPACES, 0)
        return list(run_alone(agent, SPACES, stream, 4, state))[-1][0]

    by_state, neither = learnt(default, other_hyper), learnt(default, state)
    by_field = learnt(special, special.init(generator(0), SPACES))
    assert same_bits(by_state, by_field)
    inert = optimizer == "adam" and name.startswith("kappa")
    rest = {key: x for key, x in neither.items() if key != "hyper"}
    assert same_bits({key: by_state[key] for key in rest}, rest) == inert


def test_structure_tells_apart_what_needs_other_code():
    base = StreamAC()
    for option in ({"layer_norm": False}, {"hidden": (8,)}, {"optimizer": "adam"}, {"centered_reward_variance": False}):
        assert structure(dataclasses.replace(base, **option)) != structure(base)
    assert structure(dataclasses.replace(base, gamma=0.1)) == structure(base)


# Probe environments ---------------------------------------------------------------------------------------------------
# Seeds 0..15, all of which must pass; when the tests were written, all of 0..63 did.

TINY = {**BARE, **SMALL}
LEFT, RIGHT = [-1.0, 1.0], [1.0, 1.0]


@pytest.mark.parametrize("sparsity", [0.0, 0.9], ids=["dense", "first_layer_all_zero"])
def test_probe_value_of_a_constant_reward(sparsity):
    states, _ = learn(StreamAC(**{**TINY, "sparsity": sparsity}), ConstantReward, 100)
    for state in states:
        assert value_of(state, [1.0, 0.0]) == pytest.approx(1.0, abs=0.01)


@pytest.mark.parametrize("sparsity", [0.0, 0.9], ids=["dense", "first_layer_all_zero"])
def test_probe_value_depends_on_the_observation(sparsity):
    states, _ = learn(StreamAC(**{**TINY, "sparsity": sparsity}), RewardIsObservation, 400)
    for state in states:
        assert value_of(state, RIGHT) == pytest.approx(1.0, abs=0.01)
        assert value_of(state, LEFT) == pytest.approx(-1.0, abs=0.01)


@pytest.mark.parametrize("lamda", [0.0, 0.8])
def test_probe_value_discounts_a_delayed_reward(lamda):
    states, _ = learn(StreamAC(**{**TINY, "gamma": 0.5, "lamda": lamda}), DelayedReward, 200)
    for state in states:
        assert value_of(state, [1.0, 0.0]) == pytest.approx(0.5, abs=0.01)
        assert value_of(state, [0.0, 1.0]) == pytest.approx(1.0, abs=0.01)


def test_probe_policy_finds_the_best_action():
    states, _ = learn(StreamAC(**TINY), RewardIsAction, 500)
    for state in states:
        policy = policy_of(state, [1.0, 0.0])
        assert policy.mean.item() == pytest.approx(0.5, abs=0.1)
        assert policy.stddev.item() < 0.25  # it started near softplus(0) = 0.69


def test_probe_policy_depends_on_the_observation():
    states, _ = learn(StreamAC(**TINY), RewardIsObservationAndAction, 1000)
    for state in states:
        assert policy_of(state, RIGHT).mean.item() == pytest.approx(0.5, abs=0.1)
        assert policy_of(state, LEFT).mean.item() == pytest.approx(-0.5, abs=0.1)


def test_probe_value_is_in_units_of_the_rewards_deviation_when_normalised():
    # Rewards of one-step episodes are their own traces, +1 or -1; their deviation is near 1 and known to the scaler.
    states, streams = learn(StreamAC(**{**TINY, "normalize_obs": True, "normalize_reward": True}), RewardIsObservation, 250)
    for state, stream in zip(states, streams, strict=True):
        scaler = state["reward_scaler"]
        deviation = (scaler["squares"] / (scaler["count"] - 1)).sqrt().item()
        assert 0.9 < deviation < 1.1
        assert value_of(state, state["obs"]) == pytest.approx(stream.sign / deviation, abs=0.05)
