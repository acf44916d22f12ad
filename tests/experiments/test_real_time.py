"""A world that goes on while the agent computes: cycles missed, actions held, rewards summed, and time that is told."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
import pytest
from experiment_support import eager, kept, make_run, result_bytes
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st

from experiments import devices
from experiments.catalog import load_experiment
from experiments.devices import Computing, missed
from experiments.environments import Environment
from experiments.environments.real_time import RealTime
from experiments.environments.robots import ROBOTS
from experiments.environments.ur_reacher import URReacher2
from experiments.errors import UserError
from experiments.expand import check_hyperparameters, resolve
from experiments.plan import plan
from experiments.robot_arms import CYCLES
from experiments.spec import Arm, Row
from experiments.store import Store
from experiments.training.batch import Stream
from experiments.worker import DONE, STOPPED, train_runs

CYCLE, RESET = 0.1, 1.0


class Line(gymnasium.Env):
    """A robot that notes what it was told in each cycle; the reward of cycle n is n, and an episode has some cycles."""

    cycle_seconds, reset_seconds = CYCLE, RESET
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-9.0, 9.0, (1,), np.float32)

    def __init__(self, length: int = 1000):
        self.length, self.told = length, []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.told = []
        return np.zeros(1), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.told.append(float(action[0]))
        n = len(self.told)
        return np.array([float(n)]), float(n), n == self.length, False, {}


def act(env: RealTime, actions: Sequence[float]) -> list[tuple[float, float, bool, int]]:
    """Take actions in one episode; return observation, reward, end and missed cycles of each step."""
    seen = []
    for action in actions:
        obs, reward, terminated, _, info = env.step(np.array([action]))
        seen.append((float(obs[0]), reward, terminated, info["missed_cycles"]))
        if terminated:
            break
    return seen


@pytest.mark.parametrize(
    ("cycles", "expected"), [(0.0, 0), (0.3, 0), (1.0, 0), (1.01, 1), (2.0, 1), (2.1, 2), (3.0, 2), (20.17, 20)]
)
def test_agent_misses_the_cycles_that_end_before_it_is_ready(cycles, expected):
    assert missed(cycles * CYCLE, CYCLE) == expected
    assert missed(cycles * 0.04, 0.04) == expected


@given(st.integers(1, 10_000))
def test_whole_number_of_cycles_is_not_one_more_by_rounding(cycles):
    for cycle in (0.04, 0.15):
        assert missed(cycles * cycle, cycle) == cycles - 1
        assert missed(sum([cycle] * min(cycles, 300)), cycle) == min(cycles, 300) - 1


def test_agent_that_is_fast_enough_sees_an_ordinary_environment():
    env, plain = RealTime(Line(), Computing(0.03, 0.07)), Line()
    env.reset()
    plain.reset()
    for action in (3.0, -1.0, 2.0):
        obs, reward, terminated, truncated, _ = env.step(np.array([action]))
        expected = plain.step(np.array([action]))
        assert (obs, reward, terminated, truncated) == expected[:4]
    assert (env.steps, env.cycles, env.missed) == (3, 3, 0)


def test_action_in_force_is_held_in_missed_cycles_and_their_rewards_are_summed():
    world = Line()
    env = RealTime(world, Computing(0.05, 0.16))  # 2.1 cycles
    env.reset()
    seen = act(env, [1.0, 2.0, 3.0])
    assert world.told == [1, 1, 1, 2, 2, 2, 3], "the first action waits for nobody, as the robot stands still"
    assert [n for *_, n in seen] == [0, 2, 2]
    assert [obs for obs, *_ in seen] == [1, 4, 7], "what the robot shows after its first cycle under the new action"
    assert [reward for _, reward, *_ in seen] == [1, 2 + 3 + 4, 5 + 6 + 7]
    assert (env.steps, env.cycles, env.missed) == (3, 7, 4)


class Watch:
    """A clock that a scripted agent moves on."""

    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time


def test_missed_cycles_of_a_scripted_slow_agent_are_counted():
    watch, world = Watch(), Line()
    env = RealTime(world, None, now=watch)
    env.reset()
    thinks = [5.0, 0.02, 0.25, 0.1, 0.31, 0.0, 1.0]
    counted = []
    for number, seconds in enumerate(thinks):
        watch.time += seconds
        counted.append(env.step(np.array([float(number)]))[4]["missed_cycles"])
        watch.time += 0.0
    assert counted == [0, 0, 2, 0, 3, 0, 9]
    assert world.told == [0, 1, 1, 1, 2, 3, 3, 3, 3, 4, 5, *[5] * 9, 6]
    assert (env.missed, env.cycles) == (14, 14 + len(thinks))
    assert env.seconds == pytest.approx(RESET + 5.0 + 0.1 * env.cycles)


def test_episode_that_ends_while_the_agent_computes_ends_at_its_cycle():
    world = Line(length=3)
    env = RealTime(world, Computing(0.0, 0.55))  # 5.5 cycles
    env.reset()
    seen = act(env, [1.0, 2.0])
    assert seen == [(1, 1, False, 0), (3, 2 + 3, True, 2)]
    assert world.told == [1, 1, 1], "the second action came too late"
    assert env.cycles == 3
    assert env.seconds == pytest.approx(RESET + 0.1 + 0.55), "the robot stands still until the agent has seen the end"


def test_learning_from_an_end_takes_place_while_the_robot_resets():
    for learning, reset in ((0.4, RESET), (2.5, 2.5)):
        env = RealTime(Line(length=1), Computing(0.02, learning))
        env.reset()
        assert env.seconds == RESET, "there was nothing to learn from"
        env.step(np.array([1.0]))
        assert env.seconds == pytest.approx(RESET + 0.02 + CYCLE)
        env.reset()
        assert env.seconds == pytest.approx(RESET + 0.02 + CYCLE + reset)
        assert act(env, [1.0])[0][3] == 0, "learning was counted once"


def test_robot_holds_still_until_the_first_action_of_an_episode():
    world = Line(length=2)
    env = RealTime(world, Computing(0.0, 0.3))
    env.reset()
    act(env, [7.0, 7.0])
    env.reset()
    assert env.get_state()["in_force"].tolist() == [0.0]
    act(env, [5.0])
    assert world.told == [5.0]


def test_agent_that_learns_now_and_then_misses_cycles_now_and_then():
    env = RealTime(Line(), Computing(0.01, 0.35, learning_every=3, learning_starts=4))
    env.reset()
    assert [n for *_, n in act(env, [1.0] * 13)] == [0, 0, 0, 0, 0, 0, 3, 0, 0, 3, 0, 0, 3]


@given(st.integers(1, 12), st.floats(0, 0.5), st.floats(0, 2), st.integers(1, 5), st.integers(0, 9))
def test_return_is_that_of_the_robot_whatever_the_agent_misses(length, acting, learning, every, starts):
    env = RealTime(Line(length), Computing(acting, learning, every, starts))
    for _ in range(3):
        env.reset()
        seen = act(env, [1.0] * (length + 1))
        assert sum(reward for _, reward, *_ in seen) == length * (length + 1) / 2
        assert seen[-1][2]
    assert env.cycles == 3 * length
    assert env.cycles - env.missed <= env.steps <= env.cycles
    assert env.seconds >= 3 * RESET + env.cycles * CYCLE - 1e-9


def test_wrapped_robot_passes_the_checker_of_gymnasium():
    check_env(RealTime(URReacher2(), Computing(0.017, 0.037)), skip_render_check=True)


@pytest.mark.parametrize("step", range(14))
def test_clock_is_restored_exactly(step):
    def made() -> RealTime:
        return RealTime(Line(length=9), Computing(0.013, 0.27, 2, 3))

    env, restored = made(), made()
    env.reset()
    for _ in range(step):
        if env.step(np.array([1.5 + step]))[2]:
            env.reset()
    restored.set_state(kept(env.get_state()))
    restored.unwrapped.told = list(env.unwrapped.told)
    for action in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0):
        one, two = (e.step(np.array([action])) for e in (env, restored))
        assert one == two
        assert env.unwrapped.told == restored.unwrapped.told
        if one[2]:
            assert env.reset() == restored.reset()


# Devices


def timed(algorithm: str, env_id: str = "Create-Mover-v0", device: str = "jetson_nano", **changes: Any) -> dict[str, Any]:
    arm = Arm("arm", algorithm, changes)
    return dict(resolve(Row(env_id, (arm,), 1000, 1, 1, {"device": device}), arm, 0).environment)


def test_profile_holds_what_was_published():
    nano = devices.devices()["jetson_nano"]
    assert (nano.memory_bytes, nano.action_seconds) == (4e9, 0.017)
    assert devices.update_seconds("jetson_nano", "avg", 1) == 0.037
    assert devices.update_seconds("jetson_nano", "sac", 256) == 2.0
    assert 0.060 <= devices.update_seconds("workstation", "sac", 256) <= 0.070


def test_update_between_two_known_batches_is_linear_and_beyond_them_unknown():
    assert devices.update_seconds("jetson_nano", "sac", 1) == 0.056
    assert devices.update_seconds("jetson_nano", "sac", 103) == pytest.approx(0.056 + (2.0 - 0.056) * 102 / 255)
    for learner, samples in (("sac", 257), ("avg", 2), ("stream_q", 1)):
        with pytest.raises(UserError, match=f"jetson_nano does not say how long an update of {learner} from {samples}"):
            devices.update_seconds("jetson_nano", learner, samples)


def test_run_carries_the_numbers_of_its_learner_on_its_device():
    numbers = {name: timed("stream_ac")[name] for name in ("action_seconds", "learning_seconds", "learning_every")}
    assert numbers == {"action_seconds": 0.017, "learning_seconds": 0.037, "learning_every": 1}
    assert timed("sac")["learning_seconds"] == 2.0
    assert timed("ppo")["learning_seconds"] == pytest.approx(10 * 32 * 0.152)
    assert timed("ppo")["learning_every"] == 2048
    assert timed("sac", buffer_size=100, sizes="derived")["learning_seconds"] == pytest.approx(0.8107, abs=1e-4)
    assert timed("stream_ac", device="workstation")["learning_seconds"] == 0.0012
    assert timed("stream_ac", device="")["learning_seconds"] == 0.0


def test_number_that_is_set_stays():
    arm = Arm("arm", "stream_ac")
    run = resolve(Row("Create-Mover-v0", (arm,), 9, 1, 1, {"device": "jetson_nano", "learning_seconds": 0.5}), arm, 0)
    assert dict(run.environment)["learning_seconds"] == 0.5
    assert dict(run.environment)["action_seconds"] == 0.017


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"device": "jetson"}, "there is no device 'jetson'; the closest are jetson_nano"),
        ({"learning_seconds": 0.1}, "need a device that they are of; add --set device=given"),
        ({"device": "measured", "action_seconds": 0.1}, "need a device that they are of"),
        ({"device": "given", "learning_every": 0}, "learning_every must be at least 1; 0 is not"),
        ({"device": "given", "learning_seconds": -1.0}, "must be at least 0"),
    ],
)
def test_time_that_means_nothing_is_refused(environment, message):
    arm = Arm("arm", "stream_ac")
    with pytest.raises(UserError, match=message):
        check_hyperparameters(resolve(Row("Create-Mover-v0", (arm,), 9, 1, 1, environment), arm, 0))


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [
        ("ppo", {"rollout_steps": 128, "epochs": 2, "hidden": (4,)}),
        ("sac", {"learning_starts": 9, "batch_size": 4, "hidden": (4,)}),
        ("sac1", {"hidden": (4,), "buffer_size": 7}),
    ],
)
def test_batch_learner_learns_when_its_clock_says(algorithm, changes):
    run = make_run("Create-Mover-v0", 0, 300, algorithm, {"device": "jetson_nano"}, **changes)
    stream = Stream(run)
    computing = stream.environment._simulator._inner.computing
    learnt = []
    for step in range(1, 300):
        before = stream.model._n_updates
        stream.step()
        learnt.append((stream.model._n_updates > before) == (computing.learning_after(step) > 0))
    assert all(learnt)
    assert stream.model._n_updates > 0


# Runs


def test_run_tells_seconds_and_missed_cycles_of_every_episode(tmp_path):
    run = make_run("UR-Reacher-2-v0", 0, 130, environment={"device": "jetson_nano"})
    store = Store(tmp_path)
    assert train_runs((run,), store, eager(), lambda: False) == DONE
    _, provenance, tables = store.load(run.run_id)
    episodes = tables["episodes"].to_pydict()
    # 54 ms are two cycles of 40: an episode of 100 cycles is one step, 49 of two cycles, and one that is cut at its first.
    assert episodes["length"] == [51, 51]
    assert episodes["cycles"] == [100.0, 100.0]
    assert episodes["missed_cycles"] == [50.0, 50.0]
    first = 3.5 + 0.017 + 100 * 0.04 + (0.054 - 0.04)
    assert episodes["seconds"] == pytest.approx([first, 2 * first])
    assert "time" not in provenance


def test_run_of_a_robot_that_waits_tells_nothing_of_time(tmp_path):
    run = make_run("UR-Reacher-2-v0", 0, 130)
    store = Store(tmp_path)
    assert train_runs((run,), store, eager(), lambda: False) == DONE
    assert store.load(run.run_id)[2]["episodes"].column_names == ["step", "episodic_return", "length"]


def test_same_run_twice_is_the_same_to_the_byte(tmp_path):
    runs = tuple(make_run("Create-Mover-v0", seed, 150, environment={"device": "jetson_nano"}) for seed in range(2))
    stores = [Store(tmp_path / name) for name in "ab"]
    for store in stores:
        assert train_runs(runs, store, eager(), lambda: False) == DONE
    assert result_bytes(stores[0], runs) == result_bytes(stores[1], runs)


@pytest.mark.parametrize("env_id", ["UR-Reacher-2-v0", "Create-Mover-v0"])
@pytest.mark.parametrize(
    ("algorithm", "steps", "changes"),
    [
        ("sac", 240, {"learning_starts": 20, "batch_size": 4, "buffer_size": 50, "hidden": (8,)}),
        ("ppo", 900, {"rollout_steps": 128, "epochs": 1, "hidden": (8,)}),
    ],
)
def test_batch_learner_stopped_again_and_again_ends_in_the_same_bytes(tmp_path, env_id, algorithm, steps, changes):
    run = make_run(env_id, 0, steps, algorithm, {"device": "jetson_nano", "learning_seconds": 0.9}, **changes)
    alone, stopped = Store(tmp_path / "alone"), Store(tmp_path / "stopped")
    assert train_runs((run,), alone, eager(), lambda: False) == DONE
    ends = []
    for patience in (1, 77, 100, 1000):
        asked = itertools.count()
        ends.append(train_runs((run,), stopped, eager(), lambda asked=asked, last=patience: next(asked) >= last))
    assert ends == [STOPPED, STOPPED, STOPPED, DONE]
    assert result_bytes(stopped, (run,)) == result_bytes(alone, (run,))
    assert len(alone.load(run.run_id)[2]["episodes"]) > 1, "nothing was there to be compared"


@pytest.mark.parametrize(("algorithm", "changes"), [("stream_ac", {}), ("sac", {"hidden": (4,), "batch_size": 2})])
def test_measured_time_is_marked_and_claims_nothing(tmp_path, algorithm, changes):
    run = make_run("UR-Reacher-2-v0", 0, 120, algorithm, {"device": "measured"}, **changes)
    store = Store(tmp_path)
    assert train_runs((run,), store, eager(), lambda: False) == DONE
    _, provenance, tables = store.load(run.run_id)
    assert provenance["time"] == devices.NOT_EXACT
    assert tables["episodes"].to_pydict()["seconds"][0] >= 3.5 + 4.0


def test_measured_runs_are_trained_alone(tmp_path):
    for device, groups in (("jetson_nano", [4]), ("measured", [1, 1, 1, 1])):
        runs = [make_run("UR-Reacher-2-v0", seed, 120, environment={"device": device}) for seed in range(4)]
        assert [len(group.runs) for group in plan(Store(tmp_path), runs, workers=1)] == groups


def test_environment_of_a_device_has_the_same_spaces_and_begins_alike():
    waits, goes_on = (Environment("Create-Mover-v0", 3, **options) for options in ({}, {"device": "jetson_nano"}))
    assert waits.spaces == goes_on.spaces
    assert waits.reset()[0].tobytes() == goes_on.reset()[0].tobytes()


# The experiment


@given(st.floats(0, 0.05), st.floats(0, 3), st.integers(1, 40), st.integers(0, 200))
def test_steps_within_a_number_of_cycles_take_about_so_many(acting, learning, every, starts):
    computing = Computing(acting, learning, every, starts)
    steps = computing.steps_within(2000, CYCLE)
    env = RealTime(Line(length=10**6), computing)
    env.reset()
    act(env, [1.0] * steps)
    # Up to the last learning, and the first steps, of which one in `every` would have learnt.
    assert env.cycles == pytest.approx(2000, abs=missed(acting + learning, CYCLE) * 2 + every + 2)


def test_learners_of_the_experiment_have_the_same_time_by_their_own_profiles():
    for preset in load_experiment("robots").presets.values():
        for row in preset.rows:
            steps = {arm.label: row.steps_of(arm) for arm in row.arms}
            assert row.environment["device"] in devices.devices()
            assert steps["SAC"] <= steps["AVG"]
            assert all(row.bin_width < number for number in steps.values())
            for arm in row.arms:
                options = dict(resolve(row, arm, 0).environment)
                assert options["learning_seconds"] > 0
                assert options["action_seconds"] == devices.devices()[options["device"]].action_seconds


def test_cycles_of_the_experiment_are_those_of_the_robots():
    assert {env_id: robot.cycle_seconds for env_id, robot in ROBOTS.items()} == CYCLES


def test_a_million_samples_cannot_be_learnt_from_on_board():
    """An update from 256 samples takes the Jetson Nano 50 cycles of the arm and 13 of the mobile robot."""
    for env_id, cycles in (("UR-Reacher-2-v0", 50), ("Create-Mover-v0", 13)):
        options = timed("sac", env_id)
        assert missed(options["action_seconds"] + options["learning_seconds"], CYCLES[env_id]) == cycles
        ours = timed("avg", env_id)
        assert missed(ours["action_seconds"] + ours["learning_seconds"], CYCLES[env_id]) == (1 if cycles == 50 else 0)
