"""What holds for all learners of values and for the discrete actor: pure steps, stable state, hyperparameters in the state."""

import dataclasses

import numpy as np
import pytest
import torch
from probes import ChoiceStream, generator, run_alone, same_bits, transition

from algorithms.agent import Agent, Spaces, hyperparameters, leaves, map_state, structure
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD

SPACES = Spaces((4,), 3, discrete=True)
LEARNERS = {cls.__name__: cls(hidden=(12,)) for cls in (StreamQ, StreamSARSA, StreamTD, StreamAC)}
# Another value for every hyperparameter, such that it makes a difference within a few steps.
FLOATS = {
    "gamma": 0.6,
    "lamda": 0.3,
    "alpha": 0.002,
    "alpha_policy": 0.002,
    "alpha_value": 0.003,
    "kappa": 7.0,
    "kappa_policy": 9.0,
    "kappa_value": 5.0,
    "entropy": 0.4,
    "epsilon_start": 0.3,
    "epsilon_end": 0.9,
    "exploration_fraction": 0.4,
    "schedule_steps": 3.0,
}
# Exploration that falls within those few steps, so that all of its hyperparameters are at work.
SCHEDULE = {"schedule_steps": 20.0, "exploration_fraction": 0.2, "epsilon_end": 0.1}


def learnt(agent, state, steps=8, **endings):
    """Return the last state of a few steps, and its transition and noise."""
    stream = ChoiceStream(SPACES, 0, agent.noise(SPACES).shape[0], **endings)
    state, _, moment, noise, _ = list(run_alone(agent, SPACES, stream, steps, state))[-1]
    return state, moment, noise


def cases():
    for name, agent in LEARNERS.items():
        for field in hyperparameters(agent):
            if field != "sparsity":
                yield name, field


@pytest.mark.parametrize(("name", "field"), cases())
def test_float_field_is_read_from_the_state_and_not_from_the_agent(name, field):
    agent = LEARNERS[name]
    if "epsilon_start" in FLOATS.keys() & hyperparameters(agent).keys():
        agent = dataclasses.replace(agent, **SCHEDULE)
    special = dataclasses.replace(agent, **{field: FLOATS[field]})
    assert structure(agent) == structure(special)
    state = agent.init(generator(0), SPACES)
    other = {**state, "hyper": {**state["hyper"], field: torch.tensor(FLOATS[field], dtype=torch.float64)}}
    by_state, *_ = learnt(agent, other)
    by_field, *_ = learnt(special, special.init(generator(0), SPACES))
    assert same_bits(by_state, by_field)
    neither, *_ = learnt(agent, state)
    assert not same_bits(
        {k: x for k, x in by_state.items() if k != "hyper"}, {k: x for k, x in neither.items() if k != "hyper"}
    )


@pytest.mark.parametrize("optimizer", ["obgd", "adaptive_obgd", "adam", "sgd"])
@pytest.mark.parametrize("name", LEARNERS)
def test_state_keeps_its_form_and_statistics_their_precision(name, optimizer):
    agent = dataclasses.replace(LEARNERS[name], optimizer=optimizer)
    first = agent.init(generator(0), SPACES)
    later, *_ = learnt(agent, first, termination=0.3)
    assert [(x.dtype, x.shape) for x in leaves(first)] == [(x.dtype, x.shape) for x in leaves(later)]
    assert map_state(lambda x, _: x, first, later).keys() == later.keys()
    for part in ("obs_statistics", "reward_scaler", "hyper"):
        assert {x.dtype for x in leaves(later[part])} == {torch.float64}
    for part in {"q", "v", "actor", "critic"} & set(later):
        assert {x.dtype for x in leaves(later[part])} == {torch.float32}
    assert same_bits(later["hyper"], hyperparameters(agent))
    assert isinstance(agent, Agent)


@pytest.mark.parametrize("name", LEARNERS)
def test_step_leaves_its_arguments_alone(name):
    agent = LEARNERS[name]
    state, moment, noise = learnt(agent, agent.init(generator(0), SPACES))
    moment = moment._replace(terminated=torch.tensor(True), restarted=torch.tensor(True))
    copies = map_state(torch.clone, state), [x.clone() for x in moment]
    first, second = (agent.step(state, moment, noise) for _ in range(2))
    assert same_bits(state, copies[0])
    assert all(torch.equal(x, y) for x, y in zip(moment, copies[1], strict=True))
    assert same_bits(first[0], second[0]), "the same moment twice gives the same bits"
    assert same_bits(first[1].numpy(), second[1].numpy())


@pytest.mark.parametrize("name", LEARNERS)
def test_observation_is_learnt_from_as_it_was_standardised_when_it_was_seen(name):
    # The transition's own copy of the observation is not looked at again.
    agent = LEARNERS[name]
    state, moment, noise = learnt(agent, agent.init(generator(0), SPACES))
    other = moment._replace(obs=moment.obs + 100.0)
    assert same_bits(agent.step(state, moment, noise)[0], agent.step(state, other, noise)[0])


@pytest.mark.parametrize("name", LEARNERS)
def test_normalisation_options_leave_no_statistics_behind(name):
    agent = dataclasses.replace(LEARNERS[name], normalize_obs=False, normalize_reward=False)
    state = agent.init(generator(0), SPACES)
    assert "obs_statistics" not in state
    assert "reward_scaler" not in state
    state, action = agent.start(state, torch.tensor([1.0, -2.0, 3.0, 0.5]).double(), torch.zeros(agent.noise(SPACES).shape))
    assert state["obs"].tolist() == [1.0, -2.0, 3.0, 0.5]
    moment = transition([1.0, -2.0, 3.0, 0.5], np.asarray(action), 7.0, [0.0] * 4, terminated=True)
    # Nothing was standardised or scaled on the way to the TD error: all networks start at 0 on a sparse first layer.
    _, _, info = agent.step(state, moment, torch.zeros(agent.noise(SPACES).shape))
    assert info["td_error"] == 7.0


@pytest.mark.parametrize("name", LEARNERS)
def test_first_networks_are_as_sparse_as_the_options_say(name):
    agent = dataclasses.replace(LEARNERS[name], sparsity=0.5)
    for shared in (True, False):
        state = dataclasses.replace(agent, same_inputs_for_all_units=shared).init(generator(0), SPACES)
        for part in {"q", "v", "actor", "critic"} & set(state):
            zeros = state[part]["hidden.0.weight"] == 0
            assert (zeros.sum(1) == 2).all(), "half of four inputs"
            assert (zeros == zeros[0]).all() == shared
