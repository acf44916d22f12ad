"""Classic Q, SARSA and TD: torch's own Adam on -delta z, raw numbers, dense networks."""

import dataclasses

import numpy as np
import pytest
from probes import ChoiceStream, generator, run_alone
from references import compare_action_values, compare_prediction

from algorithms.agent import Agent, Spaces, hyperparameters
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD
from baselines.classic import ClassicQ, ClassicSARSA, ClassicTD

CHOICE = Spaces((5,), 3, discrete=True, time_feature=True)
PREDICTION = Spaces((7,), 1, prediction=True)
MINATAR = Spaces((4, 10, 10), 6, discrete=True)
CLASSES = {ClassicQ: StreamQ, ClassicSARSA: StreamSARSA, ClassicTD: StreamTD}


@pytest.mark.parametrize(("cls", "step"), [(ClassicQ, 1e-5), (ClassicSARSA, 1e-5), (ClassicTD, 3e-4)])
def test_defaults_are_those_of_the_paper(cls, step):
    agent = cls()
    assert (agent.optimizer, agent.alpha, agent.gamma, agent.lamda) == ("adam", step, 0.99, 0.8)
    assert (agent.sparsity, agent.layer_norm, agent.normalize_obs, agent.normalize_reward) == (0.0, False, False, False)
    assert agent.hidden == CLASSES[cls]().hidden
    assert {f.name for f in dataclasses.fields(cls)} == {f.name for f in dataclasses.fields(CLASSES[cls])}
    assert hyperparameters(cls(alpha=0.1))["alpha"] == 0.1
    assert isinstance(agent, Agent)


def test_exploration_is_that_of_the_stream_learners():
    for cls in (ClassicQ, ClassicSARSA):
        ours, theirs = hyperparameters(cls()), hyperparameters(CLASSES[cls]())
        for name in ("epsilon_start", "epsilon_end", "exploration_fraction", "schedule_steps"):
            assert ours[name] == theirs[name]


@pytest.mark.parametrize("cls", [ClassicQ, ClassicSARSA])
def test_learner_of_action_values_equals_torch_adam_on_raw_numbers(cls):
    agent = cls(alpha=1e-3, schedule_steps=2000.0)
    compare_action_values(agent, CHOICE, 80, lost_life=0.05)
    compare_action_values(agent, CHOICE, 80, seed=1, take_over=False, tolerance=10)


@pytest.mark.parametrize("cls", [ClassicQ, ClassicSARSA])
def test_learner_of_action_values_equals_torch_adam_on_images(cls):
    compare_action_values(cls(alpha=1e-4, schedule_steps=400.0), MINATAR, 20, seed=2, termination=0.2)


def test_prediction_equals_torch_adam_on_raw_numbers():
    compare_prediction(ClassicTD(alpha=1e-3, hidden=(16, 16)), PREDICTION, 80)
    compare_prediction(ClassicTD(alpha=1e-3, hidden=(16, 16)), PREDICTION, 80, seed=1, take_over=False, tolerance=10)


@pytest.mark.parametrize("cls", CLASSES)
def test_networks_are_dense_and_nothing_is_normalised(cls):
    agent = cls()
    state = agent.init(generator(0), PREDICTION if cls is ClassicTD else MINATAR)
    assert "obs_statistics" not in state
    assert "reward_scaler" not in state
    for name, p in state["v" if cls is ClassicTD else "q"].items():
        assert (p != 0).all() if name.endswith("weight") else not p.any()


@pytest.mark.parametrize("cls", CLASSES)
def test_no_parameter_moves_further_than_adam_lets_it(cls):
    # Whatever the size of delta z, 20 steps of Adam are about 20 alpha; and some parameter does move about as far.
    agent = cls(hidden=(16, 16))
    spaces, part = (PREDICTION, "v") if cls is ClassicTD else (CHOICE, "q")
    stream = ChoiceStream(spaces, 0, agent.noise(spaces).shape[0])
    first = agent.init(generator(0), spaces)
    state = list(run_alone(agent, spaces, stream, 20, first))[-1][0]
    moves = [float((state[part][name] - p).abs().max()) for name, p in first[part].items()]
    assert 5 * agent.alpha < np.max(moves) < 40 * agent.alpha
