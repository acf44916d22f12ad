"""AVG: the official numbers, its gradients against finite differences, its switches, and that lanes are runs alone."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium.wrappers.utils import RunningMeanStd
from probes import RandomStream, SharedKernelLanes, drive_lanes, generator, run_alone, start_lanes, transition

from algorithms.agent import Spaces, Transition, leaves, map_state
from algorithms.avg import AVG
from algorithms.td_scaling import init_td_scale, update_td_scale
from algorithms.toolchain import compiler_available

SPACES = Spaces((3,), 2)
SMALL = {"hidden": (8, 8), "normalize_obs": False}
needs_compiler = pytest.mark.skipif(not compiler_available(), reason="no C++ compiler")


class GaussianStream(RandomStream):
    """A stream with normal numbers of any shape in every step."""

    def __init__(self, spaces, seed, noise_shape):
        super().__init__(spaces, seed)
        self.noise_shape = noise_shape

    def noise(self):
        return self.rng.standard_normal(self.noise_shape).astype(np.float32)


# The official numbers -------------------------------------------------------------------------------------------------


@cache
def record_of(precision):
    return json.loads((Path(__file__).parent / "oracles" / "avg_update.json").read_text())[precision]


def network(parameters, dtype, heads):
    """Return a network of the record as the learner has it; `heads` has our names by those of the record."""

    def layer(name, number):
        return {f"{number}.{part}": torch.tensor(parameters[f"{name}.{part}"], dtype=dtype) for part in ("weight", "bias")}

    body = layer("phi.0", 0) | layer("phi.2", 1)
    return {"body": body} | {own: layer(name, 0) for name, own in heads.items()}


def networks(record, when, dtype):
    return {
        "actor": network(record[f"actor_{when}"], dtype, {"mu": "mean", "log_std": "log_std"}),
        "critic": network(record[f"critic_{when}"], dtype, {"q": "value"}),
    }


def in_precision(state, dtype):
    """Return a state in which what is float32 is of another type: a learner calculates in the type of its parameters."""
    return map_state(lambda x: x.to(dtype) if x.dtype == torch.float32 else x, state)


@pytest.mark.parametrize(("precision", "tolerance"), [("float64", 1e-9), ("float32", 2e-7)])
def test_five_steps_with_an_end_are_those_of_the_official_code(precision, tolerance):
    record, dtype = record_of(precision), getattr(torch, precision)
    config, steps = record["config"], record["steps"]
    beta1, beta2 = config["betas"]
    settings = {"actor_lr": config["actor_lr"], "critic_lr": config["critic_lr"], "beta1": beta1, "beta2": beta2}
    agent = AVG(**SMALL, **settings, entropy=config["alpha_lr"], gamma=config["gamma"])
    state = in_precision(agent.init(torch.Generator(), SPACES), dtype) | networks(record, "before", dtype)

    def vector(*rows):
        return torch.tensor(rows[0] if len(rows) == 1 else rows, dtype=dtype)

    unused = [0.0, 0.0]
    state, action = agent.start(state, vector(steps[0]["obs"]), vector(steps[0]["noise_action"], unused))
    for step, following in zip(steps, [*steps[1:], steps[-1]], strict=True):
        np.testing.assert_allclose(action, step["action"], atol=tolerance)
        transition = Transition(
            obs=vector(step["obs"]),
            action=action,
            reward=torch.tensor(step["reward"], dtype=torch.float64),
            next_obs=vector(step["next_obs"]),
            terminated=torch.tensor(step["terminated"]),
            truncated=torch.tensor(False),
            restarted=torch.tensor(step["terminated"]),
            acting_obs=vector(following["obs"] if step["terminated"] else step["next_obs"]),
        )
        noise = vector(following["noise_action"], step["noise_next_action"])
        state, action, info = agent.step(state, transition, noise)
        assert info["td_error"].dtype == dtype
        if step["terminated"]:  # elsewhere the record lacks the log-probability of the next action
            np.testing.assert_allclose(info["td_error"], step["reward"] - step["Q_s_a"], atol=tolerance)
        expected = networks(step, "after", dtype)
        for name in ("actor", "critic"):
            for found, official in zip(leaves(state[name]), leaves(expected[name]), strict=True):
                np.testing.assert_allclose(found, official, rtol=0, atol=tolerance)
        scale = state["td_scale"]
        # The official sums are in float32.
        np.testing.assert_allclose(scale["return"], step["G_after"], rtol=0, atol=2e-7)
        np.testing.assert_allclose(scale["mean_square"], step["G_sq_mean"], rtol=1e-7)
        np.testing.assert_allclose(scale["reward"]["squares"] / scale["reward"]["count"], step["reward_var"], atol=1e-7)
        assert scale["ends"] == step["G_count"]


# Gradients ------------------------------------------------------------------------------------------------------------


def started(agent, spaces=SPACES, seed=0, dtype=torch.float64):
    """Return a state with random weights and biases in a precision, after the first action, and a transition with its noise."""
    stream = GaussianStream(spaces, seed, agent.noise(spaces).shape)
    state = in_precision(agent.init(generator(seed), spaces), dtype)
    own = generator(seed + 1)
    for name in ("actor", "critic", "target"):
        if name in state:
            state[name] = map_state(lambda x: x + 0.1 * torch.randn(x.shape, generator=own, dtype=dtype), state[name])
    obs = stream.reset()
    state, action = agent.start(state, torch.tensor(obs), torch.tensor(stream.noise(), dtype=dtype))
    next_obs, reward, *_ = stream.step(action.numpy())
    moment = transition(obs, action.numpy(), reward, next_obs)
    return state, moment, torch.tensor(stream.noise(), dtype=dtype)


def plain_network(parameters, heads, x, feature_norm):
    """Evaluate a network with NumPy, from its definition."""
    for number in (0, 1):
        x = parameters["body"][f"{number}.weight"].numpy() @ x + parameters["body"][f"{number}.bias"].numpy()
        x = np.where(x > 0, x, 0.01 * x)
    if feature_norm == "penultimate":
        x = x / np.linalg.norm(x)
    elif feature_norm == "layer_norm":
        x = (x - x.mean()) / np.sqrt(x.var() + 1e-5)
    elif feature_norm == "rms_norm":
        x = x / np.sqrt((x**2).mean() + 1e-5)
    return [parameters[head]["0.weight"].numpy() @ x + parameters[head]["0.bias"].numpy() for head in heads]


def plain_policy(actor, obs, noise, agent):
    mean, second = plain_network(actor, ("mean", "log_std"), obs, agent.feature_norm)
    std = np.exp(second / 2) if agent.log_variance else np.exp(second)
    action = np.tanh(mean + std * noise)
    log_prob = (-0.5 * noise**2 - np.log(std) - 0.5 * np.log(2 * np.pi) - np.log(1 - action**2)).sum()
    return action, log_prob


def plain_value(critic, obs, action, agent):
    return plain_network(critic, ("value",), np.concatenate([obs, action]), agent.feature_norm)[0][0]


def slopes(loss, parameters, step=1e-6):
    """Return the slope of a loss along every parameter, by central differences."""
    found = []
    for leaf in leaves(parameters):
        values, slope = leaf.numpy().reshape(-1), []  # the same memory
        for i in range(len(values)):
            kept, sides = values[i], []
            for shift in (step, -step):
                values[i] = kept + shift
                sides.append(loss())
            values[i] = kept
            slope.append((sides[0] - sides[1]) / (2 * step))
        found.append(np.array(slope).reshape(leaf.shape))
    return found


@pytest.mark.parametrize("feature_norm", ["penultimate", "layer_norm", "rms_norm", "none"])
@pytest.mark.parametrize("log_variance", [True, False])
def test_an_update_goes_down_the_losses_whose_slopes_finite_differences_give(feature_norm, log_variance):
    # Without momentum, Adam's first moment after one step is the gradient.
    agent = AVG(hidden=(8, 8), feature_norm=feature_norm, log_variance=log_variance, target_network=True, tau=0.3, gamma=0.9)
    state, moment, noise = started(agent)
    after, _, info = agent.step(state, moment, noise)
    obs, taken = state["obs"].numpy(), state["noise"].numpy()
    mean, squares = after["obs_statistics"]["mean"], after["obs_statistics"]["squares"]
    next_obs = ((moment.next_obs - mean) / torch.sqrt(squares / after["obs_statistics"]["count"] + 1e-8)).numpy()
    action, _ = plain_policy(state["actor"], obs, taken, agent)
    np.testing.assert_allclose(action, moment.action, atol=1e-6)

    next_action, next_log_prob = plain_policy(state["actor"], next_obs, noise[1].numpy(), agent)
    goal = float(moment.reward) + 0.9 * (plain_value(state["target"], next_obs, next_action, agent) - 0.07 * next_log_prob)
    np.testing.assert_allclose(info["td_error"], goal - plain_value(state["critic"], obs, action, agent), rtol=1e-9)
    sigma = 1.0  # of the first reward

    def actor_loss():
        fresh, own_log_prob = plain_policy(state["actor"], obs, taken, agent)
        return 0.07 * own_log_prob - plain_value(state["critic"], obs, fresh, agent)

    def critic_loss():
        return ((goal - plain_value(state["critic"], obs, action, agent)) / sigma) ** 2

    for name, loss in (("actor", actor_loss), ("critic", critic_loss)):
        expected = slopes(loss, state[name])
        assert max(np.abs(slope).max() for slope in expected) > 0.1
        for found, slope in zip(leaves(after[f"{name}_adam"]["first"]), expected, strict=True):
            np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-8)


def test_the_scale_divides_the_slope_of_the_critic_and_leaves_that_of_the_actor():
    scaled, plain = AVG(hidden=(8, 8)), AVG(hidden=(8, 8), scale_td_error=False)
    state, moment, noise = started(scaled)
    for name, value in (("count", 2.0), ("mean", 0.0), ("squares", 500.0)):
        state["td_scale"]["reward"][name] = torch.tensor(value, dtype=torch.float64)
    after, _, info = scaled.step(state, moment, noise)
    bare = {name: part for name, part in state.items() if name != "td_scale"}
    expected, _, expected_info = plain.step(bare, moment, noise)
    reward = after["td_scale"]["reward"]
    sigma = torch.sqrt(reward["squares"] / reward["count"])
    assert sigma > 10
    assert info["td_error"] == expected_info["td_error"]  # told before it is scaled
    for own, other in zip(leaves(after["critic_adam"]["first"]), leaves(expected["critic_adam"]["first"]), strict=True):
        np.testing.assert_allclose(own * sigma**2, other, rtol=1e-9, atol=1e-12)
    assert all(torch.equal(*pair) for pair in zip(leaves(after["actor"]), leaves(expected["actor"]), strict=True))


@pytest.mark.parametrize("entropy_in_scale", [True, False])
def test_entropy_has_a_share_in_the_scale_where_asked(entropy_in_scale):
    agent = AVG(hidden=(8, 8), entropy_in_scale=entropy_in_scale, entropy=0.5)
    state, moment, noise = started(agent)
    after, *_ = agent.step(state, moment, noise)
    _, log_prob = plain_policy(state["actor"], state["obs"].numpy(), state["noise"].numpy(), agent)
    share = 0.5 * log_prob if entropy_in_scale else 0.0
    np.testing.assert_allclose(after["td_scale"]["return"], float(moment.reward) - share, rtol=1e-9)


def test_told_lengths_of_gradients_are_theirs():
    agent = AVG(hidden=(8, 8), diagnostics=True)
    after, _, info = agent.step(*started(agent))
    for name in ("actor", "critic"):
        gradient = torch.cat([x.flatten() for x in leaves(after[f"{name}_adam"]["first"])])
        np.testing.assert_allclose(info[f"{name}_gradient_norm"], gradient.norm(), rtol=1e-9)


# The scale of TD errors -----------------------------------------------------------------------------------------------


def scales(moments, gamma=0.5, **options):
    """Return sigma after each (reward, terminated, truncated)."""
    scale, found = init_td_scale(), []
    for reward, terminated, truncated in moments:
        numbers = (torch.tensor(float(reward), dtype=torch.float64), torch.tensor(terminated), torch.tensor(truncated))
        scale, sigma = update_td_scale(scale, *numbers, torch.tensor(gamma, dtype=torch.float64), **options)
        found.append(sigma.item())
    return found


END, CUT, ON = (True, False), (False, True), (False, False)


def test_scale_of_a_hand_worked_sequence_in_both_forms():
    """Rewards 0, 4, 2 and the end of an episode of return 6; then 6 and the end of another, of return 6."""
    moments = [(0, *ON), (4, *ON), (2, *END), (6, *END)]
    # Var[R] is 0, 4, 8/3, 5. Var[gamma] of .5, .5, 0 is 1/18, with another 0 it is 1/16. E[G^2] is 36.
    expected = [1.0, 2.0, np.sqrt(8 / 3 + 36 / 18), np.sqrt(5 + 36 / 16)]
    np.testing.assert_allclose(scales(moments), expected)
    np.testing.assert_allclose(scales(moments, cold_start="until_two_returns"), [1.0, 1.0, 1.0, expected[-1]])


def test_scale_at_a_time_limit():
    moments = [(0, *ON), (4, *CUT), (2, *END)]
    carried, dropped = np.sqrt(8 / 3 + 36 / 18), np.sqrt(8 / 3 + 4 / 18)
    # Counted: discounts .5, 0, 0 with variance 1/18, and squared returns of 16 and 4, on average 10.
    counted = np.sqrt(8 / 3 + 10 / 18)
    for rule, last in (("carried", carried), ("dropped", dropped), ("counted", counted)):
        np.testing.assert_allclose(scales(moments, at_truncation=rule)[-1], last, err_msg=rule)
    np.testing.assert_allclose(scales(moments)[1], 2.0)
    np.testing.assert_allclose(scales(moments, at_truncation="counted")[1], np.sqrt(4 + 16 / 16))


def test_scale_with_a_discounted_return():
    moments = [(0, *ON), (4, *ON), (2, *END)]  # G = 0.5 (0.5 * 0 + 4) + 2
    np.testing.assert_allclose(scales(moments, decay=0.5)[-1], np.sqrt(8 / 3 + 16 / 18))


def test_scale_of_rewards_that_hardly_vary_is_1_until_an_episode_ends_and_then_at_least_a_hundredth():
    assert scales([(1, *ON), (1.1, *ON)]) == [1.0, 1.0]  # a variance of 0.0025
    assert scales([(0, *ON), (0, *ON), (0, *END)])[-1] == pytest.approx(0.01)


# The target network ---------------------------------------------------------------------------------------------------


def course(agent, steps=40):
    """Return the states of a learner after each of some steps, in float32."""
    spaces = Spaces((3,), 2)
    stream = GaussianStream(spaces, 5, agent.noise(spaces).shape)
    states = (state for state, *_ in run_alone(agent, spaces, stream, steps, agent.init(generator(2), spaces)))
    return [map_state(torch.clone, state) for state in states]


def test_a_target_that_follows_at_once_is_none_bit_for_bit():
    plain = course(AVG(hidden=(8, 8)))
    for own, other in zip(course(AVG(hidden=(8, 8), target_network=True, tau=1.0)), plain, strict=True):
        for name in ("actor", "critic", "actor_adam", "critic_adam", "td_scale", "obs", "noise"):
            both = (leaves({name: state[name]}) for state in (own, other))
            assert all(torch.equal(*pair) for pair in zip(*both, strict=True)), name
        assert all(torch.equal(*pair) for pair in zip(leaves(own["target"]), leaves(own["critic"]), strict=True))


def test_a_target_that_follows_slowly_changes_what_is_learnt():
    own, other = (course(AVG(hidden=(8, 8), target_network=True, tau=tau))[-1] for tau in (0.5, 1.0))
    assert not torch.equal(own["critic"]["value"]["0.weight"], other["critic"]["value"]["0.weight"])


def test_a_target_that_does_not_follow_never_moves():
    agent = AVG(hidden=(8, 8), target_network=True, tau=0.0)
    first = agent.init(generator(2), SPACES)["target"]
    states = course(agent)
    assert all(torch.equal(*pair) for state in states for pair in zip(leaves(state["target"]), leaves(first), strict=True))
    assert not torch.equal(states[-1]["critic"]["value"]["0.weight"], first["value"]["0.weight"])


# What is seen, and lanes ----------------------------------------------------------------------------------------------


def test_observations_are_standardised_as_in_gymnasium():
    agent = AVG(hidden=(8, 8))
    stream = GaussianStream(SPACES, 3, (2, 2))
    statistics = RunningMeanStd(shape=(3,))
    for state, _, moment, *_ in run_alone(agent, SPACES, stream, 50, agent.init(generator(0), SPACES)):
        if statistics.count < 1:
            statistics.update(moment.obs.numpy()[None])
        statistics.update(moment.next_obs.numpy()[None])
        if moment.restarted:
            statistics.update(moment.acting_obs.numpy()[None])
        seen = (moment.acting_obs.numpy() - statistics.mean) / np.sqrt(statistics.var + 1e-8)
        np.testing.assert_allclose(state["obs"], seen, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=needs_compiler)])
def test_a_lane_holds_the_bits_of_the_same_run_alone_whatever_its_configuration(compiled):
    """Step sizes, betas, entropy, discount and tau are numbers of a lane: one kernel serves them all."""
    configurations = [
        {"actor_lr": 1e-3, "critic_lr": 1e-2, "beta1": 0.0, "entropy": 0.1, "gamma": 0.9, "tau": 0.0},
        {"actor_lr": 1e-2, "critic_lr": 1e-3, "beta1": 0.9, "entropy": 0.5, "gamma": 1.0, "tau": 0.5},
    ]
    agents = [AVG(hidden=(9, 7), target_network=True, **configuration) for configuration in configurations]

    def live(members):
        states = [agents[i].init(generator(i), SPACES) for i in members]
        lanes = SharedKernelLanes(agents[0], SPACES, states, compiled)
        streams = [GaussianStream(SPACES, i, (2, 2)) for i in members]
        start_lanes(lanes, streams)
        _, errors = drive_lanes(lanes, streams, 30)
        return {i: (errors[:, n].copy(), lanes.state(n)) for n, i in enumerate(members)}

    group = live([0, 1])
    for i in (0, 1):
        errors, state = live([i])[i]
        assert errors.tobytes() == group[i][0].tobytes()
        assert all(torch.equal(*pair) for pair in zip(leaves(state), leaves(group[i][1]), strict=True))
    # And it does what the learner itself does.
    stream = GaussianStream(SPACES, 1, (2, 2))
    alone = [info["td_error"] for *_, info in run_alone(agents[1], SPACES, stream, 30, agents[1].init(generator(1), SPACES))]
    np.testing.assert_allclose(group[1][0], alone, rtol=1e-3, atol=1e-3)


def test_the_noise_of_an_action_stays_until_its_transition_is_learnt_from():
    agent = AVG(hidden=(8, 8))
    stream = GaussianStream(SPACES, 0, (2, 2))
    for state, action, _, noise, _ in run_alone(agent, SPACES, stream, 10, agent.init(generator(0), SPACES)):
        assert torch.equal(state["noise"], noise[0])
        again, _ = plain_policy(state["actor"], state["obs"].numpy(), state["noise"].numpy(), agent)
        np.testing.assert_allclose(action, again, atol=1e-5)
