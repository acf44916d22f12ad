"""Simulated robots: kinematics, sensors, rewards and ends as the tasks define them, and streams that are restored exactly."""

from __future__ import annotations

import math
import warnings

import gymnasium
import numpy as np
import pytest
from experiment_support import ask, kept, one_sentence
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from experiments.environments import Environment, create_mover, ur_reacher
from experiments.environments.create_mover import ARENA, RADIUS, CreateMover
from experiments.environments.robots import ROBOTS
from experiments.environments.ur_reacher import JOINT_HIGH, JOINT_LOW, REFERENCE, URReacher2

ANGLES = st.tuples(*(st.floats(float(low), float(high)) for low, high in zip(JOINT_LOW, JOINT_HIGH, strict=True)))


@pytest.mark.parametrize("env_id", ROBOTS)
def test_environment_checker_of_gymnasium_finds_nothing(env_id):
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        check_env(gymnasium.make(f"experiments.environments.robots:{env_id}", render_mode="rgb_array").unwrapped)
    # Angles and distances have no bounds that a learner should know.
    assert [w for w in told if "infinity" not in str(w.message)] == []


@pytest.mark.parametrize("env_id", ROBOTS)
def test_picture_shows_the_robot_where_it_is(env_id):
    env = gymnasium.make(env_id, render_mode="rgb_array")
    env.reset(seed=0)
    before = env.render()
    assert (before.dtype, before.ndim, before.shape[1:]) == (np.uint8, 3, (600, 3))
    for _ in range(3):
        env.step(np.array([1.0, 0.5], np.float32))
    assert (env.render() != before).any()
    assert gymnasium.make(env_id).unwrapped.render() is None


def test_command_draws_every_robot(tmp_path, capfd, monkeypatch):
    from PIL import Image

    answer = ask(capfd, monkeypatch, "picture", str(tmp_path / "new" / "pictures"), "--steps", "3")
    assert answer.code == 0
    for env_id in ROBOTS:
        with Image.open(tmp_path / "new" / "pictures" / f"{env_id}.png") as picture:
            assert np.asarray(picture).std() > 10, "an empty page"
    wrong = ask(capfd, monkeypatch, "picture", str(tmp_path), "--env-id", "Create-Mover-v1")
    assert one_sentence(wrong, "there is no robot 'Create-Mover-v1'; the closest are Create-Mover-v0")


@pytest.mark.parametrize("env_id", ROBOTS)
def test_seed_decides_how_an_episode_begins(env_id):
    first, again, other = (gymnasium.make(env_id).reset(seed=seed)[0] for seed in (4, 4, 5))
    assert first.tobytes() == again.tobytes()
    assert (first != other).any()


# UR-Reacher-2


@given(ANGLES)
def test_tool_is_where_the_closed_form_of_the_arm_says(angles):
    q2, both = angles[0], sum(angles)
    c2, s2, cb, sb = math.cos(q2), math.sin(q2), math.cos(both), math.sin(both)
    x = -0.1037 - 0.00699 * c2 - 0.00849 * cb + 0.00028 * sb
    y = 0.42494 * c2 + 0.51629 * cb - 0.01727 * sb - 0.00171
    z = 0.08916 - 0.425 * s2 - 0.51636 * sb - 0.01727 * cb
    assert ur_reacher.tool(np.array(angles)) == pytest.approx([x, y, z], abs=1e-12)


def test_arm_in_the_posture_of_reference_holds_its_tool_where_the_task_says():
    assert ur_reacher.tool(REFERENCE)[1:] == pytest.approx([0.0194, 0.7700], abs=5e-5)


@given(ANGLES)
def test_jacobian_is_the_slope_of_the_kinematics(angles):
    at, step = np.array(angles), 1e-6
    slopes = [(ur_reacher.tool(at + step * e) - ur_reacher.tool(at - step * e))[1:] / (2 * step) for e in np.eye(2)]
    assert ur_reacher.jacobian(at) == pytest.approx(np.column_stack(slopes), abs=1e-8)


def test_statistics_of_the_task_are_those_that_are_known():
    generator = np.random.default_rng(0)
    drawn = generator.uniform(JOINT_LOW, JOINT_HIGH, (40_000, 2))
    inside = np.mean([ur_reacher.in_box(ur_reacher.tool(angles)[1:]) for angles in drawn])
    # Known as 25.7 %, 0.244 m and about -89. Over four million samples it is 25.97 %, 0.2457 m and -90.6 here.
    assert inside == pytest.approx(0.257, abs=0.008)
    distances = [np.linalg.norm(ur_reacher.draw_target(generator) - ur_reacher.tool(REFERENCE)[1:]) for _ in range(20_000)]
    assert np.mean(distances) == pytest.approx(0.244, abs=0.004)
    assert np.mean([100 * ur_reacher.reward_at(float(d)) for d in distances]) == pytest.approx(-89, abs=4)


