"""Stream Q against an independent implementation, against numbers worked by hand, and on probe environments."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import BARE, Bandit, Chain, learn, transition
from reference_parts import outputs_of
from references import assert_all_fields_are_among, compare_action_values, linear_state, option_id

from algorithms.agent import Agent, Spaces, hyperparameters
from algorithms.stream_q import StreamQ

VECTOR = Spaces((5,), 3, discrete=True, time_feature=True)
MINATAR = Spaces((4, 10, 10), 6, discrete=True)
ATARI = Spaces((84, 84), 3, discrete=True, frames=4, obs_dtype="uint8")
# Exploration falls from 1 to 0.01 over 100 choices: within the comparison both kinds of choice occur.
SCHEDULE = {"schedule_steps": 2000.0}


# Against the reference ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spaces", [VECTOR, Spaces((4,), 2, discrete=True)], ids=["time_feature", "plain"])
def test_agent_equals_reference_with_the_default_hyperparameters(spaces):
    endings = compare_action_values(StreamQ(**SCHEDULE), spaces, 100, lost_life=0.1).endings
    assert min(endings.values()) > 3, "the stream must have held all kinds of endings"


def test_agent_equals_reference_that_never_sees_its_numbers():
    compare_action_values(StreamQ(**SCHEDULE, sparsity=0.0), VECTOR, 80, seed=1, take_over=False, tolerance=10)


@pytest.mark.parametrize(
    "options",
    [{}, {"sparsity": 0.0, "cut": "before_accumulation"}, {"normalize_obs": False, "layer_norm": False}, {"torso": "paper"}],
    ids=option_id,
)
def test_agent_equals_reference_on_minatar_images(options):
    agent = StreamQ(schedule_steps=600.0, **options)
    endings = compare_action_values(agent, MINATAR, 40, seed=3, truncation=0.15, lost_life=0.1).endings
    assert min(endings.values()) > 0


def test_agent_equals_reference_on_stacked_atari_frames_in_bytes():
    agent = StreamQ(schedule_steps=300.0, bootstrap_on_truncation=True)
    endings = compare_action_values(agent, ATARI, 16, seed=1, termination=0.15, truncation=0.15, lost_life=0.2).endings
    assert min(endings.values()) > 0


OPTIONS = [
    {"normalized_layers": 1},
    {"cut": "before_accumulation"},
    {"cut": "never"},
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
    compare_action_values(StreamQ(**{**SCHEDULE, **options}), VECTOR, 60, seed=2, lost_life=0.05)


def test_every_option_is_compared_with_the_reference():
    assert_all_fields_are_among(StreamQ, OPTIONS)


# Hyperparameters ------------------------------------------------------------------------------------------------------


def test_defaults_are_those_of_the_code():
    values = {name: x.item() for name, x in hyperparameters(StreamQ()).items()}
    assert values == {
        "gamma": 0.99,
        "lamda": 0.8,
        "alpha": 1.0,
        "kappa": 2.0,
        "epsilon_start": 1.0,
        "epsilon_end": 0.01,
        "exploration_fraction": 0.05,
        "schedule_steps": 500_000.0,
        "sparsity": 0.9,
    }
    agent = StreamQ()
    assert (agent.cut, agent.optimizer, agent.hidden) == ("after_update", "obgd", (32, 32))
    assert agent.layer_norm
    assert agent.normalize_obs
    assert agent.normalize_reward
    assert not agent.bootstrap_on_truncation
    assert isinstance(agent, Agent)


# Watkins's cut, by hand -----------------------------------------------------------------------------------------------
# q(x, a) = w_a x + b_a with w = (1, 0), b = (0, 0) to begin with; gamma = lambda = alpha = 1/2 without a bound, so that all
# numbers are exact.

LINEAR = StreamQ(
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


def watkins(cut, second_choice=EXPLORE_1):
    """Go through three steps; return the actions, and after every step the TD error, w and b."""
    agent = dataclasses.replace(LINEAR, cut=cut)
    state, action = agent.start(linear_state(agent, LINE, [[1.0], [0.0]]), torch.tensor([1.0]).double(), GREEDY)
    actions, results = [action.item()], []
    for obs, reward, next_obs, end, noise in (
        (1, 1, 2, False, second_choice),
        (2, 2, 1, False, GREEDY),
        (1, 0, 0, True, GREEDY),
    ):
        state, action, info = agent.step(state, transition([obs], np.int64(action), reward, [next_obs], end), noise)
        actions.append(action.item())
        w, b = (state["q"][f"heads.q.{part}"].flatten().tolist() for part in ("weight", "bias"))
        results.append((info["td_error"].item(), w, b))
    return actions[:3], results


def test_cut_after_the_update_as_in_the_code():
    actions, (first, second, third) = watkins("after_update")
    assert actions == [0, 1, 1]  # greedy; tried although q(2, .) = (3.5, 0); greedy, since q(1, .) = (2.75, 4.5)
    # delta = 1 + max(2, 0) / 2 - 1, along the gradient (1, 1) of action 0.
    assert first == (1.0, [1.5, 0.0], [0.5, 0.0])
    # delta = 2 + max(2, 0) / 2 - 0: a quarter of the old trace moves action 0 along, and then all is forgotten.
    assert second == (3.0, [1.875, 3.0], [0.875, 1.5])
    # delta = 0 - 4.5, along (1, 1) of action 1 alone.
    assert third == (-4.5, [1.875, 0.75], [0.875, -0.75])


def test_cut_before_accumulation_as_in_the_paper():
    actions, (first, second, third) = watkins("before_accumulation")
    assert actions == [0, 1, 1]
    assert first == (1.0, [1.5, 0.0], [0.5, 0.0])
    # The action was not greedy: what came before it does not learn from it, but it stays in the trace itself.
    assert second == (3.0, [1.5, 3.0], [0.5, 1.5])
    # delta = 0 - 4.5, along (1, 1) + (2, 1) / 4.
    assert third == (-4.5, [1.5, -0.375], [0.5, -1.3125])


def test_no_cut_lets_what_came_before_learn_from_what_was_only_tried():
    actions, (first, second, third) = watkins("never")
    assert actions == [0, 1, 1]
    assert first == (1.0, [1.5, 0.0], [0.5, 0.0])
    assert second == (3.0, [1.875, 3.0], [0.875, 1.5])
    # delta = 0 - 4.5, along (1, 1) / 16 of action 0 and (1, 1) + (2, 1) / 4 of action 1.
    assert third == (-4.5, [1.734375, -0.375], [0.734375, -1.3125])


@pytest.mark.parametrize("cut", ["after_update", "before_accumulation", "never"])
def test_random_draw_that_hits_the_greedy_action_cuts_nothing(cut):
    by_chance, by_choice = watkins(cut, EXPLORE_0), watkins(cut, GREEDY)
    assert by_chance == by_choice
    actions, (_, second, third) = by_chance
    assert actions == [0, 0, 0]
    # delta = 2 + 2 / 2 - 3.5, along (2, 1) + (1, 1) / 4.
    assert second == (-0.5, [0.9375, 0.0], [0.1875, 0.0])
    # delta = 0 - 1.125, along (1, 1) + (2.25, 1.25) / 4.
    assert third == (-1.125, [0.05859375, 0.0], [-0.55078125, 0.0])


# Choosing -------------------------------------------------------------------------------------------------------------


def explores(agent, state, u):
    """Return whether a learner at x = 1, where action 0 is the greedy one, would try action 1 at noise u."""
    moment = transition([1.0], np.int64(0), 0.0, [1.0])
    noise = torch.tensor([u, 0.99], dtype=torch.float32)
    after, action, _ = agent.step(state, moment, noise)
    return after, bool(action == 1)


def test_epsilon_falls_from_one_to_its_end_over_the_fraction_of_the_schedule():
    # alpha 0: nothing is learnt. f T = 8: epsilon_t = max(1 - 0.99 t / 8, 0.01), t = 1 at the very first choice of all.
    agent = dataclasses.replace(
        LINEAR, alpha=0.0, epsilon_start=1.0, epsilon_end=0.01, exploration_fraction=0.1, schedule_steps=80.0
    )
    first = linear_state(agent, LINE, [[1.0], [0.0]])
    for margin, explored in ((-1e-4, 1), (1e-4, 0)):
        _, action = agent.start(first, torch.ones(1).double(), torch.tensor([1 - 0.99 / 8 + margin, 0.99]))
        assert action == explored
    state, _ = agent.start(first, torch.ones(1).double(), GREEDY)
    for t in range(2, 14):
        epsilon = max(1 - 0.99 * t / 8, 0.01)
        assert explores(agent, state, epsilon - 1e-4)[1]
        state, tried = explores(agent, state, epsilon + 1e-4)
        assert not tried


@settings(max_examples=60)
@given(
    start=st.floats(0, 1),
    end=st.floats(0.001, 1),
    fraction=st.floats(0.01, 1),
    length=st.sampled_from([100.0, 5e6, 50e6]),
    progress=st.floats(0, 20),
)
def test_epsilon_follows_the_formula_at_any_time(start, end, fraction, length, progress):
    # Section 2.10: max(start + t (end - start) / (f T), end); it never falls below its end, and a run may stop before it.
    start = max(start, end)
    agent = StreamQ(
        **{f.name: getattr(LINEAR, f.name) for f in dataclasses.fields(LINEAR) if "epsilon" not in f.name}
        | {"epsilon_start": start, "epsilon_end": end, "exploration_fraction": fraction, "schedule_steps": length, "alpha": 0.0}
    )
    t = 1 + int(progress * fraction * length)
    epsilon = max(start + t * (end - start) / (fraction * length), end)
    state, _ = agent.start(linear_state(agent, LINE, [[1.0], [0.0]]), torch.ones(1).double(), GREEDY)
    state = {**state, "choices": torch.tensor(t - 1, dtype=torch.float64)}
    assert epsilon < 1e-5 or explores(agent, state, epsilon - 1e-5)[1]
    assert not explores(agent, state, epsilon + 1e-5)[1]


@pytest.mark.parametrize("actions", [2, 3, 6, 18])
def test_random_actions_are_equally_likely(actions):
    # The second number picks floor(u n); u is below 1, also in its last bit.
    agent = dataclasses.replace(LINEAR, epsilon_start=1.0, epsilon_end=1.0)
    spaces = Spaces((1,), actions, discrete=True)
    state = linear_state(agent, spaces, np.zeros((actions, 1)))

    def first_action(u):
        return agent.start(state, torch.ones(1).double(), torch.tensor([0.5, u]))[1].item()

    for action in range(actions):
        assert first_action((action + 0.01) / actions) == action
        assert first_action((action + 0.99) / actions) == action
    assert first_action(0.0) == 0
    assert first_action(np.nextafter(np.float32(1), np.float32(0)).item()) == actions - 1


def test_greedy_choice_is_by_the_updated_values_at_the_acting_observation():
    # q(x, .) = (x, 0), so that action 0 is greedy at x > 0 and action 1 below.
    agent = dataclasses.replace(LINEAR, epsilon_end=0.0, epsilon_start=0.0)
    state, _ = agent.start(linear_state(agent, LINE, [[1.0], [0.0]]), torch.ones(1).double(), GREEDY)
    for acting, expected in ((3.0, 0), (-3.0, 1)):
        moment = transition([1.0], np.int64(0), 1.0, [1.0], terminated=True, acting_obs=[acting])
        assert agent.step(state, moment, GREEDY)[1] == expected
    # A bad surprise at x = 1 with action 0 makes action 1 the better one at once.
    assert agent.step(state, transition([1.0], np.int64(0), -9.0, [1.0]), GREEDY)[1] == 1


def test_target_is_the_best_next_action_whatever_is_taken():
    state, _ = LINEAR.start(linear_state(LINEAR, LINE, [[1.0], [3.0]]), torch.ones(1).double(), EXPLORE_0)
    for noise in (GREEDY, EXPLORE_0, EXPLORE_1):
        _, _, info = LINEAR.step(state, transition([1.0], np.int64(0), 1.0, [2.0]), noise)
        assert info["td_error"] == 1 + 0.5 * 6 - 1


# Probe environments ---------------------------------------------------------------------------------------------------
# Seeds 0..15, all of which must pass.

HALF_RANDOM = {"epsilon_start": 0.5, "epsilon_end": 0.5}


@pytest.mark.parametrize("sparsity", [0.0, 0.9], ids=["dense", "first_layer_all_zero"])
def test_probe_learns_the_rewards_of_both_arms_at_each_observation(sparsity):
    states, _ = learn(StreamQ(**{**BARE, **HALF_RANDOM, "sparsity": sparsity}), Bandit, 400)
    for state in states:
        for kind in range(2):
            np.testing.assert_allclose(outputs_of(state["q"], Bandit.show(kind), "q"), Bandit.rewards[kind], atol=0.01)


@pytest.mark.parametrize("cut", ["after_update", "before_accumulation"])
def test_probe_learns_the_values_of_the_greedy_policy_while_exploring(cut):
    # Half of all actions are random to the end, and yet the values are those of going right all the way.
    states, _ = learn(StreamQ(**{**BARE, **HALF_RANDOM, "gamma": Chain.gamma, "cut": cut}), Chain, 1000)
    for state in states:
        values = [outputs_of(state["q"], Chain.show(place), "q") for place in range(3)]
        np.testing.assert_allclose(values, Chain.values(right=1.0), atol=0.01)
