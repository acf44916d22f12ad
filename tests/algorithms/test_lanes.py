"""Lanes change nothing: a lane holds the bits of the same run alone, whatever runs beside it."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
import torch
from probes import ChoiceStream, RandomStream, SharedKernelLanes, drive_lanes, generator, run_alone, same_bits, start_lanes

from algorithms.agent import NoiseSpec, Spaces, leaves, map_state
from algorithms.lanes import Lanes
from algorithms.networks import TORSOS
from algorithms.qrc import QRC
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD
from algorithms.toolchain import compiler_available

# Sizes that no vector register divides, so that a lane's numbers fall into the main part of a loop in one group and into
# the remainder in another.
ODD_SPACES, ODD_HIDDEN = Spaces(obs_shape=(5,), action_size=3, time_feature=True), (20,)
# HalfCheetah with the networks of the paper.
FULL_SPACES, FULL_HIDDEN = Spaces(obs_shape=(18,), action_size=6, time_feature=True), (128, 128)

needs_compiler = pytest.mark.skipif(not compiler_available(), reason="no C++ compiler to compile lanes with")
ENGINES = [pytest.param(False, id="eager"), pytest.param(True, id="compiled", marks=needs_compiler)]


def run_of(lane, full=False, **options):
    """Return agent, spaces, initial state and stream of the run in lane number `lane`, by seed and hyperparameters its own."""
    agent = StreamAC(
        hidden=FULL_HIDDEN if full else ODD_HIDDEN,
        gamma=(0.99, 0.9, 0.7)[lane % 3],
        lamda=(0.8, 0.5)[lane % 2],
        kappa_policy=3.0 + lane,
        kappa_value=2.0 + 0.5 * lane,
        entropy=0.01 * (1 + lane % 4),
        **options,
    )
    spaces = FULL_SPACES if full else ODD_SPACES
    return agent, spaces, agent.init(generator(lane), spaces), RandomStream(spaces, lane)


def begin(members, compiled, engine=SharedKernelLanes, full=False, **options):
    runs = [run_of(lane, full, **options) for lane in members]
    lanes = engine(runs[0][0], runs[0][1], [state for _, _, state, _ in runs], compiled)
    streams = [stream for *_, stream in runs]
    start_lanes(lanes, streams)
    return lanes, streams


@cache
def run_group(members, compiled, steps, full=False):
    """Run lanes for a while; return {lane: (actions, TD errors, state)}."""
    lanes, streams = begin(members, compiled, full=full)
    first = lanes.action.copy()
    actions, td_errors = drive_lanes(lanes, streams, steps)
    actions = np.concatenate([first[None], actions])
    return {member: (actions[:, i].copy(), td_errors[:, i].copy(), lanes.state(i)) for i, member in enumerate(members)}


def assert_same_run(a, b):
    for x, y in zip(a, b, strict=True):
        assert same_bits(x, y)


# A lane is the run alone ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3, 5, 8, 17])
def test_eager_lane_holds_the_bits_of_the_same_run_alone(count):
    group = run_group(tuple(range(count)), False, 100)
    for lane in range(min(count, 8)):
        assert_same_run(group[lane], run_group((lane,), False, 100)[lane])


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 3, 5])
def test_compiled_lane_holds_the_bits_of_the_same_run_alone(count):
    group = run_group(tuple(range(count)), True, 300)
    for lane in range(count):
        assert_same_run(group[lane], run_group((lane,), True, 300)[lane])


@needs_compiler
@pytest.mark.slow
def test_compiled_lane_of_the_papers_size_holds_the_bits_of_the_same_run_alone():
    group = run_group(tuple(range(8)), True, 300, full=True)
    for lane in range(8):
        assert_same_run(group[lane], run_group((lane,), True, 300, full=True)[lane])


@pytest.mark.parametrize("compiled", ENGINES)
def test_place_in_the_group_does_not_matter(compiled):
    forward, backward = (run_group(members, compiled, 100) for members in ((0, 1, 2), (2, 1, 0)))
    for lane in range(3):
        assert_same_run(forward[lane], backward[lane])


@pytest.mark.parametrize("compiled", ENGINES)
def test_the_runs_compared_are_different_and_have_ended_episodes(compiled):
    group = run_group((0, 1, 2), compiled, 100)
    assert len({actions.tobytes() for actions, *_ in group.values()}) == 3
    for actions, td_errors, state in group.values():
        assert np.isfinite(actions).all()
        assert np.isfinite(td_errors).all()
        assert state["obs_statistics"]["count"] > 105  # the first observation, and one for each reset


def test_hyperparameters_of_a_lane_are_its_own():
    # Engines of their own, so that nothing of the first lane's agent can be at work in a run alone.
    lanes, streams = begin((0, 1), False, engine=Lanes)
    group_actions, group_errors = drive_lanes(lanes, streams, 30)
    for i in range(2):
        alone, stream = begin((i,), False, engine=Lanes)
        actions, errors = drive_lanes(alone, stream, 30)
        assert same_bits(actions[:, 0].copy(), group_actions[:, i].copy())
        assert same_bits(errors[:, 0].copy(), group_errors[:, i].copy())
        assert same_bits(alone.state(0), lanes.state(i))
        for name, value in run_of(i)[2]["hyper"].items():
            assert lanes.state(i)["hyper"][name] == value


# Engines agree --------------------------------------------------------------------------------------------------------


def assert_close_runs(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-3)


def test_eager_lanes_equal_the_agent_itself():
    lanes, streams = begin((0, 1, 2), False, sparsity=0.0)
    actions, errors = drive_lanes(lanes, streams, 50)
    for i in range(3):
        agent, spaces, state, stream = run_of(i, sparsity=0.0)
        steps = [(action, info["td_error"]) for _, action, _, _, info in run_alone(agent, spaces, stream, 50, state)]
        own_actions, own_errors = (torch.stack(x) for x in zip(*steps, strict=True))
        assert_close_runs((actions[:, i], errors[:, i]), (own_actions, own_errors))


@needs_compiler
@pytest.mark.parametrize("full", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["odd", "paper"])
def test_compiled_lanes_equal_eager_lanes(full):
    members = tuple(range(8)) if full else (0, 1, 2)
    results = []
    for compiled in (False, True):
        # Dense networks: under sparse ones LayerNorm of nearly equal units blows the rounding up.
        lanes, streams = begin(members, compiled, full=full, sparsity=0.0)
        actions, errors = drive_lanes(lanes, streams, 50)
        results.append((actions, errors, *(leaf for i in range(len(members)) for leaf in leaves(lanes.state(i)["critic"]))))
    assert_close_runs(*results)


# Other learners, images, choices --------------------------------------------------------------------------------------

CHOICE = Spaces((5,), 3, discrete=True, time_feature=True)
# Those of the games that `test_resume_families` plays, so that this run compiles them once. Breakout has 3 and 4 actions.
MINATAR = Spaces((4, 10, 10), 3, discrete=True)
ATARI = Spaces((84, 84), 4, discrete=True, frames=4, obs_dtype="uint8")
# Small for the sake of the eager engine, which steps 32 lanes whatever their number.
FRAMES = Spaces((6, 6), 3, discrete=True, frames=2, obs_dtype="uint8")
EXPLORING = {"exploration_fraction": 1.0, "schedule_steps": 60.0}
RECURRENT = {"units": 5, "sparsity": 0.0, "readout": (7,)}
LEARNERS = {
    "q": (StreamQ, EXPLORING, CHOICE),
    "q_frames": (StreamQ, EXPLORING | {"cut": "before_accumulation"}, FRAMES),
    "q_image": (StreamQ, EXPLORING, MINATAR),
    "q_atari": (StreamQ, EXPLORING | {"bootstrap_on_truncation": True}, ATARI),
    "sarsa": (StreamSARSA, EXPLORING | {"first_action": "from_first_obs"}, CHOICE),
    "td": (StreamTD, {}, Spaces((5,), 1, prediction=True)),
    "ac": (StreamAC, {"diagnostics": True}, CHOICE),
    "qrc": (QRC, EXPLORING | RECURRENT | {"max_norm": 1.0}, CHOICE),
    "rtu_ac": (StreamAC, RECURRENT | {"cell": "rtu", "free_std": True, "activation": "tanh"}, Spaces((5,), 1)),
    "rtu_q": (StreamQ, EXPLORING | RECURRENT | {"cell": "rtu", "diagnostics": True, "taylor_correction": True}, CHOICE),
    "gru_ac": (StreamAC, RECURRENT | {"cell": "gru", "gradient": "tbptt1"}, CHOICE),
    "lstm_q": (StreamQ, EXPLORING | RECURRENT | {"cell": "lstm"}, CHOICE),
}
GROUPS = [
    *(pytest.param(name, False, id=f"{name}-eager") for name in LEARNERS if name not in ("q_image", "q_atari")),
    *(
        pytest.param(name, True, id=f"{name}-compiled", marks=[needs_compiler, pytest.mark.slow])
        for name in ("q", "q_image", "q_atari", "qrc", "sarsa", "td", "ac", "rtu_ac")
    ),
]
# A step of the network for Atari takes as long as a thousand of the others.
FEW_STEPS = {"q_atari": 3}


@pytest.fixture
def small_torso(monkeypatch):
    monkeypatch.setitem(TORSOS, FRAMES.obs_shape, (((3, 3, 1),), (8,)))


def learner_of(name, lane):
    """Return a learner of lane number `lane`, its spaces and its stream; lanes differ in seed and hyperparameters."""
    cls, options, spaces = LEARNERS[name]
    agent = cls(hidden=ODD_HIDDEN, gamma=(0.99, 0.9, 0.7)[lane % 3], lamda=(0.8, 0.5)[lane % 2], **options)
    return agent, spaces, ChoiceStream(spaces, lane, agent.noise(spaces).shape[0], lost_life=0.05)


def live(name, members, compiled, steps):
    """Run learners side by side; return {lane: (actions, TD errors, state)}."""
    learners = [learner_of(name, lane) for lane in members]
    states = [agent.init(generator(lane), spaces) for (agent, spaces, _), lane in zip(learners, members, strict=True)]
    lanes = SharedKernelLanes(learners[0][0], learners[0][1], states, compiled)
    streams = [stream for *_, stream in learners]
    start_lanes(lanes, streams)
    first = lanes.action.copy()
    actions, errors = drive_lanes(lanes, streams, steps)
    actions = np.concatenate([first[None], actions])
    return {lane: (actions[:, i].copy(), errors[:, i].copy(), lanes.state(i)) for i, lane in enumerate(members)}


@pytest.mark.parametrize(("name", "compiled"), GROUPS)
def test_lane_of_any_learner_holds_the_bits_of_the_same_run_alone(name, compiled, small_torso):
    members = (0, 1)
    steps = FEW_STEPS.get(name, 40)
    group = live(name, members, compiled, steps)
    for lane in members:
        assert_same_run(group[lane], live(name, (lane,), compiled, steps)[lane])
    assert len({errors.tobytes() for _, errors, _ in group.values()}) == len(members)
    assert all(np.isfinite(errors).all() for _, errors, _ in group.values())


@pytest.mark.parametrize(("name", "compiled"), GROUPS)
def test_lane_of_any_learner_does_what_the_agent_itself_does(name, compiled, small_torso):
    steps = FEW_STEPS.get(name, 25)
    actions, errors, state = live(name, (0, 1), compiled, steps)[1]
    agent, spaces, stream = learner_of(name, 1)
    alone = list(run_alone(agent, spaces, stream, steps, agent.init(generator(1), spaces)))
    # What is compared is rounded in another order: after a while LayerNorm of sparse layers makes something of it.
    np.testing.assert_allclose(errors, [info["td_error"] for *_, info in alone], rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(actions[1:], np.stack([action for _, action, *_ in alone]).reshape(actions[1:].shape), atol=1e-3)
    for own, expected in zip(leaves(state), leaves(alone[-1][0]), strict=True):
        assert own.dtype == expected.dtype
        np.testing.assert_allclose(own, expected, rtol=1e-2, atol=1e-2)


# Lanes share nothing --------------------------------------------------------------------------------------------------


def nonsense(lanes):
    """Overwrite the inputs of lane 1 with what no environment gives."""
    lanes.reward[1] = np.nan
    lanes.next_obs[1] = np.nan
    lanes.acting_obs[1] *= -1e6
    lanes.terminated[1] = ~lanes.terminated[1]
    lanes.truncated[1] = True
    lanes.noise[1] = np.inf


@pytest.mark.parametrize("compiled", ENGINES)
def test_what_happens_in_one_lane_does_not_reach_another(compiled):
    undisturbed = run_group((0, 1, 2), compiled, 100)
    lanes, streams = begin((0, 1, 2), compiled)
    calm = drive_lanes(lanes, streams, 40)
    wild = drive_lanes(lanes, streams, 60, disturb=nonsense)
    for lane in (0, 2):
        actions, errors = (np.concatenate([c[:, lane], w[:, lane]]) for c, w in zip(calm, wild, strict=True))
        assert_same_run((actions, errors, lanes.state(lane)), (undisturbed[lane][0][1:].copy(), *undisturbed[lane][1:]))
    assert not np.isfinite(wild[1][:, 1]).all(), "the nonsense must have arrived in its own lane"


# State in and out -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "compiled", [pytest.param(False, id="eager"), pytest.param(True, id="compiled", marks=[needs_compiler, pytest.mark.slow])]
)
def test_state_taken_out_and_put_into_other_lanes_goes_on_with_the_same_bits(compiled):
    whole = run_group((0, 1, 2), compiled, 100)
    lanes, streams = begin((0, 1, 2), compiled)
    drive_lanes(lanes, streams, 60)
    agent, spaces, *_ = run_of(0)
    # Lanes 2 and 0 move on as lanes 0 and 1 of a group of another size.
    states, obs, action = [lanes.state(i) for i in (2, 0)], lanes.obs[[2, 0]].copy(), lanes.action[[2, 0]].copy()
    drive_lanes(lanes, [RandomStream(ODD_SPACES, 9) for _ in range(3)], 3)  # the old engine goes its own way
    resumed = SharedKernelLanes(agent, spaces, states, compiled)
    resumed.obs[:], resumed.action[:] = obs, action
    actions, errors = drive_lanes(resumed, [streams[2], streams[0]], 40)
    for i, lane in enumerate((2, 0)):
        expected = whole[lane][0][-40:].copy(), whole[lane][1][-40:].copy(), whole[lane][2]
        assert_same_run((actions[:, i].copy(), errors[:, i].copy(), resumed.state(i)), expected)


def test_state_of_a_lane_is_a_copy_of_the_form_that_init_makes():
    lanes, streams = begin((0, 1), False)
    initial = run_of(0)[2]
    before = lanes.state(0)
    assert [(x.dtype, x.shape) for x in leaves(before)] == [(x.dtype, x.shape) for x in leaves(initial)]
    assert map_state(lambda *x: x[0], before, initial).keys() == initial.keys()
    kept = map_state(torch.clone, before)
    drive_lanes(lanes, streams, 3)
    assert same_bits(before, kept)
    taken = lanes.state(1)
    for leaf in leaves(taken):
        leaf.fill_(7)
    assert not same_bits(lanes.state(1), taken)


def test_initial_states_are_not_written_to():
    runs = [run_of(lane) for lane in range(2)]
    states = [state for _, _, state, _ in runs]
    kept = [map_state(torch.clone, state) for state in states]
    lanes = SharedKernelLanes(runs[0][0], ODD_SPACES, states, compiled=False)
    streams = [stream for *_, stream in runs]
    start_lanes(lanes, streams)
    drive_lanes(lanes, streams, 3)
    assert all(same_bits(a, b) for a, b in zip(states, kept, strict=True))


# The engine's own arrays ----------------------------------------------------------------------------------------------


def test_start_is_the_agents_start():
    lanes, _ = begin((0, 1, 2), False)
    for i in range(3):
        agent, _, state, stream = run_of(i)
        obs = stream.reset()
        state, action = agent.start(state, torch.tensor(obs), torch.tensor(stream.noise()))
        assert same_bits(lanes.state(i), state)
        assert same_bits(lanes.action[i], action.numpy())
        assert same_bits(lanes.obs[i], obs)


@pytest.mark.parametrize("compiled", ENGINES)
def test_one_step_is_one_update(compiled):
    # The first call traces the step, which must not count as one.
    lanes, streams = begin((0, 1, 2), compiled, engine=SharedKernelLanes if compiled else Lanes)
    streams = [RandomStream(ODD_SPACES, i, termination=0, truncation=0) for i in range(3)]
    for n in range(1, 4):
        drive_lanes(lanes, streams, 1)
        for i in range(3):
            assert lanes.state(i)["reward_scaler"]["count"] == n
            assert lanes.state(i)["obs_statistics"]["count"] == n + 1


@pytest.mark.parametrize("compiled", ENGINES)
def test_arrays_have_one_row_per_lane_and_show_the_next_moment(compiled):
    lanes, streams = begin((0, 1, 2), compiled)
    views = {name: getattr(lanes, name) for name in ("obs", "action", "reward", "next_obs", "acting_obs", "noise")}
    for _ in range(30):
        drive_lanes(lanes, streams, 1)
        assert same_bits(lanes.obs.copy(), lanes.acting_obs.copy())
        assert set(lanes.info) == {"td_error"}
        assert lanes.info["td_error"].shape == (3,)
    assert all(getattr(lanes, name) is view for name, view in views.items()), "a loop may hold on to the arrays"
    assert lanes.count == 3
    assert (lanes.action.dtype, lanes.action.shape) == (np.float32, (3, 3))
    assert (lanes.obs.dtype, lanes.obs.shape) == (np.float64, (3, 5))
    assert (lanes.noise.dtype, lanes.noise.shape) == (np.float32, (3, 3))
    assert (lanes.terminated.dtype, lanes.reward.dtype) == (np.bool_, np.float64)


@dataclass(frozen=True)
class Toy:
    """An agent without learning: it keeps the last two rewards and their sum, and shows in discrete actions what it saw."""

    def noise(self, spaces):
        return NoiseSpec("uniform", ())

    def init(self, generator, spaces):
        return {"last": torch.zeros((), dtype=torch.float64), "before": {"last": torch.zeros((), dtype=torch.float64)}}

    def start(self, state, obs, noise):
        return state, obs.sum().to(torch.int64)

    def step(self, state, transition, noise):
        action = transition.acting_obs.sum().to(torch.int64) + transition.action + (noise > 0.5)
        # The old `last` moves to `before` and into the info untouched.
        info = {"seen": transition.action * 2, "last": state["last"]}
        return {"last": transition.reward * 1, "before": {"last": state["last"]}}, action, info


TOY_SPACES = Spaces(obs_shape=(2, 3), action_size=4, discrete=True)


def toy_lanes():
    lanes = Lanes(Toy(), TOY_SPACES, [Toy().init(generator(0), TOY_SPACES) for _ in range(2)], compiled=False)
    lanes.acting_obs[:] = np.arange(12).reshape(2, 2, 3)
    lanes.start()
    return lanes


def test_discrete_actions_and_observations_of_any_shape():
    lanes = toy_lanes()
    assert lanes.action.dtype == np.int64
    assert lanes.action.tolist() == [15, 51]
    lanes.noise[:] = [0.2, 0.9]
    lanes.acting_obs[:] = 1.0
    lanes.step()
    assert lanes.info["seen"].tolist() == [30, 102]
    assert lanes.action.tolist() == [21, 58]
    assert lanes.obs.shape == (2, 2, 3)


def test_agent_may_hand_an_old_part_of_its_state_on_as_a_new_one():
    lanes = toy_lanes()
    for reward in (1.0, 2.0, 3.0):
        lanes.reward[:] = [reward, -reward]
        lanes.step()
    for i, sign in enumerate((1, -1)):
        state = lanes.state(i)
        assert state["last"].item() == 3 * sign
        assert state["before"]["last"].item() == 2 * sign


def test_agent_may_show_an_old_part_of_its_state():
    lanes = toy_lanes()
    for reward in (1.0, 2.0, 3.0):
        lanes.reward[:] = [reward, -reward]
        lanes.step()
    assert lanes.info["last"].tolist() == [2.0, -2.0]