def test_arm_that_does_not_move_is_cut_after_100_steps_and_never_terminates():
    env = URReacher2()
    _, info = env.reset(seed=1)
    steps = [env.step(np.zeros(2)) for _ in range(100)]
    assert sum(reward for _, reward, *_ in steps) == pytest.approx(100 * ur_reacher.reward_at(info["distance"]))
    assert not any(terminated for *_, terminated, _, _ in steps)
    assert [n for n, (*_, truncated, _) in enumerate(steps, 1) if truncated] == [100]


def test_no_episode_has_a_return_above_500():
    assert 100 * ur_reacher.reward_at(0.0) == 500
    assert all(ur_reacher.reward_at(d) < 5 for d in np.linspace(1e-6, 1, 100))
    d = 0.07
    assert ur_reacher.reward_at(d) == pytest.approx(5 * (-d + math.exp(-100 * d**2)), abs=1e-12)


def test_velocity_changes_by_the_acceleration_and_no_faster():
    env = URReacher2()
    env.reset(seed=0)
    velocities = [env.step(np.array([1.0, -0.2]))[0][2:4] * 0.3 for _ in range(8)]
    expected = [min(0.3, 1.4 * 0.04 * n) for n in range(1, 9)]
    assert [v[0] for v in velocities] == pytest.approx(expected, abs=1e-12)
    assert [v[1] for v in velocities] == pytest.approx([-min(0.06, 1.4 * 0.04 * n) for n in range(1, 9)], abs=1e-12)


@given(
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
    st.tuples(st.floats(-0.3, 0.3), st.floats(-0.3, 0.3)),
)
def test_joint_turns_by_what_many_small_steps_sum_up_to(velocity, asked):
    joints, velocity, asked = np.array([-2.0, 1.0]), np.array(velocity), np.array(asked)
    after, fast = ur_reacher.turn(joints, velocity, asked, 0.04)
    n = 400
    for _ in range(n):
        change = np.clip(asked - velocity, -1.4 * 0.04 / n, 1.4 * 0.04 / n)
        joints = joints + (velocity + change / 2) * 0.04 / n
        velocity = velocity + change
    assert after == pytest.approx(joints, abs=1e-6)
    assert fast == pytest.approx(velocity, abs=1e-9)


def test_observation_holds_angles_velocities_way_to_the_target_and_the_last_action():
    env = URReacher2()
    env.reset(seed=2)
    obs, _, _, _, info = env.step(np.array([0.4, -3.0]))
    assert obs[:2] == pytest.approx(REFERENCE + 1.4 * 0.04**2 / 2 * np.array([1, -1]), abs=1e-12)
    assert obs[2:4] == pytest.approx([1.4 * 0.04 / 0.3, -1.4 * 0.04 / 0.3])
    target = env.get_state()["target"]
    assert obs[4:6] == pytest.approx(ur_reacher.tool(obs[:2])[1:] - target, abs=1e-12)
    assert np.linalg.norm(obs[4:6]) == pytest.approx(info["distance"])
    assert obs[6:] == pytest.approx([0.4, -1.0])


@pytest.mark.parametrize("action", [(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)])
def test_arm_that_wants_out_of_the_box_is_brought_back(action):
    env = URReacher2()
    env.reset(seed=0)
    outside, longest = 0, 0.0
    for _ in range(1000):
        obs, *_ = env.step(np.array(action))
        point = ur_reacher.tool(obs[:2])[1:]
        gap = float(np.linalg.norm(point - np.clip(point, ur_reacher.BOX_LOW, ur_reacher.BOX_HIGH)))
        outside, longest = outside + (gap > 0), max(longest, gap)
    assert outside > 0, "it never came to a wall, so nothing was tested"
    # It stops from full speed at 1.4 rad/s^2 within 0.032 rad, and has one cycle more to be noticed.
    assert longest < 0.06


def test_velocity_outside_of_the_box_has_norm_a_tenth_and_leads_back():
    joints = np.array([-1.2, 0.3])
    point = ur_reacher.tool(joints)[1:]
    assert not ur_reacher.in_box(point)
    safe = ur_reacher.safe_velocity(joints, np.array([0.3, 0.3]))
    assert np.linalg.norm(safe) == pytest.approx(0.1)
    nearest = np.clip(point, ur_reacher.BOX_LOW, ur_reacher.BOX_HIGH)
    moved = ur_reacher.tool(joints + 0.01 * safe)[1:]
    assert np.linalg.norm(moved - nearest) < np.linalg.norm(point - nearest)


