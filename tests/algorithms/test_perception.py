"""What a learner sees: frames standardised with the statistics of their own time, then stacked."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from probes import ChoiceStream, generator, run_alone, transition
from reference_parts import ReferenceSenses

from algorithms.agent import Spaces
from algorithms.perception import init_perception, see, see_acting
from algorithms.stream_ac import StreamAC
from algorithms.stream_q import StreamQ
from algorithms.stream_sarsa import StreamSARSA
from algorithms.stream_td import StreamTD

FRAMES = Spaces((2, 3), 2, discrete=True, frames=3)
NO, YES = torch.tensor(False), torch.tensor(True)


def frame(*values):
    """Return a frame of shape (2, 3), all of one value or of six."""
    return torch.tensor(np.resize(np.array(values, np.float64), (2, 3)))


def shown(state):
    """Return the value of each frame of the stack, which are all of one value."""
    assert (state["obs"] == state["obs"][:, :1, :1]).all()
    return state["obs"][:, 0, 0].tolist()


def test_form_of_what_is_seen():
    for spaces, shape in (
        (Spaces((5,), 2), (5,)),
        (Spaces((4, 10, 10), 2), (4, 10, 10)),
        (Spaces((84, 84), 2, frames=4, obs_dtype="uint8"), (4, 84, 84)),
        (Spaces((5,), 2, frames=3), (3, 5)),
    ):
        state = init_perception(spaces, normalize=True)
        seen = see(state, torch.ones(spaces.obs_shape, dtype=getattr(torch, spaces.obs_dtype)), first=True)
        for s in (state, seen):
            assert (s["obs"].shape, s["obs"].dtype) == (shape, torch.float32)
            assert s["obs_statistics"]["mean"].shape == spaces.obs_shape
            assert s["obs_statistics"]["mean"].dtype == torch.float64
        assert "obs_statistics" not in init_perception(spaces, normalize=False)
    assert init_perception(Spaces((5,), 2, time_feature=True), True)["obs_statistics"]["mean"].shape == (4,)


def test_first_frame_fills_the_stack_and_later_ones_push_the_oldest_out():
    state = see(init_perception(FRAMES, normalize=False), frame(7), first=True)
    assert shown(state) == [7, 7, 7]
    for value, expected in ((1, [7, 7, 1]), (2, [7, 1, 2]), (3, [1, 2, 3]), (4, [2, 3, 4])):
        state = see(state, frame(value))
        assert shown(state) == expected


def test_frames_stay_as_they_were_standardised_when_they_were_seen():
    state = init_perception(FRAMES, normalize=True)
    values, expected = [3.0, 5.0, -2.0, 11.0, 4.0], []
    for n, value in enumerate(values):
        state = see(state, frame(value), first=n == 0)
        past = np.array(values[: n + 1])
        deviation = np.sqrt((past.var(ddof=1) if n else 1.0) + 1e-8)
        expected.append((value - past.mean()) / deviation)
        stack = ([expected[0]] * 3 + expected[1:])[-3:] if n else [expected[0]] * 3
        np.testing.assert_allclose(shown(state), stack, rtol=1e-6)


def test_every_pixel_has_statistics_of_its_own():
    state = init_perception(FRAMES, normalize=True)
    images = [np.arange(6.0) * n**2 + np.arange(6.0)[::-1] for n in range(4)]
    for n, image in enumerate(images):
        state = see(state, frame(*image), first=n == 0)
    np.testing.assert_allclose(state["obs_statistics"]["mean"].flatten(), np.mean(images, axis=0), rtol=1e-12)
    expected = (images[-1] - np.mean(images, axis=0)) / np.sqrt(np.var(images, axis=0, ddof=1) + 1e-8)
    np.testing.assert_allclose(state["obs"][-1].flatten(), expected, rtol=1e-5)


def test_restart_shows_the_first_frame_in_all_places_and_counts_it():
    for normalize in (True, False):
        state = init_perception(FRAMES, normalize)
        for n, value in enumerate([3.0, 5.0, -2.0, 11.0]):
            state = see(state, frame(value), first=n == 0)
        after = see_acting(state, frame(6.0), YES)
        assert len(set(shown(after))) == 1
        if normalize:
            assert after["obs_statistics"]["count"] == 5
            past = np.array([3.0, 5.0, -2.0, 11.0, 6.0])
            np.testing.assert_allclose(shown(after)[0], (6.0 - past.mean()) / np.sqrt(past.var(ddof=1) + 1e-8), rtol=1e-6)
        else:
            assert shown(after) == [6, 6, 6]


def test_where_nothing_was_restarted_the_acting_observation_is_the_one_already_seen():
    state = init_perception(FRAMES, normalize=True)
    for n, value in enumerate([3.0, 5.0, -2.0]):
        state = see(state, frame(value), first=n == 0)
    after = see_acting(state, frame(99.0), NO)
    assert torch.equal(after["obs"], state["obs"])
    for name, x in state["obs_statistics"].items():
        assert torch.equal(after["obs_statistics"][name], x)


def test_bytes_are_seen_as_the_numbers_they_are():
    # No scaling to [0, 1], and no overflow: 255 + 255 is not 254.
    spaces = Spaces((2, 2), 2, discrete=True, frames=2, obs_dtype="uint8")
    dark, bright = torch.zeros(2, 2, dtype=torch.uint8), torch.full((2, 2), 255, dtype=torch.uint8)
    state = see(init_perception(spaces, normalize=False), bright, first=True)
    assert see(state, dark)["obs"].flatten().tolist() == [255.0] * 4 + [0.0] * 4
    state = init_perception(spaces, normalize=True)
    for n, image in enumerate((bright, bright, dark)):
        state = see(state, image, first=n == 0)
    assert (state["obs_statistics"]["mean"] == 170).all()
    np.testing.assert_allclose(state["obs"][-1], -170 / np.sqrt(3 * 85**2), rtol=1e-6)


def test_components_left_out_of_the_statistics_pass_unchanged():
    spaces = Spaces((3,), 1, time_feature=True)
    state = init_perception(spaces, normalize=True)
    for n, obs in enumerate(([1.0, 10.0, -0.5], [3.0, 14.0, 0.25])):
        state = see(state, torch.tensor(obs).double(), first=n == 0)
    np.testing.assert_allclose(state["obs"], [2**-0.5, 2**-0.5, 0.25], rtol=1e-6)


moments = st.lists(
    st.tuples(
        st.lists(st.floats(-100, 100), min_size=6, max_size=6),
        st.booleans(),
        st.lists(st.floats(-100, 100), min_size=6, max_size=6),
    ),
    min_size=1,
    max_size=12,
)


@settings(max_examples=50)
@given(st.lists(st.floats(-100, 100), min_size=6, max_size=6), moments, st.integers(1, 4), st.booleans())
def test_any_stream_is_seen_as_by_the_reference(begin, stream, frames, normalize):
    reference = ReferenceSenses(False, frames, 0.9, normalize, False, True)
    spaces = Spaces((2, 3), 2, frames=frames)
    state = see(init_perception(spaces, normalize), frame(*begin), first=True)
    reference.look(frame(*begin), first=True)
    for obs, restarted, acting in stream:
        state = see(state, frame(*obs))
        expected = reference.look(frame(*obs))
        np.testing.assert_allclose(state["obs"], expected, rtol=1e-4, atol=1e-5)
        state = see_acting(state, frame(*acting), torch.tensor(restarted))
        if restarted:
            expected = reference.look(frame(*acting), first=True)
        np.testing.assert_allclose(state["obs"], expected, rtol=1e-4, atol=1e-5)
    if normalize:
        assert state["obs_statistics"]["count"] == len(reference.seen)


# In the learners ------------------------------------------------------------------------------------------------------

IMAGES = Spaces((10, 10), 2, discrete=True, frames=2, obs_dtype="uint8")
LEARNERS = {"q": StreamQ(), "sarsa": StreamSARSA(), "ac": StreamAC(), "td": StreamTD()}


@pytest.mark.parametrize("name", LEARNERS)
def test_learners_see_every_observation_once_and_the_first_of_an_episode_as_well(name):
    agent = LEARNERS[name]
    (noise_size,) = agent.noise(IMAGES).shape
    stream = ChoiceStream(IMAGES, 0, noise_size, termination=0.3, truncation=0.3, lost_life=0.3)
    everything = ReferenceSenses(False, IMAGES.frames, 0.9, True, False, True)
    seen = 1
    for n, (state, _, moment, *_) in enumerate(run_alone(agent, IMAGES, stream, 12, agent.init(generator(0), IMAGES))):
        if n == 0:
            everything.look(moment.obs.numpy(), first=True)
        expected = everything.look(moment.next_obs.numpy())
        seen += 1
        if moment.restarted:
            expected = everything.look(moment.acting_obs.numpy(), first=True)
            seen += 1
        assert state["obs_statistics"]["count"] == seen
        np.testing.assert_allclose(state["obs"], expected, rtol=1e-4, atol=1e-5)
    assert seen > 16


@pytest.mark.parametrize("name", LEARNERS)
def test_first_observation_of_all_fills_the_stack(name):
    agent = dataclasses.replace(LEARNERS[name], normalize_obs=False)
    obs = torch.arange(100, dtype=torch.uint8).reshape(10, 10)
    state, _ = agent.start(agent.init(generator(0), IMAGES), obs, torch.zeros(agent.noise(IMAGES).shape))
    assert torch.equal(state["obs"], obs.float().expand(2, 10, 10))


VECTORS = Spaces((2,), 2, discrete=True)
WEIGHTS = {"q": "q", "sarsa": "q", "ac": "critic", "td": "v"}
NOISE = torch.tensor([0.9, 0.0])  # AC draws action 1, and the others have nothing to draw


def linear(name, bias):
    """Return a learner of values w x + b with w = 0, gamma = 1/2 and lambda = alpha = 1, begun at (1, 0)."""
    options = {"hidden": (), "normalize_obs": False, "normalize_reward": False, "optimizer": "sgd", "lamda": 1.0, "gamma": 0.5}
    if name in ("q", "sarsa"):
        options |= {"epsilon_start": 0.0, "epsilon_end": 0.0}
    agent = type(LEARNERS[name])(**options)
    state = agent.init(generator(0), VECTORS)
    for part in {WEIGHTS[name], "actor"} & set(state):
        state[part] = {key: torch.full_like(p, bias if key.endswith("bias") else 0.0) for key, p in state[part].items()}
    state, action = agent.start(state, torch.tensor([1.0, 0.0]).double(), NOISE[: agent.noise(VECTORS).shape[0]])

    def step(state, action, obs, reward, next_obs, terminated):
        moment = transition(obs, action.numpy(), reward, next_obs, terminated, restarted=False)
        return agent.step(state, moment, NOISE[: agent.noise(VECTORS).shape[0]])

    return state, action, step


@pytest.mark.parametrize("name", LEARNERS)
def test_lost_life_cuts_the_trace_but_not_what_is_seen(name):
    def lived(terminated):
        state, action, step = linear(name, bias=0.0)
        state, action, first = step(state, action, [1.0, 0.0], 1.0, [0.0, 1.0], terminated)
        assert state["obs"].tolist() == [0.0, 1.0]
        state, _, second = step(state, action, [0.0, 1.0], 4.0, [1.0, 0.0], False)
        weight = next(p for key, p in state[WEIGHTS[name]].items() if key.endswith("weight"))
        return first["td_error"].item(), second["td_error"].item(), weight[0].tolist()

    # The first update makes v(x) = x_0 + 1. Then delta = 4 + v(1, 0) / 2 - v(0, 1) = 4, along the gradient (0, 1), or along
    # (1/2, 1) where the trace went on.
    assert lived(terminated=True) == (1.0, 4.0, [1.0, 4.0])
    assert lived(terminated=False) == (1.0, 4.0, [3.0, 4.0])


@pytest.mark.parametrize("name", LEARNERS)
def test_value_after_a_lost_life_is_not_in_the_target(name):
    for terminated, expected in ((True, 1.0 - 2.0), (False, 1.0 + 2.0 / 2 - 2.0)):
        state, action, step = linear(name, bias=2.0)
        _, _, info = step(state, action, [1.0, 0.0], 1.0, [0.0, 1.0], terminated)
        assert info["td_error"] == expected
