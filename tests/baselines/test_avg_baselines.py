"""IAC, and SAC-1 and TD3-1 in the form of AVG's paper, against references in torch's own autograd, in float64."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal

from algorithms.agent import Spaces, Transition, leaves, map_state
from baselines.avg_sac1 import AVGSAC1
from baselines.avg_settings import PLUS
from baselines.avg_td3_1 import AVGTD31
from baselines.iac import IAC

SPACES = Spaces((3,), 2)
F64 = torch.float64
# Without momentum, Adam's first moment after one step is the gradient.
PLAIN = {"hidden": (8, 8), "gamma": 0.9, "beta1": 0.0}
FORMS = pytest.mark.parametrize("plus", [False, True], ids=["plain", "plus"])


def begun(agent, seed=0):
    """Return a state in float64 with random parameters after the first action, a transition, and noise."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=F64)

    state = agent.init(generator, SPACES)
    state = map_state(lambda x: x.to(F64) if x.dtype == torch.float32 else x, state)
    for name in ("actor", "critic", "critics", "targets", "actor_target", "critics_target"):
        if name in state:
            state[name] = map_state(lambda x: x + 0.1 * normal(*x.shape), state[name])
    if "td_scale" in state:  # as if two rewards had been seen
        state["td_scale"]["reward"] = {name: torch.tensor(x, dtype=F64) for name, x in (("count", 2.0), ("mean", 1.0))}
        state["td_scale"]["reward"]["squares"] = torch.tensor(30.0, dtype=F64)
    obs, shape = normal(3), agent.noise(SPACES).shape
    state, action = agent.start(state, obs, normal(*shape))
    off = torch.tensor(False)
    return state, Transition(obs, action, normal(), normal(3), off, off, off, normal(3)), normal(*shape)


def tracked(parameters):
    """Return copies of parameters that gradients can be taken for."""
    return map_state(lambda x: x.detach().clone().requires_grad_(), parameters)


def net(parameters, head, x, plus):
    """Evaluate a network with the library's own layers."""
    for number in (0, 1):
        weight, bias = parameters["body"][f"{number}.weight"], parameters["body"][f"{number}.bias"]
        x = nn.functional.leaky_relu(nn.functional.linear(x, weight, bias))
    x = nn.functional.normalize(x, dim=0, eps=0.0) if plus else x
    return nn.functional.linear(x, parameters[head]["0.weight"], parameters[head]["0.bias"])


def policy(actor, obs, plus):
    return Normal(net(actor, "mean", obs, plus), (net(actor, "log_std", obs, plus) / 2).exp())


def squashed(actor, obs, noise, plus):
    """Return an action and the log of its density."""
    normal = policy(actor, obs, plus)
    unsquashed = normal.mean + normal.stddev * noise
    action = torch.tanh(unsquashed)
    return action, (normal.log_prob(unsquashed) - torch.log(1 - action**2)).sum()


def value(critic, obs, action, plus):
    return net(critic, "value", torch.cat([obs, action]), plus)[0]


def seen(state, after, moment):
    """Return observation and next observation as the networks see them, and sigma."""
    if "td_scale" not in after:
        return state["obs"], moment.next_obs, 1.0
    statistics = after["obs_statistics"]
    deviation = torch.sqrt(statistics["squares"] / statistics["count"] + 1e-8)
    reward = after["td_scale"]["reward"]
    return state["obs"], (moment.next_obs - statistics["mean"]) / deviation, torch.sqrt(reward["squares"] / reward["count"])


def assert_slopes(found, loss, parameters):
    loss.backward()
    expected = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves(parameters)]
    assert max(float(slope.abs().max()) for slope in expected) > 1e-3
    for own, slope in zip(leaves(found), expected, strict=True):
        np.testing.assert_allclose(own, slope, rtol=1e-7, atol=1e-10)


@FORMS
@pytest.mark.parametrize("form", ["none", "actor", "distribution", "sample"])
def test_iac_goes_down_its_losses(plus, form):
    agent = IAC(**PLAIN, entropy=0.2, entropy_form=form, **(PLUS if plus else {}))
    state, moment, noise = begun(agent)
    after, _, info = agent.step(state, moment, noise)
    obs, next_obs, sigma = seen(state, after, moment)

    actor, critic = tracked(state["actor"]), tracked(state["critic"])
    normal = policy(actor, obs, plus)
    unsquashed = (normal.mean + normal.stddev * state["noise"]).detach()
    np.testing.assert_allclose(torch.tanh(unsquashed), moment.action)
    log_prob = normal.log_prob(unsquashed).sum() - torch.log(1 - torch.tanh(unsquashed) ** 2).sum()
    entropy = normal.entropy().sum()
    reward = moment.reward + 0.2 * {"distribution": entropy.detach(), "sample": -log_prob.detach()}.get(form, 0.0)
    here, there = (net(critic, "value", x, plus)[0] for x in (obs, next_obs))
    delta = reward + 0.9 * there.detach() - here
    np.testing.assert_allclose(info["td_error"], delta.detach(), rtol=1e-9)
    weight = 0.2 if form in ("actor", "distribution") else 0.0
    assert_slopes(after["actor_adam"]["first"], -(log_prob * delta.detach() / sigma + weight * entropy), actor)
    assert_slopes(after["critic_adam"]["first"], (delta / sigma) ** 2, critic)


def test_the_scale_of_iac_is_of_plain_rewards_and_a_discounted_sum():
    agent = IAC(**PLAIN, entropy=5.0, **PLUS)
    state, moment, noise = begun(agent)
    state["td_scale"]["return"] = torch.tensor(10.0, dtype=F64)
    after, *_ = agent.step(state, moment, noise)
    np.testing.assert_allclose(after["td_scale"]["return"], 0.9 * 10 + moment.reward)


