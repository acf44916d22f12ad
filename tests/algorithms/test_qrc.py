"""QRC(lambda) against the numbers of the official code."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from probes import ChoiceStream, generator, run_alone, transition

from algorithms.agent import Spaces, hyperparameters, map_state
from algorithms.qrc import QRC

ORACLE = json.loads((Path(__file__).parent / "oracles" / "qrc_lambda.json").read_text())
SPACES = Spaces((3,), 2, discrete=True)
CONFIG = ORACLE["config"]


def ours(theirs):
    """Return their parameters by our names, float64; kernels of theirs are [in, out], and gradients have an axis more."""
    parts = theirs["params"]
    cell = parts["torso"].get("sequence_model", parts["torso"])["cell"]
    dense, head = parts["feature_extractor"]["observation_extractor"]["layers_0"], parts["head"]["Dense_0"]

    def array(values, ndim):
        values = np.asarray(values)
        return torch.tensor(values.reshape(values.shape[-ndim:]))

    return {
        "encoder.hidden.0.weight": array(dense["kernel"], 2).T.contiguous(),
        "encoder.hidden.0.bias": array(dense["bias"], 1),
        "cell.nu_log": array(cell["nu_log"], 1),
        "cell.theta_log": array(cell["theta_log"], 1),
        "cell.real": array(cell["B_real"], 2),
        "cell.imaginary": array(cell["B_imag"], 2),
        "heads.q.weight": array(head["kernel"], 2).T.contiguous(),
        "heads.q.bias": array(head["bias"], 1),
    }


def assert_near(actual, expected, tolerance):
    assert actual.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(actual[name], expected[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("run", ORACLE["runs"], ids=lambda run: run["mode"])
def test_eight_updates_are_those_of_the_official_code(run):
    learner = QRC(
        gradient=run["mode"],
        hidden=(5,),
        units=4,
        alpha=CONFIG["q_lr"],
        alpha_h=CONFIG["h_lr"],
        beta=CONFIG["regularization_coefficient"],
        gamma=CONFIG["gamma"],
        lamda=CONFIG["trace_lambda"],
        normalize_obs=False,
        normalize_reward=False,
    )
    state = map_state(lambda x: x.double() if x.is_floating_point() else x, learner.init(generator(0), SPACES))
    observations = np.asarray(ORACLE["observations"])
    state["obs"] = torch.tensor(observations[0])
    state["q"], state["h"] = ours(run["q_params_before"]), ours(run["h_params_before"])
    for k, step in enumerate(run["steps"]):
        state["obs"] = state["obs"].double()
        moment = transition(
            observations[k],
            np.int64(ORACLE["actions"][k]),
            ORACLE["rewards"][k],
            observations[k + 1],
            terminated=ORACLE["done"][k],
        )
        state = {**state, "exploring": torch.tensor(ORACLE["non_greedy"][k])}
        # In float64, but for hyperparameters, which a learner rounds to float32: hence the tolerance.
        state, _, info = learner.step(state, moment, torch.zeros(2))
        assert info["td_error"].item() == pytest.approx(step["td_error"], abs=2e-7)
        assert info["expected_td_error"].item() == pytest.approx(step["h_value"], abs=2e-7)
        for name in ("q", "h"):
            assert_near(state[name], ours(step[f"{name}_params_after"]), 2e-7)
            trace = {key: torch.where(state["cut"], 0.0, z) for key, z in state[f"{name}_trace"].items()}
            assert_near(trace, ours(step[f"{name}_trace_after_reset"]), 2e-7)


def test_defaults_are_those_of_the_code_for_memory_chain():
    values = {name: x.item() for name, x in hyperparameters(QRC()).items()}
    assert values == {
        "gamma": 0.99,
        "lamda": 0.8,
        "sparsity": 0.9,
        "alpha": 1e-4,
        "alpha_h": 1e-5,
        "beta": 1.0,
        "max_norm": 0.0,
        "epsilon_start": 1.0,
        "epsilon_end": 0.01,
        "exploration_fraction": 0.1,
        "schedule_steps": 500_000.0,
    }
    assert (QRC().hidden, QRC().units, QRC().cell, QRC().gradient) == ((128,), 192, "rtu", "rtrl")


def one_update(learner, scale=1.0):
    """Return the state before and after one update in the midst of an episode, and its info."""
    stream = ChoiceStream(SPACES, 0, 2, 0, 0)
    state, action, *_ = list(run_alone(learner, SPACES, stream, 4, learner.init(generator(0), SPACES)))[-1]
    moment = transition(np.ones(3), action.numpy(), scale, np.full(3, 2.0))
    after, _, info = learner.step(state, moment, torch.zeros(2))
    return state, after, info


def change(before, after, name):
    return torch.cat([(after[name][key] - before[name][key]).flatten() for key in before[name]])


def test_long_changes_are_shortened_to_the_norm_and_keep_their_direction():
    learner = QRC(hidden=(5,), units=4, sparsity=0.0, alpha=0.1, alpha_h=0.1, normalize_reward=False)
    free, short = (one_update(replace(learner, max_norm=norm), 5.0) for norm in (0.0, 1e-2))
    # What was learnt before is not the same; the last change of the second is what is looked at.
    assert change(*short[:2], "q").norm() == pytest.approx(0.1 * 1e-2, rel=1e-2)
    assert change(*free[:2], "q").norm() > 0.1 * 1e-2


def test_without_the_correction_action_values_follow_their_trace():
    learner = QRC(hidden=(5,), units=4, sparsity=0.0, alpha=1e-2, gradient_correction=False, exploration_fraction=1e-9)
    before, after, info = one_update(learner)
    trace = after["q_trace"]
    for name, z in trace.items():
        moved = after["q"][name] - before["q"][name]
        torch.testing.assert_close(moved, 1e-2 * info["td_error"] * z, rtol=1e-3, atol=1e-6)
