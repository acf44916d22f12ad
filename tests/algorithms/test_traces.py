"""What a trace adds up to: between one step and Monte Carlo, for all learners of values.

With steps so short that the network hardly moves within an episode, the backward view (traces) and the forward view (returns)
agree: the parameters move by alpha * sum_t (G_t - value_t) grad value_t.
"""

import numpy as np
import pytest
import torch
from probes import BARE, generator, transition
from reference_parts import ReferenceNetwork

from algorithms.agent import Spaces
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD

ALPHA, GAMMA, LENGTH = 1e-4, 0.9, 10
EXPLORING = {"epsilon_start": 0.5, "epsilon_end": 0.5}
OPTIONS = {**BARE, "layer_norm": False, "optimizer": "sgd", "gamma": GAMMA}
CHOICE, PREDICTION = Spaces((5,), 3, discrete=True), Spaces((5,), 1, prediction=True)
# Learner, spaces, parameters of the values, their head, and the option that holds the step size.
LEARNERS = {
    "q": (StreamQ, {**EXPLORING, "cut": "after_update"}, CHOICE, "q", "q", "alpha"),
    "q_cut_before": (StreamQ, {**EXPLORING, "cut": "before_accumulation"}, CHOICE, "q", "q", "alpha"),
    "q_greedy": (StreamQ, {"epsilon_start": 0.0, "epsilon_end": 0.0}, CHOICE, "q", "q", "alpha"),
    "sarsa": (StreamSARSA, EXPLORING, CHOICE, "q", "q", "alpha"),
    "td": (StreamTD, {}, PREDICTION, "v", "value", "alpha"),
    "ac": (StreamAC, {"alpha_policy": 0.0}, CHOICE, "critic", "value", "alpha_value"),
}


class Episode:
    """One episode of a learner on random observations, and what its first network said to all of them."""

    def __init__(self, name, lamda, length=LENGTH, seed=4):
        cls, options, spaces, self.part, head, step_size = LEARNERS[name]
        agent = cls(**OPTIONS, **options, lamda=lamda, **{step_size: ALPHA})
        rng = np.random.default_rng(seed)
        obs = rng.normal(size=(length + 1, 5))
        self.rewards = rng.normal(size=length) + 0.5
        noise = torch.tensor(rng.random((length + 1, agent.noise(spaces).shape[0])), dtype=torch.float32)
        self.states = [agent.init(generator(seed), spaces)]
        self.network = ReferenceNetwork(self.states[0][self.part], layer_norm=False)
        state, action = agent.start(self.states[0], torch.tensor(obs[0]), noise[0])
        actions = [action]
        for t in range(length):
            moment = transition(obs[t], action.numpy(), self.rewards[t], obs[t + 1], terminated=t == length - 1)
            state, action, _ = agent.step(state, moment, noise[t + 1])
            actions.append(action)
            self.states.append(state)
        outputs = [self.network(torch.tensor(x, dtype=torch.float32).double())[head] for x in obs]
        index = [a if head == "q" else 0 for a in actions]
        self.values = [out[i] for out, i in zip(outputs, index, strict=True)]
        self.greedy = [out[i].item() == out.max().item() for out, i in zip(outputs, index, strict=True)]
        best = [out.max().item() for out in outputs]
        # What stands for the future after each step: nothing after the last.
        future = [*(best if name.startswith("q") else [v.item() for v in self.values])[1:-1], 0.0]
        self.future = future
        self.errors = [r + GAMMA * f - v.item() for r, f, v in zip(self.rewards, future, self.values[:-1], strict=True)]

    def compare(self, targets, since=0):
        """Check that the parameters moved, since a state, by alpha times the gradient of sum_t targets[t] * value_t."""
        for p in self.network.parameters():
            p.grad = None
        sum(target * value for target, value in zip(targets, self.values[:-1], strict=True)).backward()
        expected = {name: ALPHA * p.grad for name, p in self.network.named().items()}
        longest = max(float(x.abs().max()) for x in expected.values())
        before, after = self.states[since][self.part], self.states[-1][self.part]
        for name, move in expected.items():
            own = after[name].double() - before[name].double()
            np.testing.assert_allclose(own, move, rtol=0.01, atol=0.01 * longest, err_msg=name)


def episodes(name, lamda):
    return [Episode(name, lamda, seed=seed) for seed in (4, 5)]


@pytest.mark.parametrize("name", LEARNERS)
def test_lambda_zero_is_the_one_step_semi_gradient(name):
    # Only the gradient of the last step's own value counts, and that of the target does not.
    for n in (1, 3):
        episode = Episode(name, 0.0, length=n)
        episode.compare([0.0] * (n - 1) + [episode.errors[-1]], since=-2)


@pytest.mark.parametrize("name", LEARNERS)
def test_lambda_zero_sums_one_step_errors(name):
    for episode in episodes(name, 0.0):
        episode.compare(episode.errors)


@pytest.mark.parametrize("name", ["sarsa", "td", "ac"])
def test_lambda_one_is_monte_carlo(name):
    for episode in episodes(name, 1.0):
        g, returns = 0.0, []
        for reward in episode.rewards[::-1]:
            g = reward + GAMMA * g
            returns.insert(0, g)
        episode.compare([g - v.item() for g, v in zip(returns, episode.values[:-1], strict=True)])


@pytest.mark.parametrize("name", ["sarsa", "td", "ac", "q_greedy"])
def test_between_them_is_the_lambda_return(name):
    lamda = 0.7
    for episode in episodes(name, lamda):
        g, targets = 0.0, []
        for t in reversed(range(LENGTH)):
            g = episode.rewards[t] + GAMMA * ((1 - lamda) * episode.future[t] + lamda * (g if t < LENGTH - 1 else 0.0))
            targets.insert(0, g - episode.values[t].item())
        episode.compare(targets)


@pytest.mark.parametrize("lamda", [0.7, 1.0])
@pytest.mark.parametrize("name", ["q", "q_cut_before"])
def test_returns_of_q_end_at_exploratory_actions(name, lamda):
    # An error reaches back until the first exploratory action. That action's own error still reaches those before it where
    # the trace is emptied after the update, and does not where it is emptied before.
    for episode in episodes(name, lamda):
        assert 0 < sum(episode.greedy[1:-1]) < LENGTH - 1
        targets = []
        for k in range(LENGTH):
            total = 0.0
            for j in range(k, LENGTH):
                between = episode.greedy[k:j] if name == "q" else episode.greedy[k + 1 : j + 1]
                total += (GAMMA * lamda) ** (j - k) * all(between) * episode.errors[j]
            targets.append(total)
        episode.compare(targets)
