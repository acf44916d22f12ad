"""Stream SARSA against an independent implementation, against numbers worked by hand, and on probe environments."""

import dataclasses

import numpy as np
import pytest
import torch
from probes import BARE, Bandit, Chain, learn, transition
from reference_parts import outputs_of
from references import assert_all_fields_are_among, compare_action_values, linear_state, option_id

from algorithms.agent import Agent, Spaces, hyperparameters
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA

VECTOR = Spaces((5,), 3, discrete=True, time_feature=True)
MINATAR = Spaces((4, 10, 10), 6, discrete=True)
ATARI = Spaces((84, 84), 3, discrete=True, frames=4, obs_dtype="uint8")
# Exploration falls from 1 to 0.01 over 100 choices: within the comparison both kinds of choice occur.
SCHEDULE = {"schedule_steps": 2000.0}


# Against the reference ------------------------------------------------------------------------------------------------


def test_agent_equals_reference_with_the_default_hyperparameters():
    endings = compare_action_values(StreamSARSA(**SCHEDULE), VECTOR, 100, lost_life=0.1).endings
    assert min(endings.values()) > 3, "the stream must have held all kinds of endings"


def test_agent_equals_reference_that_never_sees_its_numbers():
    compare_action_values(StreamSARSA(**SCHEDULE, sparsity=0.0), VECTOR, 80, seed=1, take_over=False, tolerance=10)


@pytest.mark.parametrize("options", [{}, {"sparsity": 0.0, "first_action": "from_first_obs"}], ids=option_id)
def test_agent_equals_reference_on_minatar_images(options):
    agent = StreamSARSA(schedule_steps=600.0, **options)
    endings = compare_action_values(agent, MINATAR, 40, seed=3, truncation=0.15, lost_life=0.1).endings
    assert min(endings.values()) > 0


def test_agent_equals_reference_on_stacked_atari_frames_in_bytes():
    agent = StreamSARSA(schedule_steps=300.0, first_action="from_first_obs")
    endings = compare_action_values(agent, ATARI, 16, seed=1, termination=0.15, truncation=0.15, lost_life=0.2).endings
    assert min(endings.values()) > 0


