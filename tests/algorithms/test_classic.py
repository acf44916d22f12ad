"""The classic baseline: Stream AC with every one of its components taken out."""

import dataclasses

import numpy as np
import torch
from probes import RandomStream, RewardIsAction, generator, learn, run_alone
from reference_parts import policy_of
from torch import nn

from algorithms.agent import Agent, Spaces, hyperparameters
from algorithms.stream_ac import StreamAC
from baselines.classic import ClassicAC

SPACES = Spaces(obs_shape=(5,), action_size=2, time_feature=True)


def test_defaults_are_those_of_the_paper():
    agent = ClassicAC()
    assert (agent.optimizer, agent.alpha_policy, agent.alpha_value) == ("adam", 1e-7, 1e-7)
    assert (agent.gamma, agent.lamda, agent.entropy) == (0.99, 0.8, 0.01)
    assert (agent.sparsity, agent.layer_norm, agent.normalize_obs, agent.normalize_reward) == (0.0, False, False, False)
    assert agent.hidden == (128, 128)
    assert isinstance(agent, Agent)


def test_step_sizes_are_hyperparameters_of_a_lane():
    values = {name: x.item() for name, x in hyperparameters(ClassicAC(alpha_policy=1e-3)).items()}
    assert values["alpha_policy"] == 1e-3
    assert values["alpha_value"] == 1e-7
    assert {f.name for f in dataclasses.fields(ClassicAC)} == {f.name for f in dataclasses.fields(StreamAC)}


def test_networks_are_dense_and_have_the_sizes_of_stream_ac():
    state = ClassicAC().init(generator(0), Spaces((18,), 6, time_feature=True))
    assert sum(p.numel() for p in state["actor"].values()) == 20_492
    assert sum(p.numel() for p in state["critic"].values()) == 19_073
    for network in (state["actor"], state["critic"]):
        for name, p in network.items():
            assert (p != 0).all() if name.endswith("weight") else not p.any()
    assert "obs_statistics" not in state
    assert "reward_scaler" not in state


class Plain:
    """AC(lambda) on raw numbers with torch's Adam, one network at a time, written out."""

    def __init__(self, state, alpha):
        self.nets = {"actor": self._net(state["actor"], ("mean", "std")), "critic": self._net(state["critic"], ("value",))}
        self.traces = {name: [torch.zeros_like(p) for p in net.parameters()] for name, net in self.nets.items()}
        self.adams = {n: torch.optim.Adam(net.parameters(), lr=alpha, eps=1e-4) for n, net in self.nets.items()}

    def _net(self, parameters, heads):
        layers = []
        for i in (0, 1):
            layers += [self._linear(parameters, f"hidden.{i}"), nn.LeakyReLU(0.01)]
        last = self._linear(parameters, f"heads.{heads[0]}")
        if len(heads) == 2:  # mean and spread as the two halves of one layer
            second = self._linear(parameters, f"heads.{heads[1]}")
            last.weight = nn.Parameter(torch.cat([last.weight, second.weight]).detach())
            last.bias = nn.Parameter(torch.cat([last.bias, second.bias]).detach())
        return nn.Sequential(*layers, last)

    def _linear(self, parameters, name):
        layer = nn.Linear(*reversed(parameters[f"{name}.weight"].shape))
        layer.load_state_dict({part: parameters[f"{name}.{part}"] for part in ("weight", "bias")})
        return layer

    def learn(self, obs, action, reward, next_obs, done):
        value = self.nets["critic"](obs)[0]
        target = reward + (0.0 if done else 0.99 * self.nets["critic"](next_obs)[0].item())
        delta = target - value.item()
        mean, spread = self.nets["actor"](obs).chunk(2)
        policy = torch.distributions.Normal(mean, nn.functional.softplus(spread))
        objective = {"actor": policy.log_prob(action).sum() + 0.01 * np.sign(delta) * policy.entropy().sum(), "critic": value}
        for name, net in self.nets.items():
            gradients = torch.autograd.grad(objective[name], list(net.parameters()))
            self.traces[name] = [0.99 * 0.8 * z + g for z, g in zip(self.traces[name], gradients, strict=True)]
            for p, z in zip(net.parameters(), self.traces[name], strict=True):
                p.grad = -delta * z
        for name, adam in self.adams.items():
            adam.step()
            if done:
                self.traces[name] = [torch.zeros_like(z) for z in self.traces[name]]
        return delta


def test_classic_ac_is_actor_critic_with_torch_adam_on_raw_numbers():
    alpha = 1e-3
    agent = ClassicAC(hidden=(16, 16), alpha_policy=alpha, alpha_value=alpha)
    first = agent.init(generator(0), SPACES)
    plain = Plain(first, alpha)
    steps = list(run_alone(agent, SPACES, RandomStream(SPACES, 0), 150, first))
    for _, _, moment, _, info in steps:
        delta = plain.learn(
            moment.obs.float(),
            moment.action,
            moment.reward.float().item(),
            moment.next_obs.float(),
            (moment.terminated | moment.truncated).item(),
        )
        np.testing.assert_allclose(info["td_error"], delta, rtol=1e-2, atol=1e-2)
    state = steps[-1][0]
    actor, critic = (
        {f"hidden.{i}": net[2 * i].weight.detach() for i in (0, 1)} | {"last": net[4].weight.detach()}
        for net in (plain.nets["actor"], plain.nets["critic"])
    )
    for own, expected in (
        *(
            (state[name][f"hidden.{i}.weight"], net[f"hidden.{i}"])
            for name, net in (("actor", actor), ("critic", critic))
            for i in (0, 1)
        ),
        (state["actor"]["heads.mean.weight"], actor["last"][:2]),
        (state["actor"]["heads.std.weight"], actor["last"][2:]),
        (state["critic"]["heads.value.weight"], critic["last"]),
    ):
        np.testing.assert_allclose(own, expected, rtol=1e-2, atol=1e-3)
    assert float((state["critic"]["hidden.0.weight"] - first["critic"]["hidden.0.weight"]).abs().max()) > 0.01


def test_no_parameter_moves_further_than_adam_lets_it():
    # Whatever the size of delta z, one step of Adam is about alpha as long as signs change: 50 steps are below 50 alpha, and
    # some parameter does move a good part of that.
    agent = ClassicAC(hidden=(16, 16))
    first = agent.init(generator(0), SPACES)
    state = list(run_alone(agent, SPACES, RandomStream(SPACES, 0), 50, first))[-1][0]
    for network in ("actor", "critic"):
        moves = [float((state[network][name] - p).abs().max()) for name, p in first[network].items()]
        assert 20 * 1e-7 < max(moves) < 50 * 1e-7


def test_probe_policy_finds_the_best_action_with_a_workable_step_size():
    # Most of 16 seeds; when the test was written, 61 of 64 did. A policy that narrows too early stays where it is.
    states, _ = learn(ClassicAC(hidden=(16, 16), alpha_policy=5e-3, alpha_value=2e-2), RewardIsAction, 600)
    means = [policy_of(state, [1.0, 0.0], layer_norm=False).mean.item() for state in states]
    assert sum(abs(mean - 0.5) < 0.1 for mean in means) >= 13