@FORMS
def test_sac_1_goes_down_its_losses_in_their_order(plus):
    agent = AVGSAC1(**PLAIN, tau=0.25, first_entropy=0.3, critic_lr=0.01, entropy_lr=0.05, **(PLUS if plus else {}))
    state, moment, noise = begun(agent)
    after, _, info = agent.step(state, moment, noise)
    obs, next_obs, sigma = seen(state, after, moment)

    actor, critics = tracked(state["actor"]), tracked(state["critics"])
    next_action, next_log_prob = squashed(state["actor"], next_obs, noise[1], plus)
    targets = [value(state["targets"][q], next_obs, next_action, plus) for q in ("q1", "q2")]
    goal = moment.reward + 0.9 * (min(targets) - 0.3 * next_log_prob)
    errors = [goal - value(critics[q], obs, moment.action, plus) for q in ("q1", "q2")]
    np.testing.assert_allclose(info["td_error"], errors[0].detach(), rtol=1e-6)
    assert_slopes(after["critics_adam"]["first"], sum((error / sigma) ** 2 for error in errors), critics)

    action, log_prob = squashed(actor, obs, noise[2], plus)
    lowest = min(value(after["critics"][q], obs, action, plus) for q in ("q1", "q2"))  # those that have learnt already
    assert_slopes(after["actor_adam"]["first"], 0.3 * log_prob - lowest, actor)
    log_weight = torch.tensor(np.log(0.3), dtype=F64, requires_grad=True)
    loss = log_weight.exp() * (-log_prob.detach() + 2)  # the target entropy is minus two
    assert_slopes(after["entropy_adam"]["first"], 0.5 * loss, {"log_weight": log_weight})  # beta1 is 0.5
    for old, new, target in zip(*(leaves(s) for s in (state["targets"], after["critics"], after["targets"])), strict=True):
        np.testing.assert_allclose(target, 0.75 * old + 0.25 * new)


def test_rewards_in_the_scale_of_sac_1_have_their_share_of_entropy():
    agent = AVGSAC1(**PLAIN, first_entropy=0.3, **PLUS)
    state, moment, noise = begun(agent)
    after, *_ = agent.step(state, moment, noise)
    np.testing.assert_allclose(after["td_scale"]["return"], moment.reward - 0.3 * state["log_prob"], rtol=1e-6)


@FORMS
def test_td3_1_goes_down_its_losses_and_its_actor_at_every_other_step(plus):
    agent = AVGTD31(**{**PLAIN, "tau": 0.25, "critic_lr": 0.01}, **(PLUS if plus else {}))
    state, moment, noise = begun(agent)
    noise[1] = torch.tensor([5.0, -0.3], dtype=F64)  # one of them beyond the bound
    without, _, info = agent.step(state, moment, noise, agent.form(0))
    after, *_ = agent.step(state, moment, noise, agent.form(1))
    obs, next_obs, sigma = seen(state, after, moment)

    shift = torch.tensor([0.5, -0.06], dtype=F64)
    next_action = (torch.tanh(net(state["actor_target"], "action", next_obs, plus)) + shift).clamp(-1, 1)
    goal = moment.reward + 0.9 * min(value(state["critics_target"][q], next_obs, next_action, plus) for q in ("q1", "q2"))
    critics, actor = tracked(state["critics"]), tracked(state["actor"])
    errors = [goal - value(critics[q], obs, moment.action, plus) for q in ("q1", "q2")]
    np.testing.assert_allclose(info["td_error"], errors[0].detach(), rtol=1e-6)
    loss = sum((error / sigma) ** 2 for error in errors)
    assert_slopes(after["critics_adam"]["first"], loss, critics)
    climbed = value(after["critics"]["q1"], obs, torch.tanh(net(actor, "action", obs, plus)), plus)
    assert_slopes(after["actor_adam"]["first"], -climbed, actor)

    pairs = zip(*(leaves(s["critics"]) for s in (without, after)), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)
    for name in ("actor", "actor_target", "critics_target"):
        assert all(torch.equal(*pair) for pair in zip(leaves(without[name]), leaves(state[name]), strict=True)), name
    for old, new, target in zip(*(leaves(x) for x in (state["actor"], after["actor"], after["actor_target"])), strict=True):
        assert not torch.equal(old, new)
        assert target.shape == new.shape
    for name in ("actor", "critics"):
        old, new, target = (leaves(x) for x in (state[f"{name}_target"], after[name], after[f"{name}_target"]))
        for parts in zip(old, new, target, strict=True):
            np.testing.assert_allclose(parts[2], 0.75 * parts[0] + 0.25 * parts[1])


@pytest.mark.parametrize("learner", [IAC, AVGSAC1, AVGTD31])
def test_what_comes_after_an_end_has_no_value(learner):
    agent = learner(**PLAIN)
    state, moment, noise = begun(agent)
    form = (False,) if learner is AVGTD31 else ()
    ends = moment._replace(terminated=torch.tensor(True))
    cut = moment._replace(truncated=torch.tensor(True))
    on, ended, truncated = (agent.step(state, m, noise, *form)[2]["td_error"] for m in (moment, ends, cut))
    assert on == truncated
    critic = state["critic"] if learner is IAC else state["critics"]["q1"]
    x = state["obs"] if learner is IAC else torch.cat([state["obs"], moment.action])
    np.testing.assert_allclose(ended, moment.reward - net(critic, "value", x, plus=False)[0], rtol=1e-6)
    assert ended != on
