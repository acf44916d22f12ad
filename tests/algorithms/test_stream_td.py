"""Stream TD against an independent implementation, against numbers worked by hand, and on a probe environment."""

import dataclasses

import numpy as np
import pytest
import torch
from probes import BARE, Cycle, generator, learn, transition
from reference_parts import outputs_of
from references import assert_all_fields_are_among, compare_prediction, option_id

from algorithms.agent import Agent, Spaces, hyperparameters
from algorithms.stream_td import StreamTD

SPACES = Spaces((7,), 1, prediction=True)
SMALL = {"hidden": (16, 16)}


# Against the reference ------------------------------------------------------------------------------------------------


def test_agent_equals_reference_with_the_default_hyperparameters():
    endings = compare_prediction(StreamTD(), SPACES, 60, lost_life=0.1).endings
    assert min(endings.values()) > 0, "the stream must have held all kinds of endings"


def test_agent_equals_reference_that_never_sees_its_numbers():
    compare_prediction(StreamTD(**SMALL, sparsity=0.0), SPACES, 80, seed=1, take_over=False, tolerance=10)


OPTIONS = [
    {"normalized_layers": 1},
    {"bootstrap_on_truncation": True},
    {"reset_trace_on_truncation": False},
    {"cut_reward_trace_on_truncation": False},
    {"centered_reward_variance": False},
    {"optimizer": "adam", "alpha": 3e-3},
    {"optimizer": "sgd", "alpha": 3e-3},
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
    {"gamma": 0.7, "lamda": 0.5, "alpha": 0.02, "kappa": 1.3},
    {"diagnostics": True},
    {"torso": "paper"},  # is for images and changes nothing here
    {"activation": "tanh"},
    {"one_sample_prior": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=option_id)
def test_agent_equals_reference_with_option(options):
    compare_prediction(StreamTD(**{**SMALL, **options}), SPACES, 60, seed=2, lost_life=0.05)


def test_agent_equals_reference_on_images_and_with_a_time_feature():
    compare_prediction(StreamTD(), Spaces((3, 10, 10), 1, prediction=True), 20)
    compare_prediction(StreamTD(**SMALL), dataclasses.replace(SPACES, time_feature=True), 40)


def test_every_option_is_compared_with_the_reference():
    assert_all_fields_are_among(StreamTD, OPTIONS)


def test_defaults_are_those_of_the_paper():
    values = {name: x.item() for name, x in hyperparameters(StreamTD()).items()}
    assert values == {"gamma": 0.99, "lamda": 0.8, "alpha": 1.0, "kappa": 2.0, "sparsity": 0.9}
    assert StreamTD().hidden == (128, 128)
    state = StreamTD().init(generator(0), SPACES)
    assert sum(p.numel() for p in state["v"].values()) == 7 * 128 + 128 + 128 * 128 + 128 + 128 + 1
    assert isinstance(StreamTD(), Agent)
    assert StreamTD.METRICS_EVERY == 1, "every prediction is kept"


# Predictions, by hand -------------------------------------------------------------------------------------------------

LINEAR = StreamTD(hidden=(), gamma=0.5, lamda=0.5, alpha=0.5, optimizer="sgd", normalize_obs=False, normalize_reward=False)
LINE = Spaces((1,), 1, prediction=True)
NOISE = torch.zeros(1)


def begun(agent, w=1.0):
    """Return a learner with v(x) = w x that has seen x = 1, and its prediction."""
    state = agent.init(generator(0), LINE)
    state["v"] = {"heads.value.weight": torch.tensor([[w]]), "heads.value.bias": torch.zeros(1)}
    return agent.start(state, torch.ones(1).double(), NOISE)


def test_prediction_is_of_the_new_observation_after_the_update_and_before_it_of_the_old():
    state, action = begun(LINEAR)
    assert action.tolist() == [1.0]
    state, action, info = LINEAR.step(state, transition([1.0], action, 1.0, [2.0]), NOISE)
    # delta = 1 + 2 / 2 - 1, along the gradient (1, 1): v(x) = 1.5 x + 0.5.
    assert [info[name].item() for name in ("td_error", "prediction_before", "prediction", "cumulant")] == [1.0, 1.0, 3.5, 1.0]
    assert action.tolist() == [3.5]
    state, action, info = LINEAR.step(state, transition([2.0], action, 0.0, [-1.0]), NOISE)
    # delta = 0 + (-1.0) / 2 - 3.5 = -4, along (2, 1) + (1, 1) / 4: v(x) = -3 x - 2.
    assert [info[name].item() for name in ("td_error", "prediction_before", "prediction", "cumulant")] == [-4.0, 3.5, 1.0, 0.0]


def test_predictions_are_in_units_of_the_raw_reward():
    # Traces of reward with gamma = 0: the rewards themselves, 1 and 5, whose deviation is sqrt(8).
    agent = dataclasses.replace(LINEAR, gamma=0.0, alpha=0.0, normalize_reward=True)
    state, action = begun(agent)
    assert action.tolist() == [1.0]
    state, _, first = agent.step(state, transition([1.0], action, 1.0, [2.0]), NOISE)
    assert (first["prediction_before"], first["prediction"]) == (1.0, 2.0)  # one reward: its deviation counts as 1
    _, action, second = agent.step(state, transition([2.0], action, 5.0, [3.0]), NOISE)
    assert second["cumulant"] == 5.0
    assert second["prediction_before"] == 2.0  # the scale that was known before this reward
    np.testing.assert_allclose(second["prediction"], 3 * np.sqrt(8), rtol=1e-6)
    np.testing.assert_allclose(second["td_error"], 5 / np.sqrt(8) - 2, rtol=1e-6)
    assert action[0] == second["prediction"]


@pytest.mark.parametrize("ending", [{"terminated": True}, {"truncated": True}])
def test_an_episode_that_ends_is_not_bootstrapped_from_and_leaves_no_trace(ending):
    state, action = begun(LINEAR)
    moment = transition([1.0], action, 3.0, [10.0], **ending, acting_obs=[0.0])
    state, _, info = LINEAR.step(state, moment, NOISE)
    assert info["td_error"] == 3 - 1
    w = state["v"]["heads.value.weight"].clone()
    state, _, info = LINEAR.step(state, transition([0.0], action, 7.0, [0.0]), NOISE)
    assert info["td_error"] != 0
    assert torch.equal(state["v"]["heads.value.weight"], w), "at x = 0 only the trace could have moved the weight"


# Probe environment ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lamda", [0.0, 0.8])
def test_probe_predicts_the_discounted_return_of_a_cycle(lamda):
    states, _ = learn(StreamTD(**{**BARE, "gamma": Cycle.gamma, "lamda": lamda}), Cycle, 300)
    for state in states:
        values = [outputs_of(state["v"], obs, "value")[0] for obs in np.eye(3)]
        np.testing.assert_allclose(values, Cycle.values(), atol=0.01)


def test_probe_predicts_the_return_in_its_own_units_when_everything_is_normalised():
    agent = StreamTD(**{**BARE, "normalize_obs": True, "normalize_reward": True, "gamma": Cycle.gamma})
    states, streams = learn(agent, Cycle, 600)
    for state, stream in zip(states, streams, strict=True):
        moment = transition(np.zeros(3), [0.0], Cycle.rewards[stream.place], np.eye(3)[(stream.place + 1) % 3])
        *_, info = agent.step(state, moment, NOISE)
        np.testing.assert_allclose(info["prediction_before"], Cycle.values()[stream.place], rtol=0.03)
        np.testing.assert_allclose(info["prediction"], Cycle.values()[(stream.place + 1) % 3], rtol=0.03)
