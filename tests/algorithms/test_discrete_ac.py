"""Stream AC with discrete actions: against an independent implementation, by hand, and on probe environments."""

import dataclasses

import numpy as np
import pytest
import torch
from probes import BARE, Bandit, Chain, generator, learn, transition
from reference_parts import outputs_of
from references import compare_actor_critic, option_id

from algorithms.agent import NoiseSpec, Spaces
from algorithms.stream_ac import StreamAC
from baselines.classic import ClassicAC

VECTOR = Spaces((5,), 3, discrete=True, time_feature=True)
SMALL = {"hidden": (16, 16)}


# Against the reference ------------------------------------------------------------------------------------------------


def test_agent_equals_reference_with_the_default_hyperparameters():
    endings = compare_actor_critic(StreamAC(), VECTOR, 60, lost_life=0.1).endings
    assert min(endings.values()) > 0, "the stream must have held all kinds of endings"


def test_agent_equals_reference_that_never_sees_its_numbers():
    compare_actor_critic(StreamAC(**SMALL, sparsity=0.0), VECTOR, 80, seed=1, take_over=False, tolerance=10)


OPTIONS = [
    {"bootstrap_on_truncation": True, "reset_trace_on_truncation": False, "cut_reward_trace_on_truncation": False},
    {"optimizer": "adam", "alpha_policy": 1e-3, "alpha_value": 3e-3},
    {"optimizer": "sgd", "alpha_policy": 1e-3, "alpha_value": 3e-3},
    {"layer_norm": False, "normalize_obs": False, "normalize_reward": False, "sparsity": 0.0},
    {"gamma": 0.7, "lamda": 0.5, "kappa_policy": 5.0, "kappa_value": 1.3, "entropy": 0.3},
    {"diagnostics": True},
]


@pytest.mark.parametrize("options", OPTIONS, ids=option_id)
def test_agent_equals_reference_with_option(options):
    compare_actor_critic(StreamAC(**SMALL, **options), VECTOR, 60, seed=2, lost_life=0.05)


def test_agent_equals_reference_on_minatar_images():
    endings = compare_actor_critic(StreamAC(), Spaces((4, 10, 10), 6, discrete=True), 25, seed=3, termination=0.15).endings
    assert endings["terminated"] > 0


def test_agent_equals_reference_on_stacked_atari_frames_in_bytes():
    spaces = Spaces((84, 84), 3, discrete=True, frames=4, obs_dtype="uint8")
    endings = compare_actor_critic(StreamAC(), spaces, 10, seed=1, termination=0.2, lost_life=0.3).endings
    assert endings["terminated"] > 0
    assert endings["lost_life"] > 0


def test_classic_agent_equals_reference():
    agent = ClassicAC(**SMALL, alpha_policy=1e-3, alpha_value=1e-3)
    compare_actor_critic(agent, VECTOR, 60, seed=4, lost_life=0.05)


# Single statements ----------------------------------------------------------------------------------------------------


def heads_of(state):
    """Return the sizes of an actor's heads by name."""
    biases = {name: p for name, p in state["actor"].items() if name.startswith("heads.") and name.endswith(".bias")}
    return {name.split(".")[1]: len(p) for name, p in biases.items()}


def test_spaces_decide_which_policy_there_is():
    agent = StreamAC(**SMALL)
    assert heads_of(agent.init(generator(0), VECTOR)) == {"logits": 3}
    assert heads_of(agent.init(generator(0), Spaces((5,), 3))) == {"mean": 3, "std": 3}
    assert agent.noise(VECTOR) == NoiseSpec("uniform", (1,))
    assert agent.noise(Spaces((5,), 3)) == NoiseSpec("normal", (3,))


LINEAR = StreamAC(
    hidden=(),
    gamma=0.5,
    lamda=0.5,
    alpha_policy=0.5,
    alpha_value=0.5,
    entropy=0.0,
    optimizer="sgd",
    normalize_obs=False,
    normalize_reward=False,
)
LINE = Spaces((1,), 2, discrete=True)