def test_joint_beyond_its_limit_is_reversed_where_it_is_asked_to_go_on():
    beyond = np.array([JOINT_HIGH[0] + 0.01, -1.6])
    assert ur_reacher.in_box(ur_reacher.tool(beyond)[1:]), "the box would decide"
    assert ur_reacher.safe_velocity(beyond, np.array([0.1, 0.2])) == pytest.approx([-0.1, 0.2])
    assert ur_reacher.safe_velocity(beyond, np.array([-0.1, 0.2])) == pytest.approx([-0.1, 0.2])


# Create-Mover


def placed(x: float, y: float, heading: float) -> CreateMover:
    env = CreateMover()
    env.reset(seed=0)
    env.set_state({**env.get_state(), "pose": np.array([x, y, heading])})
    return env


@given(st.floats(-150, 150), st.floats(-150, 150), st.floats(-3, 3))
def test_arc_is_what_many_small_straight_steps_sum_up_to(left, right, heading):
    pose, n = np.array([400.0, 300.0, heading]), 3000
    exact = create_mover.moved(pose, left, right, 0.3)
    for _ in range(n):
        speed, rate = (left + right) / 2, (right - left) / 235.0
        middle = pose[2] + rate * 0.15 / n
        pose = pose + 0.3 / n * np.array([speed * math.cos(middle), speed * math.sin(middle), rate])
    assert exact == pytest.approx(pose, abs=1e-4)


def test_straight_ahead_earns_the_most_there_is():
    env = placed(200.0, 381.0, 0.0)
    obs, reward, terminated, truncated, info = env.step(np.ones(2))
    assert (reward, info["distance_mm"]) == pytest.approx((3.375, 22.5))
    assert not terminated
    assert not truncated
    assert obs[6:] == pytest.approx([1, 1])
    assert 600 * reward == pytest.approx(2025)
    assert env.step(-np.ones(2))[1] == pytest.approx(-3.375)
    assert env.step(np.array([1.0, -1.0]))[1] == 0


def test_wheels_turn_at_whole_millimetres_per_second():
    env = placed(400.0, 381.0, 0.0)
    obs, reward, *_ = env.step(np.array([0.5019, -7.0]))
    assert obs[6:] == pytest.approx([75 / 150, -1.0])
    assert reward == pytest.approx(0.15 * (75 - 150) / 2 * 0.15)


def test_driving_into_a_wall_ends_the_episode():
    env = placed(ARENA[0] - RADIUS - 40.0, 381.0, 0.0)
    _, first, bumped, *_ = env.step(np.ones(2))
    assert (first, bumped) == (pytest.approx(3.375), False)
    obs, second, bumped, truncated, _ = env.step(np.ones(2))
    assert (bumped, truncated) == (True, False)
    assert second == pytest.approx(0.15 * 17.5), "it moved until the wall and not into it"
    assert env.get_state()["pose"][0] == ARENA[0] - RADIUS
    assert obs[2:4] == pytest.approx([1.0, 1.0], abs=0.05)


@pytest.mark.parametrize(
    ("heading", "action", "bumped"),
    [(0.0, 1.0, True), (math.pi, -1.0, False), (1.4, 1.0, True), (math.pi - 1.4, -1.0, False), (math.pi, 1.0, False)],
)
def test_only_the_front_half_of_the_rim_feels_a_wall(heading, action, bumped):
    env = placed(ARENA[0] - RADIUS - 1.0, 381.0, heading)
    assert any(env.step(np.full(2, action))[2] for _ in range(3)) == bumped


def test_robot_never_leaves_the_arena():
    env = CreateMover()
    env.reset(seed=1)
    generator = np.random.default_rng(0)
    for _ in range(1500):
        _, reward, terminated, truncated, _ = env.step(generator.uniform(-1, 1, 2) + 0.4)
        x, y, _ = env.get_state()["pose"]
        assert RADIUS <= x <= ARENA[0] - RADIUS
        assert RADIUS <= y <= ARENA[1] - RADIUS
        assert abs(reward) <= 3.375 + 1e-9
        if terminated or truncated:
            env.reset()


def test_light_bumpers_see_walls_along_their_rays():
    pose = np.array([ARENA[0] - RADIUS - 100.0, 381.0, math.radians(13)])
    clear = create_mover.clearances(pose)
    assert clear[3] == pytest.approx(100.0), "the fourth looks straight at the wall"
    # The third looks at it 26 degrees from its normal, from an eye that is further back.
    angle = math.radians(26)
    assert clear[2] == pytest.approx((RADIUS + 100 - RADIUS * math.cos(angle)) / math.cos(angle))