OPTIONS = [
    {"normalized_layers": 1},
    {"first_action": "from_first_obs"},
    {"bootstrap_on_truncation": True},
    {"reset_trace_on_truncation": False},
    {"cut_reward_trace_on_truncation": False},
    {"bootstrap_on_truncation": True, "reset_trace_on_truncation": False, "cut_reward_trace_on_truncation": False},
    {"centered_reward_variance": False},
    {"optimizer": "adam", "alpha": 3e-3},
    {"optimizer": "sgd", "alpha": 3e-3},
    {"optimizer": "adaptive_obgd"},
    {"optimizer": "adaptive_obgd", "adaptive_bias_correction": False},
    {"layer_norm": False},
    {"normalize_obs": False},
    {"normalize_reward": False},
    {"sparsity": 0.0},
    {"same_inputs_for_all_units": True, "sparsity": 0.5},
    {"hidden": (12,)},
    {"gamma": 0.9, "lamda": 0.0},
    {"gamma": 0.7, "lamda": 0.5, "alpha": 0.02, "kappa": 1.3},
    {"epsilon_start": 0.8, "epsilon_end": 0.3, "exploration_fraction": 0.4, "schedule_steps": 60.0},
    {"diagnostics": True},
    {"torso": "paper"},  # is for images and changes nothing here
    {"activation": "tanh"},
    {"one_sample_prior": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=option_id)
def test_agent_equals_reference_with_option(options):
    compare_action_values(StreamSARSA(**{**SCHEDULE, **options}), VECTOR, 60, seed=2, lost_life=0.05)


def test_every_option_is_compared_with_the_reference():
    assert_all_fields_are_among(StreamSARSA, OPTIONS)


def test_defaults_are_those_of_stream_q():
    assert hyperparameters(StreamSARSA()) == hyperparameters(StreamQ())
    assert StreamSARSA().first_action == "from_terminal_obs"
    assert isinstance(StreamSARSA(), Agent)


# The next action ------------------------------------------------------------------------------------------------------
# q(x, a) = w_a x + b_a with w = (1, -1), b = 0: action 0 is the greedy one at x > 0 and action 1 below.

LINEAR = StreamSARSA(
    hidden=(),
    gamma=0.5,
    lamda=0.5,
    alpha=0.5,
    optimizer="sgd",
    normalize_obs=False,
    normalize_reward=False,
    epsilon_start=0.5,
    epsilon_end=0.5,
)
LINE = Spaces((1,), 2, discrete=True)
GREEDY, EXPLORE_0, EXPLORE_1 = torch.tensor([0.9, 0.0]), torch.tensor([0.1, 0.0]), torch.tensor([0.1, 0.7])


def begun(agent=LINEAR):
    """Return a learner that has chosen action 0 at x = 1."""
    state, action = agent.start(linear_state(agent, LINE, [[1.0], [-1.0]]), torch.ones(1).double(), GREEDY)
    assert action == 0
    return state


@pytest.mark.parametrize(
    ("next_obs", "noise", "action", "value"),
    [
        (2.0, GREEDY, 0, 2.0),
        (-2.0, GREEDY, 1, 2.0),
        (2.0, EXPLORE_1, 1, -2.0),
        (2.0, EXPLORE_0, 0, 2.0),
        (-2.0, EXPLORE_0, 0, -2.0),
    ],
)
def test_action_in_the_target_is_the_one_that_is_executed(next_obs, noise, action, value):
    _, chosen, info = LINEAR.step(begun(), transition([1.0], np.int64(0), 1.0, [next_obs]), noise)
    assert chosen == action
    assert info["td_error"] == 1 + 0.5 * value - 1


def test_next_action_is_chosen_by_the_values_from_before_the_update():
    # delta = -9 - 1 + q(1, A') / 2 turns q(1, .) around, and action 0 is taken once more all the same.
    after, action, info = LINEAR.step(begun(), transition([1.0], np.int64(0), -9.0, [1.0]), GREEDY)
    assert action == 0
    assert info["td_error"] == -9 + 0.5 - 1
    assert outputs_of(after["q"], [1.0], "q").argmax() == 1


@pytest.mark.parametrize("ending", [{"terminated": True}, {"truncated": True}])
def test_first_action_is_chosen_at_the_terminal_observation_as_in_the_code(ending):
    for terminal, expected in ((-3.0, 1), (3.0, 0)):
        moment = transition([1.0], np.int64(0), 1.0, [terminal], **ending, acting_obs=[-terminal])
        after, action, info = LINEAR.step(begun(), moment, GREEDY)
        assert action == expected
        assert info["td_error"] == 0
        assert after["obs"] == -terminal, "what is learnt from next is the value of that action at the first observation"


@pytest.mark.parametrize("ending", [{"terminated": True}, {"truncated": True}])
def test_first_action_is_chosen_at_the_first_observation_as_in_the_paper(ending):
    agent = dataclasses.replace(LINEAR, first_action="from_first_obs")
    for terminal, expected in ((-3.0, 0), (3.0, 1)):
        moment = transition([1.0], np.int64(0), 1.0, [terminal], **ending, acting_obs=[-terminal])
        after, action, info = agent.step(begun(agent), moment, GREEDY)
        assert action == expected
        assert info["td_error"] == 0
        assert after["obs"] == -terminal


@pytest.mark.parametrize("first_action", ["from_terminal_obs", "from_first_obs"])
def test_value_kept_at_a_time_limit_is_that_of_the_action_chosen_there(first_action):
    agent = dataclasses.replace(LINEAR, first_action=first_action, bootstrap_on_truncation=True)
    moment = transition([1.0], np.int64(0), 1.0, [2.0], truncated=True, acting_obs=[-2.0])
    _, action, info = agent.step(begun(agent), moment, GREEDY)
    assert info["td_error"] == 1 + 0.5 * 2.0 - 1, "q(2, 0), whichever action begins the next episode"
    assert action == (0 if first_action == "from_terminal_obs" else 1)


@pytest.mark.parametrize("first_action", ["from_terminal_obs", "from_first_obs"])
def test_after_a_lost_life_the_game_and_its_choice_go_on(first_action):
    # Terminal for the learner: no bootstrap, and an empty trace; but nothing was restarted.
    agent = dataclasses.replace(LINEAR, first_action=first_action)
    state = begun(agent)
    state, action, _ = agent.step(state, transition([1.0], np.int64(0), 1.0, [2.0]), GREEDY)
    lost = transition([2.0], np.int64(action), 1.0, [-3.0], terminated=True, restarted=False)
    before = outputs_of(state["q"], [2.0], "q")[0]
    state, action, info = agent.step(state, lost, GREEDY)
    assert info["td_error"] == 1 - before
    assert action == outputs_of(state["q"], [-3.0], "q").argmax() == 1
    assert state["obs"] == -3.0
    q0 = state["q"]["heads.q.weight"][0].clone()
    state, *_ = agent.step(state, transition([-3.0], np.int64(1), 5.0, [1.0]), GREEDY)
    assert torch.equal(state["q"]["heads.q.weight"][0], q0), "the trace of action 0 is gone"


# Probe environments ---------------------------------------------------------------------------------------------------
# Seeds 0..15, all of which must pass.

HALF_RANDOM = {"epsilon_start": 0.5, "epsilon_end": 0.5}


@pytest.mark.parametrize("sparsity", [0.0, 0.9], ids=["dense", "first_layer_all_zero"])
def test_probe_learns_the_rewards_of_both_arms_at_each_observation(sparsity):
    states, _ = learn(StreamSARSA(**{**BARE, **HALF_RANDOM, "sparsity": sparsity}), Bandit, 400)
    for state in states:
        for kind in range(2):
            np.testing.assert_allclose(outputs_of(state["q"], Bandit.show(kind), "q"), Bandit.rewards[kind], atol=0.01)


def test_probe_learns_the_values_of_the_exploring_policy_itself():
    # Greedy half of the time and random otherwise, it goes right three times out of four; its values are lower than those of
    # going right all the way. A' is drawn, so that single learners scatter around them.
    states, _ = learn(StreamSARSA(**{**BARE, **HALF_RANDOM, "gamma": Chain.gamma, "kappa": 10.0}), Chain, 1000)
    values = np.array([[outputs_of(state["q"], Chain.show(place), "q") for place in range(3)] for state in states])
    expected = Chain.values(right=0.75)
    assert np.abs(expected - Chain.values(right=1.0)).max() > 0.08
    np.testing.assert_allclose(values.mean(0), expected, atol=0.025)
    np.testing.assert_allclose(values, np.broadcast_to(expected, values.shape), atol=0.2)