def begun(agent=LINEAR):
    """Return a learner that knows nothing, equally inclined to both actions, at x = 1."""
    state = agent.init(generator(0), LINE)
    for name in ("actor", "critic"):
        state[name] = {key: torch.zeros_like(p) for key, p in state[name].items()}
    return agent.start(state, torch.ones(1).double(), torch.tensor([0.4]))


def test_action_taken_becomes_likelier_after_a_good_surprise_and_less_likely_after_a_bad_one():
    state, action = begun()
    assert action == 0
    for reward in (2.0, -2.0):
        after, _, info = LINEAR.step(state, transition([1.0], np.int64(1), reward, [0.0]), torch.tensor([0.4]))
        assert info["td_error"] == reward
        # grad log pi(1) = (-1/2, 1/2) for the logits; alpha delta = reward / 2.
        for part in ("weight", "bias"):
            assert after["actor"][f"heads.logits.{part}"].flatten().tolist() == [-reward / 4, reward / 4]
            assert after["critic"][f"heads.value.{part}"].item() == reward / 2


def test_next_action_is_drawn_from_the_updated_policy_at_the_acting_observation():
    state, _ = begun()
    moment = transition([1.0], np.int64(1), 2.0, [0.0], terminated=True, acting_obs=[3.0])
    after, _, _ = LINEAR.step(state, moment, torch.tensor([0.4]))
    # Logits (-0.5, 0.5) (3 + 1): the second action has probability 1 / (1 + exp(-4)).
    p = 1 / (1 + np.exp(-4.0))
    assert after["obs"] == 3.0
    for u, expected in ((0.999 * (1 - p), 0), (1.001 * (1 - p), 1)):
        assert LINEAR.step(state, moment, torch.tensor([u], dtype=torch.float32))[1] == expected


@pytest.mark.parametrize("reward", [2.0, -2.0])
def test_entropy_pushes_towards_indifference_whatever_the_sign_of_the_td_error(reward):
    tau = 0.5
    agent = dataclasses.replace(LINEAR, entropy=tau)
    state, _ = begun(agent)
    state["actor"]["heads.logits.bias"] = torch.tensor([0.0, 1.0])
    moment = transition([1.0], np.int64(0), reward, [0.0])
    quiet = {**state, "hyper": {**state["hyper"], "entropy": torch.zeros((), dtype=torch.float64)}}
    after = [agent.step(s, moment, torch.tensor([0.4]))[0]["actor"]["heads.logits.bias"] for s in (state, quiet)]
    # grad H for the logits: -p (log p + H), here by torch's own autograd; alpha |delta| tau times that is added.
    logits = torch.tensor([0.0, 1.0], requires_grad=True)
    torch.distributions.Categorical(logits=logits).entropy().backward()
    np.testing.assert_allclose(after[0] - after[1], 0.5 * abs(reward) * tau * logits.grad, rtol=1e-4)


# Probe environments ---------------------------------------------------------------------------------------------------
# Seeds 0..15, all of which must pass.


def probabilities(state, obs):
    return torch.softmax(torch.tensor(outputs_of(state["actor"], obs, "logits")), 0).numpy()


def test_probe_finds_the_better_arm_at_each_observation():
    states, _ = learn(StreamAC(**BARE), Bandit, 600)
    for state in states:
        for kind, better in ((0, 1), (1, 0)):
            assert Bandit.rewards[kind][better] == max(Bandit.rewards[kind])
            assert probabilities(state, Bandit.show(kind))[better] > 0.9


def test_probe_goes_right_all_the_way():
    states, _ = learn(StreamAC(**BARE | {"gamma": Chain.gamma}), Chain, 700)
    for state in states:
        right = [probabilities(state, Chain.show(place))[1] for place in range(3)]
        assert min(right) > 0.85
        values = [outputs_of(state["critic"], Chain.show(place), "value")[0] for place in range(3)]
        np.testing.assert_allclose(values, [0.25, 0.5, 1.0], atol=0.15)