def test_signals_saturate_near_a_wall_and_fade_out_far_from_it():
    signals = create_mover.signals_at(np.array([0.0, 5.0, 10.0, 20.0, 80.0, 161.0, 500.0]))
    assert signals[[0, 1]].tolist() == [4095, 4095]
    assert signals[3:5].tolist() == [round(4.2 + 32**2), round(4.2 + 8**2)]
    assert signals[-1] == 20
    shown = create_mover.shown(signals)
    assert (shown[0], shown[-1]) == (pytest.approx(1.0), pytest.approx(-1.0))
    assert (np.diff(shown) <= 0).all()
    # What is shown is linear in the distance between the two ends.
    assert create_mover.shown(create_mover.signals_at(np.array([50.0]))) == pytest.approx(1 - 2 * 40 / 151, abs=0.02)


def test_reset_reverses_for_one_and_a_half_seconds_from_where_the_robot_stands():
    env = placed(ARENA[0] - RADIUS, 381.0, 0.0)
    assert env.step(np.ones(2))[2]
    env.reset()
    assert env.get_state()["pose"] == pytest.approx([ARENA[0] - RADIUS - 225.0, 381.0, 0.0])
    env.reset()
    env.reset()
    assert env.get_state()["pose"] == pytest.approx([RADIUS, 381.0, 0.0]), "the wall behind it stops it"


def test_episode_of_a_robot_that_circles_is_cut_after_600_steps():
    env = placed(457.0, 205.0, 0.0)  # wheels at 30 and 150 mm/s: a circle with a radius of 176 mm
    steps = [env.step(np.array([0.2, 1.0])) for _ in range(600)]
    assert not any(terminated for *_, terminated, _, _ in steps)
    assert [n for n, (*_, truncated, _) in enumerate(steps, 1) if truncated] == [600]
    assert sum(reward for _, reward, *_ in steps) == pytest.approx(0.6 * 2025)


# As learners see them


def play(env: Environment, actions: np.ndarray) -> list[tuple[object, ...]]:
    seen: list[tuple[object, ...]] = []
    for action in actions:
        obs, reward, terminated, truncated, _ = env.step(action)
        first = env.reset()[0].tobytes() if env.needs_reset else b""
        seen.append((obs.tobytes(), reward, terminated, truncated, first, env.last_episode, dict(env.last_timing)))
    return seen


def random_actions(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.3, 1, (count, 2)).astype(np.float32)


DEVICE = {"device": "given", "action_seconds": 0.02, "learning_seconds": 0.4, "learning_every": 3, "learning_starts": 7}


@pytest.mark.parametrize("options", [{}, DEVICE], ids=["waits", "device"])
@pytest.mark.parametrize("env_id", ROBOTS)
@pytest.mark.parametrize("steps", [0, 1, 37, 100, 241])
def test_restored_at_any_step_goes_on_bit_for_bit(env_id, options, steps):
    actions = random_actions(600)
    env, restored = Environment(env_id, 3, **options), Environment(env_id, 3, **options)
    env.reset()
    play(env, actions[:steps])
    restored.set_state(kept(env.get_state()))
    assert play(restored, actions[steps:]) == play(env, actions[steps:])


@pytest.mark.parametrize("env_id", ROBOTS)
def test_robot_that_was_never_reset_is_restored_to_that(env_id):
    env, restored = Environment(env_id, 3), Environment(env_id, 3)
    restored.set_state(kept(env.get_state()))
    first = env.reset()[0]
    assert restored.reset()[0].tobytes() == first.tobytes()


@pytest.mark.parametrize("env_id", ROBOTS)
def test_stream_of_a_robot_depends_on_its_seed_and_its_actions_alone(env_id):
    actions = random_actions(300)
    one, two, other = (Environment(env_id, seed) for seed in (3, 3, 4))
    begun = [env.reset()[0].tobytes() for env in (one, two, other)]
    assert begun[0] == begun[1] != begun[2]
    assert play(one, actions) == play(two, actions)


def test_mobile_robot_goes_on_from_where_it_stands_and_the_arm_does_not():
    env = Environment("Create-Mover-v0", 3)
    env.reset()
    while not env.needs_reset:
        env.step(np.ones(2, np.float32))
    robot = env._simulator._robot
    x, y, heading = robot.get_state()["pose"]
    env.reset()
    back = np.clip(np.array([x, y]) - 225 * np.array([math.cos(heading), math.sin(heading)]), RADIUS, ARENA - RADIUS)
    assert robot.get_state()["pose"][2] == heading
    assert np.linalg.norm(robot.get_state()["pose"][:2] - back) < 120, "walls let it slide"
    begun = []
    for steps in (100, 130):
        arm = Environment("UR-Reacher-2-v0", 3)
        arm.reset()
        play(arm, random_actions(steps, seed=steps)[:100])
        begun.append(arm.get_state()["robot"]["target"].tobytes())
    assert begun[0] == begun[1], "its second target is that of the seed, whatever it did before"
